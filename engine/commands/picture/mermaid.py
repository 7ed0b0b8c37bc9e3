"""A graph as Mermaid text, for pages that draw it themselves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.language.program import Node, Program

SHAPES = {"source": ("[(", ")]"), "prompt": ("([", "])"), "emit": ("[/", "/]"), "train": ("[[", "]]")}


def mermaid_text(program: Program) -> str:
    """The graph as a Mermaid flowchart; the inner nodes of a called graph stand in a box."""
    names = {
        name: f"n{index}_{re.sub(r'[^a-zA-Z0-9]', '_', name)}" for index, name in enumerate(program.nodes)
    }
    calls = {name.rpartition(".")[0] for name in program.nodes} - {""}
    boxes: dict[str, list[str]] = {}
    for name in program.nodes:
        # The node that a called graph returns bears the call's own name: it belongs into the box.
        boxes.setdefault(name if name in calls else name.rpartition(".")[0] or name, []).append(name)
    lines = ["flowchart TD"]
    for index, (call, members) in enumerate(boxes.items()):
        shapes = [_shape(names[name], program.nodes[name]) for name in members]
        if call in calls:
            lines.append(f'  subgraph g{index}["{_escaped(call)}"]')
            lines += [f"    {shape}" for shape in shapes]
            lines.append("  end")
        else:
            lines += [f"  {shape}" for shape in shapes]
    lines += [f"  {names[start]} --> {names[end]}" for start, end in edges(program)]
    return "\n".join(lines)


def edges(program: Program) -> list[tuple[str, str]]:
    """Who reads whom, in the order of the graph."""
    return [
        (start, node.name)
        for node in program.nodes.values()
        for start in dict.fromkeys((*node.inputs, *node.waits))
        if start in program.nodes
    ]


def _shape(identity: str, node: Node) -> str:
    """`n3_checked(["checked<br/><small>prompt</small>"])`."""
    opening, closing = SHAPES.get(node.kind, ("[", "]"))
    return f'{identity}{opening}"{_escaped(node.name)}<br/><small>{_escaped(node.kind)}</small>"{closing}'


def _escaped(text: str) -> str:
    return text.replace('"', "#quot;").replace("<", "&lt;")
