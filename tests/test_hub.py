"""`source { hub = … }`: data sets by name. A folder stands for one: nothing beyond this machine is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.data import hub
from tests.project import Project

ROWS = [
    {"question": f"What is {number}?", "answer": f"It is {number}.", "more": number} for number in range(30)
]
GRAPH = """
source pairs -> {{ question: str, answer: str }}[] {{ hub = "{name}"{more} }}
emit out from pairs {{ path = "out.jsonl", format = "prompt_completion" }}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    made = Project(tmp_path, monkeypatch)
    for split in ("train", "test"):
        rows = ROWS if split == "train" else ROWS[:4]
        made.write(f"data/{split}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return made


def graph(project: Project, more: str = "", name: str | None = None) -> None:
    project.graph(text=GRAPH.format(name=name or project.root / "data", more=more))


def test_rows_of_a_data_set(project: Project) -> None:
    graph(project)
    assert project.run().status == "done"
    assert project.rows("SELECT count(*), min(question) FROM pairs") == [(30, "What is 0?")]
    assert len((project.root / "out.jsonl").read_text().splitlines()) == 30
    assert project.run().progress["pairs"].state == "unchanged"


def test_a_split_and_a_sample_of_it(project: Project) -> None:
    graph(project, ', split = "test"')
    assert project.run().status == "done"
    assert project.rows("SELECT count(*) FROM pairs") == [(4,)]
    graph(project, ", limit = 5")
    assert project.run().status == "done"
    assert project.rows("SELECT count(*) FROM pairs") == [(5,)]


@pytest.mark.parametrize(
    ("more", "name", "said"),
    [
        (', split = "none"', None, "none"),
        ("", "nobody/nothing", "`pairs`: nobody/nothing (train) cannot be read"),
    ],
)
def test_one_that_cannot_be_read_is_one_message(
    more: str, name: str | None, said: str, project: Project
) -> None:
    graph(project, more, name)
    summary = project.run()
    assert summary.status == "failed"
    (message, help), *rest = summary.errors
    assert rest == []
    assert said in message
    assert "\n" not in message
    assert help
    assert summary.crashes == []


def test_rows_that_lack_a_column_say_so(project: Project) -> None:
    source = GRAPH.format(name=project.root / "data", more="").partition("emit")[0]
    project.graph(text=source.replace("answer: str", "reply: str"))
    summary = project.run()
    assert summary.status == "failed"
    assert "has no column `reply`; its rows have `answer`, `more`, `question`" in summary.errors[0][0]


def test_without_the_package_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("datasets"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(hub.HubProblem) as problem:
        list(hub.rows(hub.Part("a/b")))
    assert problem.value.help == "pip install 'atk[data]'"
