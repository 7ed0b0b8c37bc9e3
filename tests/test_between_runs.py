"""`atk runs` and `atk diff`: what changed between two runs, because of what, at what cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.commands import main
from engine.commands.diff import words
from tests.endpoint import Endpoint, endpoint
from tests.project import DOCUMENTS, GRAPH, PROMPTS, Project

MORE = """
prompt checked from drafted -> Verdict { template = "check", model = asked, keep ok }
sql counted from checked { query = "SELECT count(*) AS n FROM checked" }
emit kept from checked { path = "out/kept.jsonl", format = "columns" }
"""

WORDS = [
    ("a b c", "a x c", "a [-b-] {+x+} c"),
    ("a b", "a b c", "a b {+c+}"),
    ("a b c", "a c", "a [-b-] c"),
    ("same", "same", "same"),
    ("", "new", "{+new+}"),
    ("one two three", "four five six", "[-one two three-] {+four five six+}"),
    ("1", "2", "[-1-] {+2+}"),
]


@pytest.mark.parametrize(("old", "new", "shown"), WORDS)
def test_words(old: str, new: str, shown: str) -> None:
    assert words(old, new) == shown


@pytest.fixture(scope="module")
def server() -> Any:
    with endpoint(p_true=1.0) as started:
        yield started


def prepared(root: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    project = Project(root, monkeypatch, server.base_url)
    project.write("prompts/check.md", "system:\nRight?\n{{ schema }}\n\nuser:\n{{ question }} {{ answer }}\n")
    project.graph(MORE)
    return project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    monkeypatch.chdir(tmp_path)
    return prepared(tmp_path, monkeypatch, server)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, server: Endpoint) -> Project:
    with pytest.MonkeyPatch.context() as patch:
        made = prepared(tmp_path_factory.mktemp("once"), patch, server)
        assert made.run().status == "done"
        return made


@pytest.fixture
def ran(project: Project, once: Project) -> Project:
    """After a first run."""
    project.take(once)
    return project


def told(capsys: Any, *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def nodes(capsys: Any, earlier: str, later: str) -> dict[str, Any]:
    return {node["node"]: node for node in told(capsys, "diff", earlier, later)["nodes"]}


def test_edited_prompt(ran: Project, capsys: Any) -> None:
    before = set(ran.table("drafted", "drafted_id::VARCHAR", "question", "answer"))
    ran.write("prompts/draft.md", PROMPTS["draft"].replace("two", "three"))
    paid = ran.run().calls
    after = set(ran.table("drafted", "drafted_id::VARCHAR", "question", "answer"))
    found = nodes(capsys, "1", "2")
    drafted = found["drafted"]
    ids, earlier = {row[0] for row in after}, {row[0] for row in before}
    assert drafted["added"] == len(ids - earlier)
    assert drafted["removed"] == len(earlier - ids)
    assert drafted["same"] == len(before & after)
    assert drafted["changed"] == len(ids & earlier) - len(before & after)
    assert drafted["why"] == "template draft: 1 line changed"
    assert sum(node["calls"] for node in found.values()) == paid
    assert found["worthy"]["same"] == len(DOCUMENTS)
    assert found["worthy"]["why"] == ""
    assert found["checked"]["why"] == "follows drafted"
    assert found["kept"]["why"] == "follows checked"
    assert found["kept"]["changed"] == drafted["changed"]
    rows = told(capsys, "diff", "1", "2", "drafted")
    assert len(rows) == drafted["added"] + drafted["changed"] + drafted["removed"]
    assert {row["why"] for row in rows} == {"template draft: 1 line changed"}
    texts = {row[0]: row[1:] for row in before}
    for row in rows:
        if row["what"] == "changed":
            assert row["before"].keys() == row["after"].keys() <= {"question", "answer"}
            assert set(row["before"].values()) <= set(texts[row["id"]])


def test_edited_document(ran: Project, capsys: Any) -> None:
    ran.write("inputs/rain.txt", DOCUMENTS["rain.txt"] + " Drizzle has small drops.")
    ran.run()
    found = nodes(capsys, "-2", "last")
    assert {name: found["documents"][name] for name in ("added", "changed", "removed", "same")} == {
        "added": 0, "changed": 1, "removed": 0, "same": len(DOCUMENTS) - 1,
    }  # fmt: skip
    assert found["documents"]["why"] == "what it reads changed"
    (passage,) = told(capsys, "diff", "1", "2", "passages")
    assert passage["why"] == "its row in documents changed"
    assert passage["before"]["text"] == DOCUMENTS["rain.txt"]
    assert main(["diff", "1", "2", "passages"]) == 0
    shown = capsys.readouterr().out
    assert "{+Drizzle has small drops.+}" in shown
    assert "1 row of 1 that differ between runs 1 and 2" in shown


def test_order_of_runs_does_not_matter_and_the_same_run_is_the_same(ran: Project, capsys: Any) -> None:
    ran.write("inputs/snow.txt", "Snow falls when crystals of ice stick together in a cold cloud.")
    ran.run()
    assert nodes(capsys, "2", "1") == nodes(capsys, "1", "2")
    assert nodes(capsys, "1", "2")["documents"]["added"] == 1
    assert main(["diff", "2", "last"]) == 0
    assert capsys.readouterr().out == "= 7 nodes the same in runs 2 and 2\n"


def test_cost_is_of_all_runs_after_the_earlier_one_and_the_text_says_so(
    project: Project, capsys: Any
) -> None:
    """An edit that was taken back was paid for, so it counts, and the last line names the runs."""
    first = project.run().calls
    project.write("prompts/draft.md", PROMPTS["draft"].replace("two", "three"))
    tried = project.run().calls
    project.write("prompts/draft.md", PROMPTS["draft"])
    assert project.run().calls == 0
    found = told(capsys, "diff", "1", "3")
    assert found["paid"] == [2, 3]
    assert sum(node["calls"] for node in found["nodes"]) == tried > 0
    assert main(["diff", "1", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"  {tried} calls, $0 in runs 2 to 3"
    assert main(["diff", "2", "3"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  no call in run 3"
    assert first > 0


def test_runs_of_another_graph_in_between_are_not_among_them(ran: Project, capsys: Any) -> None:
    ran.graph(text=GRAPH.format(more="", retries=2), name="other")
    ran.run("other")
    ran.write("inputs/snow.txt", "Snow falls when crystals of ice stick together in a cold cloud.")
    calls = ran.run().calls
    ran.run()
    assert main(["diff", "1", "4", "--graph", "graph"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"  {calls} calls, $0 in runs 3 to 4"
    ran.run("other")
    ran.run()
    assert main(["diff", "1", "6", "--graph", "graph"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"  {calls} calls, $0 in 3 runs from 3 to 6"


def test_a_node_that_is_gone_is_told_with_what_it_cost(ran: Project, capsys: Any) -> None:
    ran.graph(MORE.replace("prompt checked", "prompt proven").replace("checked", "proven"))
    ran.write("prompts/check.md", "system:\nWrong?\n{{ schema }}\n\nuser:\n{{ question }}\n")
    calls = ran.run().calls
    ran.graph(MORE.replace("keep ok }", "when = false }").replace("kept", "handed"))
    ran.run()
    found = nodes(capsys, "1", "3")
    assert found["checked"]["why"] == "left out by `when`"
    assert found["proven"]["why"] == "gone from the graph"
    assert found["proven"]["calls"] == calls
    assert main(["diff", "1", "3"]) == 0
    shown = capsys.readouterr().out
    assert f"{calls} calls, $0 in runs 2 to 3" in shown
    assert "gone from the graph" in shown


def test_new_node(project: Project, capsys: Any) -> None:
    project.graph(text=GRAPH.format(more="", retries=2))
    project.run()
    project.graph(MORE)
    project.run()
    found = nodes(capsys, "1", "2")
    assert found["checked"]["why"] == "new"
    assert found["checked"]["added"] == len(project.table("checked", "question"))


WRONG = [
    (["diff", "1", "7"], "graph graph has no run 7", "its latest runs: 1 (done)"),
    (["diff", "x", "1"], "graph graph has no run x", "its latest runs: 1 (done)"),
    (["diff", "-2", "-1"], "graph graph has no run -2", "its latest runs: 1 (done)"),
    (["diff", "1", "1", "draftd"], "graph graph has no node draftd", "did you mean drafted?"),
]


def test_messages(ran: Project, capsys: Any) -> None:
    for arguments, message, help in WRONG:
        assert main(arguments) == 2, arguments
        said = capsys.readouterr().err
        assert message in said
        assert help in said


def test_cost(project: Project, capsys: Any) -> None:
    first = project.run().calls
    project.write("inputs/snow.txt", "Snow falls when crystals of ice stick together in a cold cloud.")
    second = project.run().calls
    by_run = told(capsys, "cost", "--by", "run")
    assert [(one["run"], one["calls"], one["failed"]) for one in by_run] == [(1, first, 0), (2, second, 0)]
    for by in ("node", "model", "day"):
        sums = told(capsys, "cost", "--by", by)
        assert sum(one["calls"] for one in sums) == first + second
        paid = project.rows("SELECT sum(tokens_in)::INTEGER, sum(tokens_out)::INTEGER FROM calls")[0]
        assert (sum(one["tokens_in"] for one in sums), sum(one["tokens_out"] for one in sums)) == paid
    assert main(["cost"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["node", "calls", "failed"]
    assert lines[-1].split()[:2] == ["all", f"{first + second}"]
    assert told(capsys, "cost", "--graph", "graph") == told(capsys, "cost")


def test_runs(project: Project, capsys: Any) -> None:
    calls = project.run().calls
    project.run()
    listed = told(capsys, "runs")
    assert [(run["run"], run["graph"], run["status"], run["calls"]) for run in listed] == [
        (2, "graph", "done", 0),
        (1, "graph", "done", calls),
    ]
    assert main(["runs", "-n", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "graph", "started", "(UTC)", "status", "calls", "cost"]
    assert lines[1].split()[:2] == ["2", "graph"]
    assert len(lines) == 2
