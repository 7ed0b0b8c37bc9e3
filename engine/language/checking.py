"""From a graph file to a `Program`: everything that can be known before anything runs.

This module puts the steps in their order (files, params, models, calls written out, edges,
nodes) and gathers what each has to say. It writes nothing and runs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.language import tree as ast
from engine.language.binding import Binder
from engine.language.diagnostics import Diagnostic, Span, suggestion
from engine.language.expand import Expansion, Instance
from engine.language.expressions import MISSING, Expressions, Known, Scope, Wrong, wrong
from engine.language.files import GraphFile, Loader, line_one
from engine.language.kind import KindSpec
from engine.language.link import Linked, Links, ordered
from engine.language.models import Drafted, Environment, default, draft, spec
from engine.language.nodes import Shaping, Tools
from engine.language.program import ModelSpec, Parameter, Program
from engine.language.types import Optional, accepts, parse_value

COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Given:
    """What the caller hands in besides the file. See `engine.language.check`."""

    kinds: Mapping[str, KindSpec]
    values: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    profile: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    root: Path = Path()
    prompts: Sequence[Path] = ()
    graphs: Sequence[Path] = ()


def option(text: str, part: str) -> Span:
    """A place on the command line: `part` within an option as it was typed."""
    at = text.rfind(part)
    return Span(COMMAND_LINE, 1, max(at, 0) + 1, max(len(part), 1), text)


class Checking:
    """One check of one file."""

    def __init__(self, given: Given):
        self.given = given
        self.diagnostics: dict[Diagnostic, None] = {}
        self.expressions = Expressions(Binder())
        self.loader = Loader(given.root, given.graphs, given.kinds, self.report)
        self.environment = Environment(given.environment, self.expressions, Scope())

    def report(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.setdefault(diagnostic)

    def tell(self, error: Wrong) -> None:
        for diagnostic in error.diagnostics:
            self.report(diagnostic)

    def run(self, path: Path, text: str | None) -> Program:
        file = self.loader.load(path, text)
        profile = self.profile(file)
        params = self.params(file, profile)
        known = {name: Known(one.type, MISSING if name in file.missed else one.value) for name, one in params.items()}
        self.models = ModelTable(self, file, known, profile)
        expansion = Expansion(self.loader, self.given.kinds, self.expressions, self.report, self.imported_params)
        top = Instance("", "", file, known, file.nodes)
        expansion.instance(top)
        for graph in file.graphs.values():
            if id(graph) not in expansion.called:
                expansion.uncalled(file, graph)
        linked = {} if expansion.full else Links(expansion, self.expressions.binder, self.report).run()
        self.distinct(linked)
        order = ordered(linked, self.report)
        shaping = Shaping(self.tools(expansion), order)
        for name, type_ in expansion.stand_ins.items():
            shaping.add_stand_in(name, type_)
        for name in order:
            shaping.run(linked[name])
        self.returns(expansion, top, shaping)
        self.tests(file, expansion, top)
        self.unused(file)
        wanted = self.wanted(linked)
        return Program(
            name=path.stem,
            path=path,
            text=file.source.text.text,
            doc=file.source.doc,
            params=params,
            models=self.models.specs(),
            nodes={name: node for name, node in shaping.nodes.items() if name in wanted},
            aliases={alias: name for alias, name in expansion.aliases.items() if name in wanted},
            diagnostics=self.sorted(file),
            files=list(dict.fromkeys([*self.loader.files, *shaping.files])),
        )

    def tools(self, expansion: Expansion) -> Tools:
        return Tools(self.expressions, expansion, self.models, self.prompts, self.loader.shown, self.report)

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

        return sorted(self.diagnostics, key=place)

    # -- params --------------------------------------------------------------------------------

    def profile(self, file: GraphFile) -> Mapping[str, ast.Setting]:
        """The bindings of the profile that was asked for; every profile is looked through."""
        for declared in file.profiles.values():
            seen: set[str] = set()
            for setting in declared.block.settings:
                name = setting.name
                if name.text in seen:
                    self.report(Diagnostic("ATK102", f"`{name.text}` is set twice", name.span))
                seen.add(name.text)
                if name.text not in file.params and name.text not in file.models:
                    help = suggestion(name.text, {*file.params, *file.models})
                    self.report(Diagnostic("ATK183", f"no param or model named `{name.text}`", name.span, help))
            for section in declared.block.sections:
                self.report(Diagnostic("ATK183", "a profile binds params and models", section.name.span))
            for clause in declared.block.clauses:
                self.report(Diagnostic("ATK113", f"a `profile` takes no `{clause.word.text}`", clause.word.span))
        wanted = self.given.profile
        if wanted is None:
            return {}
        if wanted not in file.profiles:
            help = suggestion(wanted, file.profiles) or "this graph has no profiles"
            self.report(Diagnostic("ATK183", f"no profile named `{wanted}`", option(f"--profile {wanted}", wanted), help))
            return {}
        return {setting.name.text: setting for setting in file.profiles[wanted].block.settings}

    def params(self, file: GraphFile, profile: Mapping[str, ast.Setting]) -> dict[str, Parameter]:
        """Every param with the value in force: command line, then profile, then file."""
        self.every_profile(file)
        for name, text in self.given.values.items():
            if name not in file.params and not self.of_import(file, name):
                help = suggestion(name, file.params) or "this graph has no params"
                self.report(Diagnostic("ATK186", f"no param named `{name}`", option(f"-p {name}={text}", name), help))
        return self.values(file, profile, "")

    def of_import(self, file: GraphFile, name: str) -> bool:
        alias, dot, rest = name.partition(".")
        return bool(dot) and alias in file.imports and rest in file.imports[alias].params

    def every_profile(self, file: GraphFile) -> None:
        """Values of profiles that are not in force are checked all the same."""
        for declared in file.profiles.values():
            for setting in declared.block.settings:
                declaration = file.params.get(setting.name.text)
                if declaration is not None:
                    try:
                        type_ = self.loader.type(file, declaration.type)
                        self.fitting(setting.value, setting.name.text, type_, Scope(what="param"))
                    except Wrong as error:
                        self.tell(error)

    def values(self, file: GraphFile, profile: Mapping[str, ast.Setting], prefix: str) -> dict[str, Parameter]:
        made: dict[str, Parameter] = {}
        known: dict[str, Known] = {}
        for name, declaration in file.params.items():
            try:
                type_ = self.loader.type(file, declaration.type)
            except Wrong as error:
                self.tell(error)
                continue
            given, value = False, MISSING
            try:
                given, value = self.value(file, declaration, type_, profile, known, prefix)
            except Wrong as error:
                self.tell(error)
            if value is MISSING:
                file.missed.add(name)
            known[name] = Known(type_, value)
            shown = None if value is MISSING else value
            made[name] = Parameter(name, type_, shown, given, declaration.doc, declaration.name.span)
        return made

    def value(
        self,
        file: GraphFile,
        declaration: ast.ParamDeclaration,
        type_: Any,
        profile: Mapping[str, ast.Setting],
        known: Mapping[str, Known],
        prefix: str,
    ) -> tuple[bool, Any]:
        """Whether it was given, and the value. Raises `Wrong`."""
        name = declaration.name.text
        scope = Scope(known=known, what="param")
        full = prefix + name
        if full in self.given.values:
            text = self.given.values[full]
            if declaration.default is not None:
                self.quietly_checked(declaration.default, name, type_, scope)
            try:
                return True, parse_value(text, type_)
            except ValueError as error:
                raise wrong("ATK185", f"`{full}` {error}", option(f"-p {full}={text}", text)) from None
        if name in profile:
            return True, self.fitting(profile[name].value, name, type_, Scope(what="param"))
        if declaration.default is not None:
            return False, self.fitting(declaration.default, name, type_, scope)
        if isinstance(type_, Optional):
            return False, None
        said = f": {declaration.doc.splitlines()[0]}" if declaration.doc else ""
        raise wrong("ATK112", f"`{full}` has no value{said}", declaration.name.span, f"give it one: -p {full}=…")

    def quietly_checked(self, written: ast.Expression, name: str, type_: Any, scope: Scope) -> None:
        """A default that is overridden is wrong all the same."""
        try:
            self.fitting(written, name, type_, scope)
        except Wrong as error:
            self.tell(error)

    def fitting(self, written: ast.Expression, name: str, type_: Any, scope: Scope) -> Any:
        environment = Environment(self.given.environment, self.expressions, scope)
        value = self.expressions.constant(written, scope, environment.special)
        if environment.pending:
            raise Wrong(*environment.pending)
        if isinstance(value, str) and isinstance(written, ast.Call) and written.name == "env":
            try:
                return parse_value(value, type_)  # the environment holds text only, as the command line does
            except ValueError as error:
                raise wrong("ATK111", f"`{name}` {error}", written.span) from None
        refused = accepts(type_, value)
        if refused:
            joint = ": " if refused.startswith("`") else " "
            raise wrong("ATK111", f"`{name}`{joint}{refused}", written.span)
        return value

    def imported_params(self, file: GraphFile, prefix: str) -> dict[str, Known]:
        """Params of an imported pipeline: `-p alias.name=…`, else its file's."""
        made = self.values(file, {}, prefix)
        return {name: Known(one.type, MISSING if name in file.missed else one.value) for name, one in made.items()}

    # -- the whole ------------------------------------------------------------------------------

    def distinct(self, linked: Mapping[str, Linked]) -> None:
        """`a.b` and `a_b` would share an id column."""
        seen: dict[str, str] = {}
        for name, entry in linked.items():
            other = seen.setdefault(name.replace(".", "_").casefold(), name)
            if other != name:
                self.report(Diagnostic("ATK102", f"`{name}` and `{other}` would have the same id column",
                                       entry.flat.declaration.name.span, "choose another name"))  # fmt: skip

    def returns(self, expansion: Expansion, top: Instance, shaping: Shaping) -> None:
        """What a graph returns has the columns that it promises."""
        for home in expansion.instances:
            if expansion.full or home.graph is None or home.broken_slots:
                continue
            try:
                promised = self.loader.type(home.file, home.graph.result)
                name = expansion.below(home, home.graph.returns.dotted)
            except Wrong as error:
                self.tell(error)
                continue
            table = shaping.tables.get(name) if name else None
            if table is None:
                continue
            for fault in shaping.lacking(table, promised):
                help = f"its columns are {', '.join(table.columns)}" if table.columns else None
                message = f"`{home.graph.returns.dotted}` {fault}, which `{home.graph.name.text}` promises"
                self.report(Diagnostic("ATK118", message, home.graph.returns.span, help))

    def tests(self, file: GraphFile, expansion: Expansion, top: Instance) -> None:
        """A light look at `test` statements: they name a node, and hold what tests hold."""
        for test in file.tests:
            try:
                expansion.table(top, test.node.dotted, test.node.span)
            except Wrong as error:
                self.tell(error)
            for clause in test.block.clauses:
                if clause.word.text not in ("given", "expect"):
                    self.report(Diagnostic("ATK113", f"a `test` takes no `{clause.word.text}`", clause.word.span,
                                           "it takes `given`, `expect` and `reply = […]`"))  # fmt: skip
                elif clause.word.text == "given" and clause.name is not None:
                    try:
                        expansion.table(top, clause.name.text, clause.name.span)
                    except Wrong as error:
                        self.tell(error)

    def unused(self, file: GraphFile) -> None:
        """Imports that nothing names, told where nothing worse is wrong."""
        if any(diagnostic.severity == "error" for diagnostic in self.diagnostics):
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


