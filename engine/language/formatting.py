"""One way to lay a graph out; there is nothing to choose.

Line breaks stay the author's, at most one blank line in a row. Indentation, the spaces around
signs, the `=` of neighbouring settings, the types of neighbouring fields and the comments behind
code are set. A comment or the value of a long string is never touched: what comes out is read
again, and refused if it says anything else than what went in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import pairwise
from typing import Any

from engine.language.build import dedent, indentation, text_pieces
from engine.language.diagnostics import Wrong
from engine.language.grammar import parser
from engine.language.lexing import Comment, comments, normalized
from engine.language.parsing import Token, Tree
from engine.language.syntax import parse
from engine.language.tree import Source, Text

INDENT = "  "
COMMENTS = 41  # the column, from 0, of comments behind code that leaves them the room
FURTHEST = 64  # code longer than this does not move its neighbours' comments

_OPEN, _CLOSE = {"LBRACE", "LPAR", "LSQB"}, {"RBRACE", "RPAR", "RSQB"}
# What an operand ends with: behind it a bracket calls or picks, and a minus subtracts.
_OPERANDS = {
    "NAME", "STRING", "TEXT", "NUMBER", "TRUE", "FALSE", "NULL", "RPAR", "RSQB", "RBRACE", "QMARK",
    "USE", "AS", "PARAM", "TYPE", "MODEL", "PROFILE", "GRAPH", "RETURN", "TEST", "GIVEN", "FROM",
}  # fmt: skip
# Rules that begin on a line of their own rather than go on from the line before.
_ELEMENTS = {
    "use", "param", "typedef", "model", "profile", "graph", "test", "node", "return",
    "setting", "section", "gate", "let", "given", "field", "pair",
}  # fmt: skip
_ALIGNED = {"setting": 1, "field": 2, "pair": 2}  # how many tokens stand before the gap
_WRITTEN = {"span", "text", "offsets", "source"}  # parts of the tree that are place and not meaning


class Unsafe(Exception):
    """The laid out text would not say what the text says: a fault of the formatter's, and no harm done."""

    exit_code = 1

    def __init__(self, path: str, what: str):
        self.message = f"{path} is left as it is: formatting it would change {what}"
        self.help = "this is a fault of atk's own; please report it with the file"
        super().__init__(self.message)


def format_text(text: str, path: str = "<text>") -> str:
    """The text of a graph file, laid out. Formatting twice changes nothing more.

    Line ends stay as the first one is; a byte order mark goes. Raises `Wrong`, with diagnostics
    that name `path`, where the text cannot be parsed, and `Unsafe` where it would be damaged.
    """
    before = normalized(text)
    source = parse(before, path)
    if source.errors:
        raise Wrong(*source.errors)
    after = _laid_out(before)
    if after != before:
        _compare(source, after, path)
    ending = text.partition("\n")[0][-1:]
    return after.replace("\n", "\r\n") if ending == "\r" else after


def on_one_line(expression: str) -> str:
    """An expression as it would be laid out on one line, without its comments."""
    return _spaced(list(parser().lex(expression)))


# -- rows --------------------------------------------------------------------------------


@dataclass
class _Row:
    """One line as the author broke it; a long string makes it several lines of text."""

    tokens: list[Token] = field(default_factory=list)
    comment: Comment | None = None
    line: int = 0
    end: int = 0
    level: int = 0
    blank: bool = False  # a blank line stands before it
    tied: bool = False  # its comment goes on with the one above it, in the same column
    key: int = 0  # how many tokens stand before the gap that neighbours share
    group: tuple[int, str] = (0, "")  # whose neighbours those are
    width: int = 0  # of the key, where neighbours share it


@dataclass
class _Frame:
    """What an open bracket means for the lines in it. Levels count in `INDENT`s."""

    bracket: str
    base: int  # of the line that begins with the closing bracket
    inner: int  # of each element
    element: int  # of the line on which the last element began
    number: int
    fresh: bool = True  # an element begins here


def _laid_out(text: str) -> str:
    rows = _rows(text)
    _Indenting(parser().parse(text)).place(rows)
    for before, row in pairwise(rows):
        row.blank = row.line > before.end + 1 and not _needless(before, row)
    _share_keys(rows)
    return "".join(f"{line}\n" for line in _lines(rows))


def _needless(before: _Row, row: _Row) -> bool:
    """Whether a blank line between the two says nothing: where a bracket opens or closes."""
    if not before.tokens and before.comment and before.comment.doc:
        return False  # it parts the comment from what may begin behind the bracket
    opened = before.tokens and before.tokens[-1].type in _OPEN
    return bool(opened or (row.tokens and row.tokens[0].type in _CLOSE))


