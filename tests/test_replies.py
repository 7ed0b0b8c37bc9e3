"""Replies as models write them: a table of cases, and what is dressed up comes back the same."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

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
    wrapping,
)
from engine.models.replies import Unparsed, parse, split_thoughts
from tests.amount import amount
from tests.generated import typed_values

CASES = yaml.safe_load((Path(__file__).parent / "replies" / "cases.yaml").read_text("utf-8"))


def record(name: str, **fields: Type) -> Record:
    return Record(tuple(Field(key, kind) for key, kind in fields.items()), name)


QA = record("QA", question=STR, answer=STR)
MESSAGE = record("Message", role=Literal(("system", "user", "assistant")), content=STR)
TYPES = {
    kind.name: kind
    for kind in (
        QA,
        record("Verdict", why=STR, ok=BOOL),
        record("Quiz", title=STR, questions=Many(QA)),
        record("Chat", messages=Many(MESSAGE)),
        record("Facts", facts=Many(STR)),
        record("Score", score=INT),
        record("Share", share=FLOAT),
        record("Style", style=Literal(("plain", "socratic"))),
        record("Hint", term=STR, hint=Optional(STR)),
        record("Notes", left=Optional(STR), right=Optional(STR)),
        record("Long", short_reason=STR, is_good=BOOL),
        record("Mood", mood=STR),
    )
}


def wanted(text: str) -> Type:
    if text.endswith("[]"):
        return Many(wanted(text[:-2]))
    return Optional(wanted(text[:-1])) if text.endswith("?") else TYPES[text]


@pytest.mark.parametrize("case", CASES, ids=[case["says"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    kind, form = wanted(case["type"]), case.get("form", "json")
    if "error" in case:
        with pytest.raises(Unparsed) as raised:
            parse(case["reply"], kind, form)
        assert case["error"] in raised.value.message
    else:
        assert parse(case["reply"], kind, form) == case["value"]


def test_no_two_cases_have_the_same_name() -> None:
    names = [case["says"] for case in CASES]
    assert len(names) == len(set(names)) >= 80


@pytest.mark.parametrize(
    ("text", "thoughts", "rest"),
    [
        ("hello", None, "hello"),
        ("<think>a</think>b", "a", "b"),
        ("\n<think>\na\n</think>\n\nb", "a", "b"),
        ("<think></think>b", None, "b"),
        ("<thinking>a</thinking>b", "a", "b"),
        ("<think>never ends", "never ends", ""),
        ("a</think>b", "a", "b"),
        ("<think>a</think><think>c</think>b", "a\n\nc", "b"),
        ("Sure.\n<think>a</think>\nb", "a", "Sure.\nb"),
        ("the tag `<think>` begins thoughts", None, "the tag `<think>` begins thoughts"),
        ("<THINK>a</THINK>b", "a", "b"),
    ],
)
def test_thoughts_are_kept_apart(text: str, thoughts: str | None, rest: str) -> None:
    assert split_thoughts(text) == (thoughts, rest)


DRESSES = [
    "{}",
    "\n {} \n",
    "Here it is: {}",
    "Sure, as asked [1]:\n\n{}\n\nLet me know {{if}} more is needed.",
    "```json\n{}\n```",
    "Of course.\n```\n{}\n```\nDone.",
    "<think>What about {{this}}?</think>\n{}",
]


@settings(max_examples=amount(60, 15), deadline=None)
@given(typed_values(), st.sampled_from(DRESSES), st.sampled_from([None, 2]), st.booleans())
def test_whatever_is_dressed_up_comes_back_the_same(
    typed: tuple[Type, Any], dress: str, indent: int | None, ascii_only: bool
) -> None:
    kind, value = typed
    key = wrapping(kind)
    text = json.dumps(value if key is None else {key: value}, indent=indent, ensure_ascii=ascii_only)
    assert parse(dress.format(text), kind) == value


@settings(max_examples=amount(60, 15), deadline=None)
@given(typed_values(records=True), st.data())
def test_a_reply_that_is_cut_is_never_made_whole(typed: tuple[Type, Any], data: st.DataObject) -> None:
    kind, value = typed
    text = json.dumps(value)
    end = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises(Unparsed):
        parse(text[:end], kind)


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    for form in ("json", "tags"):
        with suppress(Unparsed):
            assert set(parse(text, wanted("Verdict"), form)) == {"why", "ok"}
