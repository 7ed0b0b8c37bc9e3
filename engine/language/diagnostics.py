"""What the language tells authors: one shape, one renderer, one code per kind of mistake.

What the codes mean stands in `explain`. Nothing here knows a graph.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Literal

from engine.frozen import dataclass

TAB = 4
WIDEST = 120  # characters of a line that are shown
_KEY = re.compile(r'((?:api_key|password)`?\s*=\s*)"((?:\\.|[^"\\])*)"?')
_LOGIN = re.compile(r"://[^\s\"]+@")  # up to the last: a password may hold what ends a host
_OPTION = re.compile(r"([?&](?:ssl)?pass(?:word|wd)?=)[^&\s\"]+", re.IGNORECASE)


@dataclass(frozen=True)
class Span:
    """A stretch of one line: line and column count from 1, in characters.

    `source` is the text of that line, so that a message can be shown wherever its file is.
    """

    path: str
    line: int
    column: int
    width: int = 1
    source: str | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Diagnostic:
    """One mistake: its code, one line, the smallest span, and help where it helps."""

    code: str
    message: str
    span: Span
    help: str | None = None
    related: tuple[tuple[Span, str], ...] = ()
    severity: Literal["error", "warning"] = "error"


class Wrong(Exception):
    """Something is wrong; without diagnostics it only follows from what was told already."""

    def __init__(self, *diagnostics: Diagnostic):
        super().__init__("; ".join(diagnostic.message for diagnostic in diagnostics))
        self.diagnostics = diagnostics


def wrong(code: str, message: str, span: Span, help: str | None = None) -> Wrong:
    return Wrong(Diagnostic(code, message, span, help))


class Reporting:
    """Base of what reports as it goes on: whoever has `report` can also `say` and `tell`."""

    report: Callable[[Diagnostic], None]

    def say(
        self,
        code: str,
        message: str,
        span: Span,
        help: str | None = None,
        related: tuple[tuple[Span, str], ...] = (),
    ) -> None:
        """Report an error."""
        self.report(Diagnostic(code, message, span, help, related))

    def tell(self, error: Wrong) -> None:
        """Report what was raised."""
        for diagnostic in error.diagnostics:
            self.report(diagnostic)


def closest(name: str, among: Iterable[str]) -> str | None:
    """The one of `among` that `name` was likely meant to be."""
    known = sorted(set(among))
    folded = {entry.casefold(): entry for entry in reversed(known)}
    if name.casefold() in folded:
        return folded[name.casefold()]
    found = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return found[0] if found else None


def suggestion(name: str, among: Iterable[str], most: int = 6) -> str | None:
    """`did you mean …?`, or the names there are where they are few."""
    known = sorted(set(among))
    near = closest(name, known)
    if near:
        return f"did you mean `{near}`?"
    if not known:
        return None
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return f"known: {', '.join(known[:most])}{more}"


def render(diagnostic: Diagnostic, text: str | None = None) -> str:
    """The mistake, its line with carets under it, and what to do, as plain text.

    `text` is the whole file, for a span that does not bring its line. A key that was written
    into a graph is not repeated.
    """
    span = diagnostic.span
    line = _line(span, text)
    head = f"{diagnostic.severity}[{diagnostic.code}]: {_plain(diagnostic.message)}"
    gutter = " " * len(str(span.line))
    out = [head, f"{gutter}--> {_plain(span.path)}:{span.line}:{span.column}"]
    if line is not None:
        shown, column = _window(masked(line), span.column)
        before = _cells(shown[: column - 1])
        width = max(_cells(shown[: column - 1 + span.width]) - before, 1)
        out += [
            f"{gutter} |",
            f"{span.line} | {_expanded(shown)}".rstrip(),
            f"{gutter} | {' ' * before}{'^' * width}",
        ]
    out += [
        f"{gutter} = note: {_plain(note)} ({_plain(where.path)}:{where.line})"
        for where, note in diagnostic.related
    ]
    if diagnostic.help:
        out.append(f"{gutter} = help: {_plain(diagnostic.help)}")
    return "\n".join(out)


def _line(span: Span, text: str | None) -> str | None:
    if span.source is not None:
        return span.source
    lines = text.split("\n") if text else []
    return lines[span.line - 1].rstrip("\r") if 0 < span.line <= len(lines) else None


def _window(line: str, column: int) -> tuple[str, int]:
    """A long line cut to what stands around a column, and the column in it."""
    if len(line) <= WIDEST:
        return line, column
    start = max(0, min(column - 1 - WIDEST // 2, len(line) - WIDEST))
    cut = line[start : start + WIDEST]
    if start:
        cut = "…" + cut[1:]
    if start + WIDEST < len(line):
        cut = cut[:-1] + "…"
    return cut, column - start


def masked(line: str) -> str:
    """The line without what may be a key: `api_key = "…"`, `https://user:key@host`, `?password=…`."""
    if "api_key" in line or "password" in line:
        line = _KEY.sub(lambda found: found[1] + "*" * (len(found[0]) - len(found[1])), line)
    if "pass" in line.lower():
        line = _OPTION.sub(lambda found: found[1] + "*" * (len(found[0]) - len(found[1])), line)
    return _LOGIN.sub(lambda found: f"://{'*' * (len(found[0]) - 4)}@", line) if "@" in line else line


def _plain(text: str) -> str:
    """Without characters that would move a terminal's cursor."""
    return "".join(character if character.isprintable() else _visible(character) for character in text)


def _visible(character: str) -> str:
    return " " if character in "\n\t" else "\N{REPLACEMENT CHARACTER}"


def _expanded(line: str) -> str:
    """Tabs as spaces, what cannot be printed as a replacement, one cell for each."""
    out: list[str] = []
    cells = 0
    for character in line:
        width = _width(character, cells)
        if character == "\t":
            out.append(" " * width)
        else:
            out.append(character if width != 1 or character.isprintable() else "\N{REPLACEMENT CHARACTER}")
        cells += width
    return "".join(out)


def _cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    cells = 0
    for character in text:
        cells += _width(character, cells)
    return cells


def _width(character: str, at: int) -> int:
    if character == "\t":
        return TAB - at % TAB
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
