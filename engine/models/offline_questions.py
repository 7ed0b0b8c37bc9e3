"""How the offline stand-in makes a question and its answer out of one sentence.

The answer is always the sentence itself. The question asks for what the sentence says of its
subject, for its subject, or for one word of it. Rules only; nothing is drawn by lot here.
"""

from __future__ import annotations

import re
from functools import lru_cache

from engine.frozen import dataclass
from engine.models.offline_text import PLURAL, SINGULAR, Passage, Sentence
from engine.models.offline_words import (
    ADJECTIVES,
    ADVERBS,
    BE,
    INTRANSITIVE,
    LEANING,
    MODALS,
    NUMBERS,
    PERSONS,
    PREPOSITIONS,
    STOP,
    SUBJECT_STOPS,
)

_ARTICLES = ("a ", "an ", "the ", "one of ", "any ", "those ")
_MESSY = re.compile(
    r"[a-z]- [a-z]|[a-z]\.[A-Z]|\.{3}|https?:|www\.|[|=<>{}\[\]_~^]|\b[A-Z]{4,} [A-Z]{3,}\b|[\ue000-\uf8ff]"
)
_DIGIT = re.compile(r"\d")
_CLAUSE = re.compile(r"[;:(—–]|, (?:but|which|who|whose|while|as|so|including|such|where|to)\b")


@dataclass(frozen=True)
class Pair:
    """A question, its answer, and whether the question is more than a blank to fill."""

    question: str
    answer: str
    asked: bool


@lru_cache(maxsize=512)
def pairs(passage: Passage) -> tuple[Pair, ...]:
    """All pairs that a passage gives, in its order; no question twice."""
    made: dict[str, Pair] = {}
    for sentence in passage.statements:
        if usable(sentence):
            pair = pair_of(sentence)
            made.setdefault(pair.question, pair)
    return tuple(made.values())


def usable(sentence: Sentence) -> bool:
    """Whether a sentence can be understood alone: whole, not too long, leaning on no other."""
    text, tokens = sentence.text, sentence.tokens
    return (
        7 <= len(tokens) <= 40
        and text[0].isupper()
        and text[-1] in ".!"
        and tokens[0].lower() not in LEANING
        and len(_DIGIT.findall(text)) <= 4
        and text.count("(") == text.count(")")
        and not _MESSY.search(text)
        and sum(token[0].isupper() for token in tokens[:7]) <= 4
    )


def pair_of(sentence: Sentence) -> Pair:
    """The best question that a sentence answers."""
    question = _asked(sentence)
    return Pair(question or _blanked(sentence), sentence.text, question is not None)


def _asked(sentence: Sentence) -> str | None:
    words = sentence.text.rstrip(".!").split()
    for index, word in enumerate(words[:11]):
        plain = word.lower()
        if index and (plain in BE or plain in MODALS or plain in SINGULAR or plain in PLURAL):
            subject = words[:index]
            while len(subject) > 1 and (subject[-1].endswith("ly") or subject[-1] in ADVERBS):
                subject = subject[:-1]
            first = subject[0].lower()
            if first in PLURAL or first in ("examples", "following"):
                return None  # an order ("Ensure ..."), or too little to ask about
            if plain in PLURAL and (first.endswith("ing") or not _plural(subject)):
                return None  # a noun that looks like a verb
            return _about(subject, plain, words[index + 1 :])
        if plain in SUBJECT_STOPS or word[-1] in ",;:)" or word[0] == "(":
            return None
    return None


def _about(subject: list[str], verb: str, rest: list[str]) -> str | None:
    """A question from subject, verb and what follows; None where none of the rules fits."""
    if len(subject) > 8 or not rest or rest[0].lower() in ("not", "no", "never"):
        return None
    if subject[-1].lower() in STOP or (len(subject) == 1 and subject[0].lower() in STOP):
        return None
    who = _lowered(subject)
    while len(rest) > 1 and rest[0].lower() in ADVERBS:
        rest = rest[1:]
    if verb in BE:
        return _of_being(who, verb, rest)
    if verb in MODALS:
        return _of_modal(who, verb, rest)
    base = SINGULAR.get(verb, verb)
    does = "does" if verb in SINGULAR else "do"
    counted = rest[1:] if rest[0].lower() == "of" else rest
    if len(counted) > 1 and counted[0].lower() in NUMBERS and counted[1].rstrip(",.;:").endswith("s"):
        of = " of" if counted is not rest else ""
        return f"How many {counted[1].rstrip(',.;:')} {does} {who} {base}{of}?"
    return _object(f"What {does} {who} {base}", base, rest)


