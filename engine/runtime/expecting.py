"""What a recorded test expects: how many rows came out, which, and what is in the node's short columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.language.writing import Unwritable, name, written

if TYPE_CHECKING:
    from engine.language.testing import Fate, Test

SHORT = 60  # characters of a text that is expected word for word
KEY = 200  # the same, where nothing else of a row can be expected
SIMPLE = frozenset({"VARCHAR", "BOOLEAN", "BIGINT", "INTEGER", "DOUBLE", "HUGEINT", "SMALLINT", "TINYINT"})
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


def expected(test: Test, tables: Mapping[Fate, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Clauses and blocks that hold of a node's tables, as they are written in a test."""
    yield from _told(test, tables["ok"], aside=False)
    for fate in ("rejected", "failed"):
        if tables[fate]:
            inner = "\n".join(f"    {one}" for one in _told(test, tables[fate], aside=True))
            yield f"{fate} {{\n{inner}\n  }}"


def _told(test: Test, rows: Sequence[Mapping[str, Any]], aside: bool) -> Iterator[str]:
    yield f"expect count(*) == {len(rows)}"
    if not rows:
        return
    ids = [test.ids[one] for one in test.fixtures if one != test.node and one in test.ids]
    yield from _lists(rows, [one for one in ids if one in rows[0]])
    if aside:
        yield from _lists(rows, ["reason"], KEY)
        return
    own = test.program.nodes[test.node].own
    simple = [one for one, type_ in own.items() if type_ in SIMPLE]
    telling = [one for one in simple if not one.endswith(("_index", "_repairs"))]
    made = list(_lists(rows, telling)) or list(_lists(rows, telling, KEY))[:1]
    yield from made
    yield from _lists(rows, [one for one in simple if one not in telling])
    for column, type_ in {} if made else own.items():
        measure = "len" if type_.endswith("]") else "length" if type_ == "VARCHAR" else None
        if measure and all(row.get(column) is not None for row in rows):
            lengths = written([len(row[column]) for row in rows], 2, len(column) + 24)
            yield f"expect list({measure}({name(column)})) == {lengths}"


def _lists(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], longest: int = SHORT) -> Iterator[str]:
    """Columns whose values can be shown word for word; an id that only this run made is none."""
    for column in columns:
        values = [row.get(column) for row in rows]
        texts = [one for one in values if isinstance(one, str)]
        if any(len(one) > longest or _ID.search(one) for one in texts) or all(one is None for one in values):
            continue
        try:
            yield f"expect list({name(column)}) == {written(values, 2, len(column) + 18)}"
        except Unwritable:
            continue
