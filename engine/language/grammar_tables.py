"""Lark's reading of a grammar as plain tables. Imported only when there are none yet."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from lark import Lark
from lark.grammar import Rule as LarkRule
from lark.lexer import PatternRE, TerminalDef
from lark.parsers.lalr_analysis import Shift

from engine.language.parsing import Rule, Tables


def made(grammar: str) -> Tables:
    """The tables of a grammar in Lark's notation: LALR(1), one lexer, positions, empty places as None."""
    lark = Lark(grammar, parser="lalr", lexer="basic", maybe_placeholders=True)
    table: Any = lark.parser.parser._parse_table
    rules: list[LarkRule] = lark.rules
    number = {rule: at for at, rule in enumerate(rules)}
    states: list[dict[str, int]] = [{} for _ in table.states]
    for state, actions in table.states.items():
        for name, (action, argument) in actions.items():
            states[state][name] = argument if action is Shift else -1 - number[argument]
    pattern, words = _lexer(lark.terminals)
    return Tables(
        pattern=pattern,
        words=words,
        ignored=sorted(lark.ignore_tokens),
        rules=[_rule(rule) for rule in rules],
        states=states,
        start=table.start_states["start"],
        end=table.end_states["start"],
    )


def _lexer(terminals: Collection[TerminalDef]) -> tuple[str, dict[str, dict[str, str]]]:
    """One pattern for all terminals, and the words that another terminal's pattern also fits."""
    ordered = sorted(
        terminals,
        key=lambda one: (-one.priority, -one.pattern.max_width, -len(one.pattern.value), one.name),
    )
    words: dict[str, dict[str, str]] = {}
    inner: set[str] = set()
    for terminal in ordered:
        if not isinstance(terminal.pattern, PatternRE):
            continue
        for other in ordered:
            value = other.pattern.value
            fits = other.priority == terminal.priority and not isinstance(other.pattern, PatternRE)
            if fits and (found := re.match(terminal.pattern.to_regexp(), value)) and found[0] == value:
                words.setdefault(terminal.name, {})[value] = other.name
                inner.add(other.name)
    parts = [f"(?P<{one.name}>{one.pattern.to_regexp()})" for one in ordered if one.name not in inner]
    return "|".join(parts), words


def _rule(rule: LarkRule) -> Rule:
    """What Lark's tree builder would do for a rule, said as data."""
    options = rule.options
    # One mark for each part of the rule, in order: True where an optional part is left out here.
    marks = options.empty_indices or (False,) * len(rule.expansion)
    gaps = [len(run) for run in "".join("1" if mark else "0" for mark in marks).split("0")]
    kept: list[tuple[int, int, bool]] = []
    empty = 0
    for at, symbol in enumerate(rule.expansion):
        empty += gaps[at]
        if options.keep_all_tokens or not (symbol.is_term and symbol.filter_out):  # type: ignore[attr-defined]
            kept.append((empty, at, not symbol.is_term and symbol.name.startswith("_")))
            empty = 0
    return Rule(
        origin=rule.origin.name,
        name=rule.alias or options.template_source or rule.origin.name,
        size=len(rule.expansion),
        kept=kept,
        after=empty + gaps[len(rule.expansion)],
        thin=bool(options.expand1 and not rule.alias),
    )
