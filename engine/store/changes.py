"""What became of tables between two runs: rows that came, went and changed, and what that cost.

Superseded rows stay in the store, so a table as of a run is those born in it or before and not gone
by then. A row has changed where what its own node says of it has: its own columns, its fate, its
reason (see `PASSING`). A table that was made anew since, because its columns changed, has no older rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal
from uuid import UUID

from engine.frozen import dataclass
from engine.store.errors import StoreError
from engine.store.reader import Reader
from engine.store.records import TableSpec, id_column
from engine.store.schema import SCHEMA, quote, table_name, text

PASSING = frozenset({"dedupe", "mix", "emit"})
"""Kinds that hand rows on: what such a node says of a row is all that the row shows."""

Parts = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class NodeChange:
    """Counts of one node's rows between two runs; calls and USD are those of all `paid` runs."""

    node: str
    added: int
    changed: int
    removed: int
    same: int
    calls: int
    cost: float


@dataclass(frozen=True)
class Paid:
    """What a node's calls came to."""

    node: str
    calls: int
    cost: float


@dataclass(frozen=True)
class RowChange:
    """One row; `before` and `after` hold the columns that differ, all of them where one is missing."""

    id: UUID
    what: Literal["added", "changed", "removed"]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    above: str | None  # the nearest node above in which the row it comes of changed


def counts(
    reader: Reader, specs: Iterable[TableSpec], earlier: int, later: int, paid: Mapping[str, Paid]
) -> list[NodeChange]:
    """For each of these nodes of one graph how many rows came, changed, went and stayed."""
    found = []
    for spec in specs:
        both = f"{_pair(spec, earlier, later)} SELECT count(*) FILTER (a._id IS NULL),"
        rows = reader.sql(
            f"{both} count(*) FILTER (a._id IS NOT NULL AND b._id IS NOT NULL AND {_differs(spec)}),"
            f" count(*) FILTER (b._id IS NULL), count(*) FROM a FULL JOIN b ON a._id = b._id"
        ).rows
        added, changed, removed, every = rows[0]
        own = paid.get(spec.node, Paid(spec.node, 0, 0.0))
        same = every - added - changed - removed
        found.append(NodeChange(spec.node, added, changed, removed, same, own.calls, own.cost))
    return found


def paid(reader: Reader, graph: str, earlier: int, later: int) -> tuple[list[int], dict[str, Paid]]:
    """The runs of a graph after the earlier one, up to the later, and by node what its calls in them cost."""
    span = f"graph = {text(graph)} AND run > {earlier:d} AND run <= {later:d}"
    found = reader.sql(f"SELECT run FROM {SCHEMA}.runs WHERE {span} ORDER BY run").rows
    by_node = reader.sql(
        f"SELECT node, count(*), coalesce(sum(cost), 0) FROM {SCHEMA}.calls WHERE {span}"
        " GROUP BY node ORDER BY node"
    ).rows
    return [int(run) for (run,) in found], {row[0]: Paid(*row) for row in by_node}


def rows(
    reader: Reader, above: Iterable[TableSpec], spec: TableSpec, earlier: int, later: int, limit: int | None
) -> list[RowChange]:
    """The rows of a node that came, changed or went; `above` are its ancestors, the nearest first."""
    names = ["_status", "_reason", *spec.own]
    ids = [f"coalesce(b.{quote(id_column(one.node))}, a.{quote(id_column(one.node))})" for one in above]
    shown = [f"{side}.{quote(name)}" for side in "ab" for name in names]
    found = reader.sql(
        f"{_pair(spec, earlier, later)} SELECT coalesce(a._id, b._id), a._id IS NOT NULL, b._id IS NOT NULL,"
        f" {', '.join([*shown, *ids])} FROM a FULL JOIN b ON a._id = b._id"
        f" WHERE a._id IS NULL OR b._id IS NULL OR {_differs(spec)}"
        f" ORDER BY a._id IS NULL, b._id IS NULL, coalesce(b._place, a._place), 1"
        f"{f' LIMIT {limit:d}' if limit is not None else ''}"
    ).rows
    told = [name.lstrip("_") if name in ("_status", "_reason") else name for name in names]
    changes = []
    for identity, was, now, *values in found:
        before = dict(zip(told, values[: len(names)], strict=True)) if was else {}
        after = dict(zip(told, values[len(names) : 2 * len(names)], strict=True)) if now else {}
        if was and now:
            before = {name: value for name, value in before.items() if value != after[name]}
            after = {name: after[name] for name in before}
        ancestors = zip(above, values[2 * len(names) :], strict=True)
        cause = next(
            (one.node for one, at in ancestors if at and _moved(reader, one, at, earlier, later)), None
        )
        changes.append(RowChange(identity, _what(was, now), before, after, cause))
    return changes


def parts(reader: Reader, graph: str, run: int) -> dict[str, dict[str, str]]:
    """By node, the parts that a run left, as fingerprints."""
    found = reader.sql(
        f"SELECT node, parts FROM {SCHEMA}.snapshots WHERE graph = {text(graph)} AND run = {run:d}"
    ).rows
    return {node: json.loads(content) for node, content in found}


def contents(reader: Reader, *snapshots: Parts) -> dict[str, Any]:
    """What is behind the fingerprints of these."""
    marks = {mark for one in snapshots for each in one.values() for mark in each.values()}
    wanted = ", ".join(map(text, sorted(marks))) or "''"
    found = reader.sql(f"SELECT mark, content FROM {SCHEMA}.contents WHERE mark IN ({wanted})").rows
    return {mark: json.loads(content) for mark, content in found}


def runs_of(reader: Reader, graph: str) -> list[tuple[int, str]]:
    """Numbers of a graph's runs and how they ended, the newest first."""
    query = f"SELECT run, status FROM {SCHEMA}.runs WHERE graph = {text(graph)} ORDER BY run DESC"
    found = [(int(run), str(status)) for run, status in reader.sql(query).rows]
    if not found:
        raise StoreError(f"graph {graph} has no run yet", "`atk exec` makes the first")
    return found


def _what(was: bool, now: bool) -> Literal["added", "changed", "removed"]:
    return "changed" if was and now else "added" if now else "removed"


def _alive(spec: TableSpec, run: int) -> str:
    """A node's rows as of a run; rows that were not sent, or came to nothing, are none."""
    return (
        f"SELECT * FROM {SCHEMA}.{quote(table_name(spec.graph, spec.node))} WHERE _born <= {run:d}"
        f" AND (_died IS NULL OR _died > {run:d}) AND _status IN ('ok', 'rejected', 'failed')"
    )


def _pair(spec: TableSpec, earlier: int, later: int) -> str:
    return f"WITH a AS ({_alive(spec, earlier)}), b AS ({_alive(spec, later)})"


def _differs(spec: TableSpec) -> str:
    names = ["_status", "_reason", *(["_rev"] if spec.kind in PASSING else spec.own)]
    return "(" + " OR ".join(f"a.{quote(name)} IS DISTINCT FROM b.{quote(name)}" for name in names) + ")"


def _moved(reader: Reader, spec: TableSpec, identity: UUID, earlier: int, later: int) -> bool:
    """Whether one row came, went or changed."""
    query = (
        f"{_pair(spec, earlier, later)} SELECT count(*) FROM a FULL JOIN b ON a._id = b._id WHERE"
        f" coalesce(a._id, b._id) = '{identity}' AND (a._id IS NULL OR b._id IS NULL OR {_differs(spec)})"
    )
    return bool(reader.sql(query).rows[0][0])
