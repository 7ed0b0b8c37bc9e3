"""A run of a whole graph: one station a node, all at work at once, rows flowing between them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
import traceback
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from engine.frozen import dataclass
from engine.kinds.base import Kind, KindError, Row, RowKind
from engine.kinds.limit import Limit
from engine.language.program import ModelSpec, Node, Program
from engine.runtime.batches import Batches, Here
from engine.runtime.calls import Calls, Stopping
from engine.runtime.choice import chosen_to_run, hold, read_by
from engine.runtime.context import NodeContext
from engine.runtime.events import (
    Called,
    Changed,
    Event,
    Failed,
    Listener,
    NodeProgress,
    Note,
    RunStatus,
    Started,
    Summary,
)
from engine.runtime.expectations import where_to_look
from engine.runtime.forecast import keep_telling
from engine.runtime.gates import Gates, in_scope
from engine.runtime.groups import GroupStation, Scopes
from engine.runtime.limiting import with_limits
from engine.runtime.rounds import Rounds
from engine.runtime.rows import RowStation, window_of
from engine.runtime.sources import SourceStation
from engine.runtime.standing import StandingStation
from engine.runtime.statics import contents_of, located, models_of, parts_of
from engine.runtime.station import ENDED, Station
from engine.runtime.tables import TableStation
from engine.store.errors import StoreError
from engine.store.records import TableSpec, id_column
from engine.store.schema import quote
from engine.store.store import Store

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from engine.runtime.executors import Executor


OFF = 1.01
"""Two counts of a cost differ where one is more than so many times the other."""


@dataclass(frozen=True)
class Options:
    """How a graph is planned or run. Paths are absolute."""

    root: Path  # where the command runs; relative sources are looked for here first
    store: Path
    out: Path  # beneath which files are written
    command: str = ""  # as typed, without secrets: for `runs`
    fail_fast: bool = False  # the first failed row stops the run
    max_failures: str | None = None  # "50" rows or "2%" of a node's rows stop the run
    max_cost: float | None = None  # USD; at this much nothing new is asked
    detailed: bool = False  # the listener hears of each call and each row that failed
    select: tuple[str, ...] = ()  # only these nodes run, see `selection`; all of them where it is empty
    executor: Callable[[], Executor] | None = None  # makes who answers requests; this process where None


class Engine:
    """Runs a checked program once, for real or dry; see `execute` and `plan` in this package."""

    def __init__(
        self,
        program: Program,
        options: Options,
        kinds: Mapping[str, Kind],
        store: Store,
        listener: Listener | None = None,
        dry: bool = False,
    ):
        self.program, self.options, self.store, self.dry = program, options, store, dry
        self.listener = listener
        self.gates, self.scopes, self.rounds = Gates(), Scopes(), Rounds(self)
        # No graph may name the first; the others are not all made, which takes their imports.
        self.kinds = ChainMap[str, Kind]({Limit.name: Limit()}, cast(MutableMapping[str, Kind], kinds))
        self.selected = frozenset(program.nodes)
        self.read: frozenset[str] = frozenset()  # not selected, and read by what is
        if options.select:
            self.selected = with_limits(program, chosen_to_run(program, kinds, store, options.select))
            self.read = read_by(program, self.selected)
            hold(program, store, self.read)
        sender = Batches(options.executor, self.spec_of) if options.executor else Here()
        self.calls = Calls(store, self.open_model, program.name, dry, options.max_cost, sender)
        self.calls.on_cap = self.capped
        seed = program.params.get("seed")
        if options.detailed:
            self.calls.on_call = lambda call: self.tell(Called(call))
        self.seed = seed.value if seed is not None and isinstance(seed.value, int) else 0
        self.run_number = 0
        self.endpoints: dict[Any, Any] = {}  # connections and limits, shared by models of one endpoint
        self.stations: dict[str, Station] = {}
        self.stopping: str | None = None
        self.interrupted = False
        self.expectation: str | None = None
        self.notes: list[Note] = []
        self.errors: list[tuple[str, str | None]] = []
        self.crashes: list[str] = []

    loop: asyncio.AbstractEventLoop  # of the run, for what works in a thread

    # -- setting up --------------------------------------------------------------------------------

    def describe(self) -> None:
        """Tell the store of every table of this graph."""
        specs = []
        for node in self.program.nodes.values():
            inputs = tuple(self.behind(name) for name in node.inputs)
            specs.append(
                TableSpec(
                    graph=self.program.name,
                    node=node.name,
                    kind=node.kind,
                    ancestors=node.ancestors,
                    own=node.own,
                    visible={name: (column.type, column.owner) for name, column in node.columns.items()},
                    inputs=inputs,
                    passes=node.inputs[0] if node.skipped else None,
                )
            )
        left = frozenset(self.program.nodes) - self.selected
        self.store.describe(self.program.name, specs, self.program.aliases, left=left, read=self.read)

    def behind(self, name: str) -> str:
        """The node whose rows a name stands for: a skipped node lets its input's pass."""
        while self.program.nodes[name].skipped:
            name = self.program.nodes[name].inputs[0]
        return name

    def build(self) -> None:
        """A station for every node, joined by channels."""
        for node in self.program.nodes.values():
            if node.skipped or node.name not in self.selected | self.read:
                continue
            station = self.stations[node.name] = self.station(node)
            station.upstream = [self.stations[name] for name in dict.fromkeys(map(self.behind, node.inputs))]
            station.awaited = [self.stations[name] for name in node.waits if name in self.stations]
            before = [*station.upstream, *station.awaited]
            station.depth = 1 + max((one.depth for one in before), default=0)
            flows = node.after is None or (station.upstream and node.after == station.upstream[0].node.after)
            if isinstance(station, RowStation) and flows and not station.awaited:
                station.upstream[0].downstream.append(station.inbox)
            elif isinstance(station, RowStation):
                station.inbox.close()  # it begins with what stands then: a later round, or a model trained
        for station in self.stations.values():
            if isinstance(station, GroupStation):
                self.watch(station)

    def station(self, node: Node) -> Station:
        kind = self.kinds[node.kind].working(node)
        parts = self.parts(node, kind)
        if node.name in self.read:
            return StandingStation(self, node, kind, parts)
        match kind.flow:
            case "source":
                return SourceStation(self, node, kind, parts)
            case "row":
                parallel = [self.program.models[name].parallel for name in models_of(node, kind)]
                return RowStation(
                    self, node, cast(RowKind, kind), parts, window_of(max(parallel, default=16))
                )
            case "group":
                return GroupStation(self, node, kind, parts)
            case "table":
                return TableStation(self, node, kind, parts)

    def parts(self, node: Node, kind: Kind) -> dict[str, str]:
        """What decides a node's rows, part by part; a model that is yet to be trained is not in it."""
        return parts_of(self.program, node, kind, self.trained)

    def trained(self, name: str) -> Mapping[str, Any] | None:
        """The row of a `train` node of this graph, once its model is there. Blocking."""
        station = self.stations.get(name)
        if station is None or station.result not in ENDED or station.estimated:
            return None
        return next((row.columns for row in self.rows_of(name)), None)

    def watch(self, group: GroupStation) -> None:
        """Let a gather close its groups early where only row-wise nodes lie before it."""
        path: list[str] = []
        station = group.upstream[0]
        while station.node.name != group.by:
            if not isinstance(station, RowStation):
                return
            path.insert(0, station.node.name)
            station = station.upstream[0]
        if path:
            self.scopes.watch(group, group.by, path)

    async def look(self) -> None:
        """What of the stored rows stands, whatever this run does."""
        for station in self.stations.values():
            if isinstance(station, StandingStation):
                station.stable = all(
                    isinstance(one, StandingStation) and one.stable for one in station.upstream
                )
                continue
            if isinstance(station, SourceStation):
                await station.look()
                station.stable = station.unchanged()
            elif isinstance(station, RowStation):
                state = station.state
                station.stable = (
                    state is not None and state.static == station.static and station.upstream[0].stable
                )
            else:
                station.stable = station.same and all(
                    one.stable
                    and one.same
                    and one.changed_run <= (station.state.complete_run if station.state else 0)
                    for one in station.upstream
                )
            if station.node.after is not None or station.awaited:
                station.stable = False

    async def make_ready(self) -> None:
        """What will be missing late in the run is told before anything is paid for."""
        for name, station in self.stations.items():
            if station.stable or name in self.read or type(station.kind).ready is Kind.ready:
                continue
            try:
                await asyncio.to_thread(station.kind.ready, NodeContext(station), not self.dry)
            except KindError as error:
                if self.dry:
                    self.note(Note(name, f"{error.message}; {error.help}" if error.help else error.message))
                    continue
                self.error(f"`{name}`: {error.message}", error.help)
                self.stop(f"`{name}` could not be done; nothing was asked")

    def spec_of(self, name: str) -> ModelSpec:
        """A model of the graph; one in this process with its folder."""
        spec = self.program.models[name]
        if spec.provider == "transformers":
            made = self.trained(spec.trained) if spec.trained else None
            folders = [self.options.root, self.program.path.parent]
            spec = located(spec, folders, str(made["folder"]) if made else None)
        return spec

    def open_model(self, name: str) -> Any:
        from engine.models import open_model

        return open_model(self.spec_of(name), os.environ, self.endpoints)

    def types_in_scope(self, station: Station) -> tuple[dict[str, str], dict[str, str]]:
        """Columns of a row-wise node's input with its `let`s, and the same under what it adds."""
        source = self.program.nodes[station.upstream[0].node.name]
        return in_scope(station.node, source)

    # -- running -------------------------------------------------------------------------------------

    async def run(self) -> Summary:
        """Everything, to the end, to a stop or to an error; the summary says which."""
        started = time.monotonic()
        self.loop = asyncio.get_running_loop()
        self.describe()
        params = {name: param.value for name, param in self.program.params.items()}
        self.run_number = self.store.begin(self.program.name, params, self.options.command)
        summary: Summary | None = None
        try:
            self.build()
            self.tell(
                Started(
                    self.run_number,
                    self.program.name,
                    self.progress,
                    tuple(model_notes(self.program, self.kinds)),
                )
            )
            for notice in self.store.notices:
                self.note(Note(None, notice))
            await self.look()
            await self.make_ready()
            with self.signals():
                await self.stations_at_work()
            summary = await self.summarize(started)
            return summary
        finally:
            await self.calls.close()
            status = summary.status if summary else "failed"
            if not self.dry:
                self.remember_parts()
            self.store.end(
                self.run_number,
                status,
                {
                    "calls": sum(one.calls for one in self.progress.values()),
                    "cost": sum(one.cost for one in self.progress.values()),
                    "nodes": {name: one.rows for name, one in self.progress.items()},
                },
            )
            await self.store.flush()

    async def stations_at_work(self) -> None:
        tasks = [asyncio.create_task(station.run(), name=name) for name, station in self.stations.items()]
        broken: asyncio.Future[StoreError] = asyncio.create_task(self.store.broken())
        everything: asyncio.Future[Any] = asyncio.gather(*tasks)
        telling = asyncio.create_task(keep_telling(self.stations)) if self.listener is not None else None
        try:
            await asyncio.wait({everything, broken}, return_when=asyncio.FIRST_COMPLETED)
            if (problem := _problem(everything, broken)) is not None:
                self.stop(str(problem))
                await self.calls.landed()
                everything.cancel()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(everything, *tasks, return_exceptions=True)
                raise problem
            await everything
            await self.calls.landed()
        except asyncio.CancelledError:
            self.interrupted = True
            everything.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await everything
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            broken.cancel()
            if telling is not None:
                telling.cancel()

    async def summarize(self, started: float) -> Summary:
        await self.rounds.unmet()
        self.tell_of_those_below()
        self.tell_of_prices()
        results = {station.result for station in self.stations.values()}
        failed_rows = sum(one.failed for one in self.progress.values())
        status: RunStatus = "done"
        if self.expectation is not None:
            status = "expectation"
        elif self.interrupted:
            status = "interrupted"
        elif "failed" in results or "stopped" in results or failed_rows or self.errors:
            status = "failed"
        return Summary(
            run=self.run_number,
            graph=self.program.name,
            status=status,
            seconds=time.monotonic() - started,
            progress=self.progress,
            files=[entry for station in self.stations.values() for entry in station.files],
            notes=self.notes,
            errors=self.errors,
            store=self.options.store,
        )

    def remember_parts(self) -> None:
        """What every node's own part was when it last completed, for later comparisons."""
        nodes, contents = {}, {}
        for name, node in self.program.nodes.items():
            state = self.store.state(name)
            if node.skipped or state is None or "parts" not in state.info:
                continue
            nodes[name] = state.info["parts"]
            contents.update(
                contents_of(self.program, node, self.kinds[node.kind].working(node), self.trained)
            )
        wanted = {mark for parts in nodes.values() for mark in parts.values()}
        self.store.save_snapshot(
            self.run_number, nodes, {mark: contents[mark] for mark in wanted & contents.keys()}
        )

    def tell_of_those_below(self) -> None:
        """What was not selected and comes of what changed does not know of it yet."""
        changed = [name for name in self.progress if self.stations[name].changed]
        if not changed or self.selected >= self.program.nodes.keys():
            return
        import networkx  # 0.1 s, so only where it is needed

        below = set().union(*(networkx.descendants(self.program.dag, name) for name in changed))
        left = [name for name in self.program.nodes if name in below - self.selected]
        if left:
            more = f" and {len(left) - 1} more stand" if len(left) > 1 else " stands"
            self.note(Note(None, f"`{left[0]}`{more} as before; `atk exec` without -s brings all up to date"))

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C once: finish what is in flight and stop. Twice: stop now."""
        loop = asyncio.get_running_loop()
        main = asyncio.current_task()

        def interrupt() -> None:
            if self.interrupted and main is not None:
                main.cancel()
            self.interrupted = True
            self.stop("interrupted; what is in flight is being finished (once more to stop now)")

        installed = []
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, interrupt)
                installed.append(number)
        try:
            yield
        finally:
            for number in installed:
                loop.remove_signal_handler(number)

    # -- stopping ------------------------------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """Nothing new is asked from here on; rows in flight are finished and kept."""
        if self.stopping is None:
            self.stopping = reason
            self.calls.stop(reason)
            self.note(Note(None, reason))
            for station in self.stations.values():
                if isinstance(station, RowStation):
                    station.inbox.filled.set()

    def capped(self, spent: float, following: float) -> None:
        """What was to be spent at most is spent, or would be exceeded by the following call."""
        by_price = sum(one.cost for one in self.progress.values())
        more = f" as the endpoint counts, {by_price:.4f} by `price`" if spent > by_price * OFF else ""
        further = f", and the next call may cost {following:.4f} USD" if following else ""
        self.stop(f"--max-cost reached: {spent:.4f} USD spent{more}{further}")

    def tell_of_prices(self) -> None:
        """An endpoint that reports other costs than the graph's `price` makes of its tokens."""
        reported, by_price = self.calls.reported, self.calls.by_price
        if max(reported, by_price) > OFF * min(reported, by_price):
            said = f"the endpoint reports {reported:.4f} USD for what `price` puts at {by_price:.4f} USD"
            self.note(Note(None, f"{said}; `atk cost` shows both"))

    def heed(self) -> None:
        """Raise `Stopping` when the run winds down."""
        if self.stopping is not None:
            raise Stopping(self.stopping)

    def failed_row(self, station: RowStation, row: Row, reason: str) -> None:
        """A row failed: has the author said that this is enough?"""
        if self.options.detailed:
            self.tell(Failed(station.node.name, row.id, reason))
        failed = sum(one.failed for one in self.progress.values())
        if self.options.fail_fast:
            self.stop(f"--fail-fast: a row of `{station.node.name}` failed")
        limit = self.options.max_failures
        if limit is None or self.stopping:
            return
        if limit.endswith("%"):
            seen = max(station.progress.rows_in, 1)
            if seen >= 20 and station.progress.failed > seen * float(limit[:-1]) / 100:
                share = f"{station.progress.failed} of {seen} rows"
                self.stop(f"--max-failures {limit}: {share} of `{station.node.name}`")
        elif failed > int(limit):
            self.stop(f"--max-failures {limit}: {failed} rows failed")

    def expectation_failed(self, station: Station, failure: str) -> None:
        self.expectation = failure
        self.error(
            f"`{station.node.name}` is not as expected: {failure}",
            where_to_look(station),
        )
        self.stop(f"an expectation of `{station.node.name}` failed")

    # -- telling -------------------------------------------------------------------------------------

    @property
    def progress(self) -> dict[str, NodeProgress]:
        """Of the nodes that take part; those that are only read do not."""
        return {name: station.progress for name, station in self.stations.items() if name in self.selected}

    def tell(self, event: Event) -> None:
        if self.listener is not None:
            self.listener(event)

    def changed(self, progress: NodeProgress) -> None:
        self.tell(Changed(progress))

    def note(self, note: Note) -> None:
        if note in self.notes:
            return
        self.notes.append(note)
        self.tell(note)

    def error(self, message: str, help: str | None) -> None:
        if (message, help) not in self.errors:
            self.errors.append((message, help))

    def raise_errors(self) -> None:
        """In a dry run: what would stop the run stops the plan."""
        if self.errors:
            raise KindError(*self.errors[0])

    def crash(self, node: str, error: BaseException) -> None:
        """A fault of our own: one line for the user, the traceback for `--debug`."""
        self.crashes.append("".join(traceback.format_exception(error)))
        self.error(
            f"`{node}` met a fault of atk's own: {type(error).__name__}: {error}",
            "run again with --debug and report it",
        )

    # -- reading -------------------------------------------------------------------------------------

    def query(self, node: Node, sql: str, parameters: Mapping[str, Any] | None) -> pa.Table:
        """A query over the tables that a node may name, each under the name it has there."""
        cursor = self.store.cursor("")  # it reads the tables themselves
        try:
            scope = quote(f"scope of {node.name}")
            cursor.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {scope}")
            for name, table in node.tables.items():
                shown = self.as_called(node, self.shown(table), cursor)
                # However it is written: `rejected.pairs`, `factual.pairs`, or "factual.pairs" as one name.
                first, _, rest = name.partition(".")
                schema, _, last = name.rpartition(".")
                for place, view in {("main", name), (schema or "main", last), (first, rest or name)}:
                    cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {scope}.{quote(place)}")
                    cursor.execute(
                        f"CREATE OR REPLACE VIEW {scope}.{quote(place)}.{quote(view)} AS FROM {shown}"
                    )
            cursor.execute(f"USE {scope}")
            if parameters:
                return cursor.sql(sql, params=dict(parameters)).to_arrow_table()
            return cursor.sql(sql).to_arrow_table()
        finally:
            cursor.close()

    def as_called(self, node: Node, view: str, cursor: DuckDBPyConnection) -> str:
        """A view with its ids under the names that the code of a node has for them."""
        there = set(cursor.sql(f"FROM {view}").columns)
        called = {id_column(above): name for above, name in node.ids.items()}
        renamed = [
            f"{quote(old)} AS {quote(new)}" for old, new in called.items() if old != new and old in there
        ]
        return f"(SELECT * RENAME ({', '.join(renamed)}) FROM {view})" if renamed else view

    def shown(self, table: str) -> str:
        """The rows of a table of `Node.tables` in their order; a skipped node's bear its id too.

        A query that says no order then gives, and collects, the same whichever row was done first.
        """
        schema, _, name = table.partition(".")
        if schema in ("rejected", "failed") and table not in self.program.nodes:
            return self.store.listed(name, schema)
        return self.store.listed(table)

    def rows_of(self, name: str, within: tuple[str, Sequence[bytes]] | None = None) -> Iterator[Row]:
        """Finished rows of a table in canonical order; `within` narrows to some ids of an ancestor."""
        for batch in self.store.ordered(name, within):
            for entry in batch:
                yield Row(*entry)


def model_notes(program: Program, kinds: Mapping[str, Kind]) -> list[str]:
    """What the author should know of the models that this graph asks."""
    used: dict[str, list[str]] = {}
    for node in program.nodes.values():
        if not node.skipped:
            for name in models_of(node, kinds[node.kind]):
                if program.models[name].provider == "offline":
                    used.setdefault(name, []).append(node.name)
    if not used:
        return []
    names = ", ".join(f"`{name}`" for name in used)
    about = (
        f"{names} {'is' if len(used) == 1 else 'are'} the offline stand-in: it makes the graph run without "
        "a key, from the words of your documents; it is no measure of quality. "
        "Set ATK_BASE_URL, ATK_MODEL and ATK_API_KEY to use a real model."
    )
    return [about]


def _problem(everything: asyncio.Future[Any], broken: asyncio.Future[StoreError]) -> StoreError | None:
    """Why the store cannot be used any more, whoever heard of it first."""
    if broken.done():
        return broken.result()
    found = everything.exception() if everything.done() else None
    return found if isinstance(found, StoreError) else None
