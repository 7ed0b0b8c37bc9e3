"""Estimates of tokens without any model's vocabulary: for prices before they are paid, for
`tpm`, and for endpoints that do not say what a call took.

A token is taken to be four bytes of UTF-8. English prose has four to five characters a token
with large vocabularies, so that the estimate errs on the dear side there; code and numbers
have about three, so that it errs on the cheap side. Scripts of two bytes a character come to
half a token each, those of three bytes to three quarters. Counting exactly belongs to the
packages that own a vocabulary, not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.language.types import Literal, Many, Optional, Record, Scalar, Type

BYTES_PER_TOKEN = 4
PER_MESSAGE = 4  # the role and its separators
PROSE = 48  # a text field: one to three sentences
WHOLE_REPLY = 300  # a reply that is not read as a record
ELEMENTS = 4  # of a list


def count(text: str) -> int:
    """Estimated tokens of a text."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)


def of_messages(messages: Sequence[Mapping[str, str]]) -> int:
    """Estimated tokens of a whole prompt."""
    return sum(count(message["content"]) + PER_MESSAGE for message in messages)


def of_reply(wanted: Type | None) -> int:
    """Estimated tokens of a reply of the wanted type, with the names of its fields."""
    return WHOLE_REPLY if wanted is None else _of_type(wanted)


def _of_type(wanted: Type) -> int:
    match wanted:
        case Scalar(name="str" | "path"):
            return PROSE
        case Scalar() | Literal():
            return 3
        case Optional(of=inner):
            return _of_type(inner)
        case Many(of=inner):
            return 2 + ELEMENTS * _of_type(inner)
        case Record(fields=fields):
            return 2 + sum(count(field.name) + 3 + _of_type(field.type) for field in fields)
