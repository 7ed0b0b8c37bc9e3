"""`atk cost`: what was paid for, summed up from the store's calls."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from typing import Annotated, Any

import typer

from engine.commands._options import STORE, Debug, Json, StoredGraph, StorePath


class By(StrEnum):
    """What calls are summed by."""

    NODE = "node"
    MODEL = "model"
    RUN = "run"
    DAY = "day"


GROUPS = {
    By.NODE: "graph || ': ' || node",
    By.MODEL: "model || ' at ' || coalesce(endpoint, 'this process')",
    By.RUN: "run",
    By.DAY: "called_at::DATE::VARCHAR",
}
ORDER = {By.NODE: "cost DESC, calls DESC", By.MODEL: "cost DESC, calls DESC", By.RUN: "1", By.DAY: "1"}


def cost(
    by: Annotated[By, typer.Option("--by", help="What calls are summed by.")] = By.NODE,
    store: StorePath = STORE,
    graph: StoredGraph = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Sum what was paid: by node, by model, by run or by day."""
    from engine.commands._options import reader
    from engine.commands._render import print_json

    with contextlib.closing(reader(store, graph)) as opened:
        found = opened.sql(_query(by, graph)).dicts()
    if json:
        print_json(found)
        return
    for line in _lines(by, found):
        print(line)


def _query(by: By, graph: str | None) -> str:
    from engine.store.schema import text

    of_graph = f" AND graph = {text(graph)}" if graph else ""
    where = f"WHERE run > 0{of_graph}"  # what was imported was paid for elsewhere
    return f"""
        SELECT {GROUPS[by]} AS "{by}", count(*) AS calls, count_if(status <> 'ok') AS failed,
          sum(tokens_in)::BIGINT AS tokens_in, sum(tokens_cached)::BIGINT AS tokens_cached,
          sum(tokens_out)::BIGINT AS tokens_out, sum(tokens_thought)::BIGINT AS tokens_thought,
          sum(cost) AS cost
        FROM calls {where} GROUP BY 1 ORDER BY {ORDER[by]}, 1
    """


def _lines(by: By, found: list[dict[str, Any]]) -> list[str]:
    from engine.commands._render import money, number, table

    columns = ("calls", "failed", "tokens_in", "tokens_cached", "tokens_out", "tokens_thought", "cost")
    whole = {name: sum(one[name] or 0 for one in found) for name in columns}
    cells = [
        (str(one[by]), *(number(one[name] or None) for name in columns[:-1]), money(one["cost"] or 0))
        for one in [*found, {str(by): "all", **whole}]
    ]
    heads = (str(by), "calls", "failed", "tokens in", "cached", "tokens out", "thoughts", "cost")
    return table(heads, cells, right=tuple(range(1, len(heads))))
