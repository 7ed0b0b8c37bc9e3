"""Types: what they compile to, which values fit them, and how a misfit is told."""

from __future__ import annotations

import json
import math
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.language.types import (
    BOOL,
    FLOAT,
    INT,
    PATH,
    STR,
    Field,
    Literal,
    Many,
    Mismatch,
    Optional,
    Record,
    Type,
    accepts,
    describe,
    duckdb_type,
    json_schema,
    parse_value,
    schema_text,
    text_field,
    validator,
    wrapping,
)
from tests import generated
from tests.amount import amount

STYLE = Literal(("Plain", "socratic"))
QA = Record((Field("question", STR, "Understandable alone."), Field("answer", STR)), "QA", "A pair.")
VERDICT = Record((Field("why", STR, "Before deciding."), Field("ok", BOOL)), "Verdict")
QUIZ = Record((Field("title", Optional(STR)), Field("pairs", Many(QA)), Field("hint", Optional(QA))))


@pytest.mark.parametrize(
    ("kind", "written", "expanded", "stored"),
    [
        (STR, "str", "str", "VARCHAR"),
        (PATH, "path", "path", "VARCHAR"),
        (INT, "int", "int", "BIGINT"),
        (FLOAT, "float", "float", "DOUBLE"),
        (BOOL, "bool", "bool", "BOOLEAN"),
        (STYLE, '"Plain" | "socratic"', '"Plain" | "socratic"', "VARCHAR"),
        (Many(STYLE), '("Plain" | "socratic")[]', '("Plain" | "socratic")[]', "VARCHAR[]"),
        (Optional(INT), "int?", "int?", "BIGINT"),
        (Many(Many(INT)), "int[][]", "int[][]", "BIGINT[][]"),
        (Optional(Many(STR)), "str[]?", "str[]?", "VARCHAR[]"),
        (
            Many(QA),
            "QA[]",
            "{ question: str, answer: str }[]",
            'STRUCT("question" VARCHAR, "answer" VARCHAR)[]',
        ),
        (
            Record((Field('odd "name"', INT),)),
            '{ odd "name": int }',
            '{ odd "name": int }',
            'STRUCT("odd ""name""" BIGINT)',
        ),
    ],
)
def test_how_a_type_is_written_and_stored(kind: Type, written: str, expanded: str, stored: str) -> None:
    assert describe(kind) == written
    assert describe(kind, expand=True) == expanded
    assert duckdb_type(kind) == stored
    assert duckdb.sql(f"SELECT NULL::{stored} AS value").types


def test_a_record_without_fields_cannot_be_stored() -> None:
    with pytest.raises(ValueError, match="without fields"):
        duckdb_type(Record(()))


# -- schemas -----------------------------------------------------------------------------


def test_a_schema_keeps_order_docs_and_demands_every_field() -> None:
    schema = json_schema(QUIZ)
    assert list(schema["properties"]) == schema["required"] == ["title", "pairs", "hint"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["title"] == {"type": ["string", "null"]}
    pair = schema["properties"]["pairs"]["items"]
    assert pair["description"] == "A pair."
    assert pair["properties"]["question"] == {"type": "string", "description": "Understandable alone."}
    assert schema["properties"]["hint"] == {"anyOf": [pair, {"type": "null"}]}


def test_an_optional_literal_may_be_null() -> None:
    schema = json_schema(Record((Field("style", Optional(STYLE)),)))
    assert schema["properties"]["style"] == {"type": ["string", "null"], "enum": ["Plain", "socratic", None]}


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (QA, None),
        (Many(QA), "items"),
        (Optional(QA), "item"),
        (Optional(Many(QA)), "items"),
        (STR, "item"),
        (STYLE, "item"),
    ],
)
def test_what_is_no_object_is_wrapped_into_one(kind: Type, key: str | None) -> None:
    assert wrapping(kind) == key
    schema = json_schema(kind)
    assert schema["type"] == "object"
    assert key is None or schema["required"] == [key]


def test_the_text_of_a_schema() -> None:
    assert schema_text(VERDICT) == (
        "Reply with JSON only, without any other text, in this shape:\n\n"
        "{\n"
        '  "why": string,  // Before deciding.\n'
        '  "ok": true or false\n'
        "}"
    )
    listed = schema_text(Many(QA))
    assert '"items": [\n    {\n      "question": string,  // Understandable alone.\n' in listed
    assert listed.endswith('If there is nothing to give, reply {"items": []}.')
    assert schema_text(Optional(QA)).endswith('To decline, reply {"item": null}.')
    assert '"Plain" or "socratic"' in schema_text(Record((Field("style", STYLE),)))


