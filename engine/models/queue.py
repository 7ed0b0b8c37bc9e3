"""Calls that wait for a place at an endpoint, and which of them goes next."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

Waiting = TypeVar("Waiting")

SHARE = 3
"""Every so many places go to the lowest priority. Were all given to the highest, those with the longest
way to go would begin last, and a run would end with few calls under way (`docs/decisions/scheduler.md`).
"""


class Queue(Generic[Waiting]):
    """Two of three go by the highest priority, one by the lowest; those of one priority by their turn."""

    __slots__ = ("_given", "_lines")

    def __init__(self) -> None:
        self._lines: dict[float, list[tuple[int, Waiting]]] = {}
        self._given = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    def push(self, priority: float, turn: int, waiting: Waiting) -> None:
        """Let one wait. No two have the same priority and turn."""
        heapq.heappush(self._lines.setdefault(priority, []), (turn, waiting))

    def first(self) -> tuple[int, Waiting]:
        """Who goes next, with its turn. Raises `ValueError` where nobody waits."""
        return self._lines[self._priority()][0]

    def pop(self, given: bool = True) -> tuple[int, Waiting]:
        """Take away who goes next; not `given` is one that wants no place any more."""
        priority = self._priority()
        line = self._lines[priority]
        first = heapq.heappop(line)
        if not line:
            del self._lines[priority]
        self._given += given
        return first

    def all(self) -> list[Waiting]:
        """All that wait, in no order."""
        return [waiting for line in self._lines.values() for _, waiting in line]

    def _priority(self) -> float:
        return (min if self._given % SHARE == SHARE - 1 else max)(self._lines)
