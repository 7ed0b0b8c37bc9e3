"""The tasks of a node's rows: each takes one row after another, and no row is left to one that has ended."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kinds.base import Row
from engine.runtime.calls import Stopping
from engine.runtime.rows import RowStation


class Bare(RowStation):
    """A station that only counts; a row takes as many turns of the loop as it says."""

    def __init__(self, window: int) -> None:
        self.engine = cast("Any", SimpleNamespace(heed=lambda: None, stopping=None))
        self.window, self.result, self.passing, self.had_rows = window, None, {}, False
        self.waiting, self.tasks, self.room = deque(), set(), asyncio.Event()
        self.begun: list[bytes] = []
        self.at_once = self.most = 0

    async def gated(self, rows: Any) -> Any:
        return [(row, {}, None) for row in rows]

    def not_sampled(self, row: Row, chosen: set[bytes] | None) -> None:
        return None

    def row_key(self, row: Row, lets: Mapping[str, Any]) -> bytes:
        return row.id

    async def decide(self, row: Row, lets: Mapping[str, Any], key: bytes) -> None:
        self.begun.append(row.id)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        for _ in range(row.columns["turns"]):
            await asyncio.sleep(0)
        self.at_once -= 1


def row(number: int, turns: int) -> Row:
    return Row(b"%16d" % number, b"", {"turns": turns}, {})


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=40), st.integers(1, 4))
def test_every_row_is_decided_in_its_order(steps: list[tuple[int, int]], window: int) -> None:
    """Rows come one by one, so many turns of the loop after another: also as a task ends."""

    async def work() -> Bare:
        station = Bare(window)
        for number, (turns, pause) in enumerate(steps):
            await station.take([row(number, turns)])
            for _ in range(pause):
                await asyncio.sleep(0)
        await station.drain()
        return station

    station = asyncio.run(work())
    assert station.begun == [b"%16d" % number for number in range(len(steps))]
    assert station.most <= window
    assert not station.tasks
    assert not station.waiting


def test_no_more_rows_are_held_than_twice_the_window() -> None:
    async def work() -> int:
        station = Bare(4)
        taking = asyncio.create_task(station.take([row(number, 10_000) for number in range(100)]))
        for _ in range(20):
            await asyncio.sleep(0)
        held = len(station.begun) + len(station.waiting)
        taking.cancel()
        for task in station.tasks:
            task.cancel()
        await station.drain()
        return held

    assert asyncio.run(work()) == 8


def test_a_run_that_stops_begins_no_row_that_waits() -> None:
    async def work() -> Bare:
        station = Bare(2)
        taking = asyncio.create_task(station.take([row(number, 5) for number in range(50)]))
        for _ in range(3):
            await asyncio.sleep(0)
        station.engine.stopping = "interrupted"
        with pytest.raises(Stopping, match="interrupted"):
            await taking
        await station.drain()
        return station

    station = asyncio.run(work())
    assert len(station.begun) == 2
    assert station.at_once == 0
