"""Text of a graph file before it is parsed: decoding, comments, doc comments, statement starts.

No grammar here; the lexer proper is Lark's.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.frozen import dataclass
from engine.language.diagnostics import Diagnostic, Span
from engine.language.tree import Text

# Everything in which a `#` or a letter at the start of a line means something else.
_PIECES = re.compile(r'"""(?:.|\n)*?"""|"(?:\\[^\n]|[^"\\\n])*"|`[^`\n]*`|(?P<comment>#[^\n]*)')
_LONGEST = 8_000_000  # characters; a graph that long is a data file named by mistake


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment: offsets in the text, and its column from 0."""

    line: int
    column: int
    start: int
    text: str
    alone: bool  # nothing stands before it on its line

    @property
    def doc(self) -> bool:
        return self.text.startswith("##") and not self.text.startswith("###")

    @property
    def said(self) -> str:
        return self.text.lstrip("#").removeprefix(" ").rstrip()


def read(path: Path, shown: str) -> tuple[str, Diagnostic | None]:
    """The text of a file with line ends as `\\n`, or what is wrong with it.

    `shown` is how the path is written in messages.
    """

    def wrong(message: str, help: str | None = None, span: Span | None = None) -> tuple[str, Diagnostic]:
        return "", Diagnostic("ATK005", message, span or Span(shown, 1, 1), help)

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return wrong(f"there is no file {shown}")
    except IsADirectoryError:
        return wrong(f"{shown} is a folder, not a graph file", "name the .atk file in it")
    except (OSError, ValueError) as error:
        return wrong(f"{shown} cannot be read: {getattr(error, 'strerror', None) or error}")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return wrong(f"{shown} is not UTF-8 but UTF-16", "save it as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in data:
            return wrong(f"{shown} is no text", "name the .atk file")
        before = data[: error.start].decode("utf-8", errors="replace")
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        return wrong(
            f"{shown} is not UTF-8: the byte at {error.start} does not fit",
            "save it as UTF-8",
            Span(shown, line, column),
        )
    if len(text) > _LONGEST:
        return wrong(f"{shown} is too long for a graph ({len(text):,} characters)", "is it a data file?")
    return normalized(text), None


def normalized(text: str) -> str:
    """Without a byte order mark, with line ends as `\\n`."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def comments(text: Text) -> list[Comment]:
    """All comments of a file, in order."""
    found: list[Comment] = []
    for piece in _PIECES.finditer(text.text):
        if piece["comment"] is not None:
            span = text.span(piece.start())
            column = span.column - 1
            alone = not text.lines[span.line - 1][:column].strip()
            found.append(Comment(span.line, column, piece.start(), piece[0], alone))
    return found


def statement_starts(text: Text) -> list[int]:
    """Lines (from 0) whose first character is a letter and which are not inside a long string."""
    inside: set[int] = set()
    for piece in _PIECES.finditer(text.text):
        if piece[0].startswith('"""') and "\n" in piece[0]:
            first = text.span(piece.start()).line
            inside.update(range(first, first + piece[0].count("\n")))
    return [row for row, line in enumerate(text.lines) if _opens(line) and row not in inside]


def _opens(line: str) -> bool:
    return bool(line) and (line[0].isalpha() or line[0] in "_`")


class Docs:
    """Which `##` comment belongs to what, by their lines."""

    def __init__(self, text: Text, found: list[Comment]):
        self.text = text
        self.by_line = {comment.line: comment for comment in found if comment.doc}
        self.taken: set[int] = set()  # lines that go on a comment begun behind a field

    def behind(self, end: int) -> str | None:
        """The doc comment behind what ends at this offset, with lines that go on below it."""
        line = self.text.span(max(end - 1, 0)).line
        comment = self.by_line.get(line)
        if comment is None or comment.alone or comment.start < end:
            return None
        if self.text.text[end : comment.start].strip(" \t,"):
            return None
        said = [comment.said]
        while (
            (following := self.by_line.get(line + 1))
            and following.alone
            and following.column == comment.column
        ):
            said.append(following.said)
            line += 1
            self.taken.add(line)
        return _joined(said)

    def above(self, line: int) -> str | None:
        """The block of doc comments that ends on the line before `line`."""
        said: list[str] = []
        at = line - 1
        while (comment := self.by_line.get(at)) and comment.alone and at not in self.taken:
            said.append(comment.said)
            at -= 1
        return _joined(said[::-1])

    def head(self, first: int) -> str | None:
        """The block at the top of a file whose first statement starts at line `first`."""
        lines = sorted(line for line, comment in self.by_line.items() if comment.alone and line < first)
        said: list[str] = []
        for line in lines:
            if said and line != lines[0] + len(said):
                break
            said.append(self.by_line[line].said)
        if not said or lines[0] + len(said) == first:
            return None
        return _joined(said)


def _joined(said: list[str]) -> str | None:
    return "\n".join(said).strip("\n") or None
