"""Limits of an endpoint: places, priorities, concurrency that finds itself, rates, the breaker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.models.base import Halted
from engine.models.faults import LIMITED_FOR, Failure, Retries, retry_after
from engine.models.limits import BREAKS_AFTER, COOL_DOWN, STORM, Broken, Limits, Place

DEAD = Failure("transport", "cannot connect", retry=True)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        return await work()

    return asyncio.run(main())


def test_no_more_than_parallel_are_under_way() -> None:
    async def work() -> None:
        limits = Limits(3)
        most = 0

        async def one() -> None:
            nonlocal most
            place = await limits.acquire()
            most = max(most, limits.in_flight)
            await asyncio.sleep(0)
            limits.release(place, "ok")

        await asyncio.gather(*(one() for _ in range(50)))
        assert most == 3
        assert limits.in_flight == 0
        assert limits.waiting == 0

    run(work)


def test_most_go_by_the_highest_priority_then_in_the_order_of_arrival() -> None:
    async def work() -> list[str]:
        limits = Limits(1)
        first = await limits.acquire()
        order: list[str] = []

        async def one(name: str, priority: float) -> None:
            place = await limits.acquire(priority)
            order.append(name)
            limits.release(place, "ok")

        tasks = [
            asyncio.create_task(one(n, p)) for n, p in [("a", 0), ("b", 2), ("c", 0), ("d", 2), ("e", 1)]
        ]
        await settle()
        limits.release(first, "ok")
        await asyncio.gather(*tasks)
        return order

    assert run(work) == ["b", "d", "a", "e", "c"]  # the third place is the lowest priority's


def test_a_call_that_tries_again_keeps_its_turn() -> None:
    async def work() -> list[str]:
        limits = Limits(1)
        place = await limits.acquire()
        order: list[str] = []

        async def one(name: str, turn: int | None) -> None:
            mine = await limits.acquire(turn=turn)
            order.append(name)
            limits.release(mine, "ok")

        tasks = [asyncio.create_task(one("later", None))]
        await settle()
        tasks.append(asyncio.create_task(one("again", place.turn)))
        await settle()
        limits.release(place, "failed")
        await asyncio.gather(*tasks)
        return order

    assert run(work) == ["again", "later"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6), st.booleans()), max_size=30), st.integers(1, 4)
)
def test_a_cancelled_call_loses_no_place(calls: list[tuple[int, int, bool]], parallel: int) -> None:
    async def work() -> None:
        limits = Limits(parallel)

        async def one(priority: int, steps: int) -> None:
            place = await limits.acquire(priority)
            assert limits.in_flight <= parallel
            try:
                for _ in range(steps):
                    await asyncio.sleep(0)
            finally:
                limits.release(place, "ok")

        tasks = [(asyncio.create_task(one(priority, steps)), cancel) for priority, steps, cancel in calls]
        for task, cancel in tasks:
            await asyncio.sleep(0)
            if cancel:
                task.cancel()
        done = await asyncio.gather(*(task for task, _ in tasks), return_exceptions=True)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in done)
        assert limits.in_flight == 0
        place = await asyncio.wait_for(limits.acquire(), 1)
        limits.release(place, "ok")

    run(work)


async def taken(limits: Limits, count: int) -> list[Place]:
    return [await limits.acquire() for _ in range(count)]


def test_a_burst_of_refusals_takes_half_of_the_places_at_most() -> None:
    async def work() -> None:
        limits = Limits(64)
        places = await taken(limits, 64)
        for place in places:
            limits.release(place, "limited")
        assert limits.limit == 32
        for place in await taken(limits, 32):  # sent after the decrease: they count again
            limits.release(place, "limited")
        assert limits.limit == 16

    run(work)


def test_a_burst_takes_as_many_places_as_were_refused() -> None:
    async def work() -> None:
        limits = Limits(64)
        places = await taken(limits, 64)
        for place in places[:10]:
            limits.release(place, "limited")
        assert limits.limit == 54
        for place in places[10:]:
            limits.release(place, "ok")
        assert limits.limit == 54

    run(work)


def test_many_places_are_given_little_by_little() -> None:
    """So that the first refusal is heard before all are sent."""

    async def work() -> tuple[list[int], list[int]]:
        seen: list[list[int]] = []
        for refused in (False, True):
            limits = Limits(256)
            calls = [asyncio.create_task(limits.acquire()) for _ in range(256)]
            await settle()
            seen.append([limits.in_flight])
            if refused:
                limits.release(await calls[0], "limited")
                await settle()
            await asyncio.sleep(0.8)
            seen[-1].append(limits.in_flight)
            for call in calls:
                call.cancel()
        return seen[0], seen[1]

    assert run(work) == ([64, 256], [64, 63])


@pytest.mark.parametrize(("answered", "paused"), [(False, True), (True, False)])
def test_everyone_waits_only_where_fewer_at_a_time_do_not_help(answered: bool, paused: bool) -> None:
    async def work() -> tuple[float, float]:
        clock = Clock()
        limits = Limits(8, clock=clock)
        first = await taken(limits, 8)
        own = limits.refused(first[0], 5.0)
        for place in first:
            limits.release(place, "limited")
        second = await taken(limits, 4)
        if answered:
            limits.release(second.pop(), "ok")
        return own, limits.refused(second[0], 5.0)

    assert run(work) == (5.0, 0.0 if paused else 5.0)


def test_who_rests_is_sent_away_when_the_run_stops() -> None:
    async def work() -> None:
        limits = Limits(1)
        resting = asyncio.create_task(limits.rest(60))
        await settle()
        limits.halt()
        with pytest.raises(Halted):
            await asyncio.wait_for(resting, 1)

    run(work)


def test_a_place_that_was_just_given_is_not_used_once_halted() -> None:
    """The reply that frees it may be the one that stops the run: only afterwards is its cost known."""

    async def work() -> None:
        limits = Limits(1)
        first = await limits.acquire()
        second = asyncio.create_task(limits.acquire())
        await settle()
        limits.release(first, "ok")
        limits.halt()
        with pytest.raises(Halted):
            await second
        assert limits.in_flight == 0

    run(work)


def test_successes_give_places_back_until_parallel() -> None:
    async def work() -> None:
        limits = Limits(8)
        limits.release(await limits.acquire(), "limited")
        assert limits.limit == 6
        for _ in range(200):
            limits.release(await limits.acquire(), "ok")
        assert limits.limit == 8

    run(work)


def test_a_limit_never_falls_below_one() -> None:
    async def work() -> None:
        limits = Limits(2)
        for _ in range(20):
            limits.release(await limits.acquire(), "limited")
        assert limits.limit == 1
        await asyncio.wait_for(limits.acquire(), 1)

    run(work)


@pytest.mark.parametrize("cap", [5, 20, 50])
def test_concurrency_finds_the_cap_of_the_endpoint(cap: int) -> None:
    async def work() -> tuple[int, float]:
        limits = Limits(64)
        under_way = refused = 0
        left = 3_000
        used: list[int] = []

        async def worker() -> None:
            nonlocal under_way, refused, left
            while left > 0:
                place = await limits.acquire()
                under_way += 1
                over = under_way > cap
                if not over:
                    used.append(under_way)
                    await asyncio.sleep(0.001)
                    left -= 1
                under_way -= 1
                refused += over
                limits.release(place, "limited" if over else "ok")
                if over:
                    await asyncio.sleep(0.002)

        await asyncio.gather(*(worker() for _ in range(64)))
        assert refused < 0.2 * 3_000
        late = used[len(used) // 2 :]
        return max(late), sum(late) / len(late)

    most, mean = run(work)
    assert cap * 0.9 <= most <= cap
    assert cap * 0.4 <= mean


def test_everyone_waits_until_the_pause_is_over() -> None:
    async def work() -> float:
        limits = Limits(4)
        place = await limits.acquire()
        limits.pause(0.15)
        limits.release(place, "limited")
        started = time.monotonic()
        await asyncio.gather(*(limits.acquire() for _ in range(3)))
        return time.monotonic() - started

    assert 0.13 <= run(work) < 0.5


def test_requests_a_minute_hold_over_time() -> None:
    async def work() -> tuple[int, float]:
        limits = Limits(100, rpm=6_000)  # a hundred a second, one second's worth at once
        started = time.monotonic()
        for _ in range(140):
            limits.release(await limits.acquire(), "ok")
        return 140, time.monotonic() - started

    count, seconds = run(work)
    assert seconds >= (count - 100) / 100 - 0.05
    assert seconds < 1.0


def test_tokens_a_minute_count_what_was_really_taken() -> None:
    async def work() -> float:
        limits = Limits(10, tpm=60_000)  # a thousand a second
        place = await limits.acquire(tokens=10)
        limits.release(place, "ok", tokens=1_200)  # took far more than expected
        started = time.monotonic()
        limits.release(await limits.acquire(tokens=10), "ok", tokens=10)
        return time.monotonic() - started

    assert 0.15 <= run(work) < 0.6


def test_a_call_larger_than_the_bucket_is_let_through_and_paid_off() -> None:
    clock = Clock()

    async def work() -> None:
        limits = Limits(10, tpm=600, clock=clock)  # ten a second
        limits.release(await asyncio.wait_for(limits.acquire(tokens=100), 1), "ok", tokens=100)
        task = asyncio.create_task(limits.acquire(tokens=5))
        await settle()
        assert not task.done()
        clock.now += 9.6
        place = await limits.acquire(priority=1, tokens=1)  # the debt is paid after nine seconds and a bit
        limits.release(place, "ok")
        task.cancel()

    run(work)


def test_the_circuit_opens_after_failures_in_a_row_and_frees_whoever_waits() -> None:
    async def work() -> None:
        limits = Limits(1)
        place = await limits.acquire()
        waiting = [asyncio.create_task(limits.acquire()) for _ in range(5)]
        await settle()
        for _ in range(BREAKS_AFTER):
            limits.failed(DEAD)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [Broken] * 5
        assert limits.broken is DEAD
        with pytest.raises(Broken, match="cannot connect"):
            await limits.acquire()
        limits.release(place, "failed")
        assert limits.in_flight == 0

    run(work)


def test_a_success_between_failures_keeps_the_circuit_closed() -> None:
    async def work() -> None:
        limits = Limits(4)
        for _ in range(BREAKS_AFTER * 3):
            limits.failed(DEAD)
            limits.release(await limits.acquire(), "ok")

    run(work)


@pytest.mark.parametrize("fault", ["request", "limited", "server", "timeout"])
def test_faults_of_single_calls_do_not_open_the_circuit(fault: Any) -> None:
    async def work() -> None:
        limits = Limits(4)
        for _ in range(BREAKS_AFTER * 2):
            limits.failed(Failure(fault, "no"))
        await limits.acquire()

    run(work)


@pytest.mark.parametrize("fault", ["limited", "server", "timeout"])
def test_a_long_row_of_them_does(fault: Any) -> None:
    async def work() -> None:
        limits = Limits(4)
        for _ in range(STORM):
            limits.failed(Failure(fault, "no"))
        with pytest.raises(Broken):
            await limits.acquire()

    run(work)


def test_who_waits_is_sent_away_when_the_run_stops() -> None:
    async def work() -> None:
        limits = Limits(1)
        place = await limits.acquire()
        waiting = asyncio.ensure_future(limits.acquire())
        await asyncio.sleep(0)
        limits.halt()
        with pytest.raises(Halted):
            await waiting
        limits.release(place, "ok")
        with pytest.raises(Halted):
            await limits.acquire()

    run(work)


def test_after_a_while_one_call_tries_whether_the_endpoint_is_back() -> None:
    clock = Clock()

    async def work() -> None:
        limits = Limits(4, clock=clock)
        for _ in range(BREAKS_AFTER):
            limits.failed(DEAD)
        clock.now += COOL_DOWN + 1
        probe = await limits.acquire()
        with pytest.raises(Broken):
            await limits.acquire()  # the others wait for what the first one finds
        limits.release(probe, "failed")
        limits.failed(DEAD)
        with pytest.raises(Broken):
            await limits.acquire()
        clock.now += COOL_DOWN + 1
        limits.release(await limits.acquire(), "ok")
        assert limits.broken is None
        await asyncio.gather(*(limits.acquire() for _ in range(4)))

    run(work)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": "0.25"}, 0.25),
        ({"Retry-After": "-3"}, 0.0),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_reads_a_date_to_come() -> None:
    from email.utils import formatdate

    wait = retry_after({"Retry-After": formatdate(time.time() + 30, usegmt=True)})
    assert wait is not None
    assert 28 <= wait <= 30


def test_a_few_tries_for_a_fault_and_all_together_less_than_four_seconds() -> None:
    retries = Retries()
    pauses = []
    while (pause := retries.pause(DEAD)) is not None:
        pauses.append(pause)
    assert len(pauses) == 4
    assert pauses == sorted(pauses)
    assert sum(pauses) < 4


def test_being_told_to_slow_down_counts_towards_no_tries_but_has_an_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 50.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    limited = Failure("limited", "429", retry=True, slow_down=True)
    retries = Retries()
    assert all(retries.pause(limited) is not None for _ in range(100))
    assert retries.pause(DEAD) is not None
    now += LIMITED_FOR + 1
    assert retries.pause(limited) is None
