"""Layout of graph files: pairs of files, the shipped graphs, and texts put out of shape at random.

`formatting/NAME.before.atk` becomes `NAME.after.atk`; `identity.atk` and the shipped graphs stay.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import paths
from engine.language import formatting
from engine.language.diagnostics import Diagnostic, Span, Wrong
from engine.language.formatting import Unsafe, format_text
from engine.language.grammar import parser
from engine.language.lexing import comments
from engine.language.parsing import Token
from engine.language.program import Clause, Program
from engine.language.syntax import parse
from engine.language.testing import Expectation
from engine.language.tree import Text
from tests.amount import amount
from tests.language.support import HERE as LANGUAGE
from tests.language.support import checked

HERE = Path(__file__).parent / "formatting"
SHIPPED = sorted(paths.graphs().rglob("*.atk"))
LAID_OUT = [HERE / "identity.atk", *sorted(HERE.glob("*.after.atk")), *SHIPPED]
WORKED = LANGUAGE / "graphs" / "worked.atk"
RANDOM = settings(max_examples=amount(20, 8), deadline=None, suppress_health_check=list(HealthCheck))


BETWEEN = (
    *(" ", "  ", "\t", "\n", "\n\n", "\n  ", "\n\n\n\n    "),
    *(" # said\n", "\n# alone\n", " ## doc\n", "\n    ## doc\n  "),
    *("  ## a\n  ## b\n", "\n## a\n\n", " # a\n   # b\n"),
)


# -- data --------------------------------------------------------------------------------


@pytest.mark.parametrize("before", sorted(HERE.glob("*.before.atk")), ids=lambda path: path.name)
def test_pairs(before: Path) -> None:
    after = before.with_name(before.name.replace("before", "after"))
    assert format_text(before.read_text()) == after.read_text()


@pytest.mark.parametrize("path", LAID_OUT, ids=lambda path: path.name)
def test_what_is_laid_out_stays(path: Path) -> None:
    assert format_text(path.read_text()) == path.read_text()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        (" \n\n\t\n", ""),
        ("\ufeff", ""),
        ("# a", "# a\n"),
        ("use \"a\"\r\nparam  a:str\n", "use \"a\"\r\nparam a: str\r\n"),
        ("param  a:str\nuse \"a\"\r\n", "param a: str\nuse \"a\"\n"),
        ("param\ta:\f str\t# x\t\n", "param a: str                             # x\n"),
        ('\ufeffuse "a"', 'use "a"\n'),
        ("  param a: str", "param a: str\n"),
    ],
)  # fmt: skip
def test_ends_and_beginnings(before: str, after: str) -> None:
    assert format_text(before) == after


def test_a_comment_of_its_own_stays_one() -> None:
    """Nested so deeply that its indentation meets the column of the comment above it."""
    text = "param a: str = " + "[\n" * 20 + "[ ## behind\n## above\ny" + "]" * 21 + "\n"
    once = format_text(text)
    columns = [line.index("##") for line in once.split("\n") if "##" in line]
    assert columns == [43, 42]
    assert format_text(once) == once


# -- what is refused ---------------------------------------------------------------------


def test_a_text_that_does_not_parse() -> None:
    with pytest.raises(Wrong) as raised:
        format_text("param a str\nparam b: str = ]\n", "here.atk")
    assert [one.span.line for one in raised.value.diagnostics] == [1, 2]
    assert raised.value.diagnostics[0].span.path == "here.atk"


@pytest.mark.parametrize(
    ("damaged", "what"),
    [
        ("param a: str\n", "a comment"),  # lost
        ("# one\nparam a: str\n", "a comment"),  # moved
        ("param a: str # two\n", "a comment"),  # another
        ("param a: str\n# one\n", "a comment"),  # below
        ("param b: str # one\n", "layout"),
        ("param a: # one\n", "a comment"),
    ],
)
def test_damage_is_refused(monkeypatch: pytest.MonkeyPatch, damaged: str, what: str) -> None:
    monkeypatch.setattr(formatting, "_laid_out", lambda text: damaged)
    with pytest.raises(Unsafe, match=what):
        format_text("param a: str # one\n")


@pytest.mark.parametrize(
    ("text", "damaged"),
    [
        ("## a\n\nparam a: str\n", "## a\nparam a: str\n"),  # the file's comment became the param's
        ("type A { x: int ## a\n## b\ny: int }", "type A { x: int ## a\n                ## b\ny: int }"),
        ('sql a { query = """\n  a\n b""" }', 'sql a { query = """\n a\n b""" }'),
    ],
)
def test_damage_to_meaning_is_refused(monkeypatch: pytest.MonkeyPatch, text: str, damaged: str) -> None:
    monkeypatch.setattr(formatting, "_laid_out", lambda text: damaged)
    with pytest.raises(Unsafe):
        format_text(text)


# -- at random ---------------------------------------------------------------------------


def pieces(text: str) -> list[Token]:
    return list(parser().lex(text))


@st.composite
def shaken(draw: st.DrawFn, text: str) -> str:
    """The same tokens with other spaces, line breaks and comments between them."""
    tokens = pieces(text)
    between = st.sampled_from(BETWEEN)
    first = draw(st.integers(0, max(len(tokens) - 60, 0)))
    out, last = "", 0
    for number, token in enumerate(tokens):
        gap = text[last : token.start_pos]
        if first <= number < first + 60 and draw(st.booleans()):
            gap = draw(between)
        out += gap + token
        last = token.end_pos or 0
    return out + draw(between)


def told(text: str) -> list[str]:
    return [comment.text.rstrip() for comment in comments(Text("", text))]


def values(text: str) -> list[Any]:
    """Tokens, the long strings among them as what they mean."""
    return [[str(token.type), token if token.type != "TEXT" else dedented(token)] for token in pieces(text)]


def dedented(token: str) -> str:
    statement = parse(f"param x: str = {token}").statements[0]
    return statement.default.value  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "path", [WORKED, HERE / "identity.atk", HERE / "texts.before.atk"], ids=lambda p: p.name
)
@RANDOM
@given(data=st.data())
def test_nothing_is_lost(path: Path, data: st.DataObject) -> None:
    text = data.draw(shaken(path.read_text()))
    once = format_text(text)
    assert values(once) == values(text)
    assert told(once) == told(text)
    assert format_text(once) == once


def plain(node: Any) -> Any:
    """A program without places and without what stands there as it was written."""
    if is_dataclass(node) and not isinstance(node, type):
        if isinstance(node, Span | Diagnostic):
            return (node.code, node.message) if isinstance(node, Diagnostic) else None
        without = {"offsets", "source", "span"}
        without |= {"text"} if isinstance(node, Program | Clause) else set()
        without |= {"parts"} if isinstance(node, Expectation) else set()
        kept = (one.name for one in fields(node) if one.name not in without)
        return type(node).__name__, {name: plain(getattr(node, name)) for name in kept}
    if isinstance(node, dict):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [plain(part) for part in node]
    return str(node)


@settings(RANDOM, max_examples=amount(8, 4))
@given(text=shaken(WORKED.read_text()))
def test_the_program_is_the_same(text: str) -> None:
    def program(text: str) -> Program:
        return checked(WORKED, text, values={"domain": "x"})

    assert plain(program(format_text(text))) == plain(program(text))


@RANDOM
@given(
    lines=st.lists(
        st.sampled_from(["", " ", "   ", "\t", "a", "  b", "\tc", " \u00a0", "    d  "]), max_size=7
    )
)
def test_long_strings_keep_their_values(lines: list[str]) -> None:
    text = 'sql a {\n   query = """' + "\n".join(lines) + '""" }\n'
    once = format_text(text)
    found = [token for token in pieces(once) if token.type == "TEXT"]
    assert [dedented(one) for one in found] == [dedented(t) for t in pieces(text) if t.type == "TEXT"]
    assert format_text(once) == once
