"""From the text of a reply to a value of the wanted type, forgiving about form.

`parse` reads JSON in prose, in fences, with the small slips that models make; plain text; and
tagged blocks. It never makes content up: a reply that stops before its closing brace is
unparsed, whatever could be guessed. Why the endpoint stopped, and whether to ask again, is
not decided here.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import orjson

from engine.language.types import Many, Mismatch, Optional, Record, Type, text_field, validator, wrapping
from engine.models.reply_json import Candidate, candidates, forms, matches_exactly
from engine.models.reply_tags import Untagged, read_tags

_DECLINED = frozenset({"null", "none"})
_OPEN, _CLOSE = r"<(think|thinking|thought)>", r"</(?:think|thinking|thought)>"
_THOUGHTS = re.compile(rf"(?m)(?:^[ \t]*|(?<=>)){_OPEN}(.*?)</\1>[ \t]*\n?", re.DOTALL | re.IGNORECASE)
_OPENED = re.compile(rf"(?m)^[ \t]*{_OPEN}", re.IGNORECASE)
_CLOSED = re.compile(_CLOSE, re.IGNORECASE)


class Unparsed(ValueError):
    """A reply without a value of the wanted type; the message is what the model is told."""

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message


def parse(text: str, wanted: Type, form: Literal["json", "text", "tags"] = "json") -> Any:
    """The value in a reply, as `validator` gives it; None where `T?` was declined.

    Raises `Unparsed` with a message that a model can act on.
    """
    if "</" in text and _CLOSED.search(text) and text.lstrip()[:1] not in ("{", "["):
        text = split_thoughts(text)[1]
    text = text.strip().removeprefix("\ufeff").strip()
    if isinstance(wanted, Optional) and _bare(text) in _DECLINED:
        return None
    if not text:
        raise Unparsed("the reply is empty")
    if form == "text":
        return _whole(text, wanted)
    if form == "tags":
        return _tagged(text, wanted)
    return _json(text, wanted)


def split_thoughts(text: str) -> tuple[str | None, str]:
    """A reply's thoughts and what is left of it.

    Thoughts stand in `<think>` blocks that begin a line. A block that is never closed takes
    all that follows it; a closing tag alone (some servers strip the opening one) ends thoughts
    that began with the reply.
    """
    if "<" not in text:  # nearly every reply: looking for blocks costs as much as a fingerprint
        return None, text
    thoughts: list[str] = []

    def take(match: re.Match[str]) -> str:
        thoughts.append(match[2].strip())
        return ""

    rest = _THOUGHTS.sub(take, text)
    closed = _CLOSED.search(rest)
    if closed and not re.search(_OPEN, rest[: closed.start()], re.IGNORECASE):
        thoughts.insert(0, rest[: closed.start()].strip())
        rest = rest[closed.end() :]
    elif opened := _OPENED.search(rest):
        thoughts.append(rest[opened.end() :].strip())
        rest = rest[: opened.start()]
    if not thoughts and rest == text:
        return None, text
    return "\n\n".join(thought for thought in thoughts if thought) or None, rest.strip()


def _bare(text: str) -> str:
    """A short reply without fences, quotes and full stops, to be compared with a word."""
    if len(text) > 40:
        return ""
    return re.sub(r"^```\w*\s*", "", text).strip("`\"'*. \n\t").casefold()


# -- JSON --------------------------------------------------------------------------------


def _json(text: str, wanted: Type) -> Any:
    try:
        whole = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _found(text, wanted)
    if isinstance(whole, str) and whole.lstrip()[:1] in ("{", "["):  # JSON within a JSON string
        try:
            return _found(whole, wanted)
        except Unparsed:
            pass
    try:
        return _fitted(whole, wanted)
    except Mismatch as mismatch:
        raise Unparsed(mismatch.message) from None


def _found(text: str, wanted: Type) -> Any:
    """The best of the JSON values that stand in a text: fenced before bare, exact before near, last first."""
    seen = candidates(text)
    fits: list[tuple[tuple[bool, bool, int], Any]] = []
    refused: tuple[tuple[bool, int], str] | None = None
    for candidate in seen.values:
        try:
            value = _fitted(candidate.value, wanted)
        except Mismatch as mismatch:
            rank = (isinstance(candidate.value, dict), candidate.start)
            if refused is None or rank > refused[0]:
                refused = (rank, mismatch.message)
            continue
        exact = matches_exactly(candidate.value, wanted)
        fits.append(((exact, candidate.fenced, candidate.start), value))
    if seen.cut:
        raise Unparsed(seen.cut)
    if listed := _one_by_one(seen.values, wanted):
        return listed
    if fits:
        return max(fits, key=lambda fit: fit[0])[1]
    if isinstance(wanted, Optional) and _bare(text.rsplit("\n", 1)[-1]) in _DECLINED:
        return None
    if refused:
        raise Unparsed(refused[1])
    if seen.broken:
        raise Unparsed(seen.broken)
    raise Unparsed("there is no JSON in the reply; reply with JSON only")


def _fitted(value: Any, wanted: Type) -> Any:
    """The value with the wanted type, from the first of its readings that has it.

    When none has, what is told is wrong with the most natural reading.
    """
    declinable = isinstance(wanted, Optional)
    inner = wanted.of if isinstance(wanted, Optional) else wanted
    key = wrapping(wanted)
    root = key if isinstance(inner, Many) and key else ""
    validate = validator(inner, root)
    first: Mismatch | None = None
    for reading in forms(value, inner, key):
        if reading is None and declinable:
            return None
        try:
            return validate(reading)
        except Mismatch as mismatch:
            first = first or mismatch
    raise first or Mismatch("the value does not have the wanted shape")


def _one_by_one(values: list[Candidate], wanted: Type) -> list[Any] | None:
    """The elements of a list that a model gave as objects one after the other, without the list."""
    inner = wanted.of if isinstance(wanted, Optional) else wanted
    if not isinstance(inner, Many) or not isinstance(inner.of, Record):
        return None
    fenced = [v for v in values if v.fenced]
    alone = [v for v in fenced or values if matches_exactly(v.value, inner.of)]
    if len(alone) < 2 or any(matches_exactly(v.value, wanted) for v in values):
        return None
    try:
        return [validator(inner.of)(candidate.value) for candidate in alone]
    except Mismatch:
        return None


# -- text and tags -----------------------------------------------------------------------


def _whole(text: str, wanted: Type) -> Any:
    name = text_field(wanted)
    if name is None:
        raise ValueError("a reply that is text needs a type with one field that is no list and no record")
    inner = wanted.of if isinstance(wanted, Optional) else wanted
    try:
        return validator(inner)({name: text})
    except Mismatch:
        try:  # a literal with a full stop, in quotes or in bold
            return validator(inner)({name: text.strip("`\"'*. \n\t")})
        except Mismatch as mismatch:
            raise Unparsed(mismatch.message.replace(f"`{name}`", "the reply", 1)) from None


def _tagged(text: str, wanted: Type) -> Any:
    inner = wanted.of if isinstance(wanted, Optional) else wanted
    try:
        value = read_tags(text, inner)
        return validator(inner, "items" if isinstance(inner, Many) else "")(value)
    except (Untagged, Mismatch) as problem:
        if isinstance(wanted, Optional) and _bare(text.rsplit("\n", 1)[-1]) in _DECLINED:
            return None
        raise Unparsed(problem.message) from None
