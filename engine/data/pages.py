"""Where the pages of a file begin in the text that was made of it.

A reader says what is on each page and, apart from that, the text of the whole: with headings and
tables, without running heads, words joined again that a line had parted. Here the pages are found
again in that text, by stretches of words that occur once in both. What is out of order is passed
over, so that what is found rises, and a page of which nothing is found is left out.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from engine.frozen import dataclass

WORD = re.compile(r"\w+")
LENGTHS = (8, 4, 2)  # words of a stretch: long ones first, short ones between what those have found


@dataclass(frozen=True, slots=True)
class Page:
    """A page by its number from 1, and the character of the text at which it begins."""

    page: int
    start: int


def starts(text: str, pages: Sequence[tuple[int, str]]) -> list[Page]:
    """Where the pages, each a number and its words, begin in the text. Both rise."""
    return _Search(text, pages).starts()


def covered(pages: Sequence[Page], start: int, stop: int) -> tuple[int, int] | None:
    """The first and the last page of `text[start:stop]`; None where no page is known.

    What stands before the first page that was found is counted as that page's.
    """
    if not pages:
        return None
    offsets = [page.start for page in pages]
    first = max(bisect_right(offsets, start) - 1, 0)
    last = max(bisect_right(offsets, stop - 1) - 1, first)
    return pages[first].page, pages[last].page


class _Search:
    """Words as numbers, and for each page found the words of the text from `begin` to `end`."""

    def __init__(self, text: str, pages: Sequence[tuple[int, str]]):
        self.text, self.numbers = text, [number for number, _ in pages]
        known: dict[str, int] = {}

        def number(word: str) -> int:
            return known.setdefault(word.casefold(), len(known))

        matches = list(WORD.finditer(text))
        self.spans = [match.span() for match in matches]
        self.words = [number(match.group()) for match in matches]
        self.pages = [[number(word) for word in WORD.findall(said)] for _, said in pages]
        self.found: dict[int, tuple[int, int]] = {}

    def starts(self) -> list[Page]:
        for length in LENGTHS:
            for first, beyond in self.missing():
                self.search(first, beyond, length)
        for first, beyond in self.missing():
            self.follow(first, beyond)
        made: list[Page] = []
        before = 0  # the word behind the last one of the page before
        for page, (begin, end) in sorted(self.found.items()):
            made.append(Page(self.numbers[page], self.edge(before, begin)))
            before = end
        return made

    def missing(self) -> list[tuple[int, int]]:
        """Runs of pages not found yet that have words."""
        runs: list[tuple[int, int]] = []
        for page, words in enumerate(self.pages):
            if page in self.found or not words:
                continue
            if runs and all(one not in self.found for one in range(runs[-1][1], page)):
                runs[-1] = (runs[-1][0], page + 1)
            else:
                runs.append((page, page + 1))
        return runs

    def between(self, first: int, beyond: int) -> tuple[int, int]:
        """The words between the pages found before and behind a run."""
        low = max((end for page, (_, end) in self.found.items() if page < first), default=0)
        behind = (begin for page, (begin, _) in self.found.items() if page >= beyond)
        return low, min(behind, default=len(self.words))

    def follow(self, first: int, beyond: int) -> None:
        """Find pages that say the same ("This page intentionally left blank."), one after the other."""
        low, high = self.between(first, beyond)
        said = {page: tuple(self.pages[page][: LENGTHS[0]]) for page in range(first, beyond)}
        said = {page: words for page, words in said.items() if len(words) >= LENGTHS[-1]}
        places: dict[tuple[int, ...], list[int]] = {words: [] for words in said.values()}
        for length in {len(words) for words in places}:
            for at in range(low, high - length + 1):
                if (here := places.get(tuple(self.words[at : at + length]))) is not None:
                    here.append(at)
        for page, words in said.items():
            begins = places[words]
            if (at := bisect_left(begins, low)) < len(begins):
                low = begins[at] + len(words)
                self.found[page] = (begins[at], low)

    def search(self, first: int, beyond: int, length: int) -> None:
        """Find some of a run of pages by what occurs once in them and once between their neighbours."""
        low, high = self.between(first, beyond)
        there = _once(self.words, low, high, length)
        here: dict[int, tuple[int, int] | None] = {}
        for page in range(first, beyond):
            words = self.pages[page]
            for at in range(len(words) - length + 1):
                key = hash(tuple(words[at : at + length]))
                here[key] = None if key in here else (page, at)
        anchors = sorted(
            (place, *one)
            for key, one in here.items()
            if one is not None and (place := there.get(key)) is not None
        )
        self.take(_rising(anchors), low, high, length)

    def take(self, anchors: list[tuple[int, int, int]], low: int, high: int, length: int) -> None:
        """Each page's first and last anchor, and from there on as far as the words agree."""
        outer: dict[int, list[tuple[int, int]]] = {}
        for place, page, at in anchors:
            outer.setdefault(page, []).append((place, at))
        for page, places in outer.items():
            words = self.pages[page]
            begin, at = places[0]
            while begin > low and at > 0 and self.words[begin - 1] == words[at - 1]:
                begin, at = begin - 1, at - 1
            end, at = places[-1][0] + length, places[-1][1] + length
            while end < high and at < len(words) and self.words[end] == words[at]:
                end, at = end + 1, at + 1
            self.found[page] = (begin, end)
            low = end

    def edge(self, before: int, begin: int) -> int:
        """The character at which a page begins whose first word that was found is `begin`.

        That is the line of the word, if it begins behind the page before, with what marks it as a
        heading; else the word, with the marks that stand against it.
        """
        if begin == 0:
            return 0
        behind = self.spans[before - 1][1] if before else 0
        start = self.spans[begin][0]
        line = self.text.rfind("\n", behind, start)
        if line >= 0:
            return line + 1
        while start > behind and not self.text[start - 1].isspace():
            start -= 1
        return start


def _once(words: Sequence[int], low: int, high: int, length: int) -> dict[int, int | None]:
    """Stretches of words that occur once, and where; those that occur again have None."""
    found: dict[int, int | None] = {}
    for at in range(low, high - length + 1):
        key = hash(tuple(words[at : at + length]))
        found[key] = None if key in found else at
    return found


def _rising(anchors: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Of anchors in the order of the text, the most whose pages never fall."""
    tails: list[int] = []  # the page that ends the best run of each length
    ends: list[int] = []  # and the anchor
    before: list[int] = []  # of each anchor the one before it in its run
    for number, (_, page, _) in enumerate(anchors):
        at = bisect_right(tails, page)
        before.append(ends[at - 1] if at else -1)
        if at == len(tails):
            tails.append(page)
            ends.append(number)
        else:
            tails[at], ends[at] = page, number
    chosen: list[tuple[int, int, int]] = []
    number = ends[-1] if ends else -1
    while number >= 0:
        chosen.append(anchors[number])
        number = before[number]
    return chosen[::-1]
