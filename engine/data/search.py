"""Which texts are nearest to a text, by the words they share (BM25).

Words are runs of letters and digits of any script, in small letters; no list of stop words and no
stemming, so that every language is treated alike: BM25 itself gives common words little weight.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

WORD = re.compile(r"\w+")
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
