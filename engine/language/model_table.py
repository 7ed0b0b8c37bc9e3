"""Models by name: who is meant, what a profile or the command line puts in its place, what it is.

A model is made out when it is first asked, and only then must its environment be there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Reporting, Span, Wrong, suggestion, wrong
from engine.language.expressions import Expressions, Known, Scope
from engine.language.files import GraphFile, line_one
from engine.language.given import Given, option
from engine.language.instances import Instance, method_of
from engine.language.models import Drafted, Trained, default, draft, spec
from engine.language.params import Params
from engine.language.program import ModelSpec


class ModelTable(Reporting):
    """The models of a file and of those it imports, by the names that the program gives them."""

    def __init__(
        self,
        given: Given,
        expressions: Expressions,
        params: Params,
        report: Callable[[Diagnostic], None],
        main: GraphFile,
        known: Mapping[str, Known],
        profile: Mapping[str, ast.Setting],
    ):
        self.given, self.expressions, self.params = given, expressions, params
        self.report, self.main = report, main
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

    def prefix(self, file: GraphFile) -> str:
        """What stands before the names of a file's models and params: the name it is imported as."""
        if file is self.main:
            return ""
        return self.main.prefix_of(file) or f"{file.path.stem}."

    def key(self, file: GraphFile, name: str) -> str:
        """What the program calls a model: by its name, an imported one behind its file's."""
        if name == "default":
            return name
        known = self.keys.get((id(file), name))
        if known is None:
            base = self.prefix(file) + name
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
            raise wrong(
                code, f"no model named `{name}`", span, _near(name, {*file.models, *imported, "default"})
            )
        return found

    def rebindings(self, profile: Mapping[str, ast.Setting]) -> dict[str, str]:
        """Model -> model, from the profile and, over it, the command line."""
        bound: dict[str, str] = {}
        for declared in self.main.profiles.values():
            for setting in declared.block.settings:
                name = setting.name.text
                try:
                    if name in self.main.models and name not in self.main.params:
                        target = self.target(setting.value)
                        if profile.get(name) is setting:
                            bound[self.key(self.main, name)] = target
                except Wrong as error:
                    self.tell(error)
        for name, target in self.given.models.items():
            text = f"-m {name}={target}"
            try:
                source = self.lookup(self.main, name, option(text, name, last=False), "ATK187")
                bound[source] = self.lookup(self.main, target, option(text, target), "ATK187")
            except Wrong as error:
                self.tell(error)
        for source, target in self.bound_by_uses().items():
            bound.setdefault(source, bound.get(target, target))
        return bound

    def bound_by_uses(self) -> dict[str, str]:
        """Models of files that are used -> models of this file, as `use "x.atk" { large = large }` says."""
        bound: dict[str, str] = {}
        for alias, use in self.main.uses.items():
            other = self.main.imports.get(alias)
            for setting in use.block.settings if use.block and other else ():
                name = setting.name.text
                try:
                    if other and name in other.models and name not in other.params:
                        bound[self.key(other, name)] = self.target(setting.value)
                except Wrong as error:
                    self.tell(error)
        return bound

    def target(self, written: ast.Expression) -> str:
        """The model that a profile puts in a model's place. Raises `Wrong`."""
        name = written.value if isinstance(written, ast.String) else ast.dotted(written)
        if name is None:
            raise wrong("ATK106", "this is not the name of a model", written.span)
        return self.lookup(self.main, name, written.span)

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
        if key == "default":
            return default(self.given.environment, self.at.get(key) or line_one(self.main))
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
                    raise Wrong
            except Wrong as error:
                self.tell(error)
                base = Drafted(name, declaration.name.span, broken=True)
        if file is not self.main:
            values = [setting.value for setting in declaration.block.settings]
            read = {part.name for one in values for part in ast.walk(one) if isinstance(part, ast.Name)}
            self.known[id(file)] = self.params.read_by_model(file, self.prefix(file), read)
        scope = Scope(known=self.known[id(file)], what="param")
        made = draft(declaration, base, self.given.environment, self.expressions, scope, self.report)
        start = made.values.get("start")
        if isinstance(start, Trained) and "start" in made.spans:
            node = file.nodes.get(start) if file is self.main else None
            if node is None or node.kind.dotted != "train":
                help = suggestion(
                    start, {one for one, found in self.main.nodes.items() if found.kind.dotted == "train"}
                )
                message = f"no `train` node named `{start}`"
                made.pending.append(Diagnostic("ATK103", message, made.spans["start"], help))
            elif method_of(node) == "classifier":
                message = f"`{start}` only tells classes"
                made.pending.append(Diagnostic("ATK176", message, made.spans["start"]))
        return made

    def spec(self, key: str, tell: bool) -> ModelSpec | None:
        """The model behind a key, rebound where that was asked for."""
        if self.made.get(key) is None:
            drafted = self.drafted(self.rebound.get(key, key))
            try:
                if drafted is None:
                    raise Wrong
                self.made[key] = spec(drafted, key, self.at.get(key) or line_one(self.main))
            except Wrong as error:
                self.made[key] = None
                if tell:
                    self.tell(error)
        return self.made[key]

    def use(self, home: Instance, name: str, span: Span, asked: bool) -> str:
        """The key of a model that a node names. Where it is `asked`, it must be whole."""
        try:
            key = self.lookup(home.file, name, span)
        except Wrong:
            if home.graph is None or name not in {
                one.value for one in home.known.values() if isinstance(one.value, str)
            }:
                raise
            key = self.lookup(self.main, name, span)  # its name came in through a slot
        self.at.setdefault(key, span)
        if asked:
            self.spec(key, tell=True)
        return key

    def specs(self) -> dict[str, ModelSpec]:
        """Every model that is whole, those too that nothing asks."""
        made = {
            key: self.spec(key, tell=False)
            for key in [*self.names, *(["default"] if "default" in self.at else [])]
        }
        return {key: one for key, one in made.items() if one is not None}


def _near(name: str, known: set[str]) -> str | None:
    """A model that may be meant, or how one is declared."""
    help = suggestion(name, known)
    if name.isidentifier() or (help and help.startswith("did you mean")):
        return help
    return f'a model is declared first: model large {{ name = "{name}" }}'
