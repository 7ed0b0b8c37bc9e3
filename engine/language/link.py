"""Edges: which tables each node reads, in which order nodes can run, and where that is a circle.

A node reads what stands after its `from`, what a setting names beside that, and what its query reads.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from engine.language import tree as ast
from engine.language.binding import Binder, Mention, Unbound
from engine.language.diagnostics import Diagnostic, Reporting, Wrong, suggestion, wrong
from engine.language.expand import Expansion
from engine.language.expressions import MISSING
from engine.language.instances import Flat
from engine.language.kind import Role
from engine.language.settings import roles

VIEWS = ("rejected", "failed")


@dataclass
class Query:
    """A node's query: where it is written, and what it names."""

    written: ast.String
    setting: str
    tables: dict[tuple[str, ...], str] = field(default_factory=dict)  # as the query names it -> node
    views: dict[tuple[str, ...], str] = field(default_factory=dict)  # those of them under rejected or failed
    parameters: tuple[str, ...] = ()


@dataclass
class Linked:
    """A node with its inputs. `blind`: an input or the query could not be made out, and it was told."""

    flat: Flat
    inputs: list[str] = field(default_factory=list)
    beside: dict[str, str] = field(default_factory=dict)  # as a setting names it -> node
    query: Query | None = None
    blind: bool = False

    @property
    def sources(self) -> list[str]:
        """Every node that it reads, each once."""
        queried = self.query.tables.values() if self.query else ()
        return list(dict.fromkeys([*self.inputs, *self.beside.values(), *queried]))


class Links(Reporting):
    """Links all nodes of an expansion, those too that come in while linking."""

    def __init__(self, expansion: Expansion, binder: Binder, report: Callable[[Diagnostic], None]):
        self.expansion, self.binder, self.report = expansion, binder, report
        self.linked: dict[str, Linked] = {}

    def run(self) -> dict[str, Linked]:
        """Every node, linked, in the order written."""
        while waiting := [name for name in self.expansion.flat if name not in self.linked]:
            for name in waiting:
                self.linked[name] = self.link(self.expansion.flat[name])
        return self.linked

    def link(self, flat: Flat) -> Linked:
        made = Linked(flat, blind=flat.home.broken_slots)
        for path in flat.declaration.inputs:
            try:
                found = self.expansion.table(flat.home, path.dotted, path.span)
                if found in made.inputs:
                    raise wrong("ATK102", f"`{path.dotted}` is given twice", path.span)
                made.inputs.append(found)
            except Wrong as error:
                made.blind = True
                self.tell(error)
        for setting in flat.declaration.block.settings:
            role = roles(flat.kind.settings).get(setting.name.text)
            try:
                if role is Role.QUERY and made.query is None:
                    made.query = self.query(flat, setting)
                elif role is Role.BESIDE:
                    made.beside |= self.beside(made, setting)
            except Wrong as error:
                made.blind = True
                self.tell(error)
        self.counted(made)
        return made

    def counted(self, made: Linked) -> None:
        """Whether the kind takes so many tables."""
        flat, given = made.flat, len(made.flat.declaration.inputs)
        fewest, most = flat.kind.inputs
        kind, name = flat.declaration.kind.dotted, flat.declaration.name
        if most is not None and given > most:
            takes = "1 table" if most == 1 else f"{most} tables"
            at = flat.declaration.inputs[most].span
            message = f"`{kind}` takes {takes}, not {given}" if most else f"`{kind}` takes no table"
            self.say("ATK170", message, at)
            made.blind = True
        elif given < fewest and not _asks(flat):
            needs = "a table" if fewest == 1 else f"at least {fewest} tables"
            help = f"`{kind} {name.text} from …`"
            self.say("ATK170", f"`{name.text}` needs {needs}", name.span, help)
            made.blind = True

    def beside(self, made: Linked, setting: ast.Setting) -> dict[str, str]:
        """The table that a setting names; none where it is null. Raises `Wrong`."""
        if isinstance(setting.value, ast.Constant) and setting.value.value is None:
            return {}
        name = ast.dotted(setting.value)
        if name is None:
            help = f"`{setting.name.text} = questions`, without quotes"
            raise wrong(
                "ATK103", f"`{setting.name.text}` is not the name of a table", setting.value.span, help
            )
        found = self.expansion.table(made.flat.home, name, setting.value.span)
        if found in made.inputs:
            raise wrong("ATK102", f"`{name}` is given twice", setting.value.span)
        return {name: found}

    def query(self, flat: Flat, setting: ast.Setting) -> Query:
        """What a query reads. Raises `Wrong` with all that it names and nobody has."""
        written = setting.value
        if not isinstance(written, ast.String):
            raise wrong(
                "ATK120", "a query is written out as a text", written.span, 'query = """ SELECT … """'
            )
        try:
            tables, parameters = self.binder.mentions(written.value)
        except Unbound as error:
            span = written.span if error.start is None else written.place(error.start, error.length)
            raise wrong("ATK120", error.message, span, error.help) from None
        query = Query(
            written, setting.name.text, parameters=tuple(dict.fromkeys(one.parts[0] for one in parameters))
        )
        told: list[Diagnostic] = []
        failed = False
        for mention in tables:
            try:
                self.mention(flat, query, mention)
            except Wrong as error:
                failed = True
                told += error.diagnostics
        for mention in parameters:
            name = mention.parts[0]
            if name not in flat.home.known:
                span = written.place(mention.start, mention.length)
                what = flat.home.scope().what
                help = flat.home.scope().hint(name) or suggestion(name, flat.home.known)
                if name.isdigit():
                    help = "a query names its params: $name"
                told.append(Diagnostic("ATK126", f"no {what} named `{name}`", span, help))
        if told or failed:
            raise Wrong(*told)
        return query

    def mention(self, flat: Flat, query: Query, mention: Mention) -> None:
        span = query.written.place(mention.start, mention.length)
        view, parts = None, mention.parts
        if len(parts) > 1 and parts[0] in VIEWS:
            view, parts = parts[0], parts[1:]
        dotted = ".".join(parts)
        if len(parts) > 2 or (view and len(parts) > 1):
            raise wrong(
                "ATK103",
                f"no table named `{'.'.join(mention.parts)}`",
                span,
                f'a name of so many parts stands in quotes: "{dotted}"',
            )
        found = self.expansion.table(flat.home, dotted, span)
        query.tables[mention.parts] = found
        if view:
            query.views[mention.parts] = view


