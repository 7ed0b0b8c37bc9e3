"""Vectors of texts: how they are kept as a reply, and those of the offline stand-in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
import re
import struct
from collections.abc import Iterable, Sequence
from typing import Any

SIZE = 256  # numbers of the stand-in's
RUN = 4  # characters that are counted together
WORD = re.compile(r"\w+")


def packed(numbers: Sequence[float]) -> str:
    """A vector as the text of a reply: 32-bit numbers, little-endian, in base64: a quarter of its JSON."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def unpacked(text: str) -> list[float] | None:
    """The numbers of a reply; None where it is no vector or holds what is no number."""
    try:
        raw = base64.b64decode(text, validate=True)
        numbers = list(struct.unpack(f"<{len(raw) // 4}f", raw))
    except (binascii.Error, struct.error, ValueError):
        return None
    return numbers if numbers and all(map(math.isfinite, numbers)) else None


def told(embedding: Any) -> str | None:
    """What an endpoint gives as an embedding, packed: numbers, or base64 as some give it; None for else."""
    if isinstance(embedding, str):
        return embedding if unpacked(embedding) else None
    if not isinstance(embedding, list) or not embedding:
        return None
    try:
        text = packed(embedding)
    except (struct.error, TypeError, OverflowError):
        return None
    return text if unpacked(text) else None


def of_words(text: str, size: int = SIZE) -> list[float]:
    """A vector of the words in a text and of their beginnings, each at a place that its hash says.

    Texts with words in common are near each other, and nothing more is known of what they mean.
    The length is 1, or 0 for a text without a word.
    """
    numbers = [0.0] * size
    for part in _parts(text):
        digest = hashlib.blake2b(part.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        place = int.from_bytes(digest, "little")
        numbers[place % size] += 1.0 if place >> 63 else -1.0
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers] if length else numbers


def _parts(text: str) -> Iterable[str]:
    for word in WORD.findall(text.casefold()):
        yield word
        if len(word) > RUN:
            yield f"{word[:RUN]}*"
