"""Stations whose node needs its whole input: they wait, then work once."""

from __future__ import annotations

import asyncio
import functools
from pathlib import Path
from typing import cast

from engine.kinds.base import TableKind
from engine.runtime.calls import Stopping
from engine.runtime.context import NodeContext
from engine.runtime.publishing import publish
from engine.runtime.station import Result, Station


class TableStation(Station):
    """Works when every input is whole; rows that come out as before stay untouched."""

    async def work(self) -> Result:
        if not await self.inputs_finished():
            raise Stopping(self.progress.reason or "an input did not finish")
        kind = cast(TableKind, self.kind)
        context = NodeContext(self)
        if self.unchanged() and self.files_stand():
            return await self.skip()
        self.engine.heed()
        inputs = [functools.partial(self.engine.rows_of, name) for name in self.node.inputs]
        if self.engine.dry and (self.estimated or not kind.pure):
            if not self.estimated and not any(station.estimated for station in self.awaited):
                await asyncio.to_thread(kind.foretell, context, inputs)
            self.estimated = True
            await self.count()  # what stands, for the estimate
            return "done"
        self.begin()
        await self.store.flush()
        made = await asyncio.to_thread(kind.work, context, inputs)
        await publish(self, made)
        return await self.complete()

    async def after(self) -> None:
        kind = cast(TableKind, self.kind)
        writes = type(kind).finish is not TableKind.finish
        if writes and not self.progress.rows and (failed := self.failed_before()):
            # An empty file would take the place of what an earlier, better run wrote.
            text = f"nothing was written: no row is left, and rows of `{failed}` failed"
            self.publish_note(text)
            raise Stopping(text)
        await asyncio.to_thread(kind.finish, NodeContext(self))
        self.info["files"] = [
            {"path": str(path), "rows": rows, "stamp": _stamp(path)} for path, rows in self.files
        ]
        self.info["out"] = str(self.engine.options.out)

    def failed_before(self) -> str | None:
        """The nearest node on the way here in which rows failed, this one included."""
        looked: list[Station] = [self]
        for station in looked:
            if station.progress.failed:
                return station.node.name
            looked += [one for one in station.upstream if one not in looked]
        return None

    def files_stand(self) -> bool:
        """Whether what it wrote lies where it would be written, as it was left."""
        files = self.info.get("files", [])
        if not files:
            return True
        return self.info.get("out") == str(self.engine.options.out) and all(
            _stamp(Path(entry["path"])) == entry["stamp"] for entry in files
        )


def _stamp(path: Path) -> list[int] | None:
    """Size and time of a file, to see later whether it still lies as it was left."""
    try:
        status = path.stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
