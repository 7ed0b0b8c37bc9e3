"""`atk retry`: rows that failed for good are decided anew. Which these are, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from engine.kinds import registry
from engine.kinds.base import RowKind
from engine.language.program import Program
from engine.runtime.choice import chosen_to_run
from engine.runtime.engine import Options
from engine.store.failures import Failures
from engine.store.store import Store


def failures(program: Program, options: Options) -> list[Failures]:
    """What failed for good in each node that is selected and has such rows. Raises `StoreError`."""
    kinds = registry()
    with Store.open(options.store, "read") as store:
        nodes = frozenset(program.nodes)
        if options.select:
            nodes = chosen_to_run(program, kinds, store, options.select)
        found = store.failures(program.name)
    decided = [one for one in found if one.node in nodes]
    return [one for one in decided if isinstance(kinds[program.nodes[one.node].kind], RowKind)]


def forget(program: Program, options: Options, nodes: Sequence[str]) -> None:
    """Let the next run decide the rows of these nodes anew that failed for good. Raises `StoreError`."""
    with Store.open(options.store, "write") as store:
        store.forget_failures(program.name, nodes)
