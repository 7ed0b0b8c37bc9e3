"""Stations that read rows from outside."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from engine.kinds.base import KindError, Known, Repeated, SourceKind
from engine.runtime.context import NodeContext
from engine.runtime.publishing import publish
from engine.runtime.station import Result, Station


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
        known = Known(await asyncio.to_thread(self.store.stretches, self.node.name) if self.same else None)
        self.begin()
        try:
            await self.read(known)
        except Repeated:  # content that stands in what was not read came again: its number is not known
            self.progress.rows = 0
            await self.read(Known())
        self.info["signature"] = self.signature
        return await self.complete()

    async def read(self, known: Known) -> None:
        """Publish what is new, and remember where it was read. Raises `Repeated`."""
        kind = cast(SourceKind, self.kind)
        members = await publish(self, kind.read(NodeContext(self), known), known)
        for mark in known.unsure:
            members.pop(mark, None)
        self.store.save_stretches(self.node.name, known.kept, members)
