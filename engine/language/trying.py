"""One test, checked over the graph that its settings make: what runs, what it sees, what it expects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property

from engine.language import gates
from engine.language import tree as ast
from engine.language.canned import replies
from engine.language.checking import Checking
from engine.language.columns import id_column
from engine.language.diagnostics import Diagnostic, Reporting, Span, Wrong, wrong
from engine.language.expressions import MISSING, Known, Scope
from engine.language.fixtures import Fixtures
from engine.language.ids import id_columns
from engine.language.instances import Instance
from engine.language.program import Node
from engine.language.testing import TAKES, Expectation, Fate, Test

COMPARING = ("and", "or", "==", "!=", "<", ">", "<=", ">=", "in", "not in")


class TestCheck(Reporting):
    """One test over the graph that it is about."""

    __test__ = False

    def __init__(
        self,
        checking: Checking,
        declaration: ast.TestDeclaration,
        graph: ast.GraphDeclaration | None,
        settings: Mapping[str, ast.Setting],
        report: Callable[[Diagnostic], None],
    ):
        self.checking, self.declaration, self.graph, self.report = checking, declaration, graph, report
        self.bound = settings
        self.failed = False
        self.program = checking.program
        self.expressions = checking.expressions

    def report_here(self, diagnostic: Diagnostic) -> None:
        self.failed = True
        self.report(diagnostic)

    def tell(self, error: Wrong) -> None:
        self.failed = True
        super().tell(error)

    @property
    def known(self) -> Mapping[str, Known]:
        return self.checking.top.known

    def run(self) -> Test:
        """The test. Raises `Wrong`; what can be told beside that is reported."""
        declaration = self.declaration
        name = self.table(declaration.node.dotted, declaration.node.span)
        self.words(declaration.block)
        given = self.given()
        node = self.node(name)
        path = self.path(name, given)
        fixtures = Fixtures(self, given, path).run()
        answers = replies(self, name, path)
        self.params(path)
        columns = self.columns(node, path)
        expects = self.expects(node, columns)
        if not expects and not self.failed:
            raise wrong(
                "ATK211",
                f'the test "{declaration.says}" expects nothing',
                declaration.node.span,
                "write what must hold: expect count(*) == 1",
            )
        if self.failed or fixtures is None or answers is None:
            raise Wrong
        return Test(
            name,
            declaration.says,
            self.program,
            fixtures,
            tuple(path),
            answers,
            expects,
            columns,
            self.ids(node),
            declaration.node.span,
        )

    # -- names --------------------------------------------------------------------------------

    def table(self, dotted: str, span: Span) -> str:
        """The flat name of a node; inside a tested graph its own nodes need no prefix. Raises `Wrong`."""
        expansion, top = self.checking.expansion, self.checking.top
        if self.graph is not None and dotted not in top.nodes:
            inner = expansion.below(top, f"{self.graph.name.text}.{dotted}")
            if inner is not None:
                return inner
        return expansion.table(top, dotted, span)

    @cached_property
    def home(self) -> Instance:
        """The scope whose names the test uses: the file's, or that of the tested graph."""
        top = self.checking.top
        if self.graph is None:
            return top
        home = self.checking.expansion.flat[self.table(self.graph.name.text, self.declaration.node.span)].home
        while home.parent is not None and home.parent is not top:
            home = home.parent
        return home

    def ids(self, node: Node) -> dict[str, str]:
        """By node, the ids that rows of a table bear, as the test names them: as its scope names tables."""
        found = id_columns(self.checking.expansion, self.home, (node.name, *node.ancestors), node.columns)
        if self.graph is not None and node.name == self.table(
            self.graph.name.text, self.declaration.node.span
        ):
            found[node.name] = id_column(self.graph.name.text)  # the test calls it by the graph's name
        return found

    def node(self, name: str) -> Node:
        """A node that was found sound. Raises `Wrong` (told elsewhere) where it was not."""
        found = self.program.nodes.get(name)
        if found is None:
            raise Wrong
        return found

    def words(self, block: ast.Block) -> None:
        for clause in block.clauses:
            if clause.word.text not in ("given", "expect"):
                self.report_here(
                    Diagnostic("ATK113", f"a `test` takes no `{clause.word.text}`", clause.word.span, TAKES)
                )
        for section in block.sections:
            name = section.name
            if name.text not in ("rejected", "failed") or section.result is not None:
                self.report_here(
                    Diagnostic("ATK104", f"no block of `test` named `{name.text}`", name.span, TAKES)
                )
                continue
            misplaced: list[ast.Word] = [one.name for one in section.block.settings]
            misplaced += [one.name for one in section.block.sections]
            for word in misplaced:
                self.report_here(Diagnostic("ATK104", f"`{name.text}` takes `expect` only", word.span))
            for clause in section.block.clauses:
                if clause.word.text != "expect":
                    self.report_here(
                        Diagnostic("ATK113", f"`{name.text}` takes no `{clause.word.text}`", clause.word.span)
                    )

    def given(self) -> dict[str, ast.ClauseDeclaration]:
        """The given tables by their flat names. Raises `Wrong`."""
        made: dict[str, ast.ClauseDeclaration] = {}
        told: list[Diagnostic] = []
        lost = False
        for clause in self.declaration.block.clauses:
            if clause.word.text != "given" or clause.name is None:
                continue
            try:
                name = self.table(clause.name.text, clause.name.span)
            except Wrong as error:
                told += error.diagnostics
                lost = True
                continue
            if name in made:
                told.append(Diagnostic("ATK102", f"`{clause.name.text}` is given twice", clause.name.span))
            made[name] = clause
        if told or lost:
            raise Wrong(*told)
        return made

    # -- what runs --------------------------------------------------------------------------------

    def path(self, name: str, given: Mapping[str, ast.ClauseDeclaration]) -> list[str]:
        """The nodes between the given tables and the tested one, inputs first. Raises `Wrong`."""
        span, nodes = self.declaration.node.span, self.program.nodes
        if name in given:
            called = given[name].name
            assert called is not None
            raise wrong(
                "ATK200",
                f"`{called.text}` is what is tested: it cannot be given",
                called.span,
                "give the tables that it reads",
            )
        needed = {name}
        reached: set[str] = set()
        lacking: dict[str, str] = {}
        waiting = [name]
        while waiting:
            node = self.node(waiting.pop())
            if node.name == name and self.outside(node):
                raise wrong(
                    "ATK200",
                    f"`{self.declaration.node.dotted}` reads from outside, where a test has no place",
                    span,
                    f"test what is made of it: given {name} = [{{ … }}]",
                )
            for source in node.inputs:
                if source in given:
                    reached.add(source)
                elif self.outside(self.node(source)):
                    lacking.setdefault(source, node.name)
                elif source not in needed:
                    needed.add(source)
                    waiting.append(source)
        if lacking:
            source, reader = next(iter(lacking.items()))
            direct = [one for one in self.node(name).inputs if one not in given]
            example = direct[0] if direct else source
            raise wrong(
                "ATK201",
                f"`{reader}` reads `{source}`, and the test gives nothing in its place",
                span,
                f"give rows of it, or of a table on the way: given {example} = [{{ … }}]",
            )
        above = {one for table in reached for one in self.node(table).ancestors}
        for table, clause in given.items():
            if table not in reached and table not in above and clause.name is not None:
                self.report_here(
                    Diagnostic(
                        "ATK202",
                        f"`{clause.name.text}` is given, and nothing that the test runs reads it",
                        clause.name.span,
                        f"`{self.declaration.node.dotted}` reads "
                        + ", ".join(f"`{one}`" for one in self.node(name).inputs),
                    )
                )
        return [one for one in nodes if one in needed]

    def outside(self, node: Node) -> bool:
        """Whether a node has its rows from outside the graph."""
        return self.checking.given.kinds[node.kind].inputs == (0, 0)

    def params(self, path: Sequence[str]) -> None:
        """Params without a value that something on the way names must be set by the test."""
        missing = {name for name, one in self.known.items() if one.value is MISSING} - set(self.bound)
        if not missing or self.graph is not None:
            return
        for name in path:
            node, flat = self.node(name), self.checking.expansion.flat[name]
            if node.skipped:
                continue
            named = {name for template in node.templates for name in template.reads}
            home, block = flat.home, flat.declaration.block
            named = named & missing if home.graph is None else set()
            while home.parent is not None and home.call is not None:  # up to the call in the file itself
                block, home = home.call.block, home.parent
            named |= set(_names(block)) & missing
            for param in sorted(named):
                missing.discard(param)
                self.report_here(
                    Diagnostic(
                        "ATK210",
                        f"`{name}` reads the param `{param}`, which has no value in this test",
                        self.declaration.node.span,
                        f"set it in the test: {param} = …",
                    )
                )

    # -- expectations ---------------------------------------------------------------------------

    def columns(self, node: Node, path: Sequence[str]) -> dict[str, str]:
        """The node's table as expectations see it: ids of given rows are the texts they were given."""
        ids = dict.fromkeys(self.ids(node).values(), "VARCHAR")
        return ids | {name: column.type for name, column in node.columns.items() if name not in ids}

    def expects(self, node: Node, columns: Mapping[str, str]) -> tuple[Expectation, ...]:
        block = self.declaration.block
        written: list[tuple[Fate, ast.ClauseDeclaration]] = [("ok", one) for one in block.clauses]
        for section in block.sections:
            if section.name.text == "rejected":
                written += [("rejected", one) for one in section.block.clauses]
            elif section.name.text == "failed":
                written += [("failed", one) for one in section.block.clauses]
        made: list[Expectation] = []
        for fate, clause in written:
            if clause.word.text != "expect":
                continue
            seen = dict(columns) if fate == "ok" else {**columns, "reason": "VARCHAR"}
            rows = gates.Rows({}, seen, {}, self.known, lambda name: None)
            checked = gates.check(self.expressions, [clause], rows, self.report_here)
            scope = Scope(seen, self.known)
            made += [
                Expectation(fate, one, tuple(self.compared(clause.value, scope))) for one in checked.clauses
            ]
        return tuple(made)

    def compared(self, root: ast.Expression, scope: Scope) -> Iterator[tuple[str, str]]:
        """The sides of every comparison that are no constants."""
        seen: set[str] = set()
        waiting = [root]
        while waiting:
            part = waiting.pop(0)
            match part:
                case ast.Binary(
                    operator="and" | "or" | "==" | "!=" | "<" | ">" | "<=" | ">=" | "in" | "not in"
                ):
                    waiting = [*part.parts, *waiting]
                case ast.Unary(operator="not"):
                    waiting = [part.of, *waiting]
                case _ if any(isinstance(inner, ast.Name | ast.Star) for inner in ast.walk(part)):
                    text = " ".join(part.text.split())
                    if text not in seen:
                        seen.add(text)
                        yield text, self.expressions.sql(part, scope)


def _names(block: ast.Block) -> Iterator[str]:
    """Every bare word, and every `$word` of a query, in a block."""
    values = [one.value for one in block.settings] + [one.value for one in block.clauses]
    for value in values:
        for part in ast.walk(value):
            if isinstance(part, ast.Name):
                yield part.name
            elif isinstance(part, ast.String):
                yield from re.findall(r"\$(\w+)", part.value)
    for section in block.sections:
        yield from _names(section.block)
