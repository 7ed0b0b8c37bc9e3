"""What a selection comes to for one graph and one store: the nodes that run, and those they read.

A node that is not selected is left as it stands. Where a selected one reads it, its rows are taken
from the store, whatever has become of its own part or of the documents since.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from engine.runtime.selection import Selectable, SelectionError
from engine.runtime.statics import parts_of, static_of

if TYPE_CHECKING:
    from engine.kinds.base import Kind
    from engine.language.program import Program
    from engine.store.store import Store


def chosen(
    program: Program, kinds: Mapping[str, Kind], store: Store | None, selections: Sequence[str]
) -> frozenset[str]:
    """The nodes that `-s` means. Without a store every node is new. Raises `SelectionError`."""
    selectable = Selectable(
        program.dag, kinds.keys(), lambda: states_of(program, kinds, store), program.aliases
    )
    return selectable.select(selections)


def chosen_to_run(
    program: Program, kinds: Mapping[str, Kind], store: Store, selections: Sequence[str]
) -> frozenset[str]:
    """Those of the nodes that `-s` means that have work of their own. Raises `SelectionError`."""
    found = chosen(program, kinds, store, selections)
    working = frozenset(name for name in found if not program.nodes[name].skipped)
    if not working:
        names = ", ".join(f"`{name}`" for name in sorted(found))
        raise SelectionError(
            f"nothing of what is selected runs: `when` leaves {names} out",
            "a node that is left out lets its input's rows pass",
        )
    return working


def read_by(program: Program, selected: frozenset[str]) -> frozenset[str]:
    """All that the selected nodes come of and that is not selected itself."""
    import networkx

    dag = program.dag.copy()
    # Whether a round has its turn is for the table of the round before to say.
    dag.add_edges_from((node.after, name) for name, node in program.nodes.items() if node.after is not None)
    above = set().union(*(networkx.ancestors(dag, name) for name in selected))
    return frozenset(above - selected)


def hold(program: Program, store: Store, read: frozenset[str]) -> None:
    """Raises `SelectionError` where what is to be read was never completed, or is older than what it shows.

    A table shows columns of its ancestors. Had one of them changed since, a row would pair the old
    outcome with the new text, and end so in a training set.
    """
    states = store.remembered(program.name)
    for name in sorted(read, key=list(program.nodes).index):
        node, state = program.nodes[name], states.get(name)
        if node.skipped:
            continue
        if state is None or not state.complete_run:
            raise SelectionError(
                f"`{name}` is read by what is selected, and it has never been completed",
                f"select it too, with all that it comes of: -s +{name} besides, or + before what reads it",
            )
        for above in node.inputs:
            while program.nodes[above].skipped:
                above = program.nodes[above].inputs[0]
            newer = states.get(above)
            if newer and newer.changed_run > state.complete_run and not state.info.get("passed over"):
                raise SelectionError(
                    f"`{name}` is read by what is selected, and `{above}` changed after it was made",
                    f"select it too: -s {name} besides, or + before what reads it",
                )


def states_of(program: Program, kinds: Mapping[str, Kind], store: Store | None) -> dict[str, set[str]]:
    """In which of `selection.STATES` each node is."""
    remembered = store.remembered(program.name) if store is not None else {}
    failed = store.failed(program.name) if store is not None else {}
    found: dict[str, set[str]] = {}
    for name, node in program.nodes.items():
        if node.skipped:
            continue
        state = remembered.get(name)
        if state is None:
            found[name] = {"new"}
            continue
        static = static_of(parts_of(program, node, kinds[node.kind].working(node)))
        same = static == state.static
        found[name] = {"failed"} if failed.get(name) else set()
        if not state.complete:
            found[name].add("unfinished")
        if not same:
            found[name].add("changed")
        elif state.complete:
            found[name].add("unchanged")
    return found
