"""Rows that share an ancestor become one row with a list, in order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.kinds.base import Made, Row
from tests.workbench import Bench, Problem, bench, row

COLUMNS = {"checked": {"text": "VARCHAR", "question": "VARCHAR", "answer": "VARCHAR", "score": "DOUBLE"}}
ABOVE = {"worthy": {"text": "VARCHAR"}, "passages": {"text": "VARCHAR"}}
ANCESTOR = row("passages", 1, text="T")


def gather(root: Path, **settings: Any) -> Bench:
    return bench(
        "gather", root, {"by": "passages", **settings}, name="talk.turns", inputs=COLUMNS, above=ABOVE
    )


def rows(*questions: str) -> list[Row]:
    return [
        row("checked", place, ANCESTOR.ids, text="T", question=text, answer=text.upper(), score=float(-place))
        for place, text in enumerate(questions)
    ]


def collected(made: Bench, *questions: str) -> Made:
    (one,) = made.kind.collect(ANCESTOR, rows(*questions), made).made
    return one


def test_by_itself_it_takes_what_came_after_the_ancestor(tmp_path: Path) -> None:
    made = gather(tmp_path)
    assert dict(made.node.own) == {"turns": 'STRUCT("question" VARCHAR, "answer" VARCHAR, "score" DOUBLE)[]'}
    assert collected(made, "a", "b").own == {
        "turns": [
            {"question": "a", "answer": "A", "score": 0.0},
            {"question": "b", "answer": "B", "score": -1.0},
        ]
    }
    assert made.kind.by(made.node) == "passages"
    assert made.kind.base(made.node.settings) == "passages"


def test_columns_name_and_order_can_be_said(tmp_path: Path) -> None:
    made = gather(tmp_path, columns=["answer"], into="answers", order="score")
    assert dict(made.node.own) == {"answers": 'STRUCT("answer" VARCHAR)[]'}
    assert collected(made, "a", "b").own == {"answers": [{"answer": "B"}, {"answer": "A"}]}


def test_a_list_that_is_too_short_is_rejected(tmp_path: Path) -> None:
    made = gather(tmp_path, min=2)
    short = collected(made, "a")
    assert (short.fate, short.reason) == ("rejected", "1 of at least 2 rows")
    assert short.own["turns"]
    assert collected(made, "a", "b").fate == "ok"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"by": "nobody"}, "`nobody` is no ancestor"),
        ({"columns": ["x"]}, "no column named `x`"),
        ({"order": "y"}, "no column named `y`"),
        ({"by": "checked"}, "nothing to collect"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(Problem, match=said):
        gather(tmp_path, **settings)
