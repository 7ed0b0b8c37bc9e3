"""Graph files and what each declares: imports, types, graphs, models, params, nodes.

Names are gathered and types resolved; nodes are not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from engine.language import slips
from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Reporting, Span, Wrong, suggestion, wrong
from engine.language.lexing import normalized, read
from engine.language.parsed import parsed
from engine.language.sqltext import RESERVED
from engine.language.tree import Source
from engine.language.types import SCALARS, Field, Literal, Many, Optional, Record, Type

Report = Callable[[Diagnostic], None]

STORE_NAMES = frozenset({"calls", "runs", "rejected", "failed", "main", "temp", "system", "memory", "store"})
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class _Named(Protocol):
    @property
    def name(self) -> ast.Word: ...


Declared = TypeVar("Declared", bound=_Named)


@dataclass
class GraphFile:
    """One file and the names in it."""

    path: Path
    shown: str
    source: Source
    imports: dict[str, GraphFile] = field(default_factory=dict)
    types: dict[str, ast.TypeDeclaration] = field(default_factory=dict)
    graphs: dict[str, ast.GraphDeclaration] = field(default_factory=dict)
    models: dict[str, ast.ModelDeclaration] = field(default_factory=dict)
    params: dict[str, ast.ParamDeclaration] = field(default_factory=dict)
    profiles: dict[str, ast.ProfileDeclaration] = field(default_factory=dict)
    nodes: dict[str, ast.NodeDeclaration] = field(default_factory=dict)
    tests: list[ast.TestDeclaration] = field(default_factory=list)
    uses: dict[str, ast.Use] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)  # aliases that something named
    unread: set[str] = field(default_factory=set)  # aliases whose file could not be read
    missed: set[str] = field(default_factory=set)  # params whose lack of a value was told
    resolved: dict[str, Type | None] = field(default_factory=dict)
    resolving: set[str] = field(default_factory=set)
    folded: dict[tuple[type, str], _Named] = field(default_factory=dict)  # declarations, by name in one case

    @property
    def folder(self) -> Path:
        return self.path.parent

    def prefix_of(self, file: GraphFile, seen: frozenset[Path] = frozenset()) -> str | None:
        """`factual.` where a file is imported as `factual`; None where it is not, by whatever way."""
        for alias, other in self.imports.items():
            if other is file:
                return f"{alias}."
        for alias, other in self.imports.items():
            if other.path not in seen and (rest := other.prefix_of(file, seen | {self.path})) is not None:
                return f"{alias}.{rest}"
        return None

    def imported(self, alias: str) -> GraphFile | None:
        """The file behind an alias, noted as used. Raises `Wrong` where it could not be read."""
        if alias in self.unread:
            raise Wrong
        if alias in self.imports:
            self.used.add(alias)
        return self.imports.get(alias)

    def split(self, dotted: str) -> tuple[GraphFile | None, str]:
        """The file that a dotted name points into, and the name there."""
        alias, dot, rest = dotted.partition(".")
        return (self.imported(alias), rest) if dot else (self, dotted)


class Loader(Reporting):
    """Reads files, each once, and what they import."""

    def __init__(
        self,
        root: Path,
        graphs: Sequence[Path],
        kinds: Iterable[str],
        report: Report,
        texts: Mapping[Path, str] | None = None,
    ):
        self.root, self.graphs, self.kinds, self.report = root, graphs, frozenset(kinds), report
        self.texts = texts or {}
        self.files: dict[Path, GraphFile] = {}
        self.loading: list[GraphFile] = []

    def shown(self, path: Path) -> str:
        """A path as messages show it: from where the command runs, where it lies below."""
        try:
            return path.resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            return path.as_posix()

    def load(self, path: Path, text: str | None = None) -> GraphFile:
        """The file and all that it imports. What is wrong with it is reported."""
        resolved = path.resolve()
        if resolved in self.files:
            return self.files[resolved]
        shown = self.shown(resolved)
        text = self.texts.get(resolved) if text is None else text
        if text is None:
            text, problem = read(resolved, shown)
            if problem:
                self.report(problem)
            source = parsed(text, shown)
        else:  # what an editor holds changes with every key: not kept
            from engine.language.syntax import parse

            source = parse(normalized(text), shown)
        for error in source.errors:
            self.report(error)
        file = self.files[resolved] = GraphFile(resolved, shown, source)
        self.loading.append(file)
        for statement in source.statements:
            self.declare(file, statement)
        self.loading.pop()
        for name in file.types:
            self.checked(file, name)
        return file

    def declare(self, file: GraphFile, statement: ast.Statement) -> None:
        match statement:
            case ast.Use():
                self.use(file, statement)
            case ast.TypeDeclaration():
                self.add(file, file.types, statement)
                if statement.name.text in SCALARS:
                    self.say("ATK102", f"`{statement.name.text}` is a built-in type", statement.name.span)
            case ast.GraphDeclaration():
                self.add(file, file.graphs, statement)
                if statement.name.text in self.kinds:
                    self.say("ATK102", f"`{statement.name.text}` is a built-in kind", statement.name.span)
                for slot in statement.slots:
                    if slot.name.text == "rounds":
                        help = "`rounds = 5` at a call repeats the graph; give the slot another name"
                        self.say("ATK102", "`rounds` is what every call may set", slot.name.span, help)
            case ast.ModelDeclaration():
                self.add(file, file.models, statement)
                if statement.name.text == "default":
                    help = "give it another name, and build on it: model large from default { … }"
                    self.say("ATK102", "`default` is the built-in model", statement.name.span, help)
            case ast.ParamDeclaration():
                self.add(file, file.params, statement)
            case ast.ProfileDeclaration():
                self.add(file, file.profiles, statement)
            case ast.NodeDeclaration():
                self.add(file, file.nodes, statement)
                self.table_name(statement.name)
            case ast.TestDeclaration():
                file.tests.append(statement)

    def add(self, file: GraphFile, known: dict[str, Declared], statement: Declared) -> None:
        """Add a declaration; DuckDB does not tell `A` from `a`, so neither may a graph."""
        name = statement.name
        first = file.folded.setdefault((type(statement), name.text.casefold()), statement)
        if first is statement:
            known[name.text] = statement
            self.plain(name)
            return
        same = first.name.text == name.text
        message = (
            f"`{name.text}` is declared twice"
            if same
            else f"`{name.text}` differs from `{first.name.text}` in case only"
        )
        related = ((first.name.span, "first declared here"),)
        self.say("ATK102", message, name.span, related=related)

    def plain(self, name: ast.Word) -> bool:
        if _NAME.fullmatch(name.text):
            return True
        help = "letters from a to z, digits and underscores; a letter first"
        self.say("ATK115", f"`{name.text}` cannot be a name", name.span, help)
        return False

    def table_name(self, name: ast.Word) -> None:
        """What a node may not be called."""
        folded = name.text.casefold()
        if folded in RESERVED:
            self.say(
                "ATK108",
                f"`{name.text}` is a reserved word of SQL",
                name.span,
                "queries could not name this table; choose another name",
            )
        elif folded in STORE_NAMES:
            self.say(
                "ATK114",
                f"`{name.text}` is a name that the store keeps for itself",
                name.span,
                "choose another name",
            )

    # -- imports -----------------------------------------------------------------------------

    def use(self, file: GraphFile, statement: ast.Use) -> None:
        written = statement.file.value
        alias = statement.alias.text if statement.alias else Path(written).stem
        at = statement.alias.span if statement.alias else statement.file.span
        if not _NAME.fullmatch(alias):
            self.say("ATK115", f"`{alias}` cannot be a name", at, f'name it: use "{written}" as …')
            return
        if alias in file.uses:
            first = file.uses[alias]
            self.say(
                "ATK102",
                f"`{alias}` is imported twice",
                at,
                "name one of them with `as`",
                ((first.file.span, "first imported here"),),
            )
            return
        file.uses[alias] = statement
        if not written.endswith(".atk"):
            self.say("ATK100", f"`{written}` is no graph file", statement.file.span, "its name ends in .atk")
            file.unread.add(alias)
            return
        found = self.find(written, file.folder)
        if found is None:
            self.say(
                "ATK100", f"there is no graph file {written}", statement.file.span, self.near(written, file)
            )
            file.unread.add(alias)
            return
        if found.resolve() == file.path:
            self.say("ATK100", f"`{written}` is this file itself", statement.file.span, "leave the `use` out")
            file.unread.add(alias)
            return
        circle = next((at for at, one in enumerate(self.loading) if one.path == found.resolve()), None)
        if circle is not None:
            way = " -> ".join(one.shown for one in (*self.loading[circle:], self.loading[circle]))
            self.say("ATK116", f"files import each other: {way}", statement.file.span)
            file.unread.add(alias)
            return
        loaded = self.load(found)
        if loaded.source.errors or (not loaded.source.statements and not loaded.source.text.text.strip()):
            file.unread.add(alias)
        file.imports[alias] = loaded

    def places(self, folder: Path) -> list[Path]:
        """Where an import is looked for: beside the file, in `graphs/` above it, then as given."""
        above = [parent / "graphs" for parent in (folder, *folder.parents)]
        return list(dict.fromkeys([folder, *above, *self.graphs]))

    def find(self, written: str, folder: Path) -> Path | None:
        if not written or "\0" in written:
            return None
        try:
            return next(
                (place / written for place in self.places(folder) if (place / written).is_file()), None
            )
        except OSError:
            return None

    def near(self, written: str, file: GraphFile) -> str | None:
        known = {
            found.relative_to(place).as_posix()
            for place in dict.fromkeys([file.folder, file.folder / "graphs", *self.graphs])
            if place.is_dir()
            for pattern in ("*.atk", "*/*.atk")
            for found in place.glob(pattern)
            if found.resolve() != file.path
        }
        return suggestion(written, known)

    # -- types -----------------------------------------------------------------------------------

    def checked(self, file: GraphFile, name: str) -> Type | None:
        """A declared type, resolved once; its faults are told once."""
        if name not in file.resolved:
            declaration = file.types[name]
            if name in file.resolving:
                raise wrong("ATK107", f"the type `{name}` contains itself", declaration.name.span)
            file.resolving.add(name)
            try:
                file.resolved[name] = self.named(file, declaration)
            except Wrong as error:
                file.resolved[name] = None
                for diagnostic in error.diagnostics:
                    self.report(diagnostic)
            file.resolving.discard(name)
        return file.resolved[name]

    def named(self, file: GraphFile, declaration: ast.TypeDeclaration) -> Type:
        made = self.type(file, declaration.type)
        if isinstance(made, Record) and made.name is None:
            return Record(made.fields, declaration.name.text, declaration.doc)
        return made

    def type(self, file: GraphFile, written: ast.TypeExpression) -> Type:
        """The type that an expression means in a file. Raises `Wrong`."""
        match written:
            case ast.TypeName(path=path):
                return self.lookup(file, path)
            case ast.TypeLiteral(value=value):
                return Literal((value,))
            case ast.TypeUnion(parts=parts):
                return self.union(parts)
            case ast.TypeMany(of=of):
                return Many(self.type(file, of))
            case ast.TypeOptional(of=of):
                inner = self.type(file, of)
                return inner if isinstance(inner, Optional) else Optional(inner)
            case ast.TypeRecord(fields=fields):
                return self.record(file, fields)

    def union(self, parts: Sequence[ast.TypeExpression]) -> Type:
        values: list[str] = []
        for part in parts:
            if not isinstance(part, ast.TypeLiteral):
                help = 'only texts can be alternatives: "a" | "b"; write ("a" | "b")? where there may be none'
                raise wrong("ATK107", "this is no alternative", part.span, help)
            if part.value in values:
                raise wrong("ATK102", f'"{part.value}" is given twice', part.span)
            values.append(part.value)
        return Literal(tuple(values))

    def record(self, file: GraphFile, fields: Sequence[ast.FieldDeclaration]) -> Record:
        made: list[Field] = []
        seen: dict[str, ast.Word] = {}
        told: list[Diagnostic] = []
        failed = False
        for one in fields:
            first = seen.setdefault(one.name.text.casefold(), one.name)
            if first is not one.name:
                told.append(
                    Diagnostic(
                        "ATK102",
                        f"the field `{one.name.text}` is declared twice",
                        one.name.span,
                        related=((first.span, "first declared here"),),
                    )
                )
            try:
                made.append(Field(one.name.text, self.type(file, one.type), one.doc))
            except Wrong as error:
                failed = True
                told += error.diagnostics
        if told or failed:
            raise Wrong(*told)
        return Record(tuple(made))

    def lookup(self, file: GraphFile, path: ast.Path) -> Type:
        name = path.dotted
        if name in SCALARS:
            return SCALARS[name]
        home, rest = file.split(name)
        if home is not None and rest in home.types:
            found = self.checked(home, rest)
            if found is None:
                raise Wrong
            return found
        known = {
            *SCALARS,
            *file.types,
            *(f"{alias}.{one}" for alias, other in file.imports.items() for one in other.types),
        }
        if home is None and path.words[0].text not in file.imports:
            aliases: Mapping[str, GraphFile] = file.imports
            raise wrong(
                "ATK107",
                f"no type named `{name}`",
                path.span,
                suggestion(path.words[0].text, aliases)
                if aliases
                else f"nothing is imported as `{path.words[0].text}`",
            )
        help = slips.type_name(name) or suggestion(name, known)
        raise wrong("ATK107", f"no type named `{name}`", path.span, help)


def table_slot(type_: Type) -> bool:
    """Whether a slot takes a table: a list of records."""
    return isinstance(type_, Many) and isinstance(type_.of, Record)


def record_of(type_: Type | None) -> Record | None:
    """The record that one row of a type has, whatever wraps it."""
    while isinstance(type_, Many | Optional):
        type_ = type_.of
    return type_ if isinstance(type_, Record) else None


def line_one(file: GraphFile) -> Span:
    """The start of a file, for what has no better place."""
    return file.source.text.span(0)
