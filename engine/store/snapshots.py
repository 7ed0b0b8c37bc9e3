"""What runs left of each node's own part: its parts by fingerprint, and what is behind those.

Written once a run. A content is kept once, however many runs and nodes share it, and holds no secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.store.errors import QueryError
from engine.store.schema import SCHEMA

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Parts = Mapping[str, str]


def save(
    connection: DuckDBPyConnection,
    run: int,
    graph: str,
    nodes: Mapping[str, Parts],
    contents: Mapping[str, Any],
) -> None:
    """Remember the parts of a run's nodes."""
    for node, parts in nodes.items():
        connection.execute(
            f"INSERT INTO {SCHEMA}.snapshots VALUES (?, ?, ?, ?)", [run, graph, node, json.dumps(dict(parts))]
        )
    known = {
        mark
        for (mark,) in connection.execute(
            f"SELECT mark FROM {SCHEMA}.contents WHERE mark IN (SELECT unnest(?::VARCHAR[]))",
            [list(contents)],
        ).fetchall()
    }
    for mark in contents.keys() - known:
        text = json.dumps(contents[mark], ensure_ascii=False, default=str)
        connection.execute(f"INSERT INTO {SCHEMA}.contents VALUES (?, ?)", [mark, text])


def load(connection: DuckDBPyConnection, graph: str, run: int) -> dict[str, dict[str, str]]:
    """By node, the parts that a run left; nothing where it kept none."""
    rows = connection.execute(
        f"SELECT node, parts FROM {SCHEMA}.snapshots WHERE graph = ? AND run = ? ORDER BY rowid", [graph, run]
    ).fetchall()
    return {node: json.loads(parts) for node, parts in rows}


def named_run(runs: Sequence[tuple[int, str]], name: str, graph: str) -> int:
    """The run that a number, `last` or `-1` (`-2` …) means. `runs` are (number, status), the newest first.

    Raises `QueryError` with the latest ones where there is no such run.
    """
    numbers = [number for number, _ in runs]
    if name == "last" and numbers:
        return numbers[0]
    if name.removeprefix("-").isdecimal() and name.isascii():
        number = int(name)
        if number in numbers:
            return number
        if 0 < -number <= len(numbers):
            return numbers[-number - 1]
    latest = ", ".join(f"{number} ({status})" for number, status in runs[:5])
    raise QueryError(
        f"graph {graph} has no run {name}",
        f"its latest runs: {latest}; `last` and -1 are the newest" if runs else "`atk exec` makes the first",
    )


def contents(connection: DuckDBPyConnection, marks: Iterable[str]) -> dict[str, Any]:
    """What is behind these fingerprints, as far as it was kept."""
    rows = connection.execute(
        f"SELECT mark, content FROM {SCHEMA}.contents WHERE mark IN (SELECT unnest(?::VARCHAR[]))",
        [list(marks)],
    ).fetchall()
    return {mark: json.loads(content) for mark, content in rows}


def runs(connection: DuckDBPyConnection, graph: str) -> list[tuple[int, str]]:
    """Numbers of a graph's runs and how they ended, the newest first."""
    return connection.execute(
        f"SELECT run, status FROM {SCHEMA}.runs WHERE graph = ? ORDER BY run DESC", [graph]
    ).fetchall()
