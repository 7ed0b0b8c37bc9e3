"""A checked graph: what the language hands to everything below it.

Built by `resolve`, read by kinds, runtime and commands. Plain data: no parsing, no SQL
connection, no file is read from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from engine.frozen import dataclass
from engine.language.diagnostics import Diagnostic, Span
from engine.language.templates import Template
from engine.language.types import Record, Type

if TYPE_CHECKING:
    import networkx as nx

    from engine.language.testing import Test


@dataclass(frozen=True)
class Parameter:
    """`param name: type = value`, with the value in force (command line, profile, file)."""

    name: str
    type: Type
    value: Any
    given: bool  # set on the command line or by a profile
    doc: str | None
    span: Span


ASK_ABOVE = "ask_above"
READ_BY_RUNS = frozenset({ASK_ABOVE, "seed"})
"""Params of a graph that mean something to every run of it, whether or not a node names them."""


@dataclass(frozen=True)
class ModelSpec:
    """`model name { … }`, evaluated. The secret is only named here; its value never is."""

    name: str  # in the graph: `large`
    provider: str  # "openai", "transformers" or "offline"
    model: str  # at the endpoint: "Qwen/Qwen3-14B"
    base_url: str | None
    secret: str | None  # the environment variable that holds the key
    sampling: Mapping[str, Any]  # temperature, top_p, max_tokens, seed, stop … as the API names them
    options: Mapping[str, Any]  # handed on in the request body untouched
    price: Mapping[str, float]  # USD per million tokens: input, output, cached
    parallel: int
    timeout: float  # seconds, for one call
    structured: str  # "auto", "schema" (response_format), "object" or "prompt"
    rpm: float | None
    tpm: float | None
    span: Span | None
    start: str | None = None  # for "transformers": a folder or a name at the hub
    others: tuple[tuple[str, str | None], ...] = ()  # further endpoints of the model, each with its secret
    trained: str | None = None  # or the `train` node that makes the model


@dataclass(frozen=True)
class Clause:
    """A gate over rows. `sql` is a DuckDB expression; params are already literals in it."""

    word: str  # where, let, check, keep, expect, until
    name: str | None  # of a `let`
    sql: str
    reads: frozenset[str]  # the columns (and lets) it names
    otherwise: str | None  # the text after `else`
    text: str  # as it is laid out on one line
    aggregate: bool
    span: Span
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # texts that a column may have
    params: frozenset[str] = frozenset()  # the params and slots it names, whose values are in `sql`


@dataclass(frozen=True)
class Column:
    """A column of a node's table: its DuckDB type, and the node whose own table stores it."""

    type: str
    owner: str
    shape: Type | None = field(default=None, compare=False)  # as declared, where a type declares it


@dataclass(frozen=True)
class Section:
    """A block inside a node, such as `repair -> QA { … }`."""

    name: str
    result: Type | None
    settings: BaseModel
    template: Template | None
    span: Span


@dataclass(frozen=True)
class Node:
    """One node of the flattened graph; nodes inside a called graph are named `call.inner`."""

    name: str
    kind: str
    inputs: tuple[str, ...]  # names of nodes, in the order written (for sql: as first read)
    result: Type | None  # as written after `->`
    settings: BaseModel  # the kind's settings, validated; constants are evaluated
    clauses: tuple[Clause, ...]
    sections: Mapping[str, Section]
    template: Template | None
    expressions: Mapping[str, Clause]  # settings that are expressions over a row (Role.ROW)
    own: Mapping[str, str]  # column -> DuckDB type, what this node adds
    columns: Mapping[str, Column]  # all that its table shows, ids left out
    ancestors: tuple[str, ...]  # nodes whose ids travel with its rows, nearest first
    tables: Mapping[str, str]  # names a query may use here -> names of nodes
    values: Mapping[str, Any]  # params and slots in scope: templates and `$name` in queries read them
    doc: str | None
    span: Span
    skipped: bool = False  # `when` is false: its rows pass through untouched
    folder: Path | None = None  # of the file that it is written in
    ids: Mapping[str, str] = field(default_factory=dict)  # node -> column of its ids in queries written here
    after: str | None = None  # in a round: the table of the round before, whose `until` may end it all
    waits: tuple[str, ...] = ()  # `train` nodes whose model it starts from or asks: no input, but first
    pool: tuple[Template, ...] = ()  # the prompts that a `vary` chooses from

    @property
    def id_column(self) -> str:
        """The column that names a row of this table: `checked_id`."""
        return self.name.replace(".", "_") + "_id"

    def id_of(self, node: str) -> str:
        """The column of another node's ids, as the query or the function of this one calls it."""
        return self.ids.get(node, node.replace(".", "_") + "_id")

    @property
    def record(self) -> Record | None:
        """The record that one row of the result has, whatever wraps it."""
        kind = self.result
        while kind is not None and hasattr(kind, "of"):
            kind = kind.of
        return kind if isinstance(kind, Record) else None

    @property
    def templates(self) -> tuple[Template, ...]:
        """Every prompt that the node may send: its own, those it chooses from, those of its blocks."""
        found = (self.template, *self.pool, *(section.template for section in self.sections.values()))
        return tuple(template for template in found if template is not None)

    def of(self, word: str) -> tuple[Clause, ...]:
        """The clauses of one word, in the order written."""
        return tuple(clause for clause in self.clauses if clause.word == word)


@dataclass
class Program:
    """A whole graph file with everything it calls, flattened, in an order in which it can run."""

    name: str  # the file's stem: `factual`
    path: Path
    text: str
    doc: str | None
    params: dict[str, Parameter] = field(default_factory=dict)
    models: dict[str, ModelSpec] = field(default_factory=dict)
    nodes: dict[str, Node] = field(default_factory=dict)  # in topological order
    aliases: dict[str, str] = field(default_factory=dict)  # `single_turn.built` -> `single_turn`
    diagnostics: list[Diagnostic] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)  # every graph file and template that was read
    shown: str = ""  # the file as messages name it
    uncalled: dict[str, Node] = field(default_factory=dict)  # of graphs that nothing calls: never run
    tests: list[Test] = field(default_factory=list)  # those that are sound

    @cached_property
    def dag(self) -> nx.DiGraph[str]:
        """Nodes by name and the edges between them, each node with its `kind`."""
        import networkx

        dag: nx.DiGraph[str] = networkx.DiGraph()
        dag.add_nodes_from((name, {"kind": node.kind}) for name, node in self.nodes.items())
        for name, node in self.nodes.items():
            dag.add_edges_from((source, name) for source in (*node.inputs, *node.waits))
        return dag

    @property
    def ok(self) -> bool:
        """No error was found; warnings may have been."""
        return not any(diagnostic.severity == "error" for diagnostic in self.diagnostics)
