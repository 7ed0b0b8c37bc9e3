"""The physical tables of a store file, and how an older file becomes a newer one.

Tables live in `store.data`. Tables of nodes have a dot in their names and are made by `tables`;
here are only the few that every store has. A migration is never edited once it has been released.
Who only reads sees an older file through `older`, which takes it that migrations add and change no row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.store.errors import StoreError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CATALOG = "store"
SCHEMA = f"{CATALOG}.data"

CALL_COLUMNS = {
    "run": "INTEGER",
    "graph": "VARCHAR",
    "node": "VARCHAR",
    "row": "UUID",
    "role": "VARCHAR",
    "attempt": "INTEGER",
    "sample": "INTEGER",
    "model": "VARCHAR",
    "endpoint": "VARCHAR",
    "request": "VARCHAR USING COMPRESSION zstd",
    "reply": "VARCHAR USING COMPRESSION zstd",
    "thoughts": "VARCHAR USING COMPRESSION zstd",
    "finish": "VARCHAR",
    "status": "VARCHAR",
    "error": "VARCHAR USING COMPRESSION zstd",
    "fault": "VARCHAR",
    "tokens_in": "INTEGER",
    "tokens_out": "INTEGER",
    "tokens_cached": "INTEGER",
    "tokens_thought": "INTEGER",
    "cost": "DOUBLE",
    "cost_reported": "DOUBLE",  # by the endpoint, where it does
    "ms": "DOUBLE",
    "http_attempts": "INTEGER",
    "called_at": "TIMESTAMP",
    "key": "UUID",
}

LATER = frozenset({"cost_reported"})
"""Columns of `calls` that the first version did not have."""

METRIC_COLUMNS = {
    "run": "INTEGER",
    "graph": "VARCHAR",
    "node": "VARCHAR",
    "job": "VARCHAR",  # a training: it may go on over several runs
    "step": "BIGINT",
    "epoch": "DOUBLE",
    "loss": "DOUBLE",
    "eval_loss": "DOUBLE",
    "learning_rate": "DOUBLE",
    "grad_norm": "DOUBLE",
    "seconds": "DOUBLE",  # since the trainer began to train
    "more": "JSON",  # whatever else it said
    "measured_at": "TIMESTAMP",
}


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def table_name(graph: str, node: str) -> str:
    """The name of a node's table in schema `data`: it has a dot, as no general table does."""
    return f"{graph}.{node}"


def _first(connection: DuckDBPyConnection) -> None:
    calls = ", ".join(f"{quote(name)} {kind}" for name, kind in CALL_COLUMNS.items() if name not in LATER)
    # No primary key and no index: joins gain nothing by one, inserts lose three times.
    connection.execute(f"CREATE TABLE {SCHEMA}.calls ({calls})")
    connection.execute(
        f"CREATE TABLE {SCHEMA}.runs (run INTEGER, graph VARCHAR, command VARCHAR, started TIMESTAMP,"
        " ended TIMESTAMP, status VARCHAR, params JSON, calls BIGINT, cost DOUBLE, summary JSON,"
        " atk VARCHAR)"
    )
    connection.execute(
        f"CREATE TABLE {SCHEMA}.graphs (graph VARCHAR, description VARCHAR USING COMPRESSION zstd,"
        " described TIMESTAMP)"
    )
    connection.execute(
        f"CREATE TABLE {SCHEMA}.states (graph VARCHAR, node VARCHAR, static UUID, complete BOOLEAN,"
        " complete_run INTEGER, changed_run INTEGER, info VARCHAR USING COMPRESSION zstd)"
    )


def _snapshots(connection: DuckDBPyConnection) -> None:
    """What each run left of each node's own part, and what is behind its fingerprints."""
    connection.execute(
        f"CREATE TABLE {SCHEMA}.snapshots (run INTEGER, graph VARCHAR, node VARCHAR,"
        " parts VARCHAR USING COMPRESSION zstd)"
    )
    connection.execute(
        f"CREATE TABLE {SCHEMA}.contents (mark VARCHAR, content VARCHAR USING COMPRESSION zstd)"
    )


def _metrics(connection: DuckDBPyConnection) -> None:
    """What trainings measured, step by step."""
    columns = ", ".join(f"{quote(name)} {kind}" for name, kind in METRIC_COLUMNS.items())
    connection.execute(f"CREATE TABLE {SCHEMA}.metrics ({columns})")


def _stretches(connection: DuckDBPyConnection) -> None:
    """Where the rows of sources were read, see `stretches`."""
    connection.execute(
        f"CREATE TABLE {SCHEMA}.stretches (graph VARCHAR, node VARCHAR, mark UUID, ids UUID[])"
    )


def _reported(connection: DuckDBPyConnection) -> None:
    """What endpoints say that calls cost, beside what they cost by the price that a graph states."""
    connection.execute(f"ALTER TABLE {SCHEMA}.calls ADD COLUMN cost_reported DOUBLE")


MIGRATIONS: list[Callable[[DuckDBPyConnection], None]] = [
    *(_first, _snapshots, _metrics, _stretches),
    _reported,
]


def version(connection: DuckDBPyConnection) -> int:
    """The schema version of the attached file; 0 for an empty one.

    Raises `StoreError` where the file is somebody else's database.
    """
    import duckdb

    try:
        row = connection.execute(f"SELECT max(version) FROM {SCHEMA}.versions").fetchone()
        return int(row[0]) if row and row[0] is not None else 0
    except duckdb.CatalogException:
        tables = connection.execute(
            f"SELECT count(*) FROM duckdb_tables() WHERE database_name = {text(CATALOG)}"
        ).fetchall()
        if tables[0][0]:
            raise StoreError("it is a DuckDB database, but not one that atk made") from None
        return 0


def migrate(connection: DuckDBPyConnection, found: int) -> bool:
    """Bring the attached file from version `found` to the newest, all or nothing; whether it was older."""
    if found == len(MIGRATIONS):
        return False
    connection.execute("BEGIN TRANSACTION")
    try:
        if found == 0:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            connection.execute(f"CREATE TABLE {SCHEMA}.versions (version INTEGER, migrated TIMESTAMP)")
        for number, step in enumerate(MIGRATIONS[found:], found + 1):
            step(connection)
            connection.execute(f"INSERT INTO {SCHEMA}.versions VALUES (?, now()::TIMESTAMP)", [number])
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    return True


def check_version(found: int, can_migrate: bool) -> None:
    """Raises `StoreError` where the file is newer than this program, or empty and may not be changed."""
    known = len(MIGRATIONS)
    if found > known:
        raise StoreError(
            f"it was written by a newer atk (its version is {found}, this one knows {known})",
            "update atk, or use another store with --store",
        )
    if found == 0 and not can_migrate:
        raise StoreError("whoever made it died before anything was in it", "`atk exec` makes it anew")
