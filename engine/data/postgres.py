"""Rows of a Postgres server, by its own protocol: in batches, in one transaction that only reads.

Types that have no equal here come as text, as Postgres itself writes them, lists and records as JSON.
"""

from __future__ import annotations

import contextlib
import decimal
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from engine.data.databases import BATCH, DatabaseProblem, Rows, once, quoted, table_of
from engine.data.servers import TIMEOUT, Server

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Connection, Cursor

AT_ONCE = 1 << 20  # bytes of a batch
PLAIN = frozenset("bool int2 int4 int8 float8 text varchar bpchar name bytea".split())
NUMBERS = frozenset(("numeric", "float4"))  # as text they lose nothing
TEXTS = frozenset(("json", "jsonb", "xml"))
_REFUSED = ("password", "role", "authentication", "pg_hba.conf")


def rows(server: Server, wanted: Rows) -> Iterator[dict[str, Any]]:
    """The rows of a table or of a query. Raises `DatabaseProblem`."""
    from adbc_driver_manager import Error
    from pyarrow import ArrowException

    try:
        with connected(server) as connection, connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute("SET LOCAL TIME ZONE 'UTC'")
            query = wanted.query
            if query is None:
                query = f"SELECT * FROM {_table(connection, server, str(wanted.table))}"
            query = query.strip().removesuffix(";")
            if not query:
                raise DatabaseProblem(f"the query of {server.name} is empty", "it must be a SELECT")
            types = {field.name: _type(field) for field in _schema(cursor, query, server)}
            yield from _batches(cursor, query, types)
    except (Error, ArrowException) as error:  # the latter while rows come
        raise _failed(server, wanted, str(error)) from None


@contextlib.contextmanager
def connected(server: Server) -> Iterator[Connection]:
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi

    try:
        connection = dbapi.connect(_address(server), autocommit=False)
    except Error as error:
        said = server.without_password(str(error).partition("Failed to connect: ")[2] or str(error))
        refused = any(word in said for word in _REFUSED)
        help = server.refused() if refused else "is the address right, and does the server run?"
        problem = "does not let us in" if refused else "cannot be reached"
        raise DatabaseProblem(f"{server.name} {problem}: {said}", help) from None
    with connection:
        yield connection


def _address(server: Server) -> str:
    """The address with the password, for libpq alone; without one it looks where it is used to."""
    parts = urlsplit(server.address)
    options = {"connect_timeout": str(TIMEOUT), "application_name": "atk"} | dict(parse_qsl(parts.query))
    if server.secret is not None and server.password is not None:
        options["password"] = server.password
    return parts._replace(query=urlencode(options, quote_via=quote)).geturl()


def _table(connection: Connection, server: Server, table: str) -> str:
    """A table, a view or what else can be read as one, by its name, as it is quoted."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nspname::text, relname::text, pg_table_is_visible(pg_class.oid) FROM pg_class "
            "JOIN pg_namespace ON pg_namespace.oid = relnamespace WHERE relkind IN ('r', 'v', 'm', 'p', 'f') "
            "AND nspname <> 'information_schema' AND nspname !~ '^pg_' ORDER BY 1, 2"
        )
        listed = cursor.fetchall()
    there = {(one if seen else f"{schema}.{one}"): (schema, one) for schema, one, seen in listed}
    full = {f"{schema}.{one}": (schema, one) for schema, one, _ in listed}
    named = full.get(table) or there[table_of(table, list(there), server.name)]
    return ".".join(map(quoted, named))


def _schema(cursor: Cursor, query: str, server: Server) -> pa.Schema:
    """What the query gives. It is only prepared; a second statement is refused by that."""
    schema = cursor.adbc_execute_schema(query)
    if not len(schema):
        raise DatabaseProblem(f"the query of {server.name} gives no rows", "it must be a SELECT")
    once(schema.names, server.name)
    return schema


def _type(field: pa.Field) -> str:
    return str((field.metadata or {}).get(b"POSTGRESQL:type", b""), "utf-8")


def _batches(cursor: Cursor, query: str, types: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    from adbc_driver_postgresql import StatementOptions

    wanted = ", ".join(f"{_as_read(quoted(name), type_)} AS {quoted(name)}" for name, type_ in types.items())
    cursor.adbc_statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(AT_ONCE)})
    cursor.execute(f"SELECT {wanted} FROM (\n{query}\n) AS asked")
    numbers = [name for name, type_ in types.items() if type_ in NUMBERS]
    for batch in cursor.fetch_record_batch():
        for start in range(0, len(batch), BATCH):
            for row in batch.slice(start, BATCH).to_pylist():
                for name in numbers:
                    if row[name] is not None:
                        row[name] = decimal.Decimal(row[name])
                yield row


def _as_read(column: str, type_: str) -> str:
    if type_ in PLAIN:
        return column
    if type_ in NUMBERS or type_ in TEXTS:
        return f"{column}::text"
    # Of a date or an address it is the text, of an array or a record the JSON.
    return f"to_jsonb({column}) #>> '{{}}'"


def _failed(server: Server, wanted: Rows, said: str) -> DatabaseProblem:
    _, told, rest = said.partition("ERROR: ")
    line = server.without_password(rest if told else said)
    if wanted.query is not None:
        return DatabaseProblem(f"the query of {server.name} fails: {line}", "mend `query`")
    return DatabaseProblem(
        f"`{wanted.table}` of {server.name} cannot be read: {line}", "may this user read it?"
    )
