"""Opening the store file: DuckDB's settings, its locks, and one message for each way to fail.

DuckDB locks the file with `fcntl`, which belongs to a process and is lost when *any* handle of
that process on the file is closed. So every instance that this process opens is known here, and
the lock is taken again when one of several readers closes.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engine.store import older
from engine.store.errors import StoreBusy, StoreError, StoreMissing
from engine.store.log import mend, survey
from engine.store.schema import CATALOG, MIGRATIONS, check_version, migrate, quote, text, version

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

GIGABYTE = 1 << 30
PATIENCE = 2.0  # seconds to wait for a reader that is about to close

_guard = threading.Lock()
_instances: dict[str, list[tuple[weakref.ref[DuckDBPyConnection], str]]] = {}
_handles: dict[str, int] = {}  # file descriptors that hold the lock for the readers left


def attach(path: Path, mode: Literal["write", "read"], *, sandbox: bool) -> DuckDBPyConnection:
    """An in-memory instance with the file attached as `store`, its schema checked.

    A file of an older version is brought up to date where it may be written, else only shown so.
    With `sandbox`, queries can read tables and nothing else of the machine.
    Raises `StoreMissing`, `StoreBusy` or `StoreError`.
    """
    import duckdb

    if mode == "read" and not path.exists():
        raise StoreMissing(
            f"there is no store at {path}", "`atk exec GRAPH` makes one; --store names another"
        )
    if mode == "write":
        _clear_stillborn(path)
    broken = survey(path) if mode == "read" and not _held_here(path) else None
    if broken and broken.lost:
        raise StoreError(
            f"the store {path} cannot be read whole: {broken.message}",
            "put a copy back, or go on without what stood there: `atk exec` keeps a copy of the log",
        )
    fresh = not path.exists()
    connection = duckdb.connect()
    try:
        _settings(connection, path)
        opened = _identity(path)
        _attach_patiently(connection, path, mode)
        if opened is not None and opened != _identity(path):
            # `clean` has put another file in its place in this very moment: what was opened is no more.
            connection.execute(f"DETACH {CATALOG}")
            _attach_patiently(connection, path, mode)
        found = _check(connection, path, mode)
        if found < len(MIGRATIONS) and mode == "read":
            connection.execute(f"DETACH {CATALOG}")
            _attach_patiently(connection, path, mode, older.FILE)
            older.show(connection, found)
        if sandbox:
            connection.execute("SET python_enable_replacements = false")
            connection.execute("SET enable_external_access = false")
    except BaseException as error:
        connection.close()
        if mode == "write" and fresh and not isinstance(error, StoreBusy):
            path.unlink(missing_ok=True)  # half made: it would be no database when there is room again
        _relock(path)
        if broken and isinstance(error, StoreError):
            raise StoreError(
                f"the store {path} cannot be read: a crash cut its log short",
                "`atk exec` goes on from what was committed",
            ) from None
        if isinstance(error, duckdb.Error):
            raise _explain(error, path, mode) from None
        raise
    with _guard:
        _instances.setdefault(_name(path), []).append((weakref.ref(connection), mode))
    return connection


def make_folder(folder: Path) -> None:
    """The folder of a store, which git is to leave alone where it is ours. Raises `StoreError`."""
    try:
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        if made and folder.name == ".atk":
            (folder / ".gitignore").write_text("*\n")
    except OSError as error:
        raise StoreError(
            f"cannot make the folder {folder}: {error.strerror}",
            "move away what is in the way, or keep the store elsewhere with --store",
        ) from None


def mended(path: Path) -> str | None:
    """Cut a damaged log before a store is opened for writing; what to tell of it. Raises `StoreError`."""
    return None if _held_here(path) else mend(path)


def _held_here(path: Path) -> bool:
    """Whether this process has the file open: to open and close it once more would lose its lock."""
    with _guard:
        return any(_open(found()) for found, _ in _instances.get(_name(path), ()))


def in_memory() -> DuckDBPyConnection:
    """An instance whose `store` is empty and lives in memory, for a plan where no file is yet."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 1")  # for a few rows, others only cost time
    connection.execute(f"ATTACH ':memory:' AS {CATALOG}")
    migrate(connection, 0)
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET enable_external_access = false")
    return connection


def detach(connection: DuckDBPyConnection, path: Path) -> None:
    """Close an instance that `attach` gave."""
    connection.close()
    _relock(path)


def _clear_stillborn(path: Path) -> None:
    """Remove a file without a byte that nobody holds: a process died while it made a store."""
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size:
            return
        with path.open("rb+") as handle:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(handle.fileno()).st_size:
                path.unlink()
    except OSError:  # held, or not ours to remove: opening it says so
        return


