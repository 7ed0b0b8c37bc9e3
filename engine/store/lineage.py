"""The way back: from one row to the document it came from, with every call on the way.

Works over any reader, so also while a run is going on. It finds and orders; showing is for others.
"""

from __future__ import annotations

import json
import re
from dataclasses import field
from datetime import datetime
from typing import Any
from uuid import UUID

from engine.frozen import dataclass
from engine.store.errors import QueryError, StoreError
from engine.store.reader import Reader
from engine.store.records import Description, TableSpec, id_column
from engine.store.schema import SCHEMA, quote, table_name

SHORTEST = 4  # hexadecimal digits of an id
_FIELDS = (
    *("key", "run", "role", "attempt", "sample", "model", "endpoint", "request", "reply", "thoughts"),
    *("finish", "status", "error", "tokens_in", "tokens_out", "cost", "ms", "called_at"),
)


@dataclass(frozen=True)
class CallStep:
    """A call that a row took. `messages` are those of the request; cost is USD."""

    run: int
    role: str
    attempt: int
    sample: int
    model: str
    endpoint: str
    messages: list[dict[str, Any]]
    reply: str | None
    thoughts: str | None
    finish: str | None
    status: str
    error: str | None
    tokens_in: int
    tokens_out: int
    cost: float
    ms: float
    called_at: datetime


@dataclass(frozen=True)
class Step:
    """One row on the way: what its node added, what became of it, and the calls it took."""

    node: str
    kind: str
    id: UUID
    status: str
    reason: str | None
    columns: dict[str, Any]
    calls: list[CallStep]
    collected: list[list[Step]] = field(default_factory=list)
    """Of a `gather`: the rows in its list, each with its own way back, as far as they have one alone."""


def why(reader: Reader, node: str, row: str) -> list[Step]:
    """The steps from a row back to its document, the row itself first.

    `row` is an id or its beginning (at least four digits); rejected and failed rows are found too.
    Where a node works on a whole table, the ids that its row carries lead on. A row of a `gather`
    has many rows behind it: they are its step's `collected`, in the order of their lineage.

    Raises `StoreError` for an unknown node, no such row, or more than one.
    """
    with reader.held():
        description = reader.description
        spec = description.real(node)
        first = _find(reader, description, spec, node, row)
        return [step for step, _ in _way(reader, description, spec, first, frozenset())]


def _way(
    reader: Reader, description: Description, spec: TableSpec, row: dict[str, Any], told: frozenset[str]
) -> list[tuple[Step, int]]:
    """The steps from a row back, each with its row's place; nodes in `told` are left to whoever asks."""
    steps = [(_step(reader, description, spec, row), row["_place"])]
    for ancestor in spec.ancestors:
        above_id = row[id_column(ancestor)]
        if above_id is None or ancestor in told or description.spec(ancestor).passes is not None:
            continue
        above = description.real(ancestor)
        found = _rows(reader, above, f"_id = '{above_id}'", 1)
        if found:
            steps.append((_step(reader, description, above, found[0]), found[0]["_place"]))
    return steps


def _collected(
    reader: Reader, description: Description, spec: TableSpec, row: dict[str, Any]
) -> list[list[Step]]:
    """The rows that a `gather` put into this one, each with its way back to the ancestor they share."""
    if spec.kind != "gather":
        return []
    source, shared = description.real(spec.inputs[0]), spec.ancestors[0]
    members = reader.sql(
        f"SELECT * FROM {_table(source)} WHERE {quote(id_column(shared))} = '{row[id_column(shared)]}'"
        " AND _status = 'ok' AND _died IS NULL"
    ).dicts()
    told = frozenset(spec.ancestors)
    ways = [_way(reader, description, source, member, told) for member in members]
    ways.sort(key=lambda way: [place for _, place in reversed(way)])
    return [[step for step, _ in way] for way in ways]


def _find(reader: Reader, description: Description, spec: TableSpec, node: str, row: str) -> dict[str, Any]:
    digits = row.strip().lower().replace("-", "")
    if not re.fullmatch(r"[0-9a-f]{1,32}", digits):
        raise QueryError(f"{row!r} is no row id: ids are hexadecimal", f'`atk sql "FROM {node}"` shows them')
    if len(digits) < SHORTEST:
        raise QueryError(f"{row!r} is too short for a row id: give at least {SHORTEST} digits")
    low, high = UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
    found = _rows(reader, spec, f"_id BETWEEN '{low}' AND '{high}'", 6)
    distinct = {entry["_id"]: entry for entry in reversed(found)}
    if len(distinct) > 1:
        some = ", ".join(map(str, list(distinct)[:5]))
        raise QueryError(f"more than one row of {node!r} begins with {row!r}", f"such as {some}")
    if not found:
        others = [
            other.node
            for other in description.tables.values()
            if other.passes is None
            and other.node != spec.node
            and _rows(reader, other, f"_id BETWEEN '{low}' AND '{high}'", 1)
        ]
        raise StoreError(
            f"{node!r} has no row {row!r}",
            f"{' and '.join(repr(name) for name in others)} has one"
            if others
            else f'`atk sql "FROM {node}"` shows its rows',
        )
    return found[0]


def _rows(reader: Reader, spec: TableSpec, condition: str, limit: int) -> list[dict[str, Any]]:
    """Rows of the narrow table, live ones first, then the newest."""
    return reader.sql(
        f"SELECT * FROM {_table(spec)} WHERE {condition} ORDER BY _died IS NOT NULL, _born DESC, rowid DESC"
        f" LIMIT {limit}"
    ).dicts()


def _table(spec: TableSpec) -> str:
    return f"{SCHEMA}.{quote(table_name(spec.graph, spec.node))}"


def _step(reader: Reader, description: Description, spec: TableSpec, row: dict[str, Any]) -> Step:
    return Step(
        node=spec.node,
        kind=spec.kind,
        id=row["_id"],
        status=row["_status"],
        reason=row["_reason"],
        columns={name: row[name] for name in spec.own},
        calls=_calls(reader, row["_calls"] or []),
        collected=_collected(reader, description, spec, row),
    )


def _calls(reader: Reader, keys: list[UUID]) -> list[CallStep]:
    """The calls in the row's order; of several under one key the newest answer."""
    if not keys:
        return []
    wanted = ", ".join(f"'{key}'" for key in dict.fromkeys(keys))
    rows = reader.sql(
        f"SELECT {', '.join(map(quote, _FIELDS))} FROM {SCHEMA}.calls WHERE key IN ({wanted})"
        " ORDER BY status <> 'error', rowid"
    ).dicts()
    newest = {row.pop("key"): row for row in rows}
    return [
        CallStep(messages=_messages(row.pop("request")), **row)
        for row in (newest[key] for key in dict.fromkeys(keys) if key in newest)
    ]


def _messages(request: str | None) -> list[dict[str, Any]]:
    try:
        found = json.loads(request or "{}").get("messages", [])
    except (ValueError, AttributeError):
        return []
    return found if isinstance(found, list) else []
