"""A checked file as the rules see it: its syntax tree, the program it means, and who names what.

Rules speak of the file itself; what it imports is looked at where it is linted on its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from functools import cached_property

from engine.frozen import dataclass
from engine.language import tree as ast
from engine.language.kind import Role
from engine.language.program import Node, Program
from engine.language.settings import roles
from engine.language.templates import Template
from engine.language.tree import Source
from engine.language.types import Type

_PARAMETER = re.compile(r"\$(\w+)")


@dataclass(frozen=True)
class Scope:
    """Nodes that see one another: those of the file, or those of a graph's body."""

    graph: ast.GraphDeclaration | None
    nodes: tuple[ast.NodeDeclaration, ...]


@dataclass(frozen=True)
class Asked:
    """A prompt that a node sends: its own, or that of a block such as `repair`."""

    node: Node
    template: Template
    result: Type | None
    reply: str
    model: str
    written: ast.Expression  # the name of the template


@dataclass
class Linted:
    """One file that was found without an error."""

    source: Source
    program: Program
    _nodes: dict[tuple[str, int, int], list[Node]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in (*self.program.nodes.values(), *self.program.uncalled.values()):
            span = node.span
            self._nodes.setdefault((span.path, span.line, span.column), []).append(node)

    # -- what is declared ----------------------------------------------------------------

    @cached_property
    def scopes(self) -> tuple[Scope, ...]:
        """The file's own scope first, then the body of each graph."""
        statements = self.source.statements
        top = tuple(one for one in statements if isinstance(one, ast.NodeDeclaration))
        return Scope(None, top), *(Scope(one, one.nodes) for one in self.graphs)

    @cached_property
    def graphs(self) -> tuple[ast.GraphDeclaration, ...]:
        return tuple(one for one in self.source.statements if isinstance(one, ast.GraphDeclaration))

    @property
    def library(self) -> bool:
        """Without nodes of its own: what it declares is there for other files."""
        return not self.scopes[0].nodes

    @property
    def declarations(self) -> Iterator[ast.NodeDeclaration]:
        """Every node that is written in the file."""
        for scope in self.scopes:
            yield from scope.nodes

    def nodes(self, declaration: ast.NodeDeclaration) -> list[Node]:
        """What a written node became: one node for each call of its graph; none for a call itself."""
        span = declaration.name.span
        return self._nodes.get((span.path, span.line, span.column), [])

    @property
    def prompts(self) -> Iterator[tuple[ast.NodeDeclaration, Node]]:
        """The nodes that ask a model, each once, as they are written and as they were understood."""
        for declaration in self.declarations:
            for node in self.nodes(declaration)[:1]:
                if node.templates:
                    yield declaration, node

    @property
    def asked(self) -> Iterator[Asked]:
        """Every prompt that is sent, where it is named."""
        for declaration, node in self.prompts:
            model = str(getattr(node.settings, "model", ""))
            own = (node.template, node.result, node.settings, declaration.block)
            blocks = {one.name.text: one.block for one in declaration.block.sections}
            parts = [
                (one.template, one.result, one.settings, blocks[one.name]) for one in node.sections.values()
            ]
            pool = [(one, node.result, node.settings, declaration.block) for one in node.pool]
            for template, result, settings, block in (own, *pool, *parts):
                written = setting(
                    block, "templates" if node.pool and block is declaration.block else "template"
                )
                if template is not None and written is not None:
                    asks = str(getattr(settings, "model", None) or model)
                    reply = str(getattr(settings, "reply", "json"))
                    yield Asked(node, template, result, reply, asks, written.value)

    @cached_property
    def types(self) -> dict[str, ast.TypeExpression]:
        """What the file's own types are, by name."""
        found = (one for one in self.source.statements if isinstance(one, ast.TypeDeclaration))
        return {one.name.text: one.type for one in found}

    def node(self, name: str) -> Node | None:
        """A node by its name, of those too that never run."""
        return self.program.nodes.get(name) or self.program.uncalled.get(name)

    # -- who names what --------------------------------------------------------------------

    def tables(self, scope: Scope) -> set[str]:
        """Names of tables that the nodes of a scope read, and what its graph returns."""
        named = {path.words[0].text for one in scope.nodes for path in one.inputs}
        for declaration in scope.nodes:
            for node in self.nodes(declaration):
                for table in node.tables:
                    view, _, rest = table.partition(".")
                    named.add(rest.partition(".")[0] if view in ("rejected", "failed") and rest else view)
        if scope.graph is not None:
            named.add(scope.graph.returns.words[0].text)
        return named

    def names(self, scope: Scope) -> set[str]:
        """Names that the nodes of a scope use: in expressions, as `$name` in queries, in prompts."""
        named: set[str] = set()
        for declaration in scope.nodes:
            named |= words(declaration.block)
            for node in self.nodes(declaration):
                for template in templates(node):
                    named |= template.reads
        return named


def templates(node: Node) -> list[Template]:
    """The prompts of a node: its own and those of its blocks."""
    return list(node.templates)


def writes(node: Node) -> bool:
    """Whether a node leaves something outside the store."""
    return node.kind == "train" or Role.OUTPUT_PATH in roles(type(node.settings)).values()


def expressions(block: ast.Block) -> Iterator[ast.Expression]:
    """Every expression of a block, those of its blocks too, each with all that is inside it."""
    for value in (*(one.value for one in block.settings), *(one.value for one in block.clauses)):
        yield from ast.walk(value)
    for section in block.sections:
        yield from expressions(section.block)


def words(block: ast.Block) -> set[str]:
    """Names in the expressions of a block. A text counts as a name: a setting may name things so."""
    return {word for expression in expressions(block) for word in named(expression)}


def named(expression: ast.Expression) -> Iterator[str]:
    """The names that one expression gives, without those inside it."""
    match expression:
        case ast.Name():
            yield expression.name
        case ast.String():
            yield from (expression.value, *_PARAMETER.findall(expression.value))


def types(written: ast.TypeExpression | None) -> Iterator[ast.TypeExpression]:
    """A type as it is written, and all that is inside it."""
    if written is None:
        return
    yield written
    match written:
        case ast.TypeMany() | ast.TypeOptional():
            yield from types(written.of)
        case ast.TypeUnion():
            for part in written.parts:
                yield from types(part)
        case ast.TypeRecord():
            for one in written.fields:
                yield from types(one.type)


def written_types(statement: ast.Statement) -> Iterator[ast.TypeExpression]:
    """Every type that a statement names."""
    match statement:
        case ast.ParamDeclaration() | ast.TypeDeclaration():
            yield from types(statement.type)
        case ast.NodeDeclaration():
            yield from types(statement.result)
            for section in statement.block.sections:
                yield from types(section.result)
        case ast.GraphDeclaration():
            yield from types(statement.result)
            for slot in statement.slots:
                yield from types(slot.type)
            for node in statement.nodes:
                yield from written_types(node)


def setting(block: ast.Block, name: str) -> ast.Setting | None:
    """A setting of a block by its name."""
    return next((one for one in block.settings if one.name.text == name), None)


def record(graph: Linted, written: ast.TypeExpression | None) -> ast.TypeRecord | None:
    """The record behind a written type, where it is declared in the same file."""
    while isinstance(written, ast.TypeMany | ast.TypeOptional):
        written = written.of
    if isinstance(written, ast.TypeName):
        written = graph.types.get(written.path.dotted)
    return written if isinstance(written, ast.TypeRecord) else None
