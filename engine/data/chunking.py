"""Cutting a document into passages that tile it, none above a budget of tokens.

A text has places where it may be cut, each of a rank: before a heading, between blocks,
between items, at the beginning of a sentence, behind a clause, between words, and where all
else fails inside a word. Passages are taken from the front; each ends at the best place that
keeps it within the budget and reasonably full. Tables, lists and fenced code are not cut
while they fit into a passage. The last two passages share what is left, so that no scrap
remains. No character is lost or changed: without overlap the passages, one after the other,
are the text. Time is linear in the length of the text.

`docs/decisions/chunking.md` says why this is not a library. No row and no store here.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import field

from engine.data.blocks import Block, blocks
from engine.data.sentences import beginnings
from engine.data.tokens import Estimator, Pieces, Tokenizer
from engine.frozen import dataclass

SMALLEST = 16  # tokens: below this nothing but single words would fit

HEADING, BLOCK, ITEM, SENTENCE, INSIDE, CLAUSE, WORD, PIECE = range(8)
CLAUSE_END = re.compile(r"[;:,—–)\]]\s+|\s+(?=[(\[])|\.{4,}\s*|\n")
WORD_END = re.compile(r"\s+")

# In which order places are tried: rank, and how full the passage must at least be. A sentence
# in the second half is better than a paragraph in the first, which is better than a cut
# through a table that would fit into the next passage.
ATTEMPTS = (
    (HEADING, 0.25),
    (BLOCK, 0.5),
    (ITEM, 0.5),
    (SENTENCE, 0.5),
    (BLOCK, 0.0),
    (SENTENCE, 0.0),
    (INSIDE, 0.0),
)


@dataclass(frozen=True, slots=True)
class Passage:
    """`text[start:stop]`; `fresh` is where it begins without what it repeats of the one before.

    `heading` is the path of headings that governs its beginning ("Clouds > Rain").
    """

    start: int
    stop: int
    fresh: int
    tokens: int
    heading: str | None


@dataclass
class _Places:
    """Offsets of one rank or better, rising. Clauses and words are looked up when needed."""

    ranked: dict[int, list[int]] = field(default_factory=lambda: {rank: [] for rank in range(INSIDE + 1)})
    headings: list[int] = field(default_factory=list)  # offsets
    paths: list[str] = field(default_factory=list)

    def add(self, rank: int, offset: int) -> None:
        self.ranked[rank].append(offset)

    def close(self) -> None:
        """Let every rank hold the better ones too."""
        for rank in range(BLOCK, INSIDE + 1):
            self.ranked[rank] = sorted({*self.ranked[rank], *self.ranked[rank - 1]})

    def heading(self, offset: int) -> str | None:
        found = bisect_right(self.headings, offset)
        return self.paths[found - 1] if found else None


def chunk(text: str, size: int, overlap: int = 0, tokenizer: Tokenizer | None = None) -> list[Passage]:
    """Cut a text into passages of at most `size` tokens.

    With `overlap`, a passage begins with up to so many tokens of whole sentences from the one
    before; they count towards `size`, and a heading stops them. Raises `ValueError` where
    `size` is below 16 or `overlap` above half of it.
    """
    if size < SMALLEST:
        raise ValueError(f"size must be at least {SMALLEST} tokens")
    if not 0 <= overlap <= size // 2:
        raise ValueError("overlap must be between 0 and half of size")
    if not text:
        return []
    return list(_Cutter(text, size, overlap, tokenizer or Estimator()).passages())


class _Cutter:
    """One document on its way into passages."""

    def __init__(self, text: str, size: int, overlap: int, tokenizer: Tokenizer):
        self.text, self.size, self.overlap, self.tokenizer = text, size, overlap, tokenizer
        self.pieces: Pieces = tokenizer.pieces(text)
        self.places = _places(text, self.pieces, size)

    def passages(self) -> Iterator[Passage]:
        fresh = 0
        while fresh < len(self.text):
            start = self.overlapped(fresh)
            stop, tokens = self.end(start, fresh)
            if tokens > self.size and start < fresh:
                start = fresh
                stop, tokens = self.end(start, fresh)
            yield Passage(start, stop, fresh, tokens, self.places.heading(fresh))
            fresh = stop

    def overlapped(self, fresh: int) -> int:
        """Where a passage begins that repeats what comes before `fresh`."""
        if not self.overlap or fresh == 0 or _has(self.places.ranked[HEADING], fresh):
            return fresh
        before = self.pieces.before(fresh)
        sentences, headings = self.places.ranked[SENTENCE], self.places.ranked[HEADING]
        floor = headings[at - 1] if (at := bisect_left(headings, fresh)) else 0
        at = bisect_left(sentences, fresh)
        start = fresh
        while at > 0 and sentences[at - 1] >= floor:
            if before - self.pieces.before(sentences[at - 1]) > self.overlap:
                break
            start = sentences[at - 1]
            at -= 1
        return start

    def end(self, start: int, fresh: int) -> tuple[int, int]:
        """Where the passage ends that begins at `start` and must get beyond `fresh`; its tokens.

        A tokenizer may count a passage otherwise than as a part of the text: then less is tried.
        """
        budget = self.size
        while True:
            stop = self.best(start, fresh, budget)
            tokens = self.tokenizer.count(self.text[start:stop])
            if tokens <= self.size or budget == 1:
                return stop, tokens
            budget = max(1, budget - (tokens - self.size))

    def best(self, start: int, fresh: int, budget: int) -> int:
        """The best place to end at with at most `budget` tokens, by the pieces of the whole text."""
        base, total = self.pieces.before(start), self.pieces.totals[-1]
        rest = total - base
        if rest <= budget:
            return len(self.text)
        limit = self.pieces.reach(base + budget)
        repeated = self.pieces.before(fresh) - base
        last_two = rest <= 2 * budget - self.overlap
        for rank, fill in ATTEMPTS:
            lowest = max(repeated, int(budget * fill))
            if last_two:  # what remains must fit into the last passage
                lowest = max(lowest, rest - budget + min(self.overlap, budget // 2)) if fill else lowest
            low = max(fresh, self.pieces.reach(base + lowest))
            wanted = self.pieces.reach(base + rest // 2) if last_two else limit
            if found := _nearest(self.places.ranked[rank], low, limit, wanted):
                return found
        return self.forced(fresh, limit)

    def forced(self, fresh: int, limit: int) -> int:
        """An end inside a sentence that is too long for any passage."""
        middle = fresh + (limit - fresh) // 2
        for pattern, low in ((CLAUSE_END, middle), (WORD_END, fresh)):
            ends = [match.end() for match in pattern.finditer(self.text, low, limit)]
            for end in reversed(ends):
                if fresh < end <= limit and _has(self.pieces.starts, end):
                    return end
        if limit > fresh:
            return limit
        return self.pieces.starts[bisect_right(self.pieces.starts, fresh)]


def _places(text: str, pieces: Pieces, size: int) -> _Places:
    """Every place of a text down to the sentences, by rank."""
    places = _Places()
    found = blocks(text)
    path: list[Block] = []
    for number, block in enumerate(found):
        follows_heading = number > 0 and found[number - 1].sort == "heading"
        if block.sort == "heading":
            path = [*(above for above in path if above.level < block.level), block]
            places.headings.append(block.start)
            places.paths.append(" > ".join(each.title for each in path if each.title))
        if block.start:
            rank = HEADING if block.sort == "heading" else BLOCK
            places.add(CLAUSE - 1 if follows_heading else rank, block.start)
        _inside(text, block, places, pieces.before(block.stop) - pieces.before(block.start) <= size)
    places.close()
    return places


def _inside(text: str, block: Block, places: _Places, fits: bool) -> None:
    """The places within one block; a table, a list or code that fits has only poor ones."""
    match block.sort:
        case "paragraph":
            for offset in beginnings(text, block.start, block.stop):
                places.add(SENTENCE, offset)
        case "list":
            for offset in block.inner:
                places.add(INSIDE if fits else ITEM, offset)
            edges = [block.start, *block.inner, block.stop]
            for start, stop in itertools.pairwise(edges):
                for offset in beginnings(text, start, stop):
                    places.add(INSIDE if fits else SENTENCE, offset)
        case "table" | "code":
            for offset in block.inner:
                places.add(INSIDE if fits else SENTENCE, offset)
        case "heading":
            pass


def _has(offsets: Sequence[int], offset: int) -> bool:
    at = bisect_left(offsets, offset)
    return at < len(offsets) and offsets[at] == offset


def _nearest(offsets: Sequence[int], low: int, high: int, wanted: int) -> int | None:
    """The offset nearest to `wanted` in `low < offset <= high`."""
    first, beyond = bisect_right(offsets, low), bisect_right(offsets, high)
    if first >= beyond:
        return None
    at = bisect_right(offsets, wanted, first, beyond)
    candidates = offsets[max(first, at - 1) : min(beyond, at + 1)]
    return min(candidates, key=lambda offset: abs(offset - wanted))
