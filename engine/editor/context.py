"""Where in an unfinished text the cursor stands: in which block, at which setting, in which string.

Read by tokens alone, since what is being typed is not a graph yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = re.compile(
    r"(?P<comment>\#[^\n]*)"
    r'|(?P<text>"""(?:.|\n)*?(?:"""|\Z))'
    r'|(?P<string>"(?:\\[^\n]|[^"\\\n])*"?)'
    r"|(?P<word>`[^`\n]*`?|[A-Za-z_][\w.]*)"
    r"|(?P<space>\s+)"
    r"|(?P<sign>->|==|!=|<=|>=|\|\||.)",
    re.S,
)
GOES_ON = frozenset({"from", ",", "->", "=", "|", "and", "or", "not", "in", "+", "-", "*", "/", ":", "||"})
"""Behind one of these a line belongs to the one before."""
CLOSING = {"}": "{", "]": "[", ")": "("}


@dataclass
class Block:
    """An open bracket; `head` is what stands before it."""

    bracket: str
    head: list[str]
    items: list[list[str]] = field(default_factory=lambda: [[]])


@dataclass
class Context:
    """The place of the cursor. `item` is what is being written, from its first word on.

    `word` is the part of a word before the cursor and is not in `item`. `string` is the text of an
    open string before the cursor, or None outside of one.
    """

    blocks: list[Block]
    item: list[str]
    word: str
    string: str | None = None
    long: bool = False  # the string is one of several lines
    comment: bool = False

    @property
    def block(self) -> Block | None:
        """The innermost block in braces, lists and calls passed over."""
        return next((one for one in reversed(self.blocks) if one.bracket == "{"), None)

    @property
    def head(self) -> list[str]:
        """The words before the innermost block: `prompt drafted from worthy -> QA`."""
        return self.block.head if self.block else []

    @property
    def settings(self) -> set[str]:
        """Settings and clauses that the innermost block has already."""
        return {item[0] for item in (self.block.items if self.block else []) if item}

    @property
    def nested(self) -> bool:
        """Whether the innermost bracket is a list, a call or an object inside an item."""
        return bool(self.blocks) and (self.blocks[-1].bracket != "{" or "=" in self.blocks[-1].head[-1:])


def context(text: str) -> Context:
    """The context at the end of `text`, which is a file up to the cursor."""
    blocks: list[Block] = [Block("", [])]
    fresh = True  # at the beginning of a line
    last = ""
    for match in TOKEN.finditer(text):
        kind, token, end = match.lastgroup, match[0], match.end() == len(text)
        if kind == "space":
            fresh = fresh or "\n" in token
            continue
        if kind == "comment":
            if end:
                return Context(blocks[1:], blocks[-1].items[-1], "", comment=True)
            continue
        if fresh and starts(blocks, text, match.start(), last):
            if kind == "word" and at_margin(text, match.start()):
                del blocks[1:]  # a statement at the margin: what is open was left open
            blocks[-1].items.append([])
        fresh = False
        if end and kind == "word":
            return Context(blocks[1:], blocks[-1].items[-1], token)
        if end and kind in ("text", "string") and open_string(kind, token):
            inner = token[3:] if kind == "text" else token[1:]
            return Context(blocks[1:], blocks[-1].items[-1], "", inner, kind == "text")
        step(blocks, token)
        last = token
    if fresh and starts(blocks, text, len(text), last):
        blocks[-1].items.append([])
    return Context(blocks[1:], blocks[-1].items[-1], "")


def open_string(kind: str, token: str) -> bool:
    if kind == "text":
        return len(token) < 6 or not token.endswith('"""')
    return len(token) < 2 or not token.endswith('"')


def at_margin(text: str, start: int) -> bool:
    return start == 0 or text[start - 1] == "\n"


def starts(blocks: list[Block], text: str, start: int, last: str) -> bool:
    """Whether what is first in its line begins an item: anything at the margin, all in a block."""
    if at_margin(text, start) and (start == len(text) or text[start].isalpha()):
        return len(blocks) == 1 or start < len(text)
    return blocks[-1].bracket == "{" and last not in GOES_ON


def step(blocks: list[Block], token: str) -> None:
    """Take one token in."""
    item = blocks[-1].items[-1]
    if token in ("{", "[", "("):
        blocks.append(Block(token, list(item)))
        item.append(token)
    elif token in CLOSING:
        while len(blocks) > 1 and blocks[-1].bracket != CLOSING[token]:
            blocks.pop()
        if len(blocks) > 1:
            blocks.pop()
            blocks[-1].items[-1].append(token)
    elif token == "," and blocks[-1].bracket == "{":
        blocks[-1].items.append([])
    else:
        item.append(token)
