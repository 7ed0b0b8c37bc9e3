"""The one thread that writes: a queue of changes, committed together every ~150 ms.

Changes take effect in the order in which they were queued, each whole or not at all. What goes
wrong stops the writer for good: nothing of the failed batch is kept, and whoever asks next is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.store.columns import arrow_table, uuids
from engine.store.errors import StoreError
from engine.store.journal import Journal
from engine.store.memo import calls_table
from engine.store.records import CallRecord, Stored
from engine.store.schema import SCHEMA
from engine.store.tables import Shape

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

WINDOW = 0.15  # seconds a change may wait for others
BRIEF = 0.005  # the same in memory, where a commit costs little
ROWS, BYTES = 4_000, 8 << 20  # a batch is committed when it holds this many changes or bytes
BACKLOG = 8_000  # changes (rows, calls) queued before `ready` makes the sender wait


@dataclass(slots=True)
class Replace:
    """Kill live rows by parent or id (unless `fresh`), then append `rows`."""

    node: str
    parents: Sequence[bytes]
    ids: Sequence[bytes]
    rows: Sequence[Stored]
    fresh: bool
    run: int


@dataclass(slots=True)
class Log:
    """Append calls."""

    calls: Sequence[CallRecord]
    run: int


@dataclass(slots=True)
class Work:
    """Anything else, on the writer's connection and in the batch's transaction; `done` gets its result."""

    work: Callable[[DuckDBPyConnection], Any]
    node: str | None = None  # whose table it changes
    alone: bool = False  # outside any transaction of ours
    urgent: bool = False  # somebody waits: commit at once
    done: Future[Any] = field(default_factory=Future)


Change = Replace | Log | Work
Home = Callable[[str], tuple[str, Shape]]  # a node -> its writable table and how its rows are built


@dataclass(slots=True)
class _Queued:
    """A change, with its size as it was when it was queued."""

    change: Change
    weight: int  # rows
    size: int  # bytes
    part: int | None = None  # of the journal, where calls are written there already


@dataclass(slots=True)
class _Batch:
    """What is to be done to one table, until something must happen before it."""

    parents: list[bytes] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    rows: list[Stored] = field(default_factory=list)
    with_parents: set[bytes | None] = field(default_factory=set)
    with_ids: set[bytes] = field(default_factory=set)


class Writer:
    """Owns the writing connection. `home` tells where a node's rows go (and may copy a table first)."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        home: Home,
        committed: Callable[[Sequence[CallRecord]], None],
        explain: Callable[[Exception], StoreError],
        window: float = WINDOW,
        journal: Journal | None = None,
    ):
        self._window, self._journal = window, journal
        self._connection, self._home = connection, home
        self._committed, self._explain = committed, explain
        self._queue: deque[_Queued] = deque()
        self._lock = threading.Lock()  # of the queue and of what is known of it
        self._some, self._enough = threading.Condition(self._lock), threading.Condition(self._lock)
        self._backlog = self._rows = self._bytes = 0  # rows not committed; rows and bytes in the queue
        self._hurry = self._closing = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self.error: StoreError | None = None
        self._broken: Future[StoreError] = Future()
        self._thread = threading.Thread(target=self._loop, name="atk-store-writer", daemon=True)
        self._thread.start()

    # -- for other threads -------------------------------------------------------------------

    def put(self, change: Change) -> None:
        """Queue a change. Raises what the writer has met, so that nobody goes on paying.

        Calls are paid for already: they are written to the journal before anything else, and stay
        there then.
        """
        part = None
        if isinstance(change, Log) and self._journal is not None:
            if self.error is not None:
                self._journal.rescue(change.calls, change.run)
                return
            part = self._journal.keep(change.calls, change.run)
        elif self.error is not None:
            raise self.error
        queued = _Queued(change, _weight(change), _size(change), part)
        with self._lock:
            self._backlog += queued.weight
            self._rows += queued.weight
            self._bytes += queued.size
            self._queue.append(queued)
            # The thread is woken twice a batch and not for every change: each time takes the
            # interpreter from the event loop, which at thousands of rows a second is what shows.
            if len(self._queue) == 1:
                self._some.notify()
            if _stops(change):
                self._hurry = True
            if self._is_enough():
                self._enough.notify()

    def call(self, work: Work) -> Any:
        """Queue work and wait until it is committed; returns its result. Blocking."""
        work.urgent = True
        self.put(work)
        return work.done.result()

    async def ready(self) -> None:
        """Wait while the queue is long."""
        with self._lock:
            if self._backlog <= BACKLOG or self.error is not None:
                return
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            self._waiting.append((loop, future))
        await future

    async def broken(self) -> StoreError:
        """Wait until the writer cannot go on; may be cancelled."""
        return await asyncio.shield(asyncio.wrap_future(self._broken))

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        with self._lock:
            self._closing = True
            self._some.notify()
            self._enough.notify()
        self._thread.join()

    # -- the thread --------------------------------------------------------------------------

    def _loop(self) -> None:
        while batch := self._gather():
            self._settle(batch)
            self._release(sum(queued.weight for queued in batch))

    def _gather(self) -> list[_Queued]:
        """Changes for one commit: none when the writer is closed and all is written."""
        with self._lock:
            self._some.wait_for(lambda: self._queue or self._closing)
            self._enough.wait_for(self._is_enough, self._window)
            batch: list[_Queued] = []
            rows = size = 0
            while self._queue and rows < ROWS and size < BYTES:
                queued = self._queue.popleft()
                batch.append(queued)
                rows, size = rows + queued.weight, size + queued.size
                if _stops(queued.change):
                    break
            self._rows, self._bytes = self._rows - rows, self._bytes - size
            self._hurry = self._hurry and any(_stops(queued.change) for queued in self._queue)
        if self._journal is not None:
            self._journal.turn()
        return batch

    def _is_enough(self) -> bool:
        """Whether to commit without waiting for more."""
        return self._hurry or self._closing or self._rows >= ROWS or self._bytes >= BYTES

    def _settle(self, batch: list[_Queued]) -> None:
        last = batch[-1].change
        alone = last if isinstance(last, Work) and last.alone else None
        changes = [queued.change for queued in (batch[:-1] if alone else batch)]
        results: list[tuple[Work, Any]] = []
        try:
            if self.error is not None:
                raise self.error
            # A plan may copy a table here, which must not be part of the batch's transaction.
            for node in {c.node for c in changes if isinstance(c, Replace | Work) and c.node is not None}:
                self._home(node)
            if changes:
                self._connection.execute("BEGIN TRANSACTION")
                self._apply(changes, results)
                self._connection.execute("COMMIT")
                self._committed([call for c in changes if isinstance(c, Log) for call in c.calls])
        except Exception as error:
            self._fail(error, batch)
            return
        for queued in batch:
            if self._journal is not None and queued.part is not None:
                self._journal.settle(queued.part, queued.weight)
        for work, result in results:
            _resolve(work, result)
        if alone is not None:
            self._do_alone(alone)

    def _do_alone(self, work: Work) -> None:
        try:
            result = work.work(self._connection)
        except StoreError as refusal:  # refused as a whole: the store itself is sound
            _resolve(work, error=refusal)
        except Exception as error:
            self._fail(error, [_Queued(work, 0, 0)])
        else:
            _resolve(work, result)

    def _fail(self, error: Exception, batch: list[_Queued]) -> None:
        import duckdb

        # Where no transaction is open, or DuckDB has shut the file, there is nothing to roll back.
        with contextlib.suppress(duckdb.Error):
            self._connection.execute("ROLLBACK")
        if self.error is None:
            self.error = error if isinstance(error, StoreError) else self._explain(error)
            self._broken.set_result(self.error)
        for queued in batch:
            change = queued.change
            if isinstance(change, Work):
                _resolve(change, error=self.error)
            elif isinstance(change, Log) and self._journal is not None and queued.part is None:
                self._journal.rescue(change.calls, change.run)

    def _release(self, weight: int) -> None:
        with self._lock:
            self._backlog -= weight
            if self._backlog > BACKLOG // 2 and self.error is None:
                return
            waiting, self._waiting = self._waiting, []
        for loop, future in waiting:
            try:
                loop.call_soon_threadsafe(_wake, future)
            except RuntimeError:
                continue  # its loop has ended

    def _apply(self, changes: Sequence[Change], results: list[tuple[Work, Any]]) -> None:
        tables: dict[str, _Batch] = {}
        logs: list[Log] = []
        run = 0
        for change in changes:
            if isinstance(change, Log):
                logs.append(change)
            elif isinstance(change, Work):
                self._drain(tables, logs, run)
                results.append((change, change.work(self._connection)))
            else:
                if change.run != run:
                    self._drain(tables, logs, run)
                    run = change.run
                self._collect(tables, change)
        self._drain(tables, logs, run)

    def _collect(self, tables: dict[str, _Batch], change: Replace) -> None:
        """Add to what is done at once, unless it would end rows that are not written yet."""
        table = tables.setdefault(change.node, _Batch())
        if not change.fresh:
            if not table.with_parents.isdisjoint(change.parents) or not table.with_ids.isdisjoint(change.ids):
                self._write(change.node, table, change.run)
                table = tables[change.node] = _Batch()
            table.parents.extend(change.parents)
            table.ids.extend(change.ids)
        table.rows.extend(change.rows)
        table.with_parents.update(row.parent for row in change.rows)
        table.with_ids.update(row.id for row in change.rows)

    def _drain(self, tables: dict[str, _Batch], logs: list[Log], run: int) -> None:
        for node, table in tables.items():
            self._write(node, table, run)
        tables.clear()
        for number in dict.fromkeys(log.run for log in logs):
            calls = [call for log in logs if log.run == number for call in log.calls]
            self._insert(f"{SCHEMA}.calls", calls_table(calls, number))
        logs.clear()

    def _write(self, node: str, batch: _Batch, run: int) -> None:
        home, shape = self._home(node)
        for column, values in (("_parent", batch.parents), ("_id", batch.ids)):
            if values:
                self._kill(home, column, values, run)
        if batch.rows:
            self._insert(home, shape.table(batch.rows, run))

    def _kill(self, home: str, column: str, values: list[bytes], run: int) -> None:
        self._connection.register("atk_batch", arrow_table({"id": uuids(values)}))
        try:
            self._connection.execute(
                f"UPDATE {home} SET _died = {run:d}"
                f" WHERE _died IS NULL AND {column} IN (SELECT id FROM atk_batch)"
            )
        finally:
            self._connection.unregister("atk_batch")

    def _insert(self, home: str, rows: Any) -> None:
        self._connection.register("atk_batch", rows)
        try:
            self._connection.execute(f"INSERT INTO {home} BY NAME SELECT * FROM atk_batch")
        finally:
            self._connection.unregister("atk_batch")


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _resolve(work: Work, result: Any = None, error: Exception | None = None) -> None:
    """Tell whoever waits; they may have given up in the meantime."""
    with contextlib.suppress(InvalidStateError):
        if error is None:
            work.done.set_result(result)
        else:
            work.done.set_exception(error)


def _stops(change: Change) -> bool:
    return isinstance(change, Work) and (change.alone or change.urgent)


def _weight(change: Change) -> int:
    if isinstance(change, Replace):
        return len(change.rows) + len(change.parents) // 16 + 1
    return len(change.calls) if isinstance(change, Log) else 1


def _size(change: Change) -> int:
    """Bytes, roughly: what is long is text."""
    if isinstance(change, Replace):
        return sum(200 + sum(map(_length, row.own.values())) for row in change.rows)
    if isinstance(change, Log):
        return sum(300 + len(call.request) + len(call.reply or "") for call in change.calls)
    return 0


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | tuple):
        return sum(map(_length, value))
    return sum(map(_length, value.values())) if isinstance(value, dict) else 8
