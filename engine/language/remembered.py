"""What DuckDB said of expressions and queries, kept between processes.

What a query gives over empty tables follows from its text, the tables' columns and DuckDB alone. To
import DuckDB and ask it takes longer than all else in a check, so its answers lie in the user's
cache folder, under hashes. Mistakes are not kept: a graph that has one is bound anew.
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


def put_into_place(path: Path, value: Any) -> None:
    """Write JSON beside a file and move it there, so that no other process reads half of it."""
    import tempfile  # 20 ms, and hardly ever needed

    with suppress(OSError):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w") as file:
            json.dump(value, file)
        Path(name).replace(path)


class Remembered:
    """Answers by a hash of the question. `keep` writes what is new."""

    def __init__(self) -> None:
        self.used: dict[str, Any] = {}
        self.new = False

    @cached_property
    def path(self) -> Path | None:
        folder = cache_folder()
        version = _library_version()
        return folder / f"bindings-{version}.json" if folder is not None and version is not None else None

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
        put_into_place(self.path, merged)
        self.new = False


def _library_version() -> str | None:
    """What tells one DuckDB from another without loading it: where its library lies, its size and age."""
    for name in ("_duckdb", "duckdb"):
        spec = find_spec(name)
        if spec is not None and spec.origin:
            with suppress(OSError):
                status = Path(spec.origin).stat()
                told = f"{FORM} {spec.origin} {status.st_size} {status.st_mtime_ns}"
                return hashlib.sha256(told.encode()).hexdigest()[:16]
    return None
