"""The text of a graph: what is read of it, and that nothing makes the reader fall over."""

from __future__ import annotations

import logging
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lark import Lark, logger

from engine import paths
from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Span, render
from engine.language.grammar import parser
from engine.language.syntax import parse
from tests.amount import amount
from tests.language.support import HERE, checked, codes, program, told

WORKED = (HERE / "graphs" / "worked.atk").read_text()
QUICK = settings(max_examples=amount(60, 20), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def value(written: str) -> ast.Expression:
    statement = parse(f"param x: str = {written}").statements[0]
    assert isinstance(statement, ast.ParamDeclaration)
    assert statement.default is not None
    return statement.default


# -- grammar ------------------------------------------------------------------------------


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    logger.setLevel(logging.DEBUG)
    logger.propagate = True
    try:
        with caplog.at_level(logging.DEBUG, logger="lark"):
            Lark(paths.grammar().read_text(), parser="lalr", lexer="basic", debug=True)
    finally:
        logger.setLevel(logging.CRITICAL)
    assert "conflict" not in caplog.text.lower()


def test_the_worked_example_reads_whole() -> None:
    source = parse(WORKED)
    assert not source.errors
    assert len(source.statements) == 25
    assert (source.doc or "").startswith("Turn a folder of documents into conversations about them.")


# -- strings and doc comments ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (r'"a\nb\t\"c\" \\ d"', 'a\nb\t"c" \\ d'),
        (r'"(?i)\d+\s*\."', r"(?i)\d+\s*\."),  # an unknown escape stays: regular expressions read as they are
        (r'"\u00e9\u20ac"', "é€"),
        ('"""\n    one\n      two\n\n    three\n  """', "one\n  two\n\nthree"),
        ('"""one\n    two"""', "one\ntwo"),
        ('""""""', ""),
        (r'"""\n stays"""', r"\n stays"),
        ('"""a "quoted" word"""', 'a "quoted" word'),
    ],
)
def test_strings(written: str, wanted: str) -> None:
    found = value(written)
    assert isinstance(found, ast.String)
    assert found.value == wanted


def test_places_inside_strings() -> None:
    source = parse('param x: str = """\n    one\n      two \\" é three\n"""').statements[0]
    assert isinstance(source, ast.ParamDeclaration)
    found = source.default
    assert isinstance(found, ast.String)
    span = found.place(found.value.index("three"), len("three"))
    assert (span.line, span.column, span.width) == (3, 16, 5)
    escaped = value(r'"a\n\u00e9b"')
    assert isinstance(escaped, ast.String)
    assert escaped.place(3).column == len('param x: str = "a\\n\\u00e9') + 1


def test_doc_comments() -> None:
    statements = parse(WORKED).statements
    docs = {
        statement.name.text: statement.doc
        for statement in statements
        if isinstance(statement, ast.ParamDeclaration | ast.TypeDeclaration | ast.NodeDeclaration)
    }
    assert docs["domain"] == "What the documents are about."
    assert docs["votes"] == "Judges per question;\nodd numbers cannot tie."
    assert docs["limit"] == "Read only this many passages."
    assert docs["style"] is None
    assert docs["QA"] == "A question with its answer."
    assert docs["worthy"] == "Tables of contents, indexes and licences make useless questions."
    assert docs["documents"] is None
    [qa] = [one for one in statements if isinstance(one, ast.TypeDeclaration) and one.name.text == "QA"]
    assert isinstance(qa.type, ast.TypeRecord)
    assert [field.doc for field in qa.type.fields] == [
        "Understandable without the passage.",
        "Complete, and drawn only from the passage.",
    ]


def test_a_doc_comment_on_one_line_belongs_to_the_type() -> None:
    [card] = parse("type Card { name: str, age: int } ## Who plays.").statements
    assert isinstance(card, ast.TypeDeclaration)
    assert isinstance(card.type, ast.TypeRecord)
    assert card.doc == "Who plays."
    assert [field.doc for field in card.type.fields] == [None, None]


# -- every error at once ------------------------------------------------------------------------


def test_reading_goes_on_after_an_error() -> None:
    source = parse('param a = 1\nparam b: str\nsql c { query "x" }\nparam d: str\n')
    assert [error.span.line for error in source.errors] == [1, 3]
    assert [one.name.text for one in source.statements if isinstance(one, ast.ParamDeclaration)] == ["b", "d"]


def test_a_statement_may_hold_lines_that_start_at_the_margin() -> None:
    source = parse('prompt a from b {\ntemplate = "x"\nmodel = m\n}\n\nparam c = 1\n')
    assert [error.span.line for error in source.errors] == [6]
    assert len(source.statements) == 1


