"""What a call costs, from its tokens and the price that the graph states.

No price list of any provider is kept here: prices change, and the author of a graph writes
the one that holds for them.
"""

from __future__ import annotations

from collections.abc import Mapping

PER_MILLION = 1e-6


def cost(
    price: Mapping[str, float],
    tokens_in: int,
    tokens_out: int,
    tokens_cached: int = 0,
    tokens_thought: int = 0,
) -> float:
    """USD for one call; `price` is USD per million tokens under `input`, `output`, `cached`, `thought`.

    Cached tokens are a part of `tokens_in` and thought tokens of `tokens_out`, as endpoints count
    them; without a price of their own they cost what input and output cost.
    """
    if not price:
        return 0.0
    plain = price.get("input", 0.0)
    written = price.get("output", 0.0)
    cached, thought = min(tokens_cached, tokens_in), min(tokens_thought, tokens_out)
    return PER_MILLION * (
        (tokens_in - cached) * plain
        + cached * price.get("cached", plain)
        + (tokens_out - thought) * written
        + thought * price.get("thought", written)
    )
