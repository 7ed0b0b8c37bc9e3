"""The driver's side of executors: how a request reaches one, and how its reply comes back once.

Rows ask one by one. `Here` sends them off directly, `Batches` gathers what comes together into
batches for an executor, submits again what it loses, and keeps the first of several replies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Protocol

from engine.models.base import Halted, Model, Reply, Request
from engine.runtime.executors import Executor, Job

if TYPE_CHECKING:
    from engine.language.program import ModelSpec

SIZE = 100  # requests in a batch, at most
TRIES = 3  # how often a request is submitted, where it is lost with whoever had it
SMALLER = 10  # so many times smaller is each further try's batch: one request may be what kills a worker
GRACE = 5.0  # seconds that a batch has to end in, once all of it is answered


class Entry(Protocol):
    """Counts a reply and writes it to the ledger; `spare` where another one answers the request."""

    def __call__(self, reply: Reply, spare: bool = False) -> None:
        """Do so at once."""
        ...


class Sender(Protocol):
    """Gets a request answered."""

    def call(self, model: Model, request: Request, priority: float, entry: Entry) -> Awaitable[Reply]:
        """The reply, which the caller enters. Raises `Halted`.

        `entry` is for replies that were paid for and that nobody waits for any more.
        """
        ...

    def halt(self) -> None:
        """Send nothing new."""
        ...

    async def close(self) -> None:
        """Give back what is held."""
        ...


class Here:
    """The local executor without batches: they would cost each row a future and a task, for nothing."""

    def call(self, model: Model, request: Request, priority: float, entry: Entry) -> Awaitable[Reply]:
        """See `Sender`."""
        return model.call(request, priority)

    def halt(self) -> None:
        """Models are halted by who opened them."""

    async def close(self) -> None:
        """They hold the connections."""


@dataclass(slots=True)
class Waiting:
    """A job that somebody waits for."""

    job: Job
    reply: asyncio.Future[Reply]
    entry: Entry
    tries: int = 0


class Batches:
    """Hands requests to an executor, which is made at the first of them."""

    def __init__(self, make: Callable[[], Executor], spec_of: Callable[[str], ModelSpec]):
        self.make, self.spec_of = make, spec_of
        self.executor: Executor | None = None
        self.ids = count(1)
        self.specs: dict[str, ModelSpec] = {}
        self.gathered: dict[str, list[Waiting]] = {}  # by the model's name, since the loop last turned
        self.streams: dict[asyncio.Task[None], dict[int, Waiting]] = {}  # batches under way: what they owe
        self.halted = False

    async def call(self, model: Model, request: Request, priority: float, entry: Entry) -> Reply:
        """See `Sender`."""
        name = model.spec.name
        if name not in self.specs:
            self.specs[name] = replace(self.spec_of(name), span=None)
        if self.specs[name].provider != "offline":
            request = replace(request, values=None)  # only the stand-in reads them
        loop = asyncio.get_running_loop()
        waiting = Waiting(Job(next(self.ids), request, priority), loop.create_future(), entry)
        if not self.gathered:
            loop.call_soon(self.flush)
        self.gathered.setdefault(name, []).append(waiting)
        return await waiting.reply

    def flush(self) -> None:
        """Submit what has come together."""
        gathered, self.gathered = self.gathered, {}
        for name, all_waiting in gathered.items():
            self.submit(name, all_waiting, SIZE)

    def submit(self, name: str, all_waiting: Sequence[Waiting], size: int) -> None:
        for start in range(0, len(all_waiting), size):
            owed = {waiting.job.id: waiting for waiting in all_waiting[start : start + size]}
            task = asyncio.get_running_loop().create_task(self.follow(name, owed))
            self.streams[task] = owed
            task.add_done_callback(lambda done: self.streams.pop(done, None))

    async def follow(self, name: str, owed: dict[int, Waiting]) -> None:
        """One batch, until it has no more answers; what it still owes then is submitted again."""
        if self.halted:
            for waiting in owed.values():
                _refuse(waiting)
            owed.clear()
            return
        answered: dict[int, tuple[Waiting, Reply]] = {}
        why = "its answers ended early"
        try:
            if self.executor is None:
                self.executor = self.make()
            jobs = [waiting.job for waiting in owed.values()]
            async for id, reply in self.executor.submit(self.specs[name], jobs):
                if id in owed:
                    waiting = owed.pop(id)
                    if reply is None:
                        _refuse(waiting)
                    else:
                        answered[id] = waiting, reply
                        _give(waiting, reply)
                elif reply is not None and id in answered:
                    _again(*answered[id], reply)
        except Exception as error:  # whatever an executor dies of, its requests are not lost with it
            why = str(error) or type(error).__name__
        finally:
            lost = list(owed.values())
            owed.clear()
        again = []
        for waiting in lost:
            waiting.tries += 1
            if waiting.tries < TRIES:
                again.append(waiting)
            else:
                _give(waiting, _nobody(why))
        if again:
            self.submit(name, again, max(1, SIZE // SMALLER ** again[0].tries))

    def halt(self) -> None:
        """Send nothing new; what is submitted is answered, if only to say that it is not sent."""
        self.halted = True
        if self.executor is not None:
            self.executor.halt()

    async def close(self) -> None:
        """What is answered may end; what nobody waits for any more is given up."""
        ending = [task for task, owed in self.streams.items() if not owed]
        if ending:
            await asyncio.wait(ending, timeout=GRACE)
        left = list(self.streams)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if self.executor is not None:
            await self.executor.close()


def _give(waiting: Waiting, reply: Reply) -> None:
    """The first reply: whoever waits gets it; if nobody does, it was paid for all the same."""
    if not waiting.reply.done():
        waiting.reply.set_result(reply)
    elif reply.status != "error":
        waiting.entry(reply)


def _again(waiting: Waiting, first: Reply, reply: Reply) -> None:
    """A further reply: the same one delivered twice, or one that was paid for too."""
    if reply != first and reply.status != "error":
        waiting.entry(reply, spare=first.status != "error")


def _refuse(waiting: Waiting) -> None:
    if not waiting.reply.done():
        waiting.reply.set_exception(Halted())


def _nobody(why: str) -> Reply:
    said = f"lost {TRIES} times with whoever was to answer: {why}"
    return Reply("error", error=said, fault="transport", attempts=TRIES)
