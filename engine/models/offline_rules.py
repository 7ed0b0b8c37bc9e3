"""The verdicts of the offline stand-in: is an answer supported, which sentence supports it best.

Every verdict comes with the rule that made it, in words. Nothing is drawn by lot.
"""

from __future__ import annotations

from engine.models.offline_text import Passage, Sentence, content_words, tokens
from engine.models.offline_words import ASKING

SUPPORTED = 0.8  # of an answer's content words stand in the passage


def answer_verdict(question: str | None, answer: str, passage: Passage | None) -> tuple[bool, str]:
    """Whether a question can stand alone and its answer is drawn from the passage, and why."""
    if not answer.strip():
        return False, "The answer is empty."
    if question is not None:
        asked = content_words(question) - ASKING
        if not question.rstrip().endswith("?"):
            return False, "The question does not end with a question mark."
        if not asked or (passage is not None and not asked & passage.vocabulary):
            return (
                False,
                "The question names nothing from the passage, so it cannot be understood without it.",
            )
    if passage is None:
        return True, "There is no passage to hold the answer against; its form is sound."
    said = content_words(answer)
    strange = said - passage.vocabulary
    share = 1 - len(strange) / len(said) if said else 1.0
    if share < SUPPORTED:
        named = ", ".join(_as_written(answer, strange)[:3])
        return False, f"Only {share:.0%} of the answer's words stand in the passage, and not: {named}."
    return True, f"The question stands alone and {share:.0%} of the answer's words stand in the passage."


def _as_written(text: str, words: frozenset[str]) -> list[str]:
    """Those words of a text whose stems are among `words`, in its order."""
    return [word for word in tokens(text) if content_words(word) & words]


def best_sentence(passage: Passage, *texts: str) -> Sentence | None:
    """The statement of a passage that shares most with the texts; the first of equals."""
    wanted = frozenset().union(*(content_words(text) for text in texts))
    choice: tuple[float, Sentence] | None = None
    for sentence in passage.statements or passage.sentences:
        shared = len(wanted & sentence.words)
        score = shared - 0.01 * len(sentence.words)
        if choice is None or score > choice[0]:
            choice = (score, sentence)
    return choice[1] if choice else None
