"""Which calls may be known: whether a key has to be looked for in table `calls` at all.

A row of a cold run asks for a key that is nowhere, and a query costs more than all else that
becomes of the row. So the keys of the store are held as sorted 8-byte beginnings, eight bytes a
call: "no" is always right, "yes" is wrong once in ten billion keys and is checked by the query.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from engine.store.schema import SCHEMA

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

TOGETHER = 50_000
"""Keys that are held one by one until it is worth sorting them in."""


class KnownKeys:
    """Keys of calls. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sorted: Any = None  # numpy, uint64
        self._recent: set[int] = set()

    def load(self, connection: DuckDBPyConnection) -> None:
        """Take in the keys of all calls that the store holds; 0.2 s for a million."""
        beginnings = connection.execute(
            f"SELECT (key::UHUGEINT >> 64)::UBIGINT AS beginning FROM {SCHEMA}.calls"
        ).fetchnumpy()["beginning"]
        if len(beginnings):
            self._sort_in(beginnings)

    def add(self, keys: Iterable[bytes]) -> None:
        """Take these in."""
        with self._lock:
            self._recent.update([int.from_bytes(key[:8], "big") for key in keys])
            full = self._recent if len(self._recent) >= TOGETHER else None
        if full is None:
            return  # a run with few calls, or none, need not load numpy
        import numpy

        self._sort_in(numpy.fromiter(full, numpy.uint64, len(full)))
        with self._lock:
            self._recent = self._recent - full

    def __contains__(self, key: bytes) -> bool:
        """Whether a call of that key may be there."""
        beginning = int.from_bytes(key[:8], "big")
        if beginning in self._recent:
            return True
        known = self._sorted
        if known is None:
            return False
        place = int(known.searchsorted(known.dtype.type(beginning)))
        return place < len(known) and int(known[place]) == beginning

    def _sort_in(self, more: Any) -> None:
        import numpy

        known = self._sorted
        together = more if known is None else numpy.concatenate([known, more])
        together.sort()
        self._sorted = together
