"""`sample`: the same rows each time, whatever else comes and in whatever order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.project import Project

GRAPH = """
source words -> { text: str }[] { path = "words.jsonl" }
prompt few from words -> { answer: str } { template = "ask", model = default, sample = 10 }
prompt share from words -> { answer: str } { template = "ask", model = default, sample = 0.25 }
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path, monkeypatch)
    project.write("prompts/ask.md", "user:\n{{ text }}\n")
    project.graph(text=GRAPH)
    return project


def chosen(project: Project, words: list[int]) -> tuple[set[int], set[int]]:
    lines = "".join(json.dumps({"text": f"Sentence {word} says something."}) + "\n" for word in words)
    project.write("words.jsonl", lines)
    assert project.run().status == "done"
    few, share = (project.rows(f"SELECT text FROM {table}") for table in ("few", "share"))
    return {int(text.split()[1]) for (text,) in few}, {int(text.split()[1]) for (text,) in share}


def test_rows_are_drawn_by_hash(project: Project) -> None:
    words = list(range(200))
    few, share = chosen(project, words)
    assert len(few) == 10
    assert 25 <= len(share) <= 75  # a quarter of 200, give or take chance
    assert chosen(project, words[::-1]) == (few, share)
    few_more, share_more = chosen(project, [*range(300, 340), *words])
    assert share == {word for word in share_more if word < 200}
    assert len(few_more) == 10
    assert {word for word in few_more if word < 200} <= few  # a new row may take a place, no more
    assert chosen(project, words) == (few, share)
