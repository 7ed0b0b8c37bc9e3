"""Replies that are not as wanted, and endpoints that do not answer: what the author sees of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.endpoint import Endpoint, endpoint
from tests.project import DOCUMENTS, Project

GOOD = {"why": "facts", "ok": True}
PAIRS = {"items": [{"question": "What is it?", "answer": "It is."}]}


@pytest.fixture
def server() -> Any:
    with endpoint(p_true=1.0) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    return Project(tmp_path, monkeypatch, server.base_url)


def test_broken_type_is_asked_again_with_the_message(server: Endpoint, project: Project) -> None:
    server.config(
        rules=[{"contains": "worth.*cumulus", "reply": {"why": "facts", "ok": "perhaps"}, "times": 1}]
    )
    assert project.run().status == "done"
    assert len(project.table("worthy", "path")) == len(DOCUMENTS)
    asked_again = [
        request["body"]["messages"][-1]["content"]
        for request in server.requests()
        if "cannot be used" in str(request["body"]["messages"])
    ]
    assert len(asked_again) == 1
    assert "ok" in asked_again[0]
    assert "perhaps" in asked_again[0]
    assert project.rows("SELECT count(*) FROM calls WHERE attempt = 1") == [(1,)]


def test_reply_that_stays_wrong_fails_its_row_alone(server: Endpoint, project: Project) -> None:
    server.config(rules=[{"contains": "worth.*cumulus", "reply": "I would rather not say."}])
    summary = project.run()
    assert summary.status == "failed"
    assert summary.exit_code == 1
    assert project.table("worthy", "path") == [("rain.txt",), ("wind.txt",)]
    [(path, reason)] = project.rows("SELECT path, reason FROM failed.worthy")
    assert path == "clouds.txt"
    assert "JSON" in reason
    assert "3 times" in reason


def test_failed_row_is_remembered_and_asked_again_when_its_budget_is_raised(
    server: Endpoint, project: Project
) -> None:
    server.config(rules=[{"contains": "two questions.*cumulus", "reply": "no JSON here"}])
    project.graph(retries=1)
    project.run()
    server.reset()
    assert project.run().status == "failed"
    assert server.stats()["calls"] == 0
    project.graph(retries=2)
    project.run()
    assert server.stats()["calls"] == 1


def test_cut_reply_is_a_failure_with_that_reason(server: Endpoint, project: Project) -> None:
    server.config(rules=[{"contains": "worth.*cumulus", "reply": GOOD, "finish": "length"}])
    assert project.run().exit_code == 1
    [(reason,)] = project.rows("SELECT reason FROM failed.worthy")
    assert "cut off" in reason


def test_prose_around_json_is_read(server: Endpoint, project: Project) -> None:
    server.config(
        rules=[
            {
                "contains": "worth a",
                "reply": 'Gladly! Here it is:\n```json\n{"why": "facts", "ok": true}\n```\nShall I go on?',
            }
        ]
    )
    assert project.run().status == "done"
    assert project.table("worthy", "why", "ok") == [("facts", True)] * 3
    assert project.rows("SELECT count(*) FROM calls WHERE attempt > 0") == [(0,)]


def test_refusal_is_not_asked_again(server: Endpoint, project: Project) -> None:
    server.config(rules=[{"contains": "worth.*cumulus", "reply": GOOD, "finish": "content_filter"}])
    assert project.run().exit_code == 1
    [(reason,)] = project.rows("SELECT reason FROM failed.worthy")
    assert reason.startswith("refused")
    assert project.rows("SELECT count(*) FROM calls WHERE status = 'refused'") == [(1,)]
    server.reset()
    project.run()
    assert server.stats()["calls"] == 0


def test_check_speaks_to_the_model_and_then_sets_the_spoilt_items_aside(
    server: Endpoint, project: Project
) -> None:
    project.graph(
        text=(project.root / "graph.atk")
        .read_text()
        .replace(
            "retries = 2 }", 'retries = 1, check ends_with(question, "?") else "a question ends with ?" }'
        )
    )
    items = [{"question": "What rises?", "answer": "Air."}, {"question": "Tell me", "answer": "No."}]
    server.config(rules=[{"contains": "two questions", "reply": {"items": items}}])
    summary = project.run()
    assert summary.exit_code == 1
    assert project.table("drafted", "question") == [("What rises?",)] * 3
    assert project.rows("SELECT DISTINCT question, reason FROM failed.drafted") == [
        ("Tell me", "a question ends with ?")
    ]
    said = [str(request["body"]["messages"]) for request in server.requests()]
    assert sum("item 2: a question ends with ?" in text for text in said) == 3


def test_thoughts_are_kept_apart(server: Endpoint, project: Project) -> None:
    server.config(reasoning=1.0)
    assert project.run().status == "done"
    assert project.rows("SELECT count(*) FROM calls WHERE thoughts IS NULL OR thoughts = ''") == [(0,)]


@pytest.mark.usefixtures("short_pauses")
def test_dead_endpoint_is_one_clear_message(project: Project, server: Endpoint) -> None:
    server.stop()
    summary = project.run()
    assert summary.exit_code == 1
    assert summary.crashes == []
    assert any("127.0.0.1" in message for message, _ in summary.errors) or project.rows(
        "SELECT count(*) FROM failed.worthy WHERE reason LIKE '%127.0.0.1%'"
    ) == [(3,)]


@pytest.mark.usefixtures("short_pauses")
def test_rows_that_a_dead_endpoint_failed_are_done_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with endpoint(p_true=1.0) as first:
        project = Project(tmp_path, monkeypatch, first.base_url)
        port = first.port
        first.stop()
        assert project.run().exit_code == 1
        assert len(project.rows("FROM failed.worthy")) == 3
    with endpoint(port=port, p_true=1.0) as second:
        assert project.run().status == "done"
        assert second.stats()["calls"] == 6
    assert project.rows("FROM failed.worthy") == []
    assert len(project.table("worthy", "path")) == 3


def test_wrong_key_stops_the_node_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(key="right") as server:
        project = Project(tmp_path, monkeypatch, server.base_url)
        monkeypatch.setenv("ATK_API_KEY", "wrong-key-of-mine")
        for number in range(300):
            project.write(f"inputs/{number}.txt", f"Passage number {number} says that {number} is a number.")
        summary = project.run()
        assert summary.exit_code == 1
        assert server.stats()["calls"] < 100
        [(message, _)] = summary.errors
        assert "ATK_API_KEY" in message
        assert "wrong-key-of-mine" not in str(summary.as_dict())


def test_votes_stop_as_soon_as_they_are_decided(server: Endpoint, project: Project) -> None:
    project.write("prompts/check.md", "system:\nIs it right?\n{{ schema }}\n\nuser:\n{{ question }}\n")
    project.graph(
        'prompt checked from drafted -> Verdict { template = "check", model = asked, votes = 3, keep ok }'
    )
    server.config(
        rules=[{"contains": "two questions", "reply": PAIRS}, {"contains": "Is it right", "reply": GOOD}]
    )
    project.run()
    assert project.rows(
        "SELECT node, sample, count(*) FROM calls WHERE node = 'checked' GROUP BY ALL ORDER BY ALL"
    ) == [("checked", 0, 1), ("checked", 1, 1)]  # three equal pairs: asked once, twice voted
    assert project.rows("SELECT len(checked_votes) FROM checked") == [(2,)] * 3


def test_repair_rewrites_what_the_judges_refuse(server: Endpoint, project: Project) -> None:
    project.write(
        "prompts/check.md", "system:\nIs it right?\n{{ schema }}\n\nuser:\n{{ question }} {{ answer }}\n"
    )
    project.write(
        "prompts/mend.md", "system:\nMend it.\n{{ schema }}\n\nuser:\n{{ question }} {{ answer }} {{ why }}\n"
    )
    project.graph(
        'prompt checked from drafted -> Verdict { template = "check", model = asked, votes = 3, keep ok\n'
        '  repair -> QA { template = "mend", rounds = 2 } }'
    )
    server.config(
        rules=[
            {"contains": "two questions", "reply": PAIRS},
            {"contains": "Mend it.*It is.", "reply": {"question": "What is it?", "answer": "A cloud."}},
            {"contains": "Is it right.*A cloud", "reply": GOOD},
            {"contains": "Is it right", "reply": {"why": "too short", "ok": False}},
        ]
    )
    assert project.run().status == "done"
    assert set(project.table("checked", "question", "answer", "ok", "checked_repairs")) == {
        ("What is it?", "A cloud.", True, 1)
    }
    assert project.rows("FROM rejected.checked") == []
    assert project.rows("SELECT count(*) FROM calls WHERE role = 'repair'") == [(1,)]


def test_what_cannot_be_repaired_is_rejected_with_its_reason(server: Endpoint, project: Project) -> None:
    project.write(
        "prompts/check.md", "system:\nIs it right?\n{{ schema }}\n\nuser:\n{{ question }} {{ answer }}\n"
    )
    project.write("prompts/mend.md", "system:\nMend it.\n{{ schema }}\n\nuser:\n{{ question }} {{ why }}\n")
    project.graph(
        'prompt checked from drafted -> Verdict { template = "check", model = asked\n'
        '  keep ok else "refused by the judge"\n'
        '  repair -> QA { template = "mend" } }'
    )
    server.config(rules=[{"contains": "Is it right", "reply": {"why": "no", "ok": False}}])
    summary = project.run()
    assert summary.status == "done"
    assert project.rows("FROM checked") == []
    assert {reason for (reason,) in project.rows("SELECT reason FROM rejected.checked")} == {
        "refused by the judge"
    }
    assert {repairs for (repairs,) in project.rows("SELECT checked_repairs FROM rejected.checked")} == {1}


def test_expectation_stops_the_run_before_anything_is_written(server: Endpoint, project: Project) -> None:
    project.graph(
        'emit sft from drafted { path = "out/sft.jsonl", format = "prompt_completion"\n'
        '  expect count(*) > 1_000 else "too few" }'
    )
    summary = project.run()
    assert summary.status == "expectation"
    assert summary.exit_code == 3
    assert "too few" in summary.errors[0][0]
    assert not list((project.root).glob("out/**/*.jsonl"))


def test_skipped_rows_cost_nothing(server: Endpoint, project: Project) -> None:
    project.graph(
        text=(project.root / "graph.atk")
        .read_text()
        .replace(
            "model = asked, keep ok }",
            "model = asked, where contains(text, 'cloud'), keep ok }".replace("'", '"'),
        )
    )
    assert project.run().status == "done"
    assert project.table("worthy", "path") == [("clouds.txt",), ("rain.txt",)]
    assert server.stats()["by_model"]["mock"] == 4


def test_fail_fast_and_the_breaker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(rules=[{"contains": "worth a", "reply": "never JSON"}]) as server:
        project = Project(tmp_path, monkeypatch, server.base_url)
        for number in range(200):
            project.write(f"inputs/{number}.txt", f"Passage number {number} says that {number} is a number.")
        project.graph(
            text=(project.root / "graph.atk").read_text().replace("temperature = 0.5", "parallel = 4")
        )
        summary = project.run()
        assert summary.exit_code == 1
        assert "stopped itself" in summary.errors[0][0]
        assert server.stats()["calls"] < 3 * 150  # 64 rows were in work; 203 wait for a better prompt


def test_a_file_that_may_be_read_again_is_read(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave to read it changes neither its size nor its time."""
    locked = project.root / "inputs/rain.txt"
    access, opened = os.access, Path.read_bytes

    def denied(path: Path) -> bytes:
        if Path(path).name == locked.name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "access", lambda path, mode: Path(path) != locked and access(path, mode))
        patched.setattr(Path, "read_bytes", denied)
        assert project.run().status == "failed"
        assert project.rows("SELECT count(*) FROM failed.documents") == [(1,)]
    assert project.run().status == "done"
    assert len(project.table("worthy", "path")) == len(DOCUMENTS)
