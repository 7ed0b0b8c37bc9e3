"""Nodes that wait for a `train` node: they ask its model, or start from it, and read none of its rows.

Which model a node asks is known once its settings are, so these edges come after the others.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from pydantic import BaseModel

from engine.language.diagnostics import Diagnostic
from engine.language.kind import Role
from engine.language.program import ModelSpec, Node
from engine.language.settings import roles


def with_waits(
    nodes: Mapping[str, Node], models: Mapping[str, ModelSpec], report: Callable[[Diagnostic], None]
) -> dict[str, Node]:
    """The nodes with all that they wait for, in an order in which they can run.

    A circle is told once, and what lies on it or follows from it is left out.
    """
    made = {name: _with_models(node, models) for name, node in nodes.items()}
    return _ordered(made, report) if any(node.waits for node in made.values()) else made


def _with_models(node: Node, models: Mapping[str, ModelSpec]) -> Node:
    asked = [
        *_models(node.settings),
        *(one for part in node.sections.values() for one in _models(part.settings)),
    ]
    trained = [spec.trained for name in asked if (spec := models.get(name)) is not None and spec.trained]
    waits = tuple(dict.fromkeys([*node.waits, *trained]))
    return node if waits == node.waits else replace(node, waits=waits)


def _models(settings: BaseModel) -> Iterator[str]:
    for name, role in roles(type(settings)).items():
        value = getattr(settings, name, None)
        if role is Role.MODEL and isinstance(value, str):
            yield value


def _ordered(nodes: Mapping[str, Node], report: Callable[[Diagnostic], None]) -> dict[str, Node]:
    index = {name: at for at, name in enumerate(nodes)}
    before = {
        name: {one for one in (*node.inputs, *node.waits) if one in nodes} for name, node in nodes.items()
    }
    after: dict[str, list[str]] = {name: [] for name in nodes}
    for name, sources in before.items():
        for source in sources:
            after[source].append(name)
    left = {name: len(sources) for name, sources in before.items()}
    names = list(nodes)
    ready = [index[name] for name, count in left.items() if not count]
    heapq.heapify(ready)
    order: dict[str, Node] = {}
    while ready:
        name = names[heapq.heappop(ready)]
        order[name] = nodes[name]
        for follower in after[name]:
            left[follower] -= 1
            if not left[follower]:
                heapq.heappush(ready, index[follower])
    circle = [name for name in names if left[name] and nodes[name].waits]
    if circle:
        node = nodes[circle[0]]
        text = f"a cycle: `{node.name}` waits for the model that `{node.waits[0]}` makes of it"
        report(Diagnostic("ATK110", text, node.span, "ask the model that the training starts from instead"))
    return order
