"""The commands that work on a graph: check, plan, exec, params, graph, render; with a graph of our own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import atk
from engine.commands import main

ROOT = Path(__file__).resolve().parent.parent
ADDRESSES = ("ATK_BASE_URL", "ATK_MODEL", "ATK_API_KEY", "OPENAI_API_KEY")
GRAPH = """
## Judge notes.
param least: int = 1          ## Notes that must be kept.
param name: str               ## Who judges.
param limit: int?             ## At most so many.
model judge from default {{ temperature = 0 }}
type Note {{ text: str }}
type Verdict {{
  why: str
  ok: bool
}}
source notes -> Note[] {{ path = "notes.jsonl" }}
## Keeps what holds facts.
prompt judged from notes -> Verdict {{
  template = "judge"
  model = judge
  {gate}
}}
emit kept from judged {{
  path = "out/kept.jsonl"
  format = "columns"
  expect count(*) >= least else "too few notes were kept"
}}
"""
PROMPT = """---
description: Judges a note.
---
system:
You are {{ name }}. Judge whether the note holds a fact.
{{ schema }}
user:
{{ text }}
"""
NOTES = [
    "Cumulus clouds form when warm air rises, cools and reaches its dew point.",
    "Rain falls when the drops in a cloud are too heavy for the rising air.",
    "Contents .... 1\n2. Rain .... 19\n3. Snow .... 27\n4. Hail .... 31",
]


def project(folder, gate="keep ok"):
    (folder / "prompts").mkdir(parents=True)
    (folder / "notes.atk").write_text(GRAPH.format(gate=gate))
    (folder / "prompts" / "judge.md").write_text(PROMPT)
    (folder / "notes.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in NOTES))
    return folder


@pytest.fixture(scope="module", autouse=True)
def no_endpoint():
    """Tests ask the stand-in, whatever the shell has set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ADDRESSES:
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A folder in which the graph has run, and what the first run printed."""
    folder = project(tmp_path_factory.mktemp("ran"))
    done = shell(folder, "exec", "notes.atk", "-p", "name=Ada")
    assert done.returncode == 0, done.stderr
    return folder, done


def shell(folder, *arguments, **more):
    environment = {name: value for name, value in os.environ.items() if name not in ADDRESSES}
    return subprocess.run(
        [sys.executable, "-P", "-m", "engine.commands", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def run(capsys, monkeypatch):
    """Runs a command in a folder: exit code, stdout, stderr."""

    def run(folder, *arguments):
        monkeypatch.chdir(folder)
        code = main(arguments)
        return code, *capsys.readouterr()

    return run


def test_exec_tells_what_it_did(ran):
    folder, done = ran
    assert re.search(r"^notes, run 1: done \([\d.]+ s, 3 calls, \$0\)$", done.stdout, re.M)
    assert re.search(r"^  judged +2 +1 +- +3 +- ", done.stdout, re.M)
    assert re.search(r"^  out/kept\.jsonl +2 rows$", done.stdout, re.M)
    assert '  atk sql "FROM kept LIMIT 5"' in done.stdout
    assert "  atk show judged --rejected" in done.stdout
    assert "notes: 3 nodes from notes.atk" in done.stderr
    assert "with name = Ada" in done.stderr
    assert "offline stand-in" in done.stderr
    assert "+ judged: done, 2 rows, 1 rejected, 3 calls" in done.stderr
    assert len((folder / "out" / "kept.jsonl").read_text().splitlines()) == 2


def test_exec_again_does_nothing(ran, run):
    folder, _ = ran
    code, out, _ = run(folder, "exec", "notes.atk", "-p", "name=Ada", "--quiet", "--json")
    assert code == 0
    summary = json.loads(out)
    assert (summary["status"], summary["calls"]) == ("done", 0)


def test_plan_of_the_unchanged_and_of_a_change(ran, run):
    folder, _ = ran
    code, out, err = run(folder, "plan", "notes.atk", "-p", "name=Ada")
    assert (code, err) == (0, "")
    assert out.startswith("= 3 nodes unchanged\n  no call to make\n")
    code, out, _ = run(folder, "plan", "notes.atk", "-p", "name=Grace", "--json")
    found = json.loads(out)
    assert found["calls"] == 3
    assert {node["name"]: node["mark"] for node in found["nodes"]}["judged"] == "~"


def test_render_prints_the_messages(ran, run):
    folder, _ = ran
    (identity,) = json.loads(run(folder, "sql", "--json", "SELECT judged_id FROM judged LIMIT 1")[1])
    code, out, err = run(folder, "render", "judged", identity["judged_id"][:8])
    assert (code, err) == (0, "")
    assert out.startswith("system:\n  You are Ada.")
    sent = json.loads(run(folder, "render", "judged", identity["judged_id"], "--json")[1])
    assert [message["role"] for message in sent] == ["system", "user"]


def test_graph_page_counts_rows(ran, run, tmp_path):
    folder, _ = ran
    page = tmp_path / "pictures" / "notes.html"
    code, out, _ = run(folder, "graph", "notes.atk", "--html", str(page))
    assert (code, out) == (0, f"{page}\n")
    text = page.read_text()
    assert "2 rows · 1 rejected" in text
    assert "Keeps what holds facts." in text


def test_graph_needs_no_values(ran, run):
    code, out, err = run(ran[0], "graph", "notes.atk")
    assert (code, err) == (0, "")
    assert out.startswith("flowchart TD\n")


def test_params_tell_type_value_default_and_doc(ran, run):
    code, out, err = run(ran[0], "params", "notes.atk", "-p", "least=2")
    assert (code, err) == (0, "")
    rows = [re.split(r"  +", line) for line in out.splitlines()]
    assert rows[1:] == [
        ["least", "int", "2", "1", "Notes that must be kept."],
        ["name", "str", "(required)", "(required)", "Who judges."],
        ["limit", "int?", "none", "none", "At most so many."],
    ]
    found = json.loads(run(ran[0], "params", "notes.atk", "--json")[1])
    assert found[0] == {
        "name": "least", "type": "int", "value": 1, "default": 1, "required": False, "given": False,
        "doc": "Notes that must be kept.",
    }  # fmt: skip


def test_check_is_content(ran, run):
    assert run(ran[0], "check", "notes.atk", "-p", "name=Ada") == (0, "notes.atk: 3 nodes, no errors\n", "")


@pytest.mark.parametrize("verb", ["check", "plan", "exec"])
def test_a_wrong_graph_exits_2_before_anything_runs(run, tmp_path, verb):
    project(tmp_path, gate="keep okay")
    code, out, err = run(tmp_path, verb, "notes.atk", "-p", "name=Ada")
    assert (code, out) == (2, "")
    assert re.match(r"error\[ATK\d+\]: .*okay", err)
    assert "--> notes.atk:" in err
    assert "atk explain ATK" in err
    assert not (tmp_path / ".atk").exists()


def test_check_gives_data(run, tmp_path):
    project(tmp_path, gate="keep okay")
    code, out, err = run(tmp_path, "check", "notes.atk", "-p", "name=Ada", "--json")
    assert (code, err) == (2, "")
    (found,) = json.loads(out)
    assert not found["ok"]
    assert found["diagnostics"][0]["line"] == GRAPH.splitlines().index("  {gate}") + 1


@pytest.mark.parametrize("verb", ["check", "plan", "exec", "params", "graph"])
def test_a_missing_graph_exits_2(run, tmp_path, verb):
    code, out, err = run(tmp_path, verb, "quickstrat")
    assert (code, out) == (2, "")
    assert err == "error: no graph quickstrat\nhelp: did you mean quickstart?\n"


def test_a_name_that_is_like_none_is_answered_with_all(run, tmp_path):
    _, _, err = run(tmp_path, "check", "nope.atk")
    assert err.startswith(
        "error: no graph nope.atk\nhelp: give the path of a .atk file, or one of the shipped"
    )


@pytest.mark.parametrize(
    ("name", "meant"), [("quickstrat.atk", "quickstart"), ("own_grpah.atk", "own_graph.atk")]
)
def test_a_name_that_is_like_one_is_answered_with_it(run, tmp_path, name, meant):
    (tmp_path / "own_graph.atk").write_text("")
    _, _, err = run(tmp_path, "check", name)
    assert err.endswith(f"help: did you mean {meant}?\n")


def test_the_folder_of_the_store_is_no_graph_that_was_meant(run, tmp_path):
    (tmp_path / ".atk").mkdir()
    _, _, err = run(tmp_path, "check", "n.atk")
    assert err.startswith("error: no graph n.atk\nhelp: give the path of a .atk file, or one of the shipped")


def test_a_failed_expectation_exits_3(run, tmp_path):
    project(tmp_path)
    code, _, err = run(tmp_path, "exec", "notes.atk", "-p", "name=Ada", "-p", "least=9", "-q")
    assert code == 3
    assert "too few notes were kept" in err


def test_failed_rows_exit_1_and_are_grouped(run, tmp_path):
    project(tmp_path, gate='check length(why) > 5000 else "say more"')
    code, out, _ = run(tmp_path, "exec", "notes.atk", "-p", "name=Ada", "-p", "least=0", "-q")
    assert code == 1
    assert "judged: 3 rows (atk show judged --failed)" in out
    assert re.search(r" 3 × .*say more", out)


def test_an_interrupt_exits_130_and_keeps_what_is_done(tmp_path):
    project(tmp_path)
    with (tmp_path / "notes.jsonl").open("a") as file:
        for number in range(30_000):
            file.write(json.dumps({"text": f"Note {number}: warm air rises over the hills."}) + "\n")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "engine.commands", "exec", "notes.atk", "-p", "name=Ada"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not list((tmp_path / ".atk").glob("*.sock")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in out
    assert "Traceback" not in err


def test_python_plans_and_runs(tmp_path):
    project(tmp_path)
    events = []
    arguments = {"params": {"name": "Ada", "limit": None}, "root": tmp_path}
    planned = atk.plan("notes.atk", **arguments)
    assert planned.calls == 3
    summary = atk.execute("notes.atk", **arguments, listener=events.append)
    assert (summary.status, summary.calls) == ("done", 3)
    assert type(events[0]).__name__ == "Started"
    with atk.connect(tmp_path / ".atk" / "store.duckdb") as tables:
        assert tables.sql("FROM judged").to_arrow_table().num_rows == 2
        assert tables.sql("SELECT command FROM runs").fetchall() == [
            ("atk exec notes.atk -p name=Ada -p limit=null",)
        ]
        frame = tables.sql("FROM judged").pl()
        assert frame.height == 2
        assert set(tables.sql("FROM judged").df().columns) == set(frame.columns)


def test_python_raises_for_a_wrong_graph(tmp_path):
    project(tmp_path, gate="keep okay")
    with pytest.raises(atk.GraphError, match="okay") as raised:
        atk.execute("notes.atk", params={"name": "Ada"}, root=tmp_path)
    assert raised.value.diagnostics[0].code.startswith("ATK")
    assert not (tmp_path / ".atk").exists()


def test_python_works_beside_a_running_loop(tmp_path):
    import asyncio

    project(tmp_path)

    async def cell():
        return atk.execute("notes.atk", params={"name": "Ada"}, root=tmp_path).status

    assert asyncio.run(cell()) == "done"


@pytest.mark.parametrize("code", ["ATK122", "atk122", "122"])
def test_explain(run, tmp_path, code):
    status, out, err = run(tmp_path, "explain", code)
    assert (status, err) == (0, "")
    title, _, text = out.partition("\n\n")
    assert title.startswith("ATK122: ")
    assert len(text) > 100


def test_explain_lists_all_codes(run, tmp_path):
    out = run(tmp_path, "explain")[1]
    assert len(re.findall(r"^ATK\d{3}  ", out, re.M)) > 20
    assert json.loads(run(tmp_path, "explain", "--json")[1])["ATK122"]


def test_explain_of_no_code(run, tmp_path):
    status, out, err = run(tmp_path, "explain", "ATK9999")
    assert (status, out) == (2, "")
    assert err.startswith("error: there is no error code ATK9999\nhelp: ")


def test_check_needs_no_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A param without a value is the matter of a run; `exec` and `plan` ask for it."""
    graph = (
        "type Note { path: str, title: str?, text: str }\n"
        "param inputs: path\nsource notes -> Note[] { path = inputs }\n"
    )
    (tmp_path / "graph.atk").write_text(graph)
    monkeypatch.chdir(tmp_path)
    assert main(["check", "graph.atk"]) == 0
    assert main(["plan", "graph.atk"]) == 2
    assert "ATK112" in capsys.readouterr().err
