"""Rows to conversations: turns alternate, nothing is empty, and what is to be learnt is marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.data.columns import record_fields
from engine.kinds.base import Made, Row
from engine.language.program import Clause
from tests.workbench import Bench, Problem, bench, clause, row

PAIRS = {"pairs": {"question": "VARCHAR", "answer": "VARCHAR", "title": "VARCHAR"}}
TURNS = {"talks": {"turns": 'STRUCT("question" VARCHAR, "answer" VARCHAR)[]'}}
MESSAGES = {"talks": {"messages": 'STRUCT("role" VARCHAR, "content" VARCHAR)[]'}}


def value(of: Clause, row: Row) -> Any:
    """What the tests' expressions come to: a column, or a text with columns in braces."""
    return row.columns[of.sql] if of.sql in row.columns else of.sql.format(**row.columns)


def chat(
    tmp_path: Path, inputs: dict[str, dict[str, str]], expressions: dict[str, str] | None = None, **more: Any
) -> Bench:
    expressions = expressions or {}
    made = bench(
        "chat",
        tmp_path,
        {**expressions, **more},
        inputs=inputs,
        expressions={name: clause(sql) for name, sql in expressions.items()},
    )
    made.values = value
    return made


def decided(made: Bench, **columns: Any) -> Made:
    (one,) = made.decide(row("pairs", 1, **columns)).made
    return one


def said(made: Made) -> list[tuple[str, str]]:
    assert made.fate == "ok", made.reason
    return [(message["role"], message["content"]) for message in made.own["messages"]]


def test_a_pair_and_a_system_prompt_that_reads_the_row(tmp_path: Path) -> None:
    made = chat(tmp_path, PAIRS, {"system": "You know {title}."})
    assert said(decided(made, question="Q?", answer="A.", title="clouds")) == [
        ("system", "You know clouds."),
        ("user", "Q?"),
        ("assistant", "A."),
    ]


@pytest.mark.parametrize("system", [{}, {"system": ""}, {"system": "  "}])
def test_an_empty_system_prompt_is_none(tmp_path: Path, system: dict[str, str]) -> None:
    made = chat(tmp_path, PAIRS, system)
    assert said(decided(made, question="Q?", answer="A.", title="t")) == [("user", "Q?"), ("assistant", "A.")]


def test_who_says_what_is_an_expression(tmp_path: Path) -> None:
    made = chat(tmp_path, PAIRS, {"user": "On {title}: {question}", "assistant": "answer"})
    assert said(decided(made, question="Q?", answer="A.", title="t")) == [
        ("user", "On t: Q?"),
        ("assistant", "A."),
    ]


def test_turns_of_pairs(tmp_path: Path) -> None:
    made = chat(tmp_path, TURNS, turns="turns")
    turns = [{"question": "Q1", "answer": "A1"}, {"question": "Q2", "answer": "A2"}]
    assert said(decided(made, turns=turns)) == [
        ("user", "Q1"),
        ("assistant", "A1"),
        ("user", "Q2"),
        ("assistant", "A2"),
    ]


def test_turns_of_messages_keep_or_change_their_system_prompt(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "old"},
        {"role": "human", "content": "Q"},
        {"role": "gpt", "content": "A"},
    ]
    kept = chat(tmp_path, MESSAGES, turns="messages")
    assert said(decided(kept, messages=messages)) == [("system", "old"), ("user", "Q"), ("assistant", "A")]
    changed = chat(tmp_path, MESSAGES, {"system": "new"}, turns="messages")
    assert said(decided(changed, messages=messages)) == [("system", "new"), ("user", "Q"), ("assistant", "A")]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "there are no turns"),
        (None, "there are no turns"),
        ([("system", "S")], "there are no turns"),
        ([("user", "Q")], "the last message is the user's"),
        ([("assistant", "A")], "message 1 is the assistant's; it must be the user's"),
        (
            [("system", "S"), ("user", "Q"), ("user", "Q")],
            "message 3 is the user's; it must be the assistant's",
        ),
        ([("user", "Q"), ("assistant", " ")], r"message 2 \(assistant\) is empty"),
        ([("user", "Q"), ("assistant", None)], r"message 2 \(assistant\) is empty"),
        ([("user", "Q"), ("system", "S")], "message 2 is the system's"),
        ([("user", "Q"), (None, "S")], "message 2 is nobody's; it must be the assistant's"),
    ],
)
def test_what_is_no_conversation_has_failed(tmp_path: Path, messages: Any, reason: str) -> None:
    listed = None if messages is None else [{"role": role, "content": text} for role, text in messages]
    made = decided(chat(tmp_path, MESSAGES, turns="messages"), messages=listed)
    assert made.fate == "failed"
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(made.reason)


