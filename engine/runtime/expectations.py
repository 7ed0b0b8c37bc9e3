"""What a graph expects of a finished table (`expect`), and where to look when it is otherwise."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.language.program import Node
    from engine.runtime.station import Station
    from engine.store.store import Store


def unmet(store: Store, node: Node) -> str | None:
    """The first `expect` that the finished table does not meet, in words. Blocking."""
    for clause in node.of("expect"):
        held, said = holds(store, node, clause)
        if not held:
            return said
    return None


def holds(store: Store, node: Node, clause: Any) -> tuple[bool, str]:
    """Whether an `expect` or `until` holds of the table, and what is said where it does not. Blocking."""
    view = store.view(node.name)
    cursor = store.cursor(f"{view} {clause.sql}")
    try:
        if clause.aggregate:
            value = cursor.execute(f"SELECT ({clause.sql}) FROM {view}").fetchall()[0][0]
            return value is True, clause.otherwise or f"`expect {clause.text}` does not hold"
        wrong, all_rows = cursor.execute(
            f"SELECT count(*) FILTER (WHERE ({clause.sql}) IS NOT TRUE), count(*) FROM {view}"
        ).fetchall()[0]
        said = clause.otherwise or f"`expect {clause.text}` does not hold"
        return wrong == 0, f"{said} ({wrong} of {all_rows} rows)"
    finally:
        cursor.close()


def where_to_look(station: Station) -> str:
    """A command that shows rows: the table's own or, where it is empty, the nearest that it came of."""
    waiting, seen = deque([station]), {station}
    while waiting:
        one = waiting.popleft()
        name, progress = one.node.name, one.progress
        told = "look into it" if one is station else f"it is empty: look at `{name}`"
        if progress.rows:
            return f'{told} with `atk sql "FROM {name}"`'
        for fate, count in (("rejected", progress.rejected), ("failed", progress.failed)):
            if count:
                return f"it is empty: look at the {fate} rows with `atk show {name} --{fate}`"
        before = [other for other in one.upstream if other not in seen]
        waiting.extend(before)
        seen.update(before)
    return f'look into it with `atk sql "FROM {station.node.name}"`'
