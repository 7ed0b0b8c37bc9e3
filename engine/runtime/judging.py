"""Judges of a model in training: the part of the graph beneath its replies, run on one batch at a time.

The nodes are those of the graph, and so are the calls: they go through the memo, the limits and the
ledger of the run, under the names of the nodes. Only the tables of a batch are kept in memory and
forgotten. Once the model is trained the same nodes run over all its replies, and pay for none of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as NotYet
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from engine.kinds.base import Row
from engine.kinds.replies import RepliesSettings, routed
from engine.language.program import Node, Program
from engine.models.base import Reply, Request
from engine.runtime.calls import Calls
from engine.runtime.engine import Engine
from engine.runtime.events import NodeProgress
from engine.runtime.statics import parts_of, static_of
from engine.runtime.trial import GIVEN, Given, GivenStation, Shared, on_trial
from engine.store.keys import fingerprint
from engine.store.store import Store

if TYPE_CHECKING:
    from engine.runtime.station import Station

LOOK = 0.2  # seconds between looks whether the run winds down


def judges(program: Program, train: str) -> list[str]:
    """The nodes between the replies of a `train` node and their rewards, in an order in which they run."""
    import networkx

    rewarded = f"{train}.rewarded"
    if rewarded not in program.nodes:
        return []
    replies = {name for name in program.nodes[rewarded].ancestors if program.nodes[name].kind == "replies"}
    below = set().union(*(networkx.descendants(program.dag, name) for name in replies))
    above = networkx.ancestors(program.dag, rewarded) | {rewarded}
    return [name for name in program.nodes if name in below & above and name not in replies]


def identity_of_judges(program: Program, train: str) -> str:
    """A hash of all that decides what the replies of a `train` node are worth."""
    from engine.kinds import registry

    kinds = registry()
    nodes = [program.nodes[name] for name in judges(program, train)]
    return fingerprint(
        [static_of(parts_of(program, node, kinds[node.kind].working(node))) for node in nodes]
    ).hex()


class Judge:
    """Rewards for the replies to the prompts of one `train` node. To be closed."""

    def __init__(self, engine: Engine, train: Node, loop: asyncio.AbstractEventLoop):
        self.engine, self.train, self.loop = engine, train, loop
        self.path = judges(engine.program, train.name)
        self.rewarded = f"{train.name}.rewarded"
        nodes = engine.program.nodes
        self.given = [name for name in nodes[self.rewarded].ancestors if nodes[name].kind == "replies"]
        self.above = [name for name in nodes[self.given[0]].ancestors if name not in self.given]
        tables = [*self.given, *self.above]
        self.program = replace(
            on_trial(engine.program, self.path, dict.fromkeys(tables)), models=engine.program.models
        )
        self.shared = Shared()

    @property
    def identity(self) -> str:
        """A hash of all that decides what is rewarded: prompts, models, queries, weights."""
        return identity_of_judges(self.engine.program, self.train.name)

    def rewards(self, rows: Sequence[Row]) -> list[tuple[dict[str, float | None], str | None]]:
        """What each reply is worth to each of its judges, and why one that owes a reward gives none.

        `rows` are those of the table of replies. Blocking, from a thread; raises `Stopping` when the run
        winds down.
        """
        asked = asyncio.run_coroutine_threadsafe(self.judged(rows), self.loop)
        while True:
            with contextlib.suppress(NotYet):
                return asked.result(LOOK)
            if asked.done():
                return asked.result()

    async def judged(self, rows: Sequence[Row]) -> list[tuple[dict[str, float | None], str | None]]:
        store = await asyncio.to_thread(Store.open, Path(f"{self.engine.options.store}.none"), "plan")
        try:
            batch = Batch(self, store, rows)
            summary = await batch.run()
            self.engine.heed()
            self.engine.crashes.extend(batch.crashes)
            trouble = next((message for message, _ in summary.errors), None)
            return await asyncio.to_thread(self.told, batch, rows, trouble)
        finally:
            await asyncio.to_thread(store.close)

    def told(
        self, batch: Batch, rows: Sequence[Row], trouble: str | None
    ) -> list[tuple[dict[str, float | None], str | None]]:
        """The rewards of a batch; without its row in the last table, its judging came to nothing."""
        replies = f"{self.train.name}.replies"
        found = {row.ids[replies]: row.columns["rewards"] or () for row in batch.rows_of(self.rewarded)}
        reasons: dict[bytes, str] | None = None
        made: list[tuple[dict[str, float | None], str | None]] = []
        for row in rows:
            parts = {one["name"]: one["reward"] for one in found.get(row.id, ())}
            why: str | None = None
            if row.id not in found:
                why = trouble or "the judges did not finish"
            elif not parts:
                why = "no judge is named for it"
            elif None in parts.values():
                reasons = self.reasons(batch) if reasons is None else reasons
                name = next(name for name, reward in parts.items() if reward is None)
                why = reasons.get(row.id) or trouble or f"`{name}` gave none"
            made.append((parts, why))
        return made

    def reasons(self, batch: Batch) -> dict[bytes, str]:
        """Why rows of the judges were refused or failed, by the replies that they come of."""
        found: dict[bytes, str] = {}
        for name in self.path:
            for fate in ("rejected", "failed"):
                for _, _, ids, reason in batch.store.told(name, fate):
                    for replies in self.given:
                        if replies in ids:
                            found.setdefault(ids[replies], f"`{name}`: {reason}")
        return found

    def close(self) -> None:
        """Give connections back."""
        self.shared.close()


class Batch(Engine):
    """One run of the judges."""

    def __init__(self, judge: Judge, store: Store, rows: Sequence[Row]):
        outer = judge.engine
        super().__init__(
            judge.program, replace(outer.options, select=()), {**outer.kinds, GIVEN: Given()}, store
        )
        self.gates.expressions = judge.shared.values
        self.calls = Through(outer, self)
        self.seed = outer.seed
        self.given: dict[str, list[tuple[Mapping[str, Any], Mapping[str, bytes]]]] = {}
        for name in judge.given:
            settings = cast(RepliesSettings, outer.program.nodes[name].settings)
            self.given[name] = [
                (row.columns, {**row.ids, name: row.id})
                for row in rows
                if settings.only is None or settings.only in routed(row, settings.route)
            ]
        for name in judge.above:
            firsts = {row.ids[name]: row for row in rows if name in row.ids}
            self.given[name] = [(row.columns, row.ids) for row in firsts.values()]

    def station(self, node: Node) -> Station:
        if node.kind != GIVEN:
            return super().station(node)
        kind = self.kinds[GIVEN]
        made = GivenStation(self, node, kind, parts_of(self.program, node, kind))
        made.rows = self.given[node.name]
        return made

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """They are the outer run's."""
        yield


class Through(Calls):
    """Calls that the outer run makes, counts and keeps."""

    def __init__(self, outer: Engine, inner: Engine):
        super().__init__(outer.store, outer.open_model, outer.program.name, False)
        self.outer, self.inner = outer, inner

    async def ask(
        self,
        progress: NodeProgress,
        name: str,
        request: Request,
        row: Row,
        role: str,
        attempt: int,
        depth: int,
    ) -> tuple[Reply, bytes]:
        station = self.outer.stations.get(progress.name)
        counted = station.progress if station is not None else progress
        if station is not None and counted.started is None:
            counted.started = time.monotonic()
        return await self.outer.calls.ask(counted, name, request, row, role, attempt, depth)

    async def close(self) -> None:
        """The connections are the outer run's."""
