"""Rows of a database: a table, or what a query gives. SQLite and DuckDB files are opened to be read only.

SQLite files are read by Python's own module, so that nothing need be fetched for it; a query is then
SQLite's SQL. What a server keeps `servers` reads. Rows come as they are asked for.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from engine.frozen import dataclass

if TYPE_CHECKING:
    import sqlite3

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from engine.data.servers import Server

BATCH = 1_024  # rows in memory at once
SHOWN = 12  # tables named in a message
MEMORY = "1GB"  # what a query may take before it spills
DUCKDB = b"DUCK"  # from the ninth byte on
ENDINGS = (".sqlite", ".sqlite3", ".db", ".duckdb", ".ddb")

_guard = threading.Lock()
_reading: Counter[tuple[int, int]] = Counter()  # databases that are being read here


@dataclass(frozen=True)
class Rows:
    """Which rows of a database: those of a table, or of a query."""

    table: str | None
    query: str | None
    server: Server | None = None  # that keeps it; None for a file


class DatabaseProblem(Exception):
    """A database whose rows cannot be read: the message says why, `help` what to do."""

    def __init__(self, message: str, help: str):
        super().__init__(message)
        self.message, self.help = message, help


def rows(path: Path, name: str, wanted: Rows) -> Iterator[dict[str, Any]]:
    """The rows, in the order of the table or of the query. Raises `DatabaseProblem` and `OSError`."""
    if wanted.server is not None:
        yield from wanted.server.rows(wanted)
        return
    with _open_once(path, name):
        with path.open("rb") as opened:
            head = opened.read(16)
        if head.startswith(b"SQLite format 3\0"):
            yield from _sqlite(path, name, wanted)
        elif head[8:12] == DUCKDB:
            yield from _duckdb(path, name, wanted)
        else:
            raise DatabaseProblem(
                f"{name} is no database that can be read",
                "`table` and `query` are for SQLite and DuckDB files",
            )


@contextlib.contextmanager
def _open_once(path: Path, name: str) -> Iterator[None]:
    """Leave alone what this process holds open otherwise, as the store of the run.

    Locks belong to a process: closing any handle of the file would take the store's from it.
    """
    status = path.stat()
    key = status.st_dev, status.st_ino
    with _guard:
        if not _reading[key] and _held(status):
            raise DatabaseProblem(f"{name} is in use by this run itself", "read a copy of it")
        _reading[key] += 1
    try:
        yield
    finally:
        with _guard:
            _reading[key] -= 1


def _held(status: os.stat_result) -> bool:
    """Whether a file of DuckDB is open in this process; what it is is read by the handle that there is."""
    for handle in Path("/dev/fd").iterdir():
        number = int(handle.name)
        with contextlib.suppress(OSError):  # the one that listed them
            if os.path.samestat(os.fstat(number), status):
                return os.pread(number, 16, 0)[8:12] == DUCKDB
    return False


def beside(path: Path) -> list[Path]:
    """Files in which a database keeps what is not yet in its own."""
    return [path.with_name(f"{path.name}{ending}") for ending in ("-wal", ".wal")]


# -- SQLite -------------------------------------------------------------------------------


def _sqlite(path: Path, name: str, wanted: Rows) -> Iterator[dict[str, Any]]:
    import sqlite3

    try:
        # The rows of one reading may be asked for by several threads, one after the other.
        connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False)
        with contextlib.closing(connection):
            connection.text_factory = lambda text: text.decode("utf-8", "replace")
            query = wanted.query
            if query is None:
                query = f"SELECT * FROM {_sqlite_table(connection, name, str(wanted.table))}"
            cursor = connection.execute(query)
            if cursor.description is None:
                raise DatabaseProblem(f"the query of {name} gives no rows", "it must be a SELECT")
            names = once([column[0] for column in cursor.description], name)
            while batch := cursor.fetchmany(BATCH):
                yield from (dict(zip(names, row, strict=True)) for row in batch)
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise _failed(name, wanted, str(error)) from error


def _sqlite_table(connection: sqlite3.Connection, name: str, table: str) -> str:
    listed = connection.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
    )
    there = [one for (one,) in listed if not one.startswith("sqlite_")]
    return quoted(table_of(table, there, name))


# -- DuckDB -------------------------------------------------------------------------------


def _duckdb(path: Path, name: str, wanted: Rows) -> Iterator[dict[str, Any]]:
    import duckdb

    # A query reads this file and no other.
    settings: dict[str, Any] = {"enable_external_access": "false", "memory_limit": MEMORY, "threads": "2"}
    try:
        with duckdb.connect(path, read_only=True, config=settings) as connection:
            query = wanted.query
            if query is None:
                query = f"FROM {_duckdb_table(connection, name, str(wanted.table))}"
            statements = duckdb.extract_statements(query)
            if [one.type for one in statements] != [duckdb.StatementType.SELECT]:
                raise DatabaseProblem(f"the query of {name} gives no rows", "it must be one SELECT")
            found = connection.sql(query)
            # Before the reader is made: with two columns of one name it never comes back.
            once(found.columns, name)
            reader: pa.RecordBatchReader = found.to_arrow_reader(BATCH)
            for batch in reader:
                yield from batch.to_pylist()
    except duckdb.Error as error:
        raise _failed(name, wanted, str(error)) from error


def _duckdb_table(connection: DuckDBPyConnection, name: str, table: str) -> str:
    listed = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal UNION ALL "
        "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
    ).fetchall()
    there = {one if schema == "main" else f"{schema}.{one}": (schema, one) for schema, one in listed}
    return ".".join(map(quoted, there[table_of(table.removeprefix("main."), list(there), name)]))


# -- both ---------------------------------------------------------------------------------


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def table_of(table: str, there: Sequence[str], name: str) -> str:
    """A table by its name, whatever its case. Raises `DatabaseProblem` that lists those that there are."""
    found = next((one for one in there if one == table), None) or next(
        (one for one in there if one.casefold() == table.casefold()), None
    )
    if found is not None:
        return found
    shown = ", ".join(f"`{one}`" for one in there[:SHOWN])
    more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
    raise DatabaseProblem(
        f"{name} has no table `{table}`",
        f"it has {shown}{more}" if there else "there is no table in it",
    )


def once(names: Sequence[str], name: str) -> list[str]:
    twice = next((one for one in names if list(names).count(one) > 1), None)
    if twice is not None:
        raise DatabaseProblem(f"the query of {name} gives `{twice}` twice", "name each column once: `AS`")
    return list(names)


def _failed(name: str, wanted: Rows, said: str) -> DatabaseProblem:
    first = next((line.strip() for line in said.splitlines() if line.strip()), "it cannot be read")
    if "lock" in said.casefold() or "already open" in said or "different configuration" in said:
        return DatabaseProblem(f"{name} is in use: {first}", "close what has it open, or read a copy")
    if wanted.query is not None:
        return DatabaseProblem(f"the query of {name} fails: {first}", "mend `query`")
    return DatabaseProblem(f"{name} cannot be read: {first}", "is it whole? Its own program can check it")
