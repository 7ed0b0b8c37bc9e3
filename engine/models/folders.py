"""What is in a model's folder, as a hash: weights, configuration, tokenizer."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

KEPT = (".json", ".jinja", ".safetensors", ".bin", ".model", ".txt")


def digest(folder: Path) -> str:
    """A hash over all files of a model."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in KEPT and path.is_file():
            status = path.stat()
            whole.update(f"{path.name} {_digest(path, status.st_size, status.st_mtime_ns)}\n".encode())
    return whole.hexdigest()


def identity(start: str) -> str:
    """What tells one model from another: the hash of its folder, or its name at the hub."""
    folder = Path(start)
    try:
        return digest(folder) if folder.is_dir() else start
    except OSError:
        return start


def of_file(path: Path) -> str:
    """A hash over one file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=1_000)
def _digest(path: Path, size: int, changed: int) -> str:
    """Known again while the file's size and time are as they were."""
    return of_file(path)
