"""Texts of all sorts: whatever is written, a check says something and does not fall over."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import paths
from engine.language.grammar import parser
from engine.language.slips import _STATEMENTS
from tests.amount import amount
from tests.language.support import HERE, checked, program, told

QUICK = settings(
    max_examples=amount(40, 15),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
WORKED = (HERE / "graphs" / "worked.atk").read_text()
TOKENS = [str(token) for token in parser().lex(WORKED)]
WORDS = sorted(
    {*TOKENS, *_STATEMENTS, "'", '"', '"""', "`", "\n", "#", "##", "\\", "\0", "\ufeff", "1e999", "-1"}
)
HEAD = 'type A { a: str, n: int, ok: bool, l: str[], r: { x: str } }\nsource d -> A[] { path = "x" }\n'
NAMES = [
    "a",
    "n",
    "ok",
    "l",
    "r",
    "d_id",
    "r.x",
    "l[1]",
    "null",
    "true",
    "1",
    "1.5",
    '"t"',
    "count(*)",
    "[]",
    "{}",
]


def said(text: str) -> None:
    """A check that gives messages with places, twice the same."""
    found = program(text)
    for diagnostic in found.diagnostics:
        assert diagnostic.message
        assert diagnostic.span.line >= 1
        assert diagnostic.span.column >= 1
    assert told(found) == told(program(text))


@QUICK
@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_tokens_in_any_order(words: list[str]) -> None:
    said(" ".join(words))


@QUICK
@given(
    st.integers(0, len(WORKED)), st.integers(0, 30), st.one_of(st.sampled_from(WORDS), st.text(max_size=5))
)
def test_a_graph_with_a_stretch_replaced(at: int, length: int, by: str) -> None:
    told(program(WORKED[:at] + by + WORKED[at + length :]))


@QUICK
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    said(text)


expressions = st.recursive(
    st.sampled_from(NAMES),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+ - * / % || == != < >= and or in".split()), inner).map(" ".join),
        inner.map("not {}".format),
        inner.map("({})".format),
        inner.map("[{}]".format),
        st.tuples(
            st.sampled_from(["length", "sum", "if", "coalesce", "nope", "regexp_matches"]), inner, inner
        ).map(lambda three: f"{three[0]}({three[1]}, {three[2]})"),
    ),
    max_leaves=6,
)


@QUICK
@given(expressions, st.sampled_from(["where", "let z =", "check", "keep", "expect"]))
def test_any_expression(expression: str, word: str) -> None:
    said(HEAD + f'prompt p from d -> A {{ template = "qa/judge", model = default\n {word} {expression}\n}}\n')


@QUICK
@given(
    st.lists(
        st.sampled_from("SELECT FROM WHERE d a n , ( ) * 'x' $q GROUP BY JOIN USING WITH AS ; \" 1".split())
    )
)
def test_any_query(words: list[str]) -> None:
    said(HEAD + f'sql s {{ query = """\n  {" ".join(words)}\n""" }}\n')


PIECES = [
    "---\n", "description: x\n", "temperature: 2020-13-45\n", "stop: [a, {b: c}]\n", "? {a: b}\n: c\n",
    "&a [*a]\n", "system:\n", "user:\n", "messages: l\n", "{{ a }}", "{% for x in l %}", "{% endfor %}",
    "{% include 'x' %}", "{{ a|nope }}", "{#", "#}", "{{", "}}", "{% set a = 1 %}", "{{ r.x }}", "text ",
    "{% extends a %}", "{% import 'qa/judge.md' as j %}", "{{ a.__class__ }}", "\n", "\x00", "é\u2028",
    "!!python/object:os.system x\n",
]  # fmt: skip


@QUICK
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=14))
def test_any_prompt(pieces: list[str], tmp_path: Path) -> None:
    (tmp_path / "graphs").mkdir(exist_ok=True)
    (tmp_path / "prompts").mkdir(exist_ok=True)
    (tmp_path / "prompts" / "any.md").write_text("".join(pieces), encoding="utf-8")
    graph = HEAD + 'prompt p from d -> A { template = "any", model = default }\n'
    told(checked(tmp_path / "graphs" / "one.atk", graph))


@pytest.mark.parametrize(
    "prompt",
    [
        "---\ntemperature: 2020-13-45\n---\nuser:\nx",
        "---\nseed: !!int x\n---\nuser:\nx",
        "---\nseed: !!timestamp x\n---\nuser:\nx",
        "---\nstop: " + "[" * 3000 + "\n---\nuser:\nx",
        "user:\n{{ " + "(" * 3000,
        "user:\n" + "{% if a %}" * 500 + "{% endif %}" * 500,
    ],
    ids=lambda prompt: prompt[:24],
)
def test_prompts_that_once_fell_over(prompt: str, tmp_path: Path) -> None:
    (tmp_path / "graphs").mkdir()
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "any.md").write_text(prompt)
    graph = HEAD + 'prompt p from d -> A { template = "any", model = default }\n'
    found = checked(tmp_path / "graphs" / "one.atk", graph)
    assert [one.code for one in found.diagnostics] == ["ATK131"]
    assert found.diagnostics[0].span.path.endswith("any.md")


@pytest.mark.parametrize("path", sorted(paths.graphs().rglob("*.atk")), ids=lambda path: path.stem)
def test_a_shipped_graph_cut_anywhere(path: Path) -> None:
    text = path.read_text()
    for at in range(0, len(text), max(len(text) // amount(12, 3), 1)):
        told(program(text[:at]))
