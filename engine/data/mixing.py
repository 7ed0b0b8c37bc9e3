"""Blending tables by share: which rows of each to take.

Every row has a weight (1, or its tokens) and a place in a queue drawn by a hash of the seed
and its id, so that a row more or less moves no other row's place. A blend is as large as the
scarcest table allows, unless a total is wanted; a floor is served before the shares. No row
is taken twice. Nothing here knows rows, only their weights and ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from engine.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Item:
    """A row to draw from: its id and its weight (rows or tokens, never below 0)."""

    id: bytes
    weight: float


@dataclass(frozen=True)
class Blend:
    """What was chosen: for each table the ids taken, and the weight they come to."""

    taken: dict[str, list[bytes]]
    weights: dict[str, float]

    @property
    def total(self) -> float:
        return sum(self.weights.values())

    def share(self, name: str) -> float:
        """The share that a table came to, 0 to 1."""
        return self.weights[name] / self.total if self.total else 0.0


def queue(items: Sequence[Item], seed: int) -> list[Item]:
    """The items in the order in which they are drawn."""
    prefix = seed.to_bytes(16, "big", signed=True)
    return sorted(
        items, key=lambda item: (hashlib.blake2b(prefix + item.id, digest_size=8).digest(), item.id)
    )


def targets(
    available: Mapping[str, float],
    shares: Mapping[str, float],
    total: float | None = None,
    floors: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """How much of each table to take, in its weight.

    The blend's size is `total`, else the most that keeps every share with what there is. A
    table below its floor is lifted to it (or to all it has); the others share what is left.
    """
    wanted = {name: shares[name] / sum(shares.values()) for name in shares}
    least = {name: min(available[name], (floors or {}).get(name, 0.0)) for name in shares}
    if total is None:
        size = min(available[name] / wanted[name] for name in shares)
        return {name: min(available[name], max(wanted[name] * size, least[name])) for name in shares}
    lifted: set[str] = set()
    while True:
        free = [name for name in shares if name not in lifted]
        left = max(0.0, total - sum(least[name] for name in lifted))
        parts = sum(wanted[name] for name in free)
        found = {name: left * wanted[name] / parts for name in free} if free else {}
        short = {name for name in free if found[name] < least[name]}
        if not short:
            lows = {name: least[name] for name in lifted}
            return {name: min(available[name], (found | lows)[name]) for name in shares}
        lifted |= short


def take(items: Sequence[Item], target: float, least: float = 0.0) -> tuple[list[bytes], float]:
    """Items from the front of a queue: as near to `target` as they come, and not below `least`.

    Gives their ids and what they weigh together.
    """
    taken: list[bytes] = []
    weight = 0.0
    for item in items:
        beyond = weight + item.weight - target
        if weight >= least and beyond > 0 and beyond >= target - weight:
            break
        taken.append(item.id)
        weight += item.weight
        if beyond >= 0 and weight >= least:
            break
    return taken, weight


def blend(
    tables: Mapping[str, Sequence[Item]],
    shares: Mapping[str, float],
    total: float | None = None,
    floors: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Blend:
    """Choose rows of several tables so that their weights stand in the given shares.

    `shares` are positive, one for each table. Raises `ValueError` where they are not.
    """
    if set(shares) != set(tables) or any(share <= 0 for share in shares.values()):
        raise ValueError("every table needs a share above 0")
    available = {name: sum(item.weight for item in items) for name, items in tables.items()}
    wanted = targets(available, shares, total, floors)
    taken: dict[str, list[bytes]] = {}
    weights: dict[str, float] = {}
    for name, items in tables.items():
        if wanted[name] >= available[name] * (1 - 1e-9):
            taken[name], weights[name] = [item.id for item in items], available[name]
        else:
            least = min(available[name], (floors or {}).get(name, 0.0))
            taken[name], weights[name] = take(queue(items, seed), wanted[name], least)
    return Blend(taken, weights)
