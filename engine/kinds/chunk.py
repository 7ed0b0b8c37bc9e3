"""`chunk`: documents to passages that tile them, none above a budget of tokens.

Where a text is cut is `engine.data.chunking`'s affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import Field

from engine.kinds.base import Context, KindError, Made, Outcome, Row, RowKind, Settings, read_from
from engine.language.columns import fits
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node

if TYPE_CHECKING:
    from engine.data.pages import Page
    from engine.data.tokens import Tokenizer

PAGES = "STRUCT(page BIGINT, start BIGINT)[]"  # what `source` says of where the pages of a file begin


class ChunkSettings(Settings):
    """Settings of `chunk`."""

    size: int = Field(2_000, ge=16, description="Tokens of a passage, at most.")
    overlap: int = Field(
        0, ge=0, description="Tokens of whole sentences that a passage repeats of the one before, at most."
    )
    column: Annotated[str, Role.COLUMN] = Field("text", description="The column that is cut.")
    tokenizer: Annotated[str | None, Role.INPUT_PATH] = Field(
        None,
        description="What to count with: a model's `tokenizer.json`, its folder, or its name at the hub; "
        "an estimate that leans to the high side if absent.",
    )


class Chunk(RowKind):
    """One document to its passages; see the module's docstring."""

    name = "chunk"
    settings = ChunkSettings
    clauses = frozenset({"where", "expect"})
    blocking = True

    def own(self, shape: Shape) -> Mapping[str, str]:
        """The passage in place of the text, its number, its place in the text, its headings and tokens.

        And the first and the last page it stands on, where the input says where the pages begin.
        """
        settings = cast(ChunkSettings, shape.settings)
        before = shape.inputs[0] if shape.inputs else {}
        if settings.column not in before:
            known = ", ".join(f"`{name}`" for name in before)
            raise Problem(
                "ATK122", f"no column named `{settings.column}`", "column", f"the input has {known}"
            )
        if before[settings.column] != "VARCHAR":
            raise Problem("ATK151", f"`{settings.column}` is no text that could be cut", "column")
        if settings.overlap > settings.size // 2:
            raise Problem("ATK151", "`overlap` must not be more than half of `size`", "overlap")
        short = shape.name.rpartition(".")[2]
        return {
            settings.column: "VARCHAR",
            f"{short}_index": "BIGINT",
            "start": "BIGINT",
            "stop": "BIGINT",
            "heading": "VARCHAR",
            "tokens": "BIGINT",
        } | ({"page": "BIGINT", "last_page": "BIGINT"} if fits(before.get("pages", ""), PAGES) else {})

    def static(self, node: Node) -> dict[str, Any]:
        """A tokenizer counts by what is in its file, which the runtime cannot know."""
        return super().static(node) | {"tokenizer": _stamp(node)}

    def ready(self, context: Context, fetch: bool) -> None:
        """Whether the tokenizer is there, which may be fetched from the hub."""
        from engine.data.tokens import TokenizerProblem, found

        name = cast(ChunkSettings, context.node.settings).tokenizer
        if name is not None:
            try:
                found(name, read_from(context), fetch)
            except TokenizerProblem as error:
                raise KindError(str(error), "give the `tokenizer.json` of the model") from error

    def reads(self, node: Node) -> frozenset[str] | None:
        """The text, where its pages begin, and what a `where` names."""
        named = {name for clause in node.of("where") for name in clause.reads}
        named |= {"pages"} if "last_page" in node.own else set()
        return frozenset({cast(ChunkSettings, node.settings).column, *named})

    def work_now(self, row: Row, context: Context) -> Outcome:
        """The passages of one document, in order. A document without a word is rejected."""
        from engine.data.chunking import chunk
        from engine.data.pages import covered

        node = context.node
        settings = cast(ChunkSettings, node.settings)
        text = row.columns[settings.column]
        if text is None or not text.strip():
            return Outcome([Made({}, "rejected", f"no `{settings.column}` in it")])
        index = f"{node.name.rpartition('.')[2]}_index"
        pages = _pages(row.columns) if "last_page" in node.own else None
        made = []
        passages = chunk(text, settings.size, settings.overlap, _tokenizer(context, settings))
        for place, passage in enumerate(passages):
            own = {
                settings.column: text[passage.start : passage.stop],
                index: place,
                "start": passage.start,
                "stop": passage.stop,
                "heading": passage.heading,
                "tokens": passage.tokens,
            }
            if pages is not None:
                on = covered(pages, passage.start, passage.stop)
                own["page"], own["last_page"] = on or (None, None)
            made.append(Made(own))
        return Outcome(made)


def _pages(columns: Mapping[str, Any]) -> list[Page]:
    from engine.data.pages import Page

    return [Page(one["page"], one["start"]) for one in columns.get("pages") or ()]


def _tokenizer(context: Context, settings: ChunkSettings) -> Tokenizer:
    from engine.data.tokens import TokenizerProblem, found, tokenizer

    if settings.tokenizer is None:
        return tokenizer()
    try:
        return tokenizer(found(settings.tokenizer, read_from(context), fetch=False))
    except TokenizerProblem as error:
        help = "give the `tokenizer.json` of the model, its folder, or its name at the hub"
        raise KindError(f"`{context.node.name}`: {error}", help) from error


def _stamp(node: Node) -> str | None:
    """What is in a file tells one tokenizer from another; of a model at the hub it is the name."""
    import hashlib

    from engine.data.tokens import TokenizerProblem, found

    name = cast(ChunkSettings, node.settings).tokenizer
    if name is None:
        return None
    try:
        path = found(name, [Path.cwd(), node.folder or Path.cwd()], fetch=False, hub=False)
    except TokenizerProblem:
        return name
    return hashlib.sha256(path.read_bytes()).hexdigest()
