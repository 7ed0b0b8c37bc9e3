"""`retrieve`: for each row the nearest rows of a table, never itself."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field

from engine.kinds.base import Context, KindError, Made, Row, Settings, TableKind
from engine.language.kind import Problem, Role, Shape

DEFAULT, VECTOR = "text", "embedding"
TOGETHER = 50  # how far down two ranks are looked at to put them together


class RetrieveSettings(Settings):
    """Settings of `retrieve`."""

    query: Annotated[str | None, Role.COLUMN] = Field(
        None, description="The column that is searched with; `text` if absent."
    )
    column: Annotated[str | None, Role.COLUMN] = Field(
        None, description="The column of the other table that is searched; `text` if absent."
    )
    columns: Annotated[list[str] | None, Role.COLUMN] = Field(
        None, description="What is kept of each row that is found; the searched column if absent."
    )
    count: int = Field(3, ge=1, le=1_000, description="How many rows are found, at most.")
    into: str | None = Field(None, description="The name of the list; the node's own if absent.")
    apart: Annotated[str | None, Role.TABLE] = Field(
        None,
        description="Rows that share this ancestor are not found: none of the same document, for example.",
    )
    within: Annotated[str | None, Role.TABLE] = Field(
        None, description="Only rows that share this ancestor are found."
    )
    spread: Annotated[str | None, Role.TABLE] = Field(
        None, description="Of each row of this ancestor one is found before any gives a second."
    )
    by: Literal["words", "vectors", "both"] = Field(
        "words",
        description="What is near: words in common (BM25), a small angle between vectors, or both ranks.",
    )
    vector: Annotated[str | None, Role.COLUMN] = Field(
        None, description="The column of vectors in both tables, as `embed` makes it; `embedding` if absent."
    )
    least: float = Field(
        0.0, ge=0, description="The smallest score that counts as near: of BM25, or the cosine for `vectors`."
    )


class Retrieve(TableKind):
    """See the module's docstring."""

    name = "retrieve"
    settings = RetrieveSettings
    inputs: ClassVar[tuple[int, int | None]] = (1, 2)

    def own(self, shape: Shape) -> Mapping[str, str]:
        """One list: `id` and `score` of each row found, and the columns that are kept of it."""
        settings = cast(RetrieveSettings, shape.settings)
        asking = shape.inputs[0] if shape.inputs else {}
        searched = shape.inputs[1] if len(shape.inputs) > 1 else asking
        if settings.by != "vectors":
            _text_column(settings.query or DEFAULT, asking, "query", settings.query is not None)
            _text_column(settings.column or DEFAULT, searched, "column", settings.column is not None)
        if settings.by != "words":
            for columns in (asking, searched):
                vector_column(settings.vector or VECTOR, columns, "vector" if settings.vector else None)
        elif settings.vector is not None:
            raise Problem(
                "ATK153", "vectors are not looked at", "vector", 'say `by = "vectors"` or `by = "both"`'
            )
        fields = {"id": "VARCHAR", "score": "DOUBLE"}
        for name in settings.columns or [settings.column or DEFAULT]:
            if name not in searched:
                known = ", ".join(f"`{one}`" for one in searched)
                raise Problem(
                    "ATK122", f"no column named `{name}`", "columns", f"what is searched has {known}"
                )
            fields[name] = searched[name]
        inner = ", ".join(f'"{name}" {type_}' for name, type_ in fields.items())
        return {into(shape.name, settings): f"STRUCT({inner})[]"}

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """Every row of the first table, with what was found for it."""
        settings = cast(RetrieveSettings, context.node.settings)
        rows = list(inputs[-1]())
        try:
            index = Searched(settings, rows)
        except ValueError as error:
            raise KindError(f"`{context.node.name}`: {error}", "one model must make the vectors") from None
        found = Found(settings, rows, context.node.inputs[0], context.node.inputs[-1])
        return self.made(inputs[0](), index, found, into(context.node.name, settings))

    def made(self, rows: Iterable[Row], index: Searched, found: Found, name: str) -> Iterator[Made]:
        for row in rows:
            near = index.nearest(row, found.wanted, partial(found.fits, row))
            yield Made({name: found.kept(near)}, parent=row)