def _asks(flat: Flat) -> bool:
    """Whether the kind has its tables from a query."""
    return Role.QUERY in roles(flat.kind.settings).values()


def parameters_in_force(flat: Flat, query: Query) -> dict[str, object]:
    """Values to bind a query with; what has none is null."""
    known = flat.home.known
    return {name: None if known[name].value is MISSING else known[name].value for name in query.parameters}


def ordered(linked: Mapping[str, Linked], report: Callable[[Diagnostic], None]) -> list[str]:
    """Names in an order in which they can run, that of the file where it is free.

    Each circle is told once; its nodes, and what follows from them, are left out.
    """
    index = {name: at for at, name in enumerate(linked)}
    before = {name: {one for one in entry.sources if one in linked} for name, entry in linked.items()}
    after: dict[str, list[str]] = {name: [] for name in linked}
    for name, sources in before.items():
        for source in sources:
            after[source].append(name)
    waiting = {name: len(sources) for name, sources in before.items()}
    ready = [index[name] for name, count in waiting.items() if not count]
    heapq.heapify(ready)
    names = list(linked)
    order: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for follower in after[name]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, index[follower])
    left = [name for name in names if waiting[name]]
    told: set[str] = set()
    for name in left:
        if name not in told and (cycle := _cycle(name, after, set(left))):
            told |= _circle(name, after, before, set(left))
            flat = linked[name].flat
            report(Diagnostic("ATK110", f"a cycle: {' -> '.join(cycle)}", flat.declaration.name.span))
    return order


def _cycle(start: str, after: Mapping[str, list[str]], among: set[str]) -> list[str] | None:
    """The shortest way from a node back to itself."""
    came: dict[str, str] = {}
    frontier = [start]
    while frontier:
        following: list[str] = []
        for name in frontier:
            for follower in after[name]:
                if follower == start:
                    way = [start, name]
                    while way[-1] != start:
                        way.append(came[way[-1]])
                    return way[::-1]
                if follower in among and follower not in came:
                    came[follower] = name
                    following.append(follower)
        frontier = following
    return None


def _circle(
    start: str, after: Mapping[str, list[str]], before: Mapping[str, set[str]], among: set[str]
) -> set[str]:
    """All nodes that lie on a circle with this one."""
    return _reach(start, after, among) & _reach(start, before, among) | {start}


def _reach(start: str, edges: Mapping[str, list[str]] | Mapping[str, set[str]], among: set[str]) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for following in edges[waiting.pop()]:
            if following in among and following not in seen:
                seen.add(following)
                waiting.append(following)
    return seen
