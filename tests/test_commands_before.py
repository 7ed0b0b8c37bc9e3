"""What stands before a run: a price to agree to, a store that is held; and the events of one."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.commands import main
from engine.store.store import Store
from tests.endpoint import endpoint
from tests.project import Project
from tests.test_killed_runs import ROOT

PRICED = "temperature = 0.5, price = { input: 100, output: 100 }"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ATK_ASK_ABOVE", raising=False)
    return Project(tmp_path, monkeypatch)


def asked_of(project: Project, monkeypatch: pytest.MonkeyPatch, base_url: str, settings: str) -> None:
    monkeypatch.setenv("ATK_BASE_URL", base_url)
    monkeypatch.setenv("ATK_MODEL", "mock")
    text = (project.root / "graph.atk").read_text()
    project.graph(text=text.replace("temperature = 0.5", settings))


def calls(project: Project) -> int:
    return int(project.rows("SELECT count(*) FROM calls")[0][0]) if project.options.store.exists() else 0


# -- a price --------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["option", "environment"])
def test_above_the_price_nothing_is_asked_unless_somebody_agrees(
    by: str, project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--ask-above", "0.001"] if by == "option" else []
    if by == "environment":
        monkeypatch.setenv("ATK_ASK_ABOVE", "0.001")
    with endpoint() as server:
        asked_of(project, monkeypatch, server.base_url, PRICED)
        assert main(["exec", "graph.atk", "-q", *given]) == 1
        said = capsys.readouterr().err
        assert "error: graph would take ~ " in said
        assert "you wish to be asked above $0.001" in said
        assert "help: --yes agrees to it" in said
        assert server.stats()["calls"] == 0
        assert main(["exec", "graph.atk", "-q", *given, "--yes"]) == 0
        assert server.stats()["calls"] > 0
        capsys.readouterr()
        assert main(["exec", "graph.atk", "-q", *given]) == 0  # warm: nothing to pay
        assert "would take" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "environment", "said"),
    [
        ([], None, "the graph wishes you to be asked above $0.001"),
        (["--ask-above", "50"], None, None),
        (["--profile", "cheap"], None, "you wish to be asked above $0.0005"),
        (["-p", "ask_above=50"], None, None),
        ([], "50", None),  # the user's word for all runs stands above a graph's
        (["--ask-above", "0.002"], "50", "you wish to be asked above $0.002"),
        (["-p", "ask_above=50", "--ask-above", "0.002"], None, "you wish to be asked above $0.002"),
    ],
)
def test_a_graph_says_it_and_the_command_line_wins(
    given: list[str],
    environment: str | None,
    said: str | None,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if environment is not None:
        monkeypatch.setenv("ATK_ASK_ABOVE", environment)
    with endpoint() as server:
        asked_of(project, monkeypatch, server.base_url, PRICED)
        text = (project.root / "graph.atk").read_text()
        project.graph(text=f"param ask_above: float? = 0.001\nprofile cheap {{ ask_above = 0.0005 }}\n{text}")
        code = main(["exec", "graph.atk", "-q", *given])
        told = capsys.readouterr().err
        if said is None:
            assert (code, "to be asked" in told) == (0, False)
        else:
            assert code == 1
            assert said in told
        assert (server.stats()["calls"] > 0) is (said is None)


def test_the_price_to_ask_at_decides_no_row(project: Project) -> None:
    text = (project.root / "graph.atk").read_text()
    assert project.run().calls > 0
    project.graph(text=f"param ask_above: int = 3\n{text}")
    summary = project.run()
    assert {one.state for one in summary.progress.values()} == {"unchanged"}


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1)])
def test_on_a_terminal_it_asks(
    answer: str,
    code: int,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with endpoint() as server:
        asked_of(project, monkeypatch, server.base_url, PRICED)
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert main(["exec", "graph.atk", "-q", "--ask-above", "0.001"]) == code
        said = capsys.readouterr().err
        assert "price: graph would take ~ " in said
        assert (server.stats()["calls"] > 0) is (code == 0)
        assert ("error: nothing was asked" in said) is (code == 1)


def test_below_the_price_it_runs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint() as server:
        asked_of(project, monkeypatch, server.base_url, PRICED)
        assert main(["exec", "graph.atk", "-q", "--ask-above", "50"]) == 0


def test_what_answers_here_is_free_and_what_answers_elsewhere_is_not_known_to_be(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["exec", "graph.atk", "-q", "--ask-above", "0"]) == 0  # the offline stand-in
    asked_of(project, monkeypatch, "http://models.invalid/v1", "temperature = 0.5")
    project.write("prompts/worthy.md", "system:\nIs it?\n{{ schema }}\n\nuser:\n{{ text }}\n")
    capsys.readouterr()
    assert main(["exec", "graph.atk", "-q", "--ask-above", "5"]) == 1
    said = capsys.readouterr().err
    assert "without what asked costs, for which no price is set" in said


# -- a store that is held ---------------------------------------------------------------------


def waiting(project: Project, verb: str, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "engine.commands", verb, "graph.atk", *more],
        cwd=project.root,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("verb", ["exec", "plan"])
def test_it_waits_for_whoever_holds_the_store(verb: str, project: Project) -> None:
    with Store.open(project.options.store):
        refused = waiting(project, verb)
        _, said = refused.communicate(timeout=60)
        assert refused.returncode == 1
        assert "is writing to the store" in said
        assert "--wait waits for it" in said
        process = waiting(project, verb, "--wait")
        assert process.stderr is not None
        line = process.stderr.readline()
        while not line.startswith("waiting: "):
            assert line, "it ended"
            line = process.stderr.readline()
        assert "is writing to the store" in line
        time.sleep(0.6)  # it has looked again
        assert process.poll() is None
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert "waiting" not in said  # told once


# -- events -------------------------------------------------------------------------------


def told(project: Project) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (project.root / "events.jsonl").read_text().splitlines()]


def test_events_say_what_happened(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [{"contains": "friction", "status": 400, "message": "sk-secret says no"}]
    with endpoint(p_true=1.0, rules=rules) as server:
        asked_of(project, monkeypatch, server.base_url, PRICED)
        project.graph(
            text=(project.root / "graph.atk").read_text()
            + 'emit out from drafted { path = "out.jsonl", format = "prompt_completion" }\n'
        )
        monkeypatch.setenv("ATK_API_KEY", "sk-of-mine")
        assert main(["exec", "graph.atk", "-q", "--events", "events.jsonl"]) == 1
    events = told(project)
    assert events[0]["event"] == "started"
    assert events[0]["run"] == 1
    assert {one["name"] for one in events[0]["nodes"]} >= {"documents", "drafted"}
    assert events[-1]["event"] == "ended"
    assert events[-1]["status"] == "failed"
    asked = [one for one in events if one["event"] == "call"]
    assert len(asked) == calls(project) == events[-1]["calls"]
    assert sum(one["cost"] for one in asked) == pytest.approx(events[-1]["cost"])
    rows = project.rows("SELECT node, replace(\"row\"::VARCHAR, '-', ''), status FROM calls")
    assert sorted((one["node"], one["row"], one["status"]) for one in asked) == sorted(rows)
    failed = [one for one in events if one["event"] == "failed"]
    assert len(failed) == events[-1]["nodes"]["worthy"]["failed"] == 1
    states = [one["state"] for one in events if one["event"] == "node" and one["node"] == "worthy"]
    assert states[0] == "running"
    assert len(states) == len(set(states))
    wrote = [one for one in events if one["event"] == "wrote"]
    assert [one["node"] for one in wrote] == ["out"]
    text = (project.root / "events.jsonl").read_text()
    assert "sk-of-mine" not in text
    assert "cumulus" not in text.casefold()  # no prompt and no reply


def test_events_are_appended(project: Project) -> None:
    for _ in range(2):
        assert main(["exec", "graph.atk", "-q", "--events", "events.jsonl"]) == 0
    assert [one["run"] for one in told(project) if one["event"] == "started"] == [1, 2]


def test_a_run_that_cannot_begin_has_ended_too(project: Project) -> None:
    project.options.store.parent.mkdir()
    project.options.store.write_bytes(b"no store" * 1000)
    assert main(["exec", "graph.atk", "-q", "--events", "events.jsonl"]) == 1
    assert [one["event"] for one in told(project)] == ["ended"]
    assert "is not a DuckDB database" in told(project)[0]["errors"][0]


def test_a_file_that_cannot_be_written_is_told_before_anything_is_asked(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["exec", "graph.atk", "-q", "--events", "nowhere/events.jsonl"]) == 2
    assert "--events cannot write nowhere/events.jsonl: no such file" in capsys.readouterr().err
    assert calls(project) == 0
