"""`atk clean`: out of a store goes what nothing refers to any more, and the file becomes as small as that.

Rows that were replaced are kept for `diff` and `why` of earlier runs, and so that an edit that is undone
finds what came of it before; after some runs they are only size. Replies stay unless it is asked for:
they were paid for. What they cost stays in any case.

DuckDB gives no room back to the disk, so what is left is copied into a new file, which takes the place of
the old one in one step: whoever is killed at any moment leaves one of the two, whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from engine.frozen import dataclass
from engine.store.attach import attach, detach, is_full, mended
from engine.store.errors import StoreBusy, StoreError
from engine.store.log import log_of
from engine.store.schema import CATALOG, SCHEMA, quote, table_name, text

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Unused:
    """What nothing refers to: replaced rows by table, tables of nodes that are gone, replies."""

    rows: dict[str, int]
    tables: tuple[str, ...]
    replies: int

    def __bool__(self) -> bool:
        return bool(sum(self.rows.values()) or self.tables or self.replies)


def look(path: Path, keep_runs: int, replies: bool) -> Unused:
    """What `clean` would remove. Raises `StoreError`."""
    connection = attach(path, "read", sandbox=False)
    try:
        return _unused(connection, keep_runs, replies)
    finally:
        detach(connection, path)


def clean(path: Path, keep_runs: int, replies: bool) -> tuple[Unused, int, int]:
    """Remove it; gives what went, and the file's size in bytes before and after. Raises `StoreError`.

    Rows that were replaced in one of the last `keep_runs` runs stay.
    """
    import duckdb

    mended(path)
    before = path.stat().st_size
    copy = path.with_name(f"{path.name}.clean")
    connection = attach(path, "write", sandbox=False)
    try:
        unused = _unused(connection, keep_runs, replies)
        _remove(connection, unused, keep_runs, replies)
        _copied(connection, copy)
    except duckdb.Error as error:
        _discard(copy)
        message = str(error).splitlines()[0]
        if is_full(message):
            raise StoreError(
                f"the disk is full: there is no room for a clean copy of the store {path}",
                "free some space and run it again; nothing was lost",
            ) from None
        raise StoreError(f"the store {path} cannot be cleaned: {message}") from None
    finally:
        detach(connection, path)
    _put_in_place(copy, path)
    return unused, before, path.stat().st_size


def _unused(connection: DuckDBPyConnection, keep_runs: int, replies: bool) -> Unused:
    gone = _gone(connection)
    kept = [name for name in _node_tables(connection) if name not in gone]
    replaced = _replaced(connection, keep_runs)
    rows = {name: _count(connection, f"{_at(name)} WHERE {replaced}") for name in kept}
    loose = 0
    if replies:
        standing = _standing(kept, f"NOT coalesce({replaced}, false)")
        loose = _count(connection, f"{SCHEMA}.calls WHERE request <> '' AND key NOT IN ({standing})")
    return Unused({name: count for name, count in rows.items() if count}, gone, loose)


def _remove(connection: DuckDBPyConnection, unused: Unused, keep_runs: int, replies: bool) -> None:
    replaced = _replaced(connection, keep_runs)
    connection.execute("BEGIN TRANSACTION")
    for name in unused.tables:
        connection.execute(f"DROP TABLE {_at(name)}")
        graph, _, node = name.partition(".")
        for table in ("states", "stretches"):
            connection.execute(f"DELETE FROM {SCHEMA}.{table} WHERE graph = ? AND node = ?", [graph, node])
    for name in unused.rows:
        connection.execute(f"DELETE FROM {_at(name)} WHERE {replaced}")
    if replies and unused.replies:
        standing = _standing(_node_tables(connection), "true")
        connection.execute(
            f"UPDATE {SCHEMA}.calls SET request = '', reply = NULL, thoughts = NULL, key = uuid()"
            f" WHERE request <> '' AND key NOT IN ({standing})"
        )
    _forget_parts(connection, keep_runs)
    connection.execute("COMMIT")


def _forget_parts(connection: DuckDBPyConnection, keep_runs: int) -> None:
    """What nodes were like in runs of long ago: the last of each graph stays, for comparisons."""
    last = _last_kept(connection, keep_runs)
    connection.execute(
        f"DELETE FROM {SCHEMA}.snapshots s WHERE run < {last} AND run <"
        f" (SELECT max(run) FROM {SCHEMA}.snapshots o WHERE o.graph = s.graph)"
    )
    found = connection.execute(f"SELECT parts FROM {SCHEMA}.snapshots").fetchall()
    marks = sorted({mark for (parts,) in found for mark in json.loads(parts).values()})
    connection.execute(f"DELETE FROM {SCHEMA}.contents WHERE NOT list_contains(?, mark)", [marks])


def _copied(connection: DuckDBPyConnection, copy: Path) -> None:
    """All of the store in a file of its own, written to the disk."""
    _discard(copy)
    connection.execute(f"CHECKPOINT {CATALOG}")
    connection.execute(f"ATTACH {text(str(copy))} AS clean (TYPE duckdb, STORAGE_VERSION 'latest')")
    try:
        connection.execute(f"COPY FROM DATABASE {CATALOG} TO clean")
        connection.execute("CHECKPOINT clean")
    finally:
        connection.execute("DETACH clean")


def _discard(copy: Path) -> None:
    copy.unlink(missing_ok=True)
    log_of(copy).unlink(missing_ok=True)


def _put_in_place(copy: Path, path: Path) -> None:
    """The copy takes the store's name, unless somebody has opened the store in this moment."""
    with path.open("rb+") as held:
        try:
            fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _discard(copy)
            raise StoreBusy(
                f"another process has opened the store {path} meanwhile",
                "what nothing refers to is gone; clean it again when it is free, to get the room back",
            ) from None
        copy.replace(path)
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


