"""Graph files as they lie on disk: which ones are meant, and putting a new text in place of an old one."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.commands._errors import WRONG, CommandError, stop


def graph_files(names: Sequence[str]) -> list[Path]:
    """The files that are named, and the `.atk` files beneath the folders that are, each once.

    Hidden folders are passed over. What is not there ends the command.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            found |= dict.fromkeys(_beneath(path))
        elif path.exists():
            found[path] = None
        else:
            stop(f"there is no file or folder {name}")
    if not found:
        stop(f"there is no .atk file in {', '.join(names)}")
    return list(found)


def _beneath(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if name.endswith(".atk") and not name.startswith(".") and path.is_file():
                yield path


def rewrite(path: Path, text: str) -> None:
    """Put `text` in place of the file's content, whole or not at all; mode and links stay.

    Raises `CommandError` where the file may not be written.
    """
    real = path.resolve()
    passing = real.with_name(f".{real.name}.{os.getpid()}.part")
    try:
        mode = stat.S_IMODE(real.stat().st_mode)
        # Renaming asks the folder's leave only; a file that is not to be written stays as it is.
        if not mode & 0o222 or not os.access(real, os.W_OK):
            raise CommandError(f"{path} is read-only", "allow writing it (chmod u+w), then try again", WRONG)
        try:
            with passing.open("wb") as stream:
                os.fchmod(stream.fileno(), mode)
                stream.write(text.encode("utf-8"))
                stream.flush()
                os.fsync(stream.fileno())
            passing.replace(real)
        finally:
            with contextlib.suppress(OSError):
                passing.unlink()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CommandError(f"{path} cannot be written: {why}", "it is as it was", WRONG) from error


def write_page(path: Path, text: str) -> None:
    """A page at that place, whole or not at all; folders above it are made.

    Raises `CommandError` where it may not be written.
    """
    if path.is_dir():
        stop(f"{path} is a folder", f"name a file in it, as in {path / 'page.html'}")
    if path.is_file():
        return rewrite(path, text)
    passing = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():  # a device or a pipe, whose place nothing takes
            path.write_text(text, encoding="utf-8")
            return None
        try:
            passing.write_text(text, encoding="utf-8")
            passing.replace(path)
        finally:
            with contextlib.suppress(OSError):
                passing.unlink()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise CommandError(f"{path} cannot be written: {why}", "name another file", WRONG) from error
