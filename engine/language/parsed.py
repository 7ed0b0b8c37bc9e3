"""Syntax trees of files, kept between processes in the user's cache folder.

A check of a graph reads all that the graph imports, and of these files mostly one has changed since
the last check. To read a tree back takes a tenth of the time that making it takes. A tree is kept by
the text it was made of, so it never stands for another; a file with a mistake is read anew.

Trees are pickled, which runs what it reads: `cache_folder` gives no folder that somebody else could
have written to.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from engine import paths
from engine.language.remembered import cache_folder, put_into_place, version_of
from engine.language.tree import Source

MOST = 300  # trees; beyond it the oldest go
MAKERS = ("build", "diagnostics", "grammar_tables", "lexing", "parsing", "syntax", "tree")


def parsed(text: str, path: str) -> Source:
    """What `syntax.parse` gives for a file's text, made now or long ago."""
    return _parsed(text, path, os.environ.get("XDG_CACHE_HOME"))


@lru_cache(maxsize=64)
def _parsed(text: str, path: str, cache: str | None) -> Source:
    kept = _place(text, path, cache)
    source = _read(kept) if kept else None
    if source is None:
        from engine.language.syntax import parse  # not needed where all trees are known

        source = parse(text, path)
        if kept and not source.errors:
            with suppress(RecursionError):  # deeper than pickle can go: read anew each time
                put_into_place(kept, pickle.dumps(source, protocol=5))
                _drop_oldest(kept.parent)
    return source


def _place(text: str, path: str, cache: str | None) -> Path | None:
    folder, version = cache_folder(), _version(cache)
    if folder is None or version is None:
        return None
    question = "\0".join((version, path, text)).encode("utf-8", "surrogatepass")
    return folder / f"tree-{hashlib.sha256(question).hexdigest()[:32]}.pickle"


@lru_cache(maxsize=4)
def _version(cache: str | None) -> str | None:
    """What trees depend on besides the text: the code that makes them, the grammar, Python."""
    code = version_of(*(f"engine.language.{maker}" for maker in MAKERS))
    grammar = hashlib.sha256(paths.grammar().read_bytes()).hexdigest()
    return code and f"{code} {grammar} {sys.version}"


def _read(path: Path) -> Source | None:
    try:
        found = pickle.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except Exception:  # cut off or of another make: whatever it raises, it is made again
        return None
    return found if isinstance(found, Source) else None


def _drop_oldest(folder: Path) -> None:
    with suppress(OSError):  # another process may be doing the same
        trees = list(folder.glob("tree-*.pickle"))
        if len(trees) > MOST:
            trees.sort(key=lambda tree: tree.stat().st_mtime)
            for tree in trees[: len(trees) - MOST]:
                tree.unlink(missing_ok=True)
