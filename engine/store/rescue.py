"""Replies that were paid for and that the store cannot take, kept in a file beside it.

Where the disk is full (or DuckDB fails) a commit is lost, and what comes in afterwards too: some
hundred replies, each paid for. So they are appended to a file of lines, which whoever opens the store
next takes in. There is room for it on a full disk since a run holds a reserve, and gives it up then.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.store.errors import StoreError
from engine.store.memo import calls_table
from engine.store.records import CallRecord
from engine.store.schema import SCHEMA

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FORM = "atk replies 1"  # the first line
RESERVE = 8 << 20  # bytes: some thousand replies


def file_of(store: Path) -> Path:
    """Where the replies lie that a store could not take."""
    return store.with_name(f"{store.name}.replies")


class Rescue:
    """Takes replies in the place of a store that cannot. Safe to use from several threads."""

    def __init__(self, store: Path):
        self.path, self._reserve = file_of(store), store.with_name(f"{store.name}.reserve")
        self.kept = self.lost = 0
        self._file: int | None = None
        self._lock = threading.Lock()

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
            self.release()

    def release(self) -> None:
        """Give the room back."""
        with contextlib.suppress(OSError):
            self._reserve.unlink(missing_ok=True)

    def keep(self, calls: Sequence[CallRecord], run: int) -> None:
        """Append replies; those that cannot be written are counted as lost."""
        with self._lock:
            for call in calls:
                try:
                    self._write(_line(call, run))
                    self.kept += 1
                except (OSError, TypeError, ValueError):
                    self.lost += 1

    def _write(self, line: bytes) -> None:
        if self._file is None:
            self.release()
            flags = os.O_CREAT | os.O_WRONLY | os.O_APPEND
            self._file = os.open(self.path, flags, 0o600)
            if not os.fstat(self._file).st_size:
                _whole(self._file, FORM.encode() + b"\n")
        _whole(self._file, line)

    def close(self) -> None:
        """See to it that what was kept is on the disk."""
        with self._lock:
            if self._file is not None:
                with contextlib.suppress(OSError):
                    os.fsync(self._file)
                os.close(self._file)
                self._file = None
        self.release()

    def told(self, error: StoreError) -> StoreError:
        """The error that ended a run, with what became of replies that were still to be written."""
        if not self.kept and not self.lost:
            return error
        message = error.message
        if self.lost:
            message += f"; {_replies(self.lost)} paid for could not be kept"
        kept = f"{_replies(self.kept)} paid for meanwhile lie in {self.path}: the next run takes them in"
        return StoreError(message, f"{error.help}; {kept}" if self.kept and error.help else error.help)


def _whole(file: int, line: bytes) -> None:
    """A line or nothing of it: half a line would spoil the one that follows."""
    begin = os.lseek(file, 0, os.SEEK_END)
    try:
        written = os.write(file, line)
    except OSError:
        written = 0
    if written < len(line):
        os.ftruncate(file, begin)
        raise OSError("no room")


def _replies(count: int) -> str:
    return f"{count} repl{'y' if count == 1 else 'ies'}"


def _line(call: CallRecord, run: int) -> bytes:
    import orjson

    told: dict[str, Any] = asdict(call)
    told |= {"key": call.key.hex(), "row": call.row.hex() if call.row else None}
    if isinstance(call.request, bytes):
        told["request"] = call.request.decode()
    return orjson.dumps({"run": run, **told}, option=orjson.OPT_NAIVE_UTC) + b"\n"


def waiting(store: Path) -> list[tuple[int, CallRecord]]:
    """Replies that a store is still to take, each with its run. Raises `StoreError` for another's file."""
    import orjson

    path = file_of(store)
    try:
        first, *lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read: {error.strerror}", "it holds replies that were paid for"
        ) from None
    if first.decode(errors="replace") != FORM:
        raise StoreError(f"{path} holds no replies of atk's", "move it away")
    names = {field.name for field in fields(CallRecord)}
    found = []
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError):  # the last may be half written
            told = orjson.loads(line)
            run = int(told["run"])
            at = datetime.fromisoformat(told["at"])
            made = {name: value for name, value in told.items() if name in names} | {
                "key": bytes.fromhex(told["key"]),
                "row": bytes.fromhex(told["row"]) if told["row"] else None,
                "at": at if at.tzinfo else at.replace(tzinfo=UTC),
            }
            found.append((run, CallRecord(**made)))
    return found


def take_in(connection: DuckDBPyConnection, calls: Sequence[tuple[int, CallRecord]]) -> int:
    """Write replies into table `calls`, but those that a process wrote that died before it could tell."""
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
