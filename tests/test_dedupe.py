"""Rows that say the same: one stays, the others are rejected with the reason."""

from __future__ import annotations

import itertools
import random
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data import similarity
from engine.data.similarity import exact, near, nearest, normal, runs
from engine.kinds.base import Row
from tests.workbench import Problem, bench, row

COLUMNS = {"checked": {"question": "VARCHAR", "answer": "VARCHAR", "score": "DOUBLE"}}
QUESTIONS = [
    "What does the commander approve before training begins?",
    "what does the  commander approve, before training begins",
    "What does the commander approve before the training begins?",
    "Who conducts the after action review?",
    "Which units rely on augmentation from the intelligence enterprise?",
    "Which units rely on augmentation from within the intelligence enterprise?",
    "",
    "",
]


def questions(*texts: str | None) -> list[Row]:
    return [
        row("checked", place, question=text, answer="A", score=-place) for place, text in enumerate(texts)
    ]


def fates(tmp_path: Path, rows: list[Row], **more: Any) -> list[str]:
    made = bench("dedupe", tmp_path, {"column": "question", **more}, inputs=COLUMNS).table(rows)
    assert [one.parent for one in made] == rows
    assert all(one.own == {} for one in made)
    return [one.fate for one in made]


def test_exact_looks_past_case_blanks_and_marks_at_the_ends(tmp_path: Path) -> None:
    rows = questions("Why?", " why ", "WHY?!", "Why not?", "ﬁre", "Fire", None, None)
    expected = ["ok", "rejected", "rejected", "ok", "ok", "rejected", "ok", "ok"]
    assert fates(tmp_path, rows, method="exact") == expected


def test_near_finds_what_says_the_same(tmp_path: Path) -> None:
    rows = questions(*QUESTIONS)
    assert fates(tmp_path, rows, threshold=0.8) == [
        "ok",
        "rejected",
        "rejected",
        "ok",
        "ok",
        "rejected",
        "ok",
        "ok",
    ]
    assert fates(tmp_path, rows, threshold=1) == ["ok"] * 8


def test_the_reason_names_the_row_that_stays(tmp_path: Path) -> None:
    rows = questions(*QUESTIONS)
    made = bench("dedupe", tmp_path, {"column": "question", "threshold": 0.8}, inputs=COLUMNS).table(rows)
    first = uuid.UUID(bytes=rows[0].id)
    nearness = len(runs(normal(QUESTIONS[0])) & runs(normal(QUESTIONS[2])))
    nearness /= len(runs(normal(QUESTIONS[0])) | runs(normal(QUESTIONS[2])))
    assert made[2].reason == f"near-duplicate of {first} ({nearness:.2f}): '{QUESTIONS[0]}'"


def test_an_order_says_which_one_stays(tmp_path: Path) -> None:
    assert fates(tmp_path, questions("Why?", "why", "WHY"), method="exact", order="score") == [
        "rejected",
        "rejected",
        "ok",
    ]


def test_several_columns_are_one_text(tmp_path: Path) -> None:
    rows = [
        row("checked", place, question="Why?", answer=answer, score=0.0) for place, answer in enumerate("AAB")
    ]
    made = bench(
        "dedupe", tmp_path, {"columns": ["question", "answer"], "method": "exact"}, inputs=COLUMNS
    ).table(rows)
    assert [one.fate for one in made] == ["ok", "rejected", "ok"]


TEXTS = st.lists(st.text(st.sampled_from("abcde \n.?Éß"), max_size=60), max_size=25)


@given(TEXTS, st.floats(0.2, 1.0))
@settings(max_examples=30, deadline=None)
def test_what_is_kept_and_what_goes(texts: list[str], threshold: float) -> None:
    twins = list(near(texts, threshold))
    assert twins == list(near(texts, threshold))
    for place, twin in enumerate(twins):
        if twin is None:
            continue
        assert twin.of < place
        assert twins[twin.of] is None, "compared with a row that goes itself"
        mine, other = runs(normal(texts[place])), runs(normal(texts[twin.of]))
        assert len(mine & other) / len(mine | other) == pytest.approx(twin.nearness)
        assert twin.nearness >= threshold
    same = [one is not None for one in exact(texts)]
    assert all(near_one is not None for near_one, exact_one in zip(twins, same, strict=True) if exact_one)


def test_nearly_all_twins_of_real_sentences_are_found() -> None:
    from engine.data.sentences import beginnings

    text = (Path(__file__).parent / "data" / "manuals" / "fm-7-0-training.txt").read_text()[20_000:90_000]
    cuts = [0, *beginnings(text), len(text)]
    sentences = [text[a:b] for a, b in itertools.pairwise(cuts) if b - a > 60]
    originals = [one for one, twin in zip(sentences, near(sentences, 0.8), strict=True) if twin is None]
    twins = [one.replace(" the ", " a ", 1) if " the " in one else one.upper() for one in originals]
    found = list(near([*originals, *twins], 0.8))[len(originals) :]
    wanted = [
        len(runs(normal(a)) & runs(normal(b))) / len(runs(normal(a)) | runs(normal(b))) >= 0.8
        for a, b in zip(originals, twins, strict=True)
    ]
    assert sum(wanted) > 200
    assert sum(one is not None for one in found) >= 0.97 * sum(wanted)


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({}, "needs to know what to compare"),
        ({"column": "text"}, "no column named `text`"),
        ({"column": "question", "columns": ["answer"]}, "needs to know"),
        ({"columns": ["x"]}, "no column named `x`"),
        ({"column": "question", "order": "y"}, "no column named `y`"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(Problem, match=said):
        bench("dedupe", tmp_path, settings_, inputs=COLUMNS)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(QUESTIONS), max_size=30), st.sampled_from([0.8, 0.95]))
def test_few_texts_need_no_index(texts: list[str], threshold: float) -> None:
    """Compared each with each, or through the index: what is found is the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "FEW", 1_000)
        plain = list(near(texts, threshold))
        patch.setattr(similarity, "FEW", 3)
        assert list(near(texts, threshold)) == plain


def test_the_nearest_of_many_is_the_nearest_of_all() -> None:
    draw = random.Random(4)
    words = "bee hive swarm queen comb honey smoke frame drone wax nectar sting".split()
    texts = [" ".join(draw.choices(words, k=8)) for _ in range(30)]
    others = [" ".join([*one.split()[:7], draw.choice(words)]) for one in texts[:20]] + ["", texts[25]]

    def index(one: str, other: str) -> float:
        mine, theirs = runs(normal(one)), runs(normal(other))
        return len(mine & theirs) / len(mine | theirs)

    best = [max(index(one, other) for other in others) for one in texts]
    assert nearest(texts, others, 0.6) == [one if one >= 0.6 else None for one in best]
    assert nearest(texts, others, 0.6)[25] == 1.0
    assert nearest([], others, 0.6) == []
