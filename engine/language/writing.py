"""Values as they would be written in a graph file: what is read from the text is the value again."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

INDENT = 2
WIDTH = 100  # columns of a line that holds a whole row
LONG = 60  # characters from which a text of several lines is written as such

# The other words of the language may be names too.
_RESERVED = frozenset("where let check keep expect until else and or not in true false null".split())
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})  # what no reader sees, and an editor may take away


class Unwritable(Exception):
    """A value of which the language has no written form."""


def name(text: str) -> str:
    """A name in an expression: a column, a setting."""
    plain = re.fullmatch(r"[A-Za-z_]\w*", text) and text not in _RESERVED
    if not plain and ("`" in text or "\n" in text):
        raise Unwritable(f"the name {text!r}")
    return text if plain else f"`{text}`"


def key(text: str) -> str:
    """A name before a colon."""
    return text if re.fullmatch(r"[A-Za-z_]\w*", text) and text not in _RESERVED else quoted(text)


def quoted(value: str) -> str:
    """A text on one line, what cannot be seen escaped."""
    return '"' + "".join(_ESCAPES.get(one) or _shown(one) for one in value) + '"'


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cs":
        raise Unwritable("half of a surrogate pair")
    hidden = category in _UNSEEN or (category == "Zs" and character != " ")
    return f"\\u{ord(character):04x}" if hidden and ord(character) <= 0xFFFF else character


def written(value: Any, indent: int = 0, before: int = 0) -> str:
    """A value, on one line where there is room; `before` columns are taken on the first.

    Dates, times and UUIDs become texts, as a test gives them. Raises `Unwritable`.
    """
    flat = _flat(value)
    if flat is not None and indent + before + len(flat) <= WIDTH:
        return flat
    further, margin = indent + INDENT, " " * (indent + INDENT)
    match value:
        case str():
            return _in_lines(value, further) if _has_lines(value) else quoted(value)
        case Mapping() if value:
            parts = [
                f"{margin}{key(one)}: {written(inner, further, len(key(one)) + 3)},\n"
                for one, inner in value.items()
            ]
            return "{\n" + "".join(parts) + " " * indent + "}"
        case list() | tuple() if value:
            parts = [f"{margin}{written(inner, further, 1)},\n" for inner in value]
            return "[\n" + "".join(parts) + " " * indent + "]"
    return flat or ""


def _flat(value: Any) -> str | None:
    """On one line; None for what holds a text of several lines."""
    match value:
        case str():
            return None if _has_lines(value) else quoted(value)
        case Mapping():
            parts = [(key(_text(one)), _flat(inner)) for one, inner in value.items()]
            if any(inner is None for _, inner in parts):
                return None
            return "{ " + ", ".join(f"{one}: {inner}" for one, inner in parts) + " }" if parts else "{}"
        case list() | tuple():
            items = [_flat(inner) for inner in value]
            return None if None in items else f"[{', '.join(map(str, items))}]"
    return scalar(value)


def scalar(value: Any) -> str:
    """A number, a truth value, null, or what is given as a text. Raises `Unwritable`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            if not -(2**63) < value < 2**63:
                raise Unwritable(f"the number {value}")
            return str(value)
        case float() | Decimal():
            if not math.isfinite(value):
                raise Unwritable(f"the number {value}")
            return repr(value) if isinstance(value, float) else format(value, "f")
        case datetime() | date() | time() | UUID():
            return quoted(str(value))
    raise Unwritable(f"a value of type {type(value).__name__}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unwritable("a map whose keys are no texts")
    return value


# -- texts of several lines ------------------------------------------------------------------------


def _has_lines(value: str) -> bool:
    """Whether a text is to be written between three quotes, and can be.

    There are no escapes there; blank lines at either end and indentation that all lines share go.
    """
    if len(value) < LONG or "\n" not in value or '"""' in value:
        return False
    lines = value.split("\n")
    if not lines[0].strip() or not lines[-1].strip():
        return False
    if any(line != line.rstrip() for line in lines):  # editors take it away
        return False
    if all(line[:1] in (" ", "\t") for line in lines if line.strip()):
        return False
    return not any(
        unicodedata.category(one) in (*_UNSEEN, "Cs") for one in set(value) if one not in ("\n", "\t")
    )


def _in_lines(value: str, indent: int) -> str:
    margin = " " * indent
    lines = [f"{margin}{line}" if line else "" for line in value.split("\n")]
    return '"""\n' + "\n".join(lines) + f'\n{margin}"""'


def several(parts: Sequence[str], indent: int, brackets: str = "[]") -> str:
    """Written parts in brackets, each on its own line where together they are too long for one."""
    flat = ", ".join(parts)
    if indent + len(flat) <= WIDTH - 12 and "\n" not in flat:
        return f"{brackets[0]}{flat}{brackets[1]}"
    margin = " " * (indent + INDENT)
    return f"{brackets[0]}\n" + "".join(f"{margin}{one},\n" for one in parts) + f"{' ' * indent}{brackets[1]}"