class Searched:
    """The rows that are searched, by their words, their vectors or both."""

    def __init__(self, settings: RetrieveSettings, rows: Sequence[Row]):
        from engine.data import search

        self.settings = settings
        self.words, self.vectors, self.together = None, None, search.together
        if settings.by != "vectors":
            self.words = search.Index([str(row.columns[settings.column or DEFAULT] or "") for row in rows])
        if settings.by != "words":
            self.vectors = search.Vectors([row.columns[settings.vector or VECTOR] for row in rows])

    def nearest(self, row: Row, count: int, fits: Callable[[int], bool]) -> list[tuple[int, float]]:
        """Places and scores of the nearest rows that fit, best first."""
        ranks = []
        most = count if self.settings.by != "both" else max(count, TOGETHER)
        if self.words is not None:
            text = str(row.columns[self.settings.query or DEFAULT] or "")
            ranks.append(self.words.nearest(text, most, fits))
        if self.vectors is not None:
            ranks.append(self.vectors.nearest(row.columns[self.settings.vector or VECTOR], most, fits))
        return ranks[0] if len(ranks) == 1 else self.together(ranks, count)


class Found:
    """Which of the searched rows may be found for a row, and what is kept of them."""

    def __init__(self, settings: RetrieveSettings, rows: Sequence[Row], asking: str, searched: str):
        self.settings, self.rows, self.asking, self.searched = settings, rows, asking, searched
        # For a spread more are looked at than are taken.
        self.wanted = settings.count * (8 if settings.spread else 1)

    def fits(self, row: Row, place: int) -> bool:
        """Whether it is another row, on the right side of `apart` and `within`."""
        other = self.rows[place]
        itself = (
            (self.asking == self.searched and row.id == other.id)
            or row.ids.get(self.searched) == other.id
            or other.ids.get(self.asking) == row.id
        )
        if itself:
            return False
        if self.settings.apart is not None and _same(row, other, self.settings.apart):
            return False
        return self.settings.within is None or _same(row, other, self.settings.within)

    def kept(self, near: Sequence[tuple[int, float]]) -> list[dict[str, Any]]:
        settings = self.settings
        near = [(place, score) for place, score in near if score >= settings.least]
        if settings.spread is not None:
            near = _spread(near, [self.rows[place].ids.get(settings.spread) for place, _ in near])
        columns = settings.columns or [settings.column or DEFAULT]
        return [
            {
                "id": str(uuid.UUID(bytes=self.rows[place].id)),
                "score": round(score, 4),
                **{name: self.rows[place].columns[name] for name in columns},
            }
            for place, score in near[: settings.count]
        ]


def into(node: str, settings: RetrieveSettings) -> str:
    """The name of the list."""
    return settings.into or node.rpartition(".")[2]


def _same(one: Row, other: Row, ancestor: str) -> bool:
    found = one.ids.get(ancestor)
    return found is not None and found == other.ids.get(ancestor)


def _spread(near: Sequence[tuple[int, float]], groups: Sequence[bytes | None]) -> list[tuple[int, float]]:
    """In rounds: the best of each group, then the second best of each, and so on."""
    seen: dict[bytes | None, int] = {}
    rounds: list[tuple[int, int]] = []
    for at, group in enumerate(groups):
        rounds.append((seen.get(group, 0), at))
        seen[group] = seen.get(group, 0) + 1
    return [near[at] for _, at in sorted(rounds)]


def vector_column(name: str, columns: Mapping[str, str], setting: str | None) -> None:
    """Raises `Problem` where there is no column of vectors of that name, at the setting that names it."""
    if name not in columns:
        known = ", ".join(f"`{one}`" for one in columns)
        raise Problem(
            "ATK122",
            f"no column named `{name}`",
            setting,
            f"it has {known}; `embed` makes vectors of texts",
        )
    if columns[name] not in ("FLOAT[]", "DOUBLE[]"):
        raise Problem("ATK153", f"`{name}` holds no vectors", setting, "`embed` makes a vector of a text")


def _text_column(name: str, columns: Mapping[str, str], setting: str, given: bool) -> None:
    known = ", ".join(f"`{one}`" for one in columns)
    if name not in columns:
        raise Problem(
            "ATK122",
            f"no column named `{name}`",
            setting if given else None,
            f"it has {known}: set `{setting}`",
        )
    if columns[name] != "VARCHAR":
        raise Problem("ATK153", f"`{name}` is no text", setting if given else None, "BM25 compares words")