def _of_being(who: str, verb: str, rest: list[str]) -> str | None:
    following = " ".join(rest).lower()
    if following.startswith("responsible for"):
        return f"What {verb} {who} responsible for?"
    if (
        rest[0].lower().endswith("ed")
        and len(rest) > 2
        and rest[1].lower() == "by"
        and not rest[2].endswith("ing")
    ):
        return f"By whom or by what {verb} {who} {rest[0]}?"
    if following.startswith(_ARTICLES) and len(who.split()) <= 6:
        return (
            f"What is the role of {who}?" if _person(who) and verb in ("is", "are") else f"What {verb} {who}?"
        )
    if rest[0].lower() == "to":
        return f"What {verb} {who}?"
    tail = _clause(rest)
    if len(tail) < 3 or not _adjective(tail):
        return None
    asker = "Who" if _person(who) else "What"
    return f"{asker} {_agreed(verb, asker)} {' '.join(tail)}?"


def _of_modal(who: str, verb: str, rest: list[str]) -> str | None:
    if rest[0].lower() == "be":
        tail = _clause(rest)
        fits = len(tail) >= 4 and _adjective(tail[1:])
        return f"{'Who' if _person(who) else 'What'} {verb} {' '.join(tail)}?" if fits else None
    base = rest[0].lower()
    if base not in PLURAL or len(rest) < 2:
        return None
    return _object(f"What {verb} {who} {base}", base, rest[1:])


def _object(opening: str, base: str, rest: list[str]) -> str | None:
    """The question for what a verb does something to, or for what follows its preposition."""
    following = rest[0].lower()
    if following in PREPOSITIONS and following != "to":
        fits = base in INTRANSITIVE or base in ("provide", "prepare")
        return f"{opening} {following}?" if fits and (following != "as" or base == "serve") else None
    if base in INTRANSITIVE or following in (
        "to",
        "and",
        "or",
        "it",
        "them",
        "him",
        "her",
        "us",
        "whether",
        "how",
    ):
        return None
    if rest[0].endswith("ly") or len(rest) < 2 or (base == "have" and rest[0].endswith(("ed", "en"))):
        return None
    return f"{opening}?"


def _adjective(tail: list[str]) -> bool:
    """Whether what follows a form of `be` says how the subject is, and not what it is."""
    words = [word for word in tail[:2] if not word.endswith("ly")]
    return bool(words) and words[0].lower().endswith(ADJECTIVES) and not any("," in word for word in tail)


def _blanked(sentence: Sentence) -> str:
    """The sentence with its longest content word blanked: the last resort, and always possible."""
    tokens = sentence.tokens[2:] or sentence.tokens
    term = max(tokens, key=lambda token: (token.lower() not in STOP, not token[0].isupper(), len(token)))
    statement = re.sub(rf"(?<!\w){re.escape(term)}(?!\w)", "____", sentence.text, count=1).rstrip(".!")
    return f'Which word completes the statement "{statement}"?'


def _clause(rest: list[str]) -> list[str]:
    """What follows a verb, up to the end of its clause; nothing where that is too long to ask."""
    text = " ".join(rest)
    match = next((m for m in _CLAUSE.finditer(text) if m.start() > 24), None)
    words = (text[: match.start()] if match else text).split()
    if len(words) > 22:
        return []
    while words and words[-1].lower().strip(",") in STOP:
        words.pop()
    return words


def _lowered(subject: list[str]) -> str:
    """The subject as it stands within a question: no capital but those of names."""
    first = subject[0]
    named = len(subject) > 1 and subject[1][0].isupper() and subject[1][1:].islower()
    common = first.lower() in STOP or (first[1:].islower() and not named)
    return " ".join([first[0].lower() + first[1:] if common else first, *subject[1:]])


def _plural(subject: list[str]) -> bool:
    return any(
        word.lower() in ("and", "people", "staff", "personnel", "men", "women", "children")
        or (word.rstrip("'’").endswith("s") and not word.endswith("ss"))
        for word in subject
    )


def _person(who: str) -> bool:
    head = re.split(r" (?:of|in|at|for|from|with|on) ", who)[0].split()[-1].lower()
    return head in PERSONS or head.endswith(("mander", "manders", "ficer", "ficers", "trainer", "trainers"))


def _agreed(verb: str, asker: str) -> str:
    """`Who` takes the singular whatever the subject was."""
    return {"are": "is", "were": "was"}.get(verb, verb) if asker == "Who" else verb
