"""Stations that read rows from outside."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from engine.kinds.base import KindError, SourceKind
from engine.runtime.context import NodeContext
from engine.runtime.station import Result, Station, publish


class SourceStation(Station):
    """Reads only when something outside has changed since it last read to the end."""

    signature: Any = None
    trouble: KindError | None = None

    async def look(self) -> None:
        """Before anything runs: has what is outside changed?"""
        kind = cast(SourceKind, self.kind)
        try:
            self.signature = await asyncio.to_thread(kind.signature, NodeContext(self))
        except KindError as error:
            self.trouble = error

    def unchanged(self) -> bool:
        return self.trouble is None and self.same and self.info.get("signature") == self.signature

    async def work(self) -> Result:
        if self.trouble is not None:
            raise self.trouble
        if self.unchanged():
            return await self.skip()
        self.begin()
        kind = cast(SourceKind, self.kind)
        await publish(self, kind.read(NodeContext(self)))
        self.info["signature"] = self.signature
        return await self.complete()
