"""What the endpoint has seen: counted, and the latest requests kept to be looked at."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from typing import Any


class Counters:
    """Zeroed by `POST /reset`; requests that are under way then are still counted as such."""

    def __init__(self, record: int, in_flight: int = 0, open_connections: int = 0):
        self.calls = 0
        self.ok = 0
        self.aborted = 0  # the client was gone when its answer was ready
        self.in_flight = in_flight
        self.max_in_flight = in_flight
        self.connections = 0
        self.open_connections = open_connections
        self.statuses: Counter[int] = Counter()
        self.by_model: Counter[str] = Counter()
        self.by_node: Counter[str] = Counter()
        self.by_path: Counter[str] = Counter()
        self.answered: Counter[bytes] = Counter()  # request -> answers of 200
        self.seen: Counter[bytes] = Counter()
        self.requests: deque[dict[str, Any]] = deque(maxlen=record)
        self.first: float | None = None
        self.last: float | None = None

    def arrived(self) -> None:
        """A request for a completion is there."""
        self.calls += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        if self.first is None:
            self.first = time.monotonic()

    def left(self, status: int, request: bytes, taken: bool) -> None:
        """Its answer is sent, or would have been."""
        self.in_flight -= 1
        self.statuses[status] += 1
        self.last = time.monotonic()
        if not taken:
            self.aborted += 1
        elif status == 200:
            self.ok += 1
            self.answered[request] += 1

    def asked(self, model: str, prompt: str, marker: re.Pattern[str] | None) -> None:
        """Whom the request is for, and which node of a graph it comes from."""
        self.by_model[model] += 1
        if marker is not None and (found := marker.search(prompt)):
            self.by_node[found[1]] += 1

    def as_dict(self) -> dict[str, Any]:
        """JSON-able. `repeated` counts answers to a request that had been answered before."""
        wall = self.last - self.first if self.first is not None and self.last is not None else 0.0
        return {
            "calls": self.calls,
            "ok": self.ok,
            "aborted": self.aborted,
            "distinct": len(self.answered),
            "repeated": sum(self.answered.values()) - len(self.answered),
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "connections": self.connections,
            "open_connections": self.open_connections,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "by_model": dict(self.by_model),
            "by_node": dict(self.by_node),
            "by_path": dict(self.by_path),
            "wall": round(wall, 4),
        }
