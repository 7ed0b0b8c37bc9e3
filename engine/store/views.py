"""The wide tables that a person and the engine see, as SQL over the narrow ones.

A narrow table holds its ids and its own columns; a view joins the rest from the tables that own
them. Views live in an in-memory catalog for each graph, made afresh whenever a store is opened, so
that the file holds no view that could be out of date. This module builds SQL; it writes no row.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from engine.store.errors import StoreError
from engine.store.records import (
    RESERVED_SCHEMAS,
    RESERVED_TABLES,
    Description,
    TableSpec,
    id_column,
)
from engine.store.schema import CALL_COLUMNS, METRIC_COLUMNS, SCHEMA, quote, table_name

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

Locate = Callable[[str], str]  # a node's name -> its physical table, qualified and quoted

Place = tuple[str, str]  # schema and name of a view

RUN_COLUMNS = ("run", "graph", "command", "status", "started", "ended", "calls", "cost", "params", "atk")

GENERAL = {
    "calls": f"SELECT {', '.join(map(quote, CALL_COLUMNS))} FROM {SCHEMA}.calls",
    "metrics": f"SELECT {', '.join(map(quote, METRIC_COLUMNS))} FROM {SCHEMA}.metrics",
    "runs": f"SELECT {', '.join(RUN_COLUMNS)} FROM {SCHEMA}.runs ORDER BY run",
}
"""Views that do not depend on a graph."""

LOOKS_AT_THE_CATALOG = re.compile(
    r"\b(?:(?:show|describe|pragma|information_schema)\b|(?:duckdb|pg|sqlite|pragma|json_execute|json_serialize)_|u&)"
    r"|\bquery(?:_table)?\"?\s*(?:\(|/\*|--)|(?:\A|[(;/\n)]|\bexplain|\banalyze)\s*desc\b"
)
"""In a query in small letters: what lists tables, or takes the name of one from an expression."""

STORED = re.compile(rf'{re.escape(SCHEMA)}\."(?:[^"]|"")*"')
"""A table of the file itself, as the queries of the commands name it."""


def catalog(graph: str | None) -> str:
    """The in-memory catalog of a graph's views. No node or call can bear such a name."""
    return f"atk:{graph or ''}"


def ids(description: Description, node: str) -> list[tuple[str, str]]:
    """Ids that travel with the rows of `node`, its own first: (node, expression over its real table).

    A skipped node's rows are its input's, so they also bear that input's name; and where a skipped
    node is an ancestor, its ids are those of the node that it passes on.
    """
    spec = description.spec(node)
    if spec.passes is not None:
        return [(spec.node, "t._id"), *ids(description, spec.passes)]
    found = [(spec.node, "t._id")]
    for ancestor in spec.ancestors:
        real = description.real(ancestor).node
        found.append((ancestor, f"t.{quote(id_column(real if real in spec.ancestors else ancestor))}"))
    return found


def _line(description: Description, spec: TableSpec) -> list[str]:
    """The ancestors that have tables, the farthest first."""
    return [name for name in reversed(spec.ancestors) if description.spec(name).passes is None]


def _placed(description: Description, spec: TableSpec) -> list[str]:
    """Those whose places make the order, the farthest first: all but a source, which only its ids order."""
    line = _line(description, spec)
    return line[1:] if line and description.spec(line[0]).kind == "source" else line


def _joins(description: Description, spec: TableSpec, ordered: bool) -> dict[str, str]:
    """Alias of each table that must be joined, by node: owners of columns, and places for an order."""
    owners = [description.real(owner).node for _, owner in spec.visible.values()]
    if ordered:
        owners += _placed(description, spec)
    wanted = dict.fromkeys(owner for owner in owners if owner != spec.node)
    return {owner: f"o{number}" for number, owner in enumerate(wanted)}


def _from(spec: TableSpec, joins: dict[str, str], locate: Locate) -> str:
    lines = [f"FROM {locate(spec.node)} t"]
    for owner, alias in joins.items():
        lines.append(
            f"LEFT JOIN {locate(owner)} {alias}"
            f" ON {alias}._id = t.{quote(id_column(owner))} AND {alias}._died IS NULL"
        )
    return "\n".join(lines)


def _columns(description: Description, spec: TableSpec, joins: dict[str, str]) -> Iterator[tuple[str, str]]:
    for column, (_, owner) in spec.visible.items():
        real = description.real(owner).node
        alias = "t" if real == spec.node else joins[real]
        yield column, f"{alias}.{quote(column)}"