class ModelTable:
    """The models of a file and of those it imports, by the names that the program gives them."""

    def __init__(self, checking: Checking, main: GraphFile, known: Mapping[str, Known], profile: Mapping[str, ast.Setting]):
        self.checking, self.main = checking, main
        self.known: dict[int, Mapping[str, Known]] = {id(main): known}
        self.drafts: dict[str, Drafted | None] = {}
        self.drafting: set[str] = set()
        self.keys: dict[tuple[int, str], str] = {}
        self.names: dict[str, tuple[GraphFile, str]] = {}
        self.made: dict[str, ModelSpec | None] = {}
        self.at: dict[str, Span] = {}
        for name in main.models:
            self.key(main, name)
        self.rebound = self.rebindings(profile)

    def key(self, file: GraphFile, name: str) -> str:
        """What the program calls a model: by its name, an imported one behind its file's."""
        if name == "default":
            return name
        known = self.keys.get((id(file), name))
        if known is None:
            base = name if file is self.main else f"{file.path.stem}.{name}"
            known, count = base, 2
            while known in self.names:
                known, count = f"{base}_{count}", count + 1
            self.keys[id(file), name] = known
            self.names[known] = (file, name)
        return known

    def find(self, file: GraphFile, dotted: str) -> str | None:
        """The key of a model that a file may name."""
        home, rest = file.split(dotted)
        if dotted == "default" or (home is not None and rest in home.models):
            return self.key(home or file, rest)
        return None

    def lookup(self, file: GraphFile, name: str, span: Span, code: str = "ATK106") -> str:
        found = self.find(file, name)
        if found is None:
            imported = {f"{alias}.{one}" for alias, other in file.imports.items() for one in other.models}
            raise wrong(code, f"no model named `{name}`", span, suggestion(name, {*file.models, *imported, "default"}))
        return found

    def rebindings(self, profile: Mapping[str, ast.Setting]) -> dict[str, str]:
        """Model -> model, from the profile and, over it, the command line."""
        bound: dict[str, str] = {}
        for name, setting in profile.items():
            if name in self.main.models:
                try:
                    target = ast.dotted(setting.value)
                    if target is None and isinstance(setting.value, ast.String):
                        target = setting.value.value
                    if target is None:
                        raise wrong("ATK106", "this is not the name of a model", setting.value.span)
                    bound[self.key(self.main, name)] = self.lookup(self.main, target, setting.value.span)
                except Wrong as error:
                    self.checking.tell(error)
        for name, target in self.checking.given.models.items():
            text = f"-m {name}={target}"
            try:
                source = self.lookup(self.main, name, option(text.rpartition("=")[0], name), "ATK187")
                bound[source] = self.lookup(self.main, target, option(text, target), "ATK187")
            except Wrong as error:
                self.checking.tell(error)
        return bound

    # -- drafts and specs ---------------------------------------------------------------------

    def drafted(self, key: str) -> Drafted | None:
        """The model's block, read once. None where it is in a circle."""
        if key not in self.drafts:
            if key in self.drafting:
                return None
            self.drafting.add(key)
            self.drafts[key] = self.draft(key)
        return self.drafts[key]

    def draft(self, key: str) -> Drafted | None:
        checking = self.checking
        if key == "default":
            return default(checking.given.environment, self.at.get(key) or line_one(self.main))
        file, name = self.names[key]
        declaration = file.models[name]
        base: Drafted | None = None
        if declaration.base is not None:
            try:
                below = self.lookup(file, declaration.base.dotted, declaration.base.span)
                self.at.setdefault(below, declaration.base.span)
                base = self.drafted(below)
                if base is None:
                    if below in self.drafting and below not in self.drafts:
                        raise wrong("ATK106", f"the model `{name}` copies itself", declaration.name.span)
                    raise Wrong()
            except Wrong as error:
                checking.tell(error)
                base = Drafted(name, declaration.name.span, broken=True)
        if id(file) not in self.known:
            self.known[id(file)] = checking.imported_params(file, f"{file.path.stem}.")
        scope = Scope(known=self.known[id(file)], what="param")
        return draft(declaration, base, checking.given.environment, checking.expressions, scope, checking.report)

    def spec(self, key: str, tell: bool) -> ModelSpec | None:
        """The model behind a key, rebound where that was asked for."""
        if self.made.get(key) is None:
            drafted = self.drafted(self.rebound.get(key, key))
            try:
                if drafted is None:
                    raise Wrong()
                self.made[key] = spec(drafted, key, self.at.get(key) or line_one(self.main))
            except Wrong as error:
                self.made[key] = None
                if tell:
                    self.checking.tell(error)
        return self.made[key]

    def use(self, home: Instance, name: str, span: Span, asked: bool) -> str:
        """The key of a model that a node names. Where it is `asked`, it must be whole."""
        try:
            key = self.lookup(home.file, name, span)
        except Wrong:
            if home.graph is None or name not in {one.value for one in home.known.values() if isinstance(one.value, str)}:
                raise
            key = self.lookup(self.main, name, span)  # its name came in through a slot
        self.at.setdefault(key, span)
        if asked:
            self.spec(key, tell=True)
        return key

    def specs(self) -> dict[str, ModelSpec]:
        """Every model that is whole, those too that nothing asks."""
        made = {key: self.spec(key, tell=False) for key in [*self.names, *(["default"] if "default" in self.at else [])]}
        return {key: one for key, one in made.items() if one is not None}


def check(path: Path, given: Given, text: str | None = None) -> Program:
    """See `engine.language.check`."""
    return Checking(given).run(path, text)


