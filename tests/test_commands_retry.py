"""`atk retry`: what failed for good is asked for again, and nothing else; what was paid stays told."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.commands import main
from tests.endpoint import Endpoint, endpoint
from tests.project import Project

BAD = [
    {"contains": "worth.*cumulus", "reply": "I would rather not say."},
    {"contains": "two questions.*droplets", "reply": "no JSON here"},
]


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with endpoint(p_true=1.0) as started:
        yield started


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, server: Endpoint) -> Project:
    """A run in which a row of `worthy` and a row of `drafted` failed for good."""
    with pytest.MonkeyPatch.context() as patch:
        made = Project(tmp_path_factory.mktemp("failed"), patch, server.base_url)
        text = (made.root / "graph.atk").read_text()
        priced = "temperature = 0.5, price = { input: 1, output: 1 }"
        made.graph(text=text.replace("temperature = 0.5", priced))
        server.config(rules=BAD)
        assert made.run().status == "failed"
        server.reset()
        assert made.run().status == "failed"
        assert server.stats()["calls"] == 0  # they failed for good: no run asks again
        return made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint, ran: Project) -> Project:
    monkeypatch.chdir(tmp_path)
    made = Project(tmp_path, monkeypatch, server.base_url)
    made.take(ran)
    server.reset(rules=BAD)
    return made


def failed(project: Project, node: str) -> list[str]:
    return [path for (path,) in project.rows(f"SELECT path FROM failed.{node}")]


def test_only_what_failed_is_asked_again(
    project: Project, server: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    paid = project.rows("SELECT count(*), sum(cost), count(DISTINCT key) FROM calls")[0]
    server.config(rules=[])
    assert main(["retry", "graph.atk", "-q", "--yes"]) == 0
    said = capsys.readouterr().err
    assert "2 rows to decide anew" in said
    assert failed(project, "worthy") == failed(project, "drafted") == []
    assert project.rows("SELECT count(*) FROM worthy") == [(3,)]
    asked = server.stats()["calls"]
    assert asked == 3  # the row of worthy, the questions that come of it, the row of drafted
    after = project.rows("SELECT count(*), sum(cost), count(DISTINCT key) FROM calls")[0]
    assert after[0] == paid[0] + asked
    assert after[1] > paid[1]
    server.reset()
    assert main(["exec", "graph.atk", "-q"]) == 0
    assert server.stats()["calls"] == 0


def test_what_fails_again_has_failed_for_good_again(project: Project, server: Endpoint) -> None:
    server.config(rules=BAD)
    assert main(["retry", "graph.atk", "-q", "--yes"]) == 1
    assert server.stats()["calls"] == 6  # each three times, as `retries` says
    assert failed(project, "worthy") == ["clouds.txt"]
    server.reset()
    assert project.run().status == "failed"
    assert server.stats()["calls"] == 0


def test_one_node_alone(project: Project, server: Endpoint) -> None:
    server.config(rules=[])
    main(["retry", "graph.atk", "-q", "--yes", "-s", "drafted"])
    assert failed(project, "worthy") == ["clouds.txt"]
    assert failed(project, "drafted") == []
    assert server.stats()["calls"] == 1


def test_a_dry_run_tells_and_changes_nothing(
    project: Project, server: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["retry", "graph.atk", "--dry-run"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0].split() == ["failed", "for", "good", "rows", "calls", "they", "cost"]
    assert [line.split()[:3] for line in said[1:3]] == [["drafted", "1", "3"], ["worthy", "1", "3"]]
    assert all(line.split()[3].startswith("$0.0") for line in said[1:3])
    assert said[3] == "2 rows to decide anew"
    assert project.run().status == "failed"
    assert server.stats()["calls"] == 0


def test_somebody_may_say_no(project: Project, server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert main(["retry", "graph.atk", "-q"]) == 1
    assert project.run().status == "failed"
    assert server.stats()["calls"] == 0


def test_a_row_that_was_edited_back_is_not_taken_from_memory(project: Project, server: Endpoint) -> None:
    """Its earlier failure lies under the same key, and is no answer any more."""
    text = (project.root / "inputs" / "clouds.txt").read_text()
    project.write("inputs/clouds.txt", "Something else stands here for a while. It is long enough.")
    server.config(rules=[])
    project.run()
    project.write("inputs/clouds.txt", text)
    project.run()
    assert failed(project, "worthy") == ["clouds.txt"]  # remembered
    assert main(["retry", "graph.atk", "-q", "--yes"]) == 0
    assert failed(project, "worthy") == []


def test_without_failures_there_is_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path, monkeypatch)
    assert main(["retry", "graph.atk"]) == 2  # no store yet
    assert "there is no store" in capsys.readouterr().err
    project.run()
    assert main(["retry", "graph.atk"]) == 0
    assert "no row has failed for good" in capsys.readouterr().err