def wide(
    description: Description,
    node: str,
    locate: Locate,
    status: str = "ok",
    internal: bool = False,
    ordered: bool = False,
) -> str:
    """The SELECT behind `main.node` (`ok`), `rejected.node` or `failed.node`.

    With `internal` it begins with `_id` and `_rev`; `ordered` says the order of `flowing`.
    """
    real = description.real(node)
    joins = _joins(description, real, ordered)
    shown = ["t._id", "t._rev"] if internal else []
    shown += [f"{source} AS {quote(id_column(name))}" for name, source in ids(description, node)]
    shown += [f"{source} AS {quote(name)}" for name, source in _columns(description, real, joins)]
    if status != "ok":
        shown.append("t._reason AS reason")
    # A skipped node rejects nothing: what its input rejected is told there.
    nothing = " AND false" if status != "ok" and description.spec(node).passes is not None else ""
    return (
        f"SELECT {', '.join(shown)}\n{_from(real, joins, locate)}\n"
        f"WHERE t._died IS NULL AND t._status = '{status}'{nothing}"
        f"{_order(description, real, joins) if ordered else ''}"
    )


def _order(description: Description, real: TableSpec, joins: dict[str, str]) -> str:
    """The order of documents is that of their ids, which no document's coming or going changes."""
    line, placed = _line(description, real), _placed(description, real)
    order = [f"t.{quote(id_column(name))}" for name in line if name not in placed]
    order += [f"{joins[name]}._place" for name in placed]
    return f"\nORDER BY {', '.join([*order, 't._place', 't._id'])}"


def standing(description: Description, node: str, status: str = "ok") -> str:
    """`FROM … WHERE …` over the narrow table of the rows that a view shows, `_id` among its columns.

    To count them, and to choose some before the view joins what they are shown with.
    """
    real = description.real(node)
    nothing = " AND false" if status != "ok" and description.spec(node).passes is not None else ""
    table = f"{SCHEMA}.{quote(table_name(real.graph, real.node))}"
    return f"FROM {table} WHERE _died IS NULL AND _status = '{status}'{nothing}"


def flowing(description: Description, node: str, locate: Locate, condition: str, status: str = "ok") -> str:
    """Live rows with all that the engine needs, in the order of the documents.

    Columns: `_id` and `_rev` as blobs, the ids of `ids(description, node)` as blobs, then the
    visible columns, then the reason where `status` is not "ok". The order is that of the farthest
    ancestor's ids, then of places down the lineage, so it does not depend on which row was done first.
    `condition` is over `t`, the node's own table.
    """
    real = description.real(node)
    joins = _joins(description, real, ordered=True)
    shown = ["t._id::BLOB", "t._rev::BLOB"]
    shown += [f"{source}::BLOB" for _, source in ids(description, node)]
    shown += [source for _, source in _columns(description, real, joins)]
    shown += ["t._reason"] if status != "ok" else []
    return (
        f"SELECT {', '.join(shown)}\n{_from(real, joins, locate)}\n"
        f"WHERE t._died IS NULL AND t._status = '{status}' AND {condition}"
        f"{_order(description, real, joins)}"
    )


def undecided(table: str, static: bytes, run: int) -> str:
    """The condition on a row of the input `t` that `table` has no outcome of it that stands.

    One stands that was made of this revision by this static part; one that is to be tried again
    stands for the run that made it.
    """
    return (
        f"NOT EXISTS (SELECT 1 FROM {table} n WHERE n._died IS NULL AND n._parent = t._id"
        f" AND n._parent_rev = t._rev AND n._static = '{UUID(bytes=static)}'"
        f" AND (NOT n._retry OR n._born = {run:d}))"
    )


def places(description: Description | None, locate: Locate) -> dict[Place, Callable[[], str]]:
    """Every view of a graph (or only those that every graph has), and what gives its SELECT."""
    found: dict[Place, Callable[[], str]] = {}
    if description is not None:
        names = {name: name for name in description.tables} | dict(description.aliases)
        for name, node in names.items():
            if name in RESERVED_TABLES:
                continue
            shown = [("main", name), ("rejected", name), ("failed", name)]
            schema, dot, inner = name.rpartition(".")
            if dot and schema not in RESERVED_SCHEMAS:
                shown.append((schema, inner))
            for place in shown:
                status = place[0] if place[0] in ("rejected", "failed") else "ok"
                found[place] = partial(wide, description, node, locate, status)
    for view, select in GENERAL.items():
        found["main", view] = partial(str, select)
    return found


def named(query: str, views: Iterable[Place]) -> set[Place]:
    """Those of the views that a query may read: all where it may look at what views there are.

    By its text alone. DuckDB tells the tables of a plain SELECT, but not those of DESCRIBE or
    SUMMARIZE; and a name that merely occurs costs no more than a view too many.
    """
    lowered = STORED.sub("", query.lower())
    if LOOKS_AT_THE_CATALOG.search(lowered):
        return set(views)
    return {place for place in views if place[1].lower() in lowered}


