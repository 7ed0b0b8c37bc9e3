"""Which examples in which sequence, and which sequence when: the whole training, epoch after epoch.

It is written down before the training begins, so that one that was killed goes on with the very
sequences that were to come, whatever the trainer's own ideas of shuffling are.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence

from engine.frozen import dataclass


@dataclass(frozen=True)
class Part:
    """The examples of one input, by number, and the share of an epoch's tokens that they are to be.

    Without a share, all of them are in every epoch.
    """

    examples: Sequence[int]
    share: float | None = None


def order(
    lengths: Sequence[int],
    parts: Mapping[str, Part],
    epochs: int,
    seed: int,
    pack: int | None = None,
    sequences: int | None = None,
) -> list[list[int]]:
    """Sequences of examples, in the order of the training.

    `lengths` are tokens, by example. With `pack`, examples share a sequence of at most so many
    tokens; else each is its own. `sequences` ends it after so many, and goes on past `epochs` to
    reach them.
    """
    generator = random.Random(seed)
    decks = {name: Deck(part.examples, generator) for name, part in parts.items() if part.share is not None}
    whole = [one for part in parts.values() if part.share is None for one in part.examples]
    shared = sum(part.share or 0.0 for part in parts.values())
    total = sum(lengths[one] for one in whole) / (1 - shared) if shared < 1 else 0.0
    made: list[list[int]] = []
    epoch = 0
    while (whole or decks) and (epoch < epochs if sequences is None else len(made) < sequences):
        chosen = list(whole)
        for name, deck in decks.items():
            chosen += deck.draw(total * (parts[name].share or 0.0), lengths)
        generator.shuffle(chosen)
        groups = packed(chosen, lengths, pack) if pack else [[one] for one in chosen]
        if not groups:
            break
        generator.shuffle(groups)
        made += groups
        epoch += 1
    return made if sequences is None else made[:sequences]


class Deck:
    """Examples that are drawn one after another, and shuffled anew when all had their turn."""

    def __init__(self, examples: Sequence[int], generator: random.Random):
        self.examples, self.generator = list(examples), generator
        self.left: list[int] = []

    def draw(self, tokens: float, lengths: Sequence[int]) -> list[int]:
        """So many that they come to about `tokens`."""
        drawn: list[int] = []
        count = 0.0
        while self.examples and count < tokens:
            if not self.left:
                self.left = list(self.examples)
                self.generator.shuffle(self.left)
            drawn.append(self.left.pop())
            count += max(lengths[drawn[-1]], 1)
        return drawn


def packed(examples: Sequence[int], lengths: Sequence[int], most: int) -> list[list[int]]:
    """Groups of at most `most` tokens: the longest first, each into the fullest group with room for it."""
    room: list[tuple[int, int]] = []  # (tokens left, group), sorted
    groups: list[list[int]] = []
    for one in sorted(examples, key=lambda one: -lengths[one]):
        at = bisect_left(room, (lengths[one], -1))
        if at < len(room):
            left, group = room.pop(at)
            groups[group].append(one)
        else:
            left, group = most, len(groups)
            groups.append([one])
        if left > lengths[one]:
            insort(room, (left - lengths[one], group))
    return groups
