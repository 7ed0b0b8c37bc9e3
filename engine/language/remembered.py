"""Answers that follow from what was asked alone, kept between processes in the user's cache folder.

What a query gives over empty tables follows from its text, the tables' columns and DuckDB; what a
prompt reads, from its files and Jinja2. To import these two and ask takes longer than all else in a
check. Mistakes are not kept: a graph or a prompt that has one is looked at anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FORM = 1  # raised when what is kept changes its form
MOST = 1_000  # answers; beyond it those that were not asked for again go


def cache_folder() -> Path | None:
    """The user's own cache folder for atk, made if need be; None where there is none to trust."""
    try:
        home = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(home) if home else Path.home() / ".cache") / "atk"
        if not folder.is_absolute():
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # What another user could have put there is not believed.
        if hasattr(os, "getuid"):
            status = folder.stat()
            if status.st_uid != os.getuid() or status.st_mode & 0o022:
                return None
        return folder if os.access(folder, os.W_OK) else None
    except (OSError, RuntimeError):
        return None


def put_into_place(path: Path, content: bytes) -> None:
    """Write beside a file and move it there, so that no other process reads half of it."""
    import tempfile  # 20 ms, and hardly ever needed

    with suppress(OSError):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)


class Remembered:
    """Answers by a hash of the question, of one sort. `keep` writes what is new.

    `version` changes with whatever gives the answers; where it is None nothing is kept.
    """

    def __init__(self, what: str, version: str | None) -> None:
        self.what, self.version = what, version
        self.used: dict[str, Any] = {}
        self.new = False

    @cached_property
    def path(self) -> Path | None:
        folder = cache_folder()
        if folder is None or self.version is None:
            return None
        return folder / f"{self.what}-{self.version}.json"

    @cached_property
    def known(self) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_bytes()) if self.path is not None else {}
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def key(self, *question: Any) -> str:
        """A hash of the question, whose parts have a faithful `repr`."""
        return hashlib.sha256(repr(question).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def get(self, key: str) -> Any:
        """The answer, or None."""
        found = self.used.get(key)
        if found is None and (found := self.known.get(key)) is not None:
            self.used[key] = found
        return found

    def put(self, key: str, answer: Any) -> None:
        """Remember an answer, which is plain JSON and not None."""
        self.used[key] = answer
        self.new = True

    def keep(self) -> None:
        """Write the answers that are new, beside those that are known."""
        if not self.new or self.path is None:
            return
        merged = self.known | self.used
        if len(merged) > MOST:
            merged = dict(self.used)
        put_into_place(self.path, json.dumps(merged).encode())
        self.new = False


def version_of(*modules: str) -> str | None:
    """What tells one state of some modules from another without loading them: place, size, age."""
    told = [str(FORM)]
    for name in modules:
        spec = find_spec(name)
        if spec is None or not spec.origin:
            return None
        try:
            status = Path(spec.origin).stat()
        except OSError:
            return None
        told.append(f"{spec.origin} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]
