"""The exam: which of its facts the training asked about, and what becomes of the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.commands import main
from engine.store.reader import open_reader
from tests.project import Project
from tests.test_commands_page import elements
from tests.test_graphs import assert_wrote, run
from tests.tiny import tiny_tokenizer

TURNS = [("user", "What is the training of the Army for?"), ("assistant", "It is for readiness.")]
FORMS = {
    "messages": [{"role": role, "content": text, "train": role == "assistant"} for role, text in TURNS],
    "segments": [{"role": role, "text": text, "train": role == "assistant"} for role, text in TURNS],
}


def written(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sat(root: Path, *taught: dict[str, object]) -> dict[str, list[tuple[object, ...]]]:
    """Tables of an exam on the shipped documents, whose subject was taught this."""
    values: dict[str, str] = {}
    if taught:
        values["taught"] = str(written(root / "sft.jsonl", [*taught]))
    return found(run(root, "exam", values, "dev"))


def found(root: Path) -> dict[str, list[tuple[object, ...]]]:
    reader = open_reader(root / "store.duckdb")
    return {
        "exchanges": reader.sql("SELECT text FROM exchanges").rows,
        "asked": reader.sql("SELECT DISTINCT asked FROM provenance").rows,
        "judged": reader.sql("SELECT count(*) FROM calls WHERE node = 'matched'").rows,
        "parts": reader.sql("SELECT DISTINCT part FROM accuracy ORDER BY part").rows,
        "facts": reader.sql("SELECT part, sum(n) FROM accuracy WHERE part <> 'invented' GROUP BY 1").rows,
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_fact_that_the_training_asked_about_is_told_apart(form: str, tmp_path: Path) -> None:
    tables = sat(tmp_path, {form: FORMS[form]})
    assert tables["exchanges"] == [("\n".join(f"{role}: {text}" for role, text in TURNS),)]
    assert tables["judged"][0][0] > 0  # type: ignore[operator]
    assert tables["asked"] == [(True,)]  # as the stand-in judges everything
    assert tables["parts"] == [("all facts",), ("asked",), ("invented",)]
    facts = dict(tables["facts"])  # type: ignore[arg-type]
    assert facts["asked"] == facts["all facts"]


def test_what_shares_no_word_with_the_training_was_never_asked_and_costs_no_call(tmp_path: Path) -> None:
    tables = sat(tmp_path, {"messages": [{"role": "user", "content": "Ostriches?"}]})
    assert (tables["asked"], tables["judged"]) == ([(False,)], [(0,)])
    assert tables["parts"] == [("all facts",), ("invented",), ("unasked",)]


def test_why_a_subject_gave_no_reply_stands_with_its_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no answer, and is not hidden among those who did not know."""
    made = Project(tmp_path, monkeypatch)
    tiny_tokenizer(tmp_path / "untold", ["Rain falls."])
    made.graph(
        text="""
model small from default {}
model large from default {}
model plain { provider = "transformers", start = "untold", presence_penalty = 1.0 }
use "exam.atk" as exam { limit = 4, small = small, large = large, base = plain }
emit graded from exam.marks { path = "out/graded.jsonl", format = "columns" }
"""
    )
    made.run()
    marks = made.rows("SELECT DISTINCT subject, verdict, starts_with(why, 'no reply came: ') FROM graded")
    assert ("base", "not_attempted", True) in marks
    assert ("after_sft", "correct", False) in marks
    assert {one for one in marks if one[2]} == {
        ("base", "not_attempted", True),
        ("retrieval", "not_attempted", True),
    }


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exam that knows of no training data."""
    return run(tmp_path_factory.mktemp("exam"), "exam", {}, "dev")


def test_without_the_training_data_nothing_is_claimed(bare: Path) -> None:
    assert_wrote(bare)
    tables = found(bare)
    assert (tables["asked"], tables["judged"]) == ([], [(0,)])
    assert tables["parts"] == [("all facts",), ("invented",)]


def test_the_report_counts_the_same(
    bare: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(bare)
    assert main(["report", "--json", "--store", "store.duckdb"]) == 0
    said = {(one["subject"], one["part"]): one for one in json.loads(capsys.readouterr().out)}
    reader = open_reader(bare / "store.duckdb")
    counted = reader.sql("SELECT * EXCLUDE accuracy_id FROM accuracy").dicts()
    assert {(one["subject"], one["part"]) for one in counted} == said.keys()
    for row in counted:
        told = said[row["subject"], row["part"]]
        assert {name: told[name] for name in row} == pytest.approx(row, abs=1e-6)
    for row in reader.sql("SELECT * EXCLUDE paired_id FROM paired").dicts():
        told = said[row["subject"], row["part"]]
        assert {name: told[name] for name in row} == pytest.approx(row, abs=1e-6)


def test_the_page_says_what_the_exam_cost(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bare)
    assert main(["report", "--html", "exam.html", "--store", "store.duckdb"]) == 0
    text = Path("exam.html").read_text()
    elements(text)
    costs = text.partition("<h2 id=costs>")[2]
    assert "<td>said_sft</td><td>offline</td>" in costs
    assert "<td>all</td>" in costs
    assert "<h2 id=models>" not in text
