"""The parser made from `grammar/atk.lark`, kept between processes.

Making the tables takes about 0.3 s, loading them 0.02 s, so they lie in the user's cache
folder under a name that changes with the grammar, Lark and Python. A folder that cannot be
written, or that belongs to someone else, is left alone: the tables are then made each time.
"""

from __future__ import annotations

import hashlib
import os
import sys
from functools import lru_cache
from pathlib import Path

from lark import Lark
from lark import __version__ as lark_version

from engine import paths


@lru_cache(maxsize=1)
def parser() -> Lark:
    """The parser; `start` is a whole file."""
    grammar = paths.grammar().read_text(encoding="utf-8")
    cache = _cache(grammar)
    return Lark(
        grammar,
        parser="lalr",
        lexer="basic",
        propagate_positions=True,
        maybe_placeholders=True,
        cache=str(cache) if cache else False,
    )


def _cache(grammar: str) -> Path | None:
    digest = hashlib.sha256(f"{lark_version}\n{sys.version}\n{grammar}".encode()).hexdigest()
    try:
        home = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(home) if home else Path.home() / ".cache") / "atk"
        if not folder.is_absolute():
            return None
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The tables are a pickle: what another user could have put there is not loaded.
        if hasattr(os, "getuid"):
            status = folder.stat()
            if status.st_uid != os.getuid() or status.st_mode & 0o022:
                return None
        return folder / f"grammar-{digest[:16]}.tables" if os.access(folder, os.W_OK) else None
    except (OSError, RuntimeError):
        return None
