"""Rows that failed for good, and how they are asked for again: `atk retry`.

A row whose replies could not be used is remembered as failed, since the same question would get the
same replies out of the memo. To ask anew its replies are forgotten, which means that their calls get
another key: what was paid, and for what, still stands in `calls`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from engine.frozen import dataclass
from engine.store.schema import SCHEMA

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FAILED = "_died IS NULL AND _status = 'failed' AND NOT coalesce(_retry, false)"


@dataclass(frozen=True)
class Failures:
    """What failed for good in one node. `cost` is USD, of the calls that would be made again."""

    node: str
    rows: int
    calls: int
    cost: float


def look(connection: DuckDBPyConnection, node: str, table: str) -> Failures:
    """What failed for good in a node whose rows lie in `table`."""
    rows = connection.execute(f"SELECT count(*) FROM {table} WHERE {FAILED}").fetchall()[0][0]
    calls, cost = connection.execute(
        f"SELECT count(*), coalesce(sum(cost), 0) FROM {SCHEMA}.calls WHERE key IN ({_keys(table)})"
    ).fetchall()[0]
    return Failures(node, int(rows), int(calls), float(cost))


def forget(connection: DuckDBPyConnection, graph: str, node: str, table: str) -> None:
    """Let the next run decide these rows anew, with replies of their own; in the caller's transaction."""
    rows = connection.execute(f"SELECT count(*) FROM {table} WHERE {FAILED}").fetchall()[0][0]
    if not rows:
        return
    connection.execute(f"UPDATE {SCHEMA}.calls SET key = uuid() WHERE key IN ({_keys(table)})")
    # Earlier versions of such a row too: what they came to would be taken for the answer.
    connection.execute(
        f"UPDATE {table} SET _retry = true WHERE _status = 'failed'"
        f" AND (_key IN (SELECT _key FROM {table} WHERE {FAILED}) OR ({FAILED}))"
    )
    of_node = [graph, node]
    found = connection.execute(
        f"SELECT info FROM {SCHEMA}.states WHERE graph = ? AND node = ?", of_node
    ).fetchall()
    for (info,) in found:
        told = json.dumps({**json.loads(info), "retry": int(rows)})
        connection.execute(
            f"UPDATE {SCHEMA}.states SET info = ? WHERE graph = ? AND node = ?", [told, *of_node]
        )


def _keys(table: str) -> str:
    """The keys of calls that only rows that failed stand on."""
    return (
        f"SELECT unnest(_calls) FROM {table} WHERE {FAILED}"
        f" EXCEPT SELECT unnest(_calls) FROM {table} WHERE _died IS NULL AND _status <> 'failed'"
    )
