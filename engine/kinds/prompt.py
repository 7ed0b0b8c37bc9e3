"""`prompt`: one call a row, read as a type, checked, judged by votes, repaired.

What is asked and what becomes of the answers stands in `asking`; this file says what the
kind looks like from outside: its settings, its columns, what its rows depend on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import BaseModel, Field

from engine.kinds.base import Context, Outcome, Row, RowKind, Settings
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node
from engine.language.types import Literal as Choice
from engine.language.types import Many, Optional, Record, Scalar, Type, duckdb_type

if TYPE_CHECKING:
    from engine.kinds.asking import Parts


VOTES = 2  # raised when the same votes begin to come to something else


class Sampling(Settings):
    """Sampling that a node may set over its model's; the names are the endpoint's own."""

    temperature: float | None = Field(
        None, ge=0, description="Randomness of the reply, over the model's own."
    )
    top_p: float | None = Field(None, gt=0, le=1, description="Nucleus sampling, over the model's own.")
    max_tokens: int | None = Field(None, gt=0, description="The longest reply; a reply cut there has failed.")


class ReplySettings(Sampling):
    """Settings of whatever asks for a reply: the question, and its repair."""

    same_language_as: Annotated[str | None, Role.COLUMN] = Field(
        None,
        description="A text column: a reply that is surely in another language is asked for again, and has "
        "failed after the last try.",
    )


class RepairSettings(ReplySettings):
    """Settings of `repair -> T { … }`."""

    template: Annotated[str, Role.TEMPLATE] = Field(description="The prompt that rewrites what was refused.")
    model: Annotated[str | None, Role.MODEL] = Field(
        None, description="Who rewrites; the node's model if absent."
    )
    rounds: int = Field(1, ge=1, description="How often a refused row is rewritten and judged again.")
    reply: Literal["json", "text", "tags"] = Field(
        "json", description="How the rewritten reply is read; as above."
    )


class AskingSettings(ReplySettings):
    """Settings of the kinds that ask for each row."""

    model: Annotated[str, Role.MODEL] = Field(
        "default", description="Who is asked: a `model` of the graph, or `default`."
    )
    when: Annotated[bool, Role.WHEN] = Field(
        True, description="False: the node is left out, rows pass untouched; works with params."
    )
    retries: int = Field(
        2, ge=0, description="Further tries after a reply that cannot be read or fails a check."
    )
    votes: int = Field(
        1, ge=1, description="Replies for each row, counted; no more are asked for than decide it."
    )
    quorum: float = Field(
        0.5, ge=0, le=1, description="With `keep`: more than this share of the votes must keep the row."
    )
    sample: float | None = Field(
        None,
        gt=0,
        description="Only so many rows (1 and above) or this share of them (below 1), chosen by hash.",
    )
    reply: Literal["json", "text", "tags"] = Field(
        "json", description="How a reply is read: JSON, the whole text, or `<field>` blocks."
    )


class PromptSettings(AskingSettings):
    """Settings of `prompt`."""

    template: Annotated[str, Role.TEMPLATE] = Field(
        description="The prompt file under `prompts/`, without `.md`."
    )


class Prompt(RowKind):
    """One call for each row; see the module's docstring."""

    name = "prompt"
    settings: ClassVar[type[BaseModel]] = PromptSettings
    clauses = frozenset({"where", "let", "check", "keep", "expect"})
    sections: ClassVar[Mapping[str, type[BaseModel]]] = {"repair": RepairSettings}
    result = "required"
    version = 1

    def own(self, shape: Shape) -> Mapping[str, str]:
        """The fields of the type, then `<name>_index` of a fan-out, `_votes` and `_repairs`."""
        settings = cast(AskingSettings, shape.settings)
        record = row_record(shape.result)
        if record is None or not record.fields:
            raise Problem(
                "ATK140", "a prompt gives records: `-> T`, `T?` or `T[]` with T a record with fields"
            )
        if settings.reply == "text" and not takes_text(shape.result):
            raise Problem("ATK141", 'reply = "text" needs a type with one `str` field', "reply")
        before = shape.inputs[0] if shape.inputs else {}
        other = settings.same_language_as
        if other is not None and before.get(other, "VARCHAR") != "VARCHAR":
            raise Problem("ATK145", f"`{other}` is no text", "same_language_as", "name a column of texts")
        short = shape.name.rpartition(".")[2]
        own = {field.name: duckdb_type(field.type) for field in record}
        repaired = row_record(shape.sections.get("repair"))
        if is_many(shape.result):
            if settings.votes > 1:
                raise Problem(
                    "ATK142",
                    "votes judge one row; `T[]` gives several",
                    "votes",
                    "let one prompt write the rows and another judge each of them",
                )
            if "repair" in shape.sections:
                raise Problem("ATK142", "repair mends one row; `T[]` gives several", "repair")
            own[f"{short}_index"] = "BIGINT"
        if settings.votes > 1:
            own[f"{short}_votes"] = duckdb_type(Many(record))
        if "repair" in shape.sections:
            if repaired is None or is_many(shape.sections["repair"]):
                raise Problem("ATK140", "`repair` needs `-> T` with T a record", "repair")
            for field in repaired:
                if field.name not in before and field.name not in own:
                    raise Problem(
                        "ATK143",
                        f"repair gives `{field.name}`, which neither the input nor the type has",
                        "repair",
                        "a repair rewrites columns that are there",
                    )
            own |= {field.name: duckdb_type(field.type) for field in repaired}
            own[f"{short}_repairs"] = "BIGINT"
        return own

    def scopes(self, shape: Shape) -> Mapping[str, Mapping[str, Any]]:
        """`check` and `keep` see the reply's fields, over the input's columns."""
        record = row_record(shape.result)
        reply = {field.name: duckdb_type(field.type) for field in record} if record else {}
        return {"check": reply, "keep": reply}

    def static(self, node: Node) -> dict[str, Any]:
        """How votes are counted is a part where there are several; so is what the model is told of fields."""
        several = cast(AskingSettings, node.settings).votes > 1
        told = comments(node)
        return (
            super().static(node)
            | ({"votes": VOTES} if several else {})
            | ({"comments": told} if told else {})
        )

    def reads(self, node: Node) -> frozenset[str] | None:
        """What the templates and the gates name."""
        names = {name for template in node.templates for name in template.reads}
        for clause in node.clauses:
            if clause.word not in ("expect", "until"):
                names |= clause.reads
        repair = node.sections.get("repair")
        asked = [node.settings, *([repair.settings] if repair else [])]
        names |= {name for one in asked if (name := cast(ReplySettings, one).same_language_as) is not None}
        repaired = row_record(repair.result) if repair else None
        names |= {field.name for field in repaired} if repaired else set()
        return frozenset(names)

    def prepare(self, node: Node) -> Parts:
        """Schemas, sampling and gates, for all its rows."""
        from engine.kinds.asking import Parts

        return Parts.of(node)

    async def work(self, row: Row, context: Context) -> Outcome:
        """Ask until the row is decided."""
        from engine.kinds.asking import Asking

        asking = cast(Any, context)
        return await Asking(row, asking, asking.prepared).decide()


