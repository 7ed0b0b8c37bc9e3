"""Nothing that a person can write goes without a word in the manual.

What there is to explain is read from where it is defined: the grammar, the kinds, the commands, the
tables of errors and of lint rules. A failure says what to write, and where.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from engine.kinds import registry
from engine.language.explain import CODES
from engine.language.gates import TABLE_WORDS
from engine.language.lint import RULES
from engine.language.models import ModelSettings
from engine.language.shapes import SCALARS
from tests.test_docs import FENCE, HOUSE, Block, blocks, checked

DOCS = HOUSE / "docs"
LANGUAGE = [DOCS / name for name in ("language.md", "clauses.md", "expressions.md")]
KINDS = registry()
WORD = re.compile(r"[A-Za-z]{2,}")
MARK = re.compile(r"<!-- grammar: ([\w ]+) -->\n+(.*?)(?=\n<!--|\n#|\Z)", re.S)


def words(text: str) -> int:
    """Words of a text, its examples left out."""
    return len(WORD.findall(FENCE.sub("", text)))


def section(page: Path, title: str) -> str | None:
    """What stands under a heading of the second order, up to the next."""
    text = page.read_text(encoding="utf-8")
    found = re.search(rf"^## `?{re.escape(title)}`?(?: [^\n]*)?\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return found[1] if found else None


# -- the grammar ----------------------------------------------------------------------


@lru_cache(maxsize=1)
def grammar() -> Any:
    from lark import Lark

    text = (HOUSE / "grammar" / "atk.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", maybe_placeholders=True)


def constructs() -> list[str]:
    """What a syntax tree can have: rules by their names, alternatives by theirs."""
    named = {str(rule.alias or rule.origin.name) for rule in grammar().rules if not rule.options.expand1}
    named |= {str(rule.alias) for rule in grammar().rules if rule.alias}
    return sorted(name for name in named if not name.startswith("_"))


@lru_cache(maxsize=1)
def explained() -> dict[str, str]:
    """By construct the text behind the mark that names it."""
    found: dict[str, str] = {}
    for page in LANGUAGE:
        for names, text in MARK.findall(page.read_text(encoding="utf-8")):
            found |= dict.fromkeys(names.split(), text)
    return found


@lru_cache(maxsize=1)
def shown() -> set[str]:
    """The constructs that the examples of these pages use."""
    found: set[str] = set()
    for page in LANGUAGE:
        for block in blocks(page):
            if block.mark in ("atk", "atk more", "atk fragment"):
                found |= {str(tree.data) for tree in grammar().parse(block.text).iter_subtrees()}
    return found


@pytest.mark.parametrize("construct", constructs())
def test_grammar(construct: str) -> None:
    where = "docs/language.md, docs/clauses.md or docs/expressions.md"
    text = explained().get(construct, "")
    assert words(text) >= 8, (
        f"the manual says nothing of `{construct}` in grammar/atk.lark: write "
        f"`<!-- grammar: {construct} -->` on the line before a paragraph (8 words or more) that says what "
        f"it means, in {where}"
    )
    assert construct in shown(), (
        f"no example shows `{construct}` of grammar/atk.lark: use it in an ```atk block of {where}"
    )


def test_marks_name_what_is_in_the_grammar() -> None:
    known = {str(rule.origin.name) for rule in grammar().rules} | set(constructs())
    gone = sorted(explained().keys() - known)
    assert gone == [], (
        f"grammar/atk.lark has none of these: take them out of their `<!-- grammar: … -->`: {gone}"
    )


def test_words_and_signs_of_the_grammar() -> None:
    """Each stands in the manual, as code."""
    signs = {one.pattern.value for one in grammar().terminals if one.pattern.type == "str"}
    for name in ("COMPARE", "ADD", "MUL"):
        text = (HOUSE / "grammar" / "atk.lark").read_text(encoding="utf-8")
        line = re.search(rf"^{name}: (.+)$", text, re.M)
        assert line
        signs |= set(re.findall(r'"([^"]+)"', line[1]))
    text = "\n".join(page.read_text(encoding="utf-8") for page in LANGUAGE)
    code = "\n".join([*(match[2] for match in FENCE.finditer(text)), *re.findall(r"`([^`\n]+)`", text)])
    lost = sorted(sign for sign in signs if not re.search(rf"(?<!\w){re.escape(sign)}(?!\w)", code))
    lost = [sign for sign in lost if WORD.fullmatch(sign) or sign not in code]
    assert lost == [], f"docs/language.md, clauses.md and expressions.md do not show {lost} as code"


@pytest.mark.parametrize("name", sorted(SCALARS))
def test_types(name: str) -> None:
    text = (DOCS / "expressions.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{name}` \| (.+) \|$", text, re.M)
    assert row, f"docs/expressions.md has no row for the type `{name}` in the table under `## Types`"
    assert words(row[1]) >= 1


# -- clauses --------------------------------------------------------------------------


def clause_words() -> list[str]:
    found = {word for kind in registry().values() for word in kind.clauses} | set(TABLE_WORDS) | {"given"}
    return sorted(found)


@pytest.mark.parametrize("word", clause_words())
def test_clauses(word: str) -> None:
    text = section(DOCS / "clauses.md", word) or ""
    assert words(text) >= 25, (
        f"docs/clauses.md says too little of `{word}`: write a section `## {word}` (25 words or more): "
        "when it is worked out, over what, what happens to what does not pass, and what null does"
    )
    assert re.search(r"\bnull\b", text, re.I), f"say in `## {word}` of docs/clauses.md what it does with null"
    table = (DOCS / "language.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{word} ", table, re.M), (
        f"the table under `## Gates` in docs/language.md has no row for `{word}`"
    )


# -- kinds ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_kinds(kind: str) -> None:
    page = DOCS / "kinds" / f"{kind}.md"
    assert page.exists(), (
        f"write docs/kinds/{kind}.md: what `{kind}` is for, an example that runs, its settings"
    )
    text = page.read_text(encoding="utf-8").partition("\n## Settings")[0]
    assert words(text) >= 15, (
        f"docs/kinds/{kind}.md says too little above `## Settings`: what is `{kind}` for?"
    )
    listed = (DOCS / "kinds" / "index.md").read_text(encoding="utf-8")
    assert f"| [{kind}]({kind}.md) |" in listed, f"docs/kinds/index.md does not list `{kind}`"


def settings() -> Iterator[tuple[str, str, str]]:
    """Each setting of a kind, of a block in it, and of a model: whose, its name, what is said of it."""
    models: list[tuple[str, Any]] = [("model", ModelSettings)]
    for name, kind in KINDS.items():
        models += [(name, kind.settings), *((f"{name}, {part}", one) for part, one in kind.sections.items())]
    for owner, model in models:
        for name, field in model.model_fields.items():
            yield owner, name, field.description or ""


def test_settings() -> None:
    short = [f"{name} of {owner}: {said!r}" for owner, name, said in settings() if words(said) < 4]
    assert short == [], (
        "these settings say too little of themselves (4 words or more): write what they do into the "
        f"`Field(description=…)` of their model, then run python -m engine.kinds.manual: {short}"
    )


@lru_cache(maxsize=1)
def example_blocks() -> list[Block]:
    pages = [*sorted((DOCS / "kinds").glob("*.md")), *LANGUAGE]
    return [block for page in pages for block in blocks(page) if block.mark in ("atk", "atk more")]


def test_columns_that_kinds_add(tmp_path: Path) -> None:
    """Whatever a node's table has that neither its input nor its author named is on its kind's page."""
    missing: set[str] = set()
    for block in example_blocks():
        program = checked(block, tmp_path)
        for node in program.nodes.values():
            if "query" in type(node.settings).model_fields:  # its author names what it gives
                continue
            text = (DOCS / "kinds" / f"{node.kind}.md").read_text(encoding="utf-8")
            declared = {one.name for one in node.record} if node.record else set()
            declared |= {column for name in node.inputs for column in program.nodes[name].columns}
            short = node.name.rpartition(".")[2]
            for column in node.own.keys() - declared:
                suffix = column.removeprefix(short)
                named = column in (short, getattr(node.settings, "into", None))  # by the author
                if not named and not re.search(rf"`\w*(?:<node>)?{re.escape(suffix)}`", text):
                    missing.add(f"{column} of {node.kind}")
    assert missing == set(), (
        "docs/kinds/KIND.md does not name these columns that a node of the kind adds; write them there in "
        f"backticks (one named after its node as `<node>_index`): {sorted(missing)}"
    )


# -- commands -------------------------------------------------------------------------


def commands() -> dict[str, Any]:
    import typer

    from engine.commands._app import app

    return dict(typer.main.get_command(app()).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(commands()))
def test_commands(name: str) -> None:
    command = commands()[name]
    assert words(command.help or "") >= 5, (
        f"the docstring of engine/commands/{name}.py:{name} says too little"
    )
    text = (section(DOCS / "commands.md", name) or "").partition("<!-- generated")[0]
    assert words(text) >= 6, (
        f"docs/commands.md says too little of `atk {name}`: write when to use it, above "
        f"`<!-- generated: {name} -->`"
    )
    short = [one.name for one in command.params if words(one.help or "") < 3]
    assert short == [], f"the help of these arguments and options of `atk {name}` is too short: {short}"


# -- errors and rules -----------------------------------------------------------------


@pytest.mark.parametrize("code", sorted(CODES))
def test_errors(code: str) -> None:
    entry = CODES[code]
    prose = "\n".join(line for line in entry.text.splitlines() if not line.startswith("    "))
    assert words(prose) >= 7, (
        f"{code} is hardly explained: write into the table of engine/language/explain.py what it means and "
        "how it is mended, then run python -m engine.language.explain > docs/errors.md"
    )
    assert section(DOCS / "errors.md", code), "run python -m engine.language.explain > docs/errors.md"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rules(rule: Any) -> None:
    plain = FENCE.sub("", rule.page)
    for title, least in (("What it does", 4), ("Why is this bad?", 8)):
        found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", plain, re.M | re.S)
        assert words(found[1] if found else "") >= least, (
            f"the docstring of the rule {rule.name} says too little under `## {title}`; then run "
            "python -m engine.language.lint.page > docs/lint.md"
        )
    for title in ("Example", "Use instead"):
        assert f"\n## {title}\n" in plain, f"the docstring of the rule {rule.name} has no `## {title}`"
