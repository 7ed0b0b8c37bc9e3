"""Read-only SQL for other processes while this one holds the file.

DuckDB lets no second process in while one writes. A thread for each client runs its query on a
connection of its own; a client that is slow, rude or gone costs that thread and nothing else.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import select
import socket
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.store import wire
from engine.store.errors import StoreError
from engine.store.query import reading

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from engine.store.views import Gallery

CLIENTS = 64
STALLED = 30.0  # seconds a client may take nothing of its answer, or send nothing of its question
BATCH = 2_048  # rows


class Server:
    """Listens from construction to `close`. The gallery gives connections that see a graph's views."""

    def __init__(self, store: Path, gallery: Gallery):
        self._gallery = gallery
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._working: set[DuckDBPyConnection] = set()
        self._threads: set[threading.Thread] = set()
        self._links: set[socket.socket] = set()
        self.path = wire.socket_path(store)
        self._listener = _listen(self.path)
        self._thread = threading.Thread(target=self._accept, name="atk-store-socket", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up on every client, interrupt the queries that run, and wait for their threads."""
        self._closing.set()
        self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        with self._lock:
            for link in self._links:  # wakes a thread that waits for a slow client
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_RDWR)
        for thread in list(self._threads):
            while thread.is_alive():
                with self._lock:
                    for cursor in self._working:
                        cursor.interrupt()
                thread.join(0.1)

    def _accept(self) -> None:
        poll = select.poll()  # `select` knows no descriptor above 1,023, and an engine has many
        poll.register(self._listener, select.POLLIN)
        while not self._closing.is_set():
            if not poll.poll(500) or self._closing.is_set():
                continue
            try:
                link, _ = self._listener.accept()
            except OSError:
                self._closing.wait(0.05)  # out of descriptors, or a client that hung up at once
            if len(self._threads) >= CLIENTS:
                with link, contextlib.suppress(wire.Gone):
                    _refuse(link, StoreError(f"{CLIENTS} queries are being answered already", "ask again"))
                continue
            thread = threading.Thread(target=self._serve, args=(link,), daemon=True)
            self._threads.add(thread)
            with self._lock:
                self._links.add(link)
            thread.start()

    def _serve(self, link: socket.socket) -> None:
        try:
            with contextlib.suppress(wire.Gone):
                link.settimeout(STALLED)
                letter, content = wire.receive(link)
                if letter == wire.QUERY:
                    self._answer(link, content)
        finally:
            with self._lock:
                self._links.discard(link)
            link.close()
            self._threads.discard(threading.current_thread())

    def _answer(self, link: socket.socket, content: bytes) -> None:
        try:
            request = json.loads(content)
            sql, graph, limit = str(request["sql"]), request.get("graph"), request.get("limit")
        except (ValueError, KeyError, TypeError):
            _refuse(link, StoreError("that is no request"))
            return
        try:
            cursor = self._gallery.cursor(graph, sql)
        except StoreError as problem:
            _refuse(link, problem)
            return
        done = threading.Event()
        watch = threading.Thread(target=self._watch, args=(link, cursor, done), daemon=True)
        with self._lock:
            self._working.add(cursor)
        watch.start()
        try:
            _run(cursor, link, sql, limit, partial(self._gallery.complete, graph))
        except StoreError as problem:
            if self._closing.is_set():
                return  # hung up on: the reader will open the file itself
            _refuse(link, problem)
        finally:
            done.set()
            watch.join()
            with self._lock:
                self._working.discard(cursor)
            cursor.close()

    def _watch(self, link: socket.socket, cursor: DuckDBPyConnection, done: threading.Event) -> None:
        """Interrupt a long query whose client is gone or whose server is closing."""
        wait = 0.02
        while not done.wait(wait):
            wait = min(0.5, wait * 2)
            if self._closing.is_set() or _hung_up(link):
                cursor.interrupt()


def _hung_up(link: socket.socket) -> bool:
    try:
        poll = select.poll()
        poll.register(link, select.POLLIN)
        return bool(poll.poll(0)) and link.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True


class _Frames(io.RawIOBase):
    """A file that sends what is written to it as data frames."""

    def __init__(self, link: socket.socket):
        self._link = link

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        for start in range(0, len(view), 1 << 20):
            wire.send(self._link, wire.DATA, view[start : start + (1 << 20)])
        return len(view)


def _run(
    cursor: DuckDBPyConnection,
    link: socket.socket,
    sql: str,
    limit: int | None,
    complete: Callable[[], bool],
) -> None:
    from engine.store.arrow import pyarrow as pa

    cursor.execute("SET SESSION arrow_lossless_conversion = true")
    with reading(cursor, sql, complete) as relation:
        head = {"columns": relation.columns, "types": [str(kind) for kind in relation.types]}
        batches = relation.to_arrow_reader(BATCH)
        wire.send(link, wire.HEAD, json.dumps(head).encode())
        left = limit
        with pa.ipc.new_stream(pa.PythonFile(_Frames(link), mode="w"), batches.schema) as stream:
            for batch in batches:
                stream.write_batch(batch if left is None else batch[:left])
                if left is not None:
                    left -= min(left, len(batch))
                    if left == 0:
                        break
    wire.send(link, wire.END)


def _refuse(link: socket.socket, problem: StoreError) -> None:
    content = {"message": problem.message, "help": problem.help}
    wire.send(link, wire.ERROR, json.dumps(content).encode())


def _listen(path: Path) -> socket.socket:
    """A socket that only this user can connect to. One that is there is a dead one's: we hold the file."""
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True)
    if path.parent.stat().st_uid != os.getuid() and path.parent.name.startswith("atk-"):
        raise StoreError(f"{path.parent} belongs to another user")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)  # before `listen`, so that nobody can have connected
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise StoreError(f"cannot serve queries at {path}: {error.strerror}") from None
    return listener