def make(
    connection: DuckDBPyConnection, name: str, views: Mapping[Place, str], gone: Iterable[Place]
) -> None:
    """Make views in a catalog, and drop others that are `gone`: all or nothing."""
    connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {quote(name)}")
    connection.execute("BEGIN TRANSACTION")
    try:
        for schema, view in gone:
            connection.execute(f"DROP VIEW IF EXISTS {quote(name)}.{quote(schema)}.{quote(view)}")
        for schema in dict.fromkeys(schema for schema, _ in views):
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quote(name)}.{quote(schema)}")
        for (schema, view), select in views.items():
            connection.execute(
                f"CREATE OR REPLACE VIEW {quote(name)}.{quote(schema)}.{quote(view)} AS {select}"
            )
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def latest(connection: DuckDBPyConnection) -> str | None:
    """The graph of the last run; None where there is none yet."""
    rows = connection.execute(
        f"SELECT g.graph FROM {SCHEMA}.graphs g LEFT JOIN {SCHEMA}.runs r USING (graph)"
        " ORDER BY r.run DESC NULLS LAST, g.described DESC LIMIT 1"
    ).fetchall()
    return rows[0][0] if rows else None


def load(connection: DuckDBPyConnection, graph: str) -> Description:
    """The description of a graph. Raises `StoreError` for one that the store does not know."""
    named = f"SELECT description FROM {SCHEMA}.graphs WHERE graph = ?"
    rows = connection.execute(named, [graph]).fetchall()
    if rows:
        return Description.from_dict(graph, json.loads(rows[0][0]))
    known = [
        name for (name,) in connection.execute(f"SELECT graph FROM {SCHEMA}.graphs ORDER BY 1").fetchall()
    ]
    raise StoreError(
        f"the store knows no graph {graph!r}",
        f"it knows {', '.join(known)}" if known else "no graph has been run with it yet",
    )


class Catalog:
    """The views of one graph: how each is made, and which are. Views are made when a query may read them."""

    def __init__(self, description: Description | None, locate: Locate, before: Collection[Place] = ()):
        self.name = catalog(description.graph if description else None)
        self.places = places(description, locate)
        self.made: set[Place] | None = None  # None: there is not even the catalog
        self.before = set(before)  # made of an earlier description: whoever reads them meanwhile may go on

    def make(self, connection: DuckDBPyConnection, wanted: Collection[Place]) -> bool:
        """See to it that these views are there; whether some were not."""
        missing = ({*wanted} | self.before & self.places.keys()) - (self.made or set())
        if self.made is None or missing:
            ordered = {place: select() for place, select in self.places.items() if place in missing}
            make(connection, self.name, ordered, self.before - self.places.keys())
            self.made, self.before = (self.made or set()) | missing, set()
        return bool(missing)


class Gallery:
    """Catalogs of views, which are made when first asked for; safe to use from many threads.

    `graphs` of a file that only we write change through `refresh` alone.
    """

    def __init__(self, connection: DuckDBPyConnection):
        self._connection = connection
        self._lock = threading.Lock()
        self._catalogs: dict[str | None, Catalog] = {}
        self._cursors: weakref.WeakSet[DuckDBPyConnection] = weakref.WeakSet()

    def bare(self) -> DuckDBPyConnection:
        """A connection of the caller's own that sees no views."""
        cursor = self._connection.cursor()
        with self._lock:
            self._cursors.add(cursor)
        return cursor

    def interrupt(self) -> None:
        """Stop what runs on any connection given out."""
        with self._lock:
            for cursor in self._cursors:
                with contextlib.suppress(Exception):  # one that is closed
                    cursor.interrupt()

    def cursor(self, graph: str | None, query: str | None = None) -> DuckDBPyConnection:
        """A connection of the caller's own that sees the graph's views; those that `query` may read,
        where it is given. Raises `StoreError`."""
        cursor = self.bare()
        try:
            with self._lock:
                shown = self._catalog(cursor, graph)
                shown.make(cursor, shown.places if query is None else named(query, shown.places))
            cursor.execute(f"USE {quote(shown.name)}")
        except BaseException:
            cursor.close()
            raise
        return cursor

    def complete(self, graph: str | None) -> bool:
        """Make the views of a graph that nobody has asked for yet; whether there were any."""
        cursor = self.bare()
        try:
            with self._lock:
                shown = self._catalog(cursor, graph)
                return shown.make(cursor, shown.places)
        finally:
            cursor.close()

    def _catalog(self, cursor: DuckDBPyConnection, graph: str | None) -> Catalog:
        # Which graph was run last can change while we look, a graph's views cannot.
        name = latest(cursor) if graph is None else graph
        if name not in self._catalogs:
            found = load(cursor, name) if name is not None else None
            self._catalogs[name] = Catalog(found, physical(name or ""))
        return self._catalogs[name]

    def refresh(self, description: Description, locate: Locate) -> None:
        """Have a graph's views made anew before anyone looks; most runs ask nothing of them."""
        with self._lock:
            old = self._catalogs.get(description.graph)
            before = (old.made or set()) | old.before if old else ()
            self._catalogs[description.graph] = Catalog(description, locate, before)


def physical(graph: str) -> Locate:
    """Where the tables of a graph are in the file."""
    return lambda node: f"{SCHEMA}.{quote(table_name(graph, node))}"
