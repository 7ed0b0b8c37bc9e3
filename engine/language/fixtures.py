"""The tables that a test gives: rows written in the graph, checked against the columns they stand for.

Ids are any texts here; what they are in the store is for whoever runs the test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.frozen import dataclass
from engine.language import tree as ast
from engine.language.binding import Unbound, spelled
from engine.language.columns import struct_fields
from engine.language.diagnostics import Diagnostic, Span, Wrong, suggestion, wrong
from engine.language.expressions import MISSING, element, family
from engine.language.kind import Role
from engine.language.program import Node
from engine.language.settings import roles
from engine.language.types import Optional

if TYPE_CHECKING:
    from engine.language.trying import TestCheck


@dataclass(frozen=True)
class FixtureRow:
    """One given row: every column (None where it was left out), ids (node -> text), its own too."""

    columns: Mapping[str, Any]
    ids: Mapping[str, str]
    span: Span


@dataclass(frozen=True)
class Fixture:
    """A given table, in the order written."""

    node: str
    rows: tuple[FixtureRow, ...]
    span: Span


class Fixtures:
    """The given tables of one test."""

    def __init__(self, check: TestCheck, given: Mapping[str, ast.ClauseDeclaration], path: Sequence[str]):
        self.check, self.given, self.path = check, given, path
        self.present: dict[str, set[str]] = {}  # table -> columns that some row gives
        self.written: dict[str, list[ast.Object]] = {}

    def run(self) -> dict[str, Fixture] | None:
        """The tables; None where something is wrong, which is reported."""
        made: dict[str, Fixture] = {}
        for name, clause in self.given.items():
            try:
                made[name] = self.table(name, clause)
            except Wrong as error:
                self.check.tell(error)
        if len(made) < len(self.given):
            return None
        before = self.check.failed
        self.check.failed = False
        self.lineage(made)
        self.needed(made)
        good = not self.check.failed
        self.check.failed |= before
        return made if good else None

    # -- rows -------------------------------------------------------------------------------------

    def table(self, name: str, clause: ast.ClauseDeclaration) -> Fixture:
        """Raises `Wrong` with all that is wrong with the rows."""
        node, value = self.check.node(name), clause.value
        if not isinstance(value, ast.Sequence) or value.bracket != "[":
            raise wrong(
                "ATK203", "a table is given as a list of rows", value.span, "[{ column: value }, { … }]"
            )
        rows: list[FixtureRow] = []
        told: list[Diagnostic] = []
        failed = False
        self.present[name], self.written[name] = set(), []
        for item in value.items:
            try:
                rows.append(self.row(node, item, len(rows) + 1))
            except Wrong as error:
                failed = True
                told += error.diagnostics
        if failed:
            raise Wrong(*told)
        if not value.items:
            del self.present[name]  # a table without rows has its columns all the same
        self.distinct(node, rows)
        assert clause.name is not None
        return Fixture(name, tuple(rows), clause.name.span)

    def row(self, node: Node, item: ast.Expression, number: int) -> FixtureRow:
        if not isinstance(item, ast.Object):
            raise wrong("ATK203", "a row is an object", item.span, "{ column: value }")
        self.written[node.name].append(item)
        ids = {column: one for one, column in self.check.ids(node).items()}
        columns: dict[str, Any] = dict.fromkeys(node.columns)
        named = {node.name: str(number)}
        told: list[Diagnostic] = []
        failed = False
        seen: set[str] = set()
        for key, written in item.pairs:
            try:
                if key.text in seen:
                    raise wrong("ATK102", f"`{key.text}` is given twice", key.span)
                seen.add(key.text)
                if key.text in ids:
                    named[ids[key.text]] = self.id(written)
                elif key.text in columns:
                    columns[key.text] = self.value(node.columns[key.text].type, written, key.text)
                    self.present[node.name].add(key.text)
                else:
                    help = suggestion(key.text, {*columns, *ids})
                    raise wrong("ATK204", f"`{node.name}` has no column `{key.text}`", key.span, help)
            except Wrong as error:
                failed = True
                told += error.diagnostics
        if failed:
            raise Wrong(*told)
        return FixtureRow(columns, named, item.span)

    def id(self, written: ast.Expression) -> str:
        value = self.constant(written)
        if not isinstance(value, str) or not value:
            raise wrong("ATK212", "an id is a text", written.span, 'any will do: "p1"')
        return value

    def constant(self, written: ast.Expression) -> Any:
        """A value, worked out with the test's params. Raises `Wrong`."""
        known = self.check.known
        for part in ast.walk(written):
            if isinstance(part, ast.Name) and part.name in known and known[part.name].value is MISSING:
                help = f"set it in the test: {part.name} = …"
                raise wrong("ATK210", f"the param `{part.name}` has no value in this test", part.span, help)
        return self.check.expressions.constant(written, self.check.checking.top.scope())

    def value(self, type_: str, written: ast.Expression, what: str) -> Any:
        """The value, in the type of its column. Raises `Wrong` at the part that does not fit."""
        if isinstance(written, ast.Sequence) and written.bracket == "[" and type_.endswith("]"):
            return [self.value(element(type_), item, what) for item in written.items]
        if isinstance(written, ast.Object) and type_.startswith("STRUCT("):
            fields = struct_fields(type_)
            made: dict[str, Any] = dict.fromkeys(fields)
            for key, inner in written.pairs:
                if key.text not in fields:
                    help = suggestion(key.text, fields)
                    raise wrong("ATK204", f"`{what}` has no field `{key.text}`", key.span, help)
                made[key.text] = self.value(fields[key.text], inner, f"{what}.{key.text}")
            return made
        value = self.constant(written)
        if not fitting(type_, value):
            raise wrong("ATK205", f"`{what}` is {spelled(type_)}, and this is {_called(value)}", written.span)
        return value

    def distinct(self, node: Node, rows: Sequence[FixtureRow]) -> None:
        """No two rows have one id."""
        seen: dict[str, FixtureRow] = {}
        for row in rows:
            first = seen.setdefault(row.ids[node.name], row)
            if first is not row:
                message = f'two rows of `{node.name}` have the id "{row.ids[node.name]}"'
                raise wrong("ATK212", message, row.span, f"`{self.check.ids(node)[node.name]}` names one row")

    # -- what must be there ------------------------------------------------------------------------

    def lineage(self, made: Mapping[str, Fixture]) -> None:
        """An id of a given ancestor is one of its rows'; a `gather` finds the rows of its ancestor."""
        for fixture in made.values():
            for row in fixture.rows:
                for above, text in row.ids.items():
                    if above == fixture.node or above not in made:
                        continue
                    known = {one.ids[above] for one in made[above].rows}
                    if text not in known:
                        self.check.report_here(
                            Diagnostic(
                                "ATK212",
                                f'no given row of `{above}` has the id "{text}"',
                                row.span,
                                suggestion(text, known),
                            )
                        )
        for name in self.path:
            node = self.check.node(name)
            kind = self.check.checking.given.kinds[node.kind]
            for setting, role in roles(kind.settings).items():
                named = getattr(node.settings, setting, None)
                if role is not Role.TABLE or not isinstance(named, str) or named in self.path:
                    continue
                for source in node.inputs:
                    for table in self.behind(source, made):
                        if named != table:
                            self.every_row(made[table], name, named)

    def behind(self, source: str, made: Mapping[str, Fixture]) -> list[str]:
        """The given tables that the rows of a table come from."""
        if source in made:
            return [source]
        return [one for one in self.check.node(source).ancestors if one in made][:1]

    def every_row(self, fixture: Fixture, reader: str, above: str) -> None:
        for row in fixture.rows:
            if above not in row.ids:
                self.lacks(reader, self.check.ids(self.check.node(above))[above], row.span)

    def lacks(self, reader: str, column: str, span: Span) -> None:
        self.check.report_here(
            Diagnostic("ATK206", f"`{reader}` reads `{column}`, and this row has none", span)
        )

    def needed(self, made: Mapping[str, Fixture]) -> None:
        """Columns that the nodes on the way read are given, unless their type lets them be absent."""
        wanted: dict[str, dict[str, str]] = {name: {} for name in made}
        for name in self.path:
            node = self.check.node(name)
            if node.skipped:
                continue
            self.query(node, made)
            for column in sorted(self.reads(node)):
                for source in node.inputs:
                    table = self.giver(source, column, made)
                    if table is not None:
                        wanted[table].setdefault(column, name)
        for table, columns in wanted.items():
            for column, reader in columns.items():
                if self.optional(table, column):
                    continue
                for item in self.written[table]:
                    if column not in {key.text for key, _ in item.pairs}:
                        self.lacks(reader, column, item.span)

    def giver(self, source: str, column: str, made: Mapping[str, Fixture]) -> str | None:
        """The given table from which an input has a column; None where a node on the way makes it."""
        node = self.check.node(source)
        if column not in node.columns:
            return None
        if source in made:
            return source
        owner = node.columns[column].owner
        for one in node.ancestors:
            if one in made and (found := self.check.node(one).columns.get(column)) and found.owner == owner:
                return one
        return None

    def optional(self, table: str, column: str) -> bool:
        """Whether the type of a column says that it may be absent."""
        owner = self.check.program.nodes.get(self.check.node(table).columns[column].owner)
        record = owner.record if owner else None
        return any(one.name == column and isinstance(one.type, Optional) for one in record or ())

    def reads(self, node: Node) -> set[str]:
        """Columns of its input that a node is known to read."""
        kind = self.check.checking.given.kinds[node.kind]
        own = set(node.own)
        found = {name for template in (node.template, *node.pool) if template for name in template.reads}
        for section in node.sections.values():
            found |= section.template.reads - own if section.template else set()
        for clause in node.clauses:
            if clause.word != "expect":
                found |= clause.reads if clause.word in ("where", "let") else clause.reads - own
        for expression in node.expressions.values():
            found |= expression.reads
        for setting, role in roles(kind.settings).items():
            value = getattr(node.settings, setting, None)
            if role is Role.COLUMN and value is not None:
                found |= {value} if isinstance(value, str) else set(value)
        if not found and (known := kind.reads(node)) is not None:
            found |= known
        return found - {str(clause.name) for clause in node.of("let")}

    def query(self, node: Node, made: Mapping[str, Fixture]) -> None:
        """A query that reads a column which no row gives does not bind without it."""
        linked = self.check.checking.linked.get(node.name)
        query = linked.query if linked else None
        if query is None:
            return
        tables: dict[tuple[str, ...], dict[str, str]] = {}
        for parts, name in query.tables.items():
            source = self.check.node(name)
            shown = {node.id_of(one): "UUID" for one in (name, *source.ancestors)}
            present = self.present.get(name)
            shown |= {
                column: entry.type
                for column, entry in source.columns.items()
                if present is None or column in present
            }
            tables[parts] = shown | ({"reason": "VARCHAR"} if parts in query.views else {})
        from engine.language.link import parameters_in_force

        flat = self.check.checking.expansion.flat[node.name]
        try:
            self.check.expressions.binder.describe(
                query.written.value, tables, parameters_in_force(flat, query)
            )
        except Unbound as error:
            if error.sort == "column" and error.name:
                given = [one for one in query.tables.values() if one in made]
                lacking = (one for one in given if error.name in self.check.node(one).columns)
                first = next(lacking, next(iter(given), None))
                if first is not None:
                    self.check.report_here(
                        Diagnostic(
                            "ATK206",
                            f"the query of `{node.name}` reads `{error.name}`, and no row has it",
                            made[first].span,
                        )
                    )


def fitting(type_: str, value: Any) -> bool:
    """Whether a constant can stand in a column of a DuckDB type."""
    if value is None:
        return True
    sort = family(type_)
    if sort == "number":
        whole = isinstance(value, int) and not isinstance(value, bool)
        return whole or (isinstance(value, float) and type_.startswith(("DOUBLE", "FLOAT", "DECIMAL")))
    if sort == "bool":
        return isinstance(value, bool)
    if sort == "list":
        return isinstance(value, list) and all(fitting(element(type_), one) for one in value)
    if sort == "object":
        fields = struct_fields(type_)
        return isinstance(value, dict) and all(
            name in fields and fitting(fields[name], one) for name, one in value.items()
        )
    return isinstance(value, str)  # texts, and what DuckDB reads from a text: dates, JSON


def _called(value: Any) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return f"the number {value}"
        case str():
            return "a text"
        case list():
            return "a list"
    return "an object"
