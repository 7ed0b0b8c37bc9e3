"""From a graph file to a `Program`: everything that can be known before anything runs.

This module puts the steps in their order (files, params, models, calls written out, edges,
nodes) and gathers what each has to say. It writes nothing and runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.language.binding import Binder
from engine.language.cases import ELSEWHERE, Case, at_hand, cases, described, left_out, told
from engine.language.columns import lacking
from engine.language.diagnostics import Diagnostic, Reporting, Span, Wrong
from engine.language.expand import Expansion
from engine.language.expressions import Expressions
from engine.language.files import GraphFile, Loader, record_of
from engine.language.given import COMMAND_LINE, Given
from engine.language.instances import Instance
from engine.language.link import Linked, Links, ordered
from engine.language.model_table import ModelTable
from engine.language.params import Params
from engine.language.program import Program
from engine.language.shaping import Shaping, Tools


class Checking(Reporting):
    """One check of one file. `like` is the check that a further case of `when` belongs to."""

    def __init__(self, given: Given, case: Case | None = None, like: Checking | None = None):
        self.given, self.case = given, case or Case()
        self.diagnostics: dict[tuple[str, str, Span], Diagnostic] = {}
        self.expressions: Expressions = like.expressions if like else Expressions(Binder())
        self.loader: Loader = (
            like.loader if like else Loader(given.root, given.graphs, given.kinds, self.report, given.texts)
        )
        self.params = Params(given, self.loader, self.expressions, self.report)

    def report(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.setdefault((diagnostic.code, diagnostic.message, diagnostic.span), diagnostic)

    def run(self, path: Path, text: str | None) -> Program:
        file = self.loader.load(path, text)
        program, expansion = self.whole(path, file)
        self.cases(path, file, expansion)
        self.unused(file)
        program.diagnostics = self.sorted(file)
        return program

    def whole(
        self, path: Path, file: GraphFile, seen: set[frozenset[str]] | None = None
    ) -> tuple[Program, Expansion]:
        """All of a file as it is, or in one case; nothing of a case whose nodes left out are `seen`."""
        profile = self.params.profile(file)
        params = self.params.main(file, profile)
        known = self.params.known(file, params)
        models = ModelTable(self.given, self.expressions, self.params, self.report, file, known, profile)
        expansion = Expansion(
            self.loader, self.given.kinds, self.expressions, self.report, self.params.imported
        )
        top = Instance("", "", file, known, file.nodes)
        expansion.instance(top)
        for graph in file.graphs.values():
            if id(graph) not in expansion.called:
                expansion.uncalled(file, graph)
        out = self.out(expansion)
        blank = expansion.full or (seen is not None and out in seen)
        if seen is not None:
            seen.add(out)
        linked = {} if blank else Links(expansion, self.expressions.binder, self.report).run()
        self.distinct(linked)
        order = ordered(linked, self.report)
        shaping = Shaping(self.tools(expansion, models), order)
        for name, type_ in expansion.stand_ins.items():
            shaping.add_stand_in(name, type_)
        for name in order:
            shaping.run(linked[name])
        self.returns(expansion, top, shaping)
        self.tests(file, expansion, top)
        specs = models.specs()
        wanted = self.wanted(linked)
        program = Program(
            name=path.stem,
            path=path,
            text=file.source.text.text,
            doc=file.source.doc,
            params=params,
            models=specs,
            nodes={name: node for name, node in shaping.nodes.items() if name in wanted},
            aliases={alias: name for alias, name in expansion.aliases.items() if name in wanted},
            files=list(dict.fromkeys([*self.loader.files, *shaping.files])),
            shown=file.shown,
            uncalled={name: node for name, node in shaping.nodes.items() if name not in wanted},
        )
        return program, expansion

    def out(self, expansion: Expansion) -> frozenset[str]:
        """The nodes that `when` leaves out."""
        whens = dict(self.case.whens)
        return frozenset(
            name
            for name, flat in expansion.flat.items()
            if not whens.get(name, not left_out(expansion, flat))
        )

    def cases(self, path: Path, file: GraphFile, expansion: Expansion) -> None:
        """The graph in every case of its `when`s: what is wrong in one is wrong."""
        if expansion.full or not (others := cases(expansion)):
            return
        known = set(self.diagnostics)
        seen = {self.out(expansion)}
        now = at_hand(expansion)
        for case in sorted(
            (described(one, now, expansion) for one in others), key=lambda one: one.said.count(" and ")
        ):
            other = Checking(case.given(self.given), case, self)
            other.whole(path, file, seen)
            for key, diagnostic in other.diagnostics.items():
                if key not in known and diagnostic.code not in ELSEWHERE:
                    known.add(key)
                    self.report(told(diagnostic, case))

    def tools(self, expansion: Expansion, models: ModelTable) -> Tools:
        return Tools(
            self.expressions,
            expansion,
            models,
            self.prompts,
            self.loader.shown,
            self.report,
            dict(self.case.whens),
        )

    def prompts(self, home: Instance) -> list[Path]:
        """Where templates are looked for: the user's own, those beside the graph, the shipped ones."""
        *own, last = self.given.prompts or (Path("prompts"),)
        folder = home.file.folder
        return list(dict.fromkeys([*own, folder / "prompts", folder.parent / "prompts", last]))

    def sorted(self, file: GraphFile) -> list[Diagnostic]:
        """By place: the command line, the file itself, what it imports."""

        def place(diagnostic: Diagnostic) -> tuple[int, str, int, int, str, str]:
            span = diagnostic.span
            rank = 0 if span.path == COMMAND_LINE else 1 if span.path == file.shown else 2
            return rank, span.path, span.line, span.column, diagnostic.code, diagnostic.message

        return sorted(self.diagnostics.values(), key=place)

    # -- the whole ------------------------------------------------------------------------------

    def distinct(self, linked: Mapping[str, Linked]) -> None:
        """`a.b` and `a_b` would share an id column."""
        seen: dict[str, str] = {}
        for name, entry in linked.items():
            other = seen.setdefault(name.replace(".", "_").casefold(), name)
            if other != name:
                self.say(
                    "ATK102",
                    f"`{name}` and `{other}` would have the same id column",
                    entry.flat.declaration.name.span,
                    "choose another name",
                )

    def returns(self, expansion: Expansion, top: Instance, shaping: Shaping) -> None:
        """What a graph returns has the columns that it promises."""
        for home in expansion.instances:
            if expansion.full or home.graph is None or home.broken_slots or home.repeated:
                continue
            try:
                promised = self.loader.type(home.file, home.graph.result)
                name = expansion.below(home, home.graph.returns.dotted)
            except Wrong as error:
                self.tell(error)
                continue
            if record_of(promised) is None:
                help = "`-> T[]` with T a record"
                self.say(
                    "ATK118", f"`{home.graph.name.text}` must give a table", home.graph.result.span, help
                )
                continue
            table = shaping.tables.get(name) if name else None
            if table is None:
                continue
            for fault in lacking(table.types, promised):
                missed = (table.missed(name) for name in table.absent if f"no column `{name}`" in fault)
                known = (
                    next(missed, None) or f"its columns are {', '.join(table.columns)}"
                    if table.columns
                    else None
                )
                message = f"`{home.graph.returns.dotted}` {fault}, which `{home.graph.name.text}` promises"
                self.say("ATK118", message, home.graph.returns.span, known)

    def tests(self, file: GraphFile, expansion: Expansion, top: Instance) -> None:
        """A light look at `test` statements: they name a node, and hold what tests hold."""
        for test in file.tests:
            try:
                expansion.table(top, test.node.dotted, test.node.span)
            except Wrong as error:
                self.tell(error)
            for setting in test.block.settings:
                if setting.name.text != "reply":
                    help = "it takes `given`, `expect` and `reply = […]`"
                    message = f"no setting of `test` named `{setting.name.text}`"
                    self.say("ATK104", message, setting.name.span, help)
            for clause in test.block.clauses:
                if clause.word.text not in ("given", "expect"):
                    self.say(
                        "ATK113",
                        f"a `test` takes no `{clause.word.text}`",
                        clause.word.span,
                        "it takes `given`, `expect` and `reply = […]`",
                    )
                elif clause.word.text == "given" and clause.name is not None:
                    try:
                        expansion.table(top, clause.name.text, clause.name.span)
                    except Wrong as error:
                        self.tell(error)

    def unused(self, file: GraphFile) -> None:
        """Imports that nothing names, told where nothing worse is wrong."""
        if any(diagnostic.severity == "error" for diagnostic in self.diagnostics.values()):
            return
        for alias, use in file.uses.items():
            if alias not in file.used:
                span = use.alias.span if use.alias else use.file.span
                message = f"nothing of `{alias}` is used"
                self.report(Diagnostic("ATK190", message, span, "leave the `use` out", severity="warning"))

    def wanted(self, linked: Mapping[str, Linked]) -> set[str]:
        """The file's own nodes and what they are made from; not the graphs that nothing calls."""

        def own(entry: Linked) -> bool:
            home: Instance | None = entry.flat.home
            while home is not None and home.parent is not None:
                home = home.parent
            return home is not None and home.graph is None and not home.prefix

        waiting = [name for name, entry in linked.items() if own(entry)]
        found = set(waiting)
        while waiting:
            for source in linked[waiting.pop()].sources:
                if source not in found and source in linked:
                    found.add(source)
                    waiting.append(source)
        return found
