"""Shares with their intervals, and what two subjects differ in, of the marks of an exam."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from engine.frozen import dataclass

VERDICTS = ("correct", "incorrect", "not_attempted")
PARTS = {
    "all facts": "facts, known",
    "asked": "facts that the training asked about, known",
    "unasked": "facts that it never asked about, known",
    "invented": "things that do not exist, made up",
}
Z = 1.959964  # 95 %


@dataclass(frozen=True)
class Mark:
    """A subject's reply to one question, and how it was marked. `asked` is None where it is not known."""

    subject: str
    key: Any  # the question: the same for all subjects
    question: str
    verdict: str
    invented: bool = False
    asked: bool | None = None
    answer: str | None = None
    reply: str | None = None
    why: str | None = None

    @property
    def parts(self) -> Sequence[str]:
        """Which parts of the exam the question is in."""
        if self.invented:
            return ["invented"]
        if self.asked is None:
            return ["all facts"]
        return ["all facts", "asked" if self.asked else "unasked"]

    @property
    def counts(self) -> bool:
        """Whether it is in the share: what was known, and of what does not exist, what was made up."""
        return self.verdict == ("incorrect" if self.invented else "correct")


@dataclass(frozen=True)
class Line:
    """One subject in one part. Shares are of 1; what is held against the base is None for itself.

    `gained` and `lost` count questions that only the subject, or only the base, has in its share;
    `difference` is what that comes to of those that both were asked, `p` is of the exact McNemar test.
    """

    subject: str
    part: str
    n: int
    correct: int
    incorrect: int
    not_attempted: int
    share: float
    low: float
    high: float
    gained: int | None = None
    lost: int | None = None
    difference: float | None = None
    p: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def lines(marks: Iterable[Mark], base: str) -> list[Line]:
    """By part and subject, subjects as they come, each held against `base`."""
    found: dict[str, dict[str, dict[Any, Mark]]] = {part: {} for part in PARTS}
    for mark in marks:
        for part in mark.parts:
            found[part].setdefault(mark.subject, {})[mark.key] = mark
    return [
        _line(subject, part, own, subjects.get(base, {}) if subject != base else {})
        for part, subjects in found.items()
        for subject, own in subjects.items()
    ]


def _line(subject: str, part: str, own: Mapping[Any, Mark], base: Mapping[Any, Mark]) -> Line:
    correct, incorrect, silent = (sum(mark.verdict == one for mark in own.values()) for one in VERDICTS)
    share = sum(mark.counts for mark in own.values())
    low, high = wilson(share, len(own))
    line = Line(subject, part, len(own), correct, incorrect, silent, share / len(own), low, high)
    both = [(own[key].counts, base[key].counts) for key in own if key in base]
    if not both:
        return line
    gained, lost = both.count((True, False)), both.count((False, True))
    difference, p = (gained - lost) / len(both), mcnemar(gained, lost)
    return replace(line, gained=gained, lost=lost, difference=difference, p=p)


def wilson(count: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share, which stays within 0 and 1."""
    share, spread = count / n, Z * Z / n
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(gained: int, lost: int) -> float:
    """How likely it is, were there no difference, that they fall to one side as unevenly as this. Exact."""
    n = gained + lost
    fewest = sum(math.comb(n, k) for k in range(min(gained, lost) + 1))
    return float(min(1.0, 2 * fewest / (1 << n)))
