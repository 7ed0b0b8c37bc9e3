"""How the offline stand-in fills a type: field by field, by name and type, from the row's own values.

The rules are told in the docstring of `offline`, for whoever reads its replies. No request, no
key and no text of a reply is known here: values go in, a value of the type comes out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.language.types import Field, Literal, Many, Optional, Record, Scalar, Type
from engine.models.offline_questions import Pair, pair_of, pairs
from engine.models.offline_rules import answer_verdict, best_sentence
from engine.models.offline_text import Passage, content_words, read_passage, repaired
from engine.models.offline_words import (
    ANSWERS,
    CLAIMS,
    COUNTS,
    FAULTS,
    INVENTED,
    LABELS,
    LEADS,
    NEGATIVE,
    NO,
    PASSAGES,
    QUESTIONS,
    REPAIRED,
    REWRITES,
    SOURCES,
    SUMMARIES,
    TERMS,
    THOUGHTS,
    TITLES,
    TURNS,
    USED,
    VAGUE,
    VERSES,
    WHYS,
    WISHES,
    WRONG,
    YES,
)

ONE_IN = 12  # pairs that are spoilt on purpose
NUMBERED = re.compile(r"^\[(\d+)\] ", re.MULTILINE)
LINES = 4  # of a poem, at least


class Dice:
    """Numbers from one seed, the same on every machine and in every version of Python."""

    def __init__(self, seed: int):
        self._state = seed & (2**64 - 1)

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1 (a 64-bit linear congruential generator, Knuth's MMIX)."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        return (self._state >> 33) % limit

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.below(len(options))]

    def some(self, count: int, options: Sequence[Any]) -> list[Any]:
        """So many of the options, none twice, in their order."""
        places = list(range(len(options)))
        chosen = [places.pop(self.below(len(places))) for _ in range(min(count, len(places)))]
        return [options[place] for place in sorted(chosen)]


@dataclass
class Filler:
    """Fills types from one row's values."""

    values: Mapping[str, Any]
    dice: Dice
    said: str = ""  # the rendered messages, read where no value is a text
    _sentence: int = field(default=0, init=False)

    # -- what the row holds ----------------------------------------------------------------

    @cached_property
    def passage(self) -> Passage | None:
        """The text to work from: a value with a telling name, else the longest one, else the messages."""
        texts = {
            name: value for name, value in self.values.items() if isinstance(value, str) and value.strip()
        }
        named = next((texts[name] for name in PASSAGES if name in texts), None)
        if named is None:
            named = next(("\n\n".join(v) for name in SOURCES if (v := _texts(self.values.get(name)))), None)
        if named is None:
            others = [v for name, v in texts.items() if name not in QUESTIONS | ANSWERS | WHYS | WISHES]
            named = max(others, key=len, default=None)
        if named is None and not texts:
            named = self.said or None
        return read_passage(named) if named else None

    def _value(self, names: frozenset[str] | Sequence[str]) -> str | None:
        found = (self.values.get(name) for name in sorted(names))
        return next((value for value in found if isinstance(value, str) and value.strip()), None)

    @cached_property
    def question(self) -> str | None:
        return self._value(QUESTIONS)

    @cached_property
    def answer(self) -> str | None:
        return self._value(ANSWERS)

    @cached_property
    def verdict(self) -> tuple[bool, str]:
        """The rule-made verdict on what the row holds, and the rule in words."""
        claim = self._value(CLAIMS)
        if claim is not None and (self.passage is None or claim != self.passage.text):
            return answer_verdict(self.question, claim, self.passage)
        if self.passage is not None:
            return self.passage.judged
        return True, "There is nothing to hold against it."

    # -- types ------------------------------------------------------------------------------

    def fill(self, wanted: Type, name: str = "", doc: str | None = None) -> Any:
        """A value of the type for a field of that name."""
        match wanted:
            case Optional(Scalar("str")) if name.casefold() in REPAIRED and self.passage:
                whole = repaired(self.passage.text)
                return None if whole == self.passage.text.strip() else whole
            case Optional(inner):
                return None if self._declines(name) else self.fill(inner, name, doc)
            case Record():
                return self._record(wanted)
            case Many(inner):
                return self._list(inner, name, doc)
            case Literal(values):
                return self._literal(values, name)
            case Scalar("bool"):
                return self._truth(name)
            case Scalar("int"):
                return self._number(name, doc, whole=True)
            case Scalar("float"):
                return self._number(name, doc, whole=False)
            case Scalar():
                return self._text(name)

    def _declines(self, name: str) -> bool:
        """A whole reply is declined where the row is not worth one, a field one time in four."""
        return self.dice.below(4) == 0 if name else not self.verdict[0]

    def _record(self, wanted: Record) -> dict[str, Any]:
        asks = next((f.name for f in wanted if f.name in QUESTIONS), None)
        answers = next((f.name for f in wanted if f.name in ANSWERS), None)
        if asks and answers:
            return self._pair_record(wanted, self._mended() or self._pair(), asks, answers)
        return {f.name: self.fill(f.type, f.name, f.doc) for f in wanted}

    def _list(self, inner: Type, name: str, doc: str | None) -> list[Any]:
        if name.casefold() in FAULTS and self.verdict[0]:
            return []
        if name.casefold() in USED and isinstance(inner, Scalar) and inner.name == "int":
            return self._used()
        if isinstance(inner, Record):
            names = {f.name for f in inner}
            if {"role", "content"} <= names:
                return self._conversation(inner)
            asks, answers = next(iter(names & QUESTIONS), None), next(iter(names & ANSWERS), None)
            if asks and answers:
                return [self._pair_record(inner, pair, asks, answers) for pair in self._pairs()]
            return [self._record(inner) for _ in range(min(3, len(self._sentences()) or 1))]
        if isinstance(inner, Scalar) and inner.name == "str":
            return self._texts(name)
        if isinstance(inner, Literal):
            return self.dice.some(1 + self.dice.below(2), inner.values)
        return [self.fill(inner, name, doc) for _ in range(3)]

    def _numbered(self) -> dict[int, Passage]:
        """The passages `[1] …` of the longest text, by their numbers."""
        texts = [value for value in self.values.values() if isinstance(value, str)]
        parts = NUMBERED.split(max(texts, key=len, default=""))
        return {int(n): read_passage(text) for n, text in zip(parts[1::2], parts[2::2], strict=False)}

    def _used(self) -> list[int]:
        """Numbers of the passages that bear the row's answer out."""
        answer = self.answer or ""
        return [n for n, passage in self._numbered().items() if answer_verdict(None, answer, passage)[0]]

    def _joined(self, pair: Pair) -> tuple[Pair, list[int]]:
        """The pair with a sentence of another passage behind its answer, and the numbers of both."""
        passages = self._numbered()
        first = [n for n, passage in passages.items() if pair.answer in passage.text][:1]
        others = [n for n, passage in passages.items() if n not in first and passage.statements]
        if not first or not others:
            return pair, first
        second = self.dice.pick(others)
        more = self.dice.pick(passages[second].statements).text
        return Pair(pair.question, f"{pair.answer} {more}", pair.asked), sorted([*first, second])

    def _literal(self, values: tuple[str, ...], name: str) -> str:
        folded = [value.strip().casefold() for value in values]
        if any(v in YES for v in folded) and any(v in NO for v in folded) and name.casefold() not in LABELS:
            wanted = YES if self.verdict[0] else NO
            return next(value for value, plain in zip(values, folded, strict=True) if plain in wanted)
        return self._labelled(values) or str(self.dice.pick(values))

    def _labelled(self, labels: Sequence[str]) -> str | None:
        """The label whose words the passage uses most; None where it uses none."""
        if self.passage is None:
            return None
        shared = [(len(content_words(label) & self.passage.vocabulary), label) for label in labels]
        best = max(shared, key=lambda pair: pair[0])
        return best[1] if best[0] else None

    def _truth(self, name: str) -> bool:
        return self.verdict[0] is not (name.casefold().removeprefix("is_") in NEGATIVE)

    def _number(self, name: str, doc: str | None, whole: bool) -> int | float:
        """Within the range that the doc comment names, in its upper half if the verdict is good."""
        if name.casefold() == "year" and self.passage:
            year = re.search(r"\b(1[5-9]\d\d|20\d\d)\b", self.passage.text)
            return int(year[1]) if year else 1900 + self.dice.below(120)
        low, high = _range(doc) or ((1.0, 10.0) if whole else (0.0, 1.0))
        middle = (low + high) / 2
        low, high = (middle, high) if self.verdict[0] else (low, middle)
        if whole:
            first, last = -int(-low // 1), int(high // 1)
            return first + self.dice.below(max(last - first, 0) + 1)
        return round(low + (high - low) * self.dice.below(101) / 100, 4)

    # -- texts ------------------------------------------------------------------------------

    def _sentences(self) -> list[str]:
        if self.passage is None:
            return []
        return [s.text for s in self.passage.statements or self.passage.sentences]

    def _text(self, name: str) -> str:
        plain = name.casefold()
        if plain in WHYS:
            return self.verdict[1]
        if plain in QUESTIONS:
            return self._pair().question
        if plain in ANSWERS or (plain in WRONG and self.question):
            return self._answered(wrong=plain in WRONG)
        if plain in LABELS and (labels := next(filter(None, map(_texts, self.values.values())), None)):
            return self._labelled(labels) or str(self.dice.pick(labels))
        terms = self.passage.terms if self.passage else ()
        if plain in TITLES and terms:
            return " and ".join(terms[:2]).capitalize()
        if plain in TERMS and terms:
            return str(self.dice.pick(terms[:6]))
        sentences = self._sentences()
        if plain in SUMMARIES and sentences:
            return " ".join(sentences[:2])
        if plain in THOUGHTS:
            return self._thoughts(terms or ("this",))
        if plain in VERSES and sentences:
            return self._verses(sentences)
        if plain in REPAIRED and self.passage:
            return repaired(self.passage.text)
        if plain in REWRITES and sentences:
            first = self.dice.below(len(sentences))
            return " ".join([*sentences[first:], *sentences[:first]])
        return self._next_sentence(sentences)

    def _thoughts(self, terms: Sequence[str]) -> str:
        """What may be thought before an answer, without a word of it written out."""
        return (
            f"This is about {', '.join(terms[:3])}. First comes what matters about {terms[0]}, then what "
            f"follows from it for {terms[-1]}. What was not asked for stays out, and the answer comes to the "
            "point at once."
        )

    def _verses(self, sentences: Sequence[str]) -> str:
        """Sentences broken into short lines, four of them at least."""
        lines: list[str] = []
        while len(lines) < LINES:
            said = self._next_sentence(sentences).split()
            lines += [" ".join(said[at : at + 6]) for at in range(0, len(said), 6)]
        return "\n".join(lines)

    def _texts(self, name: str) -> list[str]:
        terms = self.passage.terms if self.passage else ()
        if name.casefold() in TERMS and terms:
            return self.dice.some(3 + self.dice.below(3), terms[:8])
        if name.casefold() in QUESTIONS or name.casefold() == "questions":
            return [pair.question for pair in self._pairs()]
        return self.dice.some(3 + self.dice.below(3), self._sentences())

    def _next_sentence(self, sentences: Sequence[str]) -> str:
        """Another sentence each time, from one that the seed chooses."""
        if not sentences:
            longest = max((v for v in self.values.values() if isinstance(v, str)), key=len, default="")
            return longest.strip() or self.said.strip() or "There is no text to draw from."
        if not self._sentence:
            self._sentence = 1 + self.dice.below(len(sentences))
        self._sentence += 1
        return sentences[(self._sentence - 2) % len(sentences)]

    def _answered(self, wrong: bool = False) -> str:
        """The sentence that shares most with the question; for a wrong one, any other."""
        if self.passage is None or self.question is None:
            return self._next_sentence(self._sentences())
        best = best_sentence(self.passage, self.question)
        if wrong:
            others = [text for text in self._sentences() if best is None or text != best.text]
            return str(self.dice.pick(others)) if others else "I do not know."
        return best.text if best else self._next_sentence(())

    # -- questions and answers ---------------------------------------------------------------

    def _pairs(self) -> list[Pair]:
        """As many pairs as the row asks for (`count`), else 3 to 5, one in twelve spoilt."""
        made = pairs(self.passage) if self.passage else ()
        drawn = 3 + self.dice.below(3)
        wanted = self._wanted() or drawn
        asked = [pair for pair in made if pair.asked]
        blanks = [pair for pair in made if not pair.asked]
        chosen = self.dice.some(wanted, asked)
        chosen += self.dice.some(wanted - len(chosen), blanks)
        order = {pair.question: place for place, pair in enumerate(made)}
        return [self._spoilt(pair) for pair in sorted(chosen, key=lambda pair: order[pair.question])]

    def _pair(self) -> Pair:
        made = pairs(self.passage) if self.passage else ()
        if made:
            return self._spoilt(self.dice.pick([pair for pair in made if pair.asked] or made))
        return self._about_next()

    def _wanted(self) -> int | None:
        """How many the row asks for."""
        return next((n for name in COUNTS if (n := _count(self.values.get(name)))), None)

    def _about_next(self) -> Pair:
        text = self._next_sentence(self._sentences())
        words = " ".join(text.split()[:8])
        return Pair(f'What is said about "{words}"?', text, True)

    def _spoilt(self, pair: Pair) -> Pair:
        """Now and then a pair that the rules of the verdict reject, for a reason anyone can see."""
        if self.passage is None or self.dice.below(ONE_IN):
            return pair
        if self.dice.below(3) == 0:
            return Pair(self.dice.pick(VAGUE), pair.answer, pair.asked)
        answer, first = pair.answer, self.dice.below(len(INVENTED))
        for sentence in (*INVENTED[first:], *INVENTED[:first]):
            answer = f"{answer} {sentence}"
            if not answer_verdict(pair.question, answer, self.passage)[0]:
                break
        return Pair(pair.question, answer, pair.asked)

    def _mended(self) -> Pair | None:
        """A question and an answer that were refused, made anew from the sentence that fits them best."""
        if self.question is None or self.answer is None or self.passage is None:
            return None
        best = best_sentence(self.passage, self.answer, self.question)
        return pair_of(best) if best and len(best.tokens) > 2 else None

    def _pair_record(self, wanted: Record, pair: Pair, asks: str, answers: str) -> dict[str, Any]:
        cites = next((f.name for f in wanted if f.name in USED), None)
        pair, used = self._joined(pair) if cites else (pair, [])

        def filled(f: Field) -> Any:
            if f.name == cites:
                return used
            if f.name in (asks, answers) and isinstance(f.type, Scalar) and f.type.name == "str":
                return pair.question if f.name == asks else pair.answer
            return self.fill(f.type, f.name, f.doc)

        return {f.name: filled(f) for f in wanted}

    def _conversation(self, message: Record) -> list[dict[str, Any]]:
        """User asks, assistant answers, two messages a turn: the turns of the row, else made ones."""
        turns = self._turns() or [(pair.question, pair.answer) for pair in self._conversation_pairs()]
        messages: list[dict[str, Any]] = []
        for number, (question, answer) in enumerate(turns):
            lead = self.dice.pick(LEADS) if number else ""
            for role, content in (("user", lead + question), ("assistant", answer)):
                filled = {f.name: self.fill(f.type, f.name, f.doc) for f in message}
                messages.append(filled | {"role": role, "content": content})
        return messages

    def _conversation_pairs(self) -> list[Pair]:
        """As many as the row asks for, else four; sentences of the passage make up what is lacking."""
        made = pairs(self.passage) if self.passage else ()
        wanted = self._wanted()
        chosen = self.dice.some(wanted or 4, [pair for pair in made if pair.asked] or made)
        while len(chosen) < (wanted or 1):
            more = self._about_next()
            place = len(chosen) + 1
            chosen.append(Pair(f"{place}. {more.question}", f"{more.answer} ({place})", True))
        return chosen

    def _turns(self) -> list[tuple[str, str]]:
        candidates = [self.values.get(name) for name in TURNS]
        candidates += [value for value in self.values.values() if isinstance(value, (list, tuple))]
        for value in candidates:
            turns = [_turn(each) for each in value] if isinstance(value, (list, tuple)) else []
            if turns and all(turns):
                return [turn for turn in turns if turn]
        return [(self.question, self.answer)] if self.question and self.answer else []


def _turn(value: Any) -> tuple[str, str] | None:
    if not isinstance(value, Mapping):
        return None
    question = next((v for k, v in value.items() if k in QUESTIONS and isinstance(v, str)), None)
    answer = next((v for k, v in value.items() if k in ANSWERS and isinstance(v, str)), None)
    return (question, answer) if question is not None and answer is not None else None


def _texts(value: Any) -> Sequence[str] | None:
    """The value if it is a list of texts with at least one."""
    fits = isinstance(value, (list, tuple)) and value and all(isinstance(v, str) for v in value)
    return value if fits else None


def _count(value: Any) -> int | None:
    """The value if it is a sensible number of things to make."""
    fits = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 20
    return value if fits else None


def _range(doc: str | None) -> tuple[float, float] | None:
    """The range that a doc comment names: "From 0, flat, to 1, moving", "1-5", "1 to 10"."""
    number = r"(-?\d+(?:\.\d+)?)"
    match = re.search(rf"{number}(?:\s*[-–—]\s*|,? to |[^.\d]{{1,40}}? to ){number}", doc or "")
    if match is None or float(match[1]) >= float(match[2]):
        return None
    return float(match[1]), float(match[2])
