"""Queries that a person wrote: one at a time, reading only, and errors in plain words.

A read-only transaction is the guard; the kind of statement is looked at for the sake of a clear
message. Where the query runs (a socket, a file) is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engine.store.errors import QueryError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

READS = "SELECT, FROM, WITH, VALUES, PIVOT, DESCRIBE, SHOW, SUMMARIZE and EXPLAIN"


@contextmanager
def reading(cursor: DuckDBPyConnection, sql: str, complete: Callable[[], bool]) -> Iterator[DuckDBPyRelation]:
    """The relation of a query, for as long as its transaction is open.

    `complete` makes what views are not there yet and says whether there were any: before a name is
    called wrong. Raises `QueryError` for what is no single query, would write, or is wrong; also for
    what goes wrong while the caller reads the relation.
    """
    import duckdb

    began = False
    try:
        _check(cursor, sql)
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        began = True
        try:
            relation = cursor.sql(sql)
        except (duckdb.CatalogException, duckdb.BinderException):
            if not complete():
                raise
            _roll_back(cursor)
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            relation = cursor.sql(sql)
        if relation is None:
            raise QueryError("the query gives no table", f"these are answered: {READS}")
        yield relation
    except duckdb.Error as error:
        raise explain(cursor, error) from None
    finally:
        if began:
            _roll_back(cursor)


def _roll_back(cursor: DuckDBPyConnection) -> None:
    import duckdb

    try:
        cursor.execute("ROLLBACK")
    except duckdb.Error:
        return  # the transaction ended with its error


def _check(cursor: DuckDBPyConnection, sql: str) -> None:
    from duckdb import StatementType

    statements = cursor.extract_statements(sql)
    if not statements:
        raise QueryError("the query is empty")
    if len(statements) > 1:
        raise QueryError("one query at a time", "send each statement on its own")
    # PIVOT is several statements in one.
    if statements[0].type not in (StatementType.SELECT, StatementType.EXPLAIN, StatementType.MULTI):
        word = sql.split(maxsplit=1)[0].upper()
        raise QueryError(
            f"{word} is not answered: a store is read with SQL, not changed", f"these are: {READS}"
        )


def explain(cursor: DuckDBPyConnection, error: Exception) -> QueryError:
    """A DuckDB error as a person should read it."""
    message = str(error)
    missing = re.search(r"Table with name (\S+?) does not exist", message)
    if missing:
        tables = _tables(cursor)
        return QueryError(
            f"there is no table {missing[1]!r}", f"tables: {', '.join(tables)}" if tables else None
        )
    if "read-only mode" in message or "Cannot write" in message:
        return QueryError("a store is read with SQL, not changed", f"these are answered: {READS}")
    if "file system operations are disabled" in message or "disabled by configuration" in message:
        return QueryError(
            "a query reads the store's tables and nothing else of this machine",
            "a file comes into a graph through a `source`",
        )
    if "INTERRUPT" in message:
        return QueryError("the query was interrupted")
    message = re.sub(r"^(?:[A-Z][A-Za-z]+ ){1,3}Error: ", "", message)
    message = re.sub(r'"atk:[^"]*"\.', "", message)
    return QueryError(message.strip())


def _tables(cursor: DuckDBPyConnection) -> list[str]:
    import duckdb

    _roll_back(cursor)
    try:
        rows = cursor.execute(
            "SELECT schema_name, view_name FROM duckdb_views() WHERE database_name = current_database()"
            " AND NOT internal AND schema_name = 'main' ORDER BY ALL"
        ).fetchall()
    except duckdb.Error:
        return []
    return [view for _, view in rows]
