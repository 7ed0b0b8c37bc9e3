"""Views are made for the query that may read them; what is answered is as if all were there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.store import QueryError, open_reader
from engine.store.attach import attach, detach
from engine.store.keys import fingerprint
from engine.store.query import reading
from engine.store.reader import Reader
from engine.store.store import Store
from engine.store.views import Gallery, named
from tests.store_graph import GRAPH, call, describe, fill, opened


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "store.duckdb"
    with opened(path) as store:
        fill(store)
        store.log([call(fingerprint("one"))])
        store.settle()
    return path


Asked = Callable[[str], tuple[list[str], list[tuple[Any, ...]]]]


@pytest.fixture(scope="module")
def with_all(path: Path) -> Iterator[Asked]:
    """Answers with every view made beforehand; the message where there is none."""
    connection = attach(path, "read", sandbox=True)
    gallery = Gallery(connection)

    def ask(query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        cursor = gallery.cursor(None)
        try:
            with reading(cursor, query, lambda: False) as relation:
                return relation.columns, relation.fetchall()
        finally:
            cursor.close()

    yield ask
    detach(connection, path)


def outcome(ask: Callable[[], tuple[list[str], list[tuple[Any, ...]]]]) -> Any:
    try:
        return ask()
    except QueryError as error:
        return "refused", error.message, error.help


QUERIES = [
    # -- one table, however it is written
    "FROM checked ORDER BY ALL",
    "SELECT * FROM checked ORDER BY ALL",
    "SELECT count(*) FROM CHECKED",
    'SELECT count(*) FROM "checked"',
    'SELECT count(*) FROM "Checked" c WHERE c.ok',
    'SELECT count(*) FROM main."one.pairs"',
    'SELECT count(*) FROM "one.pairs"',
    "SELECT count(*) FROM one.pairs",
    'SELECT count(*) FROM "one".pairs',
    "SELECT count(*) FROM one . /* why */ pairs",
    "SELECT count(*) FROM one",
    'SELECT count(*) FROM "atk:factual".main.checked',
    'SELECT count(*) FROM "atk:factual".rejected.checked',
    "SELECT count(*) FROM rejected.checked",
    'SELECT count(*) FROM rejected."one.pairs"',
    "SELECT count(*) FROM failed . checked",
    "TABLE runs",
    "SELECT graph, status FROM runs",
    "SELECT node, status FROM main.calls",
    "FROM metrics",
    'SELECT count(*) FROM store.data."factual.checked"',
    'SELECT count(*) FROM store.data."factual.checked" JOIN checked ON _id = checked_id',
    "SELECT count(*) FROM store.data.runs",
    # -- several tables
    "SELECT count(*) FROM checked JOIN drafted USING (drafted_id)",
    "SELECT count(*) FROM checked, rejected.checked r, documents d WHERE d.documents_id = r.documents_id",
    "SELECT path FROM documents WHERE documents_id IN (SELECT documents_id FROM rejected.checked) ORDER BY 1",
    "SELECT (SELECT count(*) FROM chunks) + count(*) FROM drafted",
    "FROM checked SELECT path UNION ALL FROM documents SELECT path ORDER BY 1",
    # -- names that are no table, or hide one
    "WITH checked AS (SELECT 7 AS n) FROM checked",
    "WITH a AS (FROM checked), b AS (FROM a WHERE ok) SELECT count(*) FROM b",
    "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 5) FROM n, one",
    "SELECT 'FROM drafted' AS text",
    "SELECT 1 -- FROM drafted",
    "SELECT ok AS drafted FROM checked ORDER BY 1",
    "SELECT c.path FROM checked AS c ORDER BY c.path DESC",
    "FROM range(3) ORDER BY range DESC",
    # -- statements about tables
    "DESCRIBE checked",
    "DESC checked",
    "SELECT column_name FROM (DESCRIBE checked) ORDER BY ALL",
    "SHOW checked",
    "SUMMARIZE checked",
    "SELECT column_name FROM (SUMMARIZE checked) ORDER BY ALL",
    "EXPLAIN FROM checked",
    "PIVOT (SELECT path, ok FROM checked) ON ok USING count(*)",
    "PIVOT checked ON ok USING count(*) GROUP BY path ORDER BY path",
    "UNPIVOT (SELECT path, answer FROM drafted) ON path, answer",
    # -- the catalog as a whole
    "SHOW TABLES",
    "show tables;",
    "SHOW ALL TABLES",
    "SHOW TABLES FROM rejected",
    "FROM (SHOW TABLES) ORDER BY ALL",
    "DESCRIBE",
    "DESC",
    "FROM (DESC) SELECT count(*)",
    "-- all of them\nDESC",
    "/* all of them */ DESCRIBE",
    "EXPLAIN DESC",
    "SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL",
    "SELECT count(*) FROM Information_Schema.columns",
    "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL",
    "SELECT view_name FROM duckdb_views WHERE NOT internal ORDER BY ALL",
    'SELECT count(*) FROM "duckdb_views"()',
    "SELECT count(*) FROM duckdb_columns() WHERE NOT internal",
    "SELECT count(*) FROM pg_catalog.pg_class",
    "SELECT relname FROM pg_class ORDER BY 1",
    "SELECT viewname FROM pg_views ORDER BY 1",
    "SELECT name FROM sqlite_master ORDER BY 1",
    "SELECT name FROM pragma_table_info('checked')",
    "SELECT count(*) FROM query_table('checked')",
    "SELECT count(*) FROM query_table('che' || 'cked')",
    "SELECT count(*) FROM query_table(['che' || 'cked', 'drafted'])",
    "SELECT count(*) FROM query('FROM che' || 'cked')",
    "SELECT count(*) FROM query ('FROM duckdb_vi' || 'ews() WHERE NOT internal')",
    "SELECT count(*) FROM query /* all */ ('FROM duckdb_vi' || 'ews() WHERE NOT internal')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT count(*) FROM che' || 'cked'))",
    "SELECT json_serialize_plan('SELECT count(*) FROM che' || 'cked') LIKE '%\"error\":true%'",
    # -- what is wrong with them
    "FROM cheked",
    "FROM main.cheked",
    "FROM rejected.cheked",
    "FROM nowhere.checked",
    "FROM checked JOIN nowhere USING (path)",
    "SELECT qestion FROM drafted",
    "SELECT drafted.nothing FROM checked",
    "SELECT 'a'::INTEGER FROM checked",
    "SELECT error('no') FROM checked",
    "SELECT count(*) FROM",
    "SELECT 1; FROM checked",
    "DROP VIEW checked",
    "",
]


@pytest.mark.parametrize("query", QUERIES)
def test_an_answer_is_as_if_all_views_were_there(path: Path, with_all: Asked, query: str) -> None:
    def ask() -> tuple[list[str], list[tuple[Any, ...]]]:
        found = Reader(path, None).sql(query)
        return found.columns, found.rows

    expected = outcome(lambda: with_all(query))
    assert outcome(ask) == expected


def test_a_running_engine_answers_so_too(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with opened(path) as store:
        fill(store)
        reader = open_reader(path)
        assert reader.sql("SELECT count(*) FROM checked").rows == [(4,)]
        assert reader.sql("SELECT count(*) FROM query_table('draf' || 'ted')").rows == [(8,)]
        assert ("chunks",) in reader.sql("SHOW TABLES").rows
        with pytest.raises(QueryError, match="there is no table 'cheked'") as caught:
            reader.sql("FROM cheked")
        assert "chunks" in (caught.value.help or "")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT 1", set()),
        ("FROM checked", {("main", "checked"), ("rejected", "checked"), ("failed", "checked")}),
        ("FROM RUNS", {("main", "runs")}),
        ('FROM store.data."factual.checked"', set()),
        ("SELECT described FROM store.data.graphs ORDER BY described DESC", set()),
        ("FROM store.data.runs ORDER BY run DESC", {("main", "runs")}),
    ],
)
def test_views_that_no_query_may_read_are_not_made(path: Path, query: str, expected: set[Any]) -> None:
    connection = attach(path, "read", sandbox=True)
    gallery = Gallery(connection)
    try:
        gallery.cursor(GRAPH, query).close()
        made = "SELECT schema_name, view_name FROM duckdb_views() WHERE starts_with(database_name, 'atk:')"
        cursor = gallery.bare()
        assert set(cursor.execute(f"{made} AND NOT internal").fetchall()) == expected
        cursor.close()
        assert gallery.complete(GRAPH)
        assert not gallery.complete(GRAPH)
    finally:
        detach(connection, path)


def test_views_follow_a_graph_that_is_declared_anew(tmp_path: Path) -> None:
    """Whether or not somebody had asked for them before, and those that are gone are gone."""
    with Store.open(tmp_path / "store.duckdb") as store:
        describe(store)
        reader = open_reader(store.path, GRAPH)
        assert reader.sql("FROM documents").columns == ["documents_id", "path", "body"]
        describe(store, documents={"path": "VARCHAR", "title": "VARCHAR"})
        assert reader.sql("FROM documents").columns == ["documents_id", "path", "title"]
        assert reader.sql("SELECT title FROM checked").columns == ["title"]
        store.describe(
            GRAPH, [spec for spec in store.description.tables.values() if spec.node == "documents"], {}
        )
        assert reader.sql("SHOW TABLES").rows == [("calls",), ("documents",), ("metrics",), ("runs",)]
        with pytest.raises(QueryError, match="there is no table 'checked'"):
            reader.sql("FROM checked")


def test_what_a_query_names_is_seen_in_its_text() -> None:
    views = {("main", "a"), ("main", "long.name"), ("long", "name"), ("rejected", "a")}
    assert named("FROM b JOIN c", views) == set()
    assert named('FROM "Long.Name"', views) == {
        ("main", "long.name"),
        ("long", "name"),
        ("main", "a"),
        ("rejected", "a"),
    }
