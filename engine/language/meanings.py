"""What the settings of a node mean: each role's way from an expression to a value.

One `Meanings` serves one block (a node's, or a section's in it) and keeps what it found there:
the template, the models, the expressions over rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from engine.language import rewards
from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Span, Wrong, suggestion, wrong
from engine.language.expand import Expansion
from engine.language.expressions import Expressions, Scope
from engine.language.formatting import on_one_line
from engine.language.instances import Flat, Instance, method_of
from engine.language.kind import Role
from engine.language.models import outside, secret
from engine.language.program import Clause
from engine.language.template_source import TemplateProblem, read_text
from engine.language.templates import Template, prompts_in
from engine.language.templates import load as load_template

CLASSIFIER = "classifier"


def _no_use(name: str, classifies: bool) -> str:
    return (
        f"`{name}` only tells classes" if classifies else f"`{name}` is trained to write, not to tell classes"
    )


class Models(Protocol):
    """Where models are looked up."""

    def use(self, home: Instance, name: str, span: Span, asked: bool) -> str:
        """The model's key in the program. Raises `Wrong`."""
        ...


def place_in(path: Path, shown: Callable[[Path], str], line: int, column: int, width: int = 1) -> Span:
    """A place in a prompt file, with its line, so that it can be shown wherever the file lies."""
    try:
        lines = read_text(path).split("\n")
    except TemplateProblem:
        lines = []
    return Span(shown(path), line, column, width, lines[line - 1] if line <= len(lines) else "")


@dataclass
class Surroundings:
    """What a block's settings may name. `columns` is None where an earlier error hides them."""

    flat: Flat
    columns: Mapping[str, str] | None
    hint: Callable[[str], str | None]
    inputs: Sequence[str]  # flat names
    written: Sequence[str]  # the same, as they are written
    ancestors: Sequence[str] | None  # of the first input, itself included
    skipped: bool


