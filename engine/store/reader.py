"""For whoever looks on: SQL over a store, whether or not an engine is writing to it.

A `Reader` asks the running engine where there is one and opens the file itself where there is none,
and holds the file no longer than a query takes, so that it never keeps a run from starting.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from engine.frozen import dataclass
from engine.store import wire
from engine.store.attach import attach, damage, detach
from engine.store.errors import QueryError, StoreBusy, StoreError, StoreMissing
from engine.store.query import reading
from engine.store.records import Description
from engine.store.schema import SCHEMA, quote, text
from engine.store.views import Gallery

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

HANDOVER = 10.0  # seconds to wait for an engine that starts or ends

Answer = tuple[list[str], list[str], Any]  # columns, DuckDB types, rows or an Arrow table


class Take(Protocol):
    """What is wanted of a query's relation."""

    def __call__(self, relation: DuckDBPyRelation, limit: int | None) -> Any: ...


@dataclass(frozen=True)
class Result:
    """A query's answer. `more` says that `limit` left rows out. `types` are DuckDB's."""

    columns: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]
    more: bool = False

    def dicts(self) -> list[dict[str, Any]]:
        """The rows by column; the second of one name is `name_2`, so that none is lost."""
        names: list[str] = []
        for column in self.columns:
            name, nth = column, 2
            while name in names:
                name, nth = f"{column}_{nth}", nth + 1
            names.append(name)
        return [dict(zip(names, row, strict=True)) for row in self.rows]


