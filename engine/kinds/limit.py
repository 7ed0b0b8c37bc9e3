"""`limit`: so many rows of a table go on, chosen by hash; what `--limit node=50` puts behind a node.

It is not written in a graph: how much of a graph is tried is the affair of whoever runs it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, cast

from pydantic import Field

from engine.kinds.base import Context, Made, Row, Settings, TableKind
from engine.language.kind import Shape
from engine.language.program import Node
from engine.store.keys import fingerprint

HELD = "held back by --limit"


class LimitSettings(Settings):
    """Settings of `limit`."""

    count: int = Field(ge=1, description="Rows that go on.")


class Limit(TableKind):
    """See the module's docstring."""

    name = "limit"
    settings = LimitSettings
    inputs: ClassVar[tuple[int, int | None]] = (1, 1)

    def own(self, shape: Shape) -> Mapping[str, str]:
        """No columns."""
        return {}

    def most(self, node: Node) -> int:
        """As many as go on."""
        return cast(LimitSettings, node.settings).count

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """Every row: those with the smallest hashes of their ids as they are, the others rejected.

        A row more in the table puts at most one out; the order of the rows is of no account.
        """
        count = cast(LimitSettings, context.node.settings).count
        chosen = set(heapq.nsmallest(count, (fingerprint("limit", row.id) for row in inputs[0]())))
        return self.made(inputs[0](), chosen)

    def made(self, rows: Iterable[Row], chosen: set[bytes]) -> Iterator[Made]:
        for row in rows:
            goes = fingerprint("limit", row.id) in chosen
            yield Made({}, "ok" if goes else "rejected", None if goes else HELD, parent=row)
