"""`--limit drafted=50`: a checked program with a node more behind a node, which lets so many rows on.

Everything that read the node reads the new one, so memo, plan, lineage and SQL go on as for any
graph. The node's own table stays whole, and what was paid for beyond the limit is kept.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping

from engine.kinds.limit import Limit, LimitSettings
from engine.language.kind import Role
from engine.language.program import Node, Program
from engine.language.settings import role_of
from engine.runtime.selection import SelectionError


def limited(program: Program, limits: Mapping[str, int]) -> Program:
    """The program with a `limit` behind each of these nodes. Raises `SelectionError`."""
    for name, count in limits.items():
        program = behind(program, known(program, name), count)
    return program


def known(program: Program, name: str) -> str:
    """The node that a name means."""
    found = program.aliases.get(name, name)
    if found not in program.nodes:
        near = difflib.get_close_matches(name, [*program.nodes, *program.aliases], n=1)
        help = f"did you mean `{near[0]}`?" if near else f"its nodes: {', '.join(program.nodes)}"
        raise SelectionError(f"--limit {name}: there is no node `{name}`", help)
    if program.nodes[found].kind == "emit":
        raise SelectionError(
            f"--limit {name}: nothing reads what `{name}` writes",
            "limit the node that it takes its rows from",
        )
    return found


def behind(program: Program, name: str, count: int) -> Program:
    """The program with one limit in it."""
    node = program.nodes[name]
    new = f"{name}.limited"
    limit = Node(
        name=new,
        kind=Limit.name,
        inputs=(name,),
        result=node.result,
        settings=LimitSettings(count=count),
        clauses=(),
        sections={},
        template=None,
        expressions={},
        own={},
        columns=node.columns,
        ancestors=(name, *node.ancestors),
        tables={},
        values={},
        doc=f"{count} rows of `{name}` go on, for this run.",
        span=node.span,
        folder=node.folder,
    )
    nodes: dict[str, Node] = {}
    for other in program.nodes.values():
        nodes[other.name] = rewired(other, name, new)
        if other.name == name:
            nodes[new] = limit
    return dataclasses.replace(program, nodes=nodes)


def rewired(node: Node, name: str, new: str) -> Node:
    """A node that reads `new` where it read `name`, and bears its ids beside those of `name`.

    What it reads of the rows that were set aside (`rejected.drafted`) is still the node's own.
    """
    ancestors: list[str] = []
    for one in node.ancestors:
        ancestors += [new, one] if one == name else [one]
    named = {
        setting: {
            new if key == name else key: value for key, value in getattr(node.settings, setting).items()
        }
        for setting, info in type(node.settings).model_fields.items()
        if role_of(info) is Role.TABLES and getattr(node.settings, setting)
    } | {
        setting: new
        for setting, info in type(node.settings).model_fields.items()
        if role_of(info) is Role.BESIDE and getattr(node.settings, setting) == name
    }
    return dataclasses.replace(
        node,
        inputs=tuple(new if one == name else one for one in node.inputs),
        tables={key: new if table == name else table for key, table in node.tables.items()},
        ancestors=tuple(ancestors),
        settings=node.settings.model_copy(update=named),
    )


def with_limits(program: Program, selected: frozenset[str]) -> frozenset[str]:
    """A selection with the limits that stand before what it selects."""
    before = {name for one in selected for name in program.nodes[one].inputs}
    return selected | {name for name in before if program.nodes[name].kind == Limit.name}
