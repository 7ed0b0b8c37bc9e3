"""Stations of nodes that were not selected: their rows are read as they stand, and nothing is done."""

from __future__ import annotations

from engine.kinds.base import KindError
from engine.runtime.calls import Stopping
from engine.runtime.station import Result, Station


class StandingStation(Station):
    """Takes no part in the run but to be read."""

    @property
    def same(self) -> bool:
        """Whatever became of its own part, its rows stay in this run."""
        return True

    async def passed_over(self) -> bool:
        """Not asked: how it stands says it."""
        return False

    async def work(self) -> Result:
        if not await self.inputs_finished():
            raise Stopping(self.progress.reason or "an input did not finish")
        # Its rows show columns of what lies above: old outcomes must not be read beside new texts.
        changed = [one.node.name for one in self.upstream if one.changed or one.estimated or one.missing]
        if changed:
            name, changes = self.node.name, "would change" if self.engine.dry else "changed"
            raise KindError(
                f"`{name}` is not selected and is read by what is, and `{changed[0]}` above it {changes}",
                f"select it too: -s {name} besides, or {changed[0]}+",
            )
        await self.skip()
        return "passed" if self.info.get("passed over") else "unchanged"
