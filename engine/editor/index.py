"""Which word of a graph file stands for what: every name in it, with what it names.

Made from the syntax tree alone, so it is there for files that are not right yet too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.frozen import dataclass
from engine.language import tree as ast
from engine.language.binding import Binder, Unbound
from engine.language.diagnostics import Span, Wrong
from engine.language.files import GraphFile
from engine.language.kind import KindSpec, Role
from engine.language.settings import roles
from engine.language.types import SCALARS

DERIVED = re.compile(r"(\w+?)_(id|index|votes|repairs|template)")
"""Columns that bear their node's name."""


@dataclass(frozen=True)
class Symbol:
    """What a name stands for. `file` is where it is declared, `within` the graph or node around it."""

    sort: str  # node, graph, kind, param, slot, let, type, model, profile, file, template, column, setting
    name: str
    file: Path | None = None
    within: str | None = None


@dataclass(frozen=True)
class Mention:
    """A place where a symbol is named; `defines` where it is declared."""

    span: Span
    symbol: Symbol
    defines: bool = False


@dataclass
class Scope:
    """Names that are known at a place, by what they stand for."""

    tables: dict[str, Symbol]
    values: dict[str, Symbol]  # params or slots
    lets: dict[str, Symbol]


class Index:
    """All mentions of one file, in the order of the tree."""

    def __init__(self, file: GraphFile, kinds: Mapping[str, KindSpec], binder: Binder | None = None):
        self.file, self.kinds, self.binder = file, kinds, binder or Binder()
        self.mentions: list[Mention] = []
        for statement in file.source.statements:
            self.statement(statement)

    def at(self, line: int, column: int) -> Mention | None:
        """The mention at a place (from 1), the narrowest; a place right behind a word counts too."""
        found = [
            mention
            for mention in self.mentions
            if mention.span.line == line
            and mention.span.column <= column <= mention.span.column + mention.span.width
        ]
        return min(found, key=lambda mention: mention.span.width, default=None)

    # -- statements ------------------------------------------------------------------------------

    def add(self, span: Span, symbol: Symbol, defines: bool = False) -> None:
        self.mentions.append(Mention(span, symbol, defines))

    def own(self, sort: str, name: str, within: str | None = None) -> Symbol:
        return Symbol(sort, name, self.file.path, within)

    def top(self) -> Scope:
        tables = {name: self.own("node", name) for name in self.file.nodes}
        values = {name: self.own("param", name) for name in self.file.params}
        return Scope(tables, values, {})

    def statement(self, statement: ast.Statement) -> None:
        scope = self.top()
        match statement:
            case ast.Use():
                self.use(statement)
                for setting in statement.block.settings if statement.block else ():
                    self.values(setting.value, scope)
            case ast.ParamDeclaration():
                self.add(statement.name.span, self.own("param", statement.name.text), True)
                self.type(statement.type)
                self.values(statement.default, scope)
            case ast.TypeDeclaration():
                self.add(statement.name.span, self.own("type", statement.name.text), True)
                self.type(statement.type)
            case ast.ModelDeclaration():
                self.add(statement.name.span, self.own("model", statement.name.text), True)
                if statement.base is not None:
                    self.named("model", statement.base)
                for setting in statement.block.settings:
                    self.add(setting.name.span, Symbol("setting", setting.name.text, within="model"))
                    self.values(setting.value, scope)
            case ast.ProfileDeclaration():
                self.profile(statement)
            case ast.GraphDeclaration():
                self.graph(statement)
            case ast.NodeDeclaration():
                self.node(statement, scope, None)
            case ast.TestDeclaration():
                self.test(statement, scope)

    def use(self, statement: ast.Use) -> None:
        alias = statement.alias.text if statement.alias else Path(statement.file.value).stem
        imported = self.file.imports.get(alias)
        target = Symbol("file", statement.file.value, imported.path if imported else None)
        self.add(statement.file.span, target)
        if statement.alias is not None:
            self.add(statement.alias.span, self.own("alias", alias), True)

    def profile(self, statement: ast.ProfileDeclaration) -> None:
        self.add(statement.name.span, self.own("profile", statement.name.text), True)
        for setting in statement.block.settings:
            name = setting.name.text
            sort = "param" if name in self.file.params else "model"
            self.add(setting.name.span, self.own(sort, name))
            if sort == "model":
                self.model(setting.value)
            else:
                self.values(setting.value, self.top())

    def graph(self, statement: ast.GraphDeclaration) -> None:
        name = statement.name.text
        self.add(statement.name.span, self.own("graph", name), True)
        tables = {inner.name.text: self.own("node", inner.name.text, name) for inner in statement.nodes}
        slots = {slot.name.text: self.own("slot", slot.name.text, name) for slot in statement.slots}
        scope = Scope({**slots, **tables}, slots, {})
        for slot in statement.slots:
            self.add(slot.name.span, slots[slot.name.text], True)
            self.type(slot.type)
            self.values(slot.default, scope)
        self.type(statement.result)
        for inner in statement.nodes:
            self.node(inner, scope, name)
        self.table(statement.returns, scope)

    def test(self, statement: ast.TestDeclaration, scope: Scope) -> None:
        self.table(statement.node, scope)
        lets: dict[str, Symbol] = {}
        for clause in statement.block.clauses:
            if clause.word.text == "given" and clause.name is not None:
                self.dotted(clause.name.text, clause.name.span, scope)
            elif clause.word.text == "expect":
                self.row_expression(clause.value, Scope(scope.tables, scope.values, lets), None)
        for setting in statement.block.settings:
            if setting.name.text in self.file.params:
                self.add(setting.name.span, self.own("param", setting.name.text))

    # -- nodes -----------------------------------------------------------------------------------

    def node(self, node: ast.NodeDeclaration, around: Scope, graph: str | None) -> None:
        name = node.name.text
        self.add(node.name.span, self.own("node", name, graph), True)
        self.kind(node)
        for path in node.inputs:
            self.table(path, around)
        if node.result is not None:
            self.type(node.result)
        where = f"{graph}.{name}" if graph else name
        lets = {
            clause.name.text: self.own("let", clause.name.text, where)
            for clause in node.block.clauses
            if clause.word.text == "let" and clause.name is not None
        }
        scope = Scope(around.tables, around.values, lets)
        kind = self.kinds.get(node.kind.dotted)
        self.block(node.block, kind.settings if kind else None, node.kind.dotted, scope, where)
        for section in node.block.sections:
            self.add(section.name.span, Symbol("setting", section.name.text, within=node.kind.dotted))
            if section.result is not None:
                self.type(section.result)
            model = kind.sections.get(section.name.text) if kind else None
            inner = f"{node.kind.dotted}.{section.name.text}"
            self.block(section.block, model, inner, scope, where)

    def kind(self, node: ast.NodeDeclaration) -> None:
        dotted = node.kind.dotted
        home, rest = self.home(dotted)
        if dotted in self.kinds:
            self.add(node.kind.span, Symbol("kind", dotted))
        elif home is not None and rest in home.graphs:
            self.add(node.kind.words[-1].span, Symbol("graph", rest, home.path))

    def block(self, block: ast.Block, settings: type | None, what: str, scope: Scope, where: str) -> None:
        role_of = roles(settings) if settings is not None else {}
        for setting in block.settings:
            name = setting.name.text
            slot = self.slot_of(what, name)
            self.add(setting.name.span, slot or Symbol("setting", name, within=what))
            self.setting(setting.value, role_of.get(name), scope, where)
        for clause in block.clauses:
            if clause.word.text == "let" and clause.name is not None:
                self.add(clause.name.span, scope.lets[clause.name.text], True)
            self.row_expression(clause.value, scope, where)

    def slot_of(self, kind: str, name: str) -> Symbol | None:
        """The slot of one's own graph that a setting at a call fills."""
        home, rest = self.home(kind)
        if home is None or rest not in home.graphs:
            return None
        known = {slot.name.text for slot in home.graphs[rest].slots}
        return Symbol("slot", name, home.path, rest) if name in known else None

    def setting(self, value: ast.Expression, role: Role | None, scope: Scope, where: str) -> None:
        match role:
            case Role.QUERY:
                self.query(value, scope, where)
            case Role.TEMPLATE if isinstance(value, ast.String):
                self.add(value.span, Symbol("template", value.value))
            case Role.TEMPLATES if isinstance(value, ast.Sequence):
                for item in value.items:
                    self.setting(item, Role.TEMPLATE, scope, where)
            case Role.MODEL:
                self.model(value, scope)
            case Role.TABLE | Role.TABLES | Role.BESIDE:
                self.tables(value, scope)
            case Role.COLUMN | Role.ROW:
                self.row_expression(value, scope, where)
            case _:
                self.values(value, scope)

    # -- names -----------------------------------------------------------------------------------

    def home(self, dotted: str) -> tuple[GraphFile | None, str]:
        """The file that a dotted name points into, and the name there."""
        try:
            used = set(self.file.used)
            found = self.file.split(dotted)
            self.file.used = used  # a look is no use
            return found
        except Wrong:
            return None, dotted

    def named(self, sort: str, path: ast.Path) -> None:
        """A type or a model, perhaps of another file."""
        home, rest = self.home(path.dotted)
        if home is not None and "." not in rest:
            self.add(path.words[-1].span, Symbol(sort, rest, home.path))
        if len(path.words) > 1:
            self.alias(path.words[0])

    def alias(self, word: ast.Word) -> None:
        if word.text in self.file.uses:
            self.add(word.span, self.own("alias", word.text))

    def model(self, value: ast.Expression, scope: Scope | None = None) -> None:
        name = ast.dotted(value)
        if name is None:
            return
        if scope is not None and name in scope.values:
            self.add(value.span, scope.values[name])
            return
        home, rest = self.home(name)
        if home is not None and (rest in home.models or name == "default"):
            end = value.span.column + value.span.width
            at = Span(value.span.path, value.span.line, end - len(rest), len(rest), value.span.source)
            self.add(at, Symbol("model", rest, home.path if rest in home.models else None))

    def table(self, path: ast.Path, scope: Scope) -> None:
        self.dotted(path.dotted, path.span, scope)

    def dotted(self, name: str, span: Span, scope: Scope) -> None:
        """A table: a node, a slot, or an inner table of a call."""
        first = name.partition(".")[0]
        if first in scope.tables:
            at = Span(span.path, span.line, span.column, len(first), span.source)
            self.add(at, scope.tables[first])
        elif first in self.file.uses:
            home, rest = self.home(name)
            if home is not None and rest in home.nodes:
                self.add(span, Symbol("node", rest, home.path))

    def tables(self, value: ast.Expression, scope: Scope) -> None:
        if isinstance(value, ast.Object):
            for key, inner in value.pairs:
                self.dotted(key.text, key.span, scope)
                self.values(inner, scope)
        elif (name := ast.dotted(value)) is not None:
            self.dotted(name, value.span, scope)

    def type(self, written: ast.TypeExpression) -> None:
        match written:
            case ast.TypeName(path=path):
                if path.dotted not in SCALARS:
                    self.named("type", path)
            case ast.TypeMany(of=of) | ast.TypeOptional(of=of):
                self.type(of)
            case ast.TypeUnion(parts=parts):
                for part in parts:
                    self.type(part)
            case ast.TypeRecord(fields=fields):
                for one in fields:
                    self.add(one.name.span, self.own("field", one.name.text), True)
                    self.type(one.type)

    # -- expressions and queries -----------------------------------------------------------------

    def values(self, value: ast.Expression | None, scope: Scope) -> None:
        """An expression that is known when the graph is planned: it names params or slots."""
        if value is None:
            return
        for part in ast.walk(value):
            if isinstance(part, ast.Name) and part.name in scope.values:
                self.add(part.span, scope.values[part.name])

    def row_expression(self, value: ast.Expression, scope: Scope, where: str | None) -> None:
        """An expression over rows: it names columns, `let`s, params or slots."""
        for part in ast.walk(value):
            if isinstance(part, ast.Name):
                self.word(part.name, part.span, scope, where)

    def word(self, name: str, span: Span, scope: Scope, where: str | None) -> None:
        derived = DERIVED.fullmatch(name)
        if name in scope.lets:
            self.add(span, scope.lets[name])
        elif derived and derived[1] in scope.tables:
            at = Span(span.path, span.line, span.column, len(derived[1]), span.source)
            self.add(at, scope.tables[derived[1]])
        elif name in scope.values:
            self.add(span, scope.values[name])
        else:
            self.add(span, Symbol("column", name, self.file.path, where))

    def query(self, value: ast.Expression, scope: Scope, where: str) -> None:
        if not isinstance(value, ast.String):
            return
        taken: set[int] = set()
        try:
            tables, parameters = self.binder.mentions(value.value)
        except Unbound:
            tables, parameters = [], []
        for one in tables:
            parts = (
                one.parts[1:] if one.parts[0] in ("rejected", "failed") and len(one.parts) > 1 else one.parts
            )
            written = value.value[one.start : one.start + one.length]
            at = one.start + (written.find(parts[0]) if parts[0] in written else 0)
            self.dotted(".".join(parts), value.place(at, len(".".join(parts))), scope)
            taken |= set(range(one.start, one.start + one.length))
        for one in parameters:
            if one.parts[0] in scope.values:
                start = one.start + (value.value[one.start : one.start + 1] == "$")
                self.add(value.place(start, len(one.parts[0])), scope.values[one.parts[0]])
                taken |= set(range(one.start, one.start + one.length))
        for found in words(value.value):
            if found.start() not in taken:
                span = value.place(found.start(), len(found[0]))
                self.word(found[0], span, Scope(scope.tables, {}, {}), where)


def words(query: str) -> Iterator[re.Match[str]]:
    """The bare words of a query, strings and comments left out."""
    for found in re.finditer(r"'(?:[^']|'')*'|--[^\n]*|\$?[A-Za-z_]\w*", query):
        if found[0][0] not in "'-$":
            yield found
