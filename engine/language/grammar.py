"""The parser made from `grammar/atk.lark`, its tables kept between processes.

Lark makes the tables, which takes about 0.3 s; reading them takes a few milliseconds. So they
lie in the user's cache folder under a name that changes with the grammar and with Lark. A folder
that cannot be written, or that belongs to someone else, is left alone: the tables are then made
each time.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from engine import paths
from engine.language.parsing import Parser, Rule, Tables
from engine.language.remembered import cache_folder, put_into_place

FORM = 1  # of the kept tables; raised when `Tables` changes


@lru_cache(maxsize=1)
def parser() -> Parser:
    """The parser of whole files."""
    grammar = paths.grammar().read_text(encoding="utf-8")
    kept = _cache(grammar)
    tables = _kept(kept) if kept else None
    if tables is None:
        from engine.language.grammar_tables import made

        tables = made(grammar)
        if kept:
            put_into_place(kept, json.dumps(tables).encode())
    return Parser(tables)


def _cache(grammar: str) -> Path | None:
    digest = hashlib.sha256(f"{FORM}\n{grammar}".encode()).hexdigest()
    folder = cache_folder()
    return folder / f"grammar-{digest[:16]}.tables" if folder is not None else None


def _kept(path: Path) -> Tables | None:
    """The tables in a file, or None where there are none to be used."""
    try:
        tables = Tables(*json.loads(path.read_bytes()))
        return tables._replace(rules=[Rule(*rule) for rule in tables.rules])
    except (OSError, ValueError, TypeError):
        return None
