"""One definition of "the same": 16-byte fingerprints of plain values, and the ids of rows.

Every key of the memo, every row id and every revision is made here. Nothing else may hash
what is persisted: Python's `hash` differs from process to process, DuckDB's from version to
version. Changing an encoding below makes every store start afresh.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence, Set
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
    out: list[bytes] = []
    for part in parts:
        _encode(part, out)
    return hashlib.sha256(b"".join(out)).digest()[:16]


def child_id(parent: bytes | None, node: str, place: int | str) -> bytes:
    """The id of a row: a hash of its parent's id, its node, and its place among its siblings.

    `place` is a string where a kind knows something steadier than a position (a path).
    """
    return fingerprint("row", parent, node, place)


def _encode(value: Any, out: list[bytes]) -> None:
    kind = type(value)
    if kind is str:
        text = _utf8(value)
        out.append(b"s%d:" % len(text))
        out.append(text)
    elif value is None:
        out.append(b"n")
    elif kind is bool:
        out.append(b"t" if value else b"u")
    elif kind is int:
        out.append(b"i%d;" % value)
    elif kind is float:
        out.append(_NAN if math.isnan(value) else b"f" + _double(value))
    elif kind is bytes:
        out.append(b"b%d:" % len(value))
        out.append(value)
    elif kind is dict:
        _encode_mapping(value, out)
    elif kind is list or kind is tuple:
        out.append(b"l%d:" % len(value))
        for item in value:
            _encode(item, out)
    else:
        _encode_rare(value, out)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # a lone surrogate, as a broken reply may hold
        return text.encode("utf-8", "surrogatepass")


def _encode_mapping(value: Mapping[Any, Any], out: list[bytes]) -> None:
    entries = []
    for key, item in value.items():
        entry: list[bytes] = []
        _encode(key, entry)
        length = len(entry)
        _encode(item, entry)
        entries.append((b"".join(entry[:length]), b"".join(entry[length:])))
    entries.sort()
    out.append(b"d%d:" % len(entries))
    for name, content in entries:
        out.append(name)
        out.append(content)


def _tagged(tag: bytes, text: str, out: list[bytes]) -> None:
    content = _utf8(text)
    out.append(tag + b"%d:" % len(content))
    out.append(content)


def _encode_rare(value: Any, out: list[bytes]) -> None:
    """Values that are seldom met, subclasses of the plain types among them."""
    if isinstance(value, Enum):
        _encode(value.value, out)
    elif isinstance(value, datetime):
        _tagged(b"m", value.isoformat(), out)
    elif isinstance(value, date):
        _tagged(b"y", value.isoformat(), out)
    elif isinstance(value, time):
        _tagged(b"h", value.isoformat(), out)
    elif isinstance(value, timedelta):
        _tagged(b"e", f"{value.days},{value.seconds},{value.microseconds}", out)
    elif isinstance(value, Decimal):
        _tagged(b"c", str(value), out)
    elif isinstance(value, UUID):
        _tagged(b"x", value.hex, out)
    elif isinstance(value, PurePath):
        _tagged(b"p", value.as_posix(), out)
    elif isinstance(value, str):
        _encode(str.__str__(value), out)
    elif isinstance(value, int):
        _encode(int(value), out)
    elif isinstance(value, float):
        _encode(float(value), out)
    elif isinstance(value, bytearray | memoryview | bytes):
        _encode(bytes(value), out)
    elif isinstance(value, Mapping):
        _encode_mapping(value, out)
    elif isinstance(value, Set):
        members = sorted(_encoded(item) for item in value)
        out.append(b"z%d:" % len(members))
        out.extend(members)
    elif isinstance(value, Sequence):
        _encode(list(value), out)
    elif hasattr(value, "tolist"):  # numpy's arrays and scalars
        _encode(value.tolist(), out)
    else:
        raise TypeError(f"a {type(value).__name__} has no fingerprint")


def _encoded(value: Any) -> bytes:
    out: list[bytes] = []
    _encode(value, out)
    return b"".join(out)
