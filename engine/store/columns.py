"""Columns on their way into DuckDB, made without pyarrow.

To import pyarrow costs 0.12 s of CPU, half of it for numpy, which it does not need here: more than
anything else of a short run. arro3 makes the same Arrow arrays and is imported in 3 ms; DuckDB reads them
through the Arrow PyCapsule interface. What arro3 does not make from Python values (nested types, dates,
decimals) is made by pyarrow, and both may stand in one table.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from arro3.core import Array, DataType, Field, Schema, Table, list_array

# https://arrow.apache.org/docs/format/CanonicalExtensions.html#uuid
_UUID = Field(
    "uuid",
    DataType.binary(16),
    metadata={"ARROW:extension:name": "arrow.uuid", "ARROW:extension:metadata": ""},
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_TEXT = DataType.large_string()  # 64-bit offsets: the texts of one commit may be more than 2 GB

# A type as DuckDB writes it: what Arrow calls it, and the one class of Python whose values need no look.
PLAIN: dict[str, tuple[DataType, type]] = {
    "VARCHAR": (_TEXT, str),
    "BIGINT": (DataType.int64(), int),
    "DOUBLE": (DataType.float64(), float),
    "BOOLEAN": (DataType.bool(), bool),
}


def arrow_table(arrays: Mapping[str, Any]) -> Table:
    """A table of these columns, in their order; each is an array of arro3's or of pyarrow's."""
    columns = [array if isinstance(array, Array) else Array.from_arrow(array) for array in arrays.values()]
    fields = [column.field.with_name(name) for name, column in zip(arrays, columns, strict=True)]
    return Table.from_arrays(columns, schema=Schema(fields))


def uuids(values: Collection[bytes | None]) -> Array:
    """UUID, from 16 bytes each."""
    return Array(list(values), _UUID)


def uuid_lists(values: Sequence[Sequence[bytes]]) -> Array:
    """UUID[]."""
    offsets = [0]
    for value in values:
        offsets.append(offsets[-1] + len(value))
    flat = uuids([item for value in values for item in value])
    return list_array(Array(offsets, DataType.int32()), flat)


def integers(values: Sequence[int | None]) -> Array:
    """INTEGER."""
    return Array(values, DataType.int32())


def long_integers(values: Sequence[int | None]) -> Array:
    """BIGINT."""
    return Array(values, DataType.int64())


def floats(values: Sequence[float | None]) -> Array:
    """DOUBLE."""
    return Array(values, DataType.float64())


def booleans(values: Sequence[bool | None]) -> Array:
    """BOOLEAN."""
    return Array(values, DataType.bool())


def times(values: Sequence[datetime]) -> Array:
    """TIMESTAMP, in UTC; a time without a zone is one of UTC."""
    since = [(at if at.tzinfo else at.replace(tzinfo=UTC)) - _EPOCH for at in values]
    return long_integers([span // _MICROSECOND for span in since]).cast(DataType.timestamp("us"))


def texts(values: Sequence[bytes | str | None]) -> Array:
    """VARCHAR. What is no UTF-8 (a lone surrogate, bytes of another encoding) is written with marks."""
    try:
        return Array(values, _TEXT)
    except (TypeError, UnicodeEncodeError):  # to look at each first would cost as much as all the rest
        return Array([_text(value) for value in values], _TEXT)


def plain(kind: str, values: Sequence[Any]) -> Array | None:
    """Values of a type that arro3 makes; `None` where the type or one of the values is another."""
    known = PLAIN.get(kind)
    if known is None or not {*map(type, values)} <= {known[1], type(None)}:
        return None
    try:
        return texts(values) if kind == "VARCHAR" else Array(values, known[0])
    except OverflowError:  # told by who knows the column
        return None


def _text(value: bytes | str | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.encode("utf-8", "replace").decode()
