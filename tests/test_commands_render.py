"""How numbers, tables, texts and pictures look, without a run."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.commands import _look, _render, _summary


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (999, "999"), (1480, "1 480"), (1_234_567, "1 234 567")],
)
def test_number(value, text):
    assert _render.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (950, "950"),
        (9_990, "9990"),
        (12_345, "12.3 k"),
        (1_900_000, "1.9 M"),
        (999_900, "1 M"),
        (123_456_789, "123 M"),
        (4_400_000_000, "4.4 G"),
    ],
)
def test_short_count(value, text):
    assert _render.short(value) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "-"),
        (0, "$0"),
        (0.00001, "<$0.0001"),
        (0.00042, "$0.0004"),
        (0.0123, "$0.012"),
        (0.41, "$0.41"),
        (1234.5, "$1,234.50"),
    ],
)
def test_money(usd, text):
    assert _render.money(usd) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.42, "0.4 s"), (9.97, "10 s"), (59.4, "59 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")],
)
def test_duration(seconds, text):
    assert _render.duration(seconds) == text


def test_long_text_says_how_much_was_cut():
    text = "a" * 600 + "b" * 400
    cut = _render.shorten(text, 400)
    assert cut == "a" * 300 + " [… 600 characters …] " + "b" * 100
    assert _render.shorten("short", 400) == "short"


@given(st.text(max_size=60), st.integers(min_value=1, max_value=30))
def test_fitted_text_never_exceeds_its_places(text, places):
    assert _render.width(_render.fit(text, places)) <= max(places, 1)


@given(st.text(max_size=200))
def test_no_text_can_steer_the_terminal(text):
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", _render.printable(text))
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", _render.harmless(text))


def test_nested_values_are_outlined():
    turns = [{"role": "user", "content": "a\nb"}, {"role": "assistant", "tags": ["x", "y"], "n": 1}]
    assert _look.outline(turns) == [
        "- role: user",
        "  content: a",
        "    b",
        "- role: assistant",
        "  tags:",
        "    - x",
        "    - y",
        "  n: 1",
    ]
    assert _look.body({"a": 1}, None) == '{"a": 1}'


def test_table_aligns_and_respects_the_limit():
    lines = _render.table(
        ("name", "n", "why"), [("a", "5", "x" * 50), ("日本", "12", "y")], right=[1], limit=30
    )
    assert lines[0].startswith("name   n  why")
    assert lines[1] == "a      5  " + "x" * 19 + "…"
    assert lines[2] == "日本  12  y"


def test_json_has_no_nan(capsys):
    _render.print_json({"a": float("nan"), "b": [float("inf"), 1.5]})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5]}


def test_reasons_that_differ_in_numbers_and_names_count_as_one():
    found = _summary.group(
        [
            ("`questions[0].answer` is missing", 2),
            ("`questions[3].answer` is missing", 3),
            ("the reply was cut off at 512 tokens", 1),
            (None, 1),
        ]
    )
    assert found == [
        ("`questions[0].answer` is missing", 5),
        ("the reply was cut off at 512 tokens", 1),
        ("no reason was kept", 1),
    ]


@pytest.mark.parametrize(
    ("node", "text"),
    [("checked", "checked"), ("single_turn.built", '"single_turn"."built"'), ("Upper", '"Upper"')],
)
def test_name_in_sql(node, text):
    assert _summary.name_in_sql(node) == text


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (None, []),
        ('{"messages":[{"role":"user","content":"Hi"}]}', [("user", "Hi")]),
        (
            b'{"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}',
            [("user", '[{"type": "text", "text": "Hi"}]')],
        ),
        ("not json", [("request", "not json")]),
    ],
)
def test_messages_of_a_stored_request(sent, found):
    assert _look.messages(sent) == found
