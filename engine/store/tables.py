"""The narrow table of a node: its columns, whether it still fits, and rows on their way into it.

Rows travel as Arrow tables, which DuckDB takes in ten times faster than parameters. Who writes
them, when, and in which transaction is `writer`'s affair.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from engine.store.columns import (
    PLAIN,
    arrow_table,
    booleans,
    integers,
    long_integers,
    plain,
    texts,
    uuid_lists,
    uuids,
)
from engine.store.errors import StoreError
from engine.store.older import PLACE
from engine.store.records import RESERVED_SCHEMAS, RESERVED_TABLES, Description, Stored, TableSpec, id_column
from engine.store.schema import CATALOG, quote, table_name, text

if TYPE_CHECKING:
    import pyarrow as pa
    from arro3.core import Table
    from duckdb import DuckDBPyConnection

K = TypeVar("K")

FIXED = {
    "_id": "UUID",
    "_rev": "UUID",
    "_parent": "UUID",
    "_parent_rev": "UUID",
    "_place": "BIGINT",
    "_key": "UUID",
    "_status": "VARCHAR",
    "_reason": "VARCHAR",
    "_retry": "BOOLEAN",
    "_asked": "INTEGER",
    "_calls": "UUID[]",
    "_static": "UUID",
    "_born": "INTEGER",
    "_died": "INTEGER",
}
_COMPRESSED = {"VARCHAR", "JSON"}


def columns(spec: TableSpec) -> dict[str, str]:
    """All columns of the narrow table, name -> DuckDB type as declared."""
    ids = {id_column(ancestor): "UUID" for ancestor in spec.ancestors}
    return FIXED | ids | dict(spec.own)


def check_names(description: Description) -> None:
    """Raises `StoreError` where two names would be one in SQL, or one is the store's own."""
    names = [*description.tables, *description.aliases]
    seen: dict[str, str] = {}
    for name in names:
        schema, _, _ = name.lower().rpartition(".")
        if name.lower() in RESERVED_TABLES or schema in RESERVED_SCHEMAS:
            raise StoreError(f"{name!r} cannot be a table's name: the store has that name itself")
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise StoreError(f"{other!r} and {name!r} are one name in SQL", "rename one of them")
    for spec in description.tables.values():
        taken = {id_column(name).lower() for name in (spec.node, *spec.ancestors)}
        for column in spec.visible:
            if column.lower() in taken or column.lower() in FIXED:
                raise StoreError(
                    f"column {column!r} of {spec.node!r} has the name of an id", "rename the column"
                )


_spelled: dict[str, str] = {}  # a type as declared -> as DuckDB writes it
_arrow: dict[str, pa.DataType] = {}  # a type as DuckDB writes it -> what Arrow calls it


def canonical(connection: DuckDBPyConnection, types: Mapping[K, str]) -> dict[K, str]:
    """The types as DuckDB writes them. Raises `StoreError` for one that it does not know."""
    import duckdb

    new = [kind for kind in dict.fromkeys(types.values()) if kind not in _spelled]
    if new:
        try:
            found = connection.sql(f"SELECT {', '.join(f'NULL::{kind}' for kind in new)}").types
        except duckdb.Error as error:
            message = str(error).splitlines()[0]
            raise StoreError(f"a column's type is not one of DuckDB's: {message}") from None
        _spelled.update(zip(new, map(str, found), strict=True))
    return {name: _spelled[kind] for name, kind in types.items()}


def arrow_types(connection: DuckDBPyConnection, types: Mapping[str, str]) -> dict[str, pa.DataType]:
    """The types, as DuckDB writes them, as it hands them to Arrow."""
    new = [kind for kind in dict.fromkeys(types.values()) if kind not in _arrow]
    if new:
        nulls = ", ".join(f"NULL::{kind} AS c{place}" for place, kind in enumerate(new))
        schema = connection.sql(f"SELECT {nulls} LIMIT 0").to_arrow_table().schema
        _arrow.update(zip(new, schema.types, strict=True))
    return {name: _arrow[kind] for name, kind in types.items()}


