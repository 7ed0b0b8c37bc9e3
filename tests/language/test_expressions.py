"""Expressions of the language mean what DuckDB makes of them: checked, then evaluated on a row."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from engine.language.program import Clause
from tests.language.support import program, told

ROW = """
SELECT 'A cloud.' AS text, NULL::VARCHAR AS title, 3 AS n, 0.5::DOUBLE AS score, true AS ok,
       ['a', 'b'] AS tags, {'name': 'x', 'size': 2} AS thing, [{'q': 'a', 'k': 1}] AS turns
"""
GRAPH = """
param word: str = "it's"
param low: float = 0.1
param some: str[] = ["a", "c"]
param nothing: str?
source rows -> {{
  text: str, title: str?, n: int, score: float, ok: bool, tags: str[],
  thing: {{ name: str, size: int }}, turns: {{ q: str, k: int }}[]
}}[] {{ path = "x" }}
chat it from rows {{ system = {} }}
"""


def compiled(written: str) -> Clause:
    found = program(GRAPH.format(written))
    assert not found.diagnostics, told(found)
    return found.nodes["it"].expressions["system"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("length(text) > 3 and ok", True),
        ("length(text) > 3 or not ok and n == 4", True),
        ("not (ok and n == 3)", False),
        ("n + 1 * 2", 5),
        ("(n + 1) * 2", 8),
        ("n - 1 - 1", 1),
        ("-n + 5 % 3", -1),
        ("score / 2", 0.25),
        ("score >= low", True),
        ("n == 3.0", True),
        ('text != "x"', True),
        ("title == null", True),
        ("null != title", False),
        ("title == text", None),
        ("nothing == null", True),
        ('"a" in tags', True),
        ('"c" not in tags', True),
        ('text in ["A cloud.", "b"]', True),
        ("n in (1, 2, 3)", True),
        ("n not in (3,)", False),
        ("text in []", False),
        ('"a" in some and "b" not in some', True),
        ("tags[1]", "a"),
        ("thing.name || thing.size", "x2"),
        ("turns[1].q", "a"),
        ("len(turns) == 1", True),
        ('{ a: n, "b c": [text] }', {"a": 3, "b c": ["A cloud."]}),
        ('word || " " || text', "it's A cloud."),
        ('text.lower().replace(".", "")', "a cloud"),
        ('if(ok, "yes", "no")', "yes"),
        ("coalesce(title, text)", "A cloud."),
        ('regexp_matches(text, "(?i)^a\\s+CLOUD")', True),
    ],
)
def test_on_a_row(written: str, value: Any) -> None:
    clause = compiled(written)
    assert duckdb.sql(f"SELECT {clause.sql} FROM ({ROW})").fetchall() == [(value,)]


@pytest.mark.parametrize(
    ("written", "reads"),
    [
        ("length(text) > n", {"text", "n"}),
        ("word == text", {"text"}),
        ("thing.name", {"thing"}),
        ('"title"', set()),
        ("{ text: n }", {"n"}),
        ("text.lower()", {"text"}),
    ],
)
def test_what_it_reads(written: str, reads: set[str]) -> None:
    assert compiled(written).reads == reads


def test_a_column_hides_a_param() -> None:
    found = program("param text: int = 5\n" + GRAPH.format("text || word"))
    assert not found.diagnostics, told(found)
    assert found.nodes["it"].expressions["system"].reads == {"text"}


@pytest.mark.parametrize(
    "hostile",
    ["'; DROP TABLE x; --", 'a"b', "\\", "{{ x }}", "$word", "line\nbreak", "\u0000", "é雲"],
)
def test_values_stay_values(hostile: str) -> None:
    found = program(GRAPH.format("word"), values={"word": hostile})
    assert not found.diagnostics, told(found)
    clause = found.nodes["it"].expressions["system"]
    assert duckdb.sql(f"SELECT {clause.sql}").fetchall() == [(hostile,)]
