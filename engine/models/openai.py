"""Any OpenAI-compatible endpoint as a model: asks, retries what is worth it, says what went wrong.

The package `openai` is not used here: its transport costs 16 times the CPU of aiohttp at 64
calls in flight, and more with each further one. What is on the wire is in `wire`, what a
fault means in `faults`, who may go when in `limits`, the connections in `endpoint`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import os
import time
from collections.abc import Awaitable, Callable, Mapping

from engine.language.program import ModelSpec
from engine.models import tokens
from engine.models.base import Reply, Request
from engine.models.connections import Answer
from engine.models.endpoint import Endpoint, NoKey, normalised
from engine.models.faults import Failure, Retries, from_answer, from_exception
from engine.models.limits import Broken, Limits, Outcome, Place
from engine.models.wire import Wire, model_names

NAMES_SHOWN = 5
FLED = frozenset({"transport", "timeout", "server"})
NO_SCHEMA = 'Where the endpoint takes no schema, write structured = "prompt" in the model.'


class OpenAI:
    """One model at one endpoint. Belongs to one event loop; connects at the first call.

    Models that are given the same `endpoint` share its connections and its limits.
    """

    def __init__(
        self,
        spec: ModelSpec,
        environment: Mapping[str, str] = os.environ,
        endpoint: Endpoint | None = None,
        address: str | None = None,
    ):
        """`address` stands in keys, where it is not that of the endpoint: see `several`."""
        self.endpoint = endpoint or Endpoint(spec, environment)
        self.endpoint.users += 1
        # Credentials in an address stay in the endpoint: what is kept of a call must show none.
        self.spec = dataclasses.replace(spec, base_url=str(normalised(spec.base_url or "")))
        self._wire = Wire(self.spec, address or str(self.endpoint.url))
        self.elsewhere: Callable[[], bool] | None = None  # whether another endpoint could be asked
        self._names: asyncio.Task[list[str]] | None = None

    def __repr__(self) -> str:
        return f"OpenAI({self.spec.name}: {self.spec.model} at {self.endpoint.url})"

    @property
    def limits(self) -> Limits:
        """Who is under way and who waits: `in_flight`, `limit`, `waiting`."""
        return self.endpoint.limits

    def key(self, request: Request) -> bytes:
        """16 bytes over everything that can change the reply, the sample index included."""
        return self._wire.key(request)

    def body(self, request: Request) -> bytes:
        """The request as JSON, as it is sent, after what is known of the endpoint by now."""
        return self._wire.body(request, self._wire.sends_schema(request, self.endpoint.takes_schema))

    def estimate(self, request: Request) -> tuple[int, int]:
        """Tokens in and out that the call will likely take. See `engine.models.tokens`."""
        if request.reply == "vector":
            return tokens.of_messages(request.messages), 0
        longest = (request.sampling or {}).get("max_tokens", self.spec.sampling.get("max_tokens"))
        out = tokens.of_reply(request.wanted)
        return tokens.of_messages(request.messages), min(out, longest) if isinstance(longest, int) else out

    async def call(self, request: Request, priority: float = 0.0) -> Reply:
        """Wait for a place, send, retry what is worth it; an `error` reply says why there is none.

        `Reply.ms` is the time of the request that was answered, without waiting and earlier tries.
        """
        limits = self.endpoint.limits
        retries = Retries()
        expected = sum(self.estimate(request)) if self.spec.tpm else 0
        turn: int | None = None
        attempts = 0
        while True:
            try:
                place = await limits.acquire(priority, turn, expected)
            except Broken as broken:
                return _error(broken.failure, attempts, down=True)
            turn = place.turn
            attempts += 1
            with_schema = self._wire.sends_schema(request, self.endpoint.takes_schema)
            answer, pause = await self._attempt(request, with_schema, place, retries)
            if isinstance(answer, Reply):
                answer.attempts = attempts
                return answer
            if pause is None:
                failure = await self._given_up(answer, with_schema)
                return _error(failure, attempts, down=limits.broken is not None)
            if pause:
                await limits.rest(pause)

    async def stream(self, request: Request, heard: Callable[[str], None]) -> Reply:
        """Ask once, and tell the text as it comes; nothing is asked again after a fault."""
        body = self._wire.body(request, False)
        answer = await self._read(request, lambda: self.endpoint.stream(body, self.spec.timeout, heard))
        if isinstance(answer, Reply):
            return answer
        failure = await self._with_names(answer) if answer.unknown_model else answer
        return _error(failure, 1, down=False)

    def halt(self) -> None:
        """Send nothing new; calls that still wait for a place end with `Halted`."""
        self.endpoint.limits.halt()

    async def close(self) -> None:
        """Give connections back."""
        if self._names is not None:
            self._names.cancel()
        await self.endpoint.close()

    async def _attempt(
        self, request: Request, with_schema: bool, place: Place, retries: Retries
    ) -> tuple[Reply | Failure, float | None]:
        """One request; its place is given back. Also seconds until the next one, None for no more."""
        limits = self.endpoint.limits
        outcome: Outcome = "failed"
        taken: int | None = None
        started = time.perf_counter()
        try:
            answer = await self._send(request, with_schema)
            if isinstance(answer, Reply):
                answer.ms = (time.perf_counter() - started) * 1_000
                outcome, taken = "ok", answer.tokens_in + answer.tokens_out
                if with_schema:
                    self.endpoint.takes_schema = True
                return answer, None
            if with_schema and self._does_without_schema(request, answer):
                return answer, 0.0
            if answer.fault in FLED and self.elsewhere is not None and self.elsewhere():
                return answer, None  # whoever waits here could be answered there
            pause = retries.pause(answer, limits.lost() if answer.fault == "transport" else None)
            if answer.slow_down:
                outcome, taken = "limited", 0
                if answer.wait is not None and pause is not None:
                    pause = limits.refused(place, answer.wait)
            elif answer.fault == "transport" and pause:
                # Kept while it waits: an endpoint that may be dead is not stormed by all the others.
                await asyncio.sleep(pause)
                pause = 0.0
            return answer, pause
        finally:
            limits.release(place, outcome, taken)

    async def _send(self, request: Request, with_schema: bool) -> Reply | Failure:
        body = self._wire.body(request, with_schema)
        post = self.endpoint.post_text if request.reply == "vector" else self.endpoint.post
        reply = await self._read(request, lambda: post(body, self.spec.timeout))
        if isinstance(reply, Reply):
            reply.sent = body
        return reply

    async def _read(self, request: Request, ask: Callable[[], Awaitable[Answer]]) -> Reply | Failure:
        """What an answer, or its absence, means."""
        host = self.endpoint.host
        try:
            answer = await ask()
        except NoKey as missing:
            return missing.failure
        except (OSError, ValueError) as problem:
            return from_exception(problem, self.spec, host)
        if answer.status == 200:
            return self._wire.read(answer.payload, request, host)
        failure = from_answer(answer.status, answer.headers, answer.payload, self.spec, host)
        if failure.filtered:  # asking again would be declined again: an answer, to be remembered
            return Reply("refused", finish="content_filter", error=failure.message)
        return failure

    def _does_without_schema(self, request: Request, failure: Failure) -> bool:
        """Whether to ask again with the shape in words; remembers that the endpoint wants it so.

        An endpoint that took a schema before objects to this one alone.
        """
        if self.spec.structured != "auto" or not failure.refuses_schema:
            return False
        shape = self._wire.shape(request)
        if shape is not None:
            shape.refused = True
        if self.endpoint.takes_schema is None:
            self.endpoint.takes_schema = False
        return True

    async def _given_up(self, failure: Failure, with_schema: bool) -> Failure:
        """A failure for good: counted by the breaker, and told as well as can be."""
        self.endpoint.limits.failed(failure)
        if failure.unknown_model:
            return await self._with_names(failure)
        if with_schema and failure.refuses_schema:
            return dataclasses.replace(failure, message=f"{failure.message}. {NO_SCHEMA}")
        return failure

    async def _with_names(self, failure: Failure) -> Failure:
        """The same failure, with the endpoint's names that come nearest, if it tells them."""
        if self._names is None:
            self._names = asyncio.create_task(self._ask_names())
        names = await asyncio.shield(self._names)
        if not names:
            return failure
        near = difflib.get_close_matches(self.spec.model, names, NAMES_SHOWN, 0.3)
        near = near or sorted(names)[:NAMES_SHOWN]
        return dataclasses.replace(failure, message=f"{failure.message} It has: {', '.join(near)}.")

    async def _ask_names(self) -> list[str]:
        try:
            answer = await self.endpoint.get_models()
        except (OSError, ValueError, NoKey):
            return []
        return model_names(answer.payload) if answer.status == 200 else []


def _error(failure: Failure, attempts: int, down: bool) -> Reply:
    tried = f" (tried {attempts} times)" if failure.retry and attempts > 1 else ""
    return Reply("error", error=failure.message + tried, fault=failure.fault, attempts=attempts, down=down)
