"""What the engine reads of the tables of the graph at hand; `Store` is built on it.

Everything here blocks and sees what is committed: run it in a thread, after `flush` where it must
see what was just written. Nothing here writes.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from engine.store import stretches, views
from engine.store.columns import arrow_table, uuids
from engine.store.errors import StoreError
from engine.store.memo import past_rows
from engine.store.records import Description, PastRow, WideRow
from engine.store.schema import quote

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Reads:
    """Reading methods over one DuckDB instance; each thread gets a connection of its own."""

    def __init__(self, connection: DuckDBPyConnection):
        self._connection = connection
        self._gallery = views.Gallery(connection)
        self._local = threading.local()
        self._description: Description | None = None
        self._homes: dict[str, str] = {}  # node -> its physical table
        self._filled: set[str] = set()  # nodes whose tables held rows when they were described

    @property
    def description(self) -> Description:
        """The graph at hand. Raises `StoreError` before `describe`."""
        if self._description is None:
            raise StoreError("no graph has been described to the store")
        return self._description

    # -- for SQL of the caller's own -----------------------------------------------------------

    def cursor(self, query: str | None = None) -> DuckDBPyConnection:
        """A connection for one thread that sees the graph's views, or those that `query` names; the
        caller closes it."""
        return self._gallery.cursor(self._description.graph if self._description else None, query)

    def view(self, node: str, schema: str = "main") -> str:
        """A wide view of a node, qualified and quoted, for use in SQL on a `cursor`.

        `main` has its good rows; `rejected` and `failed` the others, with the reason.
        """
        spec = self.description.spec(node)
        return f"{quote(views.catalog(spec.graph))}.{schema}.{quote(spec.node)}"

    def listed(self, node: str, schema: str = "main") -> str:
        """The same in canonical order, as a subquery in parentheses."""
        status = "ok" if schema == "main" else schema
        return f"({views.wide(self.description, node, self.physical, status, ordered=True)})"

    def internal(self, node: str) -> str:
        """The view as a subquery in parentheses, with `_id` and `_rev` in front."""
        return f"({views.wide(self.description, node, self.physical, internal=True)})"

    def physical(self, node: str) -> str:
        """The narrow table that holds the rows which `node` shows, qualified and quoted."""
        return self._homes[self.description.real(node).node]

    # -- rows ------------------------------------------------------------------------------------

    def ordered(
        self, node: str, within: tuple[str, Sequence[bytes]] | None = None, *, batch: int = 1_000
    ) -> Iterator[list[WideRow]]:
        """Live, good rows as the node's table shows them, in canonical order, batch by batch.

        The order is that of the ids of the farthest ancestor, then of places down the lineage.
        `within` narrows to rows that descend from (or are) some rows of a node: its name, their ids.
        """
        return self._stream(node, "true", batch, within)

    def told(
        self, node: str, status: str
    ) -> Iterator[tuple[bytes, dict[str, Any], dict[str, bytes], str | None]]:
        """Id, columns, ids by node and reason of the live rows that became so, in canonical order."""
        if status == "ok":
            for batch in self.ordered(node):
                yield from ((row_id, columns, ids, None) for row_id, _, columns, ids in batch)
            return
        travelling = [name for name, _ in views.ids(self.description, node)]
        columns = list(self.description.real(node).visible)
        first = 2 + len(travelling)
        query = views.flowing(self.description, node, self.physical, "true", status)
        for row in self._fetch(query):
            named = zip(travelling, row[2:first], strict=True)
            shown = dict(zip(columns, row[first:-1], strict=True))
            yield row[0], shown, {name: found for name, found in named if found is not None}, row[-1]

    def pending(
        self, node: str, input_node: str, static: bytes, run: int, *, batch: int = 1_000
    ) -> Iterator[list[WideRow]]:
        """Rows of the input of which `node` has no outcome that stands, in canonical order.

        An outcome of another revision of the row, or of another static part, does not stand; one
        that is to be tried again stands for the run that made it.
        """
        return self._stream(input_node, views.undecided(self._homes[node], static, run), batch)

    def count_pending(self, node: str, input_node: str, static: bytes, run: int) -> int:
        """How many rows `pending` would give; 0.1 s for a million."""
        undecided = views.undecided(self._homes[node], static, run)
        rows = self._fetch(
            f"SELECT count(*) FROM {self.physical(input_node)} t"
            f" WHERE t._died IS NULL AND t._status = 'ok' AND {undecided}"
        )
        return int(rows[0][0])

    def outcomes(self, node: str, keys: Sequence[bytes]) -> Mapping[bytes, Sequence[PastRow]]:
        """What input rows of the same key came to, in any earlier run, alive or not.

        Where several had the key, one is chosen: a live one if there is, else the newest. Nothing
        is looked for in a table that was empty when it was described.
        """
        if not keys or node not in self._filled:
            return {}
        own = list(self.description.tables[node].own)
        return past_rows(self._reading(), self._homes[node], own, keys)

    # -- ids, revisions, numbers -------------------------------------------------------------------

    def revs(self, node: str) -> dict[bytes, bytes]:
        """Id and revision of all live rows, whatever became of them."""
        return dict(
            self._fetch(f"SELECT _id::BLOB, _rev::BLOB FROM {self.physical(node)} WHERE _died IS NULL")
        )

    def standing(self, node: str, ids: Sequence[bytes]) -> dict[bytes, tuple[bytes, int]]:
        """Revision and place of the live rows with these ids, whatever became of them."""
        cursor = self._reading()
        _register(cursor, "atk_ids", ids)
        try:
            found = cursor.execute(
                f"SELECT _id::BLOB, _rev::BLOB, _place FROM {self.physical(node)}"
                " WHERE _died IS NULL AND _id IN (SELECT id FROM atk_ids)"
            ).fetchall()
            return {row_id: (rev, place) for row_id, rev, place in found}
        finally:
            cursor.unregister("atk_ids")

    def stretches(self, node: str) -> dict[bytes, int]:
        """How many rows of a source each stretch of its files gave, by the stretch's mark."""
        return stretches.marks(self._reading(), self.description.graph, node)

    def loose(self, node: str, kept: Collection[bytes]) -> set[bytes]:
        """Ids of the live rows that stand in no stretch of `kept`."""
        return stretches.loose(self._reading(), self.physical(node), self.description.graph, node, kept)

    def live_ids(self, node: str) -> list[bytes]:
        """Ids of the live, good rows, sorted."""
        rows = self._fetch(
            f"SELECT _id::BLOB FROM {self.physical(node)} WHERE _died IS NULL AND _status = 'ok' ORDER BY _id"
        )
        return [row_id for (row_id,) in rows]

    def parents(self, node: str) -> dict[bytes, tuple[bytes | None, str]]:
        """For each live row its parent and what became of it."""
        rows = self._fetch(
            f"SELECT _id::BLOB, _parent::BLOB, _status FROM {self.physical(node)} WHERE _died IS NULL"
        )
        return {row_id: (parent, status) for row_id, parent, status in rows}

    def parent_revs(self, node: str, static: bytes) -> dict[bytes, bytes]:
        """For each parent of a live row that `static` made, the revision it was made of."""
        return dict(
            self._fetch(
                f"SELECT _parent::BLOB, any_value(_parent_rev)::BLOB FROM {self.physical(node)}"
                f" WHERE _died IS NULL AND _parent IS NOT NULL AND _static = '{UUID(bytes=static)}'"
                " GROUP BY _parent"
            )
        )

    def members(self, node: str, by: str) -> dict[bytes, list[bytes]]:
        """Revisions of the live, good rows of `node`, by the id of their ancestor `by`."""
        column = dict(views.ids(self.description, node))[by]
        return dict(
            self._fetch(
                f"SELECT {column}::BLOB, list(t._rev ORDER BY t._id)::BLOB[] FROM {self.physical(node)} t"
                f" WHERE t._died IS NULL AND t._status = 'ok' AND {column} IS NOT NULL GROUP BY {column}"
            )
        )

    def counts(self, node: str) -> dict[str, int]:
        """How many live rows there are of each status, of `all`, and how many there `ever` were."""
        passed = self.description.spec(node).passes is not None
        found = {"all": 0, "ever": 0}
        for status, live, ever in self._fetch(
            "SELECT _status, count(*) FILTER (WHERE _died IS NULL), count(*)"
            f" FROM {self.physical(node)} GROUP BY _status"
        ):
            if status == "ok" or not passed:  # what an input rejected is told there
                found[status] = live
                found["all"] += live
                found["ever"] += ever
        return found

    # -- inside ------------------------------------------------------------------------------------

    def _stream(
        self, node: str, condition: str, batch: int, within: tuple[str, Sequence[bytes]] | None = None
    ) -> Iterator[list[WideRow]]:
        description = self.description
        travelling = views.ids(description, node)
        names = [name for name, _ in travelling]
        columns = list(description.real(node).visible)
        first = 2 + len(names)
        cursor = self._gallery.bare()
        try:
            if within is not None:
                _register(cursor, "atk_ids", within[1])
                condition += f" AND {dict(travelling)[within[0]]} IN (SELECT id FROM atk_ids)"
            cursor.execute(views.flowing(description, node, self.physical, condition))
            while found := cursor.fetchmany(batch):
                yield [
                    (
                        row[0],
                        row[1],
                        dict(zip(columns, row[first:], strict=True)),
                        {k: v for k, v in zip(names, row[2:first], strict=True) if v is not None},
                    )
                    for row in found
                ]
        finally:
            cursor.close()

    def _fetch(self, query: str) -> list[tuple[Any, ...]]:
        return self._reading().execute(query).fetchall()

    def _reading(self) -> DuckDBPyConnection:
        """This thread's own connection."""
        cursor: DuckDBPyConnection | None = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._local.cursor = self._gallery.bare()
        return cursor

    def _any(self, table: str) -> bool:
        cursor = self._connection.cursor()
        try:
            return bool(cursor.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchall())
        finally:
            cursor.close()


def _register(cursor: DuckDBPyConnection, name: str, ids: Sequence[bytes]) -> None:
    cursor.register(name, arrow_table({"id": uuids(list(ids))}))
