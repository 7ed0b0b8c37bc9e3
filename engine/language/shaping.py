"""All nodes of a graph, worked through in order: what is known of each table so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.language.binding import Binder
from engine.language.columns import Table
from engine.language.diagnostics import Diagnostic
from engine.language.expand import Expansion
from engine.language.expressions import Expressions
from engine.language.files import record_of
from engine.language.instances import Instance
from engine.language.link import Linked
from engine.language.meanings import Models
from engine.language.nodes import NodeCheck
from engine.language.program import Column, Node
from engine.language.slots import Slots
from engine.language.types import Type, duckdb_type


@dataclass
class Tools:
    """What checking a node needs of its surroundings."""

    expressions: Expressions
    expansion: Expansion
    models: Models
    prompts: Callable[[Instance], Sequence[Path]]
    shown: Callable[[Path], str]
    report: Callable[[Diagnostic], None]
    whens: Mapping[str, bool]  # `when`s of nodes that are taken to be so, whatever they say

    @property
    def binder(self) -> Binder:
        return self.expressions.binder


class Shaping:
    """Works through the nodes in order; `tables` grows with them, `nodes` holds the sound ones."""

    def __init__(self, tools: Tools, order: Sequence[str]):
        self.tools = tools
        self.tables: dict[str, Table | None] = {}
        self.nodes: dict[str, Node] = {}
        self.files: dict[Path, None] = {}  # templates that were read
        self.place = {name: at for at, name in enumerate(order)}
        self.slots = Slots(tools.expansion, self.tables, tools.report)

    def add_stand_in(self, name: str, type_: Type) -> None:
        """A table that stands for a slot where a graph is checked uncalled."""
        columns = {one.name: Column(duckdb_type(one.type), name, one.type) for one in record_of(type_) or ()}
        self.tables[name] = Table(columns, (), "slot")
        self.place.setdefault(name, -1)

    def run(self, linked: Linked) -> None:
        """Check one node, whose inputs were checked before."""
        NodeCheck(self, linked).run()
