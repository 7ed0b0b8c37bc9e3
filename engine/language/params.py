"""Params and profiles: which value is in force, from the command line, a profile or the file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Reporting, Wrong, suggestion, wrong
from engine.language.expressions import MISSING, Expressions, Known, Scope
from engine.language.files import GraphFile, Loader
from engine.language.given import Given, option
from engine.language.models import Environment
from engine.language.program import ASK_ABOVE, Parameter
from engine.language.types import FLOAT, INT, Optional, Type, accepts, parse_value

ABOUT_PRICE = "it is the price above which `atk exec` asks before it runs"


class Params(Reporting):
    """The params of one check."""

    def __init__(
        self, given: Given, loader: Loader, expressions: Expressions, report: Callable[[Diagnostic], None]
    ):
        self.given, self.loader, self.expressions, self.report = given, loader, expressions, report
        self.of_imports: dict[str, Parameter] = {}  # params of files whose nodes are used: `factual.domain`

    def profile(self, file: GraphFile) -> Mapping[str, ast.Setting]:
        """The bindings of the profile that was asked for; every profile is looked through."""
        for declared in file.profiles.values():
            seen: set[str] = set()
            for setting in declared.block.settings:
                name = setting.name
                if name.text in seen:
                    self.say("ATK102", f"`{name.text}` is set twice", name.span)
                seen.add(name.text)
                if name.text not in file.params and name.text not in file.models:
                    help = suggestion(name.text, {*file.params, *file.models})
                    self.say("ATK183", f"no param or model named `{name.text}`", name.span, help)
            for section in declared.block.sections:
                self.say("ATK183", "a profile binds params and models", section.name.span)
            for clause in declared.block.clauses:
                self.say("ATK113", f"a `profile` takes no `{clause.word.text}`", clause.word.span)
        wanted = self.given.profile
        if wanted is None:
            return {}
        if wanted not in file.profiles:
            help = suggestion(wanted, file.profiles) or "this graph has no profiles"
            self.say("ATK183", f"no profile named `{wanted}`", option(f"--profile {wanted}", wanted), help)
            return {}
        return {setting.name.text: setting for setting in file.profiles[wanted].block.settings}

    def bindings(self, file: GraphFile) -> None:
        """What a `use` binds is a param or a model of the file that is used."""
        for alias, use in file.uses.items():
            other = file.imports.get(alias)
            if use.block is None or other is None:
                continue
            seen: set[str] = set()
            for setting in use.block.settings:
                name = setting.name
                if name.text in seen:
                    self.say("ATK102", f"`{name.text}` is set twice", name.span)
                seen.add(name.text)
                if name.text not in other.params and name.text not in other.models:
                    help = suggestion(name.text, {*other.params, *other.models})
                    message = f"`{alias}` has no param or model named `{name.text}`"
                    self.say("ATK183", message, name.span, help)
            for section in use.block.sections:
                self.say("ATK183", "a `use` binds params and models", section.name.span)
            for clause in use.block.clauses:
                self.say("ATK113", f"a `use` takes no `{clause.word.text}`", clause.word.span)

    def main(self, file: GraphFile, profile: Mapping[str, ast.Setting]) -> dict[str, Parameter]:
        """Every param with the value in force: command line, then profile, then file."""
        self.every_profile(file)
        for name, text in self.given.values.items():
            if name not in file.params and not self.of_import(file, name) and not file.source.errors:
                known = {*file.params, *self.named(file)}
                help = suggestion(name, known) or "this graph has no params"
                self.say(
                    "ATK186", f"no param named `{name}`", option(f"-p {name}={text}", name, last=False), help
                )
        made = self.values(file, profile, "")
        if (price := made.get(ASK_ABOVE)) is not None:
            self.a_price(price)
        return made

    def a_price(self, param: Parameter) -> None:
        """What a run holds its own price against must be one."""
        text = self.given.values.get(param.name)
        at = param.span if text is None else option(f"-p {param.name}={text}", text)
        type_ = param.type.of if isinstance(param.type, Optional) else param.type
        if type_ not in (FLOAT, INT):
            self.say(
                "ATK111",
                f"`{param.name}` must be a price in USD, a `float`",
                param.span,
                ABOUT_PRICE,
            )
        elif param.value is not None and param.value < 0:
            message = f"`{param.name}` must be at least 0, not {param.value:g}"
            self.say("ATK111", message, at, ABOUT_PRICE)

    def of_import(self, file: GraphFile, name: str) -> bool:
        """Whether `factual.domain` is a param of a file that this one imports, by whatever way."""
        alias, dot, rest = name.partition(".")
        other = file.imports.get(alias) if dot else None
        return other is not None and (rest in other.params or self.of_import(other, rest))

    def named(self, file: GraphFile) -> set[str]:
        """The params of what a file imports, as the command line names them."""
        return {f"{alias}.{name}" for alias, other in file.imports.items() for name in other.params}

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

    def values(
        self,
        file: GraphFile,
        profile: Mapping[str, ast.Setting],
        prefix: str,
        needed: Collection[str] | None = None,
        scope: Scope | None = None,
    ) -> dict[str, Parameter]:
        """Every param of a file. One without a value is told, if it is `needed`: by default all are.

        `profile` binds some of them, to what is known in `scope`.
        """
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
                given, value = self.value(file, declaration, type_, profile, known, prefix, scope)
            except Wrong as error:
                if needed is None or name in needed:
                    self.tell(error)
            if value is MISSING:
                file.missed.add(name)
            else:
                file.missed.discard(name)
            known[name] = Known(type_, value)
            shown = None if value is MISSING else value
            made[name] = Parameter(name, type_, shown, given, declaration.doc, declaration.name.span)
        return made

    def value(
        self,
        file: GraphFile,
        declaration: ast.ParamDeclaration,
        type_: Type,
        profile: Mapping[str, ast.Setting],
        known: Mapping[str, Known],
        prefix: str,
        outer: Scope | None = None,
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
            return True, self.fitting(profile[name].value, name, type_, outer or Scope(what="param"))
        if declaration.default is not None:
            return False, self.fitting(declaration.default, name, type_, scope)
        if isinstance(type_, Optional):
            return False, None
        if not self.given.complete:
            return False, MISSING
        said = f": {declaration.doc.splitlines()[0]}" if declaration.doc else ""
        raise wrong(
            "ATK112", f"`{full}` has no value{said}", declaration.name.span, f"give it one: -p {full}=…"
        )

    def quietly_checked(self, written: ast.Expression, name: str, type_: Type, scope: Scope) -> None:
        """A default that is overridden is wrong all the same."""
        try:
            self.fitting(written, name, type_, scope)
        except Wrong as error:
            self.tell(error)

    def fitting(self, written: ast.Expression, name: str, type_: Type, scope: Scope) -> Any:
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

    def imported(
        self, file: GraphFile, prefix: str, use: ast.Use, known: Mapping[str, Known]
    ) -> dict[str, Known]:
        """Params of an imported pipeline: `-p alias.name=…`, what the `use` binds, else its file's.

        `known` is what the file that uses it knows.
        """
        bound = {one.name.text: one for one in use.block.settings} if use.block else {}
        made = self.values(file, bound, prefix, scope=Scope(known=known, what="param"))
        self.of_imports |= {prefix + name: replace(one, name=prefix + name) for name, one in made.items()}
        return self.known(file, made)

    def read_by_model(self, file: GraphFile, prefix: str, names: Collection[str]) -> dict[str, Known]:
        """The same for a model of an imported file, which needs no more than the params that it reads."""
        return self.known(file, self.values(file, {}, prefix, names))

    def known(self, file: GraphFile, params: Mapping[str, Parameter]) -> dict[str, Known]:
        """Params as expressions see them."""
        return {
            name: Known(one.type, MISSING if name in file.missed else one.value)
            for name, one in params.items()
        }
