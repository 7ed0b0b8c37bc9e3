"""`exec --events FILE`: what happens in a run, one JSON object a line, for programs that watch.

No prompt, reply or secret is among it: those are in the store. docs/projects.md says what each holds.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from engine.commands._errors import complain, stop
from engine.runtime.events import Called, Changed, Event, Failed, NodeProgress, Note, Started, Wrote

if TYPE_CHECKING:
    from engine.runtime.events import Listener, Summary


class Events:
    """Writes events to a file; a disk that is full costs the rest of them, never the run."""

    def __init__(self, file: IO[str] | None):
        self._file = file
        self._told: dict[str, str] = {}  # node -> its state

    def listen(self, event: Event) -> None:
        """Write one event, if it says something new."""
        if self._file is None or (told := self._content(event)) is None:
            return
        self._write(told)

    def end(self, summary: Summary) -> None:
        """Write how it ended."""
        if self._file is not None:
            self._write({"event": "ended", **summary.as_dict()})

    def fail(self, message: str) -> None:
        """Write that it ended without a summary."""
        if self._file is not None:
            self._write({"event": "ended", "status": "failed", "errors": [message]})

    def _write(self, told: dict[str, Any]) -> None:
        assert self._file is not None
        line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **told}
        try:
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:
            complain(f"no more events are written: {(error.strerror or 'the file').lower()}", None, "warning")
            self._file = None

    def _content(self, event: Event) -> dict[str, Any] | None:
        if isinstance(event, Started):
            nodes = [{"name": one.name, "kind": one.kind} for one in event.progress.values()]
            run = {"run": event.run, "graph": event.graph}
            return {"event": "started", **run, "nodes": nodes, "notes": list(event.notes)}
        if isinstance(event, Changed):
            if self._told.get(event.node.name) == event.node.state:
                return None
            self._told[event.node.name] = event.node.state
            return {"event": "node", **_figures(event.node)}
        if isinstance(event, Called):
            call = event.call
            return {
                "event": "call",
                "node": call.node,
                "row": call.row.hex() if call.row else None,
                "role": call.role,
                "attempt": call.attempt,
                "status": call.status,
                "fault": call.fault,
                "tokens_in": call.tokens_in,
                "tokens_out": call.tokens_out,
                "cost": call.cost,
                "cost_reported": call.cost_reported,
                "ms": round(call.ms, 1),
                "http_attempts": call.http_attempts,
            }
        if isinstance(event, Failed):
            return {"event": "failed", "node": event.node, "row": event.row.hex(), "reason": event.reason}
        if isinstance(event, Wrote):
            return {"event": "wrote", "node": event.node, "path": str(event.path), "rows": event.rows}
        assert isinstance(event, Note)
        return {"event": "note", "node": event.node, "text": event.text}


def _figures(node: NodeProgress) -> dict[str, Any]:
    spent = node.ended - node.started if node.started is not None and node.ended is not None else None
    return {
        "node": node.name,
        "state": node.state,
        "rows": node.rows,
        "rejected": node.rejected,
        "failed": node.failed,
        "calls": node.calls,
        "cached": node.cached,
        "tokens_in": node.tokens_in,
        "tokens_out": node.tokens_out,
        "cost": node.cost,
        "seconds": None if spent is None else round(spent, 3),
        "reason": node.reason,
    }


@contextlib.contextmanager
def events(path: Path | None) -> Iterator[Events]:
    """The events of one run, appended to a file; nothing is written where there is no path."""
    if path is None:
        yield Events(None)
        return
    try:
        file = path.open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        stop(f"--events cannot write {path}: {(error.strerror or str(error)).lower()}", "name another file")
    made = Events(file)
    try:
        yield made
    except Exception as error:
        made.fail(str(getattr(error, "message", error)))
        raise
    finally:
        with contextlib.suppress(OSError):
            file.close()


def both(one: Listener, other: Listener) -> Listener:
    """Tells two listeners."""

    def listen(event: Event) -> None:
        one(event)
        other(event)

    return listen
