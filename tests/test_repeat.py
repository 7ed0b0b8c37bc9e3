"""Calls with `rounds` and `until`: what runs, what is paid, what stands in the tables.

The endpoint writes version 0 of a question, each rewriting raises the version, and the judge is
content with version 2: so the third round is the one that finds every question good.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.endpoint import Endpoint, endpoint
from tests.project import DOCUMENTS, Project

ROOT = Path(__file__).resolve().parents[1]
COUNT = len(DOCUMENTS)
GRAPH = """
param enough: float = 1.0
param rounds: int = 5
model asked from default { temperature = 0.5 }

type Document { path: str, title: str?, text: str }
type Question { question: str }
type Verdict { why: str, ok: bool }

source documents -> Document[] { path = "inputs" }
prompt first from documents -> Question { template = "first", model = asked }

graph improve(questions: { question: str, text: str }[]) -> { question: str, text: str, ok: bool }[] {
  prompt judged from questions -> Verdict { template = "judge", model = asked }
  prompt rewritten from judged -> Question { template = "rewrite", model = asked, where not ok }
  sql together { query = "SELECT * FROM judged WHERE ok UNION ALL BY NAME FROM rewritten" }
  return together
}

improve good from first {
  rounds = rounds
  until avg(if(ok, 1.0, 0.0)) >= enough
  expect count(*) > 0
}
"""
PROMPTS = {
    "first": "user:\nAsk about: {{ text }}\n",
    "judge": "user:\nJudge {{ question }}\n",
    "rewrite": "user:\nRewrite {{ question }}\n",
}
RULES = [
    {"contains": r"Ask about: (\w+ \w+)", "reply": {"question": "version 0 of ${1}"}},
    {"contains": r"Judge version [2-9]", "reply": {"why": "good", "ok": True}},
    {"contains": "Judge version", "reply": {"why": "not yet", "ok": False}},
    *(
        {
            "contains": f"Rewrite version {number} of (\\w+ \\w+)",
            "reply": {"question": f"version {number + 1} of ${{1}}"},
        }
        for number in range(8)
    ),
]


@pytest.fixture(scope="module")
def server() -> Any:
    with endpoint(rules=RULES) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    return prepared(tmp_path, monkeypatch, server)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, server: Endpoint) -> Project:
    with pytest.MonkeyPatch.context() as patch:
        made = prepared(tmp_path_factory.mktemp("ran"), patch, server)
        calls(server, made)
        return made


@pytest.fixture
def again(project: Project, ran: Project) -> Project:
    """After a first run."""
    project.take(ran)
    return project


def prepared(root: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    project = Project(root, monkeypatch, server.base_url)
    for name, text in PROMPTS.items():
        project.write(f"prompts/{name}.md", text)
    project.graph(text=GRAPH)
    return project


def calls(server: Endpoint, project: Project, **values: str) -> int:
    """Run, and count what was paid."""
    before = server.stats()["calls"]
    summary = project.run(**values)
    assert summary.status == "done", summary.errors
    paid = server.stats()["calls"] - before
    assert summary.calls == paid
    return paid


def versions(project: Project, table: str = "good") -> list[str]:
    return [question.split(" of ")[0] for (question,) in project.table(f'"{table}"', "question")]


def test_rounds_end_when_until_holds(server: Endpoint, project: Project) -> None:
    assert calls(server, project) == COUNT + 2 * 2 * COUNT + COUNT
    assert versions(project) == ["version 2"] * COUNT
    assert versions(project, "good.round_1") == ["version 1"] * COUNT
    assert project.table('"good.round_4"', "question") == []
    assert project.table('"good.round_2.rewritten"', "question") == project.table("good.round_2", "question")
    assert {
        round_
        for (round_,) in project.rows("SELECT DISTINCT node FROM calls WHERE node LIKE 'good.round_4%'")
    } == set()


def test_rows_come_of_the_last_round_and_lead_back(again: Project) -> None:
    joined = again.rows(
        'SELECT count(*) FROM good g JOIN "good.round_3" r USING (good_round_3_id) '
        "JOIN first f ON g.first_id = f.first_id JOIN documents d ON g.documents_id = d.documents_id "
        "WHERE g.question = r.question AND g.text = d.text"
    )
    assert joined == [(COUNT,)]


def test_second_run_is_free(server: Endpoint, again: Project) -> None:
    before = again.table("good", "good_id::VARCHAR", "question")
    assert calls(server, again) == 0
    assert again.table("good", "good_id::VARCHAR", "question") == before
    plan = again.plan()
    assert plan.calls == 0
    assert {node.mark for node in plan.nodes} == {"="}
    passed = {node.name for node in plan.nodes if node.why}
    assert passed == {
        f"good.round_{number}{inner}" for number in (4, 5) for inner in ("", ".judged", ".rewritten")
    }


def test_more_rounds_pay_for_the_new_ones(server: Endpoint, project: Project) -> None:
    assert calls(server, project, rounds="1") == 3 * COUNT
    assert versions(project) == ["version 1"] * COUNT
    assert calls(server, project, rounds="2") == 2 * COUNT
    assert versions(project) == ["version 2"] * COUNT
    assert calls(server, project, rounds="5") == COUNT
    assert calls(server, project, rounds="2") == 0
    assert calls(server, project, rounds="5") == 0


def test_what_until_says_costs_nothing(server: Endpoint, again: Project) -> None:
    assert calls(server, again, enough="0") == 0
    assert versions(again) == ["version 1"] * COUNT
    assert again.table('"good.round_2"', "question") == []
    assert calls(server, again) == 0
    assert versions(again) == ["version 2"] * COUNT


def test_an_edited_prompt_pays_its_rows(server: Endpoint, again: Project) -> None:
    again.write("prompts/rewrite.md", PROMPTS["rewrite"] + "Please.\n")
    assert calls(server, again) == 2 * COUNT  # the rewritten ones come out as before
    again.write("prompts/judge.md", PROMPTS["judge"] + "Please.\n")
    assert calls(server, again) == 3 * COUNT


def test_a_new_document_pays_for_itself(server: Endpoint, again: Project) -> None:
    again.write("inputs/snow.txt", "Snow falls when crystals of ice stick together.")
    assert calls(server, again) == 1 + 2 * 2 + 1


def test_plan_counts_later_rounds_as_at_most(server: Endpoint, project: Project) -> None:
    assert calls(server, project, rounds="1") == 3 * COUNT
    paid = server.stats()["calls"]
    lines = {node.name: node for node in project.plan().nodes}
    assert (lines["good.round_2.judged"].to_call, lines["good.round_2.judged"].estimated) == (COUNT, False)
    assert "at most" in lines["good.round_3.judged"].why
    assert lines["good.round_3.judged"].estimated
    assert lines["good"].rows == COUNT
    assert server.stats()["calls"] == paid


def test_until_that_never_holds_is_told(server: Endpoint, project: Project) -> None:
    summary = project.run(rounds="2", enough="2")
    assert summary.status == "done"
    said = [note.text for note in summary.notes]
    assert said == [
        "after 2 rounds `until avg(if(ok, 1.0, 0.0)) >= enough` does not hold; the last one stands"
    ]


def test_rounds_without_until_all_run(server: Endpoint, project: Project) -> None:
    project.graph(text=GRAPH.replace("  until avg(if(ok, 1.0, 0.0)) >= enough\n", ""))
    summary = project.run(rounds="4")
    assert summary.calls == COUNT + 2 * 2 * COUNT + COUNT  # the fourth asks what the third has asked
    assert {node.state for node in summary.progress.values()} == {"done"}


def test_rounds_in_rounds(server: Endpoint, project: Project) -> None:
    """A repeated graph may repeat another one; what the outer one does not need, the inner does not do."""
    outer = """
