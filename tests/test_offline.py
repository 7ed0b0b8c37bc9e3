"""The offline stand-in: deterministic, of the wanted type, drawn from the row, by visible rules."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.program import ModelSpec
from engine.language.types import (
    BOOL,
    FLOAT,
    INT,
    STR,
    Field,
    Literal,
    Many,
    Optional,
    Record,
    Type,
    validator,
)
from engine.models.base import Reply, Request
from engine.models.offline import Offline
from engine.models.offline_fill import INVENTED, VAGUE, Dice
from engine.models.offline_questions import pair_of, pairs, usable
from engine.models.offline_rules import answer_verdict
from engine.models.offline_text import read_passage, split_sentences
from engine.models.replies import parse
from tests import generated
from tests.amount import amount

HERE = Path(__file__).parent / "offline"
PASSAGES = yaml.safe_load((HERE / "passages.yaml").read_text("utf-8"))
SENTENCES = yaml.safe_load((HERE / "sentences.yaml").read_text("utf-8"))


def record(name: str = "", **fields: Type) -> Record:
    return Record(tuple(Field(key, kind) for key, kind in fields.items()), name or None)


QA = record("QA", question=STR, answer=STR)
VERDICT = record("Verdict", why=STR, ok=BOOL)
MESSAGE = record("Message", role=Literal(("system", "user", "assistant")), content=STR)
CHAT = record("Chat", messages=Many(MESSAGE))
TEXT = (
    "Clouds form when moist air rises and cools. A cumulus is a cloud with a flat base and a round top. "
    "Observers record the height of the base. The hourly report contains three parts and a remark. "
    "Fog reduces visibility at airports near the coast. Stratus clouds consist of small water droplets. "
    "Pilots receive the report before every flight. Snow requires temperatures below the freezing point. "
    "Rain gauges must follow the design of the central office. The station is operated by two observers."
)
SPEC = ModelSpec(
    name="default",
    provider="offline",
    model="offline",
    base_url=None,
    secret=None,
    sampling={},
    options={},
    price={},
    parallel=64,
    timeout=300,
    structured="auto",
    rpm=None,
    tpm=None,
    span=None,
)
MODEL = Offline(SPEC)


def request(wanted: Type | None, values: Mapping[str, Any], sample: int = 0, **settings: Any) -> Request:
    said = "\n\n".join(str(value) for value in values.values())
    messages = [{"role": "user", "content": settings.pop("said", said)}]
    return Request(messages, wanted, values=values, sample=sample, **settings)


def ask(wanted: Type, values: Mapping[str, Any], sample: int = 0, **settings: Any) -> Any:
    made = request(wanted, values, sample, **settings)
    return parse(MODEL.reply(made), wanted, made.reply)


# -- keys and replies ------------------------------------------------------------------------


def test_the_same_request_gets_the_same_reply() -> None:
    made = request(Many(QA), {"text": TEXT})
    first, second = asyncio.run(MODEL.call(made)), asyncio.run(Offline(SPEC).call(made))
    assert (first.status, first.finish, first.cost) == ("ok", "stop", 0.0)
    assert first.text == second.text
    assert first.tokens_in > 0
    assert first.tokens_out > 0


@pytest.mark.parametrize(
    "other",
    [
        request(QA, {"text": TEXT, "more": 1}, said="x"),
        request(QA, {"text": TEXT}, said="y"),
        request(QA, {"text": TEXT}, said="x", sample=1),
        request(QA, {"text": TEXT}, said="x", sampling={"temperature": 1}),
        request(QA, {"text": TEXT}, said="x", reply="tags"),
        request(record("QA", question=STR, response=STR), {"text": TEXT}, said="x"),
        request(None, {"text": TEXT}, said="x"),
    ],
    ids=["values", "messages", "sample", "sampling", "form", "type", "no type"],
)
def test_whatever_can_change_a_reply_is_in_the_key(other: Request) -> None:
    one = request(QA, {"text": TEXT}, said="x")
    assert len(MODEL.key(one)) == 16
    assert MODEL.key(one) == MODEL.key(request(QA, {"text": TEXT}, said="x"))
    assert MODEL.key(one) != MODEL.key(other)


def test_ids_are_not_in_the_key() -> None:
    one = request(QA, {"text": TEXT, "passages_id": "a"}, said="x")
    other = request(QA, {"text": TEXT, "chunks_id": b"b"}, said="x")
    assert MODEL.key(one) == MODEL.key(other)


def test_many_calls_leave_room_for_others() -> None:
    async def race() -> int:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        replies: list[Reply] = [await MODEL.call(request(VERDICT, {"text": TEXT})) for _ in range(200)]
        ticking.cancel()
        assert all(reply.status == "ok" for reply in replies)
        return ticks

    assert asyncio.run(race()) > 3


@settings(max_examples=amount(40, 12), deadline=None)
@given(generated.typed_values(), st.sampled_from(["json", "tags"]), st.integers(0, 3))
def test_a_reply_always_has_the_wanted_type(typed: tuple[Type, Any], form: str, sample: int) -> None:
    kind = typed[0]
    for values in ({"text": TEXT}, {"question": "What?", "answer": "So."}, {}):
        value = ask(kind, values, sample, reply=form)
        assert value is None or validator(kind)(value) == value


@settings(max_examples=amount(40, 12), deadline=None)
@given(st.text(max_size=400), st.text(max_size=50))
def test_no_text_breaks_it(text: str, question: str) -> None:
    values = {"text": text, "question": question, "answer": text}
    for kind in (Many(QA), QA, VERDICT, CHAT, Optional(QA), record(summary=STR, terms=Many(STR))):
        ask(kind, values)


def test_a_reply_in_text() -> None:
    mood = ask(record(mood=STR), {"text": TEXT}, reply="text")["mood"]
    assert mood in TEXT
    assert MODEL.reply(request(None, {"text": TEXT})) in TEXT


# -- questions and answers ---------------------------------------------------------------------


@pytest.mark.parametrize(("sentence", "question"), SENTENCES)
def test_the_question_of_a_sentence(sentence: str, question: str) -> None:
    (made,) = read_passage(sentence).sentences
    assert usable(made)
    assert pair_of(made).question == question
    assert pair_of(made).answer == sentence


@pytest.mark.parametrize(
    "sentence",
    [
        "This is described in the following paragraphs of the manual.",
        "However, commanders assess the training of their units.",
        "Short ones are left out.",
        "the sentence begins in the middle of what was said before.",
        "Commanders and their staffs assess training and then they",
        "COMPANY TRAINING SCHEDULES Commanders develop training schedules for every unit.",
        "Figures for 1998, 1999 and 2001 are given at the end of the chapter.",
    ],
)
def test_sentences_that_cannot_stand_alone(sentence: str) -> None:
    assert not any(usable(made) for made in read_passage(sentence).sentences)


def test_pairs_are_from_different_sentences_of_the_passage() -> None:
    seen: set[int] = set()
    for sample in range(20):
        made = ask(Many(QA), {"text": TEXT}, sample)
        seen.add(len(made))
        assert len({pair["question"] for pair in made}) == len(made)
        assert all(pair["question"].endswith("?") for pair in made)
        starts = [TEXT.find(pair["answer"].split(".")[0]) for pair in made]
        assert starts == sorted(starts)
        assert starts[0] >= 0
    assert seen == {3, 4, 5}


def test_as_many_pairs_as_the_row_asks_for() -> None:
    assert len(ask(Many(QA), {"text": TEXT, "count": 2})) == 2


def test_a_passage_without_sentences_gives_no_pairs() -> None:
    assert ask(Many(QA), {"text": "Contents ..... 3 Index ..... 9"}) == []


def test_a_spoilt_pair_is_rejected_in_plain_sight_and_its_repair_is_not() -> None:
    made = [pair for sample in range(120) for pair in ask(Many(QA), {"text": TEXT}, sample)]
    spoilt = [
        pair
        for pair in made
        if pair["question"] in VAGUE or any(sentence in pair["answer"] for sentence in INVENTED)
    ]
    assert 0.04 < len(spoilt) / len(made) < 0.14
    assert {pair["question"] in VAGUE for pair in spoilt} == {True, False}
    for pair in made:
        assert ask(VERDICT, {"text": TEXT, **pair})["ok"] is (pair not in spoilt)
    for pair in spoilt:
        why = ask(VERDICT, {"text": TEXT, **pair})["why"]
        mended = ask(QA, {"text": TEXT, **pair, "why": why})
        assert mended["answer"] in pair["answer"]
        assert ask(VERDICT, {"text": TEXT, **mended})["ok"]


def test_an_answer_is_the_sentence_nearest_to_the_question() -> None:
    values = {"sources": TEXT.split(". "), "question": "What does fog reduce near the coast?"}
    assert "Fog reduces visibility" in ask(record(reply=STR), values)["reply"]


# -- verdicts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", PASSAGES, ids=[case["says"] for case in PASSAGES])
def test_which_passages_are_worthy(case: dict[str, Any]) -> None:
    verdict = ask(VERDICT, {"text": case["text"], "title": "Some title"})
    assert verdict["ok"] is case["worthy"]
    assert case.get("why", "") in verdict["why"]
    assert ask(record(spam=BOOL), {"text": case["text"]}) == {"spam": not case["worthy"]}
    assert (ask(Optional(QA), {"text": case["text"]}) is not None) is case["worthy"]


@pytest.mark.parametrize(
    ("question", "answer", "ok", "why"),
    [
        ("What is a cumulus?", "A cumulus is a cloud with a flat base.", True, "100%"),
        ("What is a cumulus?", "A cloud.", True, "100%"),
        (
            "What is a cumulus?",
            "A cumulus is a tasty Italian dessert.",
            False,
            "and not: tasty, Italian, dessert",
        ),
        ("What is a cumulus", "A cumulus is a cloud.", False, "question mark"),
        ("What is it?", "A cumulus is a cloud.", False, "names nothing"),
        ("What is a zebra?", "A cumulus is a cloud.", False, "names nothing"),
        ("What is a cumulus?", " ", False, "empty"),
    ],
)
def test_verdicts_on_answers(question: str, answer: str, ok: bool, why: str) -> None:
    verdict = answer_verdict(question, answer, read_passage(TEXT))
    assert verdict[0] is ok
    assert why in verdict[1]


def test_votes_agree() -> None:
    values = {"text": TEXT, "question": "What is a cumulus?", "answer": "A cloud with a flat base."}
    assert len({str(ask(VERDICT, values, sample)) for sample in range(5)}) == 1


# -- the rest ----------------------------------------------------------------------------------


def test_a_conversation_has_two_messages_a_turn() -> None:
    turns = [{"question": f"Q{n}?", "answer": f"A{n}."} for n in range(4)]
    messages = ask(CHAT, {"title": "Clouds", "turns": turns})["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 4
    for turn, asked, answered in zip(turns, messages[::2], messages[1::2], strict=True):
        assert asked["content"].endswith(turn["question"])
        assert answered["content"] == turn["answer"]
    assert len(ask(CHAT, {"text": TEXT})["messages"]) == 8


def test_numbers_stay_in_the_range_that_is_told() -> None:
    kind = Record(
        (
            Field("share", FLOAT, "From 0, flat, to 1, moving."),
            Field("stars", INT, "1-5"),
            Field("score", INT),
            Field("warmth", FLOAT, "from -3 to 3"),
        )
    )
    for sample in range(30):
        made = ask(kind, {"text": TEXT}, sample)
        assert 0.5 <= made["share"] <= 1
        assert 3 <= made["stars"] <= 5
        assert 6 <= made["score"] <= 10
        assert 0 <= made["warmth"] <= 3


def test_labels_are_chosen_by_the_words_of_the_passage() -> None:
    labels = ["infantry", "clouds and fog", "cooking"]
    assert ask(record(why=STR, label=STR), {"text": TEXT, "classes": labels})["label"] == "clouds and fog"
    kind = record(topic_of=Literal(("cooking", "clouds")))
    assert ask(kind, {"text": TEXT})["topic_of"] == "clouds"
    assert ask(record(verdict=Literal(("yes", "no"))), {"text": TEXT})["verdict"] == "yes"


def test_texts_come_from_the_passage() -> None:
    kind = record(summary=STR, facts=Many(STR), keywords=Many(STR), title=STR, scene=STR)
    made = ask(kind, {"text": TEXT})
    assert made["summary"] in TEXT
    assert made["scene"] in TEXT
    assert all(fact in TEXT for fact in made["facts"])
    assert 3 <= len(made["facts"]) <= 5
    assert all(term in TEXT.lower() for term in made["keywords"])
    assert made["title"]


# -- reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One is here. Two is there! Three?", ["One is here.", "Two is there!", "Three?"]),
        ("Mr. Smith met Dr. Jones at 5 p.m. today.", ["Mr. Smith met Dr. Jones at 5 p.m. today."]),
        ("He lives in the U.S. Army has bases there.", ["He lives in the U.S. Army has bases there."]),
        (
            "A heading 3-14. Company units train. 3-15. Others rest.",
            ["A heading", "Company units train.", "Others rest."],
        ),
        (
            "# Title\nText goes\nover lines.\n\n- one item\n- two",
            ["Title", "Text goes over lines.", "one item", "two"],
        ),
        ("Goals: \uf0b7 Plan well. \uf0b7 Train hard.", ["Goals:", "Plan well.", "Train hard."]),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def test_the_dice_are_the_same_everywhere() -> None:
    dice = Dice(1)
    assert [dice.below(100) for _ in range(6)] == [74, 53, 96, 70, 34, 95]


def test_what_is_found_in_a_passage_is_kept() -> None:
    assert read_passage(TEXT) is read_passage(TEXT)
    assert pairs(read_passage(TEXT)) is pairs(read_passage(TEXT))


def test_an_answer_across_passages_names_the_two_that_bear_it_out() -> None:
    first, second = TEXT.split(" Fog ")
    shown = f"[1] {first}\n\n[2] Fog {second}"
    asked = record("Joint", used=Many(INT), question=STR, answer=STR)
    made = ask(Many(asked), {"text": first, "sources": shown})
    assert made
    for one in made:
        assert one["used"] == [1, 2]
        assert not answer_verdict(None, one["answer"], read_passage(first))[0]
    assert any(answer_verdict(None, one["answer"], read_passage(TEXT))[0] for one in made)
