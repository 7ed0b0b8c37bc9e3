"""One definition of "the same": 16-byte fingerprints of plain values, and the ids of rows.

Every key of the memo, every row id and every revision is made here. Nothing else may hash
what is persisted: Python's `hash` differs from process to process, DuckDB's from version to
version. Changing an encoding below makes every store start afresh.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

_double = struct.Struct(">d").pack
_NAN = b"fnan....."


def fingerprint(*parts: Any) -> bytes:
    """16 bytes of SHA-256 over a canonical encoding of `parts`.

    Every value is encoded with its type and its length, so that `None`, `"None"`, `1`, `1.0`,
    `True` and `"1"` differ, and `("a", "b")` differs from `("ab",)`. A list equals a tuple, a
    mapping does not depend on the order of its keys, a set not on that of its members.

    Raises `TypeError` for a value that has no canonical form (a function, an open file).
    """
    return hashlib.sha256(b"".join([_encoded(part) for part in parts])).digest()[:16]


def row_id(parent: bytes | None, identity: int | str) -> bytes:
    """`fingerprint(parent, identity)`, three times as quick: every row of a run has one made."""
    above = b"n" if parent is None else b"b%d:%b" % (len(parent), parent)
    own = b"i%d;" % identity if type(identity) is int else _encoded(identity)
    return hashlib.sha256(above + own).digest()[:16]


def mapping_of(names: Iterable[str]) -> Callable[[Mapping[str, Any]], bytes]:
    """The encoding of mappings that all have just these keys: they are sorted and encoded once."""
    ordered = sorted((_text(name), name) for name in names)
    start = b"d%d:" % len(ordered)
    plain = _PLAIN

    def encode(mapping: Mapping[str, Any]) -> bytes:
        parts = [start]
        for key, name in ordered:
            value = mapping[name]
            parts.append(key)
            parts.append(plain.get(type(value), _rare)(value))
        return b"".join(parts)

    return encode


def digest(*encodings: bytes) -> bytes:
    """The fingerprint of values that are encoded already, by `encoded` or `mapping_of`."""
    return hashlib.sha256(b"".join(encodings)).digest()[:16]


def child_id(parent: bytes | None, node: str, place: int | str) -> bytes:
    """The id of a row: a hash of its parent's id, its node, and its place among its siblings.

    `place` is a string where a kind knows something steadier than a position (a path).
    """
    return fingerprint("row", parent, node, place)


def encoded(value: Any) -> bytes:
    """The canonical bytes of a value, as `fingerprint` takes them. Raises `TypeError` as it does."""
    return _encoded(value)


def _encoded(value: Any) -> bytes:
    encode = _PLAIN.get(type(value), _rare)
    return encode(value)


def _text(value: str) -> bytes:
    try:
        content = value.encode()
    except UnicodeEncodeError:
        content = _utf8(value)
    return b"s%d:%b" % (len(content), content)


def _raw(value: bytes) -> bytes:
    return b"b%d:%b" % (len(value), value)


def _float(value: float) -> bytes:
    return _NAN if math.isnan(value) else b"f" + _double(value)


def _sequence(value: Sequence[Any]) -> bytes:
    return b"l%d:%b" % (len(value), b"".join([_encoded(item) for item in value]))


def _mapping(value: Mapping[Any, Any]) -> bytes:
    entries = sorted([(_encoded(key), _encoded(item)) for key, item in value.items()])
    return b"d%d:%b" % (len(entries), b"".join([name + content for name, content in entries]))


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, as a broken reply may hold
        return text.encode("utf-8", "surrogatepass")


def _tagged(tag: bytes, text: str) -> bytes:
    content = _utf8(text)
    return b"%b%d:%b" % (tag, len(content), content)


def _rare(value: Any) -> bytes:
    """Values that are seldom met, subclasses of the plain types among them."""
    if isinstance(value, Enum):
        return _encoded(value.value)
    if isinstance(value, datetime):
        return _tagged(b"m", value.isoformat())
    if isinstance(value, date):
        return _tagged(b"y", value.isoformat())
    if isinstance(value, time):
        return _tagged(b"h", value.isoformat())
    if isinstance(value, timedelta):
        return _tagged(b"e", f"{value.days},{value.seconds},{value.microseconds}")
    if isinstance(value, Decimal):
        return _tagged(b"c", str(value))
    if isinstance(value, UUID):
        return _tagged(b"x", value.hex)
    if isinstance(value, PurePath):
        return _tagged(b"p", value.as_posix())
    if isinstance(value, str):
        return _text(str.__str__(value))
    if isinstance(value, int):
        return _encoded(int(value))
    if isinstance(value, float):
        return _float(float(value))
    if isinstance(value, bytearray | memoryview | bytes):
        return _raw(bytes(value))
    if isinstance(value, Mapping):
        return _mapping(value)
    if isinstance(value, Set):
        return b"z%d:%b" % (len(value), b"".join(sorted([_encoded(item) for item in value])))
    if isinstance(value, Sequence):
        return _sequence(list(value))
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        return _encoded(value.tolist())
    raise TypeError(f"a {type(value).__name__} has no fingerprint")


_PLAIN: dict[type, Callable[[Any], bytes]] = {
    str: _text,
    type(None): lambda value: b"n",
    bool: lambda value: b"t" if value else b"u",
    int: lambda value: b"i%d;" % value,
    float: _float,
    bytes: _raw,
    dict: _mapping,
    list: _sequence,
    tuple: _sequence,
}
