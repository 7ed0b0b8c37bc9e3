"""The syntax tree of a graph file: what was written, with its place, and no meaning.

Built by `syntax`; names are not looked up here and nothing is evaluated.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from engine.language.diagnostics import Diagnostic, Span

# -- text ------------------------------------------------------------------------------


class Text:
    """One file's text with its lines, so that an offset becomes a place."""

    def __init__(self, path: str, text: str):
        self.path, self.text = path, text
        self.lines = text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def span(self, start: int, end: int | None = None) -> Span:
        """The place of `text[start:end]`, cut at the end of its first line."""
        row = min(bisect_right(self.starts, start) - 1, len(self.lines) - 1)
        line = self.lines[row]
        column = start - self.starts[row]
        width = min(end if end is not None else start + 1, self.starts[row] + len(line)) - start
        return Span(self.path, row + 1, column + 1, max(width, 1), line)


@dataclass(eq=False, repr=False)
class Word:
    """A name as written, without its backticks."""

    text: str
    span: Span


@dataclass(eq=False, repr=False)
class Path:
    """A dotted name: `text.Document`."""

    words: tuple[Word, ...]
    span: Span

    @property
    def dotted(self) -> str:
        return ".".join(word.text for word in self.words)


# -- expressions -------------------------------------------------------------------------


@dataclass(eq=False, repr=False, kw_only=True)
class Expression:
    """Any expression. `text` is how it was written."""

    span: Span
    text: str

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions directly inside."""
        return ()


@dataclass(eq=False, repr=False, kw_only=True)
class Name(Expression):
    """A bare word: a column, a `let`, a param, a slot or a model, by where it stands."""

    name: str


@dataclass(eq=False, repr=False, kw_only=True)
class Constant(Expression):
    """A number, `true`, `false` or `null`."""

    value: int | float | bool | None


@dataclass(eq=False, repr=False, kw_only=True)
class String(Expression):
    r"""A string. In `"…"` only `\"`, `\\`, `\n`, `\r`, `\t` and `\uXXXX` are escapes.

    Any other backslash stays, so that a regular expression reads as it is. `\"\"\"…\"\"\"` has
    no escapes; common indentation and the blank lines at both ends are not part of it.
    `offsets[i]` is where the i-th character of the value stands in the file.
    """

    value: str
    offsets: tuple[int, ...]
    source: Text

    def place(self, start: int, length: int = 1) -> Span:
        """The place in the file of `value[start:start + length]`."""
        if not self.offsets:
            return self.span
        first = self.offsets[min(max(start, 0), len(self.offsets) - 1)]
        last = self.offsets[min(max(start + length, start + 1), len(self.offsets)) - 1]
        return self.source.span(first, max(last + 1, first + 1))


@dataclass(eq=False, repr=False, kw_only=True)
class Unary(Expression):
    """`not x` or `-x`."""

    operator: str
    of: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.of,)


@dataclass(eq=False, repr=False, kw_only=True)
class Binary(Expression):
    """`and`, `or`, a comparison, `in`, `not in`, arithmetic or `||`."""

    operator: str
    left: Expression
    right: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.left, self.right)


@dataclass(eq=False, repr=False, kw_only=True)
class Attribute(Expression):
    """`of.name`: a field of a struct."""

    of: Expression
    name: Word

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.of,)


@dataclass(eq=False, repr=False, kw_only=True)
class Item(Expression):
    """`of[at]`: an element; lists count from 1, as in SQL."""

    of: Expression
    at: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        return (self.of, self.at)


@dataclass(eq=False, repr=False, kw_only=True)
class Call(Expression):
    """`function(…)`; an argument may bear a name. `function` is what stands before the bracket."""

    function: Expression
    arguments: tuple[tuple[Word | None, Expression], ...]

    @property
    def parts(self) -> tuple[Expression, ...]:
        receiver = (self.function.of,) if isinstance(self.function, Attribute) else ()
        return (*receiver, *(value for _, value in self.arguments))

    @property
    def name(self) -> str | None:
        """The function's name where it is a plain one."""
        return self.function.name if isinstance(self.function, Name) else None


@dataclass(eq=False, repr=False, kw_only=True)
class Star(Expression):
    """The `*` of `count(*)`."""


