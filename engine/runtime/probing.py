"""`plan --probe N`: N rows of each first prompt are paid for, to see what comes of them.

The rows go through all prompts, in tables of their own that are dropped afterwards; nothing is written
or trained. What is learned is how many rows a row becomes and how many tokens a call takes. What was
paid for is in the memo: the run does not pay for it again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from engine.frozen import dataclass
from engine.kinds import registry
from engine.kinds.limit import Limit
from engine.language.program import Program
from engine.runtime import execute
from engine.runtime.engine import Options
from engine.runtime.limiting import limited
from engine.runtime.loop import run
from engine.runtime.statics import models_of
from engine.store.store import Store

FIGURES = ("figures", "fan_out")


@dataclass(frozen=True)
class Probe:
    """What a probe paid, and the figures that it brought: by node, as `NodeState.info` has them."""

    rows: int
    calls: int
    cost: float
    figures: Mapping[str, Mapping[str, Any]]
    errors: tuple[str, ...]


def probe(program: Program, options: Options, rows: int) -> Probe:
    """Pay for so many rows of each prompt that comes first. Raises `StoreError`."""
    asking = _asking(program)
    first = [name for name in asking if not set(program.nodes[name].ancestors) & set(asking)]
    before = dict.fromkeys(_behind(program, program.nodes[name].inputs[0]) for name in first)
    counts = {name: rows for name in before if program.nodes[name].kind != Limit.name}
    name = f"{program.name}~probe"
    small = dataclasses.replace(limited(program, counts), name=name)
    if not asking:
        return Probe(rows, 0, 0.0, {}, ())
    chosen = dataclasses.replace(options, select=tuple(f"+{one}" for one in asking), detailed=False)
    summary = run(execute(small, chosen))
    with Store.open(options.store, "write") as store:
        found = store.remembered(name)
        store.forget_graph(name)
    figures = {
        node: {key: state.info[key] for key in FIGURES if key in state.info} for node, state in found.items()
    }
    errors = tuple(message for message, _ in summary.errors)
    return Probe(rows, summary.calls, summary.cost, figures, errors)


def _asking(program: Program) -> list[str]:
    """Nodes that ask a model which is there already, and that come of no training."""
    kinds = registry()
    trained = {name for name, node in program.nodes.items() if node.kind == "train" or node.waits}
    return [
        name
        for name, node in program.nodes.items()
        if not node.skipped
        and name not in trained
        and node.after is None
        and not trained & set(node.ancestors)
        and models_of(node, kinds[node.kind] if node.kind in kinds else Limit())
    ]


def _behind(program: Program, name: str) -> str:
    while program.nodes[name].skipped:
        name = program.nodes[name].inputs[0]
    return name
