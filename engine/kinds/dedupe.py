"""`dedupe`: of rows that say the same, one stays; the others are rejected with the reason."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import Field

from engine.kinds.base import Context, Made, Row, Settings, TableKind
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
    method: Literal["exact", "near"] = Field(
        "near", description="`exact`: the same but for case, blanks and marks at the ends; `near`: MinHash."
    )
    threshold: float = Field(
        0.85,
        gt=0,
        le=1,
        description="How much two texts must have in common (Jaccard index of 5-character runs).",
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
        return {}

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """Every input row, in its order: as it is, or rejected."""
        from engine.data.similarity import exact, near

        settings = cast(DedupeSettings, context.node.settings)
        names = settings.columns or [cast(str, settings.column)]
        ids: list[bytes] = []
        texts: list[str] = []
        ranks: list[tuple[bool, Any]] = []
        for row in inputs[0]():
            text = "\n".join(_text(row.columns[name]) for name in names)
            if text.strip():
                ids.append(row.id)
                texts.append(text)
                if settings.order is not None:
                    value = row.columns[settings.order]
                    ranks.append((value is None, value))
        if settings.order is not None:
            order = sorted(range(len(ids)), key=lambda at: (*ranks[at], ids[at]))
            ids, texts = [ids[at] for at in order], [texts[at] for at in order]
        twins = exact(texts) if settings.method == "exact" else near(texts, settings.threshold, settings.seed)
        reasons = {
            ids[place]: _reason(twin, ids[twin.of], texts[twin.of])
            for place, twin in enumerate(twins)
            if twin is not None
        }
        return self.made(inputs[0](), reasons)

    def made(self, rows: Iterable[Row], reasons: Mapping[bytes, str]) -> Iterator[Made]:
        for row in rows:
            reason = reasons.get(row.id)
            yield Made({}, "rejected" if reason else "ok", reason, parent=row)


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
