"""Stations that collect the rows of one ancestor, and the count that tells when all are decided.

A group whose ancestor came into being in this run is closed as soon as the last row that can
still join it is decided: every row of the ancestor is counted along its way, and a row that
ends (rejected, failed, empty) is counted off. Groups that stood before are closed when the
input is whole. Either way a group is made once a run, so nothing downstream is paid twice.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, cast

from engine.kinds.base import GroupKind, Made, Outcome, Row
from engine.runtime.calls import Stopping
from engine.runtime.context import NodeContext
from engine.runtime.station import Result, Station
from engine.store.keys import fingerprint

if TYPE_CHECKING:
    from engine.runtime.engine import Engine

TOGETHER = 500
"""Groups that are read from the store in one query."""


class Scopes:
    """Counts, for each group that is still open, the rows that may yet join it."""

    def __init__(self) -> None:
        self.births: dict[str, list[Watch]] = defaultdict(list)  # by the ancestor's node
        self.steps: dict[str, list[tuple[Watch, bool]]] = defaultdict(
            list
        )  # by node on the way; is it the last?

    def watch(self, group: GroupStation, ancestor: str, path: Sequence[str]) -> None:
        """`path`: the row-wise nodes from the ancestor's first descendant to the group's input."""
        watch = Watch(group, ancestor)
        self.births[ancestor].append(watch)
        for name in path:
            self.steps[name].append((watch, name == path[-1]))

    def born(self, station: Station, rows: Sequence[Row]) -> None:
        """Rows of this node set out in this run; told before anyone can decide them."""
        for watch in self.births.get(station.node.name, ()):
            for row in rows:
                watch.open[row.id] = 1

    def decided(self, station: Station, row: Row, children: Sequence[Row]) -> None:
        """A row of a row-wise node was decided, and gave these; told before they set out."""
        for watch, last in self.steps.get(station.node.name, ()):
            scope = row.ids.get(watch.ancestor)
            if scope is None or scope not in watch.open:
                continue
            watch.open[scope] += (0 if last else len(children)) - 1
            if watch.open[scope] <= 0:
                del watch.open[scope]
                watch.group.complete_groups.append(scope)
                watch.group.stirred.set()


class Watch:
    """The open groups of one `gather`: how many rows each still waits for."""

    def __init__(self, group: GroupStation, ancestor: str):
        self.group, self.ancestor = group, ancestor
        self.open: dict[bytes, int] = {}


class GroupStation(Station):
    """Makes one row of all rows that share an ancestor."""

    def __init__(self, engine: Engine, *arguments: object):
        super().__init__(engine, *arguments)  # type: ignore[arg-type]
        self.complete_groups: list[bytes] = []
        self.stirred = asyncio.Event()
        self.by = cast(GroupKind, self.kind).by(self.node)
        self.closed: set[bytes] = set()
        self.had_rows = False

    async def work(self) -> Result:
        source = self.upstream[0]
        counts = await asyncio.to_thread(self.store.counts, self.node.name)
        self.had_rows = counts.get("ever", 0) > 0
        ended = asyncio.create_task(source.finished.wait())
        while not ended.done():
            stirred = asyncio.create_task(self.stirred.wait())
            await asyncio.wait([ended, stirred], return_when=asyncio.FIRST_COMPLETED)
            stirred.cancel()
            await self.close_complete()
        if not await self.inputs_finished():
            raise Stopping(self.progress.reason or "its input did not finish")
        if self.progress.started is None and self.unchanged():
            return await self.skip()
        if self.progress.started is None:
            self.begin()
        await self.store.flush()
        await self.close_changed()
        return await self.complete()

    async def close_complete(self) -> None:
        """Groups that nothing can join any more."""
        self.stirred.clear()
        ready, self.complete_groups = self.complete_groups, []
        if not ready:
            return
        if self.progress.started is None:
            self.begin()
        await self.store.flush()
        for at in range(0, len(ready), TOGETHER):
            await self.close(ready[at : at + TOGETHER])
        self.closed.update(ready)

    async def close_changed(self) -> None:
        """Groups that are not as they were when they were last made; then those that are no more."""
        members = await asyncio.to_thread(self.store.members, self.node.inputs[0], self.by)
        before = await asyncio.to_thread(self.store.parent_revs, self.node.name, self.static)
        revs = {scope: group_rev(revs) for scope, revs in members.items()}
        changed = [
            scope for scope, rev in revs.items() if scope not in self.closed and before.get(scope) != rev
        ]
        for at in range(0, len(changed), TOGETHER):
            await self.close(changed[at : at + TOGETHER])
        gone = [scope for scope in before if scope not in revs]
        if gone and not self.estimated:
            self.changed = True
            self.store.replace(self.node.name, gone, [], fresh=False)

    async def close(self, scopes: Sequence[bytes]) -> None:
        self.engine.heed()
        rows, ancestors = await asyncio.to_thread(self.read, self.node.inputs[0], scopes)
        kind, context = cast(GroupKind, self.kind), NodeContext(self)
        for scope in scopes:
            ancestor = ancestors.get(scope)
            if ancestor is None or not rows.get(scope):
                continue
            outcome = kind.collect(ancestor, rows[scope], context)
            await self.write(ancestor, rows[scope], outcome)

    def read(self, source: str, scopes: Sequence[bytes]) -> tuple[dict[bytes, list[Row]], dict[bytes, Row]]:
        """The rows of these groups, in lineage order, and their ancestors. In a thread."""
        rows: dict[bytes, list[Row]] = defaultdict(list)
        for row in self.engine.rows_of(source, within=(self.by, scopes)):
            rows[row.ids[self.by]].append(row)
        return rows, {row.id: row for row in self.engine.rows_of(self.by, within=(self.by, scopes))}

    async def write(self, ancestor: Row, rows: Sequence[Row], outcome: Outcome) -> None:
        rev = group_rev([row.rev for row in rows])
        written, children = [], []
        for place, made in enumerate(outcome.made or [Made({}, "empty")]):
            whole = Row(ancestor.id, fingerprint(ancestor.rev, rev), ancestor.columns, ancestor.ids)
            stored, child = self.stored(made, whole, place, parent_rev=rev)
            written.append(stored)
            if child is not None:
                children.append(child)
            self.progress.rows += made.fate == "ok"
            self.progress.rejected += made.fate == "rejected"
        self.progress.rows_in += 1
        self.changed = True
        self.store.replace(self.node.name, [ancestor.id], written, fresh=not self.had_rows)
        await self.store.ready()
        if children:
            await self.emit(children)


def group_rev(revs: Iterable[bytes]) -> bytes:
    """The content of a group, whatever order it was read in."""
    return fingerprint(sorted(revs))
