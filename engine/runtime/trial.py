"""The run of one test: the real engine over given rows, with given replies in a model's place.

Nothing of the outside is touched: the store lives in memory, no model is opened, no file is read but
the author's own functions. Rows are taken one after another, in the order of the given rows, so that
it is plain which reply answers which row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel

from engine.kinds.base import Kind, Row, RowKind, SourceKind
from engine.language.program import Column, ModelSpec, Node, Program
from engine.models.base import Reply, Request
from engine.runtime.calls import Calls, Stopping
from engine.runtime.engine import Engine, Options
from engine.runtime.events import NodeProgress
from engine.runtime.gates import Expressions, in_scope
from engine.runtime.rows import RowStation
from engine.runtime.sources import SourceStation
from engine.runtime.statics import models_of, parts_of
from engine.runtime.station import Result, Station
from engine.store.keys import fingerprint
from engine.store.records import Stored
from engine.store.store import Store

if TYPE_CHECKING:
    from engine.language.fixtures import Fixture
    from engine.language.testing import Test

GIVEN = "given"


class Answers:
    """Who answers in a model's place. `None` for an answer ends the run; `trouble` says why."""

    trouble: str | None = None

    def answer(self, node: str, row: int, call: int, role: str, model: str, request: Request) -> Reply | None:
        """The reply to call `call` of the row that is the `row`-th to ask; both count from 0."""
        raise NotImplementedError


@dataclass
class Asked:
    """How often each row of a node was asked, in the order in which rows first asked."""

    rows: dict[bytes, int] = field(default_factory=dict)
    calls: list[int] = field(default_factory=list)


class Shared:
    """Connections that tests share one after another: to open one takes longer than most tests."""

    def __init__(self) -> None:
        self.values = Expressions()
        self.types = Expressions(self.values)

    def close(self) -> None:
        """Give them back."""
        self.types.connection.close()
        self.values.connection.close()


class GivenSettings(BaseModel):
    """A given table has none."""


class Given(SourceKind):
    """The kind of a table that a test gives."""

    name = GIVEN
    settings = GivenSettings


class GivenStation(SourceStation):
    """Hands out the rows of a given table."""

    rows: Sequence[tuple[Mapping[str, Any], Mapping[str, bytes]]] = ()

    async def look(self) -> None:
        """Nothing outside can have changed."""

    def unchanged(self) -> bool:
        return False

    async def work(self) -> Result:
        self.begin()
        stored, flowing = [], []
        for place, (columns, ids) in enumerate(self.rows):
            rev = fingerprint(place, list(columns.values()))
            own = {name: columns.get(name) for name in self.node.own}
            row_id = ids[self.node.name]
            above = {name: ids[name] for name in self.node.ancestors if name in ids}
            stored.append(Stored(row_id, rev, place=place, ids=above, own=own, static=self.static))
            flowing.append(Row(row_id, rev, own, {**above, self.node.name: row_id}))
        self.store.replace(self.node.name, [], stored, fresh=True)
        self.changed = True
        await self.emit(flowing)
        return await self.complete()


class InOrder(RowStation):
    """Takes its rows when all are there, one after another, in the order of the tables."""

    @property
    def takes_whole_input(self) -> bool:
        return True

    async def sampled(self, source: Station) -> set[bytes] | None:  # type: ignore[override]
        return await super().sampled(source) if super().takes_whole_input else None


class Replies(Calls):
    """Serves answers; nothing is asked, remembered or priced."""

    def __init__(self, engine: Trial, answers: Answers):
        super().__init__(engine.store, engine.open_model, engine.program.name, False)
        self.engine, self.answers = engine, answers
        self.asked: dict[str, Asked] = {}

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
        if self.stopping is not None:
            raise Stopping(self.stopping)
        asked = self.asked.setdefault(progress.name, Asked())
        place = asked.rows.setdefault(row.id, len(asked.rows))
        if place == len(asked.calls):
            asked.calls.append(0)
        call = asked.calls[place]
        asked.calls[place] += 1
        reply = self.answers.answer(progress.name, place, call, role, name, request)
        if reply is None:
            self.engine.stop(self.answers.trouble or "no reply")
            raise Stopping(self.answers.trouble or "no reply")
        progress.calls += 1
        return reply, fingerprint(progress.name, row.id, call)


class Trial(Engine):
    """An engine for one test. Set up by `trial`."""

    def __init__(
        self,
        program: Program,
        options: Options,
        kinds: Mapping[str, Kind],
        store: Store,
        rows: Mapping[str, Sequence[tuple[Mapping[str, Any], Mapping[str, bytes]]]],
        answers: Answers,
        shared: Shared,
    ):
        super().__init__(program, options, {**kinds, GIVEN: Given()}, store)
        self.given, self.shared = rows, shared
        self.gates.expressions = shared.values
        self.calls = self.replies = Replies(self, answers)

    def types_in_scope(self, station: Station) -> tuple[dict[str, str], dict[str, str]]:
        """As for every run, on the connection that all tests share."""
        source = self.program.nodes[station.upstream[0].node.name]
        return in_scope(station.node, source, self.shared.types)

    def station(self, node: Node) -> Station:
        kind = self.kinds[node.kind].working(node)
        parts = parts_of(self.program, node, kind)
        if node.kind == GIVEN:
            made = GivenStation(self, node, kind, parts)
            made.rows = self.given[node.name]
            return made
        if kind.flow == "row":
            return InOrder(self, node, cast(RowKind, kind), parts, 1)
        return super().station(node)


