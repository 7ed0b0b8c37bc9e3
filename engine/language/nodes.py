"""One node after another, inputs first: settings, columns, lineage, clauses, templates.

What an earlier error hides is not asked for: a table whose columns are unknown makes silent
what depends on them, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from engine.language import gates
from engine.language import tree as ast
from engine.language.blocks import Blocks
from engine.language.cases import left_out
from engine.language.columns import Table, alternatives, id_column, over
from engine.language.diagnostics import Diagnostic, Reporting, Wrong
from engine.language.expressions import MISSING
from engine.language.files import record_of
from engine.language.ids import id_columns
from engine.language.instances import Flat, Instance
from engine.language.kind import Problem, Role, Shape
from engine.language.link import Linked, parameters_in_force
from engine.language.meanings import Meanings, Surroundings
from engine.language.program import Column, Node, Section
from engine.language.queries import bound
from engine.language.settings import Filled, fill, role_of
from engine.language.types import Type, duckdb_type
from engine.language.variables import undeclared

if TYPE_CHECKING:
    from engine.language.shaping import Shaping


class NodeCheck(Reporting):
    """One node on its way."""

    def __init__(self, all_: Shaping, linked: Linked):
        self.all, self.linked, self.tools = all_, linked, all_.tools
        self.flat: Flat = linked.flat
        self.kind, self.home, self.declaration = self.flat.kind, self.flat.home, self.flat.declaration
        self.wrong = linked.blind
        self.inputs: list[Table | None] = []
        self.skipped = False
        self.ids: tuple[str, ...] = ()
        self.declared: dict[str, Type] = {}

    def report(self, diagnostic: Diagnostic) -> None:
        self.wrong = True
        self.tools.report(diagnostic)

    def tell(self, error: Wrong) -> None:
        self.wrong = True
        super().tell(error)

    @property
    def seen(self) -> list[Table] | None:
        """The input tables, or None where one is hidden."""
        tables = [table for table in self.inputs if table is not None]
        return None if self.linked.blind or len(tables) < len(self.inputs) else tables

    @property
    def before(self) -> dict[str, str] | None:
        """Columns of the row that goes in; of several inputs, the first has precedence."""
        tables = self.seen
        if tables is None:
            return None
        merged: dict[str, str] = {}
        for table in tables:
            merged = {**self.types(table), **merged}
        return merged

    def types(self, table: Table) -> dict[str, str]:
        """Columns of an input. One that is left out itself may read what is left out with it."""
        if not self.skipped:
            return table.types
        return {name: column.type for name, column in table.absent.items()} | table.types

    def hint(self, name: str) -> str | None:
        return next((said for table in self.inputs if table and (said := table.missed(name))), None)

    # -- in order --------------------------------------------------------------------------

    def run(self) -> None:
        sources = self.linked.sources
        self.slots()
        self.inputs = [None if self.wrong else self.all.tables.get(name) for name in sources]
        result = self.result()
        self.skipped = self.left_out()
        main = self.meanings()
        filled = self.settings(main)
        blocks = self.sections()
        query = self.query()
        own = self.own(filled, blocks.types, result, query)
        self.declared = self.fields(result, blocks.types, own)
        table = self.table(filled, own)
        self.all.tables[self.flat.name] = table
        fitting = gates.check_words(
            self.kind, self.declaration.kind.dotted, self.declaration.block.clauses, self.report
        )
        checked = self.clauses(fitting, table, filled, blocks.types, result, query)
        if checked is not None and self.before is not None:
            self.templates(main, blocks, checked.lets, self.extra(filled, blocks.types, result, query))
        if self.wrong or table is None or own is None or checked is None or filled.settings is None:
            return
        self.finish(filled.settings, result, checked.clauses, blocks.sections, main, own, table)

    def finish(
        self,
        settings: BaseModel,
        result: Type | None,
        clauses: tuple[Any, ...],
        sections: dict[str, Section],
        main: Meanings,
        own: Mapping[str, str],
        table: Table,
    ) -> None:
        declaration = self.declaration
        tables = {
            path.dotted: name for path, name in zip(declaration.inputs, self.linked.inputs, strict=False)
        } | self.linked.beside
        if self.linked.query:
            query = self.linked.query
            tables |= {
                ".".join(parts): f"{query.views[parts]}.{name}" if parts in query.views else name
                for parts, name in query.tables.items()
            }
        self.all.nodes[self.flat.name] = Node(
            name=self.flat.name,
            kind=self.kind.name,
            inputs=tuple(self.linked.sources),
            result=result,
            settings=settings,
            clauses=clauses,
            sections=sections,
            template=main.template,
            expressions=main.rows,
            own={} if self.skipped else dict(own),
            columns=table.columns,
            ancestors=table.ancestors,
            tables=tables,
            values={
                name: known.value for name, known in self.home.known.items() if known.value is not MISSING
            },
            doc=declaration.doc,
            span=declaration.name.span,
            skipped=self.skipped,
            folder=self.home.file.folder,
            ids=self.id_columns,
            after=self.home.waits,
            waits=tuple(main.waits),
            pool=tuple(template for template, _ in main.pool),
        )

    # -- what goes in ------------------------------------------------------------------------

    def slots(self) -> None:
        """Tables that came in through slots have the columns that the slots ask for."""
        names = [path.dotted for path in self.declaration.inputs]
        if self.linked.query:
            names += [".".join(parts) for parts in self.linked.query.tables]
        for name in dict.fromkeys(names):
            if name in self.home.slots and not self.all.slots.fits(self.home, name):
                self.wrong = True
                self.linked.blind = True

    def result(self) -> Type | None:
        written, name = self.declaration.result, self.declaration.name
        kind = self.declaration.kind.dotted
        if written is None:
            if self.kind.result == "required":
                self.say(
                    "ATK171",
                    f"`{name.text}` does not say what it gives",
                    name.span,
                    f"`{kind} {name.text} … -> T`",
                )
            return None
        if self.kind.result == "forbidden":
            self.say("ATK171", f"`{kind}` takes no `->`", written.span)
            return None
        try:
            return self.tools.expansion.loader.type(self.home.file, written)
        except Wrong as error:
            self.tell(error)
            return None

    # -- settings ------------------------------------------------------------------------------

    def meanings(self) -> Meanings:
        around = Surroundings(
            self.flat,
            self.before,
            self.hint,
            self.linked.inputs,
            [path.dotted for path in self.declaration.inputs],
            self.above(),
            self.skipped,
        )
        tools = self.tools
        return Meanings(around, tools.expressions, tools.expansion, tools.models, tools.prompts, tools.shown)

    def above(self) -> list[str] | None:
        """The first input and its ancestors."""
        sources = self.linked.sources
        if self.seen is None or not sources or self.inputs[0] is None:
            return None if sources else []
        return [sources[0], *self.inputs[0].ancestors]

    def left_out(self) -> bool:
        """Whether `when` is false. What is wrong with it is told with the other settings."""
        forced = self.tools.whens.get(self.flat.name)
        return left_out(self.tools.expansion, self.flat) if forced is None else not forced

    def settings(self, main: Meanings) -> Filled:
        filled = fill(
            self.kind.settings,
            self.declaration.block.settings,
            self.declaration.kind.dotted,
            self.declaration.name,
            main.evaluate,
            self.report,
            self.kind.sections,
        )
        for name, info in self.kind.settings.model_fields.items():
            if role_of(info) is Role.MODEL and name not in filled.values and isinstance(info.default, str):
                self.unsaid_model(info.default)
        self.wrong |= filled.settings is None
        return filled

    def unsaid_model(self, name: str) -> None:
        """A model that is asked without being named must be whole like any other."""
        try:
            self.tools.models.use(self.home, name, self.declaration.kind.span, not self.skipped)
        except Wrong as error:
            self.tell(error)

    def sections(self) -> Blocks:
        def type_of(written: ast.TypeExpression) -> Type:
            return self.tools.expansion.loader.type(self.home.file, written)

        blocks = Blocks(self.kind, self.declaration, type_of, self.meanings, self.report).read()
        self.wrong |= not blocks.ok
        return blocks

    # -- columns --------------------------------------------------------------------------------

    @cached_property
    def id_columns(self) -> dict[str, str]:
        """The ids that may be named where the node is written, by their nodes."""
        return self.ids_in(self.home)

    def ids_in(self, home: Instance) -> dict[str, str]:
        """The same, for code that is written elsewhere: an `expect` at a call."""
        names = [self.flat.name]
        columns: set[str] = set()
        for name, table in zip(self.linked.sources, self.inputs, strict=False):
            if table is not None:
                names += [name, *table.ancestors]
                columns |= table.columns.keys()
        return id_columns(self.tools.expansion, home, names, columns)

    def shown_columns(self, name: str, called: Mapping[str, str]) -> dict[str, str]:
        """A table as a query sees it: its id, those of its ancestors, its columns."""
        table = self.all.tables[name]
        assert table is not None
        ids = {called[one]: "UUID" for one in (name, *table.ancestors)}
        return ids | {column: kind for column, kind in table.types.items() if column not in ids}

    def query(self) -> dict[str, str] | None:
        """Columns that the query gives; those that are ids of ancestors become lineage."""
        query = self.linked.query
        if query is None or self.seen is None:
            return None
        tables: dict[tuple[str, ...], dict[str, str]] = {}
        for parts, name in query.tables.items():
            reason = {"reason": "VARCHAR"} if parts in query.views else {}
            tables[parts] = self.shown_columns(name, self.id_columns) | reason
        above: dict[str, str] = {}
        for name, table in zip(self.linked.sources, self.seen, strict=True):
            above |= {self.id_columns[one]: one for one in (name, *table.ancestors)}
        values = parameters_in_force(self.flat, query)
        try:
            columns, ids = bound(self.tools.binder, query, tables, values, above, self.hint)
        except Wrong as error:
            self.tell(error)
            return None
        self.ids = self.nearest(ids)
        return columns

    def nearest(self, names: set[str]) -> tuple[str, ...]:
        """Ancestors, the last made first."""
        return tuple(sorted(names, key=lambda name: -self.all.place.get(name, -1)))

    def own(
        self,
        filled: Filled,
        sections: Mapping[str, Type | None],
        result: Type | None,
        query: dict[str, str] | None,
    ) -> dict[str, str] | None:
        """The columns that the node adds, or None where that cannot be known."""
        if self.linked.query is not None and query is None:
            return None
        hidden = self.before is None
        if self.kind.either:
            return None if hidden else alternatives(self.seen or [])[1]
        try:
            own = dict(self.kind.own(self.shape(filled, sections, result, query)))
        except Problem as problem:
            untyped = result is None and (
                self.declaration.result is not None or self.kind.result == "required"
            )
            unknown = bool(filled.unknown) and problem.setting not in filled.values
            if not hidden and not untyped and not unknown:
                self.report(self.objection(problem, filled))
            self.wrong = True
            return None
        except Exception:
            if not self.wrong:
                raise
            return None
        if hidden and self.linked.query is None and self.depends(filled):
            return None
        return own if self.own_names(own) else None

    def depends(self, filled: Filled) -> bool:
        """Whether the columns follow from the input's, and not from the type alone."""
        return self.declaration.result is None or self.kind.keeping(filled.partial)

    def own_names(self, own: Mapping[str, str]) -> bool:
        """Own columns must not look like ids."""
        above = {id_column(self.flat.name): self.flat.name}
        for name, table in zip(self.linked.sources, self.inputs, strict=False):
            if table is not None:
                above |= {id_column(one): one for one in (name, *table.ancestors)}
        taken = [name for name in own if name in above]
        for name in taken:
            self.say(
                "ATK128",
                f"`{name}` is the id of `{above[name]}`",
                self.declaration.name.span,
                "give the column another name",
            )
        return not taken

    def shape(
        self,
        filled: Filled,
        sections: Mapping[str, Type | None],
        result: Type | None,
        query: dict[str, str] | None,
    ) -> Shape:
        sources = self.linked.sources
        above = {name: self.all.tables.get(name) for name in self.above() or ()}
        return Shape(
            name=self.flat.name,
            inputs=[self.types(table) if table else {} for table in self.inputs],
            names=sources,
            result=result,
            settings=filled.settings or filled.partial,
            sections=sections,
            query=query,
            ancestors={name: table.types for name, table in above.items() if table},
            lineage=[table.ancestors if table else () for table in self.inputs],
            kinds={name: table.kind for name, table in above.items() if table},
            folder=self.home.file.folder,
        )

    def objection(self, problem: Problem, filled: Filled) -> Diagnostic:
        spans = {
            section.name.text: section.name.span for section in self.declaration.block.sections
        } | filled.spans
        span = spans.get(problem.setting or "", self.declaration.name.span)
        return Diagnostic(problem.code, problem.message, span, problem.help)

    def fields(
        self, result: Type | None, sections: Mapping[str, Type | None], own: Mapping[str, str] | None
    ) -> dict[str, Type]:
        """Own columns as the type behind `->` declares them, but what a block may write otherwise."""
        fields = {one.name: one.type for one in record_of(result) or ()}
        for section in sections.values():
            for one in record_of(section) or ():
                if fields.get(one.name) != one.type:
                    fields.pop(one.name, None)
        return {name: type_ for name, type_ in fields.items() if (own or {}).get(name) == duckdb_type(type_)}

    def shapes(self, table: Table) -> dict[str, Type]:
        """Columns whose declared type is the same for whatever a clause may see under their name."""
        found: dict[str, Type] = {}
        for one in (*(self.seen or ()), table):
            for name, column in one.columns.items():
                if column.shape is not None:
                    found.setdefault(name, column.shape)
        return {
            name: shape
            for name, shape in found.items()
            if all(
                one.columns[name].shape == shape for one in (*(self.seen or ()), table) if name in one.columns
            )
        }

    def table(self, filled: Filled, own: Mapping[str, str] | None) -> Table | None:
        """The node's table: which columns it shows, who stores them, whose ids travel along."""
        if own is None or (self.seen is None and self.depends(filled)):
            return None
        name = self.flat.name
        tables = self.seen or []
        absent = {
            name: column for table in tables for name, column in table.absent.items() if name not in own
        }
        if self.skipped and tables:
            absent |= {
                column: Column(kind, name) for column, kind in own.items() if column not in tables[0].columns
            }
            return Table(tables[0].columns, self.through(), self.kind.name, absent)
        added = {column: Column(kind, name, self.declared.get(column)) for column, kind in own.items()}
        if self.linked.query is not None:
            return Table(added, self.ids, self.kind.name, absent)
        if self.kind.either:
            return Table(over(alternatives(tables)[0], added), self.through(), self.kind.name, absent)
        base = self.base(filled)
        if base is not None:
            below, table = base
            return Table(over(table.columns, added), (below, *table.ancestors), self.kind.name, absent)
        if tables and self.kind.keeping(filled.partial):
            return Table(over(tables[0].columns, added), self.through(), self.kind.name, absent)
        return Table(added, self.through(), self.kind.name, {})

    def base(self, filled: Filled) -> tuple[str, Table] | None:
        if filled.settings is None:
            return None
        name = self.kind.base(filled.settings)
        table = self.all.tables.get(name) if name else None
        return (name, table) if name and table else None

    def through(self) -> tuple[str, ...]:
        """All inputs and their ancestors."""
        names: set[str] = set()
        for name, table in zip(self.linked.sources, self.inputs, strict=True):
            names |= {name, *(table.ancestors if table else ())}
        return self.nearest(names)

    # -- rows -----------------------------------------------------------------------------------

    def extra(
        self,
        filled: Filled,
        sections: Mapping[str, Type | None],
        result: Type | None,
        query: dict[str, str] | None,
    ) -> Mapping[str, Mapping[str, str]]:
        try:
            return self.kind.scopes(self.shape(filled, sections, result, query))
        except Exception:
            if not self.wrong:
                raise
            return {}

    def clauses(
        self,
        written: Sequence[ast.ClauseDeclaration],
        table: Table | None,
        filled: Filled,
        sections: Mapping[str, Type | None],
        result: Type | None,
        query: dict[str, str] | None,
    ) -> gates.Checked | None:
        if table is None or self.before is None:
            return None
        self.all.tables.setdefault(self.flat.name, table)
        before, extra = self.before, self.extra(filled, sections, result, query)

        def rows(home: Instance) -> gates.Rows:
            ids = self.id_columns if home is self.home else self.ids_in(home)
            real = {ids[one]: id_column(one) for one in (self.flat.name, *table.ancestors)}
            after = self.shown_columns(self.flat.name, ids)
            return gates.Rows(before, after, extra, home.known, self.hint, self.shapes(table), real)

        checked = gates.check(self.tools.expressions, written, rows(self.home), self.report)
        handed = gates.of_calls(self.tools.expressions, self.flat.handed, rows, self.report)
        self.wrong |= not (checked.ok and handed.ok)
        return gates.Checked((*checked.clauses, *handed.clauses), checked.lets, checked.ok and handed.ok)

    def templates(
        self,
        main: Meanings,
        blocks: Blocks,
        lets: Mapping[str, str],
        extra: Mapping[str, Mapping[str, str]],
    ) -> None:
        """Every variable of a template is a column, a `let` or a param."""
        given = {*(self.before or {}), *lets, *self.home.known}
        given |= {one.name.text for one in self.declaration.block.clauses if one.name is not None}
        self.variables(main, given)
        reply = {column for scope in extra.values() for column in scope}
        for name, meanings in blocks.meanings.items():
            record = record_of(blocks.types.get(name))
            fields = {one.name for one in record} if record is not None else set()
            self.variables(meanings, given | reply | fields)

    def variables(self, meanings: Meanings, given: set[str]) -> None:
        for template, _ in meanings.templates:
            self.all.files |= dict.fromkeys((template.path, *template.files))
        for diagnostic in undeclared(meanings, given, self.home, self.hint, self.tools.shown):
            self.report(diagnostic)