graph twice(questions: { question: str, text: str }[]) -> { question: str, text: str, ok: bool }[] {
  improve nested from questions { rounds = 2, until count(*) = 0 }
  return nested
}
twice good from first { rounds = rounds, until bool_and(ok), expect count(*) > 0 }
"""
    project.graph(text=GRAPH.split("improve good")[0] + outer.replace("count(*) = 0", "count(*) == 0"))
    assert calls(server, project, rounds="3") == COUNT + 2 * 2 * COUNT + COUNT
    assert versions(project) == ["version 2"] * COUNT
    assert calls(server, project, rounds="3") == 0
    states = {name: node.state for name, node in project.run(rounds="3").progress.items()}
    assert states["good.round_2.nested.round_2.judged"] == "unchanged"
    assert states["good.round_3.nested.round_1.judged"] == "passed"
    assert states["good.round_3.nested.round_2.judged"] == "passed"


def test_an_expectation_holds_for_the_last_round(server: Endpoint, project: Project) -> None:
    project.graph(text=GRAPH.replace("expect count(*) > 0", 'expect count(*) > 99 else "too few"'))
    summary = project.run()
    assert (summary.status, summary.errors[0][0]) == ("expectation", "`good` is not as expected: too few")


@pytest.mark.slow
def test_killed_in_the_second_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(rules=RULES, latency_ms=150) as server:
        project = prepared(tmp_path, monkeypatch, server)
        command = [sys.executable, "-m", "engine.commands", "exec", "graph.atk", "--json"]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(
            command, cwd=project.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        while server.stats()["calls"] < 3 * COUNT + 1 and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        before = server.stats()["calls"]
        assert 3 * COUNT < before < 6 * COUNT
        calls(server, project)
        assert server.stats()["calls"] <= 8 * COUNT  # what was in flight, or not yet committed
        assert project.rows("SELECT count(*), count(DISTINCT key) FROM calls") == [(6 * COUNT, 6 * COUNT)]
        assert versions(project) == ["version 2"] * COUNT
