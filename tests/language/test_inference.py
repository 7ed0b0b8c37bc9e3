"""What is told of an expression without DuckDB is what DuckDB says."""

from __future__ import annotations

import duckdb
import pytest

from engine.language import tree as ast
from engine.language.binding import Binder
from engine.language.expressions import Expressions, Known, Scope
from engine.language.inference import AGGREGATES, Inference, many_rows
from engine.language.sqltext import expression, identifier
from engine.language.syntax import parse
from engine.language.types import BOOL, FLOAT, INT, PATH, STR, Many, Type

COLUMNS = {
    "text": "VARCHAR",
    "tokens": "BIGINT",
    "score": "DOUBLE",
    "ok": "BOOLEAN",
    "turns": 'STRUCT("role" VARCHAR, "n" BIGINT)[]',
    "one": 'STRUCT("a" VARCHAR, "b c" STRUCT("d" DOUBLE[]))',
    "words": "VARCHAR[]",
    "rows_id": "UUID",
    "small": "INTEGER",
}
PARAMS: dict[str, Type] = {
    "limit": INT,
    "name": STR,
    "rate": FLOAT,
    "quiet": BOOL,
    "place": PATH,
    "names": Many(STR),
}
TOLD = """
    text; tokens; 5; 3000000000; 1.5; true; "a"; limit; name; rate; quiet; place; names
    not ok; -tokens; -score; -5; -limit
    tokens + 1; tokens - small; small + 1; 1 + 1; tokens * score
    tokens / 2; 7 / 2; tokens % 3; score % 2; 1 + 1.5
    text || "x"; text || name || place
    tokens > 5; score <= 5; text == "a"; "a" != name; ok == true; small < tokens; tokens == limit
    ok and tokens > 3 or not quiet
    tokens in [1, 2, 3]; text in ["a", "b"]; tokens not in (1, 2)
    turns[1]; turns[1].role; turns[small].n; words[2]; one.a; one.`b c`; one.`b c`.d[1]
    length(text); len(words); length(text) > 3; lower(text); trim(name); contains(text, "a")
    starts_with(text, name); ends_with(lower(text), "?"); replace(text, "a", "b"); length(names)
    if(ok, text, "none"); if(tokens > 2, 1, 2); coalesce(text, name, "none"); if(ok, tokens, limit)
    count(*); count(*) > 3; count(*) >= limit; count(*) / 2
"""
LEFT = """
    null; text > 5; ok + 1; text + text; not text; rows_id; words || words; text[1]; lower(5); count(text)
    regexp_matches(text, "("); if(ok, text, 5); unknown(text); sum(tokens); -text; turns.role; one.z
    in_list; text in words; tokens in ["a"]; length(tokens); coalesce(text); if(ok, 1, 2.5)
"""


def parsed(text: str) -> ast.Expression:
    statement = parse(f"param x: str = {text}").statements[0]
    assert isinstance(statement, ast.ParamDeclaration)
    assert statement.default is not None
    return statement.default


def cases(table: str) -> list[str]:
    return [case.strip() for line in table.strip().split("\n") for case in line.split(";")]


def scope() -> Scope:
    return Scope(COLUMNS, {name: Known(type_, None) for name, type_ in PARAMS.items()})


def told(text: str) -> str | None:
    types = {name: known.sql.rpartition(" AS ")[2].rstrip(")") for name, known in scope().known.items()}
    return Inference(types | COLUMNS, {}).type(parsed(text))


@pytest.fixture(scope="module")
def binder() -> Binder:
    return Binder()


@pytest.mark.parametrize("text", cases(TOLD))
def test_as_duckdb_says(text: str, binder: Binder) -> None:
    def name(word: ast.Name) -> str:
        return identifier(word.name) if word.name in COLUMNS else scope().known[word.name].sql

    sql = expression(parsed(text), name)
    type_, many = binder.type_and_rows(sql, {} if "count" in text else COLUMNS)
    assert binder.type_of(f"NULL::{told(text)}", {}) == type_  # which quotes no name that needs none
    assert many_rows(parsed(text)) in (many, None)


@pytest.mark.parametrize("text", [case for case in cases(LEFT) if case != "rows_id"])
def test_left_to_duckdb(text: str) -> None:
    assert told(text) is None


def test_an_aggregate_beside_a_column_is_left_to_duckdb() -> None:
    with pytest.raises(Exception, match="belongs to single rows"):
        Expressions(Binder()).compile(parsed("count(*) > tokens"), scope())


def test_the_aggregates_of_duckdb() -> None:
    found = duckdb.sql(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'aggregate'"
    )
    assert {row[0] for row in found.fetchall()} == AGGREGATES


def test_an_aggregate_that_is_not_known_by_name(binder: Binder) -> None:
    assert binder.type_and_rows('"sum"("tokens")', COLUMNS) == ("HUGEINT", True)
    assert binder.type_and_rows('abs("tokens")', COLUMNS) == ("BIGINT", False)
