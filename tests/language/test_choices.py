"""Alternatives of texts against texts that are none of them, and null against an order."""

from __future__ import annotations

import pytest

from tests.language.support import program, told

HEAD = """\
type Turn { role: "user" | "assistant", content: str }
type Row { kind: "x" | "y", maybe: ("x" | "y")?, turns: Turn[], last: Turn, text: str, n: int }
type Verdict { grade: "good" | "bad", why: str }
param style: "plain" | "socratic" = "plain"
source rows -> Row[] { path = "rows.jsonl" }
"""
WRONG = {
    'kind == "z"': '`kind` is never "z"',
    '"z" != kind': '`kind` is never "z"',
    'maybe == "z"': '`maybe` is never "z"',
    'kind in ["x", "q"]': '`kind` is never "q"',
    'turns[1].role == "usr"': 'did you mean "user"?',
    'last.role != "asistant"': 'did you mean "assistant"?',
    'style == "socratc"': 'did you mean "socratic"?',
    "n < null": "`<` with null is never true",
    "null >= n": "`>=` with null is never true",
}
RIGHT = (
    'kind == "x"',
    'kind != "y"',
    'maybe == "x" or maybe == null',
    'kind in ["x", "y"]',
    'text == "z"',
    "n == null",
    'turns[1].role == "user"',
    'last.content == "z"',
    'style == "plain"',
    "kind == text",
    'kind || "z" == "xz"',
)


@pytest.mark.parametrize("expression", WRONG)
@pytest.mark.parametrize("word", ["where", "expect"])
def test_wrong(expression: str, word: str) -> None:
    found = program(HEAD + f"chat talks from rows {{ {word} {expression} }}\n")
    assert [one.code for one in found.diagnostics] == ["ATK123"]
    assert WRONG[expression] in told(found)


@pytest.mark.parametrize("expression", RIGHT)
@pytest.mark.parametrize("word", ["where", "expect"])
def test_right(expression: str, word: str) -> None:
    assert told(program(HEAD + f"chat talks from rows {{ {word} {expression} }}\n")) == ""


def test_a_reply() -> None:
    node = (
        'prompt judged from rows -> Verdict { template = "qa/plain", model = default, keep grade == "god" }\n'
    )
    assert 'did you mean "good"?' in told(program(HEAD + node))


def test_what_a_repair_or_a_query_writes_may_be_anything() -> None:
    query = 'sql made { query = "SELECT \'z\' AS kind FROM rows" }\nchat t from made { where kind == "z" }\n'
    assert "never" not in told(program(HEAD + query))
    repaired = (
        'prompt judged from rows -> Verdict { template = "qa/plain", model = default, keep grade == "none"\n'
        '  repair -> { grade: str } { template = "qa/plain", model = default } }\n'
    )
    assert "never" not in told(program(HEAD + repaired))


def test_a_let_hides_a_column() -> None:
    found = program(HEAD + 'prompt p from rows -> Verdict { template = "qa/plain", model = default\n'
                    '  let kind = text\n  where kind == "z" }\n')  # fmt: skip
    assert "never" not in told(found)
