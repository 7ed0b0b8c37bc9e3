"""`dedupe`: of rows that say the same, one stays; the others are rejected with the reason."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import Field

from engine.kinds.base import Context, KindError, Made, Row, Settings, TableKind
from engine.kinds.retrieve import vector_column
from engine.language.kind import Problem, Role, Shape

if TYPE_CHECKING:
    from engine.data.similarity import Twin

SHOWN = 80  # characters of the text that a row is a duplicate of


class DedupeSettings(Settings):
    """Settings of `dedupe`."""

    column: Annotated[str | None, Role.COLUMN] = Field(
        None, description="The column that is compared; this or `columns` is required."
    )
    columns: Annotated[list[str] | None, Role.COLUMN] = Field(
        None, description="Several columns that are compared as one text."
    )
    method: Literal["exact", "near", "vectors"] = Field(
        "near",
        description="`exact`: the same but for case, blanks and marks at the ends; `near`: runs of "
        "characters in common (MinHash); `vectors`: the angle between those that `embed` made.",
    )
    threshold: float = Field(
        0.85,
        gt=0,
        le=1,
        description="How much two texts must have in common (Jaccard index of 5-character runs), or the "
        "cosine of two vectors.",
    )
    within: Annotated[str | None, Role.TABLE] = Field(
        None,
        description="Only rows that share this ancestor are compared: those of one document, say.",
    )
    order: Annotated[str | None, Role.COLUMN] = Field(
        None, description="The row with the smallest value stays; the first, as rows came to be, if absent."
    )
    seed: int = Field(0, ge=0, description="For `near`: of the hashes that find candidates.")


class Dedupe(TableKind):
    """See the module's docstring."""

    name = "dedupe"
    settings = DedupeSettings

    def own(self, shape: Shape) -> Mapping[str, str]:
        """No columns; the settings must name some that are there."""
        settings = cast(DedupeSettings, shape.settings)
        before = shape.inputs[0] if shape.inputs else {}
        if (settings.column is None) == (settings.columns is None):
            raise Problem(
                "ATK153",
                "`dedupe` needs to know what to compare",
                "columns" if settings.columns else None,
                "write `column = question`, or `columns = [question, answer]`",
            )
        for setting, name in [
            ("column", settings.column),
            *(("columns", name) for name in settings.columns or ()),
            ("order", settings.order),
        ]:
            if name is not None and name not in before:
                known = ", ".join(f"`{each}`" for each in before)
                raise Problem("ATK122", f"no column named `{name}`", setting, f"the input has {known}")
        if settings.method == "vectors":
            if settings.column is None:
                raise Problem("ATK153", "vectors are in one column", "columns", "such as column = embedding")
            vector_column(settings.column, before, "column")
        return {}

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """Every input row, in its order: as it is, or rejected."""
        settings = cast(DedupeSettings, context.node.settings)
        apart: dict[bytes | None, list[_Compared]] = {}  # by the ancestor within which rows are compared
        for row in inputs[0]():
            one = _compared(row, settings)
            if one is not None:
                within = row.ids.get(settings.within) if settings.within else None
                apart.setdefault(within, []).append(one)
        reasons: dict[bytes, str] = {}
        for group in apart.values():
            if settings.order is not None:
                group.sort(key=lambda one: (*one.rank, one.id))
            for one, twin in zip(group, _twins(group, settings, context.node.name), strict=True):
                if twin is not None:
                    reasons[one.id] = _reason(twin, group[twin.of].id, group[twin.of].text)
        return self.made(inputs[0](), reasons)

    def made(self, rows: Iterable[Row], reasons: Mapping[bytes, str]) -> Iterator[Made]:
        for row in rows:
            reason = reasons.get(row.id)
            yield Made({}, "rejected" if reason else "ok", reason, parent=row)


@dataclass(slots=True)
class _Compared:
    """What is known of a row while it is compared."""

    id: bytes
    text: str  # what is compared, or shown in a reason
    vector: Any
    rank: tuple[bool, Any]


def _compared(row: Row, settings: DedupeSettings) -> _Compared | None:
    """None where a row has nothing to compare."""
    value = row.columns[settings.order] if settings.order is not None else None
    rank = (value is None, value)
    if settings.method == "vectors":
        vector = row.columns[cast(str, settings.column)]
        shown = row.columns.get("text") or next(filter(_is_text, row.columns.values()), "")
        return _Compared(row.id, str(shown), vector, rank) if vector else None
    names = settings.columns or [cast(str, settings.column)]
    text = "\n".join(_text(row.columns[name]) for name in names)
    return _Compared(row.id, text, None, rank) if text.strip() else None


def _twins(group: Sequence[_Compared], settings: DedupeSettings, node: str) -> Iterator[Twin | None]:
    from engine.data.similarity import by_angle, exact, near

    if settings.method == "vectors":
        try:
            yield from by_angle((one.vector for one in group), settings.threshold)
        except ValueError as error:
            raise KindError(f"`{node}`: {error}", "one model must make the vectors") from None
    elif settings.method == "exact":
        yield from exact(one.text for one in group)
    else:
        yield from near((one.text for one in group), settings.threshold, settings.seed)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _reason(twin: Twin, of: bytes, text: str) -> str:
    start = " ".join(text.split())
    shown = start if len(start) <= SHOWN else start[: SHOWN - 1] + "…"
    what = "duplicate" if twin.nearness == 1 else "near-duplicate"
    degree = "" if twin.nearness == 1 else f" ({twin.nearness:.2f})"
    return f"{what} of {uuid.UUID(bytes=of)}{degree}: '{shown}'"


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    import orjson

    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str).decode()
