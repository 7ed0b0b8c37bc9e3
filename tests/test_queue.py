"""Who goes next at an endpoint: most places to the highest priority, a share to the lowest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.models.queue import SHARE, Queue

WAITING = st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=60)


def filled(priorities: list[int]) -> Queue[tuple[int, int]]:
    queue: Queue[tuple[int, int]] = Queue()
    for turn, priority in enumerate(priorities):
        queue.push(priority, turn, (priority, turn))
    return queue


def test_the_lowest_gets_its_share_as_long_as_it_waits() -> None:
    queue = filled([0] * 4 + [1] + [2] * 7)
    order = []
    while queue:
        order.append(queue.pop()[1][0])
    assert SHARE == 3
    assert order == [2, 2, 0, 2, 2, 0, 2, 2, 0, 2, 1, 0]


def test_a_call_that_is_tried_again_goes_by_its_turn() -> None:
    queue = filled([1, 1])
    (turn, first), again = queue.pop(), (1, -1)
    assert (turn, first) == (0, (1, 0))
    queue.push(1, -1, again)
    assert queue.pop() == (-1, again)


def test_who_has_gone_away_takes_nobodys_share() -> None:
    queue = filled([0, 0, 1, 1, 1, 1])
    for _ in range(3):
        queue.pop(given=False)
    assert [queue.pop()[1][0] for _ in range(3)] == [1, 0, 0]


def test_nobody_waits() -> None:
    queue = filled([])
    assert not queue
    assert queue.all() == []
    with pytest.raises(ValueError, match="empty"):
        queue.first()


@given(WAITING)
def test_each_comes_once_and_in_the_order_of_its_priority(steps: list[tuple[int, bool]]) -> None:
    queue: Queue[tuple[int, int]] = Queue()
    left: set[tuple[int, int]] = set()
    out: list[tuple[int, int]] = []
    for turn, (priority, put) in enumerate(steps):
        if put or not queue:
            queue.push(priority, turn, (priority, turn))
            left.add((priority, turn))
        else:
            turn_of_first, first = queue.first()
            assert queue.pop() == (turn_of_first, first)
            out.append(first)
            left.remove(first)
            assert turn_of_first < min((t for p, t in left if p == first[0]), default=len(steps))
        assert sorted(queue.all()) == sorted(left)
    while queue:
        out.append(queue.pop()[1])
    assert len(set(out)) == len(out)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_nobody_waits_for_ever(priorities: list[int]) -> None:
    """New ones of the highest priority may come without end: those of the lowest come to their turn."""
    queue = filled(priorities)
    lowest = sum(priority == min(priorities) for priority in priorities)
    for extra in range(SHARE * lowest):
        queue.push(9, 100 + extra, (9, 100 + extra))
        queue.pop()
    assert all(priority != min(priorities) for priority, _ in queue.all())
