"""A reply in another language than it should be in is asked for again."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from engine.data.languages import apart
from engine.kinds.asking import texts
from engine.kinds.static import static
from engine.language.types import BOOL, INT, STR, Field, Literal, Many, Optional, Record
from tests.endpoint import endpoint
from tests.project import Project
from tests.workbench import Problem, bench

SAID = {
    "en": "When does a swarm leave its hive, and who decides where it goes?",
    "de": "Wann verlässt ein Schwarm seinen Stock, und wer entscheidet, wohin er zieht?",
    "fr": "Quand un essaim quitte-t-il sa ruche, et qui décide où il va?",
    "es": "¿Cuándo abandona un enjambre su colmena y quién decide adónde va?",
    "it": "Quando uno sciame lascia il suo alveare, e chi decide dove va?",
    "nl": "Wanneer verlaat een zwerm zijn kast, en wie beslist waar hij heen gaat?",
    "pl": "Kiedy rój opuszcza swój ul i kto decyduje, dokąd poleci?",
    "ru": "Когда рой покидает улей и кто решает, куда он полетит?",
    "zh": "蜂群什么时候离开蜂巢，由谁决定去哪里？",
}
MORE = {
    "en": "Scouts look for a hollow tree. They dance for the hole that they have found.",
    "de": "Kundschafterinnen suchen einen hohlen Baum. Sie tanzen für das Loch, das sie fanden.",
    "fr": "Les éclaireuses cherchent un arbre creux. Elles dansent pour le trou trouvé.",
    "es": "Las exploradoras buscan un árbol hueco. Bailan por el hueco que han encontrado.",
    "it": "Le esploratrici cercano un albero cavo. Danzano per la cavità che hanno trovato.",
    "nl": "Verkenners zoeken een holle boom. Ze dansen voor het gat dat ze gevonden hebben.",
    "pl": "Zwiadowczynie szukają pustego drzewa. Tańczą dla dziupli, którą znalazły.",
    "ru": "Разведчицы ищут дуплистое дерево. Они танцуют ради найденного дупла.",
    "zh": "侦察蜂寻找空心的树。它们为找到的洞跳舞。",
}


@pytest.mark.parametrize(("one", "other"), list(itertools.product(SAID, MORE)))
def test_two_texts(one: str, other: str) -> None:
    found = apart(SAID[one], MORE[other])
    assert found == (None if one == other else (one, other))


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Ja.", SAID["zh"]),
        ("42 % (1998–2004)", SAID["de"]),
        ("", SAID["de"]),
        (SAID["de"], "§ 12"),
        (
            "Når forlader en sværm sin kube, og hvem bestemmer det?",
            "Når forlater en sverm kuben sin, og hvem?",
        ),
    ],
)
def test_what_cannot_be_told_is_let_be(text: str, other: str) -> None:
    assert apart(text, other) is None


def test_only_words_of_the_model_s_own_count() -> None:
    record = Record(
        (
            Field("level", Literal(("easy", "hard"))),
            Field("why", Optional(STR)),
            Field("steps", Many(Record((Field("says", STR), Field("minutes", INT))))),
            Field("tags", Many(STR)),
            Field("ok", BOOL),
        )
    )
    value = {
        "level": "easy",
        "why": "so",
        "steps": [{"says": "a", "minutes": 1}, {"says": "b", "minutes": 2}],
        "tags": ["x", "y"],
        "ok": True,
    }
    assert list(texts(value, record)) == ["so", "a", "b", "x", "y"]
    assert list(texts(value, Many(record))) == ["so", "a", "b", "x", "y"]
    assert list(texts(value | {"why": None}, Optional(record))) == ["a", "b", "x", "y"]


GRAPH = """
type Document { path: str, title: str?, text: str }
type QA { question: str, answer: str }
source documents -> Document[] { path = "inputs" }
prompt drafted from documents -> QA[] { template = "draft", retries = 1, same_language_as = text }
"""


@pytest.mark.parametrize("always", [False, True])
def test_it_is_asked_for_again_and_then_set_aside(
    always: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several rows of one reply, those that are as they should be stay."""
    good = {"question": SAID["en"], "answer": MORE["en"]}
    wrong = {"question": SAID["zh"], "answer": MORE["zh"]}
    told = "the reply is in `zh` and must be in the language of `text`, `en`"
    with endpoint() as server:
        project = Project(tmp_path, monkeypatch, server.base_url)
        project.graph(text=GRAPH)
        again = {
            "contains": "item 2: the reply is in",
            "reply": {"items": [good, wrong] if always else [good]},
        }
        server.config(rules=[again, {"contains": "two questions", "reply": {"items": [good, wrong]}}])
        summary = project.run()
        assert project.table("drafted", "question") == [(SAID["en"],)] * 3
        assert summary.calls == 6
        asked = [str(request["body"]["messages"]) for request in server.requests()]
        assert sum(f"item 2: {told}" in one for one in asked) == 3
        if always:
            assert project.rows("SELECT question, reason FROM failed.drafted") == [(SAID["zh"], told)] * 3
        else:
            assert summary.exit_code == 0
        server.reset()
        assert project.run().calls == 0


def test_what_was_paid_before_it_was_wished_is_not_paid_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the reply in another language is asked for anew."""
    good = {"question": SAID["en"], "answer": MORE["en"]}
    wrong = {"question": SAID["zh"], "answer": MORE["zh"]}
    with endpoint() as server:
        project = Project(tmp_path, monkeypatch, server.base_url)
        project.graph(text=GRAPH.replace(", same_language_as = text", ""))
        slip = {"contains": "two questions.*cumulus", "reply": {"items": [wrong]}}
        server.config(rules=[slip, {"contains": "two questions", "reply": {"items": [good]}}])
        assert project.run().calls == 3
        server.config(rules=[{"contains": "two questions", "reply": {"items": [good]}}])
        server.reset()
        project.graph(text=GRAPH)
        assert project.run().calls == server.stats()["calls"] == 1
        assert project.table("drafted", "question") == [(SAID["en"],)] * 3


def test_where_it_is_not_wished_nothing_is_settled_anew(tmp_path: Path) -> None:
    parts = [
        static(made.kind, made.node)["settings"]
        for wish in ({}, {"same_language_as": None}, {"same_language_as": "text"})
        for made in [prompt(tmp_path, **wish)]
    ]
    assert "same_language_as" not in parts[0]
    assert parts[1] == parts[0]
    assert parts[2] == parts[0] | {"same_language_as": "text"}


def test_a_column_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="`pages` is no text"):
        prompt(tmp_path, same_language_as="pages")


def prompt(root: Path, **more: object):  # type: ignore[no-untyped-def]
    settings = {"template": "draft", **more}
    inputs = {"passages": {"text": "VARCHAR", "pages": "BIGINT"}}
    return bench("prompt", root, settings, inputs=inputs, result=Record((Field("question", STR),)))