class Reader:
    """SQL over one store and the views of one graph (by default of the one that was run last)."""

    def __init__(self, path: Path, graph: str | None):
        self.path, self.graph = path, graph
        self._held: Gallery | None = None

    def sql(self, query: str, limit: int | None = None) -> Result:
        """One query that reads. Raises `QueryError`, or `StoreError` where the store cannot be read."""
        columns, types, rows = self._ask(query, None if limit is None else limit + 1, _rows)
        more = limit is not None and len(rows) > limit
        return Result(columns, types, rows[:limit] if more else rows, more)

    def arrow(self, query: str) -> pa.Table:
        """The same as an Arrow table; UUIDs are `arrow.uuid`."""
        return self._ask(query, None, _arrow)[2]

    @property
    def description(self) -> Description:
        """The graph whose views are shown. Raises `StoreError` where nothing has been run yet."""
        which = (
            f"WHERE g.graph = {text(self.graph)}"
            if self.graph is not None
            else "ORDER BY r.run DESC NULLS LAST, g.described DESC"
        )
        found = self.sql(
            f"SELECT g.graph, g.description FROM {SCHEMA}.graphs g LEFT JOIN {SCHEMA}.runs r USING (graph)"
            f" {which} LIMIT 1"
        )
        if not found.rows:
            raise StoreError(f"nothing has been run with the store {self.path} yet", "`atk exec GRAPH` does")
        name, content = found.rows[0]
        return Description.from_dict(name, json.loads(content))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the file open over a few quick queries, where no engine answers."""
        if self._held is not None or _connect(self.path, close=True) is not None:
            yield
            return
        try:
            connection = attach(self.path, "read", sandbox=True)
        except StoreBusy:  # an engine has just started: it will answer
            yield
            return
        self._held = Gallery(connection)
        try:
            yield
        finally:
            self._held = None
            detach(connection, self.path)

    def close(self) -> None:
        """Nothing is held between queries; here because what is opened is expected to be closed."""

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, query: str, limit: int | None, take: Take) -> Answer:
        if self._held is not None:
            return self._local(self._held, query, limit, take)
        deadline = time.monotonic() + HANDOVER
        while True:
            link = _connect(self.path)
            if link is not None:
                try:
                    with link:
                        return _remote(link, self.graph, query, limit, take)
                except wire.Gone:  # the engine ended while it answered
                    if time.monotonic() > deadline:
                        raise StoreBusy(f"the run that writes to {self.path} does not answer") from None
                    time.sleep(0.05)
                    continue
            try:
                connection = attach(self.path, "read", sandbox=True)
            except StoreBusy:  # it starts, or it ends
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
                continue
            try:
                return self._local(Gallery(connection), query, limit, take)
            finally:
                detach(connection, self.path)

    def _local(self, gallery: Gallery, query: str, limit: int | None, take: Take) -> Answer:
        import duckdb

        try:
            return _query(gallery, self.graph, query, limit, take)
        except (duckdb.Error, QueryError) as error:
            raise damage(error, self.path) or error from None


def open_reader(path: Path | str, graph: str | None = None) -> Reader:
    """A reader of a store. `graph` chooses whose tables are shown: by default those of the last run.

    Raises `StoreMissing` where there is no store, `StoreError` for a graph that it does not know.
    """
    path = Path(path)
    if not path.exists():
        raise StoreMissing(
            f"there is no store at {path}", "`atk exec GRAPH` makes one; --store names another"
        )
    reader = Reader(path, graph)
    reader.sql("SELECT 1")
    return reader


def connect(path: Path | str, graph: str | None = None) -> DuckDBPyConnection:
    """A read-only DuckDB connection whose tables are a graph's views, as for a notebook.

    While it is open nobody can write to the store. Raises `StoreMissing`, `StoreBusy` while a run
    is going on (`open_reader` works then), and `StoreError`.
    """
    path = Path(path)
    connection = attach(path, "read", sandbox=False)
    try:
        cursor = Gallery(connection).cursor(graph)
        current = cursor.execute("SELECT current_database()").fetchall()[0][0]
        cursor.close()
        connection.execute(f"USE {quote(current)}")
    except BaseException:
        detach(connection, path)
        raise
    return connection


def _rows(relation: DuckDBPyRelation, limit: int | None) -> list[tuple[Any, ...]]:
    return (relation if limit is None else relation.limit(limit)).fetchall()


def _arrow(relation: DuckDBPyRelation, limit: int | None) -> pa.Table:
    return relation.to_arrow_table()


def _query(gallery: Gallery, graph: str | None, query: str, limit: int | None, take: Take) -> Answer:
    cursor = gallery.cursor(graph, query)
    try:
        cursor.execute("SET SESSION arrow_lossless_conversion = true")
        with reading(cursor, query, partial(gallery.complete, graph)) as relation:
            return relation.columns, [str(kind) for kind in relation.types], take(relation, limit)
    finally:
        cursor.close()


def _connect(path: Path, close: bool = False) -> socket.socket | None:
    """A link to the engine that holds the store, None where none listens."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.connect(str(wire.socket_path(path)))
    except OSError:
        link.close()
        return None
    if close:
        link.close()
    return link


def _remote(link: socket.socket, graph: str | None, query: str, limit: int | None, take: Take) -> Answer:
    """The answer of a running engine. Raises `wire.Gone` where it ends before its answer does."""
    import duckdb

    from engine.store.arrow import pyarrow as pa

    request = {"sql": query, "graph": graph, "limit": limit}
    wire.send(link, wire.QUERY, json.dumps(request).encode())
    head: dict[str, Any] = {}
    data = bytearray()
    while True:
        letter, content = wire.receive(link)
        if letter == wire.HEAD:
            head = json.loads(content)
        elif letter == wire.DATA:
            data += content
        elif letter == wire.ERROR:
            problem = json.loads(content)
            raise QueryError(problem["message"], problem["help"])
        else:
            break
    table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    if take is _arrow:
        return head["columns"], head["types"], table
    # Through DuckDB, so that values are of the same Python types as from the file itself.
    with duckdb.connect() as local:
        names = [f"c{number}" for number in range(table.num_columns)]
        return head["columns"], head["types"], local.from_arrow(table.rename_columns(names)).fetchall()
