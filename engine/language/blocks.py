"""Blocks inside a node, such as `repair -> QA { … }`: their types and settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Reporting, Wrong, suggestion
from engine.language.kind import KindSpec
from engine.language.meanings import Meanings
from engine.language.program import Section
from engine.language.settings import fill
from engine.language.types import Type


@dataclass
class Blocks(Reporting):
    """The blocks of one node, as far as they could be read."""

    kind: KindSpec
    declaration: ast.NodeDeclaration
    type_of: Callable[[ast.TypeExpression], Type]
    meaning: Callable[[], Meanings]
    report: Callable[[Diagnostic], None]
    ok: bool = True
    sections: dict[str, Section] = field(default_factory=dict)
    types: dict[str, Type | None] = field(default_factory=dict)
    meanings: dict[str, Meanings] = field(default_factory=dict)

    def read(self) -> Blocks:
        """Read all of them, reporting what is wrong."""
        for declaration in self.declaration.block.sections:
            name = declaration.name
            model = self.kind.sections.get(name.text)
            if model is None or name.text in self.types:
                self.refuse(name, model is not None)
                continue
            self.unfit(declaration)
            self.types[name.text] = self.type(declaration)
            meanings = self.meanings[name.text] = self.meaning()
            filled = fill(model, declaration.block.settings, name.text, name, meanings.evaluate, self.report)
            self.ok &= filled.settings is not None
            self.sections[name.text] = Section(
                name.text, self.types[name.text], filled.partial, meanings.template, name.span
            )
        return self

    def type(self, declaration: ast.SectionDeclaration) -> Type | None:
        try:
            return self.type_of(declaration.result) if declaration.result is not None else None
        except Wrong as error:
            self.ok = False
            self.tell(error)
            return None

    def unfit(self, declaration: ast.SectionDeclaration) -> None:
        """What no block has inside."""
        name = declaration.name.text
        for clause in declaration.block.clauses:
            message = f"`{name}` takes no `{clause.word.text}`"
            self.say("ATK113", message, clause.word.span, "gates stand in the node itself")
        for nested in declaration.block.sections:
            message = f"no setting of `{name}` named `{nested.name.text}`"
            self.say("ATK104", message, nested.name.span)

    def refuse(self, name: ast.Word, twice: bool) -> None:
        kind, known = self.declaration.kind.dotted, self.kind.settings.model_fields
        if twice:
            self.say("ATK102", f"`{name.text}` is written twice", name.span)
        elif name.text in known:
            message = f"`{name.text}` is a setting, not a block"
            self.say("ATK104", message, name.span, f"write `{name.text} = …`")
        else:
            help = suggestion(name.text, {*self.kind.sections, *known})
            self.say("ATK104", f"no setting of `{kind}` named `{name.text}`", name.span, help)
