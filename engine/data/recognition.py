"""Pages that are pictures, read by Tesseract where it is installed.

`extraction` says which pages of a PDF show something and have no text; here they are read one by one,
each with a time of its own, and put between the pages that have text. Without Tesseract, and where a
page cannot be read, the reason is told and the others are kept.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import field

from engine.data.pages import Page, starts
from engine.frozen import dataclass

INSTALL = "install Tesseract (apt-get install tesseract-ocr, brew install tesseract)"
SECONDS = 120  # how long one page may take


class Unrecognised(Exception):
    """A page that gives no text; the message says why."""


@dataclass(frozen=True)
class Tesseract:
    """Where its languages lie, and which there are."""

    folder: str
    languages: frozenset[str]


@dataclass(frozen=True)
class Read:
    """A text with its pages, and those that stayed pictures: their numbers by the reason."""

    text: str
    pages: list[Page]
    left: dict[str, list[int]] = field(default_factory=dict)


def tesseract() -> Tesseract | None:
    """What there is of Tesseract; None where it is not installed."""
    program = shutil.which("tesseract")
    return None if program is None else _asked(program)


@functools.cache
def _asked(program: str) -> Tesseract | None:
    try:
        said = subprocess.run(
            [program, "--list-langs"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'in "([^"]+)"', said.stdout + said.stderr)
    listed = frozenset(re.findall(r"^(\S+)$", said.stdout, re.M))
    return Tesseract(found[1], listed) if found else None


def missing(language: str) -> str | None:
    """What must be installed to read a language (`eng`, `deu+eng`); None where all is there."""
    found = tesseract()
    if found is None:
        return INSTALL
    lacking = next((one for one in language.split("+") if one not in found.languages), None)
    if lacking is None:
        return None
    there = ", ".join(sorted(found.languages - {"osd"})) or "none"
    return f"Tesseract has {there}, not `{lacking}`: install it (apt-get install tesseract-ocr-{lacking})"


def completed(
    text: str,
    pages: Sequence[tuple[int, str]],
    pictures: Sequence[int],
    language: str,
    recognise: Callable[[int], str],
) -> Read:
    """The text with what `recognise` reads on the pages that are pictures, each at its place.

    `pages` are those of the text with their numbers; `recognise` raises `Unrecognised`.
    """
    left: dict[str, list[int]] = {}
    said: dict[int, str] = {}
    lacking = missing(language)
    for number in pictures:
        try:
            if lacking is not None:
                raise Unrecognised(lacking)
            said[number] = recognise(number).strip()
        except Unrecognised as error:
            left.setdefault(str(error), []).append(number)
    found = starts(text, pages)
    return _between(text, found, {number: part for number, part in said.items() if part}, left)


def _between(text: str, found: list[Page], said: dict[int, str], left: dict[str, list[int]]) -> Read:
    """Pages that were read put before the next page that has text, in their order."""
    made: list[Page] = []
    parts: list[str] = []
    length = 0
    at = 0

    def add(part: str) -> None:
        nonlocal length
        if part:
            parts.append(part)
            length += len(part)

    def upto(place: int) -> None:
        nonlocal at
        add(text[at:place])
        at = place

    waiting = sorted(said.items())
    for page in [*found, None]:
        upto(len(text) if page is None else page.start)
        while waiting and (page is None or waiting[0][0] < page.page):
            number, part = waiting.pop(0)
            if length and not parts[-1].endswith("\n\n"):
                add("\n" if parts[-1].endswith("\n") else "\n\n")
            made.append(Page(number, length))
            add(part + "\n\n")
        if page is not None:
            made.append(Page(page.page, length))
    return Read("".join(parts).rstrip("\n"), made, left)
