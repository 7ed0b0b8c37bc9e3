"""A bench for single kinds: nodes, rows and a context made by hand, no store and no runtime."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import networkx as nx

from engine.kinds import registry
from engine.kinds.base import Kind, Known, Made, Outcome, Row
from engine.language.diagnostics import Span
from engine.language.kind import Problem, Shape
from engine.language.program import Clause, Column, ModelSpec, Node, Program
from engine.language.types import STR, Field, Many, Optional, Record, Type

DOCUMENT = Record((Field("path", STR), Field("title", Optional(STR)), Field("text", STR)), "Document")
QA = Record((Field("question", STR), Field("answer", STR)), "QA")


def rows_of(type_: Record) -> Many:
    """`T[]`."""
    return Many(type_)


def row_id(*parts: object) -> bytes:
    """An id as the engine would make one: 16 bytes that depend on the parts."""
    return hashlib.sha256(repr(parts).encode()).digest()[:16]


def row(table: str, number: object, ids: Mapping[str, bytes] | None = None, **columns: Any) -> Row:
    """A row of a table, its own id among the ids."""
    key = row_id(table, number)
    return Row(
        key, row_id(table, number, sorted(columns.items(), key=str)), columns, {**(ids or {}), table: key}
    )


@dataclass
class Bench:
    """A context for one node, and the node in a program."""

    node: Node
    program: Program
    root: Path
    out: Path
    seed: int = 0
    tables: dict[str, list[Row]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    written: dict[Path, int] = field(default_factory=dict)
    answers: Callable[[str, Mapping[str, Any] | None], Any] | None = None
    values: Callable[[Clause, Row], Any] | None = None

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Any:
        assert self.answers is not None
        return self.answers(sql, parameters)

    def rows(self, name: str) -> Iterable[Row]:
        return iter(self.tables[name])

    def counts(self, name: str) -> Mapping[str, int]:
        return {"ok": len(self.tables.get(name, []))}

    def wrote(self, path: Path, rows: int) -> None:
        self.written[path] = rows

    def say(self, text: str) -> None:
        self.notes.append(text)

    async def evaluate(self, clauses: Sequence[Clause], row: Row) -> list[Any]:
        assert self.values is not None
        return [self.values(clause, row) for clause in clauses]

    # -- what the engine would do with the kind --------------------------------------------

    @property
    def kind(self) -> Any:
        return registry()[self.node.kind].working(self.node)

    def decide(self, row: Row) -> Outcome:
        """One row through a row-wise kind."""
        kind = self.kind
        return kind.work_now(row, self) if kind.blocking else asyncio.run(kind.work(row, self))

    def table(self, *inputs: Sequence[Row]) -> list[Made]:
        """A whole table's rows."""
        return list(self.kind.work(self, [lambda rows=rows: iter(rows) for rows in inputs]))

    def read(self) -> list[Made]:
        """A source's rows."""
        return list(self.kind.read(self, Known()))

    def emit(self, rows: Sequence[Row]) -> list[Made]:
        """Sides for the rows, then the files."""
        made = self.table(rows)
        name = self.node.name
        self.tables[name] = [
            Row(
                row_id(name, one.parent.id), one.parent.rev, {**one.parent.columns, **one.own}, one.parent.ids
            )
            for one in made
            if one.parent is not None and one.fate == "ok"
        ]
        self.kind.finish(self)
        return made


def clause(sql: str, reads: Iterable[str] = (), word: str = "where") -> Clause:
    """An expression over a row."""
    return Clause(word, None, sql, frozenset(reads), None, sql, False, Span("graph.atk", 1, 1))


def shape(
    settings: Any,
    *inputs: Mapping[str, str],
    name: str = "node",
    result: Type | None = None,
    names: Sequence[str] = (),
    ancestors: Mapping[str, Mapping[str, str]] | None = None,
    folder: Path | None = None,
    query: Mapping[str, str] | None = None,
) -> Shape:
    """A node's surroundings."""
    called = names or [f"input{number}" for number, _ in enumerate(inputs)]
    return Shape(name, inputs, called, result, settings, {}, query, ancestors or {}, {}, folder)


def bench(
    kind: str,
    root: Path,
    settings: Mapping[str, Any],
    *,
    name: str = "node",
    inputs: Mapping[str, Mapping[str, str]] | None = None,
    result: Type | None = None,
    above: Mapping[str, Mapping[str, str]] | None = None,
    kinds: Mapping[str, str] | None = None,
    expressions: Mapping[str, Clause] | None = None,
    query: Mapping[str, str] | None = None,
    values: Mapping[str, Any] | None = None,
    models: Mapping[str, ModelSpec] | None = None,
    doc: str | None = None,
) -> Bench:
    """A node of a kind over input tables (name -> columns), checked as the language would.

    `above` are further ancestors, nearest first; `kinds` the kinds of other nodes. Raises `Problem`.
    """
    spec: Kind = registry()[kind]
    inputs, above, kinds = inputs or {}, above or {}, kinds or {}
    filled = spec.settings(**settings)
    ancestors = (*inputs, *above)
    own = spec.own(
        shape(
            filled,
            *inputs.values(),
            name=name,
            result=result,
            names=list(inputs),
            ancestors={**inputs, **above},
            folder=root,
            query=query,
        )
    )
    below = next(iter(inputs.values()), {}) if spec.keeping(filled) else {}
    owner = next(iter(inputs), name)
    columns = {each: Column(type_, owner) for each, type_ in below.items()} | {
        each: Column(type_, name) for each, type_ in own.items()
    }
    span = Span(str(root / "graph.atk"), 1, 1)

    def node(called: str, sort: str, **more: Any) -> Node:
        given: dict[str, Any] = {
            "inputs": (),
            "result": None,
            "settings": registry()["source"].settings(path="x"),
            "clauses": (),
            "sections": {},
            "template": None,
            "expressions": {},
            "own": {},
            "columns": {},
            "ancestors": (),
            "tables": {},
            "values": {},
            "doc": None,
            "span": span,
            "folder": root,
        } | more
        return Node(name=called, kind=sort, **given)

    program = Program("graph", root / "graph.atk", "", None, models=dict(models or {}))
    for other in reversed(ancestors):
        program.nodes[other] = node(other, kinds.get(other, "prompt"))
        program.dag.add_node(other)
    made = node(
        name,
        kind,
        inputs=tuple(inputs),
        result=result,
        settings=filled,
        own=own,
        columns=columns,
        ancestors=ancestors,
        values=values or {},
        doc=doc,
        expressions=expressions or {},
        tables={each: each for each in ancestors},
    )
    program.nodes[name] = made
    nx.add_path(program.dag, [*reversed(ancestors), name])
    return Bench(made, program, root, root)


__all__ = ["DOCUMENT", "QA", "Bench", "Problem", "bench", "clause", "row", "row_id", "rows_of", "shape"]
