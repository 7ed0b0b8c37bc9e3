"""The commands that look into a store: sql, show, why; over a small store that is written here."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import uuid
from datetime import datetime
from pathlib import Path

import pytest

from engine.commands import main
from engine.store.keys import child_id, fingerprint
from engine.store.records import CallRecord, Stored, TableSpec
from engine.store.store import Store

ROOT = Path(__file__).resolve().parent.parent
PASSAGE = "A cumulus forms when warm air rises. " * 40
TABLES = [
    TableSpec(
        "weather", "passages", "source", (), {"text": "VARCHAR"}, {"text": ("VARCHAR", "passages")}, ()
    ),
    TableSpec(
        "weather",
        "checked",
        "prompt",
        ("passages",),
        {"why": "VARCHAR", "ok": "BOOLEAN"},
        {"text": ("VARCHAR", "passages"), "why": ("VARCHAR", "checked"), "ok": ("BOOLEAN", "checked")},
        ("passages",),
    ),
]


def stored(node, parent, place, status="ok", reason=None, calls=(), **own):
    identity = child_id(parent, node, place)
    ids = {"passages": parent} if parent else {}
    return Stored(
        id=identity,
        rev=fingerprint(own),
        parent=parent,
        parent_rev=parent and fingerprint("rev"),
        place=place,
        status=status,
        reason=reason,
        calls=list(calls),
        ids=ids,
        own=own,
    )


def call(row, attempt, reply, **more):
    request = {
        "messages": [{"role": "system", "content": "You judge."}, {"role": "user", "content": PASSAGE}]
    }
    return CallRecord(
        key=fingerprint("call", row, attempt),
        node="checked",
        graph="weather",
        row=row,
        role="ask",
        attempt=attempt,
        sample=0,
        model="small-model",
        endpoint="http://127.0.0.1:1",
        request=json.dumps(request),
        status="ok",
        at=datetime(2026, 1, 2, 3, 4, attempt),  # noqa: DTZ001 (UTC, as the store keeps it)
        reply=reply,
        tokens_in=1204,
        tokens_out=31,
        cost=0.0012,
        ms=431.0,
        **more,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which a graph has run."""
    folder = tmp_path_factory.mktemp("run")
    with Store.open(folder / ".atk" / "store.duckdb") as store:
        store.describe("weather", TABLES, {})
        run = store.begin("weather", {}, "atk exec weather.atk -p 'domain=The weather'")
        passages = [stored("passages", None, place, text=PASSAGE) for place in range(3)]
        good, bad, lost = (row.id for row in passages)
        calls = [call(good, 0, "not yet JSON"), call(good, 1, '{"why": "facts", "ok": true}', thoughts="Hm.")]
        store.replace("passages", [], passages, fresh=True)
        store.log(calls)
        checked = [
            stored("checked", good, 0, why="facts\x1b[2J", ok=True, calls=[entry.key for entry in calls]),
            stored("checked", bad, 0, "rejected", "a list of headings", why="headings", ok=False),
            stored("checked", lost, 0, "failed", "the reply was cut off", why=None, ok=None),
        ]
        store.replace("checked", [good, bad, lost], checked, fresh=True)
        store.end(run, "done", {})
    return folder


