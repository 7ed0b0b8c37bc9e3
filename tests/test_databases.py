"""Rows of a table or a query of a database file."""

from __future__ import annotations

import sqlite3
import tracemalloc
from pathlib import Path
from typing import Any

import duckdb
import pytest

from engine.kinds.base import KindError, Known
from engine.language.types import BOOL, FLOAT, INT, STR, Field, Many, Optional, Record
from tests.test_readers import source
from tests.workbench import Problem

FACT = Record((Field("name", STR), Field("legs", INT), Field("weight", Optional(FLOAT))))
FACTS = [{"name": "bee", "legs": 6, "weight": 0.1}, {"name": "öre", "legs": 8, "weight": None}]
FILES = ("facts.sqlite", "facts.duckdb")


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with a table, a view of it and another table."""
    statements = [
        "CREATE TABLE facts (name VARCHAR, legs BIGINT, weight DOUBLE, more VARCHAR)",
        "INSERT INTO facts VALUES ('bee', 6, 0.1, 'x'), ('öre', 8, NULL, 'y')",
        "CREATE VIEW heavy AS SELECT name, legs, weight FROM facts WHERE legs > 6",
        'CREATE TABLE "odd ""name" (name VARCHAR, legs BIGINT)',
    ]
    made: Any = (
        sqlite3.connect(tmp_path / request.param)
        if request.param == "facts.sqlite"
        else duckdb.connect(tmp_path / request.param)
    )
    for statement in statements:
        made.execute(statement)
    made.commit()
    made.close()
    return str(request.param)


def read(root: Path, file: str, type_: Record = FACT, **settings: Any) -> list[dict[str, Any]]:
    return [one.own for one in source(root, file, type_, **settings).read()]


def refused(root: Path, file: str, type_: Record = FACT, **settings: Any) -> tuple[str, str]:
    with pytest.raises(KindError) as error:
        source(root, file, type_, **settings).read()
    return error.value.message, str(error.value.help)


def test_the_rows_of_a_table_of_a_view_and_of_a_query(file: str, tmp_path: Path) -> None:
    assert read(tmp_path, file, table="facts") == FACTS
    assert read(tmp_path, file, table="FACTS") == FACTS
    assert read(tmp_path, file, table="main.facts" if file.endswith("duckdb") else "facts") == FACTS
    assert read(tmp_path, file, table="heavy") == FACTS[1:]
    assert read(tmp_path, file, table='odd "name') == []
    query = "SELECT name || '!' AS name, legs FROM facts ORDER BY legs DESC"
    assert read(tmp_path, file, query=query) == [
        {"name": "öre!", "legs": 8, "weight": None},
        {"name": "bee!", "legs": 6, "weight": None},
    ]


def test_of_a_folder_the_databases_are_read(file: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("Facts.")
    assert read(tmp_path, ".", table="facts") == FACTS


def test_a_table_that_is_not_there(file: str, tmp_path: Path) -> None:
    assert refused(tmp_path, file, table="fact") == (
        f"`documents`: {file} has no table `fact`",
        'it has `facts`, `heavy`, `odd "name`',
    )


def test_a_column_that_is_not_there(file: str, tmp_path: Path) -> None:
    wings = Record((Field("wings", INT),))
    assert refused(tmp_path, file, wings, table="facts")[0] == (
        f"`documents`: {file} has no column `wings`; its rows have `legs`, `more`, `name`, `weight`"
    )


def test_a_row_that_does_not_fit_is_told_and_the_others_are_read(file: str, tmp_path: Path) -> None:
    record = Record((Field("name", STR), Field("weight", FLOAT)))
    good, bad = source(tmp_path, file, record, table="facts").read()
    assert good.own == {"name": "bee", "weight": 0.1}
    assert bad.reason.startswith(f"{file}, row 2: `weight`")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT wings FROM facts", "fails: "),
        ("SELEC 1", "fails: "),
        ("DELETE FROM facts", ""),
        ("SELECT name, name FROM facts", "gives `name` twice"),
        ("SELECT 1 AS a; SELECT 2 AS a", ""),
        ("", ""),
    ],
)
def test_queries_that_are_none(query: str, said: str, file: str, tmp_path: Path) -> None:
    message, _ = refused(tmp_path, file, query=query)
    assert message.startswith(f"`documents`: the query of {file} {said}")
    assert "\n" not in message
    assert len(read(tmp_path, file, table="facts")) == 2


def test_a_query_reads_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret")
    duckdb.connect(tmp_path / "facts.duckdb").close()
    text = Record((Field("content", STR),))
    message, _ = refused(
        tmp_path, "facts.duckdb", text, query=f"SELECT content FROM read_text('{tmp_path}/secret.txt')"
    )
    assert "Cannot access file" in message


def test_values_that_sqlite_does_not_know(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as made:
        made.execute("CREATE TABLE a (yes, words, born, raw)")
        made.execute("INSERT INTO a VALUES (1, '[\"a\", \"b\"]', '2020-01-02', x'4142'), (0, '[]', 'x', 'y')")
    record = Record((Field("yes", BOOL), Field("words", Many(STR)), Field("born", STR), Field("raw", STR)))
    assert read(tmp_path, "a.db", record, table="a") == [
        {"yes": True, "words": ["a", "b"], "born": "2020-01-02", "raw": "AB"},
        {"yes": False, "words": [], "born": "x", "raw": "y"},
    ]


def test_values_of_duckdb(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "a.duckdb") as made:
        made.execute("CREATE TABLE a AS SELECT date '2020-01-02' born, 1.5::DECIMAL(4, 1) cost, ['a'] words")
    record = Record((Field("born", STR), Field("cost", FLOAT), Field("words", Many(STR))))
    assert read(tmp_path, "a.duckdb", record, table="a") == [
        {"born": "2020-01-02", "cost": 1.5, "words": ["a"]}
    ]


@pytest.mark.parametrize("name", ["empty.db", "text.sqlite", "torn.sqlite", "torn.duckdb"])
def test_files_that_are_no_database(name: str, tmp_path: Path) -> None:
    heads = {"text.sqlite": b"once upon a time there was", "torn.sqlite": b"SQLite format 3\0rest"}
    (tmp_path / name).write_bytes(heads.get(name, b"12345678DUCKrest" if "torn" in name else b""))
    message, _ = refused(tmp_path, name, table="a")
    assert message.startswith(f"`documents`: {name} ")
    assert "\n" not in message


def test_a_database_that_its_program_has_open(tmp_path: Path) -> None:
    """SQLite lets others read meanwhile, what is written and not yet moved into the file too."""
    made = sqlite3.connect(tmp_path / "a.db")
    made.execute("PRAGMA journal_mode = wal")
    made.execute("CREATE TABLE facts (name, legs)")
    bench = source(tmp_path, "a.db", FACT, table="facts")
    before = bench.kind.signature(bench)
    made.execute("INSERT INTO facts VALUES ('bee', 6)")
    made.commit()
    assert bench.kind.signature(bench) != before
    assert [one.own["name"] for one in bench.read()] == ["bee"]
    made.close()


def test_the_store_of_the_run_is_not_touched(tmp_path: Path) -> None:
    """Were it opened and closed here, the lock that keeps others from writing would be gone."""
    with duckdb.connect(tmp_path / "store.duckdb"):
        assert refused(tmp_path, "store.duckdb", table="facts") == (
            "`documents`: store.duckdb is in use by this run itself",
            "read a copy of it",
        )


def test_two_sources_may_read_one_database(file: str, tmp_path: Path) -> None:
    first = source(tmp_path, file, FACT, table="facts")
    rows = first.kind.read(first, Known())
    next(rows)
    assert read(tmp_path, file, table="facts") == FACTS
    assert len(list(rows)) == 1
    assert read(tmp_path, file, table="facts") == FACTS


def test_a_table_without_a_setting_that_names_it(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "a.sqlite").close()
    (tmp_path / "a.sqlite").write_bytes(b"x")
    message, mend = refused(tmp_path, "a.sqlite")
    assert message.endswith("a.sqlite (only 1 .sqlite)")
    assert mend == "of a database, `table` names what is read, or `query` is a SELECT"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"table": "a", "query": "SELECT 1"}, "rows come from `table` or from `query`"),
        ({"table": "a", "format": "csv"}, "`table` is for a database, which has no `format`"),
    ],
)
def test_settings_that_exclude_each_other(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(Problem) as problem:
        source(tmp_path, "a.db", FACT, **settings)
    assert problem.value.message == said


def test_rows_come_as_they_are_asked_for(file: str, tmp_path: Path) -> None:
    made: Any = (sqlite3 if file.endswith("sqlite") else duckdb).connect(tmp_path / file)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) "
    made.execute(f"CREATE TABLE many AS {numbers} SELECT 'bee' || i AS name, i AS legs FROM n")
    made.commit()
    made.close()
    bench = source(tmp_path, file, FACT, table="many")
    rows = bench.kind.read(bench, Known())
    next(rows)
    tracemalloc.start()
    for _ in range(5_000):
        next(rows)
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()
    rows.close()
