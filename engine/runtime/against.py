"""A plan as seen from an earlier run: what is not as that run left it."""

from __future__ import annotations

from dataclasses import replace

from engine.runtime.engine import Engine
from engine.runtime.events import NodePlan, Plan
from engine.runtime.planning import new, told
from engine.runtime.statics import static_of
from engine.store.errors import QueryError
from engine.store.snapshots import named_run


def against(engine: Engine, made: Plan, name: str) -> Plan:
    """The plan with marks and reasons against a run: its number, `last` or `-1`.

    What would be called and cost stays what it would be now. Raises `QueryError` for a run that is
    none, or that kept no account of its nodes.
    """
    graph = engine.program.name
    runs = engine.store.runs(graph)
    run = named_run(runs, name, graph)
    before = engine.store.snapshot(graph, run)
    if not before:
        raise QueryError(
            f"run {run} kept no account of its nodes", "it completed none, or an older atk made it"
        )
    gone = {name: static_of(parts) for name, parts in before.items() if name not in engine.program.nodes}
    seen: dict[str, NodePlan] = {}
    for line in made.nodes:
        station = engine.stations[line.name]
        parts = before.get(line.name)
        changed = [one.node.name for one in station.upstream if one.node.name in seen]
        changed = [name for name in changed if seen[name].mark != "="]
        since = station.state.changed_run if station.state else 0
        if parts is None:
            seen[line.name] = replace(line, mark="+", why=new(station, gone))
        elif static_of(parts) != station.static:
            why = "; ".join(told(engine, station, parts)) or "its own part changed"
            seen[line.name] = replace(line, mark="~", why=why)
        elif line.mark == "=" and since <= run:
            seen[line.name] = replace(line, mark="=", why="")
        elif changed:
            seen[line.name] = replace(line, mark=">", why=f"follows {', '.join(changed)}")
        elif line.mark in "=~+":
            why = f"what it reads changed in run {since}" if since > run else f"is again as in run {run}"
            seen[line.name] = replace(line, mark=">", why=why)
        else:
            seen[line.name] = line
    removed = [
        NodePlan(name, "", "-", None, None, None, None, None, False, f"was there in run {run}")
        for name in gone
    ]
    status = dict(runs)[run]
    notes = (
        f"marks and reasons are against run {run} ({status}); calls and cost are what is to come",
        *made.notes,
    )
    return replace(made, nodes=(*seen.values(), *removed), notes=notes)
