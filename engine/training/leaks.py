"""What of an exam stands in the data that a model is trained on, word for word or nearly.

Word for word: 13 words in a row (`report.standing`). Nearly: a user's message that is as like the question
as `dedupe` asks for by default. What is only asked in other words is not found; a judge can tell that, as in
`graphs/exam.atk`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.data.similarity import nearest
from engine.frozen import dataclass
from engine.training.report import SHOWN, standing

NEAR = 0.85


@dataclass(frozen=True)
class Leaked:
    """Questions of an exam that are trained on: the exam's table, how many it has, and they themselves."""

    exam: str
    of: int
    exact: Sequence[str]
    near: Sequence[str]

    @property
    def share(self) -> float:
        """Of all questions."""
        return (len(self.exact) + len(self.near)) / self.of

    def told(self) -> str:
        """In one line, with the first of them."""
        first = [*self.exact, *self.near][:SHOWN]
        found = len(self.exact) + len(self.near)
        nearly = f", {len(self.near):,} of them nearly" if self.near else ""
        return (
            f"{found:,} of {self.of:,} questions of the exam `{self.exam}` stand in what is trained on"
            f"{nearly}: " + ", ".join(f"“{_short(one)}”" for one in first)
        )


def leaked(exam: str, questions: Sequence[str], texts: Iterable[str], turns: Iterable[str]) -> Leaked | None:
    """What of `questions` stands in `texts`, or is nearly one of `turns`; None where nothing is."""
    questions = [one for one in questions if one.strip()]
    exact = standing(questions, texts)
    left = [one for one, found in zip(questions, exact, strict=True) if not found]
    near = [one for one, by in zip(left, nearest(left, turns, NEAR), strict=True) if by is not None]
    if not any(exact) and not near:
        return None
    whole = [one for one, found in zip(questions, exact, strict=True) if found]
    return Leaked(exam, len(questions), whole, near)


def _short(text: str, most: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
