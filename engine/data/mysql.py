"""Rows of a MySQL or MariaDB server, as they come, in a transaction that only reads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from engine.data.databases import DatabaseProblem, Rows, once, table_of
from engine.data.servers import TIMEOUT, Server

if TYPE_CHECKING:
    from pymysql.connections import Connection
    from pymysql.cursors import SSCursor

OPTIONS = {"unix_socket", "ssl_ca", "ssl_cert", "ssl_key"}  # of an address, handed on
TWICE = 1060  # two columns of one name
REFUSED = (1044, 1045, 1698)  # the user, the password, or the plugin that would check it


def rows(server: Server, wanted: Rows) -> Iterator[dict[str, Any]]:
    """The rows of a table or of a query. Raises `DatabaseProblem`."""
    from pymysql.cursors import SSCursor
    from pymysql.err import Error

    try:
        with connected(server) as connection:
            with connection.cursor() as cursor:
                cursor.execute("START TRANSACTION READ ONLY")
                query = wanted.query
                if query is None:
                    query = f"SELECT * FROM {_table(connection, server, str(wanted.table))}"
                query = query.strip().removesuffix(";")
                _check(cursor, query, server)
            # Not closed: that would read what is left of a large table. The connection is.
            yield from _rows(connection.cursor(SSCursor), query, server)
    except Error as error:
        raise _failed(server, wanted, error) from None


@contextlib.contextmanager
def connected(server: Server) -> Iterator[Connection[Any]]:
    import pymysql

    parts = urlsplit(server.address)
    options = dict(parse_qsl(parts.query))
    database = unquote(parts.path.lstrip("/"))
    if not database:
        raise DatabaseProblem(f"{server.name} names no database", "mysql://user@host:3306/database")
    if unknown := sorted(options.keys() - OPTIONS):
        raise DatabaseProblem(
            f"an address of MySQL takes no `{unknown[0]}`", f"it takes {', '.join(sorted(OPTIONS))}"
        )
    try:
        connection: Connection[Any] = pymysql.connect(
            host=parts.hostname or "localhost",
            port=parts.port or 3306,
            user=unquote(parts.username) if parts.username else None,
            password=server.password or "",
            database=database,
            charset="utf8mb4",
            connect_timeout=TIMEOUT,
            **options,
        )
    except (pymysql.err.Error, OSError, RuntimeError, ValueError) as error:
        said = server.without_password(_said(error))
        refused = error.args[0] in REFUSED if error.args else False
        problem = "does not let us in" if refused else "cannot be reached"
        help = server.refused() if refused else "is the address right, and does the server run?"
        raise DatabaseProblem(f"{server.name} {problem}: {said}", help) from None
    with contextlib.closing(connection):
        yield connection


def _table(connection: Connection[Any], server: Server, table: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1"
        )
        there = [str(one) for (one,) in cursor.fetchall()]
    return _quoted(table_of(table, there, server.name))


def _check(cursor: Any, query: str, server: Server) -> None:
    """Whether it is a query: nothing else can stand in a `FROM`, and `INTO OUTFILE` neither."""
    if not query:
        raise DatabaseProblem(f"the query of {server.name} is empty", "it must be a SELECT")
    cursor.execute(f"SELECT * FROM (\n{query}\n) AS asked LIMIT 0")
    cursor.fetchall()


def _rows(cursor: SSCursor, query: str, server: Server) -> Iterator[dict[str, Any]]:
    from pymysql.constants import FIELD_TYPE

    cursor.execute(query)
    names = once([one[0] for one in cursor.description], server.name)
    bits = [name for name, one in zip(names, cursor.description, strict=True) if one[1] == FIELD_TYPE.BIT]
    while (values := cursor.fetchone()) is not None:
        row = dict(zip(names, values, strict=True))
        for name in bits:
            if row[name] is not None:
                row[name] = int.from_bytes(row[name])
        yield row


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _said(error: Exception) -> str:
    """The text of an error, which has a number before it."""
    return str(error.args[-1]) if error.args else type(error).__name__


def _failed(server: Server, wanted: Rows, error: Exception) -> DatabaseProblem:
    line = server.without_password(_said(error))
    if wanted.query is not None and error.args and error.args[0] == TWICE:
        line += "; name each column once: `AS`"
    if wanted.query is not None:
        return DatabaseProblem(f"the query of {server.name} fails: {line}", "mend `query`, one SELECT")
    return DatabaseProblem(
        f"`{wanted.table}` of {server.name} cannot be read: {line}", "may this user read it?"
    )