# -- what a person could possibly hand in -------------------------------------------------------

ALPHABET = st.sampled_from(
    [*"abc_ \n\t{}()[]\"'`=:,.|?-><#*/%+!&;$\\\0\ufeff雲é", "param ", "prompt ", '"""', "##"]
)


@QUICK
@given(st.lists(ALPHABET, max_size=60).map("".join) | st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for error in parse(text.replace("\r", "\n")).errors:
        render(error)


def tokens() -> list[tuple[int, int]]:
    return [(token.start_pos or 0, token.end_pos or 0) for token in parser().lex(WORKED)]


TOKENS = tokens()


@settings(max_examples=amount(25, 8), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_mutation_is_checked_without_falling_over(data: st.DataObject) -> None:
    text = WORKED
    for _ in range(data.draw(st.integers(1, 3))):
        begin, end = data.draw(st.sampled_from(TOKENS))
        other = data.draw(st.sampled_from(TOKENS))
        change = data.draw(st.sampled_from(["delete", "double", "replace"]))
        middle = {"delete": "", "double": text[begin:end] * 2, "replace": WORKED[other[0] : other[1]]}[change]
        text = text[:begin] + middle + text[end:]
    found = checked(HERE / "graphs" / "worked.atk", text=text, values={"domain": "x"})
    told(found)
    assert all(diagnostic.span.line >= 1 for diagnostic in found.diagnostics)


def test_a_deleted_token_is_noticed_where_it_is_missing() -> None:
    """Of all deletions 1 in 100 goes unnoticed (optional commas, a `not`); this draws some of them."""
    drawn = random.Random(7).sample(TOKENS, 24)
    starts = [row for row, line in enumerate(WORKED.split("\n"), 1) if line[:1].isalpha()]

    def statement(line: int) -> int:
        return max((start for start in starts if start <= line), default=0)

    silent, elsewhere = [], []
    for begin, end in drawn:
        line = WORKED.count("\n", 0, begin) + 1
        text = WORKED[:begin] + WORKED[end:]
        found = checked(HERE / "graphs" / "worked.atk", text=text, values={"domain": "x"})
        if not found.diagnostics:
            silent.append((line, WORKED[begin:end]))
        elif statement(found.diagnostics[0].span.line) != statement(line):
            elsewhere.append((line, WORKED[begin:end], told(found)))
    assert len(silent) <= 1, silent
    assert len(elsewhere) <= 1, elsewhere


@pytest.mark.parametrize(
    "text",
    [
        "param a: str = " + "(" * 5000 + "1" + ")" * 5000,
        "param a: str = " + "[" * 5000 + "]" * 5000,
        "param a: int = 1" + " + 1" * 5000,
        "param a: int" + "[]" * 5000,
        "param a: " + "{ a: " * 3000 + "str" + "}" * 3000,
        "sql a { query = " + "{" * 3000,
        "sql a { where x" + ".y" * 5000 + " }",
        "}" * 3000,
        '"' * 3001,
        "param a: str = 1\n" * 400,
        "prompt\n" * 2000,
    ],
    ids=range(11),
)
def test_depth_and_length_do_no_harm(text: str) -> None:
    assert codes(program(text))


# -- how a message looks ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "column", "width", "wanted"),
    [
        ("\tx = y", 2, 1, ["1 |     x = y", "  |     ^"]),
        ("a\tx = y", 3, 1, ["1 | a   x = y", "  |     ^"]),
        ("雲雲 = y", 6, 1, ["1 | 雲雲 = y", "  |        ^"]),
        ("雲雲 = y", 1, 2, ["1 | 雲雲 = y", "  | ^^^^"]),
        ("e\u0301e = y", 5, 3, ["1 | e\u0301e = y", "  |    ^^^"]),
        ("a\x1b[31m = y", 9, 1, ["1 | a\ufffd[31m = y", "  |         ^"]),
        ("short", 40, 3, ["1 | short", "  |      ^"]),
    ],
)
def test_carets_stand_below(line: str, column: int, width: int, wanted: list[str]) -> None:
    shown = render(Diagnostic("ATK001", "x", Span("a.atk", 1, column, width, line)))
    assert shown.split("\n")[3:] == wanted


def test_a_message_finds_its_line_in_the_whole_text() -> None:
    shown = render(Diagnostic("ATK001", "x", Span("a.atk", 2, 1)), "one\ntwo\n")
    assert "2 | two" in shown
