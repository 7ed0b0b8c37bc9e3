"""One node after another, inputs first: settings, columns, lineage, clauses, templates.

What an earlier error hides is not asked for: a table whose columns are unknown makes silent
what depends on them, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from engine.language import gates
from engine.language import tree as ast
from engine.language.binding import Binder, Unbound, spelled
from engine.language.columns import Table, fits, id_column, over
from engine.language.diagnostics import Diagnostic, Span, suggestion
from engine.language.expand import Expansion, Flat, Instance
from engine.language.expressions import MISSING, Expressions, Wrong, wrong
from engine.language.kind import Problem, Role, Shape
from engine.language.link import Linked, parameters_in_force
from engine.language.meanings import Meanings, Models, Surroundings
from engine.language.program import Column, Node, Section
from engine.language.settings import Filled, fill, roles
from engine.language.templates import Template
from engine.language.types import Record, Type, duckdb_type


@dataclass
class Tools:
    """What checking a node needs of its surroundings."""

    expressions: Expressions
    expansion: Expansion
    models: Models
    prompts: Callable[[Instance], Sequence[Path]]
    shown: Callable[[Path], str]
    report: Callable[[Diagnostic], None]

    @property
    def binder(self) -> Binder:
        return self.expressions.binder


class Shaping:
    """Works through the nodes in order; `tables` grows with them, `nodes` holds the sound ones."""

    def __init__(self, tools: Tools, order: Sequence[str]):
        self.tools = tools
        self.tables: dict[str, Table | None] = {}
        self.nodes: dict[str, Node] = {}
        self.files: dict[Path, None] = {}  # templates that were read
        self.place = {name: at for at, name in enumerate(order)}
        self.unfit_slots: set[tuple[int, str]] = set()
        self.fit_slots: set[tuple[int, str]] = set()

    def add_stand_in(self, name: str, type_: Type) -> None:
        """A table that stands for a slot where a graph is checked uncalled."""
        record = type_
        while not isinstance(record, Record):
            record = record.of  # type: ignore[union-attr]
        columns = {one.name: Column(duckdb_type(one.type), name) for one in record}
        self.tables[name] = Table(columns, (), "slot")
        self.place.setdefault(name, -1)

    def lacking(self, table: Table, type_: Type) -> list[str]:
        """What a table lacks of the records that a type asks for."""
        record = type_
        while not isinstance(record, Record):
            record = record.of  # type: ignore[union-attr]
        faults: list[str] = []
        for one in record:
            wanted = duckdb_type(one.type)
            if one.name not in table.columns:
                faults.append(f"has no column `{one.name}`")
            elif not fits(table.columns[one.name].type, wanted):
                faults.append(f"has `{one.name}` as {spelled(table.columns[one.name].type)} and not as {spelled(wanted)}")
        return faults

    def run(self, linked: Linked) -> None:
        """Check one node, whose inputs were checked before."""
        _Shaper(self, linked).run()


class _Shaper:
    """One node on its way."""

    def __init__(self, all_: Shaping, linked: Linked):
        self.all, self.linked, self.tools = all_, linked, all_.tools
        self.flat: Flat = linked.flat
        self.kind, self.home, self.declaration = self.flat.kind, self.flat.home, self.flat.declaration
        self.wrong = linked.blind
        self.inputs: list[Table | None] = []
        self.skipped = False
        self.ids: tuple[str, ...] = ()

    def report(self, diagnostic: Diagnostic) -> None:
        self.wrong = True
        self.tools.report(diagnostic)

    def tell(self, error: Wrong) -> None:
        self.wrong = True
        for diagnostic in error.diagnostics:
            self.tools.report(diagnostic)

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
            merged = {**table.types, **merged}
        return merged

    def hint(self, name: str) -> str | None:
        for table in self.inputs:
            if table and name in table.absent:
                return f"`{table.absent[name]}` gives it, but is left out: its `when` is false"
        return None

    # -- in order --------------------------------------------------------------------------

    def run(self) -> None:
        sources = self.linked.sources
        self.slots()
        self.inputs = [None if self.wrong else self.all.tables.get(name) for name in sources]
        result = self.result()
        self.skipped = self.left_out()
        main = self.meanings()
        filled = self.settings(main)
        sections, section_types, inner = self.sections()
        query = self.query()
        own = self.own(filled, section_types, result, query)
        table = self.table(filled, own)
        self.all.tables[self.flat.name] = table
        fitting = gates.check_words(self.kind, self.declaration.kind.dotted, self.declaration.block.clauses, self.report)
        checked = self.clauses(fitting, table, filled, section_types, result, query)
        if checked is not None and self.before is not None:
            self.templates(main, inner, checked.lets, section_types, self.extra(filled, section_types, result, query))
        if self.wrong or table is None or own is None or checked is None or filled.settings is None:
            return
        self.finish(filled.settings, result, checked.clauses, sections, main, own, table)

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
        tables = {path.dotted: name for path, name in zip(declaration.inputs, self.linked.inputs, strict=False)}
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
            values={name: known.value for name, known in self.home.known.items() if known.value is not MISSING},
            doc=declaration.doc,
            span=declaration.name.span,
            skipped=self.skipped,
            folder=self.home.file.folder,
        )

    # -- what goes in ------------------------------------------------------------------------

    def slots(self) -> None:
        """Tables that came in through slots have the columns that the slots ask for."""
        names = [path.dotted for path in self.declaration.inputs]
        if self.linked.query:
            names += [".".join(parts) for parts in self.linked.query.tables]
        for name in dict.fromkeys(names):
            if name in self.home.slots and not self.fits(self.home, name):
                self.wrong = True
                self.linked.blind = True

    def fits(self, home: Instance, name: str) -> bool:
        key = (id(home), name)
        if key in self.all.fit_slots:
            return True
        slot = home.slots[name]
        if key in self.all.unfit_slots or home.call is None or slot.path is None or slot.outer is None:
            return slot.stands_for is not None
        outer = slot.path.dotted
        if outer in slot.outer.slots and not self.fits(slot.outer, outer):
            self.all.unfit_slots.add(key)
            return False
        table = self.all.tables.get(self.tools.expansion.table(slot.outer, outer, slot.path.span))
        if table is None:
            return False
        faults = self.all.lacking(table, slot.type)
        for fault in faults:
            call = home.call.kind.dotted
            message = f"`{slot.path.dotted}` {fault}, which `{call}` needs"
            help = f"its columns are {', '.join(table.columns)}" if table.columns else None
            self.tools.report(Diagnostic("ATK117", message, slot.path.span, help))
        (self.all.unfit_slots if faults else self.all.fit_slots).add(key)
        return not faults

    def result(self) -> Type | None:
        written, name = self.declaration.result, self.declaration.name
        kind = self.declaration.kind.dotted
        if written is None:
            if self.kind.result == "required":
                self.report(Diagnostic("ATK171", f"`{name.text}` does not say what it gives", name.span,
                                       f"`{kind} {name.text} … -> T`"))  # fmt: skip
            return None
        if self.kind.result == "forbidden":
            self.report(Diagnostic("ATK171", f"`{kind}` takes no `->`", written.span))
            return None
        try:
            return self.tools.expansion.loader.type(self.home.file, written)
        except Wrong as error:
            self.tell(error)
            return None

    # -- settings ------------------------------------------------------------------------------

    def meanings(self) -> Meanings:
        around = Surroundings(
            self.flat, self.before, self.hint, self.linked.inputs, [path.dotted for path in self.declaration.inputs],
            self.above(), self.skipped,
        )  # fmt: skip
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
        with_role = roles(self.kind.settings)
        for setting in self.declaration.block.settings:
            if with_role.get(setting.name.text) is Role.WHEN:
                try:
                    return self.tools.expressions.constant(setting.value, self.home.scope()) is False
                except Wrong:
                    return False
        return False

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
        self.wrong |= filled.settings is None
        return filled

    def sections(self) -> tuple[dict[str, Section], dict[str, Type | None], dict[str, Meanings]]:
        made: dict[str, Section] = {}
        types: dict[str, Type | None] = {}
        inner: dict[str, Meanings] = {}
        for declaration in self.declaration.block.sections:
            name = declaration.name
            model = self.kind.sections.get(name.text)
            if model is None or name.text in types:
                self.report(self.no_section(name, model is not None))
                continue
            for clause in declaration.block.clauses:
                self.report(Diagnostic("ATK113", f"`{name.text}` takes no `{clause.word.text}`", clause.word.span,
                                       "gates stand in the node itself"))  # fmt: skip
            for nested in declaration.block.sections:
                self.report(Diagnostic("ATK104", f"no setting of `{name.text}` named `{nested.name.text}`", nested.name.span))
            types[name.text] = None
            try:
                if declaration.result is not None:
                    types[name.text] = self.tools.expansion.loader.type(self.home.file, declaration.result)
            except Wrong as error:
                self.tell(error)
            meanings = inner[name.text] = self.meanings()
            filled = fill(model, declaration.block.settings, name.text, name, meanings.evaluate, self.report)
            self.wrong |= filled.settings is None
            made[name.text] = Section(name.text, types[name.text], filled.partial, meanings.template, name.span)
        return made, types, inner

    def no_section(self, name: ast.Word, twice: bool) -> Diagnostic:
        if twice:
            return Diagnostic("ATK102", f"`{name.text}` is written twice", name.span)
        if name.text in self.kind.settings.model_fields:
            return Diagnostic("ATK104", f"`{name.text}` is a setting, not a block", name.span, f"write `{name.text} = …`")
        known = {*self.kind.sections, *self.kind.settings.model_fields}
        kind = self.declaration.kind.dotted
        return Diagnostic("ATK104", f"no setting of `{kind}` named `{name.text}`", name.span, suggestion(name.text, known))

    # -- columns --------------------------------------------------------------------------------

    def shown_columns(self, name: str) -> dict[str, str]:
        """A table as a query sees it: its id, those of its ancestors, its columns."""
        table = self.all.tables[name]
        assert table is not None
        ids = {id_column(one): "UUID" for one in (name, *table.ancestors)}
        return ids | {column: kind for column, kind in table.types.items() if column not in ids}

    def query(self) -> dict[str, str] | None:
        """Columns that the query gives; those that are ids of ancestors become lineage."""
        query = self.linked.query
        if query is None or self.seen is None:
            return None
        tables: dict[tuple[str, ...], dict[str, str]] = {}
        for parts, name in query.tables.items():
            reason = {"reason": "VARCHAR"} if parts in query.views else {}
            tables[parts] = self.shown_columns(name) | reason
        try:
            found = self.tools.binder.describe(query.written.value, tables, parameters_in_force(self.flat, query))
            return self.lineage(query.written, found)
        except Unbound as error:
            self.report(self.unbound(query.written, error, tables.values()))
        except Wrong as error:
            self.tell(error)
        return None

    def unbound(self, written: ast.String, error: Unbound, tables: Any) -> Diagnostic:
        help = error.help
        if error.sort == "column" and error.name:
            help = self.hint(error.name) or suggestion(error.name, {name for columns in tables for name in columns})
        span = written.span
        if error.start is not None:
            span = written.place(error.start, error.length)
        else:  # DuckDB gives no place: a word that it complains about and that stands once
            for word in re.findall(r"`(\w+)`", error.message):
                places = [found.start() for found in re.finditer(rf"\b{re.escape(word)}\b", written.value)]
                if len(places) == 1:
                    span = written.place(places[0], len(word))
                    break
        return Diagnostic("ATK121", error.message, span, help)

    def lineage(self, written: ast.String, found: Sequence[tuple[str, str]]) -> dict[str, str]:
        above: dict[str, str] = {}
        for name, table in zip(self.linked.sources, self.seen or [], strict=True):
            above |= {id_column(one): one for one in (name, *table.ancestors)}
        columns: dict[str, str] = {}
        ids: set[str] = set()
        seen: set[str] = set()
        for name, kind in found:
            if name.casefold() in seen:
                help = "name what both have in USING, or leave one out: SELECT * EXCLUDE (…)"
                raise wrong("ATK127", f"the query gives two columns named `{name}`", written.span, help)
            seen.add(name.casefold())
            if name not in above:
                columns[name] = kind
            elif kind != "UUID":
                raise wrong("ATK128", f"`{name}` is the id of `{above[name]}`, and here it is {spelled(kind)}", written.span,
                            "give the column another name")  # fmt: skip
            else:
                ids.add(above[name])
        self.ids = self.nearest(ids)
        return columns

    def nearest(self, names: set[str]) -> tuple[str, ...]:
        """Ancestors, the last made first."""
        return tuple(sorted(names, key=lambda name: -self.all.place.get(name, -1)))

    def own(
        self, filled: Filled, sections: Mapping[str, Type | None], result: Type | None, query: dict[str, str] | None
    ) -> dict[str, str] | None:
        """The columns that the node adds, or None where that cannot be known."""
        if self.linked.query is not None and query is None:
            return None
        hidden = self.before is None
        try:
            own = dict(self.kind.own(self.shape(filled, sections, result, query)))
        except Problem as problem:
            untyped = result is None and (self.declaration.result is not None or self.kind.result == "required")
            if not hidden and not untyped:
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
            self.report(Diagnostic("ATK128", f"`{name}` is the id of `{above[name]}`", self.declaration.name.span,
                                   "give the column another name"))  # fmt: skip
        return not taken

    def shape(
        self, filled: Filled, sections: Mapping[str, Type | None], result: Type | None, query: dict[str, str] | None
    ) -> Shape:
        sources = self.linked.sources
        above = {name: self.all.tables.get(name) for name in self.above() or ()}
        return Shape(
            name=self.flat.name,
            inputs=[table.types if table else {} for table in self.inputs],
            names=sources,
            result=result,
            settings=filled.settings or filled.partial,
            sections=sections,
            query=query,
            ancestors={name: table.types for name, table in above.items() if table},
            kinds={name: table.kind for name, table in above.items() if table},
            folder=self.home.file.folder,
        )

    def objection(self, problem: Problem, filled: Filled) -> Diagnostic:
        spans = {section.name.text: section.name.span for section in self.declaration.block.sections} | filled.spans
        span = spans.get(problem.setting or "", self.declaration.name.span)
        return Diagnostic(problem.code, problem.message, span, problem.help)

    def table(self, filled: Filled, own: Mapping[str, str] | None) -> Table | None:
        """The node's table: which columns it shows, who stores them, whose ids travel along."""
        if own is None or (self.seen is None and self.depends(filled)):
            return None
        name = self.flat.name
        tables = self.seen or []
        absent = {column: node for table in tables for column, node in table.absent.items() if column not in own}
        if self.skipped and tables:
            absent |= {column: name for column in own if column not in tables[0].columns}
            return Table(tables[0].columns, self.through(), self.kind.name, absent)
        added = {column: Column(kind, name) for column, kind in own.items()}
        if self.linked.query is not None:
            return Table(added, self.ids, self.kind.name, absent)
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
        self, filled: Filled, sections: Mapping[str, Type | None], result: Type | None, query: dict[str, str] | None
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
        after = self.shown_columns(self.flat.name)
        rows = gates.Rows(self.before, after, self.extra(filled, sections, result, query), self.home.known, self.hint)
        checked = gates.check(self.tools.expressions, written, rows, self.report)
        handed = gates.of_calls(self.tools.expressions, self.flat.expects, rows, self.report)
        self.wrong |= not (checked.ok and handed.ok)
        return gates.Checked((*checked.clauses, *handed.clauses), checked.lets, checked.ok and handed.ok)

    def templates(
        self,
        main: Meanings,
        inner: Mapping[str, Meanings],
        lets: Mapping[str, str],
        sections: Mapping[str, Type | None],
        extra: Mapping[str, Mapping[str, str]],
    ) -> None:
        """Every variable of a template is a column, a `let` or a param."""
        given = {*(self.before or {}), *lets, *self.home.known}
        given |= {one.name.text for one in self.declaration.block.clauses if one.word.text == "let" and one.name}
        self.variables(main, given)
        for name, meanings in inner.items():
            fields: set[str] = {column for scope in extra.values() for column in scope}
            record = sections.get(name)
            while record is not None and not isinstance(record, Record):
                record = getattr(record, "of", None)
            fields |= {one.name for one in record} if record is not None else set()
            self.variables(meanings, given | fields)

    def variables(self, meanings: Meanings, given: set[str]) -> None:
        template, span = meanings.template, meanings.template_span
        if template is None or span is None:
            return
        self.all.files |= dict.fromkeys((template.path, *template.files))
        for name in sorted(template.reads - given - {"schema", "failure"}, key=lambda one: template.places.get(one, (0, 0))):
            self.report(self.no_variable(name, template, span, given))

    def no_variable(self, name: str, template: Template, span: Span, given: set[str]) -> Diagnostic:
        shown = self.tools.shown(template.path)
        line, column = template.places.get(name, (1, 1))
        help = self.hint(name) or suggestion(name, given)
        if name in self.home.file.params and self.home.graph is not None:
            help = f"a graph sees its slots only: add a slot `{name}` and set it at the call"
        message = f"{shown} uses `{{{{ {name} }}}}`, which no column, `let` or `param` provides"
        return Diagnostic("ATK132", message, span, help, ((Span(shown, line, column, len(name)), "used here"),))
