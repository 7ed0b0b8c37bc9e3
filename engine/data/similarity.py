"""Which texts say the same: exactly, or nearly by the share of short runs of characters they have in common.

Texts are compared in one form (NFKC, case folded, blanks joined, marks at the end left out).
Nearness is the Jaccard index of their sets of 5-character runs: 1.0 is the same text, 0.85 one
word changed among about twenty. MinHash with locality-sensitive hashing (Broder 1997; Indyk
and Motwani 1998) finds the candidates, the true index decides.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from zlib import crc32

from engine.frozen import dataclass

RUN = 5  # characters
PERMUTATIONS = 128
FEW = 64  # texts that are compared each with each: an index takes a second to load and set up
MARGIN = 0.12  # candidates are looked for this far below the threshold, so that few are missed
EDGES = re.compile(r"^[\W_]+|[\W_]+$")
BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Twin:
    """A text that says what an earlier one said: which, and how near (0 to 1)."""

    of: int
    nearness: float


def normal(text: str) -> str:
    """The form in which texts are compared."""
    folded = BLANKS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()
    return EDGES.sub("", folded) or folded


def runs(text: str) -> frozenset[str]:
    """All runs of five characters of a text in its normal form."""
    if len(text) <= RUN:
        return frozenset((text,))
    return frozenset(text[at : at + RUN] for at in range(len(text) - RUN + 1))


def exact(texts: Iterable[str]) -> Iterator[Twin | None]:
    """For each text the first one with the same normal form, if there is one before it."""
    first: dict[bytes, int] = {}
    for place, text in enumerate(texts):
        key = hashlib.blake2b(normal(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        of = first.setdefault(key, place)
        yield Twin(of, 1.0) if of != place else None


def near(texts: Iterable[str], threshold: float, seed: int = 0) -> Iterator[Twin | None]:
    """For each text the nearest of those kept so far, if it is as near as `threshold` (0 to 1).

    A text that has a twin is not kept: others are compared with what stays, never with what goes.
    """
    kept: dict[int, frozenset[str]] = {}
    same: dict[str, int] = {}
    index: _Index | None = None
    for place, text in enumerate(texts):
        form = normal(text)
        if form in same:
            yield Twin(same[form], 1.0)
            continue
        found = runs(form)
        sketch = index.sketch(found) if index else None
        best: Twin | None = None
        for other in sorted(index.index.query(sketch)) if index else kept:
            nearness = len(found & kept[other]) / len(found | kept[other])
            if nearness >= threshold and (best is None or nearness > best.nearness):
                best = Twin(other, nearness)
        if best is None:
            kept[place] = found
            same[form] = place
            if index is not None:
                index.index.insert(place, sketch, check_duplication=False)
            elif len(kept) > FEW:
                index = _Index(kept, threshold, seed)
        yield best


def nearest(texts: Sequence[str], among: Iterable[str], threshold: float) -> list[float | None]:
    """For each text how near the nearest of `among` is, if it is as near as `threshold` (0 to 1).

    Made for few texts among many others, which are read once.
    """
    sets = [runs(normal(text)) for text in texts]
    holders: dict[str, list[int]] = {}
    for place, found in enumerate(sets):
        for run in found:
            holders.setdefault(run, []).append(place)
    known = holders.keys()
    best: list[float | None] = [None] * len(sets)
    for other in among:
        found = runs(normal(other))
        common = found & known
        if len(common) < threshold * len(found):
            continue
        for place, shared in Counter(place for run in common for place in holders[run]).items():
            nearness = shared / (len(found) + len(sets[place]) - shared)
            if nearness >= threshold and nearness > (best[place] or 0):
                best[place] = nearness
    return best


class _Index:
    """Finds candidates among many texts."""

    def __init__(self, kept: Mapping[int, frozenset[str]], threshold: float, seed: int):
        from datasketch import MinHash, MinHashLSH

        at = max(0.05, threshold - MARGIN)
        self.index = MinHashLSH(threshold=at, num_perm=PERMUTATIONS, weights=(0.3, 0.7))
        self.blank = MinHash(num_perm=PERMUTATIONS, seed=seed + 1, hashfunc=crc32)
        for place, found in kept.items():
            self.index.insert(place, self.sketch(found), check_duplication=False)

    def sketch(self, found: frozenset[str]) -> Any:
        made = self.blank.copy()
        made.update_batch(run.encode("utf-8", "surrogatepass") for run in found)
        return made


def by_angle(vectors: Iterable[Sequence[float] | None], threshold: float) -> Iterator[Twin | None]:
    """For each vector the nearest of those kept so far, if the cosine is at least `threshold`.

    As in `near`, one that has a twin is not kept. What has no vector is alone. Raises `ValueError` where
    two have not as many numbers.
    """
    import numpy

    kept: Any = None  # a matrix with room; `places` says whose its rows in use are
    places: list[int] = []
    for place, vector in enumerate(vectors):
        if not vector:
            yield None
            continue
        unit = numpy.asarray(vector, numpy.float64)
        length = float(numpy.linalg.norm(unit))
        unit = (unit / length if length else unit).astype(numpy.float32)
        if kept is None:
            kept = numpy.empty((256, len(unit)), numpy.float32)
        if len(unit) != kept.shape[1]:
            raise ValueError(f"vectors of {kept.shape[1]} and of {len(unit)} numbers cannot be compared")
        scores = kept[: len(places)] @ unit
        best = int(scores.argmax()) if places else 0
        if places and scores[best] >= threshold - 1e-6:
            nearness = float(scores[best])
            yield Twin(places[best], 1.0 if nearness > 1 - 1e-6 else nearness)
            continue
        if len(places) == len(kept):
            kept = numpy.concatenate([kept, numpy.empty_like(kept)])
        kept[len(places)] = unit
        places.append(place)
        yield None
