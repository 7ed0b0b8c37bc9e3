"""`embed`: a vector of a text in each row, for `retrieve` and `dedupe`.

One call a row, through the memo: a text that did not change is never paid for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, cast

from pydantic import BaseModel, Field

from engine.kinds.base import Context, Made, Outcome, Row, RowKind, Settings
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node

if TYPE_CHECKING:
    from engine.kinds.asking import AskingContext

DEFAULT = "text"


class EmbedSettings(Settings):
    """Settings of `embed`."""

    model: Annotated[str, Role.MODEL] = Field(
        description="Who makes the vectors: a `model` of the graph that names an embedding model."
    )
    column: Annotated[str | None, Role.COLUMN] = Field(
        None, description="The text that gets a vector; `text` if absent."
    )
    into: str = Field("embedding", description="The column that holds the vector.")


class Embed(RowKind):
    """See the module's docstring."""

    name = "embed"
    settings: ClassVar[type[BaseModel]] = EmbedSettings
    clauses = frozenset({"where", "let", "expect"})

    def own(self, shape: Shape) -> Mapping[str, str]:
        """The vector."""
        settings = cast(EmbedSettings, shape.settings)
        before = shape.inputs[0] if shape.inputs else {}
        column = settings.column or DEFAULT
        setting = "column" if settings.column else None
        if column not in before:
            known = ", ".join(f"`{name}`" for name in before)
            raise Problem("ATK122", f"no column named `{column}`", setting, f"it has {known}: set `column`")
        if before[column] != "VARCHAR":
            raise Problem("ATK153", f"`{column}` is no text", setting, "a vector is made of a text")
        if settings.into in before:
            raise Problem(
                "ATK102", f"the input has a column `{settings.into}` already", "into", "give it another name"
            )
        return {settings.into: "FLOAT[]"}

    def reads(self, node: Node) -> frozenset[str] | None:
        """The text alone."""
        return frozenset({cast(EmbedSettings, node.settings).column or DEFAULT})

    async def work(self, row: Row, context: Context) -> Outcome:
        """Ask for the vector."""
        from engine.kinds.asking import PASSING_FAULTS
        from engine.models.base import Request
        from engine.models.vectors import unpacked

        settings = cast(EmbedSettings, context.node.settings)
        text = row.columns[settings.column or DEFAULT]
        if not text or not str(text).strip():
            return Outcome([Made({}, "failed", "there is no text to make a vector of")])
        request = Request([{"role": "user", "content": str(text)}], reply="vector")
        asking = cast("AskingContext", context)
        reply, key = await asking.ask(settings.model, request, row, "ask", 0)
        if reply.status == "error":
            passing = reply.fault in PASSING_FAULTS
            return Outcome([Made({}, "failed", reply.error)], [key], retry=passing, asked=1)
        vector = unpacked(reply.text)
        if vector is None:
            return Outcome([Made({}, "failed", "the reply is no vector")], [key], asked=1)
        return Outcome([Made({settings.into: vector})], [key], asked=1)
