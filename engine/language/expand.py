"""Graph calls written out: every node of a file and of the graphs it calls, under one flat name.

`chat.dialogue single_turn from pairs` becomes the nodes of `dialogue`: the one that the graph
returns is named `single_turn`, the others `single_turn.<inner>`. Slots that are lists of records
are tables and fill from `from` in order; the others are settings, evaluated at the call. A body
sees its slots and its file's declarations and imports, nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise

from engine.language import rewards
from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Reporting, Span, Wrong, suggestion, wrong
from engine.language.expressions import MISSING, Expressions, Known, Scope
from engine.language.files import GraphFile, Loader, table_slot
from engine.language.instances import Flat, Instance, TableSlot, top_level_only
from engine.language.kind import KindSpec
from engine.language.models import outside
from engine.language.repeat import ROUNDS, hindered, rounds, written_out
from engine.language.settings import FromEnvironment
from engine.language.types import SCALARS, Type, accepts, describe, parse_value

MOST_NODES = 1_000


class Expansion(Reporting):
    """The flat nodes of a file, in the order in which they are written."""

    def __init__(
        self,
        loader: Loader,
        kinds: Mapping[str, KindSpec],
        expressions: Expressions,
        report: Callable[[Diagnostic], None],
        params_of: Callable[[GraphFile, str, ast.Use, Mapping[str, Known]], Mapping[str, Known]],
    ):
        self.loader, self.kinds, self.expressions = loader, kinds, expressions
        self.report, self.params_of = report, params_of
        self.flat: dict[str, Flat] = {}
        self.aliases: dict[str, str] = {}
        self.imported: dict[tuple[int, str], Instance] = {}
        self.called: set[int] = set()  # identities of the graphs that something calls
        self.stand_ins: dict[str, Type] = {}  # tables that stand for slots of uncalled graphs
        self.instances: list[Instance] = []
        self.full = False

    def instance(self, home: Instance) -> None:
        """Write out all nodes of a scope and of the calls in it."""
        self.instances.append(home)
        for name, declaration in home.nodes.items():
            try:
                self.node(home, name, declaration)
            except Wrong as error:
                home.broken.add(name)
                self.tell(error)

    def node(self, home: Instance, name: str, declaration: ast.NodeDeclaration) -> None:
        kind = declaration.kind.dotted
        graph_file, graph = self.graph(home.file, kind) if kind not in self.kinds else (None, None)
        if graph is not None and graph_file is not None:
            self.call(home, name, declaration, graph_file, graph)
            return
        if kind not in self.kinds or (self.kinds[kind].unwritten and not (home.repeated or home.beside)):
            if kind in self.kinds:
                help = "it comes of `rounds` at the call of a graph, or of `reward` at a `train`"
                raise wrong("ATK101", f"`{kind}` is not written as a kind", declaration.kind.span, help)
            kinds = [one for one, spec in self.kinds.items() if not spec.unwritten]
            known = {*kinds, *home.file.graphs, *(
                f"{alias}.{one}" for alias, other in home.file.imports.items() for one in other.graphs
            )}  # fmt: skip
            raise wrong(
                "ATK101", f"no kind named `{kind}`", declaration.kind.span, suggestion(kind, known, most=20)
            )
        spec = self.kinds[kind]
        self.room(declaration)
        full = home.full(name)
        self.flat[full] = Flat(full, declaration, home, spec, list(self.handed_on(home, name)))
        if home.graph and name == home.returned and not home.repeated:
            self.aliases[home.prefix + name] = full
        if kind == "train" and rewards.setting(declaration) is not None:
            self.rewarded(home, name, declaration)

    def rewarded(self, home: Instance, name: str, declaration: ast.NodeDeclaration) -> None:
        """The graphs that judge a model in training, beneath its node. Raises `Wrong`."""
        found: list[tuple[rewards.Named, list[ast.Setting]]] = []
        written = rewards.setting(declaration)
        assert written is not None
        for one in rewards.named(written.value):
            file, graph = self.graph(home.file, one.path.dotted)
            if file is None or graph is None:
                known = {*home.file.graphs, *(
                    f"{alias}.{graph}" for alias, other in home.file.imports.items() for graph in other.graphs
                )}  # fmt: skip
                help = suggestion(one.path.dotted, known)
                raise wrong("ATK177", f"no graph named `{one.path.dotted}`", one.path.span, help)
            found.append((one, rewards.fitting(self.loader, file, graph, one, home.known)))
        nodes = rewards.written_out(declaration, found, home.file.source.text)
        full = home.full(name)
        child = Instance(full, f"{full}.", home.file, home.known, nodes, home, declaration, beside=True)
        child.after = home.waits
        home.calls[name] = child
        self.instance(child)

    def room(self, declaration: ast.NodeDeclaration) -> None:
        """Graphs that call graphs can double at each step: somewhere it ends. Raises `Wrong`."""
        if self.full:
            raise Wrong
        if len(self.flat) >= MOST_NODES:
            self.full = True
            raise wrong("ATK139", f"the graph comes to more than {MOST_NODES:,} nodes", declaration.name.span)

    def graph(self, file: GraphFile, dotted: str) -> tuple[GraphFile | None, ast.GraphDeclaration | None]:
        home, rest = file.split(dotted)
        return home, home.graphs.get(rest) if home else None

    def handed_on(self, home: Instance, name: str) -> Iterator[tuple[ast.ClauseDeclaration, Instance]]:
        """`expect` and `until` written at the calls that end in this node: they are of its table."""
        while home.graph and home.parent and home.call and name == home.returned:
            written = home.parent.parent if home.parent.repeated and home.parent.parent else home.parent
            for clause in home.call.block.clauses:
                if clause.word.text == "expect" or (clause.word.text == "until" and not home.repeated):
                    yield clause, written
            name, home = home.call.name.text, home.parent

    # -- calls -----------------------------------------------------------------------------

    def call(
        self,
        home: Instance,
        name: str,
        declaration: ast.NodeDeclaration,
        file: GraphFile,
        graph: ast.GraphDeclaration,
    ) -> None:
        above: Instance | None = home
        while above is not None:
            if above.graph is graph:
                raise wrong(
                    "ATK116",
                    f"`{declaration.kind.dotted}` calls itself",
                    declaration.kind.span,
                    "a graph is written out at each call, so it cannot end",
                )
            above = above.parent
        self.room(declaration)
        self.called.add(id(graph))
        full = home.full(name)
        repeated = rounds(declaration)
        if repeated is not None:
            graph = self.rounds(home, declaration, file, graph, repeated)
        child = Instance(full, home.prefix + name + ".", file, {}, {}, home, declaration, graph)
        child.after, child.repeated = home.ends.get(name), repeated is not None
        home.calls[name] = child
        self.unfit(declaration, home)
        if repeated is not None and any(one.word.text == "until" for one in declaration.block.clauses):
            inner = [node.name.text for node in graph.nodes[:-1]]
            child.ends = {later: child.prefix + before for before, later in pairwise(inner)}
        self.fill(child, declaration, home)
        self.body(child)
        if home.graph and name == home.returned:
            self.aliases[home.prefix + name] = full

    def rounds(
        self,
        home: Instance,
        declaration: ast.NodeDeclaration,
        file: GraphFile,
        graph: ast.GraphDeclaration,
        setting: ast.Setting,
    ) -> ast.GraphDeclaration:
        """The graph that a repeated call stands for. Raises `Wrong`."""
        count = self.checked(setting.value, home.scope(), ROUNDS, SCALARS["int"])
        if not isinstance(count, int) or count < 1:
            raise wrong("ATK111", f"`{ROUNDS}` must be at least 1, not {count}", setting.value.span)
        hindered(self.loader, file, graph, setting)
        if count > MOST_NODES:
            help = "each round is written out"
            raise wrong("ATK139", f"more than {MOST_NODES:,} rounds", setting.value.span, help)
        tables = [one.name.text for one in graph.slots if table_slot(self.loader.type(file, one.type))]
        return written_out(declaration, graph, setting, count, tables)

    def uncalled(self, file: GraphFile, graph: ast.GraphDeclaration) -> None:
        """A graph that nothing calls is checked all the same, over tables as its slots say."""
        name = f"{graph.name.text}()"
        child = Instance(name, name + ".", file, {}, {}, None, None, graph)
        known: dict[str, Known] = {}
        for slot in graph.slots:
            try:
                type_ = self.loader.type(file, slot.type)
            except Wrong as error:
                self.tell(error)
                child.broken_slots = True
                continue
            if table_slot(type_):
                stand_in = f"{name}.{slot.name.text}"
                self.stand_ins[stand_in] = type_
                child.slots[slot.name.text] = TableSlot(type_, None, None, stand_in)
            else:
                known[slot.name.text] = Known(type_, self.unset(slot, type_, known))
        child.known = known
        self.body(child)

    def unset(self, slot: ast.ParamDeclaration, type_: Type, known: Mapping[str, Known]) -> object:
        """The value of a slot that nobody sets: its default, as far as that can be known."""
        if slot.default is None:
            return MISSING
        try:
            return self.checked(slot.default, Scope(known=dict(known), what="slot"), slot.name.text, type_)
        except Wrong as error:
            self.tell(error)
            return MISSING

    def unfit(self, declaration: ast.NodeDeclaration, home: Instance) -> None:
        """What a call cannot have."""
        for clause in declaration.block.clauses:
            if clause.word.text == "until" and home.repeated:
                continue
            if clause.word.text == "until" and rounds(declaration) is None:
                help = "how many there may be at most is set beside it: `rounds = 5`"
                self.say(
                    "ATK113",
                    "`until` ends the rounds of a call, and this one has none",
                    clause.word.span,
                    help,
                )
            elif clause.word.text not in ("expect", "until"):
                self.say(
                    "ATK113",
                    f"a call of a graph takes no `{clause.word.text}`",
                    clause.word.span,
                    "it takes settings, `expect`, and with `rounds` also `until`",
                )
        for section in declaration.block.sections:
            self.say(
                "ATK104",
                f"no setting of `{declaration.kind.dotted}` named `{section.name.text}`",
                section.name.span,
            )
        if declaration.result is not None:
            self.say("ATK171", "a call takes no `->`: the graph says what it gives", declaration.result.span)

    def fill(self, child: Instance, declaration: ast.NodeDeclaration, home: Instance) -> None:
        """Give the slots their tables and values."""
        assert child.graph is not None
        tables: list[str] = []
        others: dict[str, tuple[ast.ParamDeclaration, Type]] = {}
        for slot in child.graph.slots:
            try:
                type_ = self.loader.type(child.file, slot.type)
            except Wrong as error:
                self.tell(error)
                child.broken_slots = True
                continue
            if table_slot(type_):
                tables.append(slot.name.text)
                path = declaration.inputs[len(tables) - 1] if len(tables) <= len(declaration.inputs) else None
                child.slots[slot.name.text] = TableSlot(type_, path, home)
            else:
                others[slot.name.text] = (slot, type_)
        if not child.broken_slots:
            self.counted(declaration, tables)
        child.known = self.values(child, declaration, others, tables, home)

    def counted(self, declaration: ast.NodeDeclaration, tables: list[str]) -> None:
        given, kind = len(declaration.inputs), declaration.kind.dotted
        if given > len(tables):
            help = f"its tables are {', '.join(tables)}" if tables else "it takes none"
            self.say(
                "ATK170",
                f"`{kind}` takes {_count(len(tables))}, not {given}",
                declaration.inputs[len(tables)].span,
                help,
            )
        elif given < len(tables):
            raise wrong(
                "ATK170",
                f"`{kind}` takes {_count(len(tables))}, not {given}",
                declaration.name.span,
                f"name them after `from`: {', '.join(tables)}",
            )

    def values(
        self,
        child: Instance,
        declaration: ast.NodeDeclaration,
        slots: Mapping[str, tuple[ast.ParamDeclaration, Type]],
        tables: list[str],
        home: Instance,
    ) -> dict[str, Known]:
        known: dict[str, Known] = {}
        written: dict[str, ast.Setting] = {}
        for setting in declaration.block.settings:
            name = setting.name.text
            if name in written:
                self.say("ATK102", f"`{name}` is set twice", setting.name.span)
            elif name == ROUNDS and child.repeated:
                written[name] = setting
            elif name in tables:
                self.say(
                    "ATK104", f"`{name}` is a table, not a setting", setting.name.span, "name it after `from`"
                )
            elif name not in slots and not child.broken_slots:
                self.say(
                    "ATK104",
                    f"no setting of `{declaration.kind.dotted}` named `{name}`",
                    setting.name.span,
                    suggestion(name, slots),
                )
            else:
                written[name] = setting
        for name, (slot, type_) in slots.items():
            value: object = MISSING
            try:
                if name in written:
                    value = self.checked(written[name].value, home.scope(), name, type_)
                elif slot.default is not None:
                    earlier = Scope(known=dict(known), what="slot")
                    value = self.checked(slot.default, earlier, name, type_)
                elif describe(type_).endswith("?"):
                    value = None
                else:
                    self.say(
                        "ATK105", f"`{declaration.name.text}` needs `{name}`", declaration.name.span, slot.doc
                    )
            except Wrong as error:
                self.tell(error)
            known[name] = Known(type_, value)
        return known

    def checked(self, written: ast.Expression, scope: Scope, name: str, type_: Type) -> object:
        """The value of a constant that must have a type. Raises `Wrong`."""
        value = outside(self.expressions, written, scope)
        if isinstance(value, FromEnvironment):
            try:
                return parse_value(value, type_)
            except ValueError as error:
                raise wrong("ATK111", f"`{name}` {error}", written.span) from None
        refused = accepts(type_, value)
        if refused:
            raise wrong(
                "ATK111",
                f"`{name}` {refused}" if not refused.startswith("`") else f"`{name}`: {refused}",
                written.span,
            )
        return value

    def body(self, child: Instance) -> None:
        """The nodes of a graph's body."""
        graph = child.graph
        assert graph is not None
        nodes: dict[str, ast.NodeDeclaration] = {}
        for inner in graph.nodes:
            taken = child.slots.keys() | nodes.keys()
            same = next((one for one in taken if one.casefold() == inner.name.text.casefold()), None)
            if same is not None:
                self.say("ATK102", f"`{inner.name.text}` is declared twice", inner.name.span)
                continue
            if self.loader.plain(inner.name):
                self.loader.table_name(inner.name)
            spec = self.kinds.get(inner.kind.dotted)
            if spec is not None and top_level_only(spec):
                self.say(
                    "ATK172",
                    f"`{inner.kind.dotted}` has its place at the top level, not in a graph",
                    inner.kind.span,
                    "let the graph return its table, and write it where it is called",
                )
                child.broken.add(inner.name.text)
                continue
            nodes[inner.name.text] = inner
        child.nodes = nodes
        if graph.returns.dotted not in nodes:
            self.tell(self.no_return(graph, nodes, child))
            child.broken_slots = True
        self.instance(child)

    def no_return(self, graph: ast.GraphDeclaration, nodes: Mapping[str, object], child: Instance) -> Wrong:
        name = graph.returns.dotted
        if name in child.broken:
            return Wrong()
        if name in child.slots:
            return wrong(
                "ATK103", f"`{name}` is a slot: a graph returns one of its own nodes", graph.returns.span
            )
        return wrong(
            "ATK103", f"no node named `{name}` in this graph", graph.returns.span, suggestion(name, nodes)
        )

    # -- names --------------------------------------------------------------------------------

    def table(self, home: Instance, dotted: str, span: Span) -> str:
        """The flat name of the table that a name means in a scope. Raises `Wrong`."""
        first, _, rest = dotted.partition(".")
        if home.beside and home.parent and first not in home.nodes and first not in home.broken:
            return self.table(home.parent, dotted, span)
        if not rest and first in home.slots:
            return self.slot(home, first)
        if first in home.nodes or first in home.broken:
            found = self.below(home, dotted)
            if found is not None:
                return found
        elif rest and home.graph is None and (first in home.file.imports or first in home.file.unread):
            found = self.from_file(home, first, rest, span)
            if found is not None:
                return found
        if dotted in ("calls", "metrics", "runs"):
            raise wrong(
                "ATK103",
                f"no table named `{dotted}`",
                span,
                "the store keeps that one: look into it with `atk sql`, not in a graph",
            )
        if home.graph is not None and first in home.file.nodes:
            help: str | None = "a graph sees its slots only: hand the table in after `from`"
        elif "/" in dotted or dotted.rpartition(".")[2] in _FILES:
            help = "files come in through a `source`"
        else:
            help = suggestion(dotted, self.visible(home))
        raise wrong("ATK103", f"no table named `{dotted}`", span, help)

    def visible(self, home: Instance) -> set[str]:
        inner = {f"{name}.{one}" for name, child in home.calls.items() for one in child.nodes}
        return {*home.slots, *home.nodes, *inner}

    def slot(self, home: Instance, name: str) -> str:
        slot = home.slots[name]
        if slot.stands_for is not None:
            return slot.stands_for
        if slot.path is None or slot.outer is None:
            raise Wrong
        return self.table(slot.outer, slot.path.dotted, slot.path.span)

    def below(self, home: Instance, dotted: str) -> str | None:
        """A node of the scope, or of a call in it: `single_turn.built`. Raises `Wrong` if broken."""
        first, _, rest = dotted.partition(".")
        if first in home.broken:
            raise Wrong
        if rest:
            child = home.calls.get(first)
            return (
                self.below(child, rest)
                if child and rest.partition(".")[0] in {*child.nodes, *child.broken}
                else None
            )
        child = home.calls.get(first)
        if child is not None and not child.beside:
            if child.returned is None or child.returned not in child.nodes:
                raise Wrong
            return self.below(child, child.returned)
        return home.full(first) if first in home.nodes else None

    def from_file(self, home: Instance, alias: str, rest: str, span: Span) -> str | None:
        """A node of an imported file: its pipeline becomes part of this one, under the alias."""
        file = home.file.imported(alias)
        if file is None or rest.partition(".")[0] not in file.nodes:
            return None
        made = self.imported.get((id(home), alias))
        if made is None:
            prefix = f"{home.prefix}{alias}."
            if prefix.count(".") > 8:
                raise wrong("ATK116", f"`{alias}` imports itself", span)
            nodes = {name: node for name, node in file.nodes.items() if not self.ends(node)}
            made = Instance(
                "", prefix, file, self.params_of(file, prefix, home.file.uses[alias], home.known), nodes
            )
            self.imported[id(home), alias] = made
            self.instance(made)
        if rest.partition(".")[0] not in made.nodes:
            raise wrong("ATK103", f"`{alias}.{rest}` writes files: nothing can be made from it", span)
        return self.below(made, rest)

    def ends(self, node: ast.NodeDeclaration) -> bool:
        spec = self.kinds.get(node.kind.dotted)
        return spec is not None and (spec.name == "train" or top_level_only(spec))


_FILES = ("csv", "json", "jsonl", "parquet", "txt", "md")


def _count(number: int) -> str:
    return {0: "no table", 1: "1 table"}.get(number, f"{number} tables")
