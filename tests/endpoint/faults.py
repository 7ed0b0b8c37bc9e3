"""Which of the configured faults a request meets.

Drawn from the request itself and from how often it has come: the same run meets the same
faults, and a request that is sent again meets another fate.
"""

from __future__ import annotations

import hashlib
import math
from statistics import NormalDist

from tests.endpoint.config import Config

HTTP = ("p429", "p500", "p503", "hang", "drop", "truncate")
REPLY = (
    *("cut", "prose", "fence", "broken", "wrong", "foreign", "empty"),
    *("refuse", "filtered", "reasoning", "think"),
)
NORMAL = NormalDist()


class Draw:
    """Three even numbers between 0 and 1 for one arrival of a request."""

    __slots__ = ("http", "latency", "reply")

    def __init__(self, request: bytes, count: int, seed: int):
        drawn = hashlib.blake2b(b"%b %d %d" % (request, count, seed), digest_size=12).digest()
        self.http, self.reply, self.latency = (
            (int.from_bytes(drawn[place : place + 4], "big") + 0.5) / 2**32 for place in (0, 4, 8)
        )


def chosen(config: Config, names: tuple[str, ...], drawn: float) -> str | None:
    """The fault whose share the number falls into; each share takes its own part of 0 to 1."""
    for name in names:
        share = getattr(config, name)
        if drawn < share:
            return name
        drawn -= share
    return None


def latency(config: Config, drawn: float) -> float:
    """Seconds until the answer."""
    seconds = config.latency_ms / 1_000
    if config.sigma:
        seconds *= math.exp(config.sigma * NORMAL.inv_cdf(drawn))
    return seconds + config.jitter_ms / 1_000 * drawn
