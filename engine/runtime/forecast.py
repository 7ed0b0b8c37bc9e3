"""How many rows a node has yet to decide, told while the run goes on, for the time that is left.

A node whose input is whole knows it. Before that it is reckoned from the node's input: what that has
made so far, and what it will make of the rest if it goes on as it did. Only telling hangs on this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.runtime.rows import RowStation

if TYPE_CHECKING:
    from engine.runtime.station import Station

EVERY = 0.5  # seconds
ENOUGH = 5  # rows decided, from which on a fan-out is believed


async def keep_telling(stations: Mapping[str, Station]) -> None:
    """Set `NodeProgress.total` again and again, until cancelled."""
    while True:
        tell(stations)
        await asyncio.sleep(EVERY)


def tell(stations: Mapping[str, Station]) -> None:
    """Set `NodeProgress.total` of every node of which it can be said. `stations` in topological order."""
    whole: dict[str, float | None] = {}  # rows that a node's table will have
    for name, station in stations.items():
        progress = station.progress
        if station.finished.is_set():
            whole[name] = float(progress.rows)
        elif isinstance(station, RowStation) and not station.had_rows:
            coming = whole[station.upstream[0].node.name]
            if coming is not None:
                progress.total = max(round(coming), progress.rows_in)
            whole[name] = expected(station)
        else:
            whole[name] = None


def expected(station: RowStation) -> float | None:
    """Rows that a node which is at work will have made, if it goes on so; None if that cannot be said."""
    progress = station.progress
    if progress.total is None:
        return None
    if progress.rows_in >= ENOUGH:
        each = progress.rows / progress.rows_in
    elif "fan_out" in station.info:
        each = float(station.info["fan_out"])
    else:
        return None
    return progress.rows + (progress.total - progress.rows_in) * each
