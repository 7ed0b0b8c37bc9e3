"""How much may be asked of one endpoint at a time, and who goes first.

Places that calls queue for, concurrency that finds itself, pauses that the endpoint asks
for, requests and tokens a minute, and a circuit breaker. Knows nothing of HTTP or messages;
belongs to one event loop and needs no lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from engine.models.base import Fault, Halted
from engine.models.faults import Failure
from engine.models.queue import Queue

Outcome = Literal["ok", "limited", "failed"]

START = 64  # places at first; half as many more at each step while calls wait and none was refused
ROUND_TRIPS = 2.0  # a step: a refusal comes at once, so it is heard before many more are sent
STEP = (0.025, 0.1)  # seconds: the least and the most that a step takes
TURNS = 4  # of the loop, from bytes that have come to a call that knows of its refusal
LEAST_LEFT = 0.5  # of the places, after a burst of which all were refused
DECREASE = 0.75  # of the places, where few of them were taken: it cannot be told how many are too many
NEAR_CEILING = 0.9  # from here on growth is slow: this is about where it was too much before
SLOW_GROWTH = 0.1
BREAKING: frozenset[Fault] = frozenset({"authentication", "model", "transport"})
STORMS: frozenset[Fault] = frozenset({"server", "timeout", "limited"})
"""Faults that single calls meet too: only a longer row of them means that the endpoint is down."""
BREAKS_AFTER = 8  # calls in a row
STORM = 24  # calls in a row
COOL_DOWN = 30.0  # seconds until one call may try whether the endpoint is back


class Broken(Exception):
    """The endpoint is taken to be dead; `failure` is what it died of."""

    def __init__(self, failure: Failure):
        super().__init__(failure.message)
        self.failure = failure


@dataclass(slots=True)
class Place:
    """The right to have one request under way. `turn` keeps its order for the next try."""

    turn: int
    generation: int
    tokens: int
    probe: bool


@dataclass(slots=True)
class _Waiting:
    """A call without a place yet."""

    tokens: int
    given: asyncio.Future[Place]
    probe: bool


class Bucket:
    """A token bucket: `per_minute`, of which a second's worth can be taken at once.

    It may be overdrawn by one taker, who could otherwise wait for ever when it wants more than
    the bucket holds; those who follow wait until the debt is paid.
    """

    __slots__ = ("_at", "_level", "_rate", "_size")

    def __init__(self, per_minute: float, now: float):
        self._rate = per_minute / 60
        self._size = max(1.0, self._rate)
        self._level = self._size
        self._at = now

    def delay(self, amount: float, now: float) -> float:
        """Seconds until `amount` can be taken."""
        self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        missing = min(amount, self._size) - self._level
        return missing / self._rate if missing > 1e-9 else 0.0

    def take(self, amount: float) -> None:
        """Take; negative amounts are given back."""
        self._level -= amount


class Limits:
    """The limits of one endpoint.

    Up to `parallel` places, given as `Queue` says. They become more while all goes well. When the
    endpoint says that it is too much, they become fewer by as many as it refused of the requests that
    were under way together, by half at most; each round of successes gives one back.
    `rpm` and `tpm` are requests and tokens a minute. `clock` gives seconds and never goes back.
    """

    def __init__(
        self,
        parallel: int,
        rpm: float | None = None,
        tpm: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.parallel = max(1, parallel)
        self.in_flight = 0
        self._clock = clock
        self._allowed = float(min(START, self.parallel))
        self._ramping = self._allowed < self.parallel
        self.step = STEP[1]  # until it is known how far the endpoint is away
        self._ceiling = math.inf
        self._floor = 1.0
        self._generation = 0
        self._taken = True  # a request of this generation was answered
        self._asked_until = 0.0
        self._turns = itertools.count()
        self._queue: Queue[_Waiting] = Queue()
        self._paused_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        now = clock()
        self._requests = Bucket(rpm, now) if rpm else None
        self._tokens = Bucket(tpm, now) if tpm else None
        self._answered = False  # it did, at least once
        self._lost_since: float | None = None  # since when it has not been reached
        self._halted = False
        self._stopped = asyncio.Event()
        self._failures = 0
        self._broken: Failure | None = None
        self._try_at = 0.0
        self._probing = False

    @property
    def limit(self) -> int:
        """Requests that may be under way now: `parallel`, or fewer where that was too much."""
        return int(self._allowed)

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return sum(not one.given.done() for one in self._queue.all())

    @property
    def broken(self) -> Failure | None:
        """Why the circuit is open, if it is."""
        return self._broken

    async def acquire(self, priority: float = 0.0, turn: int | None = None, tokens: int = 0) -> Place:
        """Wait for a place; every place is given back by `release`.

        `turn` is that of an earlier try of the same call, which keeps its order. Raises
        `Broken` or `Halted`, at once or while waiting, when the circuit opens or the run stops.
        """
        if self._halted:
            raise Halted
        probe = self._admit()
        turn = next(self._turns) if turn is None else turn
        if not self._queue and self._delay(tokens) == 0.0:
            return self._grant(turn, tokens, probe)
        future: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._queue.push(priority, turn, _Waiting(tokens, future, probe))
        self._dispatch()
        try:
            given = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release(future.result(), "failed")
            elif probe:
                self._probing = False
            raise
        if self._halted:  # it was given by a call whose reply then stopped the run
            self.release(given, "failed")
            raise Halted
        return given

    def release(self, place: Place, outcome: Outcome, tokens: int | None = None) -> None:
        """Give a place back and say how it went; `tokens` is what the call really took."""
        self.in_flight -= 1
        if place.probe:
            self._probing = False
        if outcome == "ok":
            self._answered, self._lost_since = True, None
            self._failures = 0
            self._broken = None
            self._taken = self._taken or place.generation == self._generation
            self._grow()
        elif outcome == "limited":
            self._shrink(place)
        if self._tokens is not None and tokens is not None:
            self._tokens.take(tokens - place.tokens)
        if self._queue:
            self._dispatch()

    def refused(self, place: Place, wait: float) -> float:
        """The endpoint refused a request and asked to `wait`: seconds that this call must wait itself.

        Too many at a time is mended by fewer places, and the others go on. Where what was sent after
        that is refused too, and nothing of it was taken, it is the rate: then everyone waits.
        """
        now = self._clock()
        if now < self._asked_until and place.generation == self._generation and not self._taken:
            self.pause(wait)
            return 0.0
        self._asked_until = max(self._asked_until, now + wait)
        return wait

    async def rest(self, seconds: float) -> None:
        """Wait so long without a place. Raises `Halted` as soon as the run stops."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopped.wait(), seconds)
            raise Halted

    def pause(self, seconds: float) -> None:
        """Let nobody go for so long: the endpoint asked for it."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def connected(self, seconds: float) -> None:
        """How long it took to connect: as long as a refusal needs to come."""
        step = max(STEP[0], ROUND_TRIPS * seconds)
        if step < self.step:
            self.step = step
            if self._ramping and self._queue:
                self._wake_in(step)

    def lost(self) -> float | None:
        """The endpoint was not reached: for how many seconds by now, or None if it never answered."""
        if self._lost_since is None:
            self._lost_since = self._clock()
        return self._clock() - self._lost_since if self._answered else None

    def halt(self) -> None:
        """Give no more places; what is under way goes on."""
        self._halted = True
        self._stopped.set()
        self._send_away(Halted())

    def failed(self, failure: Failure) -> None:
        """A call has failed for good. Too many in a row open the circuit for all who wait."""
        if failure.fault not in BREAKING | STORMS:
            return
        self._failures += 1
        if self._failures < (BREAKS_AFTER if failure.fault in BREAKING else STORM):
            return
        self._broken = failure
        self._try_at = self._clock() + COOL_DOWN
        self._send_away(Broken(failure))

    def _send_away(self, reason: Exception) -> None:
        """Tell all who wait that they wait in vain."""
        queue, self._queue = self._queue, Queue()
        for one in queue.all():
            if one.probe:
                self._probing = False
            if not one.given.done():
                one.given.set_exception(reason)

    def _admit(self) -> bool:
        """Whether this call is the one that tries if a dead endpoint is back."""
        if self._broken is None:
            return False
        if self._probing or self._clock() < self._try_at:
            raise Broken(self._broken)
        self._probing = True
        return True

    def _grow(self) -> None:
        if self._allowed < self.parallel:
            step = 1.0 if self._allowed < self._ceiling * NEAR_CEILING else SLOW_GROWTH
            self._allowed = min(float(self.parallel), self._allowed + step / self._allowed)

    def _shrink(self, place: Place) -> None:
        """One refusal: those that were under way together give up a place each."""
        if place.generation == self._generation:
            self._generation += 1
            self._taken = self._ramping = False
            used, fewer = self.in_flight + 1.0, self._allowed * DECREASE
            self._ceiling = self._allowed
            if used < fewer:
                self._allowed = self._floor = max(1.0, fewer)
            else:
                self._allowed = min(self._allowed, used)
                self._floor = max(1.0, self._allowed * LEAST_LEFT)
        if place.generation == self._generation - 1 and self._allowed > self._floor:
            self._allowed = max(self._floor, self._allowed - 1)
            if self._allowed > self._floor:
                self._ceiling = self._allowed + 1

    def _delay(self, tokens: int) -> float:
        """Seconds until the next may go; infinite when that needs a place to come free."""
        if self.in_flight >= int(self._allowed):
            return math.inf
        if not self._paused_until and self._requests is None and self._tokens is None:
            return 0.0
        now = self._clock()
        delay = max(0.0, self._paused_until - now)
        if delay == 0.0:
            self._paused_until = 0.0
        if self._requests is not None:
            delay = max(delay, self._requests.delay(1, now))
        if self._tokens is not None:
            delay = max(delay, self._tokens.delay(tokens, now))
        return delay

    def _grant(self, turn: int, tokens: int, probe: bool) -> Place:
        self.in_flight += 1
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(tokens)
        return Place(turn, self._generation, tokens, probe)

    def _dispatch(self) -> None:
        while self._queue:
            turn, one = self._queue.first()
            if one.given.done():  # given up while it waited
                self._queue.pop(given=False)
                continue
            delay = self._delay(one.tokens)
            if delay > 0.0:
                if delay < math.inf or self._ramping:
                    self._wake_in(min(delay, self.step) if self._ramping else delay)
                return
            self._queue.pop()
            one.given.set_result(self._grant(turn, one.tokens, one.probe))

    def _wake_in(self, delay: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + delay:
                return  # it comes first, looks, and sets the next one
            self._timer.cancel()
        self._timer = loop.call_later(delay, self._woken)

    def _woken(self) -> None:
        self._timer = None
        if self._ramping:
            self._look(TURNS)
        else:
            self._dispatch()

    def _look(self, turns: int) -> None:
        """A step of the beginning, once what lies unread has had its turn: it may be a refusal."""
        if turns:
            asyncio.get_running_loop().call_soon(self._look, turns - 1)
            return
        if self._ramping and self.in_flight >= int(self._allowed):
            self._allowed = min(float(self.parallel), 1.5 * self._allowed)
            self._ramping = self._allowed < self.parallel
        self._dispatch()
