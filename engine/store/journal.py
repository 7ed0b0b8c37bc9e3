"""Replies that were paid for and that the store has not committed yet, in two files beside it.

Each reply is written there the moment it comes, and the store commits some hundred at once a little
later: so a process that is killed, or whose disk is full, loses none that it has read. The two files
take turns: while the replies of one are committed the other takes what comes meanwhile, and a file all
of whose replies are committed is emptied. Whoever opens the store next takes in what lies there. There
is room for it on a full disk since a run holds a reserve, and gives it up then.
`docs/decisions/nothing-lost.md` has the reasons.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.store.errors import StoreError
from engine.store.memo import calls_table
from engine.store.records import CallRecord
from engine.store.schema import SCHEMA

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

HEAD = b"atk replies 1\n"  # the first line
RESERVE = 8 << 20  # bytes: some thousand replies
_NAMES = tuple(field.name for field in fields(CallRecord))
_values = attrgetter(*_NAMES)


def files_of(store: Path) -> tuple[Path, Path]:
    """Where the replies lie that a store has not committed."""
    return store.with_name(f"{store.name}.replies"), store.with_name(f"{store.name}.replies2")


@dataclass(slots=True)
class _Part:
    """One of the two files. It is made when there is something to write."""

    path: Path
    file: int | None = None
    size: int = 0
    calls: int = 0  # that are not committed

    def write(self, lines: bytes) -> None:
        """Append lines, or nothing of them: half a line would spoil the one that follows."""
        if self.file is None:
            self.file = os.open(self.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
            self.size = os.fstat(self.file).st_size
        if not self.size:
            lines = HEAD + lines
        try:
            written = os.write(self.file, lines)
        except OSError:
            written = 0
        if written < len(lines):
            os.ftruncate(self.file, self.size)
            raise OSError("no room")
        self.size += written

    def empty(self) -> None:
        """Forget what was committed. Where that fails, it stands there twice, which does no harm."""
        if self.file is not None and self.size > len(HEAD):
            with contextlib.suppress(OSError):
                os.ftruncate(self.file, len(HEAD))
                self.size = len(HEAD)

    def close(self) -> None:
        """See to it that what is not committed is on the disk; a file without any is removed."""
        if self.file is None:
            return
        with contextlib.suppress(OSError):
            if self.calls:
                os.fsync(self.file)
            else:
                self.path.unlink(missing_ok=True)
        os.close(self.file)
        self.file = None


class Journal:
    """Takes each reply before the store does. Safe to use from several threads."""

    def __init__(self, store: Path):
        self._parts = tuple(_Part(path) for path in files_of(store))
        self._now = 0  # the part that is written to
        self._reserve = store.with_name(f"{store.name}.reserve")
        self.lost = 0
        self._lock = threading.Lock()

    @property
    def kept(self) -> int:
        """How many replies are written here and not committed."""
        return sum(part.calls for part in self._parts)

    # -- the reserve -----------------------------------------------------------------------------

    def hold(self) -> None:
        """Take room on the disk for later; where there is not so much, none is taken."""
        try:
            handle = os.open(self._reserve, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(handle, 0, RESERVE)
                else:
                    os.write(handle, bytes(RESERVE))
            finally:
                os.close(handle)
        except OSError:
            self._release()

    def _release(self) -> None:
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)

    # -- replies ---------------------------------------------------------------------------------

    def keep(self, calls: Sequence[CallRecord], run: int) -> int | None:
        """Append replies, all or none: the part they are in, or None where there is no room."""
        lines = b"".join(_line(call, run) for call in calls)
        with self._lock:
            part = self._parts[self._now]
            try:
                part.write(lines)
            except OSError:
                return None
            part.calls += len(calls)
            return self._now

    def rescue(self, calls: Sequence[CallRecord], run: int) -> None:
        """Append replies that the store will not take; those that cannot be written are counted as lost."""
        self._release()
        if self.keep(calls, run) is None:
            self.lost += len(calls)

    def turn(self) -> None:
        """Go on in the other part, if nothing waits there: what is committed next lies in this one."""
        with self._lock:
            before, other = self._parts[self._now], self._parts[1 - self._now]
            if not other.calls:
                self._now = 1 - self._now
                if not before.calls:
                    before.empty()

    def settle(self, number: int, calls: int) -> None:
        """So many replies of a part are committed."""
        with self._lock:
            part = self._parts[number]
            part.calls -= calls
            if not part.calls and number != self._now:
                part.empty()

    def close(self) -> None:
        """Remove what is committed; what is not stays for whoever opens the store next."""
        with self._lock:
            for part in self._parts:
                part.close()
        self._release()

    def told(self, error: StoreError) -> StoreError:
        """The error that ended a run, with what became of replies that were still to be written."""
        if not self.kept and not self.lost:
            return error
        message = error.message
        if self.lost:
            message += f"; {_replies(self.lost)} paid for could not be kept"
        files = " and ".join(str(part.path) for part in self._parts if part.calls)
        kept = f"{_replies(self.kept)} paid for meanwhile lie in {files}: the next run takes them in"
        return StoreError(message, f"{error.help}; {kept}" if self.kept and error.help else error.help)


def _replies(count: int) -> str:
    return f"{count} repl{'y' if count == 1 else 'ies'}"


def _line(call: CallRecord, run: int) -> bytes:
    import orjson

    told: dict[str, Any] = dict(zip(_NAMES, _values(call), strict=True))
    told["run"], told["key"] = run, call.key.hex()
    told["row"] = call.row.hex() if call.row else None
    if isinstance(call.request, bytes):
        told["request"] = call.request.decode("utf-8", "replace")
    try:
        return orjson.dumps(told, option=orjson.OPT_NAIVE_UTC | orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a lone surrogate, which the store cannot hold either
        whole = {name: _utf8(value) if isinstance(value, str) else value for name, value in told.items()}
        return orjson.dumps(whole, option=orjson.OPT_NAIVE_UTC | orjson.OPT_APPEND_NEWLINE)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


# -- for whoever opens a store -----------------------------------------------------------------


def waiting(store: Path) -> list[tuple[int, CallRecord]]:
    """Replies that a store is still to take, each with its run. Raises `StoreError` for another's file."""
    return [found for path in files_of(store) for found in _read(path)]


