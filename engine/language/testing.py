"""`test` statements: what each gives, answers and expects, checked against the graph.

A test is checked over the graph as its own settings make it, by `trying`; its tables are looked
into by `fixtures`, its replies by `canned`. Nothing is run here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from engine.frozen import dataclass
from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Reporting, Span, Wrong, suggestion
from engine.language.expressions import Scope
from engine.language.program import Clause, Program

if TYPE_CHECKING:
    from engine.language.canned import Canned
    from engine.language.checking import Checking
    from engine.language.fixtures import Fixture

Fate = Literal["ok", "rejected", "failed"]

TAKES = "it takes `given`, `expect`, `reply`, params, and the blocks `rejected` and `failed`"
ENVIRONMENT = frozenset({"ATK112", "ATK180", "ATK184"})
"""What a run needs and a test does without: values from outside, keys and addresses."""


@dataclass(frozen=True)
class Expectation:
    """An `expect`, over the node's rows or over those that were set aside.

    `parts` are what its comparisons compare, as written and as SQL: what was seen is told by them.
    """

    fate: Fate
    clause: Clause
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Test:
    """A sound test. `program` is the graph with the test's settings in force."""

    node: str
    says: str
    program: Program = field(repr=False)
    fixtures: Mapping[str, Fixture]
    path: tuple[str, ...]  # the nodes that run, inputs first; the last is the one tested
    replies: Mapping[str, tuple[tuple[Canned, ...], ...]]  # node -> for each row that asks, its calls
    expects: tuple[Expectation, ...]
    columns: Mapping[str, str]  # what expectations see of the table, ids as the test names them
    ids: Mapping[str, str]  # of those the ids, by their nodes
    span: Span
    __test__ = False  # a name that pytest would collect


class Tests(Reporting):
    """The tests of one file. `again` checks the file anew with other settings in force; `told` is what
    is wrong with it whatever is set."""

    def __init__(
        self,
        plain: Checking | None,
        again: Callable[[ast.GraphDeclaration | None, Mapping[str, ast.Setting]], Checking],
        report: Callable[[Diagnostic], None],
        told: Sequence[Diagnostic] = (),
    ):
        self.again, self.report = again, report
        self.checkings: dict[tuple[object, ...], Checking] = {(None,): plain} if plain else {}
        self.seen: dict[tuple[str, str], ast.TestDeclaration] = {}
        self.broken = any(one.severity == "error" and one.code not in ENVIRONMENT for one in told)

    def run(self, file_tests: Sequence[ast.TestDeclaration], checking: Checking) -> list[Test]:
        """The sound ones; what is wrong with the others is reported."""
        made: list[Test] = []
        for declaration in file_tests:
            try:
                self.twice(declaration)
                made.append(self.one(declaration, checking))
            except Wrong as error:
                self.tell(error)
        return made

    def twice(self, declaration: ast.TestDeclaration) -> None:
        first = self.seen.setdefault((declaration.node.dotted, declaration.says), declaration)
        if first is not declaration:
            raise Wrong(
                Diagnostic(
                    "ATK102",
                    f'`{declaration.node.dotted}` has two tests "{declaration.says}"',
                    declaration.node.span,
                    "say of each what it shows",
                    ((first.node.span, "first declared here"),),
                )
            )

    def one(self, declaration: ast.TestDeclaration, checking: Checking) -> Test:
        """One test. Raises `Wrong`."""
        from engine.language.trying import TestCheck

        name = declaration.node.dotted
        file = checking.file
        graph = file.graphs.get(name) if name not in file.nodes else None
        settings = self.settings(declaration, checking, graph)
        found = self.checked(graph, settings)
        self.sound(declaration, checking, found, settings)
        return TestCheck(found, declaration, graph, settings, self.report).run()

    def settings(
        self, declaration: ast.TestDeclaration, checking: Checking, graph: ast.GraphDeclaration | None
    ) -> dict[str, ast.Setting]:
        """The params, or the slots of a tested graph, that the test sets."""
        file = checking.file
        known = {slot.name.text for slot in graph.slots} if graph else set(file.params)
        what = "slot" if graph else "param"
        made: dict[str, ast.Setting] = {}
        told: list[Diagnostic] = []
        for setting in declaration.block.settings:
            name = setting.name.text
            if name == "reply":
                continue
            if name in made:
                told.append(Diagnostic("ATK102", f"`{name}` is set twice", setting.name.span))
            elif name not in known:
                near = suggestion(name, {*known, "reply"})
                help = near if near and near.startswith("did you") else TAKES
                told.append(
                    Diagnostic("ATK104", f"no {what} or setting named `{name}`", setting.name.span, help)
                )
            else:
                made[name] = setting
                if graph is None:
                    told += self.misfit(checking, setting)
        if told:
            raise Wrong(*told)
        return made

    def misfit(self, checking: Checking, setting: ast.Setting) -> tuple[Diagnostic, ...]:
        param = checking.file.params[setting.name.text]
        try:
            type_ = checking.loader.type(checking.file, param.type)
            checking.params.fitting(setting.value, setting.name.text, type_, Scope(what="param"))
        except Wrong as error:
            return error.diagnostics
        return ()

    def checked(self, graph: ast.GraphDeclaration | None, settings: Mapping[str, ast.Setting]) -> Checking:
        """The graph with these settings, checked once for all tests that have the same.

        Of a graph that is wrong itself that is told, and nothing more by other settings. Raises `Wrong`.
        """
        key = (graph.name.text if graph else None, *((n, s.value.text) for n, s in settings.items()))
        if key not in self.checkings:
            if self.broken:
                raise Wrong
            self.checkings[key] = self.again(graph, settings)
        return self.checkings[key]

    def sound(
        self,
        declaration: ast.TestDeclaration,
        plain: Checking,
        found: Checking,
        settings: Mapping[str, ast.Setting],
    ) -> None:
        """A graph that only this test's settings break is told at the test. Raises `Wrong`."""
        if found is plain or not (settings or declaration.node.dotted not in plain.file.nodes):
            return
        told = {(one.code, one.message, one.span) for one in plain.diagnostics.values()}
        here = {(one.value.span.path, one.value.span.line) for one in settings.values()}
        for one in found.diagnostics.values():
            if one.severity != "error" or one.code in ENVIRONMENT:
                continue
            if (one.code, one.message, one.span) in told:
                continue
            if (one.span.path, one.span.line) in here:
                raise Wrong(one)
            at = next(iter(settings.values())).name if settings else declaration.node
            message = f"so set, the graph is wrong: {one.message}"
            related = ((one.span, one.help or "here"),)
            raise Wrong(Diagnostic("ATK213", message, at.span, related=related))
