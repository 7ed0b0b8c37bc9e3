"""`retrieve`: which rows are near, which are never found, and what an edit costs."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.search import Index, words
from tests.project import Project

PAGES = {
    "bees": ["Bees make honey from nectar.", "A swarm of bees leaves the hive in May."],
    "weather": ["Rain falls from clouds in May.", "A hive of clouds is no hive."],
    "ships": ["A ship is made of oak.", "Пчёлы делают мёд из нектара."],
}


def test_words_of_any_script() -> None:
    assert words("Пчёлы делают мёд, 30 °C") == ["пчёлы", "делают", "мёд", "30", "c"]


def test_the_best_come_first_and_strangers_not_at_all() -> None:
    index = Index(["honey", "honey and bees", "rain", ""])
    found = index.nearest("honey bees", 4, lambda place: True)
    assert [place for place, _ in found] == [1, 0]
    assert found[0][1] > found[1][1] > 0
    assert index.nearest("snow", 4, lambda place: True) == []
    assert Index(["", "  "]).nearest("honey", 1, lambda place: True) == []


@given(st.integers(0, 1_000), st.integers(1, 8))
def test_what_is_found_early_is_what_all_would_give(seed: int, count: int) -> None:
    """Only some candidates are looked at first; the answer is that of a look at all of them."""
    dice = random.Random(seed)
    texts = [" ".join(dice.choices("abcdefgh", k=dice.randrange(6))) for _ in range(200)]
    asked = " ".join(dice.choices("abcdefgh", k=3))
    allowed = {place for place in range(200) if dice.random() < 0.5}
    index = Index(texts)
    found = index.nearest(asked, count, allowed.__contains__)
    known = [word for word in words(asked) if word in index.model.vocab_dict]
    scores = index.model.get_scores(known) if known else [0.0] * 200
    best = sorted((place for place in allowed if scores[place] > 0), key=lambda at: (-scores[at], at))[:count]
    assert [place for place, _ in found] == best


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path, monkeypatch)
    documents = [
        {"title": title, "pages": [{"text": text} for text in pages]} for title, pages in PAGES.items()
    ]
    project.write("documents.jsonl", "".join(json.dumps(one) + "\n" for one in documents))
    return project


HEAD = '''
source documents -> {{ title: str, pages: {{ text: str }}[] }}[] {{ path = "documents.jsonl" }}
sql pages {{
  query = """
    SELECT documents_id, title, page.text AS text FROM (SELECT *, unnest(pages) AS page FROM documents)
  """
}}
retrieve near from {inputs} {{ {settings} }}
'''


def near(project: Project, settings: str, inputs: str = "pages") -> dict[str, list[str]]:
    project.graph(text=HEAD.format(inputs=inputs, settings=settings))
    summary = project.run()
    assert summary.status == "done", summary.errors
    rows = project.rows("SELECT text, list_transform(near, lambda one: one.text) FROM near")
    return dict(rows)


def test_a_row_never_finds_itself(project: Project) -> None:
    found = near(project, "count = 5")
    assert set(found) == {page for pages in PAGES.values() for page in pages}
    assert all(text not in others for text, others in found.items())
    assert set(found["Bees make honey from nectar."]) == {
        "A swarm of bees leaves the hive in May.",
        "Rain falls from clouds in May.",
    }
    assert found["Пчёлы делают мёд из нектара."] == []


def test_none_of_the_same_document(project: Project) -> None:
    found = near(project, "count = 5, apart = documents")
    assert found["Bees make honey from nectar."] == ["Rain falls from clouds in May."]


def test_only_of_the_same_document(project: Project) -> None:
    found = near(project, "count = 5, within = documents")
    assert found["A swarm of bees leaves the hive in May."] == ["Bees make honey from nectar."]


def test_every_document_once_before_any_twice(project: Project) -> None:
    plain = near(project, 'count = 2, into = "near"')["A hive of clouds is no hive."]
    spread = near(project, "count = 2, spread = documents")["A hive of clouds is no hive."]
    assert plain[0] == spread[0]
    title = {page: title for title, pages in PAGES.items() for page in pages}
    assert len({title[page] for page in spread}) == 2


def test_another_table_is_searched_by_another_column(project: Project) -> None:
    project.graph(
        text=HEAD.format(
            inputs="documents, pages",
            settings='query = title, columns = [text, title], count = 1, into = "found"',
        )
    )
    assert project.run().status == "done"
    found = dict(project.rows("SELECT title, found FROM near"))
    assert found["bees"] == []  # its own page is a row that came of it
    assert [one["title"] for one in found["ships"]] == []


def test_ids_lead_to_the_rows_and_a_second_run_does_nothing(project: Project) -> None:
    near(project, "count = 1")
    joined = project.rows(
        "SELECT count(*) FROM near JOIN pages"
        " ON pages.pages_id = near.near[1].id::UUID AND pages.text = near.near[1].text"
    )
    assert joined[0][0] == project.rows("SELECT count(*) FROM near WHERE len(near) > 0")[0][0] > 0
    assert {node.state for node in project.run().progress.values()} == {"unchanged"}


def test_a_smallest_score(project: Project) -> None:
    everything, some = near(project, "count = 9"), near(project, "count = 9, least = 0.6")
    assert sum(map(len, some.values())) < sum(map(len, everything.values()))
    scores: list[Any] = project.rows("SELECT unnest(near).score FROM near")
    assert all(score >= 0.6 for (score,) in scores)