@pytest.fixture
def atk(folder, monkeypatch, capsys):
    """Runs a command in that folder: exit code, stdout, stderr."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def row_id(atk, table="checked"):
    return json.loads(atk("sql", "--json", f"SELECT checked_id FROM {table}")[1])[0]["checked_id"]


def test_sql_forms(atk):
    query = "SELECT ok, why[:5] AS why FROM checked"
    assert atk("sql", query) == (0, "ok    why\ntrue  facts\n(1 row)\n", "")
    assert json.loads(atk("sql", query, "--json")[1]) == [{"ok": True, "why": "facts"}]
    assert list(csv.reader(io.StringIO(atk("sql", query + ";", "--csv")[1]))) == [
        ["ok", "why"],
        ["True", "facts"],
    ]


def test_sql_prints_no_control_characters(atk):
    assert "\x1b" not in atk("sql", "FROM checked")[1]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("FROM chequed", "chequed"),
        ("DROP TABLE checked", "not changed"),
        ("SELECT 1; SELECT 2", "one query at a time"),
        ("FROM '/etc/passwd'", ""),
        ("  ", "the query is empty"),
    ],
)
def test_a_wrong_query_is_told_and_exits_2(atk, query, words):
    code, out, err = atk("sql", query)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert words in err
    assert "Traceback" not in err


def test_sql_reads_a_pipe(folder):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "engine.commands", "sql", "--csv"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input="SELECT count(*) AS n FROM passages;\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "n\n3\n"


def test_a_reader_that_leaves_is_no_trouble(folder):
    command = f'"{sys.executable}" -P -m engine.commands sql --csv "FROM range(200000)" | head -n 1'
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_output_survives_a_terminal_without_utf8(folder):
    done = subprocess.run(
        [sys.executable, "-P", "-m", "engine.commands", "show", "checked"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        check=True,
    )
    assert b"facts" in done.stdout
    assert done.stdout.isascii()


def test_show_rows(atk):
    code, out, err = atk("show", "checked")
    assert (code, err) == (0, "")
    assert "checked " in out
    assert "why" in out
    assert "facts" in out
    assert "cumulus" not in out  # an input's column, shown by --all
    assert "1 of 1 row" in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert f"[… {len(PASSAGE) - 480:,} characters …]".replace(",", " ") in " ".join(
        word for word in atk("show", "checked", "--all")[1].split() if word
    )


def test_show_rejected_and_failed_say_why(atk):
    assert "a list of headings" in atk("show", "checked", "--rejected")[1]
    assert "the reply was cut off" in atk("show", "checked", "--failed")[1]
    assert atk("show", "passages", "--rejected")[1] == "passages has no rejected rows\n"


def test_show_calls(atk):
    out = atk("show", "checked", "--calls", "-n", "1")[1]
    assert "system:" in out
    assert "You judge." in out
    assert '{"why": "facts", "ok": true}' in out
    assert "thoughts:" in out
    assert "small-model · ok · 1 204 tokens in, 31 out" in out
    assert "1 of 2 calls" in out
    found = json.loads(atk("show", "checked", "--calls", "--json")[1])
    assert [item["attempt"] for item in found] == [1, 0]


def test_show_an_unknown_node(atk):
    code, _, err = atk("show", "chequed")
    assert code == 2
    assert err == "error: graph weather has no node chequed\nhelp: did you mean checked?\n"


def test_show_excludes(atk):
    code, _, err = atk("show", "checked", "--failed", "--calls")
    assert code == 2
    assert "exclude each other" in err


def test_why_tells_the_way_back(atk):
    identity = row_id(atk)
    code, out, err = atk("why", "checked", identity[:8])
    assert (code, err) == (0, "")
    assert out.index("checked") < out.index("call:") < out.index("call, retry 1:") < out.index("passages")
    assert "not yet JSON" in out
    assert "characters" in out
    full = atk("why", "checked", identity, "--full")[1]
    assert "characters …]" not in full
    steps = json.loads(atk("why", "checked", identity, "--json")[1])
    assert [step["node"] for step in steps] == ["checked", "passages"]
    assert steps[0]["calls"][1]["reply"] == '{"why": "facts", "ok": true}'


@pytest.mark.parametrize(("row", "words"), [("00", "short"), ("ffffffff", "no row"), ("zzzz", "no row id")])
def test_why_of_no_row(atk, row, words):
    code, out, err = atk("why", "checked", row)
    assert code != 0
    assert out == ""
    assert words in err


@pytest.mark.parametrize("command", [("sql", "FROM runs"), ("show", "checked"), ("why", "checked", "abcd")])
def test_without_a_store_each_says_what_to_do(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: there is no store at .atk/store.duckdb\nhelp: ")


def test_an_unknown_graph_of_a_store(atk):
    code, _, err = atk("sql", "FROM runs", "--graph", "climate")
    assert code != 0
    assert "climate" in err


def test_a_store_that_is_none(tmp_path, capsys):
    path = tmp_path / "x.duckdb"
    path.write_text("hello")
    assert main(["sql", "FROM runs", "--store", str(path)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_ids_are_uuids(atk):
    assert uuid.UUID(row_id(atk))
