"""How often Python looks for cycles of garbage while rows are under way.

Nothing else about memory is decided here.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

CONTAINERS = 50_000
"""Containers that come to be, less those that go, between two searches.

Rows under way are many, alive, and hold no cycles: searched at Python's usual 700 they took
18 % of the CPU of a run (measured with one prompt over 5,000 rows at no latency).
"""

_lock = threading.Lock()
_users = 0
_before = (0, 0, 0)
_frozen = False


@contextlib.contextmanager
def seldom() -> Iterator[None]:
    """Search seldom until the block ends; blocks may overlap, the last to end puts things back."""
    global _users, _before, _frozen
    with _lock:
        _users += 1
        if _users == 1:
            _before = gc.get_threshold()
            if _before[0] > 0:  # 0: somebody has turned it off
                gc.set_threshold(CONTAINERS, *_before[1:])
            _frozen = gc.get_freeze_count() == 0
            if _frozen:  # modules and what they made are not looked through each time
                gc.freeze()
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                gc.set_threshold(*_before)
                if _frozen:
                    gc.unfreeze()
