"""A whole table written against what stands: rows that are the same stay, moved where their order changed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable

from engine.kinds.base import Known, Made, Repeated
from engine.runtime.station import Station

FIRST, BATCH = 250, 2_000
"""Rows that are taken at once: few at first, so that whoever takes them begins while the rest is read."""


UNKNOWN: tuple[bytes, int] = (b"", -1)
"""Revision and place of a row that does not stand."""


async def publish(
    station: Station, made: Iterable[Made], known: Known | None = None
) -> dict[bytes, list[bytes]]:
    """Write the rows of a source or a whole-table kind; ends those that are not made any more.

    `made` is consumed in a thread, batch by batch. It leaves out rows of stretches that `known` keeps;
    these stand. Gives the ids of the rows by the mark of their stretch. Raises `Repeated` where a row
    that was made stands in a stretch that is kept.
    """
    iterator = iter(made)
    seen: set[bytes] = set()
    members: dict[bytes, list[bytes]] = {}
    place = 0
    store, name = station.store, station.node.name
    live = (await asyncio.to_thread(store.counts, name)).get("all", 0) > 0

    def pull(count: int) -> list[Made]:
        return list(itertools.islice(iterator, count))

    count = FIRST
    while items := await asyncio.to_thread(pull, count):
        count = min(2 * count, BATCH)
        station.engine.heed()
        rows = []
        for item in items:
            at = place + item.stretch.skipped if item.stretch else place
            pair = station.stored(item, None, at)
            if pair[0].id in seen:  # the same identity twice: the place tells them apart
                item.identity = f"{item.identity}#{place}"
                pair = station.stored(item, None, at)
            seen.add(pair[0].id)
            if item.stretch is not None:
                members.setdefault(item.stretch.mark, []).append(pair[0].id)
            rows.append(pair)
            place += 1
        ids = [stored.id for stored, _ in rows]
        before = await asyncio.to_thread(store.standing, name, ids) if live else {}
        fresh = [pair for pair in rows if before.get(pair[0].id, UNKNOWN)[0] != pair[0].rev]
        moved = {
            stored.id: stored.place
            for stored, _ in rows
            if before.get(stored.id, UNKNOWN)[0] == stored.rev and before[stored.id][1] != stored.place
        }
        if moved:
            station.changed = True
            store.move(name, moved)
        if fresh:
            station.changed = True
            stale = [stored.id for stored, _ in fresh if stored.id in before]
            if stale:
                store.kill(name, stale)
            store.replace(name, [], [stored for stored, _ in fresh], fresh=True)
            await station.emit([row for _, row in fresh if row is not None])
        station.progress.rows_in = len(seen)
        station.progress.rows += sum(row is not None for _, row in rows)
        await store.ready()
    if live:
        await store.flush()
        loose = await asyncio.to_thread(store.loose, name, known.kept if known else ())
        if known is not None and not seen <= loose:
            raise Repeated
        gone = loose - seen
        if gone:
            station.changed = True
            store.kill(name, list(gone))
    return members
