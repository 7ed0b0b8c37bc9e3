"""What a plan and a run tell whoever looks on: plain data, no rendering.

`execute` calls its listener with these, from the thread of the event loop, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engine.frozen import dataclass

if TYPE_CHECKING:
    from engine.store.records import CallRecord

RunStatus = Literal["done", "failed", "expectation", "interrupted"]
EXIT_CODES: Mapping[RunStatus, int] = {"done": 0, "failed": 1, "expectation": 3, "interrupted": 130}


@dataclass(frozen=True)
class NodePlan:
    """One line of a plan. Numbers are exact unless `estimated`; tokens are in and out.

    `mark`: `=` unchanged, `~` edited, `>` follows a change, `+` new, `-` gone (against an earlier run).
    """

    name: str
    kind: str
    mark: Literal["=", "~", ">", "+", "-"]
    rows: int | None
    cached: int | None  # calls that the memo answers
    to_call: int | None
    tokens: tuple[int, int] | None
    cost: float | None
    estimated: bool  # calls, tokens and cost; what is known exactly is known before a run
    why: str
    model: str | None = None  # "large (deepseek-ai/DeepSeek-V3.2)"
    rows_estimated: bool = False


@dataclass(frozen=True)
class Plan:
    """What `exec` would do now, in the order in which it would. Costs are USD."""

    graph: str
    nodes: tuple[NodePlan, ...]
    notes: tuple[str, ...]  # such as: the model is the offline stand-in
    left: int = 0  # nodes that were not selected

    @property
    def calls(self) -> int:
        return sum(node.to_call or 0 for node in self.nodes)

    @property
    def cost(self) -> float:
        return sum(node.cost or 0.0 for node in self.nodes)

    @property
    def estimated(self) -> bool:
        return any(node.estimated and node.to_call for node in self.nodes)


@dataclass
class NodeProgress:
    """Where one node stands."""

    name: str
    kind: str
    state: Literal["waiting", "running", "done", "unchanged", "passed", "failed", "stopped"] = "waiting"
    rows_in: int = 0  # input rows decided in this run
    total: int | None = None  # input rows to decide in this run: reckoned while its input grows, or None
    rows: int = 0  # rows in its table
    rejected: int = 0
    failed: int = 0
    calls: int = 0  # calls paid for in this run
    cached: int = 0  # replies that the memo gave
    in_flight: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0
    started: float | None = None  # time.monotonic()
    ended: float | None = None
    reason: str | None = None  # why it failed or stopped


@dataclass(frozen=True)
class Started:
    """The run has a number and knows its nodes, in order. `progress` is updated in place."""

    run: int
    graph: str
    progress: Mapping[str, NodeProgress]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Changed:
    """A node's state changed; look at `progress`."""

    node: NodeProgress


@dataclass(frozen=True)
class Wrote:
    """A file was written."""

    node: str
    path: Path
    rows: int


@dataclass(frozen=True)
class Note:
    """Something the author should know."""

    node: str | None
    text: str


@dataclass(frozen=True)
class Called:
    """A call came back, whatever it brought; told only of runs whose options say `detailed`."""

    call: CallRecord


@dataclass(frozen=True)
class Failed:
    """A row of a node failed; told as `Called` is."""

    node: str
    row: bytes
    reason: str


@dataclass
class Summary:
    """How a run ended."""

    run: int
    graph: str
    status: RunStatus
    seconds: float
    progress: Mapping[str, NodeProgress]
    files: list[tuple[Path, int]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    errors: list[tuple[str, str | None]] = field(default_factory=list)  # message, help
    store: Path | None = None
    crashes: list[str] = field(default_factory=list)  # tracebacks, for --debug only

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.status]

    @property
    def calls(self) -> int:
        return sum(node.calls for node in self.progress.values())

    @property
    def cost(self) -> float:
        return sum(node.cost for node in self.progress.values())

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, for `--json`."""
        return {
            "run": self.run,
            "graph": self.graph,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "calls": self.calls,
            "cost": self.cost,
            "nodes": {
                name: {
                    "state": node.state,
                    "rows": node.rows,
                    "rejected": node.rejected,
                    "failed": node.failed,
                    "calls": node.calls,
                    "cached": node.cached,
                    "tokens_in": node.tokens_in,
                    "tokens_out": node.tokens_out,
                    "cost": node.cost,
                }
                for name, node in self.progress.items()
            },
            "files": [{"path": str(path), "rows": rows} for path, rows in self.files],
            "notes": [note.text for note in self.notes],
            "errors": [message for message, _ in self.errors],
        }


Event = Started | Changed | Wrote | Note | Called | Failed
Listener = Callable[[Event], None]
