"""What the store knows of a graph's nodes: rows, calls, cost, and what the last run did with each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.store.reader import Reader

State = Literal["never", "running", "unchanged", "changed", "failed", "unknown"]
SIGNS: dict[State, tuple[str, str]] = {
    "unchanged": ("=", "unchanged by the last run"),
    "changed": ("~", "changed by the last run"),
    "failed": ("!", "has failed rows, or was not finished"),
    "running": ("›", "the run is at it"),
    "never": ("○", "never run"),
    "unknown": ("?", "not known: the store could not be read"),
}


@dataclass
class NodeFacts:
    """Rows that the node's table holds now; calls, tokens and USD over all runs and in the last."""

    rows: int | None = None
    rejected: int = 0
    failed: int = 0
    calls: int = 0
    tokens: int = 0
    cost: float = 0.0
    last_calls: int = 0
    last_cost: float = 0.0
    state: State = "never"


@dataclass
class Facts:
    """The last run of a graph (None: there was none) and what is known of its nodes."""

    run: int | None = None
    status: str = ""
    started: str = ""
    nodes: dict[str, NodeFacts] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether the store could be read, or there is none."""
        return all(node.state != "unknown" for node in self.nodes.values())

    def of(self, node: str) -> NodeFacts:
        return self.nodes.get(node) or NodeFacts()


def unknown(nodes: Iterable[str]) -> Facts:
    """What is known where a store is there and cannot be read."""
    return Facts(nodes={name: NodeFacts(state="unknown") for name in nodes})


def gather(store: Path, graph: str, nodes: Iterable[str]) -> Facts:
    """What is known now, also while a run goes on. Raises `StoreError` for a store that is broken."""
    from engine.commands._options import reader

    facts = Facts(nodes={name: NodeFacts() for name in nodes})
    if not store.exists():
        return facts
    with contextlib.closing(reader(store, graph)) as opened, opened.held():
        _last_run(opened, graph, facts)
        if facts.run is not None:
            _rows(opened, facts)
            _calls(opened, graph, facts)
            _states(opened, graph, facts)
    return facts


def _last_run(opened: Reader, graph: str, facts: Facts) -> None:
    from engine.store.schema import SCHEMA, text

    found = opened.sql(
        f"SELECT run, status, strftime(started, '%Y-%m-%d %H:%M') FROM {SCHEMA}.runs"
        f" WHERE graph = {text(graph)} ORDER BY run DESC LIMIT 1"
    ).rows
    if found:
        run, facts.status, facts.started = found[0]
        facts.run = int(run)


def _rows(opened: Reader, facts: Facts) -> None:
    """Counts of the tables that the store has; a node that was added since has none."""
    from engine.commands._summary import name_in_sql, quoted
    from engine.store.errors import QueryError, StoreError

    try:
        known = opened.description.tables
    except StoreError:  # a run has only just begun, and has not said what it will write
        return
    for name, node in facts.nodes.items():
        if name not in known:
            continue
        tables = (name_in_sql(name), f"rejected.{quoted(name)}", f"failed.{quoted(name)}")
        query = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
        with contextlib.suppress(QueryError):
            node.rows, node.rejected, node.failed = map(int, opened.sql(query).rows[0])


def _calls(opened: Reader, graph: str, facts: Facts) -> None:
    from engine.store.schema import SCHEMA, text

    last = f"FILTER (WHERE run = {facts.run})"
    query = (
        f"SELECT node, count(*), coalesce(sum(tokens_in + tokens_out), 0), coalesce(sum(cost), 0),"
        f" count(*) {last}, coalesce(sum(cost) {last}, 0)"
        f" FROM {SCHEMA}.calls WHERE graph = {text(graph)} GROUP BY node"
    )
    for name, calls, tokens, cost, last_calls, last_cost in opened.sql(query).rows:
        if node := facts.nodes.get(name):
            node.calls, node.tokens, node.cost = int(calls), int(tokens), float(cost)
            node.last_calls, node.last_cost = int(last_calls), float(last_cost)


def _states(opened: Reader, graph: str, facts: Facts) -> None:
    from engine.store.schema import SCHEMA, text

    query = f"SELECT node, complete, changed_run FROM {SCHEMA}.states WHERE graph = {text(graph)}"
    for name, complete, changed_run in opened.sql(query).rows:
        if node := facts.nodes.get(name):
            if complete:
                node.state = "changed" if changed_run == facts.run else "unchanged"
            elif facts.status == "running" and changed_run == facts.run:
                node.state = "running"
            else:
                node.state = "failed"
            if node.failed and node.state != "running":
                node.state = "failed"
