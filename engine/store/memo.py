"""Calls as they are kept, and found again: table `calls` is log and memo in one.

A reply is usable again when it is an answer of the model (`ok`, `cut`, `refused`); a transport
error is only logged. This module neither makes keys nor decides when a reply is good enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from engine.store.columns import arrow_table, floats, integers, long_integers, texts, times, uuids
from engine.store.records import CallRecord, Memo, PastRow
from engine.store.schema import SCHEMA, quote

if TYPE_CHECKING:
    from arro3.core import Table
    from duckdb import DuckDBPyConnection

USABLE = ("ok", "cut", "refused")

_FIELDS = tuple(Memo.__slots__)
_memo = attrgetter(*_FIELDS)
_TEXTS = (
    *("graph", "node", "role", "model", "endpoint", "reply", "thoughts"),
    *("finish", "status", "error", "fault"),
)
_NUMBERS = (
    *("attempt", "sample", "http_attempts"),
    *("tokens_in", "tokens_out", "tokens_cached", "tokens_thought"),
)
_GAP = 50_000  # row numbers this far apart are looked up on their own


def memo_of(call: CallRecord) -> Memo:
    """The reply of a call as the memo gives it back."""
    return Memo(*_memo(call))


def calls_table(calls: Sequence[CallRecord], run: int) -> Table:
    """Calls as an Arrow table, in the columns of table `calls`."""
    arrays: dict[str, Any] = {"run": integers([run] * len(calls))}
    for name in (*_TEXTS, "request"):
        arrays[name] = texts([getattr(call, name) for call in calls])
    for name in _NUMBERS:
        arrays[name] = integers([getattr(call, name) for call in calls])
    for name in ("cost", "cost_reported", "ms"):
        arrays[name] = floats([getattr(call, name) for call in calls])
    for name in ("row", "key"):
        arrays[name] = uuids([getattr(call, name) for call in calls])
    arrays["called_at"] = times([call.at for call in calls])
    return arrow_table(arrays)


def look_up(cursor: DuckDBPyConnection, keys: Sequence[bytes]) -> dict[bytes, Memo]:
    """The newest usable reply for each key that has one.

    Keys are joined first and replies read for hits only, stretch by stretch: reading a
    compressed text column for a few scattered rows costs as much as reading all of it.
    """
    cursor.register("atk_keys", arrow_table({"key": uuids(keys)}))
    cursor.execute("BEGIN TRANSACTION")
    try:
        statuses = ", ".join(f"'{status}'" for status in USABLE)
        places = cursor.execute(
            f"SELECT max(rowid) AS place FROM {SCHEMA}.calls WHERE key IN (SELECT key FROM atk_keys)"
            f" AND status IN ({statuses}) GROUP BY key ORDER BY place"
        ).fetchall()
        found: dict[bytes, Memo] = {}
        for stretch in _stretches([place for (place,) in places]):
            found.update(_read(cursor, stretch))
        return found
    finally:
        cursor.execute("ROLLBACK")
        cursor.unregister("atk_keys")


def _read(cursor: DuckDBPyConnection, places: list[int]) -> dict[bytes, Memo]:
    cursor.register("atk_places", arrow_table({"place": long_integers(places)}))
    try:
        rows = cursor.execute(
            f"SELECT key::BLOB, {', '.join(_FIELDS)} FROM {SCHEMA}.calls"
            f" WHERE rowid BETWEEN {places[0]} AND {places[-1]}"
            " AND rowid IN (SELECT place FROM atk_places)"
        ).fetchall()
    finally:
        cursor.unregister("atk_places")
    return {row[0]: Memo(*row[1:]) for row in rows}


def _stretches(places: list[int]) -> list[list[int]]:
    stretches: list[list[int]] = []
    for place in places:
        if stretches and place - stretches[-1][-1] < _GAP:
            stretches[-1].append(place)
        else:
            stretches.append([place])
    return stretches


def past_rows(
    cursor: DuckDBPyConnection, table: str, own: Sequence[str], keys: Sequence[bytes]
) -> dict[bytes, list[PastRow]]:
    """For each key that `table` has, the rows of one outcome, in their order.

    Rows of one outcome share their parent, its revision, and the runs in which they came and went.
    """
    cursor.register("atk_keys", arrow_table({"key": uuids(keys)}))
    cursor.execute("BEGIN TRANSACTION")
    try:
        groups = cursor.execute(
            f"SELECT _key::BLOB, list(rowid) FROM {table} WHERE _key IN (SELECT key FROM atk_keys)"
            " GROUP BY _key, _parent, _parent_rev, _born, _died HAVING NOT bool_or(_retry)"
            " ORDER BY _died IS NULL, _born, max(rowid)"
        ).fetchall()
        chosen = dict(groups)  # the last one of a key wins
        found: dict[bytes, list[PastRow]] = {key: [] for key in chosen}
        for stretch in _stretches(sorted(place for places in chosen.values() for place in places)):
            for key, row in _read_rows(cursor, table, own, stretch):
                found[key].append(row)
    finally:
        cursor.execute("ROLLBACK")
        cursor.unregister("atk_keys")
    for rows in found.values():
        rows.sort(key=attrgetter("place"))
    return found


def _read_rows(
    cursor: DuckDBPyConnection, table: str, own: Sequence[str], places: list[int]
) -> list[tuple[bytes, PastRow]]:
    columns = "".join(f", {quote(name)}" for name in own)
    cursor.register("atk_places", arrow_table({"place": long_integers(places)}))
    try:
        rows = cursor.execute(
            f"SELECT _key::BLOB, _place, _status, _reason, _asked, _calls::BLOB[]{columns} FROM {table}"
            f" WHERE rowid BETWEEN {places[0]} AND {places[-1]}"
            " AND rowid IN (SELECT place FROM atk_places)"
        ).fetchall()
    finally:
        cursor.unregister("atk_places")
    found = []
    for key, place, status, reason, asked, calls, *values in rows:
        outcome = PastRow(place, status, reason, asked, calls or [], dict(zip(own, values, strict=True)))
        found.append((key, outcome))
    return found
