"""Id columns, as the code of a scope calls them.

A table's rows are named by `<table>_id`, and which table that is depends on where one stands: what a
file calls `pairs` is `factual.pairs` where the file is imported as `factual`, and what a graph calls by
the name of a slot is the table that the call hands in. Queries, functions and `expect` name ids as they
name tables, so they mean the same wherever their file or graph is used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from engine.language.columns import id_column
from engine.language.diagnostics import Wrong
from engine.language.expand import Expansion
from engine.language.instances import Instance


def id_columns(
    expansion: Expansion, home: Instance, nodes: Iterable[str], columns: Collection[str] = ()
) -> dict[str, str]:
    """By flat name of a node, the column of its ids in a scope.

    What the scope has no name for keeps the flat one. `columns` are names that a table's own columns
    have: no id takes the place of one.
    """
    slots = _slots(expansion, home)
    known = {name: _called(home, slots, name) for name in dict.fromkeys(nodes)}
    found: dict[str, str] = {}
    taken = set(columns)
    for name, called in sorted(known.items(), key=lambda one: one[1] is None):
        column = id_column(called or name)
        if column in taken:
            column = id_column(name)
        while column in found.values():
            column = f"_{column}"
        found[name] = column
    return found


def _slots(expansion: Expansion, home: Instance) -> dict[str, str]:
    """By flat name of a table that was handed in, the slot that it fills."""
    found: dict[str, str] = {}
    for slot in home.slots:
        try:
            found.setdefault(expansion.slot(home, slot), slot)
        except Wrong:  # told where the slot is read
            continue
    return found


def _called(home: Instance, slots: dict[str, str], name: str) -> str | None:
    """What a scope calls a node; None where it cannot name it."""
    if name in slots:
        return slots[name]
    if home.graph is not None and name == home.name:
        return home.returned
    return name[len(home.prefix) :] if name.startswith(home.prefix) else None
