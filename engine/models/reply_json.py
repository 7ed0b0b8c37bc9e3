"""JSON values in the text of a reply, and the shapes a model may have given them.

Finds candidates and names their readings; which of them is right is decided by the type, in
`replies`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import field
from typing import Any

from engine.frozen import dataclass
from engine.language.types import Many, Mismatch, Optional, Record, Type, wrapping

_FENCE = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
# What follows a bracket that opens JSON, as opposed to one in prose: a quote, a nested bracket,
# a number, a comment, a closing bracket, a bare key, a word of JSON.
_LOOKS = {
    "{": re.compile(r"\{\s*(?:[\"'“}]|//|/\*|[A-Za-z_][\w-]*\s*:)"),
    "[": re.compile(r"\[\s*(?:[\"'“{\[\]]|//|/\*|-?\d|true\b|false\b|null\b)"),
}
_CLOSES = {"{": "}", "[": "]"}
_DECODER = json.JSONDecoder(strict=False)  # raw newlines within strings are a slip of form
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_REPAIRED_AT_MOST = 200_000  # characters; mending is slow, and no honest reply is longer


@dataclass(frozen=True, slots=True)
class Candidate:
    """One JSON value in a reply and where it began; `fenced` if in a code block."""

    value: Any
    start: int
    fenced: bool


@dataclass(slots=True)
class Candidates:
    """All there is in a reply. `broken`: why one is not JSON; `cut`: why the last cannot be mended."""

    values: list[Candidate] = field(default_factory=list)
    broken: str | None = None
    cut: str | None = None


def candidates(text: str) -> Candidates:
    """Every outermost JSON value in the text, in order; broken ones mended where they are complete."""
    found = Candidates()
    fences = [match.span(1) for match in _FENCE.finditer(text)]
    position = 0
    while (start := _next_bracket(text, position)) >= 0:
        fenced = any(low <= start < high for low, high in fences)
        try:
            value, end = _DECODER.raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            if not _LOOKS[text[start]].match(text, start):
                position = start + 1
                continue
            try:
                end = _closing(text, start)
            except _Unclosed as unclosed:
                found.cut = str(unclosed)
                return found
            found.broken = found.broken or f"the reply is not valid JSON: {_where(error)}"
            mended = _mended(text[start:end])
            if mended is not None:
                found.values.append(Candidate(mended, start, fenced))
        else:
            found.values.append(Candidate(value, start, fenced))
        position = end
    return found


def _next_bracket(text: str, position: int) -> int:
    brace, bracket = text.find("{", position), text.find("[", position)
    return min(brace, bracket) if brace >= 0 and bracket >= 0 else max(brace, bracket)


class _Unclosed(Exception):
    """A value is opened and not closed: what stands inside it is no value of its own."""


_CUT = "the JSON stops before its closing bracket; give it whole, and shorter if it is long"


def _closing(text: str, start: int) -> int:
    """The index after the bracket that closes the one at `start`; raises `_Unclosed` where none does.

    Reads what is not quite JSON: strings in single quotes, quotes within strings (a quote ends
    a string only where punctuation follows), comments.
    """
    stack: list[str] = []
    position, before = start, ""
    while position < len(text):
        character = text[position]
        if character in "{[":
            stack.append(_CLOSES[character])
        elif character in "}]":
            if (expected := stack.pop()) != character:
                raise _Unclosed(
                    f"the reply is not valid JSON: `{character}` stands where `{expected}` belongs"
                )
            if not stack:
                return position + 1
        elif character == '"' or (character == "'" and before in "{[,:"):
            position = _string_end(text, position)
        elif character == "/" and (comment := _COMMENT.match(text, position)):
            position = comment.end()
            continue
        if not character.isspace():
            before = character
        position += 1
    raise _Unclosed(_CUT)


def _string_end(text: str, start: int) -> int:
    quote, position = text[start], start + 1
    while position < len(text):
        if text[position] == "\\":
            position += 2
            continue
        if text[position] == quote:
            after = position + 1
            while after < len(text) and text[after].isspace():
                after += 1
            if after >= len(text) or text[after] in ",:}]/":
                return position
        position += 1
    raise _Unclosed(_CUT)


def _mended(text: str) -> Any:
    """What a complete but faulty value says, by `json_repair`; None where it says nothing."""
    if len(text) > _REPAIRED_AT_MOST:
        return None
    import json_repair

    try:
        value = json_repair.loads(text, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) and value else None


def _where(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg[0].lower()}{error.msg[1:]} at line {error.lineno}, column {error.colno}"
    return "it is nested too deeply"


# -- readings ----------------------------------------------------------------------------


def forms(value: Any, wanted: Type, key: str | None) -> Iterator[Any]:
    """The readings of a value, the most natural first. `wanted` is the type within a `?`.

    `key` is that under which the schema asked for it (`wrapping`). Models also leave the
    wrapping out, invent one of their own, or give the only field's value for the record.
    """
    if key is not None and isinstance(value, dict):
        if key in value:
            yield _renamed(value[key], wanted)
        elif len(value) == 1 and _plain(next(iter(value))) == key:
            yield _renamed(next(iter(value.values())), wanted)
    if isinstance(wanted, Record):
        yield from _record_forms(value, wanted)
    elif isinstance(wanted, Many):
        yield from _list_forms(value, wanted)
    else:
        yield value


def _record_forms(value: Any, wanted: Record) -> Iterator[Any]:
    if isinstance(value, dict):
        renamed = _renamed(value, wanted)
        if not value or any(f.name in renamed for f in wanted):
            yield renamed
            return
        inside = next(iter(value.values())) if len(value) == 1 else None
        if isinstance(inside, dict) and any(f.name in _renamed(inside, wanted) for f in wanted):
            yield _renamed(inside, wanted)  # {"verdict": {...}}
            return
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        yield from _record_forms(value[0], wanted)
        return
    if len(wanted.fields) == 1 and value is not None:
        only = wanted.fields[0]
        inner = only.type.of if isinstance(only.type, Optional) else only.type
        if not isinstance(value, dict) or isinstance(inner, (Record, Many)):
            yield {only.name: _renamed(value, only.type)}
    if isinstance(value, dict) and all(isinstance(f.type, Optional) for f in wanted):
        # Every field may be missing, so that any object at all would do.
        raise Mismatch("the object has none of " + ", ".join(f"`{f.name}`" for f in wanted))
    yield value


def _list_forms(value: Any, wanted: Many) -> Iterator[Any]:
    if isinstance(value, dict) and len(value) == 1:
        inside = next(iter(value.values()))
        fields = wanted.of.fields if isinstance(wanted.of, Record) else ()
        known = {_plain(f.name) for f in fields}
        if isinstance(inside, list) and _plain(next(iter(value))) not in known:
            yield _renamed(inside, wanted)  # {"questions": [...]}
            return
    yield _renamed(value, wanted)


def _renamed(value: Any, wanted: Type) -> Any:
    """The value with keys as the type has them where they differ only in case, `_`, `-` and spaces."""
    if isinstance(wanted, Optional):
        return _renamed(value, wanted.of)
    if isinstance(wanted, Many):
        if isinstance(value, list):
            return [_renamed(element, wanted.of) for element in value]
        return _renamed(value, wanted.of)
    if not isinstance(wanted, Record) or not isinstance(value, dict):
        return value
    missing = {_plain(f.name): f.name for f in wanted if f.name not in value}
    names = {f.name for f in wanted}
    renamed = dict(value)
    if missing:
        for key in value:
            if key not in names and (name := missing.pop(_plain(key), None)):
                renamed[name] = renamed.pop(key)
    for f in wanted:
        if isinstance(f.type, (Record, Many, Optional)) and f.name in renamed:
            renamed[f.name] = _renamed(renamed[f.name], f.type)
    return renamed


def _plain(name: Any) -> str:
    return re.sub(r"[\W_]+", "", str(name)).casefold()


def matches_exactly(value: Any, wanted: Type) -> bool:
    """Whether a value has all the keys that were asked for, in its wrapping or without."""
    key = wrapping(wanted)
    inner = wanted.of if isinstance(wanted, Optional) else wanted
    if key is not None and isinstance(value, dict) and key in value:
        value = value[key]
    if isinstance(inner, Many):
        return isinstance(value, list) and all(_has_keys(element, inner.of) for element in value)
    return _has_keys(value, inner)


def _has_keys(value: Any, wanted: Type) -> bool:
    if isinstance(wanted, Record):
        return isinstance(value, dict) and all(f.name in value for f in wanted)
    return True