def test_the_text_of_a_schema_in_the_other_forms() -> None:
    tags = schema_text(QUIZ, "tags")
    assert "<title>string, or leave it empty</title>" in tags
    assert "<pairs>\n  <item>\n    <question>string (Understandable alone.)</question>" in tags
    assert schema_text(Record((Field("mood", STR),)), "text") == (
        "Reply with the text alone, without any other words."
    )
    assert schema_text(Optional(Record((Field("ok", BOOL),))), "text") == (
        "Reply with true or false alone, without any other words. To decline, reply null."
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Record((Field("mood", STR),)), "mood"),
        (Optional(Record((Field("mood", Optional(STR)),))), "mood"),
        (Record((Field("style", STYLE),)), "style"),
        (Record((Field("score", INT),)), "score"),
        (Record((Field("scores", Many(INT)),)), None),
        (QA, None),
        (Many(QA), None),
        (STR, None),
    ],
)
def test_which_types_take_a_whole_reply(kind: Type, name: str | None) -> None:
    assert text_field(kind) == name


# -- values ------------------------------------------------------------------------------

FITS: list[tuple[Type, Any, Any]] = [
    (BOOL, True, True),
    (BOOL, "true", True),
    (BOOL, " True ", True),
    (BOOL, "YES", True),
    (BOOL, "no", False),
    (BOOL, 1, True),
    (BOOL, 0, False),
    (INT, 7, 7),
    (INT, "7", 7),
    (INT, "2_000", 2000),
    (INT, 7.0, 7),
    (INT, -(2**63), -(2**63)),
    (FLOAT, 7, 7.0),
    (FLOAT, "0.5", 0.5),
    (STR, "x", "x"),
    (STR, "", ""),
    (STR, 7, "7"),
    (STR, 0.5, "0.5"),
    (STR, "a\0b", "a\0b"),
    (PATH, "a/b", "a/b"),
    (STYLE, "plain", "Plain"),
    (STYLE, " SOCRATIC\n", "socratic"),
    (Literal(("1", "2")), 2, "2"),
    (Literal(("true", "false")), True, "true"),
    (Optional(INT), None, None),
    (Optional(INT), "3", 3),
    (Many(STR), ["a"], ["a"]),
    (Many(STR), ("a", "b"), ["a", "b"]),
    (Many(STR), "a", ["a"]),
    (Many(QA), {"question": "q", "answer": "a"}, [{"question": "q", "answer": "a"}]),
    (QA, {"answer": "a", "question": "q", "more": 1}, {"question": "q", "answer": "a"}),
    (QUIZ, {"pairs": []}, {"title": None, "pairs": [], "hint": None}),
]


@pytest.mark.parametrize(("kind", "value", "wanted"), FITS)
def test_what_differs_in_form_only_is_mended(kind: Type, value: Any, wanted: Any) -> None:
    assert validator(kind)(value) == wanted


MISFITS: list[tuple[Type, Any, str]] = [
    (VERDICT, {"why": "x", "ok": "maybe"}, '`ok` must be true or false, not "maybe"'),
    (VERDICT, {"why": "x"}, "`ok` is missing"),
    (VERDICT, {}, "`why` is missing; `ok` is missing"),
    (VERDICT, {"why": None, "ok": True}, "`why` must be text, not null"),
    (VERDICT, {"why": True, "ok": True}, "`why` must be text, not true"),
    (VERDICT, {"why": "x", "ok": 2}, "`ok` must be true or false, not 2"),
    (VERDICT, [], "the value must be an object with `why`, `ok`, not a list"),
    (VERDICT, None, "the value must be an object with `why`, `ok`, not null"),
    (
        VERDICT,
        {"why": ["x"], "ok": {}},
        "`why` must be text, not a list; `ok` must be true or false, not an object",
    ),
    (INT, 7.5, "the value must be a whole number, not 7.5"),
    (INT, "seven", 'the value must be a whole number, not "seven"'),
    (INT, True, "the value must be a whole number, not true"),
    (INT, 2**63, "the value must lie within 64 bits"),
    (FLOAT, False, "the value must be a number, not false"),
    (FLOAT, math.nan, "the value must be a number, not nan"),
    (FLOAT, math.inf, "the value must be a number, not inf"),
    (STYLE, "florid", 'the value must be "Plain" or "socratic", not "florid"'),
    (STR, "\ud800", "the value holds text that is not valid Unicode"),
    (STR, None, "the value must be text, not null"),
    (Many(STR), None, "the value must be a list, not null"),
    (QUIZ, {"pairs": [{"question": "q", "answer": "a"}, {"question": "r"}]}, "`pairs[1].answer` is missing"),
    (QUIZ, {"pairs": [None]}, "`pairs[0]` must be an object with `question`, `answer`, not null"),
    (QUIZ, {"pairs": [], "hint": {"answer": "a"}}, "`hint.question` is missing"),
    (STR, ["x" * 99], "the value must be text, not a list"),
    (INT, "x" * 99, f'the value must be a whole number, not "{"x" * 57}..."'),
    (
        Many(INT),
        ["a", "b", "c", "d", "e"],
        (
            '`[0]` must be a whole number, not "a"; `[1]` must be a whole number, not "b"; '
            '`[2]` must be a whole number, not "c"; and 2 more'
        ),
    ),
]


@pytest.mark.parametrize(("kind", "value", "message"), MISFITS)
def test_what_differs_in_meaning_is_refused(kind: Type, value: Any, message: str) -> None:
    with pytest.raises(Mismatch) as raised:
        validator(kind)(value)
    assert raised.value.message == message


