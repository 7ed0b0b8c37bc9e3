"""What is in force: the command line over the profile, the profile over the file; and optional types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.runtime import load
from tests.endpoint import endpoint
from tests.project import Project

GRAPH = """\
param limit: int?
param votes: int = 3
param style: "plain" | "socratic" = "plain"
param inputs: path = "inputs"

model small { base_url = "http://one.invalid/v1", name = "small" }
model large { base_url = "http://two.invalid/v1", name = "large" }

profile dev { limit = 20, votes = 1, large = small }
profile grand { votes = 5, style = "socratic" }

type Document { path: str, title: str?, text: str }
type Verdict { why: str, ok: bool }

source documents -> Document[] { path = inputs }
prompt judged from documents -> Verdict {
  template = "judge"
  model    = large
  votes    = votes
  let manner = if(style == "socratic", "ask back", "answer")
  keep ok
}
"""
PROMPT = "system:\n{{ manner }} {{ style }}\n{{ schema }}\n\nuser:\n{{ text }}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "graph.atk").write_text(GRAPH, encoding="utf-8")
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "judge.md").write_text(PROMPT, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("profile", "values", "models", "wanted"),
    [
        (None, {}, {}, (None, 3, "plain", "large")),
        ("dev", {}, {}, (20, 1, "plain", "small")),
        ("grand", {}, {}, (None, 5, "socratic", "large")),
        ("dev", {"votes": "7"}, {}, (20, 7, "plain", "small")),
        ("dev", {"limit": "null"}, {}, (None, 1, "plain", "small")),
        ("dev", {}, {"large": "large"}, (20, 1, "plain", "large")),
        (None, {"limit": "1_000", "style": "socratic"}, {"large": "small"}, (1000, 3, "socratic", "small")),
    ],
)
def test_what_is_in_force(
    folder: Path,
    profile: str | None,
    values: dict[str, str],
    models: dict[str, str],
    wanted: tuple[object, ...],
) -> None:
    program = load("graph.atk", root=folder, profile=profile, values=values, models=models)
    assert program.ok, [one.message for one in program.diagnostics]
    params = {name: one.value for name, one in program.params.items()}
    node = program.nodes["judged"]
    asked = program.models[node.settings.model].model  # type: ignore[attr-defined]
    assert (params["limit"], node.settings.votes, params["style"], asked) == wanted  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"votes": "three"}, "ATK185"),
        ({"votes": "2.5"}, "ATK185"),
        ({"style": "loud"}, "ATK185"),
        ({"vote": "3"}, "ATK186"),
        ({"limit": "many"}, "ATK185"),
    ],
)
def test_values_are_of_the_declared_type(folder: Path, values: dict[str, str], code: str) -> None:
    program = load("graph.atk", root=folder, values=values)
    assert [one.code for one in program.diagnostics] == [code]


TYPED = """\
param least: float? = null
param only: ("a" | "b")? = "a"

model asked from default {}

type Item { text: str, kind: "a" | "b", score: float?, tags: str[]? }
type Found { note: str?, sort: "x" | "y", count: int?, parts: { name: str, size: int? }[] }

source items -> Item[] { path = "items.jsonl" }

prompt found from items -> Found { template = "find", model = asked }

sql few {
  query = "FROM found WHERE ($only IS NULL OR kind = $only) AND ($least IS NULL OR score >= $least)"
}

emit data from few { path = "out/data.jsonl", format = "text", column = text }
"""
ITEMS = [
    {"text": "one", "kind": "a", "score": 0.5, "tags": ["t"]},
    {"text": "two", "kind": "a", "score": None, "tags": None},
    {"text": "three", "kind": "b"},
]
REPLY = {"note": None, "sort": "y", "count": None, "parts": [{"name": "p", "size": None}]}


def test_what_may_be_absent_and_what_is_one_of_a_few_from_file_to_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with endpoint(
        rules=[{"contains": "three", "reply": {**REPLY, "sort": "z"}}, {"contains": "", "reply": REPLY}]
    ) as server:
        project = Project(tmp_path, monkeypatch, server.base_url)
        project.write("items.jsonl", "".join(json.dumps(item) + "\n" for item in ITEMS))
        project.write(
            "prompts/find.md",
            "user:\n{{ text }} {{ score if score is not none else 'none' }}\n{{ schema }}\n",
        )
        project.graph(text=TYPED)
        summary = project.run()
        sent = server.requests()[0]["body"]
    assert summary.exit_code == 1  # `z` is no `sort`: that row failed, alone
    assert project.rows(
        "SELECT text, kind, score, tags, note, sort, count, parts FROM few ORDER BY text"
    ) == [
        ("one", "a", 0.5, ["t"], None, "y", None, [{"name": "p", "size": None}]),
        ("two", "a", None, None, None, "y", None, [{"name": "p", "size": None}]),
    ]
    [(text, reason)] = project.rows("SELECT text, reason FROM failed.found")
    assert text == "three"
    assert "sort" in reason
    assert "z" in reason
    assert sent["response_format"]["json_schema"]["schema"]["properties"]["sort"]["enum"] == ["x", "y"]
    assert project.load(only="b").params["only"].value == "b"
    project.write("items.jsonl", json.dumps({"text": "x", "kind": "c"}) + "\n")
    summary = project.run()
    assert summary.exit_code == 1
    assert "`kind`" in project.rows("SELECT reason FROM failed.items")[0][0]
