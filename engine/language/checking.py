"""From a graph file to a `Program`: everything that can be known before anything runs.

This module puts the steps in their order (files, params, models, calls written out, edges,
nodes) and gathers what each has to say. It writes nothing and runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.language import templates
from engine.language import tree as ast
from engine.language.binding import Binder
from engine.language.cases import ELSEWHERE, Case, at_hand, cases, described, left_out, told, too_many
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
from engine.language.program import Node, Program
from engine.language.shaping import Shaping, Tools
from engine.language.trial import called
from engine.language.waiting import with_waits

if TYPE_CHECKING:
    from engine.language.testing import Test

_MISSED = re.compile(r"^no (?:[\w ]+ )?named `(\w+)[`.]|^`\{\{ (\w+) \}\}` is no ")


class Checking(Reporting):
    """One check of one file. `like` is the check that a further case of `when` belongs to."""

    file: GraphFile
    expansion: Expansion
    top: Instance
    linked: Mapping[str, Linked]
    program: Program

    def __init__(
        self,
        given: Given,
        case: Case | None = None,
        like: Checking | None = None,
        expressions: Expressions | None = None,
    ):
        self.given, self.case = given, case or Case()
        self.diagnostics: dict[tuple[str, str, Span], Diagnostic] = {}
        self.expressions: Expressions = like.expressions if like else expressions or Expressions(Binder())
        self.expressions.variables = given.environment
        self.loader: Loader = (
            like.loader if like else Loader(given.root, given.graphs, given.kinds, self.report, given.texts)
        )
        self.params = Params(given, self.loader, self.expressions, self.report)

    def report(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.setdefault((diagnostic.code, diagnostic.message, diagnostic.span), diagnostic)

    def run(self, path: Path, text: str | None) -> Program:
        file = self.loader.load(path, text)
        program, expansion = self.whole(path, file)
        told = list(self.diagnostics.values())
        self.cases(path, file, expansion)
        if self.given.tests:
            program.tests = self.tests(file, path, text, told)
        self.unused(file)
        program.diagnostics = self.sorted(file)
        self.expressions.binder.remembered.keep()
        templates.keep()
        return program

    def whole(
        self, path: Path, file: GraphFile, seen: set[frozenset[str]] | None = None
    ) -> tuple[Program, Expansion]:
        """All of a file as it is, or in one case; nothing of a case whose nodes left out are `seen`."""
        profile = self.params.profile(file)
        if self.given.trial is not None:
            profile = self.on_trial(file, *self.given.trial)
        params = self.params.main(file, profile)
        for one in self.loader.files.values():
            self.params.bindings(one)
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
        self.file, self.expansion, self.top, self.linked = file, expansion, top, linked
        specs = models.specs()
        shaping.nodes = with_waits(shaping.nodes, specs, self.report)
        wanted = self.wanted(linked, shaping.nodes)
        program = self.program = Program(
            name=path.stem,
            path=path,
            text=file.source.text.text,
            doc=file.source.doc,
            params=params | self.params.of_imports,
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
        if expansion.full:
            return
        sources = {name: entry.sources for name, entry in self.linked.items()}
        others, unchecked = cases(expansion, sources)
        for one in unchecked:
            self.report(too_many(one, expansion))
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

    def on_trial(
        self, file: GraphFile, graph: ast.GraphDeclaration | None, settings: Mapping[str, ast.Setting]
    ) -> Mapping[str, ast.Setting]:
        """What a test sets: params, or the slots of the graph that it calls over tables of its own."""
        if graph is None:
            return settings
        file.nodes = called(graph, settings, file.source.text)
        return {}

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

        lost = {name for one in self.loader.files.values() for name in one.source.lost}
        told = (one for one in self.diagnostics.values() if not lost or not _misses(one.message, lost))
        return sorted(told, key=place)

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

    def tests(self, file: GraphFile, path: Path, text: str | None, told: Sequence[Diagnostic]) -> list[Test]:
        """The file's tests, each checked over the graph that its own settings make."""
        from engine.language.testing import Tests

        def again(graph: ast.GraphDeclaration | None, settings: Mapping[str, ast.Setting]) -> Checking:
            given = replace(
                self.given,
                values={},
                models={},
                profile=None,
                complete=False,
                tests=False,
                trial=(graph, settings),
            )
            checking = Checking(given, expressions=self.expressions)
            checking.whole(path, checking.loader.load(path, text))
            return checking

        given = self.given
        plain = not given.values and not given.models and given.profile is None
        return Tests(self if plain else None, again, self.report, told).run(file.tests, self)

    def unused(self, file: GraphFile) -> None:
        """Imports that nothing names, told where nothing worse is wrong."""
        if any(diagnostic.severity == "error" for diagnostic in self.diagnostics.values()):
            return
        for alias, use in file.uses.items():
            if alias not in file.used:
                span = use.alias.span if use.alias else use.file.span
                message = f"nothing of `{alias}` is used"
                self.report(Diagnostic("ATK190", message, span, "leave the `use` out", severity="warning"))

    def wanted(self, linked: Mapping[str, Linked], nodes: Mapping[str, Node]) -> set[str]:
        """The file's own nodes and what they are made from; not the graphs that nothing calls."""

        def own(entry: Linked) -> bool:
            home: Instance | None = entry.flat.home
            while home is not None and home.parent is not None:
                home = home.parent
            return home is not None and home.graph is None and not home.prefix

        waiting = [name for name, entry in linked.items() if own(entry)]
        found = set(waiting)
        while waiting:
            name = waiting.pop()
            waits = nodes[name].waits if name in nodes else ()
            for source in (*linked[name].sources, *waits):
                if source not in found and source in linked:
                    found.add(source)
                    waiting.append(source)
        return found


def _misses(message: str, lost: set[str]) -> bool:
    """Whether all that is wrong is that a name is missing whose statement could not be read."""
    found = _MISSED.search(message)
    return found is not None and (found[1] or found[2]) in lost