def _settings(connection: DuckDBPyConnection, path: Path) -> None:
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        memory = 6 * GIGABYTE
    connection.execute(f"SET memory_limit = '{max(GIGABYTE, memory // 3)}B'")
    connection.execute(f"SET temp_directory = {text(str(path.with_suffix('.spill')))}")
    connection.execute("SET checkpoint_threshold = '64MB'")
    # A file that is no DuckDB database must not make it fetch an extension from the network.
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    # Long strings inside lists and structs cannot name their compression; this one stalls on them.
    connection.execute("SET disabled_compression_methods = 'dict_fsst'")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _attach_patiently(connection: DuckDBPyConnection, path: Path, mode: str, catalog: str = CATALOG) -> None:
    import duckdb

    options = "TYPE duckdb, " + ("STORAGE_VERSION 'latest'" if mode == "write" else "READ_ONLY")
    statement = f"ATTACH {text(str(path))} AS {quote(catalog)} ({options})"
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute(statement)
            return
        except duckdb.Error as error:
            problem = _explain(error, path, mode)
            brief = isinstance(problem, StoreBusy) and mode == "write" and _held_by_reader(error)
            if not brief or time.monotonic() > deadline:
                raise problem from None
            time.sleep(0.05)


def _held_by_reader(error: Exception) -> bool:
    return "you would be able to open this database in read-only mode" in str(error)


_DAMAGE = ("Could not read enough bytes from file", "does not match stored checksum")


def damage(error: Exception, path: Path) -> StoreError | None:
    """What an error says where the file's content is at fault, which may show only while it is read."""
    if not any(sign in str(error) for sign in _DAMAGE):
        return None
    return StoreError(
        f"the store {path} is damaged: it was cut short or changed from outside",
        "put a copy back, or move it away and run again: what it remembered is then paid for once more",
    )


def is_full(message: str) -> bool:
    """Whether an error of DuckDB's says that there is no room: on the disk, in a quota, for a file."""
    signs = ("No space left", "File too large", "isk quota", "out of space", "Could not write")
    return any(sign in message for sign in signs)


def _explain(error: Exception, path: Path, mode: str) -> StoreError:
    message = str(error)
    if "Could not set lock" in message or "onflicting lock" in message:
        found = re.search(r"PID (\d+)", message)
        who = f"process {found[1]}" if found else "another process"
        if _held_by_reader(error):
            return StoreBusy(
                f"{who} has the store {path} open for reading",
                "close that connection (a notebook, a DuckDB shell), or use another store with --store",
            )
        return StoreBusy(
            f"{who} is writing to the store {path}",
            "wait until it has ended, or use another store with --store",
        )
    if "Unique file handle conflict" in message or "different configuration" in message:
        return StoreBusy(
            f"this process already has the store {path} open",
            "close the other connection first: one process opens a store once for writing",
        )
    if path.is_dir():
        return StoreError(f"{path} is a folder, not a store", f"name a file, such as {path / 'store.duckdb'}")
    if problem := damage(error, path):
        return problem
    if "not a valid DuckDB database" in message:
        return StoreError(f"{path} is not a DuckDB database", "move it away, or name another with --store")
    if "ermission denied" in message or "Read-only file system" in message:
        verb = "write to" if mode == "write" else "read"
        return StoreError(
            f"no permission to {verb} the store {path}", "make it so, or name another with --store"
        )
    if is_full(message):
        return StoreError(
            f"the disk is full: the store {path} cannot be opened for writing",
            "free some space and run again, or keep it elsewhere with --store",
        )
    first = message.split("\n")[0].partition(": ")
    return StoreError(f"the store {path} cannot be opened: {first[2] or first[0]}")


def _check(connection: DuckDBPyConnection, path: Path, mode: str) -> int:
    """The version that the file had."""
    try:
        found = version(connection)
        check_version(found, can_migrate=mode == "write")
    except StoreError as problem:
        raise StoreError(
            f"cannot use the store {path}: {problem.message}", problem.help or "name another with --store"
        ) from None
    if mode == "write" and migrate(connection, found):
        # Into the file itself: whatever becomes of the log, the file then says whose it is.
        connection.execute(f"CHECKPOINT {CATALOG}")
    return found


def _name(path: Path) -> str:
    return str(path.resolve())


def _relock(path: Path) -> None:
    """Take the lock again for the instances of this process that still read the file."""
    name = _name(path)
    with _guard:
        alive = [(found, mode) for found, mode in _instances.pop(name, []) if _open(found())]
        handle = _handles.pop(name, None)
        if not alive:
            if handle is not None:
                os.close(handle)
            return
        _instances[name] = alive
        if any(mode == "write" for _, mode in alive):  # a shared lock would replace its exclusive one
            return
        if handle is None:
            handle = os.open(name, os.O_RDONLY)
        _handles[name] = handle
        # A writer may have come in this very moment: what is open then reads on at its own risk.
        try:
            fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return


def _open(connection: DuckDBPyConnection | None) -> bool:
    import duckdb

    if connection is None:
        return False
    try:
        connection.cursor().close()
    except duckdb.ConnectionException:
        return False
    except duckdb.Error:
        return True
    return True
