"""The plain data that goes into a store and comes out of it. No SQL, no connection.

Ids and keys are 16 raw bytes throughout; they are UUIDs only inside DuckDB.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from datetime import datetime
from typing import Any, Literal

from engine.frozen import dataclass
from engine.store.errors import StoreError

Status = Literal["ok", "rejected", "failed", "skipped", "empty"]

# Views that every graph shows beside its tables, and schemas that stand beside `main`.
RESERVED_TABLES = frozenset({"calls", "metrics", "runs"})
RESERVED_SCHEMAS = frozenset(
    {"main", "rejected", "failed", "store", "memory", "temp", "system", "information_schema", "pg_catalog"}
)


def id_column(node: str) -> str:
    """The column that holds the id of a node's row: `checked_id`, `single_turn_built_id`."""
    return node.replace(".", "_") + "_id"


@dataclass(frozen=True)
class TableSpec:
    """What the store must know of a node. `own` and `visible` are in the order of the columns."""

    graph: str
    node: str
    kind: str
    ancestors: tuple[str, ...]  # nodes whose ids travel with its rows, itself left out, nearest first
    own: Mapping[str, str]  # column -> DuckDB type
    visible: Mapping[str, tuple[str, str]]  # column -> (DuckDB type, node whose table stores it)
    inputs: tuple[str, ...]
    passes: str | None = None  # the node is skipped: its table is a view of this one


@dataclass(frozen=True)
class Description:
    """All tables of one graph, and other names for them (`single_turn` for `single_turn.built`)."""

    graph: str
    tables: Mapping[str, TableSpec]
    aliases: Mapping[str, str]

    def spec(self, name: str) -> TableSpec:
        """The table of that name or alias. Raises `StoreError` where there is none."""
        found = self.tables.get(self.aliases.get(name, name))
        if found is None:
            raise StoreError(
                f"graph {self.graph!r} has no table {name!r}", f"its tables: {', '.join(sorted(self.tables))}"
            )
        return found

    def real(self, name: str) -> TableSpec:
        """The table that stores the rows of `name`: itself, or what a skipped node passes on."""
        spec = self.spec(name)
        while spec.passes is not None:
            spec = self.spec(spec.passes)
        return spec

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` reads it back."""
        return {"tables": [asdict(spec) for spec in self.tables.values()], "aliases": dict(self.aliases)}

    @classmethod
    def from_dict(cls, graph: str, data: Mapping[str, Any]) -> Description:
        """What `as_dict` gave."""
        tables = {}
        for entry in data["tables"]:
            entry = dict(entry)
            entry["ancestors"], entry["inputs"] = tuple(entry["ancestors"]), tuple(entry["inputs"])
            entry["visible"] = {name: (kind, owner) for name, (kind, owner) in entry["visible"].items()}
            tables[entry["node"]] = TableSpec(**entry)
        return cls(graph, tables, dict(data["aliases"]))


@dataclass(slots=True)
class Stored:
    """One row to write. `place` orders siblings; `key` is the row key under which it is reused."""

    id: bytes
    rev: bytes
    parent: bytes | None = None
    parent_rev: bytes | None = None
    place: int = 0
    key: bytes | None = None
    status: Status = "ok"
    reason: str | None = None
    retry: bool = False  # not an answer to keep: tried again in the next run
    asked: int = 0
    calls: Sequence[bytes] = ()
    static: bytes | None = None  # the static part of the node that made it
    ids: Mapping[str, bytes] = field(default_factory=dict)  # ancestor -> id
    own: Mapping[str, Any] = field(default_factory=dict)


# One row as its view shows it: id, revision, visible columns, and ids by node (its own among them).
WideRow = tuple[bytes, bytes, dict[str, Any], dict[str, bytes]]


@dataclass(frozen=True, slots=True)
class PastRow:
    """One row of an outcome that an earlier run, or another parent, came to under the same key."""

    place: int
    status: Status
    reason: str | None
    asked: int
    calls: list[bytes]
    own: dict[str, Any]


@dataclass(slots=True)
class CallRecord:
    """One call, as table `calls` keeps it. The request holds no secret. Cost is USD, `at` is UTC."""

    key: bytes
    node: str
    graph: str
    row: bytes | None
    role: str  # "ask" or "repair"
    attempt: int
    sample: int
    model: str
    endpoint: str
    request: bytes | str
    status: str  # "ok", "cut", "refused" or "error"
    at: datetime
    reply: str | None = None
    thoughts: str | None = None
    finish: str | None = None
    error: str | None = None
    fault: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_thought: int = 0
    cost: float = 0.0
    cost_reported: float | None = None  # by the endpoint, where it does
    ms: float = 0.0
    http_attempts: int = 1


@dataclass(frozen=True, slots=True)
class Memo:
    """A reply that was paid for once. Figures are those of the call that brought it."""

    status: str
    reply: str | None
    thoughts: str | None
    finish: str | None
    error: str | None
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_thought: int
    cost: float
    ms: float


@dataclass(frozen=True)
class NodeState:
    """What is remembered of a node as a whole; `info` is free JSON for the runtime."""

    static: bytes
    complete: bool = False  # every row was decided when this was saved
    complete_run: int = 0  # the last run that it completed in
    changed_run: int = 0  # the last run that changed a row
    info: Mapping[str, Any] = field(default_factory=dict)
