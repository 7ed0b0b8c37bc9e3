"""Columns made without pyarrow: DuckDB reads from them what it reads from pyarrow's, value for value."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.store import columns
from tests.endpoint import endpoint

ROOT = Path(__file__).resolve().parent.parent
MOMENTS = st.datetimes(timezones=st.just(UTC)).filter(lambda at: 1700 < at.year < 2200)
KEYS = st.binary(min_size=16, max_size=16)


def read(arrays: Mapping[str, Any]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """What DuckDB takes these columns for, and their rows."""
    table = columns.arrow_table(arrays)
    with duckdb.connect() as connection:
        connection.register("given", table)
        found = connection.sql("SELECT * FROM given")
        return [str(kind) for kind in found.types], found.fetchall()


def by_pyarrow(values: list[Any], kind: pa.DataType) -> list[Any]:
    table = pa.table({"it": pa.array(values, kind)})
    with duckdb.connect() as connection:
        connection.register("given", table)
        return [value for (value,) in connection.sql("SELECT * FROM given").fetchall()]


PLAIN: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "VARCHAR": (pa.string(), st.text(st.characters(exclude_categories=["Cs"]), max_size=40)),
    "BIGINT": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "DOUBLE": (pa.float64(), st.floats(allow_nan=False)),
    "BOOLEAN": (pa.bool_(), st.booleans()),
}


@pytest.mark.parametrize("kind", PLAIN)
@given(data=st.data())
def test_plain_values_are_those_that_pyarrow_makes(kind: str, data: st.DataObject) -> None:
    arrow, some = PLAIN[kind]
    values = data.draw(st.lists(st.none() | some, min_size=1, max_size=30))
    made = columns.plain(kind, values)
    assert made is not None
    types, rows = read({"it": made})
    assert types == [kind]
    assert [value for (value,) in rows] == by_pyarrow(values, arrow) == values


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        *[("BIGINT", values) for values in ([True], [1.0], ["1"], [2**63], [1, -(2**63) - 1])],
        *[("DOUBLE", values) for values in ([1], [True], [1.0, "2"])],
        *[("BOOLEAN", values) for values in ([1], [0, True], ["true"])],
        *[("VARCHAR", values) for values in ([1], [b"a"], ["a", ["b"]])],
        *[(kind, [None]) for kind in ("DATE", "JSON", "VARCHAR[]", "DECIMAL(18,3)", "UUID", "INTEGER")],
    ],
    ids=repr,
)
def test_what_is_not_plain_is_left_to_pyarrow(kind: str, values: list[Any]) -> None:
    assert columns.plain(kind, values) is None


@given(st.lists(st.none() | KEYS, min_size=1), st.lists(st.lists(KEYS, max_size=3), min_size=1, max_size=9))
def test_keys_and_lists_of_keys(keys: list[bytes | None], lists: list[list[bytes]]) -> None:
    types, rows = read({"it": columns.uuids(keys)})
    assert types == ["UUID"]
    assert [value and value.bytes for (value,) in rows] == keys
    types, rows = read({"it": columns.uuid_lists(lists)})
    assert types == ["UUID[]"]
    assert [[value.bytes for value in values] for (values,) in rows] == lists


@given(st.lists(MOMENTS, min_size=1))
def test_times_are_of_utc(times: list[datetime]) -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    plain = [time.replace(tzinfo=None) for time in times]
    for given_ in (times, plain, [time.astimezone(east) for time in times]):
        types, rows = read({"it": columns.times(given_)})
        assert types == ["TIMESTAMP"]
        assert [value for (value,) in rows] == plain


def test_what_is_no_utf_8_is_marked() -> None:
    _, rows = read({"it": columns.texts(["a\ud800b", b"a\xffb", "é".encode(), None, "ü"])})
    assert rows == [("a?b",), ("a\N{REPLACEMENT CHARACTER}b",), ("é",), (None,), ("ü",)]


def test_columns_of_both_makers_stand_in_one_table_in_their_order() -> None:
    nested = pa.array([{"a": [1, 2]}, None], pa.struct({"a": pa.list_(pa.int64())}))
    types, rows = read({"z": columns.integers([1, 2]), "a": nested, "b": pa.array([None, "x"])})
    assert types == ["INTEGER", "STRUCT(a BIGINT[])", "VARCHAR"]
    assert rows == [(1, {"a": [1, 2]}, None), (2, None, "x")]


def test_a_run_over_plain_columns_imports_neither_pyarrow_nor_numpy(tmp_path: Path) -> None:
    (tmp_path / "graph.atk").write_text(
        'type Row { text: str }\nsource rows -> Row[] { path = "rows.jsonl" }\n'
        'prompt said from rows -> { answer: str } { template = "ask", reply = "text" }\n'
    )
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "ask.md").write_text("user:\n{{ text }}\n")
    (tmp_path / "rows.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    script = (
        "import sys\nfrom engine.commands import main\n"
        "code = main(['exec', 'graph.atk', '--json'])\n"
        "print(code, [name for name in ('pyarrow', 'numpy', 'pandas') if name in sys.modules])"
    )
    with endpoint() as server:
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)}
            | {"ATK_BASE_URL": server.base_url, "ATK_MODEL": "mock", "ATK_API_KEY": "sk-mock"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.splitlines()[-1:] == ["0 []"], done.stdout + done.stderr


@pytest.mark.slow
def test_texts_of_one_commit_may_be_more_than_2_gb() -> None:
    """Offsets of 32 bits end there, and arro3 panics."""
    text = "x" * 2**20
    table = columns.arrow_table({"it": columns.texts([text] * 2_050)})
    with duckdb.connect() as connection:
        connection.register("given", table)
        assert connection.sql("SELECT sum(length(it)) FROM given").fetchall() == [(2_050 * 2**20,)]
