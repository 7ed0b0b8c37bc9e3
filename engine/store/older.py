"""A store of an older version, as it is shown to those who only read.

They may not change the file. So a catalog in memory stands in its place: tables like the file's, but
empty, go the same steps that a run would take with the file, and what the file holds is then shown
through views, with nothing in the columns that are new. That is all there is to it as long as the
steps add tables and columns; one that changes what is in a row must be told here too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.store.schema import CATALOG, SCHEMA, migrate, quote, text

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FILE = "store file"
"""The catalog of the file itself. No graph's views have one of such a name."""

PLACE = "rowid"
"""The place of a row in its table, by which some queries go: a view has it only as a column."""

Columns = dict[str, tuple[str, str]]  # name -> type, and what stands in it where nothing is said


def show(connection: DuckDBPyConnection, found: int) -> None:
    """Let the file attached as `FILE`, of version `found`, be seen as one of today's."""
    connection.execute(f"ATTACH ':memory:' AS {CATALOG}")
    connection.execute(f"CREATE SCHEMA {SCHEMA}")
    there = _tables(connection, FILE)
    general = [name for name in there if "." not in name]
    for name in general:
        connection.execute(f"CREATE TABLE {_now(name)} AS FROM {_then(name)} LIMIT 0")
    migrate(connection, found)
    made = _tables(connection, CATALOG)
    for name in general:
        connection.execute(f"DROP TABLE {_now(name)}")
    for name in there:
        columns = made.get(name, there[name])  # no step concerns the tables of nodes
        shown = [
            quote(column) if column in there[name] else f"({default})::{kind} AS {quote(column)}"
            for column, (kind, default) in columns.items()
        ]
        connection.execute(
            f"CREATE VIEW {_now(name)} AS SELECT {PLACE}, {', '.join(shown)} FROM {_then(name)}"
        )


def _tables(connection: DuckDBPyConnection, catalog: str) -> dict[str, Columns]:
    found: dict[str, Columns] = {}
    for table, column, kind, default in connection.execute(
        "SELECT table_name, column_name, data_type, coalesce(column_default, 'NULL') FROM duckdb_columns()"
        f" WHERE database_name = {text(catalog)} AND schema_name = 'data' ORDER BY table_name, column_index"
    ).fetchall():
        found.setdefault(table, {})[column] = kind, default
    return found


def _then(table: str) -> str:
    return f"{quote(FILE)}.data.{quote(table)}"


def _now(table: str) -> str:
    return f"{SCHEMA}.{quote(table)}"
