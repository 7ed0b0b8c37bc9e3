"""`atk runs`: the runs that a store remembers, the newest first."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from engine.commands._options import STORE, Debug, Json, StoredGraph, StorePath

Count = Annotated[
    int, typer.Option("-n", "--count", metavar="N", min=1, help="How many runs, the latest first.")
]


def runs(
    count: Count = 20,
    store: StorePath = STORE,
    graph: StoredGraph = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """List runs: number, graph, when, how it ended, calls, cost."""
    from engine.commands._options import reader
    from engine.commands._render import money, number, print_json, table
    from engine.store.schema import text

    with contextlib.closing(reader(store, graph)) as opened:
        where = f"WHERE graph = {text(graph)}" if graph else ""
        columns = "run, graph, started, ended, status, calls, cost, command"
        found = opened.sql(f"SELECT {columns} FROM runs {where} ORDER BY run DESC LIMIT {count:d}").dicts()
    if json:
        print_json(found)
        return
    cells = [
        (
            str(one["run"]),
            one["graph"],
            f"{one['started']:%Y-%m-%d %H:%M:%S}",
            one["status"],
            number(one["calls"] or None),
            money(one["cost"] or 0),
        )
        for one in found
    ]
    for line in table(("run", "graph", "started (UTC)", "status", "calls", "cost"), cells, right=(0, 4, 5)):
        print(line)