@dataclass
class Meanings:
    """The settings of one block, evaluated by their roles."""

    around: Surroundings
    expressions: Expressions
    expansion: Expansion
    models: Models
    prompts: Callable[[Instance], Sequence[Path]]
    shown: Callable[[Path], str]
    template: Template | None = None
    template_span: Span | None = None
    pool: list[tuple[Template, Span]] = field(default_factory=list)
    rows: dict[str, Clause] = field(default_factory=dict)
    waits: list[str] = field(default_factory=list)

    @property
    def templates(self) -> list[tuple[Template, Span]]:
        """The prompts that the block names, each with the place where."""
        own = [(self.template, self.template_span)] if self.template and self.template_span else []
        return [*own, *self.pool]

    def evaluate(self, setting: ast.Setting, role: Role | None) -> Any:
        """The value of a setting. Raises `Wrong`."""
        match role:
            case Role.COLUMN:
                return self.columns(setting.value)
            case Role.TABLE:
                return self.ancestor(setting.value)
            case Role.TABLES:
                return self.by_input(setting.value)
            case Role.BESIDE:
                return self.beside(setting.value)
            case Role.MODEL:
                return self.model(setting.value)
            case Role.TEMPLATE:
                return self.prompt(setting.value)
            case Role.START:
                return self.start(setting.value)
            case Role.REWARD:
                return self.rewards(setting.value)
            case Role.TEMPLATES:
                return self.prompt_pool(setting.value)
            case Role.QUERY:
                if isinstance(setting.value, ast.String):
                    return setting.value.value
                raise Wrong  # told where its tables are looked up
            case Role.SECRET:
                named = secret(setting.value, setting.name.text, setting.name.text)
                return named and named[0]
            case Role.ROW:
                return self.row(setting)
        return self.constant(setting.value)

    def constant(self, written: ast.Expression) -> Any:
        scope = self.around.flat.home.scope()
        known = self.around.columns or {}

        def hint(name: str) -> str | None:
            if (said := scope.hint(name)) is not None:
                return said
            if name in known:
                return "settings are known before there are rows: they cannot read a column"
            return suggestion(name, scope.known) or f'if a text is meant, write "{name}"'

        inner = Scope(known=scope.known, what=scope.what, hint=hint)
        return outside(self.expressions, written, inner)

    def columns(self, written: ast.Expression) -> Any:
        if isinstance(written, ast.Sequence):
            return [self.column(item) for item in written.items]
        return self.column(written)

    def column(self, written: ast.Expression) -> Any:
        """A column's name, bare or as a text; a param may hold it."""
        known, home = self.around.columns, self.around.flat.home
        if isinstance(written, ast.Name) and (
            known is None or written.name in known or written.name not in home.known
        ):
            name = written.name
        else:
            name = self.constant(written)
            if not isinstance(name, str):
                return name
        if known is not None and name not in known:
            raise wrong(
                "ATK122",
                f"no column named `{name}`",
                written.span,
                self.around.hint(name) or suggestion(name, known),
            )
        return name

    def name(self, written: ast.Expression) -> Any:
        """A dotted name, bare or as a text."""
        if isinstance(written, ast.Name) and written.name in self.around.flat.home.known:
            return self.constant(written)
        return ast.dotted(written) or self.constant(written)

    def ancestor(self, written: ast.Expression) -> Any:
        name = ast.dotted(written) or self.constant(written)
        if not isinstance(name, str):
            return name
        found = self.expansion.table(self.around.flat.home, name, written.span)
        above = self.around.ancestors
        if above is None:
            raise Wrong
        if found not in above:
            help = f"its rows come from {', '.join(above[:6])}" if above else None
            raise wrong("ATK103", f"`{name}` is no ancestor of the input", written.span, help)
        return found

    def beside(self, written: ast.Expression) -> str | None:
        """The flat name of a table; a wrong one is told where it is linked."""
        name = ast.dotted(written)
        if name is None:
            return None
        try:
            return self.expansion.table(self.around.flat.home, name, written.span)
        except Wrong:
            raise Wrong from None

    def by_input(self, written: ast.Expression) -> Any:
        """An object whose keys are inputs, by their flat names."""
        if not isinstance(written, ast.Object):
            return self.constant(written)
        made: dict[str, Any] = {}
        told: list[Diagnostic] = []
        failed = False
        for key, value in written.pairs:
            try:
                made[self.input(key, made)] = self.constant(value)
            except Wrong as error:
                failed = True
                told += error.diagnostics
        if failed:
            raise Wrong(*told)
        return made

    def input(self, key: ast.Word, given: Mapping[str, object]) -> str:
        around = self.around
        if not around.written:
            raise Wrong
        if key.text not in around.written:
            raise wrong(
                "ATK103",
                f"`{key.text}` is no input of `{around.flat.declaration.name.text}`",
                key.span,
                suggestion(key.text, around.written),
            )
        if len(around.inputs) != len(around.written):
            raise Wrong
        found = around.inputs[around.written.index(key.text)]
        if found in given:
            raise wrong("ATK102", f"`{key.text}` is given twice", key.span)
        return found

    def model(self, written: ast.Expression) -> Any:
        name = self.name(written) if not isinstance(written, ast.Constant) else self.constant(written)
        if not isinstance(name, str):
            return name
        return self.models.use(self.around.flat.home, name, written.span, not self.around.skipped)

    def start(self, written: ast.Expression) -> Any:
        """A folder or a name, as a text; or the flat name of a `train` node, noted in `waits`."""
        name, home = ast.dotted(written), self.around.flat.home
        if name is None or name in home.known:
            return self.constant(written)
        found = self.expansion.table(home, name, written.span)
        if self.expansion.flat[found].kind.name != "train":
            help = f'if a folder is meant, write "{name}"'
            raise wrong("ATK103", f"`{name}` is no `train` node", written.span, help)
        classifies = method_of(self.expansion.flat[found].declaration) == CLASSIFIER
        if classifies is not (self.around.flat.kind.name == "classify"):
            raise wrong("ATK176", _no_use(name, classifies), written.span)
        self.waits.append(found)
        return found

    def rewards(self, written: ast.Expression) -> Any:
        """Weights by the names of the graphs; wrong names are told where they are written out."""
        home, name = self.around.flat.home, self.around.flat.declaration.name.text
        if name not in home.calls:
            raise Wrong
        found: dict[str, Any] = {}
        for one in rewards.named(written):
            weight = 1.0 if one.weight is None else self.constant(one.weight)
            if isinstance(weight, bool) or not isinstance(weight, int | float) or weight <= 0:
                span = one.weight.span if one.weight else written.span
                raise wrong("ATK177", f"the weight of `{one.local}` must be a number above 0", span)
            found[one.local] = float(weight)
        return found

    def prompt(self, written: ast.Expression) -> Any:
        name = self.constant(written)
        if not isinstance(name, str):
            return name
        self.template = self.load(name, written.span)
        self.template_span = written.span
        return name

    def prompt_pool(self, written: ast.Expression) -> Any:
        """The names of the prompts to choose from; those of a folder where a folder is named."""
        value = self.constant(written)
        places: dict[str, Span] = {}
        if isinstance(value, str):
            found = prompts_in(value, self.prompts(self.around.flat.home))
            if not found:
                help = "name a folder beneath `prompts/`, or a list of prompts"
                raise wrong("ATK130", f'there is no folder of prompts "{value}"', written.span, help)
            places = dict.fromkeys(found, written.span)
        elif isinstance(value, list) and all(isinstance(one, str) for one in value):
            items = written.items if isinstance(written, ast.Sequence) else [written] * len(value)
            for name, item in zip(value, items, strict=True):
                if name in places:
                    raise wrong("ATK102", f"`{name}` is named twice", item.span)
                places[name] = item.span
        else:
            return value
        if not places:
            raise wrong("ATK111", "`templates` names no prompt", written.span)
        told: list[Diagnostic] = []
        for name, span in places.items():
            try:
                self.pool.append((self.load(name, span), span))
            except Wrong as error:
                told += error.diagnostics
        if told:
            raise Wrong(*told)
        return list(places)

    def load(self, name: str, span: Span) -> Template:
        try:
            return load_template(name, self.prompts(self.around.flat.home))
        except TemplateProblem as problem:
            raise Wrong(self.unusable(problem, span)) from None
        except (OSError, ValueError) as error:  # no name that a file could have
            reason = getattr(error, "strerror", None) or str(error)
            raise wrong("ATK130", f"the prompt cannot be read: {reason}", span) from None

    def unusable(self, problem: TemplateProblem, span: Span) -> Diagnostic:
        if problem.path is None:
            return Diagnostic("ATK130", problem.message, span, problem.help)
        at = place_in(Path(problem.path), self.shown, problem.line or 1, problem.column or 1)
        return Diagnostic("ATK131", problem.message, at, problem.help, ((span, "the prompt is named here"),))

    def row(self, setting: ast.Setting) -> str | None:
        """An expression over a row, kept as a clause. Its SQL is the value; null means none."""
        written = setting.value
        if isinstance(written, ast.Constant) and written.value is None:
            return None
        around = self.around
        if around.columns is None:
            raise Wrong
        scope = Scope(around.columns, around.flat.home.known, hint=around.hint)
        compiled = self.expressions.compile(written, scope)
        if compiled.aggregate:
            raise wrong("ATK124", "an aggregate has no meaning over one row", written.span)
        name, text = setting.name.text, on_one_line(written.text)
        self.rows[name] = Clause(
            name, None, compiled.sql, compiled.reads, None, text, False, written.span, params=compiled.params
        )
        return compiled.sql
