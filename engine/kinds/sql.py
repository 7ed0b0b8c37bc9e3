"""`sql`: a query over tables of the graph.

The query is DuckDB's, whole; which tables it may name and what stands behind them is the
engine's affair. Here its result becomes rows with steady identities.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, cast

from pydantic import Field

from engine.kinds.base import Context, KindError, Made, Row, Settings, TableKind
from engine.language.kind import Role, Shape
from engine.language.program import Node

NAMED = re.compile(r"\$([A-Za-z_]\w*)")
BATCH = 1_024


class SqlSettings(Settings):
    """Settings of `sql`."""

    query: Annotated[str, Role.QUERY] = Field(
        description="A DuckDB query over tables of the graph; `$name` stands for a param."
    )


class Sql(TableKind):
    """A query's result; see the module's docstring."""

    name = "sql"
    settings = SqlSettings
    inputs = (0, None)
    keeps = False

    def own(self, shape: Shape) -> Mapping[str, str]:
        """What the query gives."""
        return dict(shape.query or {})

    def static(self, node: Node) -> dict[str, Any]:
        """The query, and the params that it names."""
        query = cast(SqlSettings, node.settings).query
        return super().static(node) | {"values": parameters(query, node.values)}

    def most(self, node: Node) -> int | None:
        """What stands behind the query's LIMIT."""
        from engine.language.binding import Binder

        query = cast(SqlSettings, node.settings).query
        return Binder().most_rows(query, node.values) if "limit" in query.casefold() else None

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """The rows of the result, in its order.

        A row is what its ancestors' ids say, where it carries them and no other row carries the
        same; otherwise its content tells it apart. So a query without `ORDER BY` gives the same
        rows whatever order they come in.
        """
        node = context.node
        query = cast(SqlSettings, node.settings).query
        try:
            table = context.query(query, parameters(query, node.values))
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("duckdb", "_duckdb"):
                raise
            help = "the query ran into this on the real rows"
            if type(error).__name__ == "ConversionException":
                help += "; TRY_CAST gives null where a value does not fit"
            raise KindError(f"`{node.name}`: {_first_line(error)}", help) from error
        ids = ((name, node.id_of(name)) for name in node.ancestors)
        lineage = {name: column for name, column in ids if column in table.column_names}
        carried = (
            Counter(
                tuple(row.values())
                for batch in table.select(list(lineage.values())).to_batches(BATCH)
                for row in batch.to_pylist()
            )
            if lineage
            else Counter[tuple[Any, ...]]()
        )
        return _rows(table, node, lineage, carried)


def _rows(
    table: Any, node: Node, lineage: Mapping[str, str], carried: Counter[tuple[Any, ...]]
) -> Iterator[Made]:
    seen: Counter[str] = Counter()
    for batch in table.to_batches(BATCH):
        for row in batch.to_pylist():
            own = {name: row[name] for name in node.own}
            ids = {
                name: raw for name, column in lineage.items() if (raw := id_bytes(row[column])) is not None
            }
            key = tuple(row[column] for column in lineage.values())
            identity = " ".join(ids[name].hex() if name in ids else "-" for name in lineage)
            if not lineage or carried[key] > 1:
                identity += " " + content(own)
                seen[identity] += 1
                identity += f" {seen[identity]}" if seen[identity] > 1 else ""
            yield Made(own, identity=identity, ids=ids)


def parameters(query: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The params that a query names as `$name`."""
    return {name: values[name] for name in dict.fromkeys(NAMED.findall(query)) if name in values}


def id_bytes(value: Any) -> bytes | None:
    """An id as 16 bytes, however a table or a person's code holds it. None if it is no id."""
    import uuid

    if isinstance(value, bytes) and len(value) == 16:
        return value
    if isinstance(value, uuid.UUID):
        return value.bytes
    try:
        return uuid.UUID(value).bytes if isinstance(value, str) else None
    except ValueError:
        return None


def content(own: Mapping[str, Any]) -> str:
    """A digest of a row's columns."""
    import hashlib

    import orjson

    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    return hashlib.blake2b(orjson.dumps(dict(own), option=options, default=str), digest_size=16).hexdigest()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
