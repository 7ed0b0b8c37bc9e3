"""Scopes of a graph that is written out: its top level, the bodies of the graphs it calls, its nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.language import tree as ast
from engine.language.expressions import Known, Scope
from engine.language.files import GraphFile
from engine.language.kind import KindSpec, Role
from engine.language.settings import roles
from engine.language.types import Type


@dataclass
class TableSlot:
    """A table handed into a graph. `path` is what the call names, in the calling scope."""

    type: Type
    path: ast.Path | None
    outer: Instance | None
    stands_for: str | None = None  # a node that stands for it where the graph is checked uncalled


@dataclass
class Instance:
    """One scope: a file's top level, or the body of a graph at one call."""

    name: str  # of the call; "" at the top
    prefix: str  # of its nodes' names
    file: GraphFile
    known: Mapping[str, Known]
    nodes: Mapping[str, ast.NodeDeclaration]
    parent: Instance | None = None
    call: ast.NodeDeclaration | None = None
    graph: ast.GraphDeclaration | None = None
    slots: dict[str, TableSlot] = field(default_factory=dict)
    calls: dict[str, Instance] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)  # nodes whose fault was told: nothing is known of them
    broken_slots: bool = False
    repeated: bool = False  # stands for a call with `rounds`; its nodes are the rounds
    ends: dict[str, str] = field(default_factory=dict)  # round -> the table of the round before, if `until`
    after: str | None = None
    beside: bool = False  # its nodes belong to a node of their parent, and see what that one sees

    @property
    def waits(self) -> str | None:
        """The table whose `until` says whether the nodes of this scope run at all."""
        return self.after or (self.parent.waits if self.parent else None)

    @property
    def returned(self) -> str | None:
        """The name of the node that the graph gives back."""
        return self.graph.returns.dotted if self.graph else None

    def full(self, local: str) -> str:
        """The name in the flat graph of a node of this scope."""
        return self.name if self.graph and local == self.returned else self.prefix + local

    def scope(self) -> Scope:
        """What a constant may name here."""
        inside = self.graph is not None

        def hint(name: str) -> str | None:
            if inside and name in self.file.params:
                return f"a graph sees its slots only: add a slot `{name}` and set it at the call"
            return None

        return Scope(known=self.known, what="slot" if inside else "param", hint=hint)


@dataclass
class Flat:
    """One node of the flat graph."""

    name: str
    declaration: ast.NodeDeclaration
    home: Instance
    kind: KindSpec
    handed: list[tuple[ast.ClauseDeclaration, Instance]] = field(default_factory=list)  # of calls it ends


def top_level_only(kind: KindSpec) -> bool:
    """Kinds that write files where the author says: `emit`. A training has a folder of its own."""
    return kind.name != "train" and Role.OUTPUT_PATH in roles(kind.settings).values()


def method_of(declaration: ast.NodeDeclaration) -> str | None:
    """The method of a `train` node, as it is written."""
    for setting in declaration.block.settings:
        if setting.name.text == "method" and isinstance(setting.value, ast.String):
            return setting.value.value
    return None
