"""What variations of documents are worth: the benchmark's world and, in the small, all of its way."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks" / "learning"))

from rewriting import copies, variations  # type: ignore[import-not-found] # noqa: E402
from world import ASKED, RELATIONS, SAID, Maker, document, variation  # type: ignore[import-not-found] # noqa: E402

from tests.test_benchmarks import printed  # noqa: E402


def test_a_world_follows_from_its_seed_and_repeats_no_name() -> None:
    firms = Maker(1).firms(50)
    assert firms == Maker(1).firms(50)
    assert firms != Maker(2).firms(50)
    assert len({facts[0].firm for facts in firms}) == 50
    assert {len(said) for said in SAID.values()} == {5}
    assert {len(asked) for asked in ASKED.values()} == {4}


def test_a_variation_states_what_the_document_states() -> None:
    for facts in Maker(3).firms(20):
        text, varied = document(facts), variation(facts, random.Random(1))
        assert text.count(facts[0].firm) == 1
        assert varied.count(facts[0].firm) == len(RELATIONS)
        assert all(fact.value in text and fact.value.lower() in varied.lower() for fact in facts)


def test_rewriting_reads_the_documents_alone() -> None:
    facts = Maker(4).firms(1)[0]
    row = {"documents_id": "d", "text": document(facts)}
    assert [one["text"] for one in copies([row], 3)] == [row["text"]] * 3
    made = [one["text"] for one in variations([row], 30, seed=1)]
    assert len(set(made)) == 30
    assert made == [one["text"] for one in variations([row], 30, seed=1)]
    assert all(fact.value.lower() in text.lower() for fact in facts for text in made)
    with pytest.raises(ValueError, match="not a document"):
        list(variations([{"documents_id": "d", "text": "Rain falls."}], 1))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_whole_way_in_the_small(tmp_path: Path) -> None:
    """Five trainings and three exams of a model that is too small to know much more than when to stop."""
    size = ["--grown", "4", "--firms", "2", "--count", "2", "--size", "64", "--layers", "1", "--words", "300"]
    said = printed(
        "benchmarks/learning/run.py", "--seeds", "1", *size, "--base", "epochs=60", "-p", "steps=30",
        "--cache", str(tmp_path),
    )  # fmt: skip
    lines = said.splitlines()
    assert lines[1].split() == ["base", "copies", "variations"]
    assert lines[-1].startswith("facts never asked for: base 0%, copies ")
