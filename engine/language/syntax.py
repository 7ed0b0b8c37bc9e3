"""Read the text of a graph file: its statements, and every syntax error in it at once.

After an error reading goes on at the next statement: the next line that starts with a letter
in the first column. What a name means is not asked here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

from engine.language import slips
from engine.language.build import Builder
from engine.language.diagnostics import Diagnostic, Span
from engine.language.grammar import parser
from engine.language.lexing import Docs, comments, statement_starts
from engine.language.parsing import END, Token, Tree, UnexpectedCharacter, UnexpectedToken, Unreadable
from engine.language.tree import Source, Statement, Text

OPEN_TEXT = "this text of several lines is not closed"
DEEPEST = 120  # levels of nesting; far beyond what anyone reads, far below Python's own limit
SPELLED = {
    "NAME": "a name", "STRING": "a string", "TEXT": "a string", "NUMBER": "a number",
    "LBRACE": "`{`", "RBRACE": "`}`", "LSQB": "`[`", "RSQB": "`]`", "LPAR": "`(`", "RPAR": "`)`",
    "EQUAL": "`=`", "COLON": "`:`", "COMMA": "`,`", "DOT": "`.`", "VBAR": "`|`", "QMARK": "`?`",
    "MINUS": "`-`", "STAR": "`*`", "__ANON_0": "`->`",
}  # fmt: skip
MOST_SUGGESTIONS = 4
RESERVED = frozenset(
    {
        "where",
        "let",
        "check",
        "keep",
        "expect",
        "until",
        "else",
        "and",
        "or",
        "not",
        "in",
        "true",
        "false",
        "null",
    }
)
HEAD = re.compile(r"\s*[A-Za-z_][\w.]*[ \t]+([A-Za-z_]\w*)")  # what opens a statement, and what it declares
OPENERS = frozenset({"use", "param", "type", "model", "profile", "graph", "test"})


@lru_cache(maxsize=64)
def parse(text: str, path: str = "<text>") -> Source:
    """Parse a whole file. `text` has `\\n` line ends and no byte order mark.

    A check looks at a file several times over (its cases, its tests, what imports it), and an editor
    at every key; what was parsed is never changed, so it is shared.
    """
    return _Reader(Text(path, text)).read()


class _Reader:
    def __init__(self, text: Text):
        self.text = text
        self.docs = Docs(text, comments(text))
        self.statements: list[Statement] = []
        self.errors: list[Diagnostic] = []
        self.lost: set[str] = set()

    def read(self) -> Source:
        try:
            trees = parser().parse(self.text.text).children
        except Unreadable:
            self.read_in_pieces()
        else:
            self.build(trees, 0)
        first = self.first_line()
        return Source(
            self.text,
            tuple(self.statements),
            self.docs.head(first),
            tuple(self.errors),
            frozenset(self.lost),
        )

    def first_line(self) -> int:
        """The first line that is more than a comment, however far it is indented."""
        lines = (line.lstrip() for line in self.text.lines)
        found = (row for row, line in enumerate(lines, 1) if line and not line.startswith("#"))
        return next(found, len(self.text.lines) + 1)

    def read_in_pieces(self) -> None:
        """Statement by statement, so that one mistake does not hide another."""
        starts = statement_starts(self.text)
        if not starts or self.text.text[: self.text.starts[starts[0]]].strip():
            starts.insert(0, 0)
        at = 0
        while at < len(starts):
            at += self.read_piece(starts, at)

    def read_piece(self, starts: list[int], at: int) -> int:
        """Read the statement that starts at line `starts[at]`; how many starts it took."""
        begin = self.text.starts[starts[at]]
        found: Unreadable | None = None
        # A statement may hold lines that start in the first column: try to go on beyond them.
        for more in range(1, min(len(starts) - at, 12) + 1):
            beyond = starts[at + more] if at + more < len(starts) else len(self.text.lines)
            piece = self.text.text[begin : self.text.starts[beyond]]
            try:
                self.build(parser().parse(piece).children, begin)
            except Unreadable as error:
                found = found or error
                if not _ended(error):
                    break
            else:
                return more
        assert found is not None
        self.errors.append(self.explain(found, starts, at))
        if head := HEAD.match(self.text.text, begin):
            self.lost.add(head[1])
        # A text that is not closed takes in all that stands below it.
        return len(starts) - at if self.errors[-1].message == OPEN_TEXT else 1

    def build(self, trees: Sequence[Tree | Token], offset: int) -> None:
        builder = Builder(self.text, self.docs, offset, self.errors.append)
        for tree in trees:
            if (deep := _too_deep(tree)) is not None:
                self.errors.append(
                    Diagnostic(
                        "ATK006", "this is nested too deeply", builder.span(deep), "break it into parts"
                    )
                )
            else:
                self.statements.append(builder.statement(cast("Tree", tree)))

    # -- what went wrong ------------------------------------------------------------------

    def explain(self, error: Unreadable, starts: list[int], at: int) -> Diagnostic:
        begin = self.text.starts[starts[at]]
        if (told := self.foreign(error, begin)) is not None:
            return told
        if isinstance(error, UnexpectedCharacter):
            return self.bad_character(begin + error.position)
        assert isinstance(error, UnexpectedToken)
        if _ended(error):
            return self.unclosed(error, starts, at)
        token = error.token
        offset = begin + token.start_pos
        span = self.text.span(offset, offset + len(str(token).split("\n")[0]))
        shown = str(token).split("\n")[0]
        accepts = error.accepts
        if token.type == "RBRACE" and END in accepts:
            return Diagnostic("ATK001", "`}` closes nothing", span)
        if token == "null" and self.text.text[:offset].rstrip().endswith("|"):
            return Diagnostic("ATK107", "`null` is no type", span, "what may be missing is written `T?`")
        if str(token) in RESERVED and "NAME" in accepts:
            help = f"write it in backticks to use it as a name: `` `{token}` ``"
            return Diagnostic("ATK003", f"`{token}` is a reserved word", span, help)
        if str(token) in OPENERS and "NAME" in accepts and "LBRACE" not in accepts:
            help = f"write it in backticks to use it as a name: `` `{token}` ``"
            return Diagnostic("ATK003", f"`{token}` opens a statement", span, help)
        if token == "=" and "COLON" in accepts:
            return Diagnostic("ATK004", "a shape takes `:`, a setting takes `=`", span)
        if token == "=" and "COMPARE" in accepts:
            return Diagnostic("ATK004", "`=` gives a value; to compare, write `==`", span)
        if token == ":" and "EQUAL" in accepts:
            return Diagnostic("ATK004", "a setting takes `=`, a shape takes `:`", span)
        if token == "==" and "EQUAL" in accepts:
            return Diagnostic("ATK004", "`==` compares; a value is given with `=`", span)
        if token == "?" and "COMPARE" in accepts:
            return Diagnostic("ATK001", "`?` is unexpected here", span, "a choice is written if(c, a, b)")
        mend = slips.of_sign(self.text.text, offset) or slips.of_words(self.text.text[begin:offset])
        return Diagnostic("ATK001", f"`{shown}` is unexpected here", span, mend or _expected(accepts))

    def foreign(self, error: Unreadable, begin: int) -> Diagnostic | None:
        """A statement of another language, told by its first word where its first line fails."""
        at = error.position if isinstance(error, UnexpectedCharacter) else 0
        if isinstance(error, UnexpectedToken):
            at = error.token.start_pos
        text = self.text.text
        if "\n" in text[begin : begin + at] or not (found := slips.of_statement(text[begin : begin + 40])):
            return None
        word, help = found
        span = self.text.span(begin, begin + len(word))
        return Diagnostic("ATK001", f"there is no statement `{word}`", span, help)

    def bad_character(self, at: int) -> Diagnostic:
        found = self.text.text[at]
        span = self.text.span(at)
        if found == "'":
            help = slips.of_words(self.text.text[max(at - 40, 0) : at]) or "strings take double quotes"
            return Diagnostic("ATK001", "`'` means nothing here", span, help)
        if found == '"' and self.text.text[max(at - 2, 0) : at] == '""':
            opened = self.text.span(at - 2, at + 1)
            return Diagnostic("ATK002", OPEN_TEXT, opened, 'a `"""` is missing at its end')
        if found == '"':
            line_end = self.text.starts[span.line] - 1
            return Diagnostic(
                "ATK002",
                "this string is not closed",
                self.text.span(at, line_end),
                'a `"` is missing; a text of several lines stands between `"""` and `"""`',
            )
        if found == "`":
            return Diagnostic("ATK002", "this backtick has no partner on its line", span)
        mend = slips.of_sign(self.text.text, at)
        if found in "<!":
            return Diagnostic("ATK001", f"`{found}` is unexpected here", span, mend)
        shown = found if found.isprintable() else f"U+{ord(found):04X}"
        return Diagnostic("ATK001", f"`{shown}` means nothing here", span, mend)

    def unclosed(self, error: UnexpectedToken, starts: list[int], at: int) -> Diagnostic:
        """The statement ends too early: in a block, or in the middle of a line."""
        row = starts[at]
        beyond = starts[at + 1] if at + 1 < len(starts) else None
        begin = self.text.starts[row]
        if "RBRACE" in error.accepts:
            where = f"before line {beyond + 1}" if beyond is not None else "at the end of the file"
            return Diagnostic(
                "ATK002", "this block is not closed", self.line_span(row), f"a `}}` is missing {where}"
            )
        piece = self.text.text[
            begin : self.text.starts[beyond if beyond is not None else len(self.text.lines)]
        ]
        code = _without_comments(piece, begin, self.docs)
        last = begin + max(len(code.rstrip()), 1)
        return Diagnostic(
            "ATK001",
            "this statement is not finished",
            self.text.span(last - 1, last),
            _expected(error.accepts),
        )

    def line_span(self, row: int) -> Span:
        start = self.text.starts[row]
        line = self.text.lines[row]
        comment = self.docs.by_line.get(row + 1)
        code = line[: comment.column] if comment else line
        return self.text.span(start, start + max(len(code.rstrip()), 1))


def _ended(error: Unreadable) -> bool:
    return isinstance(error, UnexpectedToken) and error.token.type == END


def _expected(accepts: frozenset[str]) -> str | None:
    names = sorted({SPELLED.get(name, f"`{name.lower()}`") for name in accepts if name != END})
    if not names or len(names) > MOST_SUGGESTIONS:
        return None
    return f"expected {names[0]}" if len(names) == 1 else f"expected {', '.join(names[:-1])} or {names[-1]}"


def _without_comments(piece: str, begin: int, docs: Docs) -> str:
    """The piece with its comments as spaces, so that its last word can be found."""
    for comment in comments(Text("", piece)):
        piece = piece[: comment.start] + " " * len(comment.text) + piece[comment.start + len(comment.text) :]
    return piece


def _too_deep(tree: Tree | Token) -> Tree | None:
    """The first part that lies deeper than `DEEPEST`. No recursion: that is the point."""
    waiting: list[tuple[Tree | Token, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        if not isinstance(node, Tree):
            continue
        if depth > DEEPEST and not node.meta.empty:
            return node
        waiting += [(child, depth + 1) for child in node.children]
    return None
