"""What several replies to one question come to: a fate, and one value for each field.

Pure functions of the replies, in the order of their samples; no model is asked here. The rule is
told in docs/kinds/prompt.md and docs/decisions/votes.md.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from engine.frozen import dataclass
from engine.language.types import SCALARS, Literal, Optional, Record, Type

Path = tuple[str, ...]


@dataclass(frozen=True)
class Vote:
    """A reply (None: the model declined), and what `keep` has against it."""

    reply: Mapping[str, Any] | None
    against: str | None = None


@dataclass
class Count:
    """The votes so far, and what they decide."""

    type: Type
    total: int
    quorum: float  # more than this share of `total` must keep
    keeps: bool  # there is a `keep`, against which each vote is held
    votes: list[Vote] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.needed = min(self.total, math.floor(self.total * self.quorum) + 1)
        self.optional = isinstance(self.type, Optional)
        record = self.type.of if isinstance(self.type, Optional) else self.type
        assert isinstance(record, Record)
        self.record = record
        self.leaves = dict(leaves(record))

    # -- fate ----------------------------------------------------------------------------

    @property
    def kept(self) -> int:
        """Votes that nothing speaks against."""
        return sum(vote.against is None for vote in self.votes)

    def fate(self, left: int) -> bool | None:
        """Whether the row is kept, whatever `left` further votes say. None: they may decide it."""
        if self.keeps:
            return True if self.kept >= self.needed else None if self.kept + left >= self.needed else False
        answered = sum(vote.reply is not None for vote in self.votes)
        declined = len(self.votes) - answered
        if not self.votes or not self.optional:
            return True if self.votes else None
        first = self.votes[0].reply is not None  # which wins where both are as many
        if answered + (0.5 if first else 0) > declined + left:
            return True
        return False if declined + (0 if first else 0.5) > answered + left else None

    def settled(self, left: int) -> bool:
        """Whether `left` further votes can change neither the fate nor a field."""
        fate = self.fate(left)
        if fate is None or not fate:
            return fate is False
        return not left or firm(self.leaves, self.voters(), left)

    def next(self, left: int) -> int:
        """How many votes to ask for now: no more than are needed in any case."""
        if self.keeps and self.fate(left) is None:
            return min(self.needed - self.kept, self.kept + left - self.needed + 1)
        if not self.votes:
            return min(left, self.total // 2 + 1) if self.leaves or self.optional else 1
        return left if any(kind == "number" for kind in self.leaves.values()) else 1

    # -- outcome --------------------------------------------------------------------------

    def voters(self) -> list[Mapping[str, Any]]:
        """The replies that the fields are made of: those that keep the row."""
        return [vote.reply for vote in self.votes if vote.against is None and vote.reply is not None]

    def outcome(self) -> tuple[dict[str, Any], str | None]:
        """The row's fields, and why it is not kept. A refused row shows the first vote against it."""
        if self.fate(0):
            return combined(self.leaves, self.voters()), None
        against = next(vote for vote in self.votes if vote.against or vote.reply is None)
        reason = against.against or "the model declined"
        if len(self.votes) > 1:
            reason = f"{reason} ({self.kept} of {len(self.votes)} votes kept it)"
        return dict(against.reply or {}), reason


# -- fields ----------------------------------------------------------------------------------


def leaves(record: Record, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """The fields that are voted on: "choice" (a bool or an alternative) or "number"; within records too.

    Texts, lists and records that may be absent are not: they come whole, with the reply that stands
    for the others.
    """
    for one in record:
        inner = one.type.of if isinstance(one.type, Optional) else one.type
        place = (*path, one.name)
        if isinstance(inner, Literal) or inner == SCALARS["bool"]:
            yield place, "choice"
        elif inner in (SCALARS["int"], SCALARS["float"]):
            yield place, "number"
        elif isinstance(one.type, Record):
            yield from leaves(one.type, place)


def combined(voted: Mapping[Path, str], replies: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One reply of several: the one that stands for them, with each field that is voted on."""
    values = {place: elected(kind, [_at(one, place) for one in replies]) for place, kind in voted.items()}
    made = _copied(replies[_spokesman(values, replies)])
    for place, value in values.items():
        inner = made
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = value
    return made


def elected(kind: str, values: Sequence[Any]) -> Any:
    """The commonest choice; the middle one of numbers. Of as many, the one that was given first.

    Of two numbers in the middle it is the smaller, so that it is always one that was given. Where
    more say that there is no number (null) than name one, there is none.
    """
    if kind == "number":
        given = [value for value in values if value is not None]
        if not elected("choice", [value is not None for value in values]):
            return None
        return statistics.median_low(given)
    counts = {value: values.count(value) for value in values}
    return max(counts, key=lambda value: (counts[value], -values.index(value)))


def firm(voted: Mapping[Path, str], replies: Sequence[Mapping[str, Any]], left: int) -> bool:
    """Whether up to `left` further replies leave every field as it is."""
    values = {place: elected(kind, [_at(one, place) for one in replies]) for place, kind in voted.items()}
    spoken = replies[_spokesman(values, replies)]
    return all(_at(spoken, place) == value for place, value in values.items()) and all(
        _firm(kind, [_at(one, place) for one in replies], left) for place, kind in voted.items()
    )


def _firm(kind: str, values: Sequence[Any], left: int) -> bool:
    if kind == "choice":
        winner = elected(kind, values)
        count = values.count(winner)
        rivals = {value for value in values if value != winner}
        earlier = {value for value in rivals if values.index(value) < values.index(winner)}
        return left <= count and all(
            values.count(value) + left + (value in earlier) <= count for value in rivals
        )
    if not _firm("choice", [value is not None for value in values], left):
        return False
    given = sorted(value for value in values if value is not None)
    if not given:
        return True
    for more in range(1, left + 1):  # all of them below, or all of them above
        middle = (len(given) + more - 1) // 2
        low = middle - more
        if low < 0 or middle >= len(given) or given[low] != given[middle]:
            return False
    return True


def _spokesman(values: Mapping[Path, Any], replies: Sequence[Mapping[str, Any]]) -> int:
    """The reply that agrees with most of what was elected; of several the first."""
    agreed = [sum(_at(one, place) == value for place, value in values.items()) for one in replies]
    return agreed.index(max(agreed))


def _at(reply: Mapping[str, Any], place: Path) -> Any:
    value: Any = reply
    for name in place:
        value = value[name]
    return value


def _copied(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _copied(inner) if isinstance(inner, Mapping) else inner for name, inner in value.items()}