# -- the graph that runs --------------------------------------------------------------------------


@dataclass
class Ids:
    """Ids of given rows: texts of the author's, in the store numbers that sort as they came up."""

    known: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def of(self, node: str, text: str) -> bytes:
        """The id of a row by its text."""
        table = self.known.setdefault(node, {})
        if text not in table:
            table[text] = fingerprint(node)[:8] + (len(table) + 1).to_bytes(8, "big")
        return table[text]

    def texts(self) -> dict[str, dict[bytes, str]]:
        """The way back."""
        return {node: {found: text for text, found in table.items()} for node, table in self.known.items()}


def given_rows(
    program: Program, fixtures: Mapping[str, Fixture], ids: Ids
) -> dict[str, list[tuple[dict[str, Any], dict[str, bytes]]]]:
    """Rows of every given table and, where it is not given itself, of each of their ancestors.

    An ancestor has one row for each id that a given row names, with what that row shows of it.
    """
    made: dict[str, list[tuple[dict[str, Any], dict[str, bytes]]]] = {}
    for name, fixture in fixtures.items():  # their own ids first: those sort as the rows are written
        for row in fixture.rows:
            ids.of(name, row.ids[name])
    for name, fixture in fixtures.items():
        made[name] = [
            (dict(row.columns), {node: ids.of(node, text) for node, text in row.ids.items()})
            for row in fixture.rows
        ]
    for name in fixtures:
        for above in program.nodes[name].ancestors:
            if above in fixtures:
                continue
            rows = made.setdefault(above, [])
            seen = {own[above] for _, own in rows}
            for columns, named in made[name]:
                if above in named and named[above] not in seen:
                    seen.add(named[above])
                    further = program.nodes[above].ancestors
                    kept = {node: found for node, found in named.items() if node in (above, *further)}
                    rows.append((columns, kept))
    return made


def on_trial(program: Program, path: Sequence[str], given: Mapping[str, object]) -> Program:
    """The graph with only the nodes of `path`, over the given tables; no `expect`, no model."""
    from engine.kinds import registry

    kinds = registry()
    names = [name for name in program.nodes if name in path or name in given]
    nodes: dict[str, Node] = {}
    models: dict[str, ModelSpec] = {}
    for name in names:
        node = program.nodes[name]
        ancestors = tuple(one for one in node.ancestors if one in names)
        if name in path:
            columns = {
                column: replace(entry, owner=_owner(program, node, column, names, given))
                for column, entry in node.columns.items()
            }
            nodes[name] = replace(
                node,
                clauses=tuple(clause for clause in node.clauses if clause.word != "expect"),
                columns=columns,
                ancestors=ancestors,
                after=node.after if node.after in path else None,
            )
            for model in models_of(node, kinds[node.kind]):
                models[model] = nobody(model)
            continue
        own = {column: entry.type for column, entry in node.columns.items()}
        nodes[name] = replace(
            node,
            kind=GIVEN,
            inputs=(),
            settings=GivenSettings(),
            clauses=(),
            sections={},
            template=None,
            expressions={},
            own=own,
            columns={column: Column(type_, name) for column, type_ in own.items()},
            ancestors=ancestors,
            tables={},
            skipped=False,
        )
    return replace(program, nodes=nodes, models=models, aliases={}, diagnostics=[], tests=[])


def _owner(
    program: Program, node: Node, column: str, names: Sequence[str], given: Mapping[str, object]
) -> str:
    """Whose table holds a column: its node's, or the given table that shows it in that one's place."""
    owner = node.columns[column].owner
    if owner in names:
        return owner
    for name in node.ancestors:
        found = program.nodes[name].columns.get(column) if name in given else None
        if found is not None and found.owner == owner:
            return name
    return owner


def nobody(name: str) -> ModelSpec:
    """A model that is not asked."""
    return ModelSpec(
        name=name,
        provider="offline",
        model="offline",
        base_url=None,
        secret=None,
        sampling={},
        options={},
        price={},
        parallel=1,
        timeout=60.0,
        structured="auto",
        rpm=None,
        tpm=None,
        span=None,
    )


def trial(
    test: Test, answers: Answers, store: Store, shared: Shared, number: int, root: Path, out: Path
) -> tuple[Trial, Ids]:
    """An engine that is ready to run a test, and the ids of its given rows.

    `number` tells its tables apart from those of other tests in the same store.
    """
    from engine.kinds import registry

    ids = Ids()
    rows = given_rows(test.program, test.fixtures, ids)
    if not any(test.program.nodes[name].kind == "sql" for name in test.path):
        # A query may name any ancestor; nothing else looks at one that has no row.
        rows = {name: found for name, found in rows.items() if found or name in test.fixtures}
    program = replace(on_trial(test.program, test.path, rows), name=f"{test.program.name} {number}")
    options = Options(root=root, store=store.path, out=out)
    return Trial(program, options, registry(), store, rows, answers, shared), ids
