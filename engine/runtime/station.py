"""One node at work in a run: what all kinds of stations share.

A station takes rows, makes rows, writes them and hands them on. Which station a node gets
depends on its kind's `flow`; see `rows`, `groups`, `tables` and `sources` beside this file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engine.kinds.base import Kind, KindError, Made, Outcome, Row
from engine.language.program import Node
from engine.runtime import collecting
from engine.runtime.calls import Stopping
from engine.runtime.channel import Channel
from engine.runtime.events import NodeProgress, Note, Wrote
from engine.runtime.expectations import unmet
from engine.runtime.statics import static_of
from engine.store.errors import StoreError
from engine.store.keys import digest, encoded, mapping_of, row_id
from engine.store.records import NodeState, Stored

if TYPE_CHECKING:
    from engine.runtime.engine import Engine

NOTHING = Outcome()  # of rows that no call made
Result = Literal["done", "unchanged", "passed", "stopped", "failed", "expectation"]
ENDED: tuple[Result, ...] = ("done", "unchanged", "passed")
"""Results with which a table is whole."""


class Station:
    """Base of the stations. `run` is called once, as a task of its own."""

    def __init__(self, engine: Engine, node: Node, kind: Kind, parts: Mapping[str, str]):
        self.engine, self.node, self.kind, self.parts = engine, node, kind, parts
        self.static = static_of(parts)
        self.store = engine.store
        self.keeps = kind.keeping(node.settings)
        self.progress = NodeProgress(node.name, node.kind)
        self.upstream: list[Station] = []
        self.awaited: list[Station] = []  # whose models it asks or starts from; it reads none of their rows
        self.downstream: list[Channel] = []
        self.depth = 0
        self.state: NodeState | None = engine.store.state(node.name)
        self.finished = asyncio.Event()
        self.result: Result | None = None
        self.missing = 0  # dry run: input rows whose outcome would have to be paid for
        self.estimated = False  # dry run: what comes out is not all that will
        self.changed = False
        self.info: dict[str, Any] = dict(self.state.info) if self.state else {}
        self.parts_before: Mapping[str, str] = dict(self.info.get("parts", {}))
        self.files: list[tuple[Path, int]] = []
        self.at_most = False  # dry run: it may not have its turn at all
        self.own_names = tuple(node.own)
        self.encode_own = mapping_of(node.own)
        self.stable = False  # its rows in the store stand as they are, whatever this run does upstream

    # -- what a run knows before it starts -------------------------------------------------

    @property
    def same(self) -> bool:
        """Its own part is as it was when it last completed."""
        return (
            self.state is not None
            and self.state.static == self.static
            and self.state.complete
            and not self.info.get("passed over")
        )

    def unchanged(self) -> bool:
        """Level one of the memo: nothing that it depends on changed since it last completed."""
        if not self.same or self.state is None or self.info.get("retry"):
            return False
        done = self.state.complete_run
        return (
            all(
                station.result in ENDED and not station.estimated and station.changed_run <= done
                for station in self.upstream
            )
            and not any(station.estimated for station in self.awaited)  # else what it made is in `static`
            and self.inputs_are_the_same()
        )

    def inputs_are_the_same(self) -> bool:
        return self.info.get("inputs") == [station.node.name for station in self.upstream]

    @property
    def changed_run(self) -> int:
        """The last run in which any of its rows changed."""
        return self.engine.run_number if self.changed else (self.state.changed_run if self.state else 0)

    # -- the life of a station ---------------------------------------------------------------

    async def run(self) -> None:
        """Work, and tell how it ended; a fault of one node never takes the others' rows with it."""
        try:
            with collecting.seldom():
                self.result = await (self.pass_over() if await self.passed_over() else self.work_after())
        except Stopping as stop:
            if self.result is None:
                self.end("stopped", str(stop))
        except KindError as error:
            self.engine.error(error.message, error.help)
            self.end("failed", error.message)
        except asyncio.CancelledError:
            self.end("stopped", "interrupted")
            raise
        except StoreError as error:
            self.end("failed", error.message)
            raise
        except Exception as error:
            self.engine.crash(self.node.name, error)
            self.end("failed", str(error))
        finally:
            self.progress.state = "failed" if self.result == "expectation" else self.result or "stopped"
            self.progress.ended = time.monotonic()
            for channel in self.downstream:
                channel.close()
            self.finished.set()
            self.engine.changed(self.progress)

    async def work_after(self) -> Result:
        """Work, once the models that it waits for are there: they are part of what decides its rows."""
        for station in self.awaited:
            await station.finished.wait()
            if station.result not in ENDED:
                self.progress.reason = f"`{station.node.name}` did not finish"
                raise Stopping(self.progress.reason)
        if self.awaited:
            self.parts = await asyncio.to_thread(self.engine.parts, self.node, self.kind)
            self.static = static_of(self.parts)
        return await self.work()

    async def work(self) -> Result:
        raise NotImplementedError

    async def passed_over(self) -> bool:
        """Whether it belongs to a round that is not needed, since `until` held before."""
        if self.node.after is None:
            return False
        ended = await self.engine.rounds.ended(self.node.after)
        self.at_most = ended is None
        return ended is True

    async def pass_over(self) -> Result:
        """No turn in this run: its table is empty. What rows came to is remembered all the same."""
        stale = await asyncio.to_thread(self.store.revs, self.node.name)
        if stale:
            self.store.kill(self.node.name, list(stale))
            await self.store.flush()
        if stale or not self.info.get("passed over"):
            self.changed = True
            self.info["passed over"] = True
            self.save(complete=True)
        return "passed"

    def end(self, result: Result, reason: str) -> None:
        self.result, self.progress.reason = result, reason

    def begin(self) -> None:
        """From here on rows may be written: until `complete`, the node counts as unfinished."""
        self.changed = bool(self.info.pop("passed over", False)) or self.changed
        self.progress.state = "running"
        self.progress.started = time.monotonic()
        self.engine.changed(self.progress)
        self.save(complete=False)

    def save(self, complete: bool) -> None:
        before = self.state
        self.store.save_state(
            self.node.name,
            NodeState(
                static=self.static if complete or before is None else before.static,
                complete=complete,
                complete_run=self.engine.run_number if complete else (before.complete_run if before else 0),
                changed_run=self.changed_run if complete else self.engine.run_number,
                info=self.info,
            ),
        )

    async def complete(self) -> Result:
        """All rows are written: hold the table against `expect`, and remember that it is whole."""
        await self.store.flush()
        await self.count()
        if not self.engine.dry:
            expects = bool(self.node.of("expect"))
            failure = await asyncio.to_thread(unmet, self.store, self.node) if expects else None
            if failure is not None:
                self.engine.expectation_failed(self, failure)
                self.end("expectation", failure)
                return "expectation"
            await self.after()
        self.info["parts"] = dict(self.parts)
        self.info["inputs"] = [station.node.name for station in self.upstream]
        self.save(complete=True)
        return "done"

    async def after(self) -> None:
        """What a kind does once its table is whole and holds."""

    async def skip(self) -> Result:
        """Nothing to do: its table stands as it is."""
        await self.count()
        for entry in self.info.get("files", []):
            self.files.append((Path(entry["path"]), entry["rows"]))
        return "unchanged"

    async def count(self) -> None:
        found = await asyncio.to_thread(self.store.counts, self.node.name)
        self.progress.rows = found.get("ok", 0)
        self.progress.rejected = found.get("rejected", 0)
        self.progress.failed = found.get("failed", 0)

    async def inputs_finished(self) -> bool:
        """Wait for every input; False (with the reason noted) where one did not come to its end."""
        for station in self.upstream:
            await station.finished.wait()
        broken = [station.node.name for station in self.upstream if station.result not in ENDED]
        if broken:
            self.progress.reason = f"`{broken[0]}` did not finish"
            return False
        self.estimated = self.estimated or any(
            station.estimated or station.missing for station in self.upstream
        )
        return True

    # -- rows ------------------------------------------------------------------------------------

    async def emit(self, rows: Sequence[Row]) -> None:
        """Hand finished rows to whoever takes them as they come."""
        self.engine.scopes.born(self, rows)
        for channel in self.downstream:
            await channel.put(rows)

    def stored(
        self,
        made: Made,
        parent: Row | None,
        place: int,
        *,
        key: bytes | None = None,
        parent_rev: bytes | None = None,
        outcome: Outcome = NOTHING,
    ) -> tuple[Stored, Row | None]:
        """A row as the store keeps it, and as it flows on (only if it is ok)."""
        lineage = made.parent or parent
        above = lineage.ids if lineage else made.ids or {}
        ids = {name: above[name] for name in self.node.ancestors if name in above}
        identity: Any = made.identity
        if identity is None:
            identity = place if made.parent is None else 0
        given = made.own
        own = {name: given.get(name) for name in self.own_names}
        if lineage is not None:
            parent_id, content = lineage.id, encoded(lineage.rev)
            parent_rev = parent_rev or lineage.rev
        else:
            parent_id, content = None, encoded(self.revs_of(ids))
        id = row_id(parent_id, identity)
        rev = digest(content, encoded(made.fate), encoded(made.reason), self.encode_own(own))
        stored = Stored(
            id,
            rev,
            parent_id,
            parent_rev,
            place,
            key,
            made.fate,
            made.reason,
            outcome.retry,
            outcome.asked,
            outcome.calls,
            self.static,
            ids,
            own,
        )
        if made.fate != "ok":
            return stored, None
        columns = {**lineage.columns, **own} if lineage and self.keeps else own
        return stored, Row(id, rev, columns, {**ids, self.node.name: id})

    def revs_of(self, ids: Mapping[str, bytes]) -> Any:
        """Content of ancestors that a row shows without having a parent row: none by default."""
        return sorted(ids.items())

    def publish_note(self, text: str) -> None:
        self.engine.note(Note(self.node.name, text))

    def wrote(self, path: Path, rows: int) -> None:
        self.files.append((path, rows))
        self.engine.tell(Wrote(self.node.name, path, rows))
