"""Which texts are nearest to a text, by the words they share (BM25) or by their vectors.

Words are runs of letters and digits of any script, in small letters; no list of stop words and no
stemming, so that every language is treated alike: BM25 itself gives common words little weight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

WORD = re.compile(r"\w+")
NOISE = 1e-6  # of a cosine in 32 bits: at a right angle it is not quite 0
FIRST = 64  # candidates that are looked at before all are


def words(text: str) -> list[str]:
    """The words of a text, in order."""
    return WORD.findall(text.casefold())


class Index:
    """Texts to be searched. Scores are those of Lucene's BM25 (k1 = 1.5, b = 0.75), by `bm25s`."""

    def __init__(self, texts: Sequence[str]):
        from bm25s import BM25

        corpus = [words(text) for text in texts]
        self.size = len(corpus)
        self.model: Any = None
        if any(corpus):
            self.model = BM25()
            self.model.index(corpus, show_progress=False)

    def nearest(self, text: str, count: int, fits: Callable[[int], bool]) -> list[tuple[int, float]]:
        """Places and scores of the `count` best texts that fit, best first; of equals the first.

        A text without a word in common is not near.
        """
        import numpy

        known = [word for word in words(text) if self.model is not None and word in self.model.vocab_dict]
        if not known:
            return []
        scores = self.model.get_scores(known)
        for most in (min(count + FIRST, self.size), self.size):
            best = numpy.argpartition(-scores, most - 1)[:most]
            ranked = sorted(
                (int(place) for place in best if scores[place] > 0), key=lambda at: (-scores[at], at)
            )
            found = [(place, float(scores[place])) for place in ranked if fits(place)][:count]
            # Of those that score like the last candidate, any might have been left out.
            edge = min((scores[place] for place in best), default=0.0)
            if len(found) == count and (found[-1][1] > edge or most == self.size):
                return found
        return found


class Vectors:
    """Vectors to be searched, by the cosine of the angle between them. All are looked at: it is exact.

    Lengths do not matter. A vector of nothing but zeros, and none at all, is near to nothing.
    Raises `ValueError` where two have not as many numbers.
    """

    def __init__(self, vectors: Sequence[Sequence[float] | None]):
        import numpy

        self.size = next((len(one) for one in vectors if one), 0)
        self.known = numpy.zeros((len(vectors), self.size), numpy.float32)
        for place, one in enumerate(vectors):
            if one:
                self.known[place] = self.unit(one)

    def unit(self, vector: Sequence[float]) -> Any:
        """The vector with the length 1; zeros stay."""
        import numpy

        if len(vector) != self.size:
            raise ValueError(f"vectors of {self.size} and of {len(vector)} numbers cannot be compared")
        found = numpy.asarray(vector, numpy.float64)
        length = float(numpy.linalg.norm(found))
        return (found / length if length else found).astype(numpy.float32)

    def nearest(
        self, vector: Sequence[float] | None, count: int, fits: Callable[[int], bool]
    ) -> list[tuple[int, float]]:
        """Places and cosines of the `count` nearest that fit, best first; of equals the first."""
        import numpy

        if not vector or not len(self.known):
            return []
        scores = self.known @ self.unit(vector)
        found: list[tuple[int, float]] = []
        for place in numpy.argsort(-scores, kind="stable"):
            if len(found) == count or scores[place] <= NOISE:
                break
            if fits(int(place)):
                found.append((int(place), min(float(scores[place]), 1.0)))
        return found


def together(ranks: Sequence[Sequence[tuple[int, float]]], count: int) -> list[tuple[int, float]]:
    """Several ranks as one: each place gets 1 / (60 + its rank) of each (Cormack, Clarke, Büttcher 2009)."""
    scores: dict[int, float] = {}
    for rank in ranks:
        for at, (place, _) in enumerate(rank, 1):
            scores[place] = scores.get(place, 0.0) + 1 / (60 + at)
    return sorted(scores.items(), key=lambda entry: (-entry[1], entry[0]))[:count]
