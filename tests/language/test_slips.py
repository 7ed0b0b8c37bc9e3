"""What people write who know another language, and the help that they get."""

from __future__ import annotations

import pytest

from tests.language.support import program, told

HEAD = 'type QA { q: str, n: int }\nsource d -> QA[] { path = "x.jsonl" }\n'
STATEMENTS = {
    "class QA { q: str }": "a shape is written: type Name",
    'import "lib/text.atk"': 'another file is brought in with: use "lib/text.atk"',
    "from lib.text import Document": 'another file is brought in with: use "lib/text.atk"',
    "if true {\n}": "there is no `if` among statements",
    "def documents():\n    return 1": "a step is a node",
    "for x in d {": "there are no loops",
    "SELECT * FROM d": "SQL stands in an `sql` node",
    "let x = 3": "param name: type = value",
    "param a: bool = true && false": "write `and`",
    "param a: bool = !true": "write `not`",
    "source e => QA[] { }": "what a call gives back stands behind `->`",
    "// a comment": "comments begin with `#`",
    "/* a comment */": "comments begin with `#`",
    "-- a comment": "comments begin with `#`",
    "param a: str = \u201cx\u201d": "strings take straight quotes",
    "param a: str = 'x'": "strings take double quotes",
    "param a: str = \"x\";": "end by themselves",
    "param a: int == 3": "a value is given with `=`",
    "param a: bool = True": "write `true`",
    "param a: str? = None": "write `null`",
    "param a: int = true ? 1 : 2": "a choice is written if(c, a, b)",
    'param a: str = f"x"': "texts are joined with `||`",
    "source e -> QA[] { path = {{ n }} }": "there is no Jinja in a graph",
    "source e -> QA[] { path = $n }": "params are named without `$`",
    "type A { a: list[str] }": "write `T[]`",
    "type A { a: str | null }": "what may be missing is written `T?`",
    "type A { a: string }": "write `str`",
    "type A { a: dict }": "a record, its fields",
    "type A { a: number }": "write `float`",
    "type A { a: date }": "there is no type for times",
}  # fmt: skip
CLAUSES = {
    "expect q is not null": "x != null",
    'expect q like "a%"': "contains(text, piece)",
    "expect q like 'a%'": "contains(text, piece)",
    "expect n between 1 and 2": "write both sides out",
    "expect case when n > 1 then true end": "if(c, a, b)",
    "expect count(*) <> 0": "write `!=`",
    "expect n = 3": "to compare, write `==`",
}


@pytest.mark.parametrize("written", STATEMENTS)
def test_statement(written: str) -> None:
    found = program(HEAD + written + "\n")
    assert STATEMENTS[written] in told(found)
    assert [one.span.line for one in found.diagnostics] == [3] * len(found.diagnostics)


@pytest.mark.parametrize("written", CLAUSES)
def test_clause(written: str) -> None:
    found = program(HEAD + f'sql s {{\n  query = "FROM d"\n  {written}\n}}\n')
    assert CLAUSES[written] in told(found)
    assert [one.span.line for one in found.diagnostics] == [5]


def test_an_open_text_takes_in_all_below_it() -> None:
    found = program(HEAD + 'sql s { query = """\nFROM d\n}\nparam b: str = 5\n')
    assert len(found.diagnostics) == 1
    assert "this text of several lines is not closed" in told(found)
    assert (found.diagnostics[0].span.line, found.diagnostics[0].span.column) == (3, 17)


def test_one_mistake_one_message() -> None:
    assert len(program("type QA { q: str }\nsource d -> QA[] { path = 5 }\n").diagnostics) == 1