def discard(store: Path) -> None:
    """Remove the files: what lay in them is in the store."""
    for path in files_of(store):
        path.unlink(missing_ok=True)


def _read(path: Path) -> list[tuple[int, CallRecord]]:
    import orjson

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read: {error.strerror}", "it holds replies that were paid for"
        ) from None
    if not content.startswith(HEAD):
        if HEAD.startswith(content):
            return []  # a process was killed, or found no room, before it had written the first line
        raise StoreError(f"{path} holds no replies of atk's", "move it away")
    found = []
    for line in content.splitlines()[1:]:
        with contextlib.suppress(ValueError, KeyError, TypeError):  # the last may be half written
            told = orjson.loads(line)
            run = int(told["run"])
            at = datetime.fromisoformat(told["at"])
            made = {name: value for name, value in told.items() if name in _NAMES} | {
                "key": bytes.fromhex(told["key"]),
                "row": bytes.fromhex(told["row"]) if told["row"] else None,
                "at": at if at.tzinfo else at.replace(tzinfo=UTC),
            }
            found.append((run, CallRecord(**made)))
    return found


def take_in(connection: DuckDBPyConnection, calls: Sequence[tuple[int, CallRecord]]) -> int:
    """Write replies into table `calls`, but those that are there: a process died before it could tell."""
    taken = 0
    for run in sorted({run for run, _ in calls}):
        connection.register("atk_batch", calls_table([call for number, call in calls if number == run], run))
        try:
            rows = connection.execute(
                f"INSERT INTO {SCHEMA}.calls BY NAME SELECT * FROM atk_batch b WHERE NOT EXISTS"
                f" (FROM {SCHEMA}.calls c WHERE c.key = b.key AND c.called_at = b.called_at)"
            ).fetchall()
        finally:
            connection.unregister("atk_batch")
        taken += int(rows[0][0])
    return taken
