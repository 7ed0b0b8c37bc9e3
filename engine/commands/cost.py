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


ROUNDING = 1e-9  # USD that a sum of prices may be off by


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
          sum(cost) AS cost, sum(cost_reported) AS cost_reported,
          sum(cost_reported - cost) AS difference
        FROM calls {where} GROUP BY 1 ORDER BY {ORDER[by]}, 1
    """


def _lines(by: By, found: list[dict[str, Any]]) -> list[str]:
    from engine.commands._render import money, number, table

    columns = ("calls", "failed", "tokens_in", "tokens_cached", "tokens_out", "tokens_thought")
    sums = ("cost", "cost_reported", "difference")
    whole: dict[str, Any] = {name: sum(one[name] or 0 for one in found) for name in (*columns, *sums)}
    cells = [
        (str(one[by]), *(number(one[name] or None) for name in columns), money(one["cost"] or 0))
        for one in [*found, {str(by): "all", **whole}]
    ]
    heads = [str(by), "calls", "failed", "tokens in", "cached", "tokens out", "thoughts", "cost"]
    if any(one["cost_reported"] is not None for one in found):
        heads += ["reported", "difference"]
        cells = [
            (*cell, money(one["cost_reported"]), _difference(one["difference"]))
            for cell, one in zip(cells, [*found, whole], strict=True)
        ]
    return table(heads, cells, right=tuple(range(1, len(heads))))


def _difference(usd: float | None) -> str:
    """How much more endpoints say than prices, or less, of the calls of which they say it."""
    from engine.commands._render import NOTHING, money

    if usd is None:
        return NOTHING
    if abs(usd) < ROUNDING:
        return money(0)
    return f"{'+' if usd > 0 else '-'}{money(abs(usd))}"
