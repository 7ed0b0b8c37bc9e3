"""From the parser's tree to ours: places in the whole file, values of strings and numbers, doc comments.

What cannot be (a bad escape, a number too large) is reported here; names are not looked up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Span
from engine.language.lexing import Docs
from engine.language.parsing import Token, Tree

_ESCAPE = re.compile(r'\\(u[0-9a-fA-F]{4}|["\\nrt])')
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_DIGITS = 400  # a longer number than any meaning

Node = Tree


class Builder:
    """Turns the statements of one parsed stretch, which starts at `offset` in the text."""

    def __init__(self, text: ast.Text, docs: Docs, offset: int, report: Callable[[Diagnostic], None]):
        self.text, self.docs, self.offset, self.report = text, docs, offset, report

    # -- places ------------------------------------------------------------------------

    def start(self, node: Node | Token) -> int:
        begin = node.start_pos if isinstance(node, Token) else node.meta.start_pos
        return self.offset + (begin or 0)

    def end(self, node: Node | Token) -> int:
        finish = node.end_pos if isinstance(node, Token) else node.meta.end_pos
        return self.offset + (finish or 0)

    def span(self, node: Node | Token) -> Span:
        if isinstance(node, Tree) and node.meta.empty:
            return self.text.span(self.offset)
        return self.text.span(self.start(node), self.end(node))

    def place(self, node: Node) -> dict[str, Any]:
        """`span` and `text` of an expression."""
        return {"span": self.span(node), "text": self.text.text[self.start(node) : self.end(node)]}

    # -- words --------------------------------------------------------------------------

    def word(self, node: Any) -> ast.Word:
        token = node.children[0] if isinstance(node, Tree) else node
        return ast.Word(str(token).strip("`"), self.span(token))

    def path(self, node: Node) -> ast.Path:
        return ast.Path(tuple(self.word(child) for child in node.children), self.span(node))

    def maybe_path(self, node: Any) -> ast.Path | None:
        return self.path(node) if node is not None else None

    def string(self, token: Token) -> ast.String:
        """The value of a STRING or TEXT token, with where each character stands."""
        begin = self.start(token)
        pieces = text_pieces(token, begin) if token.type == "TEXT" else _string_pieces(token, begin)
        value, offsets = [], []
        for character, at in pieces:
            value.append(character)
            offsets.append(at)
        if any("\ud800" <= character <= "\udfff" for character in value):
            value = ["\N{REPLACEMENT CHARACTER}" if "\ud800" <= one <= "\udfff" else one for one in value]
            self.report(Diagnostic("ATK007", "half of a surrogate pair is no character", self.span(token)))
        return ast.String(
            span=self.span(token),
            text=str(token),
            value="".join(value),
            offsets=tuple(offsets),
            source=self.text,
        )

    def said(self, token: Any) -> str | None:
        return self.string(token).value if token is not None else None

    # -- statements -----------------------------------------------------------------------

    def statement(self, node: Node) -> ast.Statement:
        kids: list[Any] = node.children
        match node.data:
            case "use":
                alias = self.word(kids[1]) if kids[1] is not None else None
                block = self.block(kids[2]) if kids[2] is not None else None
                return ast.Use(self.string(kids[0]), alias, block)
            case "param":
                return self.param(node)
            case "typedef":
                return ast.TypeDeclaration(self.word(kids[0]), self.type(kids[1]), self.doc(node))
            case "model":
                return ast.ModelDeclaration(self.word(kids[0]), self.maybe_path(kids[1]), self.block(kids[2]))
            case "profile":
                return ast.ProfileDeclaration(self.word(kids[0]), self.block(kids[1]))
            case "test":
                return ast.TestDeclaration(
                    self.path(kids[0]), self.string(kids[1]).value, self.block(kids[2])
                )
            case "graph":
                return self.graph(node)
            case _:
                return self.node(node)

    def doc(self, node: Node) -> str | None:
        return self.docs.behind(self.end(node)) or self.docs.above(self.span(node).line)

    def param(self, node: Node) -> ast.ParamDeclaration:
        shape, default = node.children
        name, type_ = shape.children
        return ast.ParamDeclaration(self.word(name), self.type(type_), self.maybe(default), self.doc(node))

    def graph(self, node: Node) -> ast.GraphDeclaration:
        name, slots, result, nodes, back = (child for child in node.children)
        return ast.GraphDeclaration(
            self.word(name),
            tuple(self.param(slot) for slot in _children(slots)),
            self.type(result),
            tuple(self.node(inner) for inner in _children(nodes)),
            self.path(back.children[0]),
            self.doc(node),
        )

    def node(self, node: Node) -> ast.NodeDeclaration:
        kind, name, inputs, result, block = node.children
        return ast.NodeDeclaration(
            self.path(kind),
            self.word(name),
            tuple(self.path(one) for one in _children(inputs)),
            self.type(result) if result is not None else None,
            self.block(block),
            self.doc(node),
        )

    def block(self, node: Any) -> ast.Block:
        if node is None:
            return ast.Block()
        settings: list[ast.Setting] = []
        sections: list[ast.SectionDeclaration] = []
        clauses: list[ast.ClauseDeclaration] = []
        for item in node.children:
            kids = item.children
            match item.data:
                case "setting":
                    settings.append(ast.Setting(self.word(kids[0]), self.expression(kids[1])))
                case "section":
                    result = self.type(kids[1]) if kids[1] is not None else None
                    sections.append(ast.SectionDeclaration(self.word(kids[0]), result, self.block(kids[2])))
                case "gate":
                    otherwise = self.said(kids[2]) if len(kids) > 2 else None
                    clauses.append(
                        ast.ClauseDeclaration(self.word(kids[0]), None, self.expression(kids[1]), otherwise)
                    )
                case "let":
                    clauses.append(
                        ast.ClauseDeclaration(
                            self.word(kids[0]), self.word(kids[1]), self.expression(kids[2]), None
                        )
                    )
                case _:  # given
                    target = self.path(kids[0])
                    at = self.text.span(self.start(item), self.start(item) + len("given"))
                    clauses.append(
                        ast.ClauseDeclaration(
                            ast.Word("given", at),
                            ast.Word(target.dotted, target.span),
                            self.expression(kids[1]),
                            None,
                        )
                    )
        return ast.Block(tuple(settings), tuple(sections), tuple(clauses))

    # -- types ------------------------------------------------------------------------------

    def type(self, node: Any) -> ast.TypeExpression:
        kids = node.children
        match node.data:
            case "named":
                return ast.TypeName(self.path(kids[0]), self.span(node))
            case "literal":
                return ast.TypeLiteral(self.string(kids[0]).value, self.span(node))
            case "record":
                return ast.TypeRecord(tuple(self.field(kid) for kid in kids), self.span(node))
            case "many":
                return ast.TypeMany(self.type(kids[0]), self.span(node))
            case "optional":
                return ast.TypeOptional(self.type(kids[0]), self.span(node))
            case _:  # union, which nests to the left
                parts: list[ast.TypeExpression] = []
                for kid in kids:
                    made = self.type(kid)
                    parts += made.parts if isinstance(made, ast.TypeUnion) else (made,)
                return ast.TypeUnion(tuple(parts), self.span(node))

    def field(self, node: Node) -> ast.FieldDeclaration:
        name, type_ = node.children
        return ast.FieldDeclaration(self.word(name), self.type(type_), self.doc(node))

    # -- expressions ------------------------------------------------------------------------

    def maybe(self, node: Any) -> ast.Expression | None:
        return self.expression(node) if node is not None else None

    def expression(self, node: Any) -> ast.Expression:
        kids, at = node.children, self.place(node)
        match node.data:
            case "name":
                return ast.Name(name=self.word(kids[0]).text, **at)
            case "number":
                return ast.Constant(value=self.number(kids[0]), **at)
            case "string":
                return self.string(kids[0])
            case "true" | "false" | "null":
                return ast.Constant(value={"true": True, "false": False, "null": None}[node.data], **at)
            case "not_" | "negative":
                return ast.Unary(
                    operator="not" if node.data == "not_" else "-", of=self.expression(kids[0]), **at
                )
            case "or_" | "and_" | "in_" | "not_in":
                operator = str(node.data).rstrip("_").replace("_", " ")
                return ast.Binary(
                    operator=operator, left=self.expression(kids[0]), right=self.expression(kids[1]), **at
                )
            case "compare" | "arithmetic":
                return ast.Binary(
                    operator=str(kids[1]), left=self.expression(kids[0]), right=self.expression(kids[2]), **at
                )
            case "attribute":
                return ast.Attribute(of=self.expression(kids[0]), name=self.word(kids[1]), **at)
            case "item":
                return ast.Item(of=self.expression(kids[0]), at=self.expression(kids[1]), **at)
            case "call":
                arguments = tuple(self.argument(kid) for kid in _children(kids[1]))
                return ast.Call(function=self.expression(kids[0]), arguments=arguments, **at)
            case "star":
                return ast.Star(**at)
            case "object":
                return ast.Object(pairs=tuple(self.pair(kid) for kid in kids if kid is not None), **at)
            case _:  # list, tuple
                items = tuple(self.expression(kid) for kid in kids if kid is not None)
                return ast.Sequence(bracket="[" if node.data == "list" else "(", items=items, **at)

    def argument(self, node: Any) -> tuple[ast.Word | None, ast.Expression]:
        if node.data == "named_arg":
            return self.word(node.children[0]), self.expression(node.children[1])
        return None, self.expression(node)

    def pair(self, node: Any) -> tuple[ast.Word, ast.Expression]:
        key, value = node.children
        if isinstance(key, Token):
            made = self.string(key)
            return ast.Word(made.value, made.span), self.expression(value)
        return self.word(key), self.expression(value)

    def number(self, token: Token) -> int | float:
        digits = token.replace("_", "")
        if len(digits) > _DIGITS:
            self.report(Diagnostic("ATK007", "this number is too long", self.span(token)))
            return 0
        if digits.isdecimal():
            whole = int(digits)
            if whole < 2**63:
                return whole
            self.report(Diagnostic("ATK007", "this number does not fit into 64 bits", self.span(token)))
            return 0
        real = float(digits)
        if real == float("inf"):
            self.report(Diagnostic("ATK007", "this number is too large", self.span(token)))
            return 0.0
        return real


def _children(node: Any) -> list[Any]:
    return [child for child in node.children if child is not None] if node is not None else []


def _string_pieces(token: str, begin: int) -> Iterator[tuple[str, int]]:
    at, end = 1, len(token) - 1
    while at < end:
        escape = _ESCAPE.match(token, at, end) if token[at] == "\\" else None
        if escape:
            body = escape[1]
            yield (chr(int(body[1:], 16)) if body[0] == "u" else _ESCAPED[body]), begin + at
            at = escape.end()
        else:
            yield token[at], begin + at
            at += 1


def text_pieces(token: str, begin: int) -> Iterator[tuple[str, int]]:
    """Each character of a long string's value, with where it stands; the token is at `begin`."""
    lines = token[3:-3].split("\n")
    starts, at = [], begin + 3
    for line in lines:
        starts.append(at)
        at += len(line) + 1
    first, last, margin = dedent(lines)
    for row in range(first, last):
        skip = min(margin, indentation(lines[row])) if row else 0
        for column in range(skip, len(lines[row])):
            yield lines[row][column], starts[row] + column
        if row < last - 1:
            yield "\n", starts[row] + len(lines[row])


def dedent(lines: Sequence[str]) -> tuple[int, int, int]:
    """Of a long string's lines: the first that counts, the one after the last, the common indentation."""
    first, last = 0, len(lines)
    while first < last and not lines[first].strip():
        first += 1
    while last > first and not lines[last - 1].strip():
        last -= 1
    # The first line stands behind the quotes, so its indentation says nothing.
    indents = [indentation(line) for row, line in enumerate(lines[first:last], first) if line.strip() and row]
    return first, last, min(indents, default=0)


def indentation(line: str) -> int:
    """How many spaces and tabs a line begins with."""
    return len(line) - len(line.lstrip(" \t"))
