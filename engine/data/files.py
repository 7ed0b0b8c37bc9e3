"""Which files a path stands for, and what is in one as text: finding and decoding, no parsing."""

from __future__ import annotations

import codecs
import contextlib
import glob
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from engine.data.archives import NotUnpacked, Unpacker, members
from engine.frozen import dataclass

if TYPE_CHECKING:
    from engine.data.databases import Rows
    from engine.data.hub import Part

DOCUMENTS = {".txt": "txt", ".text": "txt", ".md": "md", ".markdown": "md"}
EXTRACTED = {
    ".pdf": "pdf",
    ".docx": "docx",
    ".pptx": "pptx",
    ".epub": "epub",
    ".html": "html",
    ".htm": "html",
}
ROWS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
FORMATS = DOCUMENTS | EXTRACTED | ROWS
KNOWN = "txt, md, pdf, docx, pptx, epub, html, jsonl, json, csv, tsv and parquet, alone or in a zip"

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class NotText(Exception):
    """Bytes that are no text in an encoding that is read; the message says where and what to do."""


class NothingFound(Exception):
    """No file at a path; the message names the places that were looked at."""

    def __init__(self, message: str, help: str):
        super().__init__(message)
        self.message, self.help = message, help


@dataclass(frozen=True)
class File:
    """One file to read: where it is, what it is called (relative, `/` between), how it is read."""

    path: Path
    name: str
    format: str  # one of `FORMATS`, "hub", "database", or "zip" for an archive that cannot be read
    part: Part | Rows | None = None  # of a data set at the hub, which is no file; of a database
    member: str | None = None  # its name in the archive that `path` is
    trouble: str | None = None  # why it is not read

    @property
    def is_document(self) -> bool:
        return self.format in ("txt", "md", *EXTRACTED.values())


@dataclass(frozen=True)
class Found:
    """What a path stands for. `unread` counts the files left out, by extension."""

    files: tuple[File, ...]
    unread: Counter[str]


def find(path: str, folders: Sequence[Path], format: str | None = None) -> Found:
    """The files of a file, folder or pattern, sorted by name.

    A relative path is looked for in each of `folders`; the first where it is something counts.
    In folders and patterns, what begins with a dot is skipped; a folder is read with all below, and so
    is a zip archive. `format` overrides the extensions. Raises `NothingFound`.
    """
    places = (
        [Path(path).expanduser()] if Path(path).expanduser().is_absolute() else [f / path for f in folders]
    )
    places = list(dict.fromkeys(Path(os.path.normpath(place)) for place in places))
    looked: list[str] = []
    unread: Counter[str] = Counter()
    for place in places:
        try:
            entries = _entries(place)
        except OSError as error:  # a folder that is passed over would look like documents deleted
            raise NothingFound(
                f"{error.filename or place} cannot be read: {error.strerror or error}",
                "see to it that you may read it and the folders above it",
            ) from error
        if entries is None:
            looked.append(str(place))
            continue
        files: list[File] = []
        for file, name in entries:
            if _special(file):
                unread["pipe or device"] += 1
            elif file.suffix.lower() == ".zip":
                files += _archived(file, name, format, unread)
            elif how := _how(file.suffix, format, unread):
                files.append(File(file, name, how))
        if files:
            return Found(tuple(sorted(files, key=lambda file: file.name)), unread)
        looked.append(f"{place} ({_only(unread)})")
    raise NothingFound(
        f"nothing to read at {' or '.join(looked)}",
        f'a file, a folder or a pattern such as "notes/*.md" is read; of files {KNOWN}',
    )


def _how(suffix: str, format: str | None, unread: Counter[str]) -> str | None:
    """How a file is read, by its extension; None for one that is not, which is counted."""
    how = format or FORMATS.get(suffix.lower())
    if how is None:
        unread[suffix.lower() or "without an extension"] += 1
    return how


def _archived(archive: Path, name: str, format: str | None, unread: Counter[str]) -> Iterator[File]:
    """The files in a zip archive, as if it were a folder."""
    try:
        there = members(archive)
    except NotUnpacked as error:
        yield File(archive, name, "zip", trouble=str(error))
        return
    for member in there:
        suffix = PurePosixPath(member.name).suffix
        how = "zip" if suffix.lower() == ".zip" else _how(suffix, format, unread)
        if how is not None:
            yield File(archive, f"{name}/{member.name}", how, member=member.name, trouble=member.trouble)


def _only(unread: Counter[str]) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(unread.items()))
    return f"only {kinds}" if unread else "empty"


