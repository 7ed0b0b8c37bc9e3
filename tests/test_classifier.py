"""Classifiers: what is learnt of which rows, what is said beforehand, and the classes that are told."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.models.classifying import Classifier, NoClassifier
from engine.runtime import execute, load
from tests.project import Project
from tests.test_train import Training
from tests.tiny import tiny_model, tiny_tokenizer

ORDERS = ["check the rope", "tie the knot twice", "stop at the marker", "report to the guide"]
NOTES = ["the rope was old", "the knot held for a day", "the marker is red", "the guide came from the north"]
GRAPH = """
source marked -> {{ text: str, label: {type} }}[] {{ path = "marked.jsonl" }}
train student from marked {{
  method = "classifier"
  start = "base"
  batch = 4
  {more}
}}
{below}
"""


class Classes(Training):
    """A project with labelled texts."""

    def marked(self, rows: list[dict[str, Any]]) -> None:
        self.write("marked.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def graph_with(self, more: str = "", below: str = "", type_: str = "str?") -> None:
        self.graph(text=GRAPH.format(more=more, below=below, type=type_))

    def job(self) -> Path:
        return (self.root / "out/models/student/latest").resolve()


def labelled(count: int) -> list[dict[str, Any]]:
    """So many texts of each class, no two alike."""
    return [
        {"text": f"{one}, {at}", "label": label}
        for at in range(count)
        for label, texts in (("order", ORDERS), ("note", NOTES))
        for one in [texts[at % len(texts)]]
    ]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Classes:
    made = Classes(tmp_path, monkeypatch)
    tiny_tokenizer(made.root / "base", [*ORDERS, *NOTES] * 20)
    made.pretender()
    made.marked(labelled(10))
    made.graph_with()
    return made


def test_rows_become_tokens_with_the_number_of_their_class(project: Classes) -> None:
    import pyarrow.parquet as parquet

    summary = project.run()
    assert (summary.status, summary.errors) == ("done", [])
    asked = json.loads((project.job() / "job.json").read_text())
    assert (asked["classes"], asked["method"]) == (["note", "order"], "classifier")
    tokens = parquet.read_table(project.job() / "data/tokens.parquet").to_pylist()
    assert [row["labels"] for row in tokens].count([0]) == 10
    assert len(tokens) == 20
    assert re.match(r"15 steps on 60 texts \([\d,]+ tokens in all epochs\); 10 note, 10 order", said(summary))
    assert "⟦check the rope, 0⟧ order" in (project.job() / "report.md").read_text()
    assert project.rows("SELECT method, rows FROM student") == [("classifier", 20)]


def said(summary: Any) -> str:
    return "\n".join(note.text for note in summary.notes if note.node == "student")


def test_a_verdict_of_yes_and_no_is_a_class(project: Classes) -> None:
    project.marked([{"text": f"{text} {at}", "label": at % 2 == 0} for at, text in enumerate(ORDERS * 5)])
    project.graph_with(type_="bool")
    assert project.run().status == "done"
    assert json.loads((project.job() / "job.json").read_text())["classes"] == ["false", "true"]


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([{"text": one, "label": "order"} for one in ORDERS], "nothing to tell apart: all texts are `order`"),
        ([{"text": one, "label": None} for one in ORDERS], "nothing to tell apart: no text has a class"),
        (
            [{"text": f"{one} {at}", "label": f"{one} {at}"} for one in ORDERS for at in range(300)],
            "1,200 classes are no classes",
        ),
    ],
)
def test_what_cannot_be_told_apart_is_not_trained(
    project: Classes, rows: list[dict[str, Any]], wanted: str
) -> None:
    project.marked(rows)
    summary = project.run()
    assert summary.status == "failed"
    assert wanted in project.said(summary)
    assert project.started() == 0


def test_what_is_poor_is_said_beforehand(project: Classes) -> None:
    rows = [*labelled(10), {"text": "nobody knows", "label": "riddle"}, {"text": "", "label": "note"}]
    rows += [{"text": "rope " * 90, "label": "note"}, {"text": "a rope", "label": None}]
    project.marked(rows)
    project.graph_with("length = 32")
    summary = project.run()
    assert summary.status == "done"
    text = said(summary)
    assert "fewer than 8 texts are `riddle`: label more of them" in text
    assert re.search(r"1 texts are longer than 32 tokens and lose \d+: raise `length`", text)
    assert "2 rows are left out" in text


def test_rows_that_are_held_out_are_not_learnt_from(project: Classes) -> None:
    rows = [{**row, "split": "test" if at < 4 else "train"} for at, row in enumerate(labelled(10))]
    project.marked([*rows, {"text": "who knows", "label": "riddle", "split": "test"}])
    text = GRAPH.format(more="", below="", type="str?").replace("label: str?", "label: str?, split: str")
    project.graph(text=text)
    summary = project.run()
    assert "8 note, 8 order, 0 riddle" in said(summary)
    assert "no text is `riddle` but held-out ones: it will never be told" in said(summary)
    assert project.rows("SELECT rows FROM student") == [(16,)]
    assert (project.job() / "data/held_out.parquet").exists()


@pytest.mark.parametrize(
    ("using", "wanted"),
    [
        ('"base"', "is no classifier: it does not say what it is"),
        ('"nowhere/at/all"', "there is no model at nowhere/at/all"),
    ],
)
def test_a_folder_that_tells_no_classes(project: Classes, using: str, wanted: str) -> None:
    project.graph_with(below=f"classify told from marked {{ using = {using} }}")
    summary = project.run()
    assert summary.status == "failed"
    assert wanted in project.said(summary)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ("{", "its config.json cannot be read"),
        ("[]", "its config.json cannot be read"),
        (None, "its config.json: No such file or directory"),
        ('{"architectures": ["LlamaForCausalLM"]}', "is no classifier: it is a LlamaForCausalLM"),
    ],
)
def test_what_a_folder_says_of_itself_is_read_before_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str | None, wanted: str
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(NoClassifier) as told:
        Classifier(str(tmp_path))
    assert wanted in told.value.message


# -- with the real trainer -----------------------------------------------------------------------------

TELLS = """
source unseen -> { text: str }[] { path = "unseen.jsonl" }
classify told from unseen { using = student, into = "sort" }
sql sure { query = "SELECT told_id, text, sort FROM told WHERE score > 0.6" }
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_classifier_tells_texts_that_it_never_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    project = Classes(tmp_path, monkeypatch)
    tiny_model(project.root / "base", [*ORDERS, *NOTES] * 20)
    project.marked(labelled(40))
    unseen = [*(f"{one}, 77" for one in ORDERS), *(f"{one}, 78" for one in NOTES), "  "]
    project.write("unseen.jsonl", "".join(json.dumps({"text": one}) + "\n" for one in unseen))
    project.graph_with("epochs = 6\n  learning_rate = 0.01\n  lora = { r: 8 }", TELLS)
    summary = project.run()
    assert [message for message, _ in summary.errors] == []
    told = dict(project.rows("SELECT text, sort FROM told"))
    assert told == {text: "order" if text.partition(",")[0] in ORDERS else "note" for text in unseen[:-1]}
    assert project.rows("SELECT reason FROM failed.told") == [("there is no text to tell the class of",)]
    for scores, score, sort in project.rows("SELECT scores, score, sort FROM told"):
        assert sum(one["score"] for one in scores) == pytest.approx(1)
        assert (scores[0]["label"], scores[0]["score"]) == (sort, score)
    again = project.run()
    assert {one.state for one in again.progress.values()} <= {"unchanged", "done"}
    assert again.progress["student"].state == again.progress["sure"].state == "unchanged"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_shipped_graph_goes_its_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, on a manual: rounds with a training in each, nothing that is compared with is learnt from."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    project = Project(tmp_path, monkeypatch)
    graphs = Path(__file__).parents[1] / "graphs"
    text = "".join(path.read_text() for path in sorted((graphs / "documents").glob("*.txt")))
    tiny_model(project.root / "base", [text[at : at + 500] for at in range(0, 60_000, 500)])
    values = {"base": "base", "inputs": str(graphs / "documents"), "rounds": "2"}
    program = load(str(graphs / "classifier.atk"), values=values, profile="dev", root=project.root)
    summary = asyncio.run(execute(program, project.options))
    assert [message for message, _ in summary.errors] == []
    both = "SELECT count(*) FROM labelled WHERE text IN (SELECT text FROM compared)"
    assert project.rows(both) == [(0,)]
    rows = {name: one.rows for name, one in summary.progress.items()}
    assert (rows["labelled"], rows["predictions"], rows["exam"]) == (16 + 2 * 6, 40, 10)
    assert project.rows("SELECT count(DISTINCT text) FROM labelled") == [(28,)]
    lines = (project.root / "out/classifier/predictions.jsonl").read_text().splitlines()
    assert set(json.loads(lines[0])) == {"text", "predicted", "score"}
