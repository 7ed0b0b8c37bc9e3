"""One model at several endpoints: calls go where there is room, and away from an endpoint that is dead.

Each endpoint keeps its own places, rates, pauses and circuit. The first one gives the model its name in
the memo, so that a further endpoint, or another order behind the first, costs no call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from engine.language.program import ModelSpec
from engine.models.base import Reply, Request
from engine.models.openai import OpenAI


class Several:
    """Endpoints that answer alike, as one `engine.models.base.Model`."""

    def __init__(self, spec: ModelSpec, members: Sequence[OpenAI]):
        self.spec = dataclasses.replace(spec, base_url=members[0].spec.base_url)
        self.members = tuple(members)
        for member in self.members:
            member.elsewhere = lambda member=member: any(
                other.limits.broken is None for other in self.members if other is not member
            )

    def __repr__(self) -> str:
        return f"Several({', '.join(map(repr, self.members))})"

    def key(self, request: Request) -> bytes:
        """As the first one's: whoever answers, the answer is the model's."""
        return self.members[0].key(request)

    def body(self, request: Request) -> bytes:
        """As the first one's."""
        return self.members[0].body(request)

    def estimate(self, request: Request) -> tuple[int, int]:
        """As the first one's."""
        return self.members[0].estimate(request)

    async def call(self, request: Request, priority: float = 0.0) -> Reply:
        """The reply of the first endpoint, of those with most room, that gives one.

        Where an endpoint is not reached, breaks or wants another key, the others are asked before the
        call has failed. An answer that says no to the request itself is an answer.
        """
        left = list(self.members)
        attempts, failed = 0, []
        while True:
            member = max(left, key=_room)
            left.remove(member)
            reply = await member.call(request, priority)
            attempts += reply.attempts
            if reply.status != "error" or reply.fault == "request":
                break
            failed.append(reply)
            if not left:
                reply = self._failed(failed)
                break
        reply.attempts = attempts
        reply.endpoint = member.spec.base_url
        return reply

    async def stream(self, request: Request, heard: Callable[[str], None]) -> Reply:
        """From the first endpoint, in their order, that has an answer."""
        failed = []
        for member in self.members:
            reply = await member.stream(request, heard)
            if reply.status != "error" or reply.fault == "request":
                return reply
            failed.append(reply)
        return self._failed(failed)

    def _failed(self, failed: Sequence[Reply]) -> Reply:
        """All endpoints in vain: each is named with what it said."""
        said = "; ".join(dict.fromkeys(str(reply.error) for reply in failed))
        down = all(member.limits.broken is not None for member in self.members)
        return dataclasses.replace(failed[-1], error=said, down=down)

    def halt(self) -> None:
        """Send nothing new."""
        for member in self.members:
            member.halt()

    async def close(self) -> None:
        """Give connections back."""
        for member in self.members:
            await member.close()


def _room(member: OpenAI) -> tuple[bool, float]:
    """How well an endpoint could take one more call: those that are broken come last."""
    limits = member.limits
    return limits.broken is None, (limits.limit - limits.in_flight - limits.waiting) / max(1, limits.limit)