def _entries(place: Path) -> list[tuple[Path, str]] | None:
    """Files of one place with their names; None where there is nothing at all."""
    if place.is_file():
        return [(place, place.name)]
    if place.is_dir():
        return [(file, file.relative_to(place).as_posix()) for file in _walk(place)]
    if not glob.has_magic(str(place)):
        return None
    fixed = _fixed(place)
    if not fixed.is_dir():
        return None
    pattern = str(place.relative_to(fixed))
    matches = glob.iglob(pattern, root_dir=fixed, recursive=True)  # noqa: PTH207 - it skips hidden files
    files: dict[Path, str] = {}
    for match in matches:
        found = fixed / match
        if found.is_file():
            files[found] = Path(match).as_posix()
        elif found.is_dir() and "**" not in pattern:
            files |= {file: file.relative_to(fixed).as_posix() for file in _walk(found)}
    return list(files.items()) or None


def _special(file: Path) -> bool:
    """Whether it is a pipe, a socket or a device: reading one may wait for ever.

    A link that leads nowhere is none: its row fails with that reason.
    """
    try:
        return not stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return False


def _fixed(place: Path) -> Path:
    """The part of a pattern before its first wildcard."""
    fixed = Path(place.anchor)
    for part in place.relative_to(place.anchor).parts:
        if glob.has_magic(part):
            break
        fixed /= part
    return fixed


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder but hidden ones; a folder linked into itself is entered once.

    Raises `OSError` for a folder that cannot be listed.
    """

    def stop(error: OSError) -> None:
        raise error

    seen: set[tuple[int, int]] = set()
    for here, folders, files in os.walk(folder, onerror=stop, followlinks=True):
        status = Path(here).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(files) if not name.startswith("."))


def encoding_of(head: bytes) -> str:
    """The encoding that a byte order mark names, else UTF-8."""
    return next((name for mark, name in BYTE_ORDER_MARKS if head.startswith(mark)), "utf-8")


def decode(data: bytes, what: str = "") -> str:
    """Bytes as text: UTF-8, or UTF-16 and UTF-32 where a byte order mark says so. Raises `NotText`."""
    encoding = encoding_of(data[:4])
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding not in ("utf-8", "utf-8-sig"):
            raise NotText(
                f"not {encoding.upper()} at byte {error.start}, though it begins like it"
            ) from error
        place = error.start + (3 if encoding == "utf-8-sig" else 0)
        raise NotText(_not_utf8(data, place, what)) from error
    if "\0" in text:
        raise NotText(f"not text: a NUL character at {text.index(chr(0))}; is it a binary file?")
    return text


def _not_utf8(data: bytes, place: int, what: str) -> str:
    sample = data[max(0, place - 2_000) : place + 2_000]
    control = sum(byte < 9 or 13 < byte < 32 or 0x7F <= byte < 0xA0 for byte in sample)
    name = what or "FILE"
    if control > len(sample) // 10:
        return f"not UTF-8 at byte {place}; it looks like a binary file, not text"
    return (
        f"not UTF-8 at byte {place} (looks like latin-1?); convert it, "
        f"for example: iconv -f latin1 -t utf-8 '{name}'"
    )


def read_text(file: File) -> str:
    """A file as text. Raises `NotText` with the reason, also where it cannot be opened."""
    try:
        data = file.path.read_bytes()
    except OSError as error:
        raise NotText(f"cannot be read: {error.strerror or error}") from error
    return decode(data, file.name)


@contextlib.contextmanager
def unpacked(file: File, unpacker: Unpacker) -> Iterator[File]:
    """A file where it can be read: one in an archive is unpacked for so long. Raises `NotUnpacked`."""
    if file.trouble is not None:
        raise NotUnpacked(file.trouble)
    if file.member is None:
        yield file
        return
    with unpacker.unpacked(file.path, file.member) as path:
        yield replace(file, path=path)


def signature(files: Sequence[File]) -> list[list[str | int]]:
    """Name, size, time of change and inode of each file: changes whenever a content may have.

    So does one that may not be read, once it may: nothing else of it is another then.
    """
    found: list[list[str | int]] = []
    for file in files:
        try:
            status = file.path.stat()
            closed = [] if os.access(file.path, os.R_OK) else ["closed"]
            found.append([file.name, file.format, status.st_size, status.st_mtime_ns, status.st_ino, *closed])
        except OSError:
            found.append([file.name, file.format, -1, 0, 0])
    return found
