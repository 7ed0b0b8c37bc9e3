"""`embed`: vectors of texts, what an edit of one costs, and what `retrieve` and `dedupe` make of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.search import Vectors, together
from engine.data.similarity import by_angle
from engine.models.vectors import of_words, packed, told, unpacked
from tests.endpoint import Endpoint, endpoint
from tests.project import Project

PAGES = {
    "bees": "Bees make honey from the nectar of flowers.",
    "again": "From nectar of the flowers, honey is what bees make.",
    "rain": "Rain falls from cold clouds in winter.",
    "oak": "A ship of oak lasts for many years.",
}
GRAPH = """
model vectors { base_url = "%s", name = "mock", price = { input: 1_000, output: 0 } }
source pages -> { name: str, text: str? }[] { path = "pages.jsonl" }
embed placed from pages { model = vectors }
%s
"""


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with endpoint() as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path, monkeypatch)
    write(made, PAGES)
    return made


def write(project: Project, pages: dict[str, str | None]) -> None:
    lines = [json.dumps({"name": name, "text": text}) for name, text in pages.items()]
    project.write("pages.jsonl", "\n".join(lines) + "\n")


def asked(server: Endpoint) -> int:
    return int(server.stats()["by_path"].get("/v1/embeddings", 0))


# -- vectors -----------------------------------------------------------------------------------


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_a_vector_comes_back_as_it_was(numbers: list[float]) -> None:
    assert unpacked(packed(numbers)) == numbers


@pytest.mark.parametrize(
    "given", [None, [], "", "no base64!", "AAAA", [1, "2"], [float("nan")], [1e300], {"a": 1}, [[1.0]], 7]
)
def test_what_is_no_vector_is_none(given: Any) -> None:
    assert told(given) is None


def test_texts_with_words_in_common_are_near() -> None:
    known = [of_words(text) for text in PAGES.values()]
    assert all(math.isclose(sum(n * n for n in one), 1) for one in known)
    (first, second), *_ = [Vectors(known[1:]).nearest(known[0], 2, lambda place: True)]
    assert first[0] == 0
    assert first[1] > second[1]
    assert of_words(" … ") == [0.0] * 256


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=12), st.integers(1, 5)
)
def test_the_nearest_are_those_of_a_look_at_all(vectors: list[list[int]], count: int) -> None:
    def cosine(one: list[int], other: list[int]) -> float:
        lengths = math.hypot(*one) * math.hypot(*other)
        return sum(a * b for a, b in zip(one, other, strict=True)) / lengths if lengths else 0.0

    asked, *known = vectors
    found = Vectors(known).nearest(asked, count, lambda place: place != 1)
    scores = {place: cosine(asked, one) for place, one in enumerate(known) if place != 1}
    near = [place for place, score in scores.items() if score > 1e-6]
    assert len(found) == min(count, len(near))
    for place, score in found:
        assert score == pytest.approx(scores[place], abs=1e-5)
    if found and len(found) == count:
        left = [score for place, score in scores.items() if place not in dict(found)]
        assert found[-1][1] >= max(left, default=0) - 1e-5


def test_ranks_are_put_together() -> None:
    words, vectors = [(0, 9.0), (1, 5.0), (2, 1.0)], [(2, 0.9), (1, 0.8), (3, 0.1)]
    assert [place for place, _ in together([words, vectors], 3)] == [2, 1, 0]


def test_of_vectors_that_point_the_same_way_the_first_stays() -> None:
    found = list(by_angle([[1, 0], [2, 0.01], None, [0, 1], [0, 5], []], 0.99))
    assert [twin and twin.of for twin in found] == [None, 0, None, None, 3, None]
    with pytest.raises(ValueError, match="2 and of 3 numbers"):
        list(by_angle([[1, 0], [1, 0, 0]], 0.9))


# -- the kind -----------------------------------------------------------------------------------


def test_each_text_is_one_call_and_an_edited_one_is_one_more(project: Project, server: Endpoint) -> None:
    project.graph(text=GRAPH % (server.base_url, ""))
    made = project.plan()
    (node,) = [node for node in made.nodes if node.name == "placed"]
    assert node.to_call == 4
    assert node.cost
    assert node.tokens
    assert node.tokens[1] == 0
    assert project.run().status == "done"
    assert asked(server) == 4
    rows = project.rows("SELECT name, embedding FROM placed")
    assert {name: pytest.approx(of_words(PAGES[name]), abs=1e-6) for name, _ in rows} == dict(rows)
    (cost,) = project.rows("SELECT sum(cost) FROM calls")[0]
    assert cost == pytest.approx(sum(len(text) // 4 + 1 for text in PAGES.values()) / 1_000)
    write(project, {**PAGES, "rain": "Rain falls from warm clouds in summer."})
    assert project.run().status == "done"
    assert asked(server) == 5
    write(project, {f"{name} renamed": text for name, text in PAGES.items()})
    assert project.run().status == "done"
    assert asked(server) == 5  # the text alone decides


def test_rows_without_a_text_fail_alone(project: Project, server: Endpoint) -> None:
    write(project, {**PAGES, "blank": " ", "none": None})
    project.graph(text=GRAPH % (server.base_url, ""))
    assert project.run().status == "failed"
    assert project.rows("SELECT count(*) FROM placed") == [(4,)]
    reasons = project.rows("SELECT name, reason FROM failed.placed ORDER BY name")
    assert [name for name, _ in reasons] == ["blank", "none"]
    assert {reason for _, reason in reasons} == {"there is no text to make a vector of"}


def test_an_endpoint_without_vectors_says_so_and_is_asked_again(project: Project, server: Endpoint) -> None:
    text = GRAPH % (server.base_url.replace("/v1", "/v2"), "")
    project.graph(text=text)
    summary = project.run()
    assert summary.status == "failed"
    assert project.rows("SELECT count(*) FROM placed") == [(0,)]
    reasons = project.rows("SELECT DISTINCT reason FROM failed.placed")
    assert ["no such path" in reason for (reason,) in reasons] == [True]
    project.graph(text=GRAPH % (server.base_url, ""))
    assert project.run().status == "done"


def test_near_rows_by_vectors_and_by_both(project: Project, server: Endpoint) -> None:
    more = """
    retrieve near from placed { by = "vectors", count = 2, columns = [name] }
    retrieve mixed from placed { by = "both", count = 1, columns = [name] }
    dedupe once from placed { column = embedding, method = "vectors", threshold = 0.7, order = name }
    """
    project.graph(text=GRAPH % (server.base_url, more))
    assert project.run().status == "done"
    found = dict(project.rows("SELECT name, near FROM near"))
    assert found["bees"][0]["name"] == "again"
    assert 0.7 < found["bees"][0]["score"] <= 1
    both = dict(project.rows("SELECT name, mixed FROM mixed"))
    assert both["again"][0]["name"] == "bees"
    assert {name for (name,) in project.rows("SELECT name FROM once")} == {"again", "rain", "oak"}
    [(reason,)] = project.rows("SELECT reason FROM rejected.once")
    assert reason.startswith("near-duplicate of ")
    assert reason.endswith(f"'{PAGES['again']}'")


def test_vectors_of_two_models_are_not_compared(project: Project, server: Endpoint) -> None:
    project.graph(
        text=GRAPH
        % (
            server.base_url,
            """
    sql mixed { query = "SELECT text, if(name = 'oak', [1::FLOAT], embedding) AS embedding FROM placed" }
    retrieve near from mixed { by = "vectors" }
    """,
        )
    )
    summary = project.run()
    assert summary.status == "failed"
    assert summary.errors == [
        ("`near`: vectors of 256 and of 1 numbers cannot be compared", "one model must make the vectors")
    ]


def test_within_compares_rows_of_one_ancestor(project: Project) -> None:
    pages = [{"text": "The same words."}, {"text": "The same words."}]
    lines = [json.dumps({"name": name, "pages": pages}) for name in ("one", "two")]
    project.write("books.jsonl", "\n".join(lines) + "\n")
    project.graph(
        text="""
    source books -> { name: str, pages: { text: str }[] }[] { path = "books.jsonl" }
    sql leaves { query = "SELECT books_id, name, unnest(pages).text AS text FROM books" }
    dedupe anywhere from leaves { column = text, method = "exact" }
    dedupe inside from leaves { column = text, method = "exact", within = books }
    """
    )
    assert project.run().status == "done"
    assert project.rows("SELECT count(*) FROM anywhere") == [(1,)]
    assert sorted(project.rows("SELECT name FROM inside")) == [("one",), ("two",)]
