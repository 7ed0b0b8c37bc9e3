"""`env` and `secret`: where they may stand, and as what they are read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.language.support import program

TEXT = """
use "lib/text.atk"
param flag: bool = env("FLAG", "no")
param words: str[] = env("WORDS", ["a", "b"])
param level: ("low" | "high")? = env("LEVEL", null)
source documents -> text.Document[] { path = env("WHERE", "inputs"), limit = env("LIMIT", 3) }
text.passages passages from documents { limit = env("MOST", null) }
dedupe few from passages { column = env("COLUMN", "text"), threshold = env("LIKE", 0.5) }
"""
SET = {
    "FLAG": "yes",
    "WORDS": "c",
    "LEVEL": "high",
    "WHERE": "x",
    "LIMIT": "7",
    "COLUMN": "title",
    "LIKE": "1",
}


def read(environment: dict[str, str]) -> list[Any]:
    found = program(TEXT, environment=environment)
    assert found.ok, [one.message for one in found.diagnostics]
    nodes = {name: node.settings.model_dump() for name, node in found.nodes.items()}
    settings = [nodes["documents"]["path"], nodes["documents"]["limit"]]
    return [*(one.value for one in found.params.values()), *settings, *list(nodes["few"].values())[:2]]


def test_what_is_set_is_read_as_the_type() -> None:
    assert read({}) == [False, ["a", "b"], None, "inputs", 3, "text", 0.5]
    assert read(SET) == [True, ["c"], "high", "x", 7, "title", 1.0]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"LIMIT": "many"}, '`limit` must be a whole number, not "many"'),
        ({"MOST": "many"}, '`limit` must be a whole number (int), not "many"'),
        ({"FLAG": "perhaps"}, '`flag` must be true or false (bool), not "perhaps"'),
        ({"LEVEL": "middle"}, '`level` must be "low" or "high", not "middle"'),
        ({"COLUMN": "nothing"}, "no column named `nothing`"),
    ],
)
def test_what_does_not_fit(variables: dict[str, str], message: str) -> None:
    assert [one.message for one in program(TEXT, environment=variables).diagnostics] == [message]


def test_what_is_not_set() -> None:
    found = program('source d -> { a: str }[] { path = env("NOWHERE") }')
    assert [(one.code, one.message) for one in found.diagnostics] == [
        ("ATK180", "the environment variable NOWHERE is not set")
    ]


@pytest.mark.parametrize(
    "text",
    [
        'param key: str = secret("K")',
        'source d -> { a: str }[] { path = secret("K") }',
        'model m from default { options = { user: secret("K") } }',
        'param a: str = "x"\nprofile p { a = secret("K") }',
        'source d -> { a: str }[] { path = "x", expect a == secret("K") }',
    ],
)
def test_a_secret_is_for_a_model(text: str) -> None:
    found = program(text, environment={"K": "hush"})
    assert not found.ok
    assert "hush" not in repr([(one.message, one.help) for one in found.diagnostics])
