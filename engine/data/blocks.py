"""What a document is built of: headings, paragraphs, lists, tables and fenced code, as offsets.

Reads Markdown's block structure (CommonMark 0.31, sections 4.2, 4.3, 4.5 and 5.3, and tables
as GitHub has them) as far as it says where a text may be cut. Blocks lie side by side and
cover the text: blank lines belong to the block before them. Nothing is rendered or changed.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*(?:[ \t]#+[ \t]*)?$")
UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
CHAPTER = re.compile(
    r"[ \t]*(?:chapter|part|book|section|appendix|annex)[ \t]+(?:\d+|[ivxlc]+|[a-z])\b.{0,80}$", re.I
)
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
ITEM = re.compile(r"([ \t]*)(?:[-*+•]|\d{1,9}[.)]|[A-Za-z][.)])[ \t]+\S")
UNWRAPPED = 200  # characters: a line as long as this is a paragraph of its own
FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)\n---[ \t]*(?:\n|$)", re.S)
FRONT_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.M)

Sort = Literal["heading", "paragraph", "list", "table", "code"]


@dataclass(slots=True)
class Block:
    """A stretch of the text, `start` to `stop`, the blank lines after it included.

    `inner` are the offsets of its lines (table, code) or of its top items (list) after the
    first. `level` and `title` are a heading's.
    """

    sort: Sort
    start: int
    stop: int = 0
    inner: list[int] = field(default_factory=list)
    level: int = 0
    title: str = ""


def blocks(text: str) -> list[Block]:
    """The blocks of a text, in order, side by side: the first starts at 0, the last stops at its end."""
    reader = _Reader(list(_lines(text)))
    found = reader.read()
    for block, after in itertools.pairwise(found):
        block.stop = after.start
    if found:
        found[0].start = 0
        found[-1].stop = len(text)
    return found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.splitlines(keepends=True):
        yield start, line.rstrip("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029")
        start += len(line)


class _Reader:
    """One pass over the lines."""

    def __init__(self, lines: list[tuple[int, str]]):
        self.lines, self.at, self.found = lines, 0, list[Block]()

    def read(self) -> list[Block]:
        while self.at < len(self.lines):
            start, line = self.lines[self.at]
            if not line.strip():
                self.at += 1
            elif fence := FENCE.match(line):
                self.code(start, fence[1])
            elif heading := HEADING.match(line):
                self.add(Block("heading", start, level=len(heading[1]), title=heading[2].strip("# \t")))
            elif line.lstrip().startswith("|"):
                self.table(start)
            elif ITEM.match(line):
                self.items(start)
            else:
                self.paragraph(start, line)
        if not self.found and self.lines:
            self.found.append(Block("paragraph", 0))
        return self.found

    def add(self, block: Block) -> None:
        self.found.append(block)
        self.at += 1

    def blank(self, ahead: int = 0) -> bool:
        """Whether the line so far ahead is blank or past the end."""
        at = self.at + ahead
        return at >= len(self.lines) or not self.lines[at][1].strip()

    def code(self, start: int, fence: str) -> None:
        block = Block("code", start)
        self.at += 1
        while self.at < len(self.lines):
            place, line = self.lines[self.at]
            self.at += 1
            block.inner.append(place)
            stripped = line.strip()
            if stripped.startswith(fence) and not stripped.strip(fence[0]):
                break
        self.found.append(block)

    def table(self, start: int) -> None:
        block = Block("table", start)
        self.at += 1
        while not self.blank() and self.lines[self.at][1].lstrip().startswith("|"):
            block.inner.append(self.lines[self.at][0])
            self.at += 1
        self.found.append(block)

    def items(self, start: int) -> None:
        """A list, with its wrapped lines, nested items and the blank lines between its items."""
        first = ITEM.match(self.lines[self.at][1])
        margin = len(first[1]) if first else 0
        block = Block("list", start)
        self.at += 1
        while self.at < len(self.lines):
            if self.blank():
                if not self.goes_on(margin):
                    break
                self.at += 1
                continue
            place, line = self.lines[self.at]
            if HEADING.match(line) or (FENCE.match(line) and not line.startswith(" ")):
                break
            item = ITEM.match(line)
            if item and len(item[1]) <= margin:
                block.inner.append(place)
            self.at += 1
        self.found.append(block)

    def goes_on(self, margin: int) -> bool:
        """Whether a list continues behind a blank line: an item or an indented line follows."""
        if self.blank(1):
            return False
        line = self.lines[self.at + 1][1]
        return bool(ITEM.match(line)) or len(line) - len(line.lstrip()) > margin

    def paragraph(self, start: int, line: str) -> None:
        alone = self.blank(1)
        if alone and CHAPTER.match(line):
            self.add(Block("heading", start, level=1, title=line.strip()))
            return
        if not alone and (under := UNDERLINE.match(self.lines[self.at + 1][1])):
            self.at += 1
            self.add(Block("heading", start, level=1 if under[1][0] == "=" else 2, title=line.strip()))
            return
        self.found.append(Block("paragraph", start))
        self.at += 1
        while not self.blank() and len(line) < UNWRAPPED:
            line = self.lines[self.at][1]
            if HEADING.match(line) or FENCE.match(line) or ITEM.match(line) or line.lstrip().startswith("|"):
                break
            self.at += 1


def title(text: str) -> str | None:
    """The first heading of a document, else its first line if that is short and stands alone."""
    head = text[:20_000].lstrip()
    if front := FRONT_MATTER.match(head):
        if named := FRONT_TITLE.search(front[1]):
            return named[1].strip("\"' ") or None
        head = head[front.end() :].lstrip()
    found = blocks(head)
    for block in found[:50]:
        if block.sort == "heading" and block.title:
            return block.title
    first = head.split("\n", 1)[0].strip()
    alone = bool(found) and "\n" not in head[: found[0].stop].strip()
    short = len(first) <= 100 and not first.endswith((".", ",", ";"))
    return first if alone and short and any(map(str.isalnum, first)) else None
