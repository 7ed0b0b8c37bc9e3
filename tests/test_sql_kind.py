"""A query's rows have steady identities, and carry the ids of their ancestors."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import duckdb
import pytest

from engine.kinds.base import KindError, Made
from tests.workbench import Bench, bench, row_id

IDS = [uuid.UUID(bytes=row_id("passages", number)) for number in range(3)]
SQL = "SELECT passages_id, count(*) AS n, $word AS word FROM checked GROUP BY ALL"


def sql(root: Path, query: str, own: dict[str, str], values: dict[str, Any] | None = None) -> Bench:
    made = bench(
        "sql",
        root,
        {"query": query},
        name="turns",
        query=own,
        values=values or {},
        inputs={"checked": {"question": "VARCHAR"}},
        above={"passages": {}},
    )

    def run(text: str, parameters: Any) -> Any:
        connection = duckdb.connect()
        connection.execute("CREATE TABLE checked (passages_id UUID, question VARCHAR)")
        for place, question in ((0, "a"), (0, "b"), (1, "c"), (2, "c")):
            connection.execute("INSERT INTO checked VALUES (?, ?)", [IDS[place], question])
        return connection.execute(text, dict(parameters) if parameters else None).to_arrow_table()

    made.answers = run
    return made


def table(made: Bench) -> list[Made]:
    return made.table([])


def test_params_lineage_and_columns(tmp_path: Path) -> None:
    made = sql(tmp_path, SQL, {"n": "BIGINT", "word": "VARCHAR"}, {"word": "w", "other": 1})
    found = sorted(table(made), key=lambda one: one.own["n"], reverse=True)
    assert [one.own for one in found] == [{"n": 2, "word": "w"}, {"n": 1, "word": "w"}, {"n": 1, "word": "w"}]
    assert found[0].ids == {"passages": IDS[0].bytes}
    assert made.kind.static(made.node)["values"] == {"word": "w"}


def test_identities_do_not_depend_on_the_order(tmp_path: Path) -> None:
    own = {"question": "VARCHAR"}
    for query in (
        "SELECT question FROM checked ORDER BY question {}",
        "SELECT passages_id, question FROM checked ORDER BY question {}",
        "SELECT passages_id, 'x' AS question FROM checked ORDER BY passages_id {}",
    ):
        up, down = (table(sql(tmp_path, query.format(way), own)) for way in ("ASC", "DESC"))
        assert {one.identity for one in up} == {one.identity for one in down}
        assert len({one.identity for one in up}) == 4


def test_where_the_ids_tell_rows_apart_the_content_does_not_count(tmp_path: Path) -> None:
    made = [
        {
            one.identity
            for one in table(sql(tmp_path, SQL, {"n": "BIGINT", "word": "VARCHAR"}, {"word": word}))
        }
        for word in ("a", "b")
    ]
    assert made[0] == made[1]


def test_ids_that_are_null_are_none(tmp_path: Path) -> None:
    made = sql(tmp_path, "SELECT NULL::UUID AS passages_id, question FROM checked", {"question": "VARCHAR"})
    assert [one.ids for one in table(made)] == [{}, {}, {}, {}]
    assert len({one.identity for one in table(made)}) == 4


def test_a_query_that_breaks_on_real_rows_is_told(tmp_path: Path) -> None:
    made = sql(tmp_path, "SELECT question::INTEGER AS n FROM checked", {"n": "INTEGER"})
    with pytest.raises(KindError, match="`turns`: Conversion Error") as raised:
        table(made)
    assert raised.value.help is not None
    assert raised.value.help.endswith("TRY_CAST gives null where a value does not fit")
