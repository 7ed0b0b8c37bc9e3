"""Gates over rows, evaluated by DuckDB in small batches as rows come.

Every expression of the language is DuckDB's SQL, so DuckDB decides it: there is no second
meaning in Python, but for a column that is true or false by itself. One query a batch, in a thread,
on a connection that holds nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.language.program import Clause, Node

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

Rows = Sequence[Mapping[str, Any]]


class Expressions:
    """Evaluates DuckDB expressions over rows that Python holds.

    Used from one thread at a time; one made `beside` another is for another thread. Values are
    columns of the given DuckDB types.
    """

    def __init__(self, beside: Expressions | None = None) -> None:
        import duckdb

        self.connection: duckdb.DuckDBPyConnection
        if beside is not None:  # an instance takes 30 ms to make, another connection to it none
            self.connection = beside.connection.cursor()
        else:
            self.connection = duckdb.connect()
            self.connection.execute("SET threads = 1; SET enable_external_access = false")
        self.arrow_types: dict[str, pa.DataType] = {}

    def arrow_type(self, duckdb_type: str) -> pa.DataType:
        """The Arrow type that DuckDB reads as `duckdb_type`."""
        known = self.arrow_types.get(duckdb_type)
        if known is None:
            table = self.connection.sql(f"SELECT NULL::{duckdb_type} AS it").to_arrow_table()
            known = self.arrow_types[duckdb_type] = table.schema.field(0).type
        return known

    def type_of(self, expression: str, types: Mapping[str, str]) -> str:
        """The DuckDB type of an expression over columns of these types."""
        columns = ", ".join(f'NULL::{kind} AS "{name}"' for name, kind in types.items()) or "NULL"
        return str(
            self.connection.execute(
                f"DESCRIBE SELECT ({expression}) AS it FROM (SELECT {columns})"
            ).fetchall()[0][1]
        )

    def evaluate(
        self, expressions: Sequence[str], rows: Rows, types: Mapping[str, str]
    ) -> list[tuple[Any, ...]]:
        """The value of each expression for each row. Raises `duckdb.Error`."""
        from engine.store.arrow import pyarrow as pa

        arrays = [
            pa.array([row.get(name) for row in rows], type=self.arrow_type(kind), from_pandas=False)
            for name, kind in types.items()
        ]
        arrays.append(pa.array(range(len(rows)), type=pa.int64()))
        table = pa.Table.from_arrays(arrays, names=[*types, "__at"])
        self.connection.register("__rows", table)
        try:
            wanted = ", ".join(f"({expression})" for expression in expressions)
            found = self.connection.execute(f"SELECT {wanted} FROM __rows ORDER BY __at").fetchall()
        finally:
            self.connection.unregister("__rows")
        return found


def in_scope(
    node: Node, source: Node, expressions: Expressions | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """Columns of a row-wise node's input with its `let`s, and the same under what it adds."""
    before = {name: column.type for name, column in source.columns.items()}
    lets = node.of("let")
    if lets:
        expressions = expressions or Expressions()
        for clause in lets:
            before[str(clause.name)] = expressions.type_of(clause.sql, before)
    return before, {**before, **node.own}


class Gates:
    """Batches what many rows ask at once: one query for all that came while the last one ran."""

    def __init__(self) -> None:
        self.expressions: Expressions | None = None
        self.waiting: dict[
            tuple[tuple[str, ...], tuple[tuple[str, str], ...]], list[tuple[Rows, asyncio.Future[Any]]]
        ] = {}
        self.busy = False

    async def values(
        self, expressions: Sequence[str], rows: Rows, types: Mapping[str, str]
    ) -> list[tuple[Any, ...]]:
        """The value of each expression for each row; where one cannot be worked out, the `Exception`."""
        if not rows or not expressions:
            return [() for _ in rows]
        flags = [_flag(expression, types) for expression in expressions]
        if None not in flags:
            return [tuple(row.get(str(name)) for name in flags) for row in rows]
        key = (tuple(expressions), tuple(types.items()))
        future: asyncio.Future[list[tuple[Any, ...]]] = asyncio.get_running_loop().create_future()
        self.waiting.setdefault(key, []).append((rows, future))
        if not self.busy:
            self.busy = True
            self.task = asyncio.get_running_loop().create_task(self.work())
        return await future

    async def work(self) -> None:
        """One thread at a time, until nobody waits."""
        try:
            while self.waiting:
                key = next(iter(self.waiting))
                asked = self.waiting.pop(key)
                together = [row for rows, _ in asked for row in rows]
                try:
                    found = await asyncio.to_thread(self.run, key[0], together, dict(key[1]))
                except BaseException as error:
                    for _, future in asked:
                        if not future.done():
                            future.set_exception(error)
                    continue
                at = 0
                for rows, future in asked:
                    if not future.done():
                        future.set_result(found[at : at + len(rows)])
                    at += len(rows)
        finally:
            self.busy = False

    def run(self, expressions: Sequence[str], rows: Rows, types: Mapping[str, str]) -> list[tuple[Any, ...]]:
        """In a thread. A batch that fails is tried row by row, so that one bad value spoils one row."""
        import duckdb

        if self.expressions is None:
            self.expressions = Expressions()
        try:
            return self.expressions.evaluate(expressions, rows, types)
        except (duckdb.Error, ArithmeticError, ValueError, TypeError) as error:
            if len(rows) == 1:
                return [tuple(error for _ in expressions)]
            return [self.run(expressions, [row], types)[0] for row in rows]


def _flag(expression: str, types: Mapping[str, str]) -> str | None:
    """The column, where an expression is nothing but one of true and false: `keep ok` needs no query."""
    name = expression[1:-1] if expression.startswith('"') else expression
    return name if types.get(name) == "BOOLEAN" else None


async def held(
    gates: Gates, clauses: Sequence[Clause], rows: Rows, types: Mapping[str, str]
) -> list[list[str | None]]:
    """For each row, for each clause: None where it holds, else the text to say.

    An unknown (NULL) does not hold, as in SQL's WHERE.
    """
    needed = {
        name: types[name]
        for name in sorted({name for clause in clauses for name in clause.reads})
        if name in types
    }
    found = await gates.values([clause.sql for clause in clauses], rows, needed)
    return [[_said(clause, value) for clause, value in zip(clauses, row, strict=True)] for row in found]


def _said(clause: Clause, value: Any) -> str | None:
    if value is True:
        return None
    if isinstance(value, Exception):
        return not_worked_out(clause, value)
    return clause.otherwise or does_not_hold(clause)


def does_not_hold(clause: Clause) -> str:
    """What is said of a clause that is false or unknown, where its author says nothing."""
    return f"`{clause.text}` does not hold"


def not_worked_out(clause: Clause, error: Exception) -> str:
    """What is said of a clause that DuckDB gives up on, over some row."""
    told = {"let": f"let {clause.name}", "where": f"where {clause.text}"}.get(clause.word, clause.text)
    return f"`{told}` cannot be worked out: {str(error).splitlines()[0]}"
