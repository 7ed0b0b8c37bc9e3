"""The linter: what is no error and yet hardly meant, one file a rule.

Works on a checked program and on the text of its file; asks no kind, no model and no store.
"""

from __future__ import annotations

from collections.abc import Collection

from engine.language.lint.fixing import fixed
from engine.language.lint.ignoring import Ignores
from engine.language.lint.linted import Linted
from engine.language.lint.rule import Finding, Found, Rule
from engine.language.lint.rules import RULES, rule_named
from engine.language.program import Program
from engine.language.syntax import parse

__all__ = ["RULES", "Finding", "Found", "Rule", "fixed", "lint", "rule_named"]


def lint(program: Program, rules: Collection[Rule] = RULES) -> list[Found]:
    """What the rules find in a program's own file, by place; nothing where it has errors."""
    if not program.ok:
        return []
    source = parse(program.text, program.shown)
    graph = Linted(source, program)
    found = [Found(rule, finding) for rule in rules for finding in rule.check(graph)]
    ignores = Ignores(source.text, rules)
    found = [one for one in found if not ignores.covers(one)]
    if ignores.rule in rules:
        found += ignores.idle()
    return sorted(found, key=_place)


def _place(found: Found) -> tuple[int, int, str]:
    span = found.finding.span
    return span.line, span.column, found.rule.code