# -- what there is --------------------------------------------------------------------------


def _node_tables(connection: DuckDBPyConnection) -> tuple[str, ...]:
    """Names of nodes' tables, `graph.node`: the only ones with a dot."""
    found = connection.execute(
        f"SELECT DISTINCT table_name FROM duckdb_columns() WHERE database_name = {text(CATALOG)}"
        " AND schema_name = 'data' AND contains(table_name, '.') ORDER BY table_name"
    ).fetchall()
    return tuple(name for (name,) in found)


def _gone(connection: DuckDBPyConnection) -> tuple[str, ...]:
    """Tables of nodes that their graph does not have any more."""
    described = connection.execute(f"SELECT graph, description FROM {SCHEMA}.graphs").fetchall()
    there = {
        table_name(graph, spec["node"])
        for graph, description in described
        for spec in json.loads(description)["tables"]
    }
    graphs = tuple(f"{graph}." for graph, _ in described)
    return tuple(name for name in _node_tables(connection) if name.startswith(graphs) and name not in there)


def _standing(names: tuple[str, ...] | list[str], which: str) -> str:
    """The keys of calls on which rows stand."""
    parts = [f"SELECT unnest(_calls) AS key FROM {_at(name)} WHERE {which}" for name in names]
    return " UNION ALL ".join(parts) or "SELECT NULL::UUID AS key WHERE false"


def _replaced(connection: DuckDBPyConnection, keep_runs: int) -> str:
    return f"_died IS NOT NULL AND _died < {_last_kept(connection, keep_runs)}"


def _last_kept(connection: DuckDBPyConnection, keep_runs: int) -> int:
    """The first of the runs that are kept: rows that it replaced are what `diff` compares it with."""
    rows = connection.execute(f"SELECT coalesce(max(run), 0) FROM {SCHEMA}.runs").fetchall()
    return int(rows[0][0]) - keep_runs + 1


def _count(connection: DuckDBPyConnection, rest: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {rest}").fetchall()[0][0])


def _at(name: str) -> str:
    return f"{SCHEMA}.{quote(name)}"
