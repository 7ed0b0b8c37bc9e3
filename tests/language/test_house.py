"""What the language leans on: the cache of its tables, words of DuckDB, folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from engine import paths
from engine.language import grammar
from engine.language.sqltext import RESERVED
from engine.language.syntax import parse
from tests.language.support import HERE, checked, codes, told

HEAVY = ("networkx", "pyarrow", "numpy", "openai", "rich", "asyncio", "aiohttp", "lark", "duckdb")


def test_the_words_that_duckdb_reserves() -> None:
    """A keyword is reserved if DuckDB does not take it, bare, for a table's name."""
    connection = duckdb.connect()
    reserved = set()
    for (word,) in connection.execute("SELECT keyword_name FROM duckdb_keywords()").fetchall():
        connection.execute(f'CREATE OR REPLACE TABLE "{word}" (a INTEGER)')
        try:
            connection.execute(f"SELECT count(*) FROM {word}")
        except duckdb.ParserException:
            reserved.add(word)
    assert reserved == RESERVED


def test_shipped_folders_are_there() -> None:
    assert paths.grammar().is_file()
    assert paths.graphs().is_dir()
    assert paths.prompts().is_dir()


@pytest.mark.parametrize("cache", ["a file", "a folder that others may write", "relative", "fresh"])
def test_the_parser_works_whatever_the_cache_is(
    cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cache"
    if cache == "a file":
        place.write_text("in the way")
    elif cache == "a folder that others may write":
        (place / "atk").mkdir(parents=True)
        (place / "atk").chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", "cache" if cache == "relative" else str(place))
    grammar.parser.cache_clear()
    parse.cache_clear()
    try:
        assert not parse("param a: str\n").errors
        written = list(place.rglob("*.tables")) if place.is_dir() else []
        assert len(written) == (1 if cache == "fresh" else 0)
        if written:
            grammar.parser.cache_clear()
            parse.cache_clear()
            assert not parse("param a: str\n").errors
            written[0].write_bytes(b"spoilt")
            grammar.parser.cache_clear()
            parse.cache_clear()
            assert not parse("param a: str\n").errors
    finally:
        grammar.parser.cache_clear()


def test_files_that_import_each_other(tmp_path: Path) -> None:
    (tmp_path / "one.atk").write_text('use "two.atk"\ntype A { b: two.B }\nsql x { query = "FROM two.y" }\n')
    (tmp_path / "two.atk").write_text('use "one.atk"\ntype B { n: int }\nsql y { query = "FROM one.x" }\n')
    found = checked(tmp_path / "one.atk")
    assert codes(found) == ["ATK116"], told(found)


def test_a_check_imports_no_heavy_package() -> None:
    """Each of these costs more than the whole check."""
    code = (
        "import sys; from pathlib import Path; from tests.language.support import HERE, checked;"
        "found = checked(HERE / 'graphs/worked.atk', values={'domain': 'x'}); assert found.ok;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