def _rows(text: str) -> list[_Row]:
    source = Text("", text)
    pieces: list[Token | Comment] = [*parser().lex(text), *comments(source)]
    pieces.sort(key=lambda piece: piece.start if isinstance(piece, Comment) else piece.start_pos)
    rows: list[_Row] = []
    for piece in pieces:
        line = piece.line if isinstance(piece, Comment) else source.span(piece.start_pos).line
        if not rows or line > rows[-1].end:
            rows.append(_Row(line=line))
        row = rows[-1]
        if isinstance(piece, Comment):
            row.comment, row.end = piece, line
        else:
            row.tokens.append(piece)
            row.end = line + piece.count("\n")
    for before, row in pairwise(rows):
        mine, above = row.comment, before.comment
        if mine and above and not row.tokens and row.line == before.line + 1:
            same = (mine.column, mine.doc) == (above.column, above.doc)
            row.tied = same and (before.tied or bool(before.tokens))
    return rows


class _Indenting:
    """Gives each row its level, going through brackets and elements once."""

    def __init__(self, tree: Tree):
        self.elements: dict[int, str] = {}
        self.shapes: set[int] = set()  # braces of records and objects; the others are blocks
        slots: set[int] = set()
        for part in tree.iter_subtrees():
            rule, start = str(part.data), -1 if part.meta.empty else part.meta.start_pos
            if rule in _ELEMENTS:
                self.elements[start] = rule
            elif rule == "slot":
                slots.add(start)
            elif rule in ("record", "object"):
                self.shapes.add(start)
        for start in slots:  # a slot begins with a field, and is not one
            del self.elements[start]
        self.frames = [_Frame("", 0, 0, 0, 0)]
        self.opened = 0

    def place(self, rows: Sequence[_Row]) -> None:
        waiting: list[_Row] = []
        for row in rows:
            if not row.tokens:
                waiting.append(row)
                continue
            inner = self.frames[-1].inner
            self.read(row)
            for comment in waiting:
                comment.level = inner if row.tokens[0].type in _CLOSE else row.level
            waiting.clear()

    def read(self, row: _Row) -> None:
        row.level = self.level(row.tokens)
        first, frame = row.tokens[0], self.frames[-1]
        begun = 0
        for token in row.tokens:
            if token.type in _CLOSE:
                self.frames.pop()
            top = self.frames[-1]
            if self.begins(token):
                top.element = row.level
                begun += top is frame
            top.fresh = token.type == "COMMA"
            if token.type in _OPEN:
                self.open(token, row)
        rule = self.elements.get(first.start_pos or 0, "")
        key = _ALIGNED.get(rule, 0)
        if begun == 1 and key and len(row.tokens) > key and row.tokens[1].type in ("EQUAL", "COLON"):
            row.key, row.group = key, (frame.number, rule)

    def level(self, tokens: Sequence[Token]) -> int:
        closing = 0
        while closing < len(tokens) and tokens[closing].type in _CLOSE:
            closing += 1
        if closing:
            return self.frames[-closing].base
        top = self.frames[-1]
        if self.begins(tokens[0]):
            return top.inner
        return top.element if self.block(tokens[0]) else top.element + 1

    def begins(self, token: Token) -> bool:
        top = self.frames[-1]
        listed = top.bracket in ("LPAR", "LSQB") and top.fresh and token.type not in _CLOSE
        return listed or token.start_pos in self.elements

    def block(self, token: Token) -> bool:
        return token.type == "LBRACE" and token.start_pos not in self.shapes

    def open(self, token: Token, row: _Row) -> None:
        base = self.frames[-1].element if self.block(token) else row.level
        self.opened += 1
        self.frames.append(_Frame(token.type, base, base + 1, row.level, self.opened))


# -- columns -----------------------------------------------------------------------------


def _share_keys(rows: Sequence[_Row]) -> None:
    """Give neighbours the width of their longest key. Comments between them part nobody."""
    run: list[_Row] = []

    def finish() -> None:
        width = max((len(_spaced(row.tokens[: row.key])) for row in run), default=0)
        for row in run:
            row.width = width
        run.clear()

    for row in rows:
        if run and (row.blank or (row.tokens and row.group != run[-1].group)):
            finish()
        if row.key:
            run.append(row)
            if row.end > row.line:  # below a long string a new run begins
                finish()
    finish()


def _lines(rows: Sequence[_Row]) -> Iterator[str]:
    codes = [_code(row) for row in rows]
    columns = _comment_columns(rows, [len(code.rpartition("\n")[2]) for code in codes])
    for row, code, column in zip(rows, codes, columns, strict=True):
        if row.blank:
            yield ""
        if row.comment is None:
            yield code
            continue
        said = row.comment.text.rstrip()
        if row.tokens:
            yield code + " " * (column - len(code.rpartition("\n")[2])) + said
        else:
            yield " " * column + said


