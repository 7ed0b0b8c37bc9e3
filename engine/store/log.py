"""DuckDB's write-ahead log beside a store: whether all of it can be read, and what to do where not.

After a crash the log holds what was committed since the last checkpoint, and DuckDB reads it when
the file is opened. Of a damaged log it reads what stands before the damage, if that, and mostly says
nothing of the rest; a log whose head is damaged is dropped whole. What is lost there was paid for, so
the log is looked through first. An end that was cut in the middle of a commit is no damage: that is
how every killed process leaves it, and the commit was never told to be done.

The form, as DuckDB 2.0 writes it (`src/storage/wal_replay.cpp`, `src/common/checksum.cpp`): a
head, which names the database file and its checkpoint, then entries of a size (8 bytes), a checksum
(8 bytes) and so many bytes. A commit ends with an entry that is the same each time. A log of any
other form is left to DuckDB.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import struct
from pathlib import Path

from engine.frozen import dataclass
from engine.store.errors import StoreError

COMMIT = bytes.fromhex("0500000000000000e7fe7d722fed3d5e640064ffff")  # the entry that ends a commit
_FIXED = struct.Struct("<QQ")
_BLOCK = 4096  # of the heads in a store file: one of the file, two of its checkpoints
MOST_HEAD = 80  # bytes, of a log
_WORD = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True)
class Broken:
    """Where a log ends to be readable: all before `sound` bytes is whole, and ends with a commit."""

    log: Path
    sound: int
    size: int
    lost: bool  # commits stand behind; else a crash cut the one that was being written

    @property
    def message(self) -> str:
        """What is wrong, for a person."""
        behind = self.size - self.sound
        return f"its log {self.log} is damaged: of {self.size:,} bytes the last {behind:,} cannot be read"


def log_of(store: Path) -> Path:
    """The log that belongs to a store file."""
    return store.with_name(store.name + ".wal")


def survey(store: Path) -> Broken | None:
    """Where a store's log breaks; None where all of it is whole, or where there is none."""
    path = log_of(store)
    try:
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as log:
                sound = _sound(log, store)
                # A commit that is behind what cannot be read was done, and told.
                return (
                    None if sound == len(log) else Broken(path, sound, len(log), log.find(COMMIT, sound) >= 0)
                )
    except OSError:
        return None  # what cannot be read is for DuckDB to tell


def mend(store: Path) -> str | None:
    """Cut a log where it breaks; where commits are lost by it, a copy is kept, and what to tell is given.

    To be called where no instance of this process has the file open. A file that another process
    holds is left alone. Raises `StoreError` where there is no room for the copy.
    """
    if survey(store) is None:
        return None
    with store.open("rb+") as held:
        try:
            fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return None  # somebody writes to it this very moment
        found = survey(store)
        if found is None:
            return None
        copy = _kept(found, store) if found.lost else None
        if found.sound:
            os.truncate(found.log, found.sound)
        elif copy:
            found.log.unlink()
    if copy is None:
        return None
    return (
        f"the store {store} lost something: {found.message}. What was committed there is lost:"
        " rows are made again, and replies that were kept there alone are asked for again."
        f" A copy of the log is in {copy}"
    )


def _kept(found: Broken, store: Path) -> Path:
    """A copy of a log before it is cut."""
    copy = _free_name(found.log)
    try:
        shutil.copyfile(found.log, copy)
    except OSError as error:
        copy.unlink(missing_ok=True)
        raise StoreError(
            f"the store {store} cannot be mended: {found.message},"
            f" and a copy of it cannot be kept: {error.strerror}",
            "make room beside it, so that nothing in it is lost for good",
        ) from None
    return copy


def _free_name(log: Path) -> Path:
    names = [log.with_name(f"{log.name}.damaged{end}") for end in ("", *(f".{n}" for n in range(2, 1000)))]
    return next((name for name in names if not name.exists()), names[-1])


# -- the form ------------------------------------------------------------------------------


def _sound(log: mmap.mmap, store: Path) -> int:
    """How many bytes are whole, up to the end of a commit."""
    at = next((begin for begin in range(MOST_HEAD) if _entry(log, begin) is not None), None)
    sound = 0
    if at is not None and _is_head(log, at, store):
        while (size := _entry(log, at)) is not None:
            commit = log[at : at + len(COMMIT)] == COMMIT
            at += size
            if commit:
                sound = at
    return sound


def _entry(log: mmap.mmap, at: int) -> int | None:
    """The size of the whole entry at an offset; None where there is none that is whole."""
    if at + _FIXED.size > len(log):
        return None
    size, checksum = _FIXED.unpack_from(log, at)
    begin = at + _FIXED.size
    if not 0 < size <= len(log) - begin or _checksum(log[begin : begin + size]) != checksum:
        return None
    return int(size) + _FIXED.size


def _is_head(log: mmap.mmap, end: int, store: Path) -> bool:
    """Whether the log's first bytes say that it belongs to the store as it is."""
    head = _Head(log)
    try:
        opens = head.field() == 100 and head.number() == 98 and head.field() == 101 and head.number() == 2
        named = bytes(head.number() & 0xFF for _ in range(head.number())) if head.field() == 102 else b""
        checkpoint = head.number() if head.field() == 103 else -1
        closes = head.field() == 0xFFFF and head.at == end
    except IndexError:
        return False
    with store.open("rb") as file:
        first = file.read(3 * _BLOCK)
    if not opens or not closes or not named or first.find(named) < 0:
        return False
    # Of a log that was taken in already, DuckDB drops what is left: it is one checkpoint behind.
    newest = max(_FIXED.unpack_from(first, block * _BLOCK)[1] for block in (1, 2))
    return checkpoint in (newest, newest - 1)


class _Head:
    """Reads the parts of a head: field numbers of two bytes, and numbers of seven bits a byte."""

    def __init__(self, log: mmap.mmap):
        self.log, self.at = log, 0

    def field(self) -> int:
        self.at += 2
        return self.log[self.at - 2] | self.log[self.at - 1] << 8

    def number(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            byte = self.log[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise IndexError


def _checksum(content: bytes) -> int:
    import numpy

    whole = len(content) // 8 * 8
    words = numpy.frombuffer(content[:whole], "<u8") * numpy.uint64(0xBF58_476D_1CE4_E5B9)
    found = 5381 ^ int(numpy.bitwise_xor.reduce(words))
    return found ^ _rest(content[whole:]) if content[whole:] else found


def _rest(content: bytes) -> int:
    """Of the last bytes, fewer than eight: MurmurHash64A."""
    factor = 0xC6A4_A793_5BD1_E995
    found = (0xE17A_1465 ^ len(content) * factor) & _WORD
    found = (found ^ int.from_bytes(content, "little")) * factor & _WORD
    found ^= found >> 47
    found = found * factor & _WORD
    return found ^ found >> 47