def comments(node: Node) -> dict[str, str]:
    """The doc comments in the types of a node's replies that a model sees, by what they are about."""
    found: dict[str, str] = {}
    repair = node.sections.get("repair")
    for asked, result, settings in (
        ("", node.result, node.settings),
        ("repair.", repair.result if repair else None, repair.settings if repair else None),
    ):
        shown = getattr(settings, "reply", "text") != "text" or any(
            one.shows_schema for one in node.templates
        )
        if result is not None and shown:
            found |= {f"comment of {asked}{name}": doc for name, doc in _documented(result)}
    return found


def _documented(kind: Type, name: str = "the reply", doc: str | None = None) -> Iterator[tuple[str, str]]:
    """Fields that have a doc comment, with it; or a record's own, where that is shown."""
    match kind:
        case Many(of) | Optional(of):
            yield from _documented(of, name, doc)
        case Record(fields):
            if doc or kind.doc:
                yield name, doc or kind.doc or ""
            above = "" if name == "the reply" else f"{name}."
            for entry in fields:
                yield from _documented(entry.type, f"{above}{entry.name}", entry.doc)
        case _ if doc:
            yield name, doc


def row_record(kind: Type | None) -> Record | None:
    """The record of one row, out of `T`, `T?` and `T[]`."""
    while isinstance(kind, Many | Optional):
        kind = kind.of
    return kind if isinstance(kind, Record) else None


def is_many(kind: Type | None) -> bool:
    """Whether one call gives several rows: `T[]`, `T[]?`."""
    while isinstance(kind, Optional):
        kind = kind.of
    return isinstance(kind, Many)


def takes_text(kind: Type | None) -> bool:
    """Whether a whole reply fits: one row with one `str` field."""
    record = row_record(kind)
    return (
        record is not None
        and not is_many(kind)
        and len(record.fields) == 1
        and isinstance(record.fields[0].type, Scalar | Choice)
    )
