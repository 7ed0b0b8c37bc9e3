"""A bounded channel of rows between two nodes: what comes in faster than it is used, waits."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable

from engine.kinds.base import Row


class Channel:
    """Many producers, one consumer, in one event loop. Holds `capacity` rows, give or take a batch."""

    def __init__(self, capacity: int = 1_000, batch: int = 256):
        self.capacity, self.batch = capacity, batch
        self.rows: deque[Row] = deque()
        self.closed = self.abandoned = False
        self.filled = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()

    async def put(self, rows: Iterable[Row]) -> None:
        """Hand rows on; waits first while the channel is full."""
        while len(self.rows) >= self.capacity and not self.abandoned:
            self.room.clear()
            await self.room.wait()
        if self.abandoned:
            return
        self.rows.extend(rows)
        self.filled.set()

    def close(self) -> None:
        """No more rows will come."""
        self.closed = True
        self.filled.set()

    def abandon(self) -> None:
        """The consumer has stopped: what is handed to it goes nowhere, and nobody waits for it."""
        self.abandoned = self.closed = True
        self.rows.clear()
        self.filled.set()
        self.room.set()

    async def batches(self) -> AsyncIterator[list[Row]]:
        """All that has come, a batch at a time, until the channel is closed and empty."""
        while True:
            while self.rows:
                take = [self.rows.popleft() for _ in range(min(self.batch, len(self.rows)))]
                if len(self.rows) < self.capacity:
                    self.room.set()
                yield take
            if self.closed:
                return
            self.filled.clear()
            await self.filled.wait()