@pytest.mark.parametrize("empty", [None, "", " \n"])
def test_an_empty_answer_has_failed(tmp_path: Path, empty: str | None) -> None:
    made = decided(chat(tmp_path, PAIRS), question="Q", answer=empty, title="t")
    assert (made.fate, made.reason) == ("failed", "message 2 (assistant) is empty")


def test_an_expression_that_cannot_be_worked_out_fails_the_row(tmp_path: Path) -> None:
    made = chat(tmp_path, PAIRS, {"system": "x"})
    made.values = lambda of, row: ValueError("division by zero")
    assert (
        decided(made, question="Q", answer="A", title="t").reason
        == "`system` cannot be worked out: division by zero"
    )


@pytest.mark.parametrize(
    ("train", "flags"),
    [("assistant", [False, False, True, False, True]), ("all", [True] * 5), ("last", [False] * 4 + [True])],
)
def test_what_is_to_be_learnt(tmp_path: Path, train: str, flags: list[bool]) -> None:
    made = chat(tmp_path, TURNS, {"system": "S"}, turns="turns", train=train)
    assert '"train" BOOLEAN' in made.node.own["messages"]
    one = decided(made, turns=[{"question": "Q", "answer": "A"}] * 2)
    assert [message["train"] for message in one.own["messages"]] == flags


@pytest.mark.parametrize(
    ("inputs", "settings", "reason"),
    [
        ({"t": {"text": "VARCHAR"}}, {}, "`chat` needs `user`: the input has no column `question`"),
        ({"t": {"question": "VARCHAR"}}, {}, "`chat` needs `assistant`"),
        ({"t": {"x": "VARCHAR"}}, {"turns": "y"}, "no column named `y`"),
        ({"t": {"x": "VARCHAR[]"}}, {"turns": "x"}, "`x` is no list of turns"),
        ({"t": {"x": 'STRUCT("a" VARCHAR)[]'}}, {"turns": "x"}, "`x` is no list of turns"),
        (TURNS, {"turns": "turns", "user": "question"}, "in place of `user` and `assistant`"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, inputs: Any, settings: dict[str, str], reason: str) -> None:
    with pytest.raises(Problem, match=reason):
        bench("chat", tmp_path, settings, inputs=inputs)


def test_what_a_row_depends_on(tmp_path: Path) -> None:
    made = bench(
        "chat", tmp_path, {"system": "s"}, inputs=PAIRS, expressions={"system": clause("s", {"title"})}
    )
    assert made.kind.reads(made.node) == {"question", "answer", "title"}


@pytest.mark.parametrize(
    ("type_", "fields"),
    [
        ("VARCHAR", None),
        ("VARCHAR[]", None),
        ('STRUCT("a" VARCHAR)', None),
        ('STRUCT("a" VARCHAR, b BIGINT[])[]', ["a", "b"]),
        ('STRUCT("a, b" STRUCT(c INTEGER, d DECIMAL(9,2)), e MAP(INT, INT))[]', ["a, b", "e"]),
    ],
)
def test_fields_of_a_list_of_records(type_: str, fields: list[str] | None) -> None:
    assert record_fields(type_) == fields