def test_paths_begin_with_the_root() -> None:
    with pytest.raises(Mismatch, match=r"`items\[0\]\.answer` is missing"):
        validator(Many(QA), "items")([{"question": "q"}])


def test_a_field_may_bear_any_name() -> None:
    kind = Record((Field("a-b", INT), Field("class", STR)))
    assert validator(kind)({"a-b": 1, "class": "x"}) == {"a-b": 1, "class": "x"}
    with pytest.raises(Mismatch, match=r"`a-b` must be a whole number"):
        validator(kind)({"a-b": "x", "class": "x"})


@settings(max_examples=amount(50, 15), deadline=None)
@given(generated.typed_values())
def test_a_value_of_a_type_fits_it_as_it_is(typed: tuple[Type, Any]) -> None:
    kind, value = typed
    assert validator(kind)(value) == value
    assert accepts(kind, value) is None
    assert json.dumps(json_schema(kind))


@settings(max_examples=amount(25, 8), deadline=None)
@given(generated.typed_values())
def test_duckdb_takes_every_value_of_a_type(typed: tuple[Type, Any]) -> None:
    kind, value = typed
    with duckdb.connect() as connection:
        stored = connection.execute(f"SELECT $1::{duckdb_type(kind)}", [value]).fetchone()
    assert stored == (value,)


# -- constants of a graph ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (INT, 2, None),
        (FLOAT, 2, None),
        (PATH, "a", None),
        (Optional(STR), None, None),
        (Many(STR), [], None),
        (QA, {"question": "q", "answer": "a"}, None),
        (QUIZ, {"pairs": []}, None),
        (STYLE, "socratic", None),
        (INT, "2", 'must be a whole number (int), not "2"'),
        (INT, 2.0, "must be a whole number (int), not 2.0"),
        (INT, True, "must be a whole number (int), not true"),
        (BOOL, 1, "must be true or false (bool), not 1"),
        (STR, 1, "must be text (str), not 1"),
        (STR, None, "must be text (str), not null"),
        (STYLE, "socratik", 'must be "Plain" or "socratic", not "socratik"; did you mean "socratic"?'),
        (Many(STR), ["a", 1], "`[1]` must be text (str), not 1"),
        (QA, {"question": "q"}, "`answer` is missing"),
        (QA, {"question": "q", "anser": "a"}, "has no field `anser`; did you mean `answer`?"),
        (QUIZ, {"pairs": [{"question": "q", "answer": 1}]}, "`pairs[0].answer` must be text (str), not 1"),
        (QA, "x", 'must be an object with `question`, `answer`, not "x"'),
    ],
)
def test_constants_are_taken_as_they_are_written(kind: Type, value: Any, message: str | None) -> None:
    assert accepts(kind, value) == message


# -- the command line ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("2000", STR, "2000"),
        (" x ", STR, " x "),
        ("2_000", INT, 2000),
        ("-3", INT, -3),
        ("2e3", FLOAT, 2000.0),
        ("3", FLOAT, 3.0),
        ("true", BOOL, True),
        ("YES", BOOL, True),
        ("1", BOOL, True),
        ("no", BOOL, False),
        ("0", BOOL, False),
        ("null", Optional(INT), None),
        ("", Optional(STR), None),
        ("7", Optional(INT), 7),
        ("socratic", STYLE, "socratic"),
        ("a, b,c", Many(STR), ["a", "b", "c"]),
        ('["a, b", "c"]', Many(STR), ["a, b", "c"]),
        ("1,2", Many(INT), [1, 2]),
        ("[1, 2]", Many(FLOAT), [1.0, 2.0]),
        ("", Many(STR), []),
        ('{"question": "q", "answer": "a"}', QA, {"question": "q", "answer": "a"}),
        ('[{"question": "q", "answer": "a"}]', Many(QA), [{"question": "q", "answer": "a"}]),
    ],
)
def test_the_type_decides_what_a_text_means(text: str, kind: Type, value: Any) -> None:
    parsed = parse_value(text, kind)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (str(2**63), INT, f'must lie within 64 bits, not "{2**63}"'),
        (str(-(2**63) - 1), INT, f'must lie within 64 bits, not "{-(2**63) - 1}"'),
        ("2.5", INT, 'must be a whole number (int), not "2.5"'),
        ("", INT, 'must be a whole number (int), not ""'),
        ("nan", FLOAT, "must be a number (float)"),
        ("maybe", BOOL, "must be true or false (bool)"),
        ("plain", STYLE, 'did you mean "Plain"'),
        ("1,x", Many(INT), "must be a whole number"),
        ('["a", 1]', Many(STR), "`[1]` must be text (str), not 1"),
        ("[1", Many(INT), "written as JSON"),
        ("x", QA, "must be an object with `question`, `answer`, written as JSON"),
        ('{"question": "q"}', QA, "`answer` is missing"),
    ],
)
def test_a_text_without_meaning_is_refused(text: str, kind: Type, message: str) -> None:
    with pytest.raises(ValueError, match=r"must|missing") as raised:
        parse_value(text, kind)
    assert message in str(raised.value)


@given(st.text())
def test_a_text_is_a_str_as_it_is(text: str) -> None:
    assert parse_value(text, STR) == text
