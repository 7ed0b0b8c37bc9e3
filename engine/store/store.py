"""`Store`: what the engine writes to and reads from while it plans and runs a graph.

It ties the parts together and holds what is known of the graph at hand. How a row becomes Arrow,
a view SQL, or a change a commit is told in `tables`, `views` and `writer`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from engine.store import failures, memo, snapshots, stretches, tables
from engine.store.attach import attach, damage, detach, in_memory, is_full, make_folder, mended
from engine.store.columns import arrow_table, long_integers, uuids
from engine.store.errors import StoreError
from engine.store.journal import Journal, discard, take_in, waiting
from engine.store.known import KnownKeys
from engine.store.reads import Reads
from engine.store.records import (
    CallRecord,
    Description,
    Memo,
    NodeState,
    Stored,
    TableSpec,
)
from engine.store.schema import CATALOG, METRIC_COLUMNS, SCHEMA, quote, table_name, text
from engine.store.server import Server
from engine.store.writer import BRIEF, WINDOW, Log, Replace, Work, Writer

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Mode = Literal["write", "read", "plan"]

__all__ = ["CallRecord", "Memo", "NodeState", "Store", "Stored", "TableSpec"]

_PLAN = "atk:plan"  # the in-memory catalog that a plan writes to


class Store(Reads):
    """One store file, opened by `Store.open`. Safe to use from many threads.

    Writing methods queue and return at once; `flush` waits for the commit. Reading methods (see
    `Reads`) block and see what is committed, except for `known`, which sees all.
    """

    def __init__(self, path: Path, mode: Mode, connection: DuckDBPyConnection, stored: bool):
        super().__init__(connection)
        self.path, self.mode = path, mode
        self.notices: list[str] = []  # what was found when it was opened, for whoever runs a graph
        self.journal = Journal(path) if mode == "write" else None
        self._on_disk = stored
        self._shapes: dict[str, tables.Shape] = {}
        self._states: dict[str, NodeState] = {}
        self._known: set[str] = set()  # graphs that were described
        self._run = 0
        self._fresh: dict[bytes, CallRecord] = {}  # usable replies that are not committed yet
        self._keys = KnownKeys()  # of committed calls
        self._keys_loaded = not self._any(f"{SCHEMA}.calls")
        self._loading = threading.Lock()
        self._server = Server(path, self._gallery) if mode == "write" else None
        self._writer = Writer(
            connection.cursor(),
            self._home,
            self._committed,
            self._explain,
            WINDOW if stored else BRIEF,
            self.journal,
        )

    # -- opening and closing -----------------------------------------------------------------

    @classmethod
    def open(cls, path: Path | str, mode: Mode = "write") -> Store:
        """Open a store file; blocking.

        `write` makes the file where there is none and serves SQL to other processes. `read`
        changes nothing. `plan` changes nothing either, but lets everything be written: a table is
        copied into memory when it is first written to.

        Raises `StoreMissing` (only `read`), `StoreBusy` where another process writes, or
        `StoreError` where the file cannot be used.
        """
        path, told = Path(path), None
        if mode == "write":
            make_folder(path.parent)
            told = mended(path)
        stored = mode != "plan" or path.exists()
        if not stored:
            connection = in_memory()
        else:
            connection = attach(path, "write" if mode == "write" else "read", sandbox=False)
        try:
            if stored and mode == "plan":
                connection.execute(f"ATTACH ':memory:' AS {quote(_PLAN)}")
                connection.execute(f"CREATE SCHEMA {quote(_PLAN)}.data")
            connection.execute("SET python_enable_replacements = false")
            connection.execute("SET enable_external_access = false")
            store = cls(path, mode, connection, stored)
        except BaseException:
            detach(connection, path)
            raise
        store.notices += [told] if told else []
        try:
            store._take_in(waiting(path) if stored and mode != "read" else [])
        except BaseException:
            store.close()
            raise
        return store

    def _take_in(self, calls: Sequence[tuple[int, CallRecord]]) -> None:
        """Replies that an earlier run had not committed: into the table, or for a plan into its memory."""
        if self.journal is None:
            self._fresh.update({call.key: call for _, call in calls if call.status in memo.USABLE})
            return
        if calls:
            taken = self._writer.call(Work(lambda c: take_in(c, calls)))
            self._keys.add([call.key for _, call in calls])
            if taken:
                self.notices.append(f"replies that an earlier run had not committed were taken in: {taken}")
        discard(self.path)
        self.journal.hold()

    def close(self) -> None:
        """Commit what is queued and give the file back. Never raises: `flush` tells what went wrong."""
        import duckdb

        if self._server is not None:
            self._server.close()
        self._writer.close()
        if self.journal is not None:
            self.journal.close()
        if self.mode == "write":
            with contextlib.suppress(duckdb.Error):  # the log is replayed by whoever opens next
                self._connection.execute(f"CHECKPOINT {CATALOG}")
        deadline = time.monotonic() + 10
        while True:
            self._gallery.interrupt()  # whoever still reads reads for a run that is over
            try:
                detach(self._connection, self.path)
                break
            except duckdb.Error:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.02)
        with contextlib.suppress(OSError):
            self.path.with_suffix(".spill").rmdir()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- the graph ---------------------------------------------------------------------------

    def describe(
        self,
        graph: str,
        specs: Sequence[TableSpec],
        aliases: Mapping[str, str],
        *,
        left: Collection[str] = (),
        read: Collection[str] = (),
    ) -> None:
        """Declare a graph's tables and show its views; blocking.

        A table whose columns differ from those declared is made anew, and its node's state is
        forgotten: what was paid for stays in `calls`. One that is `left` (nobody writes to it now) is
        not: it stays as it is, and is not shown until it is declared again to be written. Raises
        `StoreError` where names collide, or where such a table is to be `read`.
        """
        description = Description(graph, {spec.node: spec for spec in specs}, dict(aliases))
        tables.check_names(description)
        self._writer.call(
            Work(
                lambda connection: self._declare(
                    connection, tables.without_unfit(connection, description, left, read)
                ),
                alone=True,
            )
        )

    def _declare(self, connection: DuckDBPyConnection, description: Description) -> None:
        graph = description.graph
        stored = [spec for spec in description.tables.values() if spec.passes is None]
        declared = {(s.node, name): kind for s in stored for name, kind in tables.columns(s).items()}
        exact = tables.canonical(connection, declared)
        found = tables.existing(connection, CATALOG, graph) if self._on_disk or graph in self._known else {}
        self._known.add(graph)
        target = _PLAN if self.mode == "plan" and self._on_disk else CATALOG
        if self.mode == "read":
            target = CATALOG
        homes, made = {}, []
        connection.execute("BEGIN TRANSACTION")
        try:
            for spec in stored:
                wanted = {name: exact[spec.node, name] for name in tables.columns(spec)}
                fits = found.get(table_name(graph, spec.node)) == wanted
                if not fits:
                    if self.mode == "read":
                        raise StoreError(f"the store has no table for {spec.node!r} as it is now")
                    tables.create(connection, target, spec)
                    made.append(spec.node)
                place = CATALOG if fits else target
                homes[spec.node] = f"{quote(place)}.data.{quote(table_name(graph, spec.node))}"
            if self.mode == "write":
                self._save_description(connection, description, made)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        self._description, self._homes, self._shapes = description, homes, {}
        self._filled = {node for node, home in homes.items() if node not in made and self._any(home)}
        self._states = self._load_states(connection, graph, set(made))
        self._gallery.refresh(description, self._homes.__getitem__)

    def _save_description(
        self, connection: DuckDBPyConnection, description: Description, made: Sequence[str]
    ) -> None:
        graph = description.graph
        for node in made:
            connection.execute(f"DELETE FROM {SCHEMA}.states WHERE graph = ? AND node = ?", [graph, node])
        connection.execute(f"DELETE FROM {SCHEMA}.graphs WHERE graph = ?", [graph])
        connection.execute(
            f"INSERT INTO {SCHEMA}.graphs VALUES (?, ?, ?)",
            [graph, json.dumps(description.as_dict()), _now()],
        )

    def _load_states(
        self, connection: DuckDBPyConnection, graph: str, made: set[str]
    ) -> dict[str, NodeState]:
        rows = connection.execute(
            "SELECT node, static::BLOB, complete, complete_run, changed_run, info"
            f" FROM {SCHEMA}.states WHERE graph = ?",
            [graph],
        ).fetchall()
        return {
            node: NodeState(static, complete, complete_run, changed_run, json.loads(info))
            for node, static, complete, complete_run, changed_run, info in rows
            if node not in made
        }

    def remembered(self, graph: str) -> dict[str, NodeState]:
        """The states of a graph's nodes, described or not; blocking."""
        cursor = self._gallery.bare()
        try:
            return self._load_states(cursor, graph, set())
        finally:
            cursor.close()

    def failed(self, graph: str) -> dict[str, int]:
        """How many rows of each node failed, described or not; blocking."""
        cursor = self._gallery.bare()
        try:
            found = {}
            for table in tables.existing(cursor, CATALOG, graph):
                rows = f"FROM {SCHEMA}.{quote(table)} WHERE _died IS NULL AND _status = 'failed'"
                count = cursor.execute(f"SELECT count(*) {rows}").fetchall()[0][0]
                found[table.removeprefix(f"{graph}.")] = int(count)
            return found
        finally:
            cursor.close()

    def failures(self, graph: str) -> list[failures.Failures]:
        """What failed for good in the nodes of a graph that have such rows; blocking."""
        cursor = self._gallery.bare()
        try:
            found = [
                failures.look(cursor, table.removeprefix(f"{graph}."), f"{SCHEMA}.{quote(table)}")
                for table in tables.existing(cursor, CATALOG, graph)
            ]
            return [one for one in found if one.rows]
        finally:
            cursor.close()

    def forget_failures(self, graph: str, nodes: Sequence[str]) -> None:
        """Let the next run decide rows anew that failed for good; blocking."""

        def work(connection: DuckDBPyConnection) -> None:
            for node in nodes:
                table = f"{SCHEMA}.{quote(table_name(graph, node))}"
                failures.forget(connection, graph, node, table)

        self._writer.call(Work(work))

    def forget_graph(self, graph: str) -> None:
        """Drop a graph's tables and all that is remembered of its nodes, but not its calls; blocking."""

        def work(connection: DuckDBPyConnection) -> None:
            for table in tables.existing(connection, CATALOG, graph):
                connection.execute(f"DROP TABLE {SCHEMA}.{quote(table)}")
            for table in ("states", "stretches", "snapshots", "graphs"):
                connection.execute(f"DELETE FROM {SCHEMA}.{table} WHERE graph = ?", [graph])

        self._writer.call(Work(work))

    # -- runs and states ---------------------------------------------------------------------

    @property
    def run(self) -> int:
        """The number of the run that `begin` began; 0 before."""
        return self._run

    def begin(self, graph: str, params: Mapping[str, Any], command: str) -> int:
        """Begin a run and return its number; blocking. `params` must hold no secret.

        A run that an earlier process left unfinished is marked as interrupted.
        """
        self._run = self._writer.call(Work(lambda c: self._begin(c, graph, params, command)))
        return self._run

    def _begin(
        self, connection: DuckDBPyConnection, graph: str, params: Mapping[str, Any], command: str
    ) -> int:
        last = connection.execute(f"SELECT coalesce(max(run), 0) FROM {SCHEMA}.runs").fetchall()
        run = int(last[0][0]) + 1
        if self.mode == "write":
            connection.execute(f"UPDATE {SCHEMA}.runs SET status = 'interrupted' WHERE status = 'running'")
            connection.execute(
                f"INSERT INTO {SCHEMA}.runs (run, graph, command, started, status, params, atk)"
                " VALUES (?, ?, ?, ?, 'running', ?, ?)",
                [run, graph, command, _now(), json.dumps(dict(params), default=str), _version()],
            )
        return run

    def end(self, run: int, status: str, summary: Mapping[str, Any]) -> None:
        """Say how a run ended, after all that was queued before; blocking."""
        if self.mode == "write":
            self._writer.call(Work(lambda c: self._end(c, run, status, summary)))

    @staticmethod
    def _end(connection: DuckDBPyConnection, run: int, status: str, summary: Mapping[str, Any]) -> None:
        connection.execute(
            f"UPDATE {SCHEMA}.runs SET status = $status, ended = $ended, summary = $summary,"
            f" calls = (SELECT count(*) FROM {SCHEMA}.calls WHERE run = $run),"
            f" cost = (SELECT coalesce(sum(cost), 0) FROM {SCHEMA}.calls WHERE run = $run)"
            " WHERE run = $run",
            {
                "status": status,
                "ended": _now(),
                "summary": json.dumps(dict(summary), default=str),
                "run": run,
            },
        )

    def save_snapshot(
        self, run: int, nodes: Mapping[str, Mapping[str, str]], contents: Mapping[str, Any]
    ) -> None:
        """Remember the parts of nodes as this run leaves them; blocking. `contents` hold no secret."""
        graph = self.description.graph
        self._writer.call(Work(lambda c: snapshots.save(c, run, graph, nodes, contents)))

    def snapshot(self, graph: str, run: int) -> dict[str, dict[str, str]]:
        """By node, the parts that a run left; blocking."""
        return snapshots.load(self._reading(), graph, run)

    def contents(self, marks: Collection[str]) -> dict[str, Any]:
        """What is behind fingerprints of parts, as far as it was kept; blocking."""
        return snapshots.contents(self._reading(), marks)

    def runs(self, graph: str) -> list[tuple[int, str]]:
        """Numbers of a graph's runs and how they ended, the newest first; blocking."""
        return snapshots.runs(self._reading(), graph)

    def state(self, node: str) -> NodeState | None:
        """What is remembered of a node as a whole. Does not block."""
        return self._states.get(node)

    def save_state(self, node: str, state: NodeState) -> None:
        """Remember a node's state, committed no earlier than the rows queued before it."""
        graph = self.description.graph
        self._states[node] = state
        if self.mode == "write":
            info = json.dumps(dict(state.info), default=str)  # now: the caller may go on changing it
            self._writer.put(Work(lambda c: _write_state(c, graph, node, state, info)))

    # -- writing -----------------------------------------------------------------------------

    def replace(
        self,
        node: str,
        parents: Sequence[bytes],
        rows: Sequence[Stored],
        fresh: bool = False,
        ids: Sequence[bytes] = (),
    ) -> None:
        """Put `rows` in the place of the live rows of `parents` and of the live rows `ids`.

        `fresh` says that no such row lives, which spares looking. Rows of one call are committed
        together with the end of those that they replace.
        """
        self._writer.put(Replace(node, parents, ids, rows, fresh, self._run))

    def kill(self, node: str, ids: Sequence[bytes]) -> None:
        """End the live rows with these ids."""
        self._writer.put(Replace(node, (), ids, (), False, self._run))

    def move(self, node: str, places: Mapping[bytes, int]) -> None:
        """Give the live rows with these ids other places: their order changed, not what they are."""
        self._writer.put(Work(lambda c: self._move(c, node, places), node))

    def _move(self, connection: DuckDBPyConnection, node: str, places: Mapping[bytes, int]) -> None:
        home, _ = self._home(node)
        ids, numbers = uuids(places), long_integers(list(places.values()))
        connection.register("atk_moved", arrow_table({"id": ids, "place": numbers}))
        try:
            connection.execute(
                f"UPDATE {home} SET _place = place FROM atk_moved WHERE _id = id AND _died IS NULL"
            )
        finally:
            connection.unregister("atk_moved")

    def kill_orphans(self, node: str, *inputs: str) -> Future[int]:
        """End live rows whose parent is no live, good row of any of `inputs`; rows without a parent stay.

        The future gives their number when that is committed, which is at once: a node waits for it to end.
        """
        work = Work(lambda c: self._kill_orphans(c, node, inputs, self._run), node, urgent=True)
        self._writer.put(work)
        return work.done

    def _kill_orphans(
        self, connection: DuckDBPyConnection, node: str, inputs: Sequence[str], run: int
    ) -> int:
        home, _ = self._home(node)
        alive = " UNION ALL ".join(
            f"SELECT _id FROM {self.physical(name)} WHERE _died IS NULL AND _status = 'ok'" for name in inputs
        )
        orphan = f"NOT EXISTS (SELECT 1 FROM ({alive}) i WHERE i._id = {home}._parent)" if alive else "true"
        rows = connection.execute(
            f"UPDATE {home} SET _died = {run:d} WHERE _died IS NULL AND _parent IS NOT NULL AND {orphan}"
        ).fetchall()
        return int(rows[0][0])

    def save_stretches(
        self, node: str, kept: Collection[bytes], members: Mapping[bytes, Sequence[bytes]]
    ) -> None:
        """Remember the rows of stretches by their marks, and forget all others but those of `kept`."""
        graph = self.description.graph
        if self.mode == "write":
            self._writer.put(Work(lambda c: stretches.save(c, graph, node, kept, members)))

    def log(self, calls: Sequence[CallRecord]) -> None:
        """Keep calls; their replies are known from now on."""
        for call in calls:
            if call.status in memo.USABLE:
                self._fresh[call.key] = call
        if self.mode == "write":
            self._writer.put(Log(calls, self._run))

    def measure(self, node: str, job: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keep what a training measured at some steps; a step that was measured before is replaced."""
        graph, run = self.description.graph, self._run
        if self.mode == "write" and rows:
            self._writer.put(Work(lambda c: _write_metrics(c, run, graph, node, job, rows)))

    def paid(self, nodes: Iterable[str]) -> tuple[int, float]:
        """Calls of these nodes of the graph, over all runs, and their cost in USD; blocking."""
        named = ", ".join(text(node) for node in nodes) or "NULL"
        return self._sum_of_calls(f"graph = {text(self.description.graph)} AND run > 0 AND node IN ({named})")

    def cost_of_rows(self, nodes: Iterable[str]) -> tuple[int, float]:
        """Calls on which rows of these nodes stand now, whichever graph paid for them, and their cost in USD;
        blocking."""
        whole = [node for node in nodes if self.description.spec(node).passes is None]
        keys = [f"SELECT unnest(_calls) FROM {self.physical(node)} WHERE _died IS NULL" for node in whole]
        return self._sum_of_calls(f"key IN ({' UNION '.join(keys) or 'NULL'})")

    def _sum_of_calls(self, which: str) -> tuple[int, float]:
        if self.mode == "write":
            self.settle()
        found = f"SELECT count(*), coalesce(sum(cost), 0)::DOUBLE FROM {SCHEMA}.calls WHERE {which}"
        ((calls, cost),) = self._fetch(found)
        return int(calls), float(cost)

    async def ready(self) -> None:
        """Wait while the queue of changes is long: call it before making more."""
        await self._writer.ready()

    async def broken(self) -> StoreError:
        """Wait until nothing can be written any more, and give the reason; to be cancelled otherwise."""
        return await self._writer.broken()

    async def flush(self) -> None:
        """Wait until all that was queued is committed.

        Raises `StoreError` where it could not be: nothing is half written, what was committed stays.
        """
        work = Work(lambda _: None, urgent=True)
        self._writer.put(work)
        await asyncio.wrap_future(work.done)

    def settle(self) -> None:
        """`flush` for a thread; blocking."""
        self._writer.call(Work(lambda _: None))

    # -- the memo ----------------------------------------------------------------------------

    @property
    def knows_keys(self) -> bool:
        """Whether `may_know` can answer: `learn_keys` was called, or there were no calls to learn."""
        return self._keys_loaded

    def learn_keys(self) -> None:
        """Read the keys of all calls; blocking, 0.2 s for a million."""
        with self._loading:
            if not self._keys_loaded:
                self._keys.load(self._reading())
                self._keys_loaded = True

    def may_know(self, key: bytes) -> bool:
        """False where no call of that key was ever made; does not block. See `KnownKeys`."""
        return key in self._fresh or key in self._keys

    def known(self, keys: Sequence[bytes]) -> dict[bytes, Memo]:
        """The newest usable reply for each key that has one. Blocking, about 10 ms a batch."""
        if not self._keys_loaded:
            self.learn_keys()
        found, rest = {}, []
        for key in keys:
            call = self._fresh.get(key)
            if call is not None:
                found[key] = memo.memo_of(call)
            elif key in self._keys:
                rest.append(key)
        if rest:
            found.update(memo.look_up(self._reading(), rest))
        return found

    # -- inside ------------------------------------------------------------------------------

    def _home(self, node: str) -> tuple[str, tables.Shape]:
        """Where rows of a node are written; a plan copies the table first. In the writer's thread."""
        spec, home = self.description.tables[node], self._homes[node]
        if self.mode == "plan" and self._on_disk and not home.startswith(quote(_PLAN)):
            copy = f"{quote(_PLAN)}.data.{quote(table_name(spec.graph, node))}"
            cursor = self._connection.cursor()
            try:
                columns = ", ".join(map(quote, tables.columns(spec)))
                cursor.execute(f"CREATE TABLE {copy} AS SELECT {columns} FROM {home}")
            finally:
                cursor.close()
            self._homes[node] = home = copy
            self._gallery.refresh(self.description, self._homes.__getitem__)
        shape = self._shapes.get(node)
        if shape is None:
            cursor = self._connection.cursor()
            try:
                shape = self._shapes[node] = tables.Shape(cursor, home, spec)
            finally:
                cursor.close()
        return home, shape

    def _committed(self, calls: Sequence[CallRecord]) -> None:
        self._keys.add([call.key for call in calls])
        for call in calls:
            if self._fresh.get(call.key) is call:
                self._fresh.pop(call.key, None)

    def _explain(self, error: Exception) -> StoreError:
        if problem := damage(error, self.path):
            return problem
        message = str(error)
        if is_full(message):
            return StoreError(
                f"the disk is full: the store {self.path} cannot grow",
                "free some space and run again: all that was committed is kept, and no reply is paid twice",
            )
        if "Out of Memory" in message:
            return StoreError(f"the store ran out of memory: {message.splitlines()[0]}")
        return StoreError(f"the store {self.path} cannot be written: {message.splitlines()[0]}")


def _write_state(connection: DuckDBPyConnection, graph: str, node: str, state: NodeState, info: str) -> None:
    connection.execute(f"DELETE FROM {SCHEMA}.states WHERE graph = ? AND node = ?", [graph, node])
    connection.execute(
        f"INSERT INTO {SCHEMA}.states SELECT ?, ?, ?::BLOB::UUID, ?, ?, ?, ?",
        [graph, node, state.static, state.complete, state.complete_run, state.changed_run, info],
    )


def _write_metrics(
    connection: DuckDBPyConnection,
    run: int,
    graph: str,
    node: str,
    job: str,
    rows: Sequence[Mapping[str, Any]],
) -> None:
    """Few rows, seldom: no need of Arrow."""
    own = [
        name for name in METRIC_COLUMNS if name not in ("run", "graph", "node", "job", "more", "measured_at")
    ]
    for row in rows:
        more = {name: value for name, value in row.items() if name not in own}
        values = [run, graph, node, job, *(row.get(name) for name in own), json.dumps(more), _now()]
        kind = "eval_loss" if "eval_loss" in row else "loss"
        connection.execute(
            f"DELETE FROM {SCHEMA}.metrics WHERE graph = ? AND node = ? AND job = ? AND step = ?"
            f" AND {quote(kind)} IS NOT NULL",
            [graph, node, job, row.get("step")],
        )
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO {SCHEMA}.metrics VALUES ({marks})", values)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _version() -> str | None:
    import engine

    return getattr(engine, "__version__", None)
