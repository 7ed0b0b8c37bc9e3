"""`atk sql`: how results are printed, and the shell's reading of statements."""

from __future__ import annotations

import builtins
import csv
import io
import json
import uuid
from types import SimpleNamespace

import pytest

from engine.commands import _render
from engine.commands import sql as command
from engine.store.reader import Result

ID = uuid.UUID("0d3f0d3f-0000-4000-8000-000000000001")


def result(columns, types, *rows, more=False):
    return SimpleNamespace(
        columns=columns,
        types=types,
        rows=rows,
        more=more,
        dicts=lambda: [dict(zip(columns, row, strict=True)) for row in rows],
    )


PEOPLE = result(["id", "name", "n"], ["UUID", "VARCHAR", "BIGINT"], (ID, "Anna\nB", 5), (ID, None, 12))


@pytest.fixture
def places(monkeypatch):
    """Sets the width of the terminal."""

    def choose(width):
        monkeypatch.setattr(_render, "terminal_width", lambda default=100: width)

    return choose


def test_table_for_a_file_is_whole(places):
    places(None)
    assert command.lines(PEOPLE) == [
        "id                                    name     n",
        f"{ID}  Anna⏎B   5",
        f"{ID}          12",
        "(2 rows)",
    ]


def test_table_for_a_terminal_shortens_ids_and_texts(places):
    places(30)
    long = result(["id", "text", "n"], ["UUID", "VARCHAR", "BIGINT"], (ID, "word " * 50, 7))
    lines = command.lines(long)
    assert lines[1].startswith("0d3f0d3f  word word wor")
    assert all(len(line) <= 30 for line in lines)
    assert "…" in lines[1]


def test_many_columns_become_records(places):
    places(40)
    names = [f"column_{index}" for index in range(8)]
    lines = command.lines(result(names, ["VARCHAR"] * 8, tuple("abcdefgh")))
    assert lines[1] == "column_0  a"
    assert lines[-1] == "(1 row)"
    assert len(lines) == 10


def test_only_so_many_rows_are_printed(places):
    places(None)
    many = result(["n"], ["BIGINT"], (0,), (1,), more=True)
    assert command.lines(many) == [
        "n",
        "0",
        "1",
        "(the first 2 rows; -n N prints more, --json and --csv all)",
    ]


def test_columns_of_one_name_are_all_told():
    found = Result(["a", "a", "a_2", "a"], ["INTEGER"] * 4, [(1, 2, 3, 4)], False)
    assert found.dicts() == [{"a": 1, "a_2": 2, "a_2_2": 3, "a_3": 4}]


def test_json_and_csv_are_whole(capsys):
    nested = result(["id", "turns"], ["UUID", "STRUCT(q VARCHAR)[]"], (ID, [{"q": "Ä,\n?"}]))
    command.show(nested, "json")
    assert json.loads(capsys.readouterr().out) == [{"id": str(ID), "turns": [{"q": "Ä,\n?"}]}]
    command.show(nested, "csv")
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows == [["id", "turns"], [str(ID), '[{"q": "Ä,\\n?"}]']]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        (["FROM a;"], ["FROM a"]),
        (["FROM a", "WHERE x", ""], ["FROM a\nWHERE x"]),
        (["", "FROM a;", ".tables", ".quit", "FROM b;"], ["FROM a", ".tables"]),
        (["FROM a", KeyboardInterrupt, "FROM b;"], ["FROM b"]),
        (["FROM a"], []),
        (["SELECT ';'", "|| 'x';"], ["SELECT ';'\n|| 'x'"]),
    ],
)
def test_statements_of_the_shell(monkeypatch, typed, found):
    lines = iter(typed)

    def read(prompt):
        line = next(lines, EOFError)
        if isinstance(line, str):
            return line
        raise line

    monkeypatch.setattr(builtins, "input", read)
    assert list(command.statements()) == found


def test_history_is_kept_in_the_state_folder(monkeypatch, tmp_path):
    readline = pytest.importorskip("readline")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with command.history():
        readline.add_history("FROM checked;")
    assert "checked" in (tmp_path / "atk" / "sql_history").read_text()
    readline.clear_history()
    with command.history():
        assert readline.get_history_item(1) is not None


def test_a_state_folder_that_cannot_be_written_is_no_trouble(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with command.history():
        pass
