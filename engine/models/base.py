"""What a model is to the rest of the house: a request goes in, a reply comes out.

A model answers, counts and prices; it keeps no memo, writes no table and knows no row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from engine.language.program import ModelSpec
from engine.language.types import Type

Status = Literal["ok", "cut", "refused", "error"]
Fault = Literal["transport", "timeout", "limited", "server", "authentication", "model", "request"]


@dataclass(slots=True)
class Request:
    """One call, before it is sent; not changed once it is made (freezing it would double its cost).

    `messages` are role/content pairs. `wanted` is the type that the reply must have (for
    `reply = "text"` and `"tags"` no `response_format` is asked for). `values` holds what the
    template was rendered with: the offline model reads it, no endpoint does. `sample` tells
    votes over one request apart. For `reply = "vector"` the one message is a text, and the reply
    the text's vector, as `vectors.packed` writes it.
    """

    messages: Sequence[Mapping[str, str]]
    wanted: Type | None = None
    reply: Literal["json", "text", "tags", "vector"] = "json"
    shows_schema: bool = False
    sampling: Mapping[str, Any] | None = None  # front matter and node settings, over the model's own
    sample: int = 0
    values: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Reply:
    """One answer, or why there is none.

    `ok`: the model finished. `cut`: it ran into the token limit. `refused`: it or a filter
    declined. `error`: no answer; `fault` says of which sort. Only errors are never memoized.
    Tokens are the endpoint's own figures where it gives them, else estimates. `cost` is USD by the
    model's `price`, and where it has none what the endpoint reports, which is also in `cost_reported`.
    """

    status: Status
    text: str = ""
    thoughts: str | None = None
    finish: str | None = None
    error: str | None = None
    fault: Fault | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_thought: int = 0
    cost: float = 0.0
    cost_reported: float | None = None  # None where the endpoint says nothing of it
    ms: float = 0.0
    attempts: int = 1  # HTTP requests that this reply took
    sent: bytes | None = None  # the body of the request that was answered
    endpoint: str | None = None  # who answered, where there are several
    down: bool = False  # an error, and the endpoint is taken to be dead: others would fare no better

    @property
    def dearest(self) -> float:
        """USD by whichever count is the larger: what a cap is held against."""
        return self.cost if self.cost_reported is None else max(self.cost, self.cost_reported)


class Halted(Exception):
    """The run winds down: a call that still waited to be sent is not."""


class Model(Protocol):
    """An endpoint with its limits. One instance serves a whole run."""

    spec: ModelSpec

    def key(self, request: Request) -> bytes:
        """16 bytes over everything that can change the reply, the sample index included."""
        ...

    def body(self, request: Request) -> bytes:
        """The request as JSON, as it is sent; kept in `calls`, so it holds no secret."""
        ...

    def estimate(self, request: Request) -> tuple[int, int]:
        """Tokens in and out that the call will likely take, for a price before it is paid."""
        ...

    async def call(self, request: Request, priority: float = 0.0) -> Reply:
        """Wait for a free place (`queue` says who goes first), send, retry what is worth it.

        Never raises for what an endpoint does: an `error` reply says it.
        """
        ...

    async def stream(self, request: Request, heard: Callable[[str], None]) -> Reply:
        """Ask once, for a person who waits: the text is told as it comes, and the reply is the whole."""
        ...

    def halt(self) -> None:
        """Send nothing new; what waits to be sent ends with `Halted`."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...
