"""Each rule beside graphs that it speaks of and graphs that it leaves alone.

`lint/RULE.bad.atk` gives the messages in `RULE.txt`, `RULE.good.atk` none of that rule, and `--fix`
makes `RULE.fixed.atk` of the first. To record messages anew after a deliberate change:
`ATK_RECORD=1 bin/test tests/test_lint.py`, then read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import paths
from engine.kinds import registry
from engine.language import check
from engine.language.diagnostics import render
from engine.language.explain import explanations
from engine.language.formatting import format_text, meaning
from engine.language.lexing import comments
from engine.language.lint import RULES, Found, Rule, fixed, lint, rule_named
from engine.language.lint.page import anchor, page
from engine.language.program import Program
from engine.language.syntax import parse
from engine.language.tree import Text
from tests.amount import amount

HOUSE = Path(__file__).parents[1]
HERE = HOUSE / "tests" / "lint"
FIXABLE = [rule for rule in RULES if rule.fixable]


def checked(path: Path, text: str | None = None) -> Program:
    return check(
        path,
        registry(),
        environment={},
        root=path.parent,
        prompts=[path.parent / "prompts", HOUSE / "prompts"],
        graphs=[path.parent, paths.graphs()],
        complete=False,
        text=text,
    )


def fixture(rule: Rule, sort: str) -> Path:
    return HERE / f"{rule.name.replace('-', '_')}.{sort}.atk"


def found(path: Path, text: str | None = None) -> list[Found]:
    program = checked(path, text)
    assert program.ok, [render(one) for one in program.diagnostics]
    return lint(program)


def of(rule: Rule, path: Path) -> list[Found]:
    return [one for one in found(path) if one.rule is rule]


# -- each rule ---------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_is_told(rule: Rule) -> None:
    said = "\n\n".join(render(one.diagnostic) for one in of(rule, fixture(rule, "bad"))) + "\n"
    recorded = HERE / f"{rule.name.replace('-', '_')}.txt"
    if os.environ.get("ATK_RECORD"):
        recorded.write_text(said)
    assert said == recorded.read_text()
    assert f"warning[{rule.code}]" in said


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_is_left_alone(rule: Rule) -> None:
    assert [render(one.diagnostic) for one in of(rule, fixture(rule, "good"))] == []


@pytest.mark.parametrize("rule", FIXABLE, ids=lambda rule: rule.name)
def test_what_is_mended(rule: Rule) -> None:
    path = fixture(rule, "bad")
    text = path.read_text()
    for _ in range(5):
        text, done = fixed(text, [one for one in found(path, text) if one.rule is rule])
        if not done:
            break
    assert text == fixture(rule, "fixed").read_text()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_only_fixable_rules_fix(rule: Rule) -> None:
    fixes = [one.finding.fix for one in of(rule, fixture(rule, "bad"))]
    assert any(fixes) == rule.fixable
    assert fixture(rule, "fixed").exists() == rule.fixable


# -- pages -------------------------------------------------------------------------------


def test_codes_and_names_are_distinct_and_in_order() -> None:
    codes = [rule.code for rule in RULES]
    assert codes == sorted(set(codes))
    assert all(re.fullmatch(r"ATK5\d\d", code) for code in codes)
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_has_a_page(rule: Rule) -> None:
    wanted = ["What it does", "Why is this bad?", "Example", "Use instead"]
    wanted += ["Fix safety"] if rule.fixable else []
    assert re.findall(r"^## (.*)$", rule.page, re.M) == wanted
    assert rule.page.split("\n")[0].endswith(".")
    assert explanations()[rule.code].title.endswith(f"({rule.name})")
    assert max(len(line) for line in rule.page.split("\n")) <= 110


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_examples_parse_and_are_laid_out(rule: Rule) -> None:
    for block in re.findall(r"^```atk fragment\n(.*?)^```$", rule.page, re.M | re.S):
        assert parse(block).errors == ()
        assert format_text(block) == block


def test_the_manual_has_the_pages() -> None:
    assert (HOUSE / "docs" / "lint.md").read_text() == page()
    for rule in RULES:
        assert f"(#{anchor(rule)})" in page()


@pytest.mark.parametrize("word", ["ATK502", "atk502", "502", "unused-param", " Unused_Param"])
def test_rules_by_name(word: str) -> None:
    rule = rule_named(word)
    assert rule is not None
    assert rule.code == "ATK502"


# -- on real graphs ----------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(paths.graphs().rglob("*.atk")), ids=lambda path: path.name)
def test_the_shipped_graphs_are_clean(path: Path) -> None:
    program = check(
        path,
        registry(),
        environment={},
        root=HOUSE,
        prompts=[paths.prompts()],
        graphs=[path.parent, paths.graphs()],
        complete=False,
    )
    assert program.ok
    assert [render(one.diagnostic) for one in lint(program)] == []


def test_a_graph_with_an_error_is_not_linted(tmp_path: Path) -> None:
    (tmp_path / "a.atk").write_text("param a: int = 1\nsql b { query = 1 }\n")
    program = checked(tmp_path / "a.atk")
    assert not program.ok
    assert lint(program) == []


def test_a_library_is_there_for_others() -> None:
    assert found(HERE / "lib" / "shared.atk") == []


@settings(max_examples=amount(25, 8), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_fixes_lose_nothing_else(data: st.DataObject) -> None:
    """Comments of all sorts strewn over a graph with much to take out."""
    rule = data.draw(st.sampled_from(FIXABLE))
    path = fixture(rule, "bad")
    strewn = st.sampled_from(["", "", "", "# plain\n", "## doc\n", "\n", "\n# a\n\n", "   ## far\n"])
    behind = st.sampled_from(["", "", "", " # behind", " ## doc behind", "  "])
    lines = path.read_text().split("\n")
    text = "".join(
        data.draw(strewn) + line + ("" if "#" in line else data.draw(behind)) + "\n" for line in lines
    )
    before = found(path, text)
    after, done = fixed(text, before)
    plain = [one.text.rstrip() for one in comments(Text("", text)) if not one.doc]
    assert [one.text.rstrip() for one in comments(Text("", after)) if not one.doc] == plain
    old, new = parse(text), parse(after)
    assert not new.errors
    assert len(old.statements) - len(new.statements) == sum(one.rule.name != "unused-let" for one in done)
    assert (after == text) == (not done)
    assert old.doc == new.doc
    kept = {repr(meaning(one)) for one in new.statements}
    if all(one.rule.name != "unused-let" for one in done):
        assert kept <= {repr(meaning(one)) for one in old.statements}