def existing(connection: DuckDBPyConnection, database: str, graph: str) -> dict[str, dict[str, str]]:
    """Node tables of a graph in `database`, each with its columns and their types."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in connection.execute(
        "SELECT table_name, column_name, data_type FROM duckdb_columns()"
        f" WHERE database_name = {text(database)} AND schema_name = 'data'"
        f" AND starts_with(table_name, {text(table_name(graph, ''))}) AND column_name <> {text(PLACE)}"
        " ORDER BY table_name, column_index"
    ).fetchall():
        found.setdefault(table, {})[column] = kind
    return found


def without_unfit(
    connection: DuckDBPyConnection, description: Description, left: Collection[str], read: Collection[str]
) -> Description:
    """The description without the tables of `left` whose columns differ, nor what is shown by them.

    Raises `StoreError` where one of these is to be `read`.
    """
    specs = [spec for name, spec in description.tables.items() if name in left and spec.passes is None]
    if not specs:
        return description
    exact = canonical(
        connection, {(spec.node, name): kind for spec in specs for name, kind in columns(spec).items()}
    )
    found = existing(connection, CATALOG, description.graph)
    unfit: set[str] = set()
    for spec in specs:
        there = found.get(table_name(description.graph, spec.node))
        if there is not None and there != {name: exact[spec.node, name] for name in columns(spec)}:
            unfit.add(spec.node)
    for name in read:
        if name in unfit:
            raise StoreError(
                f"`{name}` is read by what is selected, and its columns are not those of its last run",
                f"select it too: -s {name}, or + before what reads it",
            )
    tables = dict(description.tables)
    while gone := {name for name, spec in tables.items() if name in left and _shown_by(spec) & unfit}:
        unfit |= gone
        tables = {name: spec for name, spec in tables.items() if name not in unfit}
    tables = {name: spec for name, spec in tables.items() if name not in unfit}
    aliases = {alias: name for alias, name in description.aliases.items() if name in tables}
    return Description(description.graph, tables, aliases)


def _shown_by(spec: TableSpec) -> set[str]:
    """The nodes without whose tables this one's view cannot be made."""
    owners = {owner for _, owner in spec.visible.values()} - {spec.node}
    return {*owners, *spec.ancestors, *([spec.passes] if spec.passes else [])}


def create(connection: DuckDBPyConnection, database: str, spec: TableSpec) -> None:
    """Make the node's table anew and empty; what an earlier one held is gone (`calls` keeps the replies)."""
    lines = []
    declared = columns(spec)
    for (name, kind), exact in zip(declared.items(), canonical(connection, declared).values(), strict=True):
        packed = " USING COMPRESSION zstd" if exact in _COMPRESSED and name != "_status" else ""
        lines.append(f"{quote(name)} {kind}{packed}")
    table = f"{quote(database)}.data.{quote(table_name(spec.graph, spec.node))}"
    connection.execute(f"CREATE OR REPLACE TABLE {table} ({', '.join(lines)})")


class Shape:
    """How rows of one node become an Arrow table."""

    def __init__(self, connection: DuckDBPyConnection, table: str, spec: TableSpec):
        self.spec = spec
        self.types = canonical(connection, spec.own)
        nested = {name: kind for name, kind in self.types.items() if kind not in PLAIN}
        self.arrow = arrow_types(connection, nested)

    def table(self, rows: Sequence[Stored], run: int) -> Table:
        """The rows as Arrow. Raises `StoreError` naming the column whose value does not fit."""
        arrays = {
            "_id": uuids([row.id for row in rows]),
            "_rev": uuids([row.rev for row in rows]),
            "_parent": uuids([row.parent for row in rows]),
            "_parent_rev": uuids([row.parent_rev for row in rows]),
            "_place": long_integers([row.place for row in rows]),
            "_key": uuids([row.key for row in rows]),
            "_status": texts([row.status for row in rows]),
            "_reason": texts([row.reason for row in rows]),
            "_retry": booleans([row.retry for row in rows]),
            "_asked": integers([row.asked for row in rows]),
            "_calls": uuid_lists([row.calls for row in rows]),
            "_static": uuids([row.static for row in rows]),
            "_born": integers([run] * len(rows)),
        }
        for ancestor in self.spec.ancestors:
            arrays[id_column(ancestor)] = uuids([row.ids.get(ancestor) for row in rows])
        for name in self.spec.own:
            arrays[name] = self._array(name, [row.own.get(name) for row in rows])
        return arrow_table(arrays)

    def _array(self, name: str, values: list[Any]) -> Any:
        made = plain(self.types[name], values)
        if made is not None:
            return made
        from engine.store.arrow import pyarrow as pa

        kind = self._arrow_type(name)
        if pa.types.is_map(kind):
            values = [list(value.items()) if isinstance(value, Mapping) else value for value in values]
        try:
            return pa.array(values, kind)
        except (pa.ArrowException, OverflowError, ValueError, TypeError):
            try:
                return pa.array(_plain(values), kind)
            except (pa.ArrowException, OverflowError, ValueError, TypeError) as error:
                raise self._misfit(name, values, kind, error) from None

    def _arrow_type(self, name: str) -> pa.DataType:
        """pyarrow's type of a column; of a plain one only where a value of it needs a closer look."""
        from engine.store.arrow import pyarrow as pa

        plainly = {
            "VARCHAR": pa.string(),
            "BIGINT": pa.int64(),
            "DOUBLE": pa.float64(),
            "BOOLEAN": pa.bool_(),
        }
        return self.arrow.get(name) or plainly[self.types[name]]

    def _misfit(self, name: str, values: list[Any], kind: pa.DataType, error: Exception) -> StoreError:
        from engine.store.arrow import pyarrow as pa

        culprit: Any = None
        for value in values:
            try:
                pa.array(_plain([value]), kind)
            except (pa.ArrowException, OverflowError, ValueError, TypeError):
                culprit = value
                break
        shown = repr(culprit)
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        return StoreError(
            f"{self.spec.node}: {shown} does not fit column {name!r} ({self.types[name]})",
            None if culprit is not None else str(error),
        )


def _plain(value: Any) -> Any:
    """The value in terms of what Arrow takes: no lone surrogates (UTF-8 cannot hold them), no UUIDs."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, UUID | PurePath):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return value