def _comment_columns(rows: Sequence[_Row], widths: Sequence[int]) -> list[int]:
    """The column of each row's comment, 0 where there is none."""
    columns = [0 if row.tokens else len(INDENT) * row.level for row in rows]
    at = 0
    while at < len(rows):
        end = at
        while end < len(rows) and _behind(rows[end]) and not (rows[end].blank and end > at):
            end += 1
        room = max((width + 1 for width in widths[at:end] if width <= FURTHEST), default=0)
        shared = max(COMMENTS, room)
        for place in range(at, end):
            if not rows[place].tied:
                shared = max(COMMENTS, room, widths[place] + 1)
            columns[place] = shared
        # A comment below that is one of its own must not come to stand in the same column.
        if end < len(rows) and end > at and not rows[end].tokens and columns[end] == shared:
            columns[at:end] = [column + 1 for column in columns[at:end]]
        at = max(end, at + 1)
    return columns


def _behind(row: _Row) -> bool:
    return row.comment is not None and (bool(row.tokens) or row.tied)


# -- one row -----------------------------------------------------------------------------


def _code(row: _Row) -> str:
    if not row.tokens:
        return ""
    key = _spaced(row.tokens[: row.key], row.level)
    rest = _spaced(row.tokens[row.key :], row.level)
    gap = " " * (max(row.width - len(key), 0) + 1) if row.key else ""
    return INDENT * row.level + key + gap + rest


def _spaced(tokens: Sequence[Token], level: int = 0) -> str:
    out = ""
    for place, token in enumerate(tokens):
        before = tokens[place - 1] if place else None
        sign = place == 1 or (place > 1 and tokens[place - 2].type not in _OPERANDS)
        if before is not None and not _glued(before, token, sign):
            out += " "
        out += _shifted(token, level) if token.type == "TEXT" else token
    return out


def _glued(before: Token, token: Token, prefix: bool) -> bool:
    """Whether nothing stands between; `prefix` says that `before` follows no operand."""
    if token.type in ("COMMA", "RPAR", "RSQB", "COLON", "DOT", "QMARK"):
        return True
    if before.type in ("LPAR", "LSQB", "DOT"):
        return True
    if token.type in ("LPAR", "LSQB"):
        return before.type in _OPERANDS
    if before.type == "MINUS":
        return prefix
    return before.type == "LBRACE" and token.type == "RBRACE"


def _shifted(token: Token, level: int) -> str:
    """A long string with its lines one level further in than the line it begins on; same value."""
    lines = token[3:-3].split("\n")
    if len(lines) == 1:
        return str(token)
    first, last, margin = dedent(lines)
    out = [""] * len(lines)
    for row in range(first, last):
        line = lines[row]
        skip = min(margin, indentation(line)) if row else 0
        out[row] = INDENT * (level + 1) * bool(row) + line[skip:] if line[skip:] else ""
    if not lines[-1].strip():
        out[-1] = INDENT * level
    return '"""' + "\n".join(out) + '"""'


# -- nothing is lost ---------------------------------------------------------------------


def _compare(before: Source, after: str, path: str) -> None:
    """Raises `Unsafe` unless both have the same tokens, the same comments and the same tree."""
    again = parse(after, path)
    if _told(before.text) != _told(again.text):
        raise Unsafe(path, "a comment or its place")
    if again.errors or _tokens(before.text.text) != _tokens(after):
        raise Unsafe(path, "more than its layout")
    if (before.doc, meaning(before.statements)) != (again.doc, meaning(again.statements)):
        raise Unsafe(path, "what a comment or a string belongs to")


def _told(text: Text) -> list[tuple[str, bool, int]]:
    """Comments, whether each stands alone, and how many characters of code come before it."""
    found: list[tuple[str, bool, int]] = []
    tokens = list(parser().lex(text.text))
    passed = 0
    for comment in comments(text):
        while passed < len(tokens) and (tokens[passed].start_pos or 0) < comment.start:
            passed += 1
        found.append((comment.text.rstrip(), comment.alone, passed))
    return found


def _tokens(text: str) -> list[tuple[str, str]]:
    return [
        (token.type, "".join(one for one, _ in text_pieces(token, 0)) if token.type == "TEXT" else str(token))
        for token in parser().lex(text)
    ]


def meaning(node: Any) -> Any:
    """The tree without places."""
    if isinstance(node, tuple):
        return [meaning(part) for part in node]
    if is_dataclass(node):
        kept = (part.name for part in fields(node) if part.name not in _WRITTEN)
        return type(node).__name__, [meaning(getattr(node, name)) for name in kept]
    return node
