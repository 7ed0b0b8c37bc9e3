"""Which side of a split each group of rows falls on: by hash, stable, and never empty if it can be helped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping


def assign(groups: Iterable[bytes], shares: Mapping[str, float], seed: int = 0) -> dict[bytes, str]:
    """A side for each group (a document, mostly).

    Groups stand in the order of a hash of the seed and their id; the smallest sides are served
    first, each with its count by largest remainder. So a new group moves at most one other from
    one side to the next, and with at least as many groups as sides none is empty.
    """
    prefix = seed.to_bytes(16, "big", signed=True)
    ordered = sorted(
        set(groups), key=lambda group: (hashlib.blake2b(prefix + group, digest_size=8).digest(), group)
    )
    names = sorted(shares, key=lambda name: shares[name])  # of equal shares the first written stays first
    counts = apportion(len(ordered), {name: shares[name] for name in names})
    sides: dict[bytes, str] = {}
    at = 0
    for name in names:
        for group in ordered[at : at + counts[name]]:
            sides[group] = name
        at += counts[name]
    return sides


def apportion(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers in the given shares that come to `total`: by largest remainder, none 0 if possible."""
    whole = sum(shares.values())
    exact = {name: total * share / whole for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    rest = total - sum(counts.values())
    for name in sorted(shares, key=lambda name: counts[name] - exact[name])[:rest]:
        counts[name] += 1
    if total >= len(shares):
        for name in shares:
            if counts[name] == 0:
                counts[max(counts, key=lambda each: counts[each])] -= 1
                counts[name] = 1
    return counts
