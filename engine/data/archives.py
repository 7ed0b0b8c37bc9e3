"""What is in a zip archive, and its members as files for as long as they are read.

An archive comes from anywhere: what it says of names and sizes is not believed. A member that is
encrypted, that lies outside the folder, or that unpacks to more than a document or a table has, is
told with the reason, and the others are read.
"""

from __future__ import annotations

import contextlib
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from engine.frozen import dataclass

LARGEST = 1 << 30  # bytes of an unpacked member
MODEST = 16 << 20  # bytes that a member may always have
DENSE = 200  # times as large as packed: beyond this nothing is a text
PIECE = 1 << 20
TROUBLES = (
    zipfile.BadZipFile,
    KeyError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    zlib.error,
    OSError,
)


class NotUnpacked(Exception):
    """An archive, or a member of one, that cannot be read; the message says why."""


@dataclass(frozen=True)
class Member:
    """A file in an archive: its name there, and why it is not read, if it is not."""

    name: str
    trouble: str | None


def members(archive: Path) -> list[Member]:
    """The files of an archive but hidden ones; of several with one name the last. Raises `NotUnpacked`."""
    try:
        with zipfile.ZipFile(archive) as opened:
            listed = {info.filename: info for info in opened.infolist() if not info.is_dir()}
    except TROUBLES as error:
        raise NotUnpacked(_told("no zip archive that can be read", error)) from error
    return [Member(name, _trouble(info)) for name, info in listed.items() if not _hidden(name)]


def _hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or any(part.startswith(".") and not part.startswith("..") for part in parts)


def _trouble(info: zipfile.ZipInfo) -> str | None:
    path = PurePosixPath(info.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in info.filename or info.filename[1:2] == ":":
        return "its name leads out of the archive"
    if info.flag_bits & 1:
        return "it is encrypted: unpack it, or save the archive without a password"
    if path.suffix.lower() == ".zip":
        return "an archive within an archive is not read: unpack it"
    return _too_large(info, info.file_size)


def _too_large(info: zipfile.ZipInfo, size: int) -> str | None:
    most = min(LARGEST, max(MODEST, DENSE * info.compress_size))
    if size <= most:
        return None
    return (
        f"it unpacks to more than {most >> 20} MB, packed it has {info.compress_size >> 10:,} kB: "
        "if it is to be trusted, unpack it"
    )


class Unpacker:
    """Members as files, one at a time; the archive of the last one stays open."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._opened: zipfile.ZipFile | None = None

    @contextlib.contextmanager
    def unpacked(self, archive: Path, member: str) -> Iterator[Path]:
        """A member as a file of its own, which is gone afterwards. Raises `NotUnpacked`."""
        with tempfile.TemporaryDirectory(prefix="atk-") as folder:
            made = Path(folder, "member").with_suffix(PurePosixPath(member).suffix.lower())
            try:
                self._write(self._archive(archive), member, made)
            except TROUBLES as error:
                raise NotUnpacked(_told("it cannot be unpacked", error)) from error
            yield made

    def _archive(self, path: Path) -> zipfile.ZipFile:
        if self._opened is None or self._path != path:
            self.close()
            self._path, self._opened = path, zipfile.ZipFile(path)
        return self._opened

    def _write(self, archive: zipfile.ZipFile, member: str, made: Path) -> None:
        info = archive.getinfo(member)
        size = 0
        with archive.open(info) as packed, made.open("wb") as plain:
            while piece := packed.read(PIECE):
                size += len(piece)
                if (trouble := _too_large(info, size)) is not None:
                    raise NotUnpacked(trouble)
                plain.write(piece)

    def close(self) -> None:
        """Close the archive that is open."""
        if self._opened is not None:
            self._opened.close()
        self._path = self._opened = None


def _told(what: str, error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{what}: it is not in the archive any more"
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    said = (said or type(error).__name__).splitlines()[0]
    return f"{what}: {said[:1].lower()}{said[1:]}"
