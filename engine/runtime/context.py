"""What a kind sees of the engine while it works on one node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.kinds.base import Judging, Row
from engine.language.program import Node, Program

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.runtime.station import Station


class NodeContext:
    """Implements `engine.kinds.base.Context`."""

    def __init__(self, station: Station):
        engine = station.engine
        self.station, self.engine = station, engine
        self.node: Node = station.node
        self.program: Program = engine.program
        self.root: Path = engine.options.root
        self.out: Path = engine.options.out
        self.seed: int = engine.seed

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Rows of a query over the tables that the node may name. Blocking; on a cursor of its own."""
        return self.engine.query(self.node, sql, parameters)

    def rows(self, name: str) -> Iterator[Row]:
        """Finished rows of a node's table in canonical order."""
        return self.engine.rows_of(name)

    def counts(self, name: str) -> Mapping[str, int]:
        """Rows of a node's table by what became of them."""
        return self.engine.store.counts(name)

    def paid(self, names: Iterable[str]) -> tuple[int, float]:
        """Calls of these nodes in all runs of the graph so far, and their cost in USD."""
        return self.engine.store.paid(names)

    def cost_of_rows(self, names: Iterable[str]) -> tuple[int, float]:
        """Calls on which rows of these nodes stand, and their cost in USD."""
        return self.engine.store.cost_of_rows(names)

    def ran(self, name: str) -> bool:
        """Whether a node had its turn in this run."""
        return self.engine.stations[self.engine.behind(name)].result != "passed"

    def wrote(self, path: Path, rows: int) -> None:
        """Tell the run of a file that was written."""
        self.station.wrote(path, rows)

    def heed(self) -> None:
        """Raise when the run winds down."""
        self.engine.heed()

    def trained(self, name: str) -> Mapping[str, Any] | None:
        """The row of a `train` node that this one waits for; None in a plan that would yet train it."""
        return self.engine.trained(name)

    def judge(self) -> Judging:
        """Who rewards the replies of this `train` node."""
        from engine.runtime.judging import Judge

        return Judge(self.engine, self.node, self.engine.loop)

    def measured(self, job: str, rows: Sequence[Mapping[str, Any]], steps: int) -> None:
        """Keep what a training has measured, in the table `metrics`; the run's progress is in steps."""
        self.engine.store.measure(self.node.name, job, rows)
        progress = self.station.progress
        progress.total = steps
        progress.rows_in = max([progress.rows_in, *(row.get("step", 0) for row in rows)])

    def say(self, text: str) -> None:
        """Tell the author something."""
        self.station.publish_note(text)
