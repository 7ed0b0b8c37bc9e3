"""Stations whose node works row by row: rows go on as soon as they are decided."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from engine.kinds.base import KindError, Made, Outcome, Row, RowKind
from engine.language.program import Clause, Node
from engine.models.base import Reply, Request
from engine.runtime.calls import Down, Stopping, Unpaid
from engine.runtime.channel import Channel
from engine.runtime.context import NodeContext
from engine.runtime.gates import does_not_hold, held, not_worked_out
from engine.runtime.station import Result, Station
from engine.store.errors import StoreError
from engine.store.keys import fingerprint
from engine.store.records import PastRow

if TYPE_CHECKING:
    from engine.runtime.engine import Engine

FIRST = 20
"""A node stops itself when more than half of its first so many rows have failed."""


class RowContext(NodeContext):
    """The context of one row of a row-wise node."""

    def __init__(self, station: RowStation, lets: Mapping[str, Any]):
        super().__init__(station)
        self.lets, self.rows_station, self.prepared = lets, station, station.prepared

    async def ask(
        self, model: str, request: Request, row: Row, role: str, attempt: int
    ) -> tuple[Reply, bytes]:
        return await self.engine.calls.ask(
            self.rows_station.progress, model, request, row, role, attempt, self.rows_station.depth
        )

    async def hold(
        self, clauses: Sequence[Clause], rows: Sequence[Mapping[str, Any]]
    ) -> list[list[str | None]]:
        return await held(self.engine.gates, clauses, rows, self.rows_station.types)

    async def evaluate(self, clauses: Sequence[Clause], row: Row) -> list[Any]:
        """What expressions come to over a row; an exception in place of a value."""
        types = self.rows_station.types_before
        needed = {name: types[name] for name in sorted({name for clause in clauses for name in clause.reads})}
        values = {**row.columns, **self.lets}
        found = await self.engine.gates.values([clause.sql for clause in clauses], [values], needed)
        return list(found[0])


class RowStation(Station):
    """Takes rows from its inbox and from what the store says is undecided."""

    def __init__(self, engine: Engine, node: Node, kind: RowKind, parts: Mapping[str, str], window: int):
        super().__init__(engine, node, kind, parts)
        self.inbox = Channel()
        self.prepared = kind.prepare(node)
        self.window = window  # rows that may be under way
        self.waiting: deque[tuple[Row, Mapping[str, Any], bytes]] = deque()  # rows that nobody works on yet
        self.room = asyncio.Event()  # set whenever one of them is begun
        self.tasks: set[asyncio.Task[None]] = set()
        self.blocking, self.work_on, self.work_now = kind.blocking, kind.work, kind.work_now
        self.context = RowContext(self, {})  # of all rows, where there is no `let`
        self.types_before: dict[str, str] = {}  # in scope before the call: the input's columns and `let`s
        self.types: dict[str, str] = {}  # in scope after it: the reply's fields over those
        self.lets_at_work = node.of("let")
        self.wheres = node.of("where")
        self.had_rows = False
        self.failures: Counter[str] = Counter()
        self.decided_by_work = 0
        self.retry_left = 0
        self.passing = {  # ancestors that are skipped, and whose rows theirs are
            name: engine.behind(name) for name in node.ancestors if engine.program.nodes[name].skipped
        }
        self.unpaid: set[bytes] = set()  # dry run: seen, and left undecided
        self.cached_columns: tuple[str, ...] | None = None

    # -- life ------------------------------------------------------------------------------------

    async def work(self) -> Result:
        source = self.upstream[0]
        self.types_before, self.types = self.engine.types_in_scope(self)
        if await self.nothing_to_do(source):
            return await self.skip()
        counts = await asyncio.to_thread(self.store.counts, self.node.name)
        self.had_rows = counts.get("ever", 0) > 0
        self.begin()
        try:
            finished = await self.rows_through(source)
        except asyncio.CancelledError:
            for task in self.tasks:  # stopped at once: what is in flight is not waited for
                task.cancel()
            raise
        finally:
            self.inbox.abandon()
            await self.drain()
        if self.result is not None:
            return self.result
        self.engine.heed()
        if not finished:
            raise Stopping(self.progress.reason or "its input did not finish")
        if not self.estimated:
            ended: Future[Any] = self.store.kill_orphans(self.node.name, source.node.name)
            self.changed = bool(await asyncio.wrap_future(ended)) or self.changed
        self.info["retry"] = self.retry_left
        self.remember_figures()
        return await self.complete()

    async def rows_through(self, source: Station) -> bool:
        """All rows of the input, those that stand and those that come; False if it did not finish."""
        whole = self.takes_whole_input  # what is sampled by number must know all rows first
        if source.stable and not whole:
            await self.backlog(source)
        async for rows in self.inbox.batches():
            if not whole:
                await self.take(rows)
        finished = await self.inputs_finished()
        if finished:
            await self.drain()
            await self.store.flush()
            if self.had_rows and self.engine.listener is not None:
                waiting = (self.node.name, source.node.name, self.static, self.engine.run_number)
                left = await asyncio.to_thread(self.store.count_pending, *waiting)
                self.progress.total = self.progress.rows_in + left
            await self.backlog(source)
            await self.drain()
        return finished

    async def nothing_to_do(self, source: Station) -> bool:
        """Whether the input stands as it did; known as soon as it has ended without a row for us."""
        if not self.same or self.info.get("retry"):
            return False
        while not source.finished.is_set() and not self.inbox.rows and not self.inbox.closed:
            self.inbox.filled.clear()
            waiting = [
                asyncio.create_task(source.finished.wait()),
                asyncio.create_task(self.inbox.filled.wait()),
            ]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
        if self.inbox.rows:
            return False
        await source.finished.wait()
        return self.unchanged()

    @property
    def takes_whole_input(self) -> bool:
        sample = getattr(self.node.settings, "sample", None)
        return sample is not None and sample >= 1

    async def backlog(self, source: Station) -> None:
        """Rows of the input that stand in the store and are not decided yet."""
        chosen = await self.sampled(source) if self.takes_whole_input else None
        pending = self.store.pending(self.node.name, source.node.name, self.static, self.engine.run_number)
        iterator = iter(pending)
        while batch := await asyncio.to_thread(next, iterator, None):
            await self.take([Row(*entry) for entry in batch if entry[0] not in self.unpaid], chosen)

    async def sampled(self, source: Station) -> set[bytes]:
        """The rows that `sample = n` takes: the n smallest hashes of their ids, whatever their order."""
        ids = await asyncio.to_thread(self.store.live_ids, source.node.name)
        ranked = sorted(ids, key=lambda row_id: fingerprint(self.engine.seed, row_id))
        chosen = set(ranked[: int(self.node.settings.sample)])  # type: ignore[attr-defined]
        stale = await asyncio.to_thread(self.store.parents, self.node.name)
        wrong = [
            row_id
            for row_id, (parent, status) in stale.items()
            if (status == "skipped") == (parent in chosen)
        ]
        if wrong:
            self.store.kill(self.node.name, wrong)
            await self.store.flush()
        return chosen

    # -- rows in -----------------------------------------------------------------------------------

    async def take(self, rows: Sequence[Row], chosen: set[bytes] | None = None) -> None:
        """Gates before the call, then the memo of rows, then work."""
        self.engine.heed()
        if self.passing:
            rows = [Row(row.id, row.rev, row.columns, self.all_ids(row)) for row in rows]
        passed: list[tuple[Row, dict[str, Any]]] = []
        for row, lets, out in await self.gated(rows):
            if out is None and (reason := self.not_sampled(row, chosen)) is not None:
                out = Made({}, "skipped", reason)
            if out is None:
                passed.append((row, lets))
            else:
                await self.finish(row, Outcome([out]), None)
        keys = {row.id: self.row_key(row, lets) for row, lets in passed}
        known: Mapping[bytes, Sequence[PastRow]] = {}
        if self.had_rows and passed:
            known = await asyncio.to_thread(self.store.outcomes, self.node.name, list(set(keys.values())))
        loop = asyncio.get_running_loop()
        for row, lets in passed:
            key = keys[row.id]
            if key in known:
                await self.finish(row, remembered(known[key]), key, worked=False)
                continue
            while len(self.waiting) >= self.window and not self.halted():
                self.room.clear()
                await self.room.wait()
            if self.halted():
                raise Stopping(self.engine.stopping or self.progress.reason or "stopped")
            self.waiting.append((row, lets, key))
            if len(self.tasks) < self.window:
                task = loop.create_task(self.decide_waiting())
                self.tasks.add(task)
                task.add_done_callback(self.decided)

    def all_ids(self, row: Row) -> dict[str, bytes]:
        """A row's ids, under the names of skipped nodes too that it has passed."""
        return row.ids | {name: row.ids[real] for name, real in self.passing.items() if real in row.ids}

    async def gated(self, rows: Sequence[Row]) -> list[tuple[Row, dict[str, Any], Made | None]]:
        """For each row its `let`s, and what it comes to where it is not sent.

        A row that a `where` leaves out is skipped; one over which a clause cannot be worked out has failed.
        """
        if not self.wheres and not self.lets_at_work:
            return [(row, {}, None) for row in rows]
        lets: list[dict[str, Any]] = [{} for _ in rows]
        out: list[Made | None] = [None for _ in rows]
        groups = [*([clause] for clause in self.lets_at_work), *([self.wheres] if self.wheres else [])]
        for clauses in groups:  # in order: a `let` may read those before it
            named = sorted({name for clause in clauses for name in clause.reads})
            needed = {name: self.types_before[name] for name in named if name in self.types_before}
            left = [place for place, made in enumerate(out) if made is None]
            seen = [{**rows[place].columns, **lets[place]} for place in left]
            found = await self.engine.gates.values([clause.sql for clause in clauses], seen, needed)
            for place, values in zip(left, found, strict=True):
                for clause, value in zip(clauses, values, strict=True):
                    if isinstance(value, Exception):
                        out[place] = Made({}, "failed", not_worked_out(clause, value))
                    elif clause.word == "let":
                        lets[place][str(clause.name)] = value
                    elif value is not True:
                        out[place] = Made({}, "skipped", clause.otherwise or does_not_hold(clause))
                    if out[place] is not None:
                        break
        return list(zip(rows, lets, out, strict=True))

    def not_sampled(self, row: Row, chosen: set[bytes] | None) -> str | None:
        share = getattr(self.node.settings, "sample", None)
        if chosen is not None:
            return None if row.id in chosen else "not in the sample"
        if share is None or share >= 1:
            return None
        drawn = int.from_bytes(fingerprint(self.engine.seed, row.id)[:8], "big") / 2**64
        return None if drawn < share else "not in the sample"

    def row_key(self, row: Row, lets: Mapping[str, Any]) -> bytes:
        """Level two of the memo: the static part and the columns that the outcome depends on."""
        if self.cached_columns is None:
            reads = self.kind.reads(self.node)
            self.cached_columns = tuple(sorted(row.columns if reads is None else reads & row.columns.keys()))
        columns = row.columns
        return fingerprint(self.static, [columns[name] for name in self.cached_columns], list(lets.values()))

    # -- rows out -----------------------------------------------------------------------------------

    async def decide(self, row: Row, lets: Mapping[str, Any], key: bytes) -> None:
        """What one row comes to, whatever that is: it takes nothing else with it."""
        context = self.context if not lets else RowContext(self, lets)
        try:
            if self.blocking:
                outcome = await asyncio.to_thread(self.work_now, row, context)
            else:
                outcome = await self.work_on(row, context)
            await self.finish(row, outcome, key)
        except Unpaid:
            self.unpaid.add(row.id)
            self.missing += 1
            self.estimated = True
        except Stopping:
            pass  # undecided: the next run takes it up
        except StoreError:
            pass  # nothing can be written any more: the engine hears of it from the store
        except Down as down:
            self.fail_node(
                f"`{self.node.name}` stopped: {down}",
                "rows that were not asked yet stay undecided; the same command goes on from here",
            )
        except KindError as error:
            self.fail_node(error.message, error.help)
        except Exception as error:
            self.engine.crash(self.node.name, error)
            self.fail_node(str(error), None, told=True)

    async def decide_waiting(self) -> None:
        """One row after another, as long as there are any: a task for each would cost 10 us of CPU."""
        while self.waiting and not self.halted():
            waiting = self.waiting.popleft()
            self.room.set()
            await self.decide(*waiting)
        if task := asyncio.current_task():
            self.tasks.discard(task)  # now: a row that comes before it has ended would be left to it

    def halted(self) -> bool:
        """Whether no further row is to be begun."""
        return self.result is not None or self.engine.stopping is not None

    def decided(self, task: asyncio.Task[None]) -> None:
        """The task has ended, however it did."""
        self.tasks.discard(task)
        self.room.set()

    async def finish(self, row: Row, outcome: Outcome, key: bytes | None, worked: bool = True) -> None:
        """Write what became of a row and hand its children on."""
        made = outcome.made or [Made({}, "empty")]
        written, children = [], []
        for place, item in enumerate(made):
            stored, child = self.stored(item, row, place, key=key, outcome=outcome)
            written.append(stored)
            if child is not None:
                children.append(child)
        self.changed = True
        self.store.replace(self.node.name, [row.id], written, fresh=not self.had_rows)
        self.tally(row, made, outcome, worked)
        self.engine.scopes.decided(self, row, children)
        await self.store.ready()
        if children:
            await self.emit(children)

    def tally(self, row: Row, made: Sequence[Made], outcome: Outcome, worked: bool) -> None:
        fates = [item.fate for item in made]
        self.progress.rows_in += 1
        self.progress.rows += fates.count("ok")
        self.progress.rejected += fates.count("rejected")
        self.progress.failed += fates.count("failed")
        self.retry_left += outcome.retry
        if not worked:
            return
        self.decided_by_work += "skipped" not in fates
        if "failed" in fates:
            reason = next(item.reason or "" for item in made if item.fate == "failed")
            self.failures[reason] += 1
            self.engine.failed_row(self, row, reason)
            failed = self.failures.total()
            if self.decided_by_work <= FIRST and failed > FIRST / 2:
                reason, often = self.failures.most_common(1)[0]
                self.fail_node(
                    f"`{self.node.name}` stopped itself: {failed} of its first {self.decided_by_work} rows "
                    f"failed, {often} of them so: {reason}",
                    f"look at them with `atk show {self.node.name} --failed`; the next run goes on from here",
                )

    def fail_node(self, message: str, help: str | None, told: bool = False) -> None:
        if self.result is not None:
            return
        self.end("failed", message)
        if not told:
            self.engine.error(message, help)

    async def drain(self) -> None:
        while self.tasks:
            await asyncio.wait(set(self.tasks))

    def remember_figures(self) -> None:
        """Fan-out and tokens of this node, for the estimates of later plans."""
        progress = self.progress
        if progress.calls and progress.rows_in:
            self.info["figures"] = {
                "calls": progress.calls / progress.rows_in,
                "tokens_in": progress.tokens_in / progress.calls,
                "tokens_out": progress.tokens_out / progress.calls,
            }
        if progress.rows_in:
            self.info["fan_out"] = progress.rows / progress.rows_in


def remembered(rows: Sequence[PastRow]) -> Outcome:
    """An outcome that was worked out before, for another row or an earlier version of this one."""
    return Outcome(
        [Made(dict(row.own), row.status, row.reason) for row in sorted(rows, key=lambda row: row.place)],
        calls=list(rows[0].calls),
        asked=rows[0].asked,
    )


def window_of(parallel: int) -> int:
    """How many rows a node works on at once: enough to fill its endpoint, bounded for memory."""
    return max(64, math.ceil(parallel * 1.5))
