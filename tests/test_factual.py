"""The worked example on three whole manuals, with chapters of 200,000 characters on one line."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from engine.runtime import execute, load
from engine.runtime.engine import Options
from engine.store import open_reader
from engine.store.lineage import why
from tests.amount import amount
from tests.project import Project

MANUALS = sorted((Path(__file__).parent / "data" / "manuals").iterdir())
LENGTH = amount(1_000_000, 45_000)  # of a manual, in letters: all of it, or its beginning
SIZE = amount(2_000, 800)


class Run:
    """One run of `factual` over the manuals; every test looks at its tables."""

    def __init__(self, root: Path):
        self.root, self.inputs = root, root / "manuals"
        if not self.inputs.exists():
            self.inputs.mkdir()
            for path in MANUALS:
                text = path.read_text(encoding="utf-8")[:LENGTH]
                (self.inputs / path.name).write_text(text, encoding="utf-8")
        values = {"domain": "Army training", "inputs": str(self.inputs), "size": str(SIZE)}
        program = load("factual", values=values, root=root)
        assert program.ok, [entry.message for entry in program.diagnostics]
        self.options = Options(root=root, store=root / ".atk" / "store.duckdb", out=root)
        self.summary = asyncio.run(execute(program, self.options))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return Project.rows(self, query)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ATK_BASE_URL", "ATK_MODEL", "ATK_API_KEY", "OPENAI_API_KEY"):
            patch.delenv(name, raising=False)
        return Run(tmp_path_factory.mktemp("factual"))


def test_it_ends_well(run: Run) -> None:
    assert run.summary.status == "done", run.summary.errors
    assert run.summary.crashes == []


def test_every_document_is_read_once(run: Run) -> None:
    found = run.rows("SELECT path, count(*), any_value(text) FROM documents GROUP BY path")
    assert {(path, number) for path, number, _ in found} == {(path.name, 1) for path in MANUALS}
    for path, _, text in found:
        assert text == (run.inputs / path).read_text(encoding="utf-8")


def test_passages_give_their_document_back(run: Run) -> None:
    together = run.rows(
        "SELECT d.text = string_agg(p.text, '' ORDER BY p.start) FROM documents d "
        "JOIN passages p USING (documents_id) GROUP BY documents_id, d.text"
    )
    assert together == [(True,)] * len(MANUALS)


def test_passages_fit_and_point_to_their_place(run: Run) -> None:
    assert run.rows(f"SELECT count(*) FROM passages WHERE tokens > {SIZE}") == [(0,)]
    assert run.rows(
        "SELECT count(*) FROM passages p JOIN documents d USING (documents_id) "
        "WHERE substring(d.text, p.start + 1, p.stop - p.start) <> p.text"
    ) == [(0,)]
    assert run.rows(
        "SELECT count(*) FROM (SELECT documents_id, start FROM passages GROUP BY ALL HAVING count(*) > 1)"
    ) == [(0,)]


def test_every_question_leads_back_to_one_passage(run: Run) -> None:
    assert run.rows(
        "SELECT count(*) FROM unique_pairs q LEFT JOIN passages p USING (passages_id) "
        "WHERE p.text IS DISTINCT FROM q.text AND q.cited IS NULL"
    ) == [(0,)]
    assert run.rows("SELECT count(*) > 50 FROM unique_pairs") == [(True,)]
    assert run.rows("SELECT count(*) = count(DISTINCT question) FROM unique_pairs") == [(True,)]


def test_what_is_asked_across_passages_cites_those_it_was_drawn_from(run: Run) -> None:
    """Two passages at least, none twice, each by its id and with words of it; no others were judged by."""
    asked = run.rows("SELECT used, cited, text FROM unique_pairs WHERE cited IS NOT NULL")
    passages = {str(one): text for one, text in run.rows("SELECT passages_id, text FROM passages")}
    assert len(asked) > 10
    for used, cited, text in asked:
        ids = [one["id"] for one in cited]
        assert len(set(ids)) == len(ids) == len(used) >= 2
        assert all(one["text"] in passages[one["id"]] for one in cited)
        assert all(one["text"] in text for one in cited)
        assert len(text) < sum(len(one["text"]) + 200 for one in cited)
    across = run.rows("SELECT count(*) FROM related WHERE len(list_distinct([p.path FOR p IN parts])) > 1")
    assert across > [(5,)]


def test_half_of_the_tokens_are_conversations_of_several_turns(run: Run) -> None:
    single = "sum(tokens) FILTER (origin = 'single_turn') / sum(tokens)"
    assert run.rows(f"SELECT {single} BETWEEN 0.45 AND 0.55 FROM blend") == [(True,)]
    assert run.rows("SELECT max(len(messages)), min(len(messages)) FROM conversations")[0] > (5, 3)
    assert run.rows("SELECT DISTINCT len(messages) FROM single_turn") == [(3,)]


def test_conversations_take_turns(run: Run) -> None:
    for (messages,) in run.rows("SELECT messages FROM blend"):
        roles = [message["role"] for message in messages]
        assert roles[0] == "system"
        assert roles[1:] == ["user", "assistant"] * (len(roles) // 2)
        assert all(message["content"].strip() for message in messages)


def test_files_hold_what_the_tables_show(run: Run) -> None:
    import pyarrow.parquet as parquet

    assert sorted(parquet.read_table(run.root / "out" / "corpus.parquet")["text"].to_pylist()) == sorted(
        text for (text,) in run.rows("SELECT text FROM passages")
    )
    for split in ("train", "test"):
        lines = (run.root / "out" / "sft" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) == run.rows(f"SELECT count(*) FROM sft WHERE split = '{split}'")[0][0] > 0
        assert all(set(json.loads(line)) == {"messages"} for line in lines)


def test_no_document_is_on_both_sides(run: Run) -> None:
    """Those that a conversation tells of besides its own are on its side too, or it is left out."""
    rests = "SELECT split, unnest(list_append(coalesce(rests_on, []), documents_id::VARCHAR)) AS one FROM sft"
    both = f"SELECT max(n) FROM (SELECT count(DISTINCT split) AS n FROM ({rests}) GROUP BY one)"
    assert run.rows(both) == [(1,)]
    ((left, gathered),) = run.rows(
        "SELECT count(*), count(*) FILTER (len(messages) > 3) FROM rejected.sft "
        "WHERE reason = 'rests on rows of `documents` of test and train' AND len(list_distinct(rests_on)) > 1"
    )
    assert left > gathered > 0
    assert run.rows("SELECT count(*) FROM rejected.sft") == [(left,)]


def test_every_row_of_the_set_leads_to_its_prompts_judges_and_page(run: Run) -> None:
    """Through a `gather` too: a conversation of several turns tells the way of each question in it."""
    ids = run.rows(
        "(SELECT sft_id, len(messages) // 2 FROM sft WHERE len(messages) > 3 ORDER BY ALL LIMIT 3) UNION ALL"
        " (SELECT sft_id, 1 FROM sft WHERE len(messages) = 3 ORDER BY ALL LIMIT 3)"
    )
    with open_reader(run.options.store, "factual") as reader, reader.held():
        for row, turns in ids:
            steps = why(reader, "sft", str(row))
            names = [step.node for step in steps]
            assert names[-1] == "documents"
            gathered = [step.collected for step in steps if step.node == "turns"]
            ways = [list(way) for way in gathered[0]] if gathered else [steps]
            assert len(ways) == (1 if "exchanges" in names else turns)  # the user asks on about one question
            for way in ways:
                told = {step.node: step for step in way}
                judged, written = ("borne_out", "joined") if "joined" in told else ("checked", "drafted")
                assert {judged, written, "worthy"} <= told.keys()
                drafted = told[written].columns
                assert drafted["question"].endswith("?") or drafted["drafted_template"] == "vague"
                assert all(told[name].calls[0].reply for name in (judged, written, "worthy"))
            for step in steps:
                if step.node == "turns":
                    listed = [turn["question"] for turn in step.columns["turns"]]
                    pairs = [next(one for one in way if one.node == "unique_pairs") for way in ways]
                    assert listed == [pair.columns["question"] for pair in pairs]


def test_second_run_does_nothing_and_leaves_files_alone(run: Run) -> None:
    before = {path: path.stat().st_mtime_ns for path in (run.root / "out").rglob("*") if path.is_file()}
    again = Run(run.root)
    assert again.summary.calls == 0
    assert {node.state for node in again.summary.progress.values()} == {"unchanged"}
    assert again.summary.seconds < 1.0
    assert {
        path: path.stat().st_mtime_ns for path in (run.root / "out").rglob("*") if path.is_file()
    } == before


def test_file_that_was_deleted_is_written_again(run: Run) -> None:
    target = run.root / "out" / "sft" / "train.jsonl"
    before = target.read_bytes()
    target.unlink()
    again = Run(run.root)
    assert again.summary.status == "done"
    assert again.summary.calls == 0
    assert target.read_bytes() == before


def test_dataset_library_reads_it(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(run.root / "out" / "sft"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in loaded.items()} == dict(
        run.rows("SELECT split, count(*) FROM sft GROUP BY split")
    )