@dataclass(eq=False, repr=False, kw_only=True)
class Sequence(Expression):
    """`[a, b]`, or `(a, b)` where `bracket` is `(`."""

    bracket: str
    items: tuple[Expression, ...]

    @property
    def parts(self) -> tuple[Expression, ...]:
        return self.items


@dataclass(eq=False, repr=False, kw_only=True)
class Object(Expression):
    """`{ a: 1 }`."""

    pairs: tuple[tuple[Word, Expression], ...]

    @property
    def parts(self) -> tuple[Expression, ...]:
        return tuple(value for _, value in self.pairs)


def dotted(expression: Expression) -> str | None:
    """`a.b.c` for a chain of plain names, else None."""
    match expression:
        case Name():
            return expression.name
        case Attribute():
            before = dotted(expression.of)
            return f"{before}.{expression.name.text}" if before else None
    return None


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and all inside it, outermost first."""
    yield expression
    for part in expression.parts:
        yield from walk(part)


# -- types -------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class TypeName:
    path: Path
    span: Span


@dataclass(eq=False, repr=False)
class TypeLiteral:
    value: str
    span: Span


@dataclass(eq=False, repr=False)
class TypeUnion:
    parts: tuple[TypeExpression, ...]
    span: Span


@dataclass(eq=False, repr=False)
class TypeRecord:
    fields: tuple[FieldDeclaration, ...]
    span: Span


@dataclass(eq=False, repr=False)
class TypeMany:
    of: TypeExpression
    span: Span


@dataclass(eq=False, repr=False)
class TypeOptional:
    of: TypeExpression
    span: Span


TypeExpression = TypeName | TypeLiteral | TypeUnion | TypeRecord | TypeMany | TypeOptional


@dataclass(eq=False, repr=False)
class FieldDeclaration:
    name: Word
    type: TypeExpression
    doc: str | None


# -- bodies ------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class Setting:
    name: Word
    value: Expression


@dataclass(eq=False, repr=False)
class SectionDeclaration:
    name: Word
    result: TypeExpression | None
    block: Block


@dataclass(eq=False, repr=False)
class ClauseDeclaration:
    """`word` is where, let, check, keep, expect, until or given; `name` that of a `let` or `given`."""

    word: Word
    name: Word | None
    value: Expression
    otherwise: str | None


@dataclass(eq=False, repr=False)
class Block:
    settings: tuple[Setting, ...] = ()
    sections: tuple[SectionDeclaration, ...] = ()
    clauses: tuple[ClauseDeclaration, ...] = ()


# -- statements --------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class Use:
    file: String
    alias: Word | None
    block: Block | None = None  # params and models of the file, bound here


@dataclass(eq=False, repr=False)
class ParamDeclaration:
    """A param, or a slot of a graph."""

    name: Word
    type: TypeExpression
    default: Expression | None
    doc: str | None


@dataclass(eq=False, repr=False)
class TypeDeclaration:
    name: Word
    type: TypeExpression
    doc: str | None


@dataclass(eq=False, repr=False)
class ModelDeclaration:
    name: Word
    base: Path | None
    block: Block


@dataclass(eq=False, repr=False)
class ProfileDeclaration:
    name: Word
    block: Block


@dataclass(eq=False, repr=False)
class NodeDeclaration:
    kind: Path
    name: Word
    inputs: tuple[Path, ...]
    result: TypeExpression | None
    block: Block
    doc: str | None


@dataclass(eq=False, repr=False)
class GraphDeclaration:
    name: Word
    slots: tuple[ParamDeclaration, ...]
    result: TypeExpression
    nodes: tuple[NodeDeclaration, ...]
    returns: Path
    doc: str | None


@dataclass(eq=False, repr=False)
class TestDeclaration:
    node: Path
    says: str
    block: Block
    __test__ = False  # a name that pytest would collect


Statement = (
    Use
    | ParamDeclaration
    | TypeDeclaration
    | ModelDeclaration
    | ProfileDeclaration
    | NodeDeclaration
    | GraphDeclaration
    | TestDeclaration
)


# -- files -------------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class Source:
    """One parsed file: the statements that could be read, and what is wrong with the others."""

    text: Text
    statements: tuple[Statement, ...]
    doc: str | None
    errors: tuple[Diagnostic, ...]
    lost: frozenset[str] = frozenset()  # names that statements declare which could not be read
