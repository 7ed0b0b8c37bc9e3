"""Every reply a run gets: from the memo where it is known, else for money, and never twice.

One request is paid once: two rows that ask the same at the same time share the reply. What
was paid is written to `calls` before anything is made of it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from engine.kinds.base import Row
from engine.models.base import Halted, Model, Reply, Request, Status
from engine.runtime.batches import Here, Sender
from engine.runtime.events import NodeProgress
from engine.store.records import CallRecord

if TYPE_CHECKING:
    from engine.store.records import Memo
    from engine.store.store import Store


DOUBT = 2.0
"""How much dearer than estimated a call may come, before one of its node has shown what they cost."""


class Stopping(Exception):
    """The run winds down: nothing new is asked."""


class Down(Exception):
    """The endpoint is taken to be dead: rows that would ask it stay undecided."""


class Unpaid(Exception):
    """In a dry run: this reply would have to be paid for."""


@dataclass(slots=True)
class Asked:
    """One request that is to be paid for: of whom, and for which row of which node."""

    progress: NodeProgress
    model: Model
    request: Request
    key: bytes
    row: Row
    role: str
    attempt: int


class Flight:
    """One request under way, which others that ask the same can join."""

    __slots__ = ("joined",)

    def __init__(self) -> None:
        self.joined: asyncio.Future[Reply] | None = None  # made when somebody joins: hardly anybody does

    async def share(self) -> Reply:
        """The reply, when it comes."""
        if self.joined is None:
            self.joined = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self.joined)

    def land(self, reply: Reply) -> None:
        """Whoever joined gets this."""
        if self.joined is not None:
            self.joined.set_result(reply)

    def fall(self, error: BaseException) -> None:
        """Whoever joined gets this raised."""
        if self.joined is not None and not self.joined.done():
            self.joined.set_exception(error)
            self.joined.exception()  # whoever shares it hears of it; nobody may


class Calls:
    """Asks models through the memo; one instance a run."""

    def __init__(
        self,
        store: Store,
        open_model: Callable[[str], Model],
        graph: str,
        dry: bool,
        max_cost: float | None = None,
        sender: Sender | None = None,
    ):
        self.store, self.open_model, self.graph, self.dry, self.max_cost = (
            store,
            open_model,
            graph,
            dry,
            max_cost,
        )
        self.sender = sender or Here()
        self.models: dict[str, Model] = {}
        self.flying: dict[bytes, Flight] = {}
        self.to_pay: set[bytes] = set()  # dry run: who asks the same later has it from the memo
        self.lookups: dict[bytes, asyncio.Future[Reply | None]] = {}
        self.looking = False
        self.paying = 0  # requests under way
        self.all_landed = asyncio.Event()
        self.stopping: str | None = None
        self.on_cap: Callable[[float, float], None] | None = None
        self.on_call: Callable[[CallRecord], None] | None = None
        self.reported, self.by_price = 0.0, 0.0  # USD, of calls of which both are known
        self.spent = 0.0  # USD; of each call what its price or its endpoint says, whichever is more
        self.under_way: Counter[str] = Counter()  # requests by node, where there is a cap
        self.most: dict[str, float] = {}  # node -> USD of its dearest call so far, or a guess at the first
        self.known_nodes: set[str] = set()  # that have shown what their calls cost
        self.moved = asyncio.Event()  # a request has landed, or the run stops

    def model(self, name: str) -> Model:
        """The model of that name in the graph, opened at first use."""
        if name not in self.models:
            self.models[name] = self.open_model(name)
        return self.models[name]

    async def ask(
        self,
        progress: NodeProgress,
        name: str,
        request: Request,
        row: Row,
        role: str,
        attempt: int,
        depth: int,
    ) -> tuple[Reply, bytes]:
        """A reply and its key. Raises `Stopping` and `Down`, and `Unpaid` in a dry run."""
        model = self.model(name)
        key = model.key(request)
        flight = self.flying.get(key)
        if flight is not None:
            try:
                reply = await flight.share()
            except Unpaid:
                progress.cached += 1
                raise
            progress.cached += 1
            return reply, key
        if key in self.to_pay:
            progress.cached += 1
            raise Unpaid
        flight = self.flying[key] = Flight()
        try:
            known = None
            if not self.store.knows_keys or self.store.may_know(key):
                known = await self.known(key)
            if known is not None:
                progress.cached += 1
                reply = known
            else:
                asked = Asked(progress, model, request, key, row, role, attempt)
                reply = await self.pay(asked, depth)
            flight.land(reply)
            return reply, key
        except BaseException as error:
            flight.fall(error if isinstance(error, Stopping | Unpaid | Down) else Stopping(str(error)))
            raise
        finally:
            del self.flying[key]

    async def pay(self, asked: Asked, depth: int) -> Reply:
        progress, model, request = asked.progress, asked.model, asked.request
        if self.dry:
            tokens_in, tokens_out, cost = _estimated(asked)
            self.to_pay.add(asked.key)
            progress.calls += 1
            progress.tokens_in += tokens_in
            progress.tokens_out += tokens_out
            progress.cost += cost
            raise Unpaid
        if self.stopping is not None:
            raise Stopping(self.stopping)
        if self.max_cost is not None:
            await self.hold(asked)
        entry = partial(self.enter, asked)
        progress.in_flight += 1
        self.paying += 1
        try:
            reply = await self.sender.call(model, request, float(depth), entry)
        except Halted:
            raise Stopping(self.stopping or "stopped") from None
        finally:
            progress.in_flight -= 1
            self.paying -= 1
            if not self.paying:
                self.all_landed.set()
            if self.max_cost is not None:
                self.under_way[progress.name] -= 1
                self.moved.set()
        if reply.down and not reply.attempts:
            raise Down(reply.error)
        entry(reply)
        if reply.down:
            raise Down(reply.error)
        return reply

    async def hold(self, asked: Asked) -> None:
        """Wait until all that is under way leaves room beneath the cap for one request more.

        Each counts as the dearest of its node so far: what comes back cheaper makes room again. With
        nothing under way the cap is reached. But the first request of all is sent: its cost is a mere
        guess, and no guess keeps a run from beginning.
        """
        assert self.max_cost is not None
        node = asked.progress.name
        while True:
            if self.stopping is not None:
                raise Stopping(self.stopping)
            guessed = node not in self.known_nodes
            if guessed:
                self.most[node] = max(self.most.get(node, 0.0), _estimated(asked)[2] * DOUBT)
            held = sum(count * self.most[name] for name, count in self.under_way.items())
            begins = guessed and not self.spent and not self.paying
            if self.spent + held + self.most[node] <= self.max_cost or begins:
                self.under_way[node] += 1
                return
            if not self.paying and self.on_cap is not None:
                self.on_cap(self.spent, self.most[node])
                continue
            self.moved.clear()
            await self.moved.wait()

    def enter(self, asked: Asked, reply: Reply, spare: bool = False) -> None:
        """Count a reply and write it down. A spare one is no answer to remember, only paid for."""
        progress = asked.progress
        progress.calls += 1
        progress.tokens_in += reply.tokens_in
        progress.tokens_out += reply.tokens_out
        progress.cost += reply.cost
        self.spent += reply.dearest
        if self.max_cost is not None and reply.dearest:
            seen = self.most[progress.name] if progress.name in self.known_nodes else 0.0
            self.most[progress.name] = max(seen, reply.dearest)
            self.known_nodes.add(progress.name)
        if reply.cost_reported is not None and asked.model.spec.price:
            self.reported += reply.cost_reported
            self.by_price += reply.cost
        record = self.record(asked, uuid4().bytes if spare else asked.key, reply)
        self.store.log([record])
        if self.on_call is not None:
            self.on_call(record)
        if self.max_cost is not None and self.spent >= self.max_cost and self.on_cap is not None:
            self.on_cap(self.spent, 0.0)

    def record(self, asked: Asked, key: bytes, reply: Reply) -> CallRecord:
        """The line of the ledger, under a key that may be another than the request's."""
        model, request = asked.model, asked.request
        spec = model.spec
        return CallRecord(
            key=key,
            graph=self.graph,
            node=asked.progress.name,
            row=asked.row.id,
            role=asked.role,
            attempt=asked.attempt,
            sample=request.sample,
            model=spec.model,
            endpoint=reply.endpoint or spec.base_url or spec.provider,
            request=(reply.sent or model.body(request)).decode(),
            status=reply.status,
            reply=reply.text,
            thoughts=reply.thoughts,
            finish=reply.finish,
            error=reply.error,
            fault=reply.fault,
            tokens_in=reply.tokens_in,
            tokens_out=reply.tokens_out,
            tokens_cached=reply.tokens_cached,
            tokens_thought=reply.tokens_thought,
            cost=reply.cost,
            cost_reported=reply.cost_reported,
            ms=reply.ms,
            http_attempts=reply.attempts,
            at=datetime.now(UTC),
        )

    # -- the memo ---------------------------------------------------------------------------

    async def known(self, key: bytes) -> Reply | None:
        """The remembered reply. Look-ups of many rows are answered by one query."""
        future = self.lookups.get(key)
        if future is None:
            future = self.lookups[key] = asyncio.get_running_loop().create_future()
            if not self.looking:
                self.looking = True
                self.task = asyncio.get_running_loop().create_task(self.look())
        return await future

    async def look(self) -> None:
        try:
            await asyncio.sleep(0)  # let the rows of one batch ask together
            while self.lookups:
                wanted, self.lookups = self.lookups, {}
                try:
                    found = await asyncio.to_thread(self.store.known, list(wanted))
                    replies = {key: _reply(memo) for key, memo in found.items()}
                except BaseException as error:
                    for future in wanted.values():
                        if not future.done():
                            future.set_exception(error)
                    continue
                for key, future in wanted.items():
                    if not future.done():
                        future.set_result(replies.get(key))
        finally:
            self.looking = False

    def stop(self, reason: str) -> None:
        """Nothing new is sent from here on: not what waits for a place at its endpoint either."""
        self.stopping = reason
        self.moved.set()
        self.sender.halt()
        for model in self.models.values():
            model.halt()

    async def landed(self) -> None:
        """Wait for what is under way, even if its row is given up: it is paid for, and will be kept."""
        while self.paying:
            self.all_landed.clear()
            await self.all_landed.wait()

    async def close(self) -> None:
        """Give connections back."""
        await self.sender.close()
        for model in self.models.values():
            await model.close()


def _estimated(asked: Asked) -> tuple[int, int, float]:
    """Tokens in and out of a request, and its price in USD, as far as can be told before."""
    tokens_in, tokens_out = asked.model.estimate(asked.request)
    price = asked.model.spec.price
    cost = tokens_in * price.get("input", 0.0) + tokens_out * price.get("output", 0.0)
    return tokens_in, tokens_out, cost / 1e6


def _reply(memo: Memo) -> Reply:
    """A remembered reply: it costs nothing, and it is no error, for those are not remembered."""
    return Reply(
        status=cast(Status, memo.status),
        text=memo.reply or "",
        thoughts=memo.thoughts,
        finish=memo.finish,
        error=memo.error,
    )
