"""Rounds of a repeated call: whether `until` held for one, so that no further one runs.

A node of a later round waits for this answer before it does anything. The answer is found once a
run, by DuckDB, over the finished table of the round.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from engine.kinds.base import KindError
from engine.runtime.calls import Stopping
from engine.runtime.expectations import holds

if TYPE_CHECKING:
    from engine.runtime.engine import Engine


class Rounds:
    """One instance a run; `ended` may be asked by many stations at once."""

    def __init__(self, engine: Engine):
        self.engine = engine
        self.answers: dict[str, asyncio.Task[bool | None]] = {}

    async def ended(self, name: str) -> bool | None:
        """Whether the rounds end with this table. None, in a dry run: that is not known yet.

        Raises `Stopping` where the table was not finished, `KindError` where `until` cannot be
        worked out.
        """
        if name not in self.answers:
            self.answers[name] = asyncio.create_task(self.find(name))
        return await asyncio.shield(self.answers[name])

    async def find(self, name: str) -> bool | None:
        station = self.engine.stations[self.engine.behind(name)]
        await station.finished.wait()
        if station.result == "passed":
            return True
        if station.result not in ("done", "unchanged"):
            raise Stopping(f"`{name}` did not finish")
        if station.estimated or station.missing:
            return None
        return await self.holds(name)

    async def unmet(self) -> None:
        """Tell of repeated calls whose `until` holds after no round."""
        for station in self.engine.stations.values():
            node = station.node
            if not station.kind.either or station.result not in ("done", "unchanged") or self.engine.dry:
                continue
            last = self.engine.program.nodes[node.inputs[-1]]
            if last.of("until") and not await self.ended(last.name):
                text = " and ".join(clause.text for clause in last.of("until"))
                count = node.settings.rounds  # type: ignore[attr-defined]
                station.publish_note(
                    f"after {count} round{'s' * (count != 1)} `until {text}` does not hold;"
                    " the last one stands"
                )

    async def holds(self, name: str) -> bool:
        """Whether every `until` of a node holds for its table."""
        import duckdb

        node = self.engine.program.nodes[name]
        for clause in node.of("until"):
            try:
                held, _ = await asyncio.to_thread(holds, self.engine.store, node, clause)
            except duckdb.Error as error:
                said = str(error).splitlines()[0]
                raise KindError(f"`until {clause.text}` of `{name}` cannot be worked out: {said}") from error
            if not held:
                return False
        return True
