"""What a node reads of its inputs, as far as its declaration says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.kinds import registry
from engine.language.kind import Role
from engine.language.settings import roles
from engine.language.types import Record

if TYPE_CHECKING:
    from engine.language.program import Node, Program


def asks(node: Node) -> bool:
    """Whether its rows are put to a model."""
    return Role.MODEL in roles(registry()[node.kind].settings).values()


def query_of(node: Node) -> str | None:
    """Its SQL query."""
    for setting, role in roles(registry()[node.kind].settings).items():
        if role is Role.QUERY and isinstance(value := getattr(node.settings, setting, None), str):
            return value
    return None


def columns_read(program: Program, node: Node, source: str) -> list[str]:
    """Columns of an input that the node reads; all of them where that cannot be said."""
    kind = registry()[node.kind]
    there = list(program.nodes[source].columns)
    query = query_of(node)
    if query is not None:
        return [one for one in there if _whole(query) or _mentions(query, one)]
    known = kind.reads(node)
    named = set(known or ()) - (set(node.own) - _from_input(node))
    for setting, role in roles(kind.settings).items():
        value = getattr(node.settings, setting, None)
        if role is Role.COLUMN and value is not None:
            named |= {value} if isinstance(value, str) else set(value)
    if known is None and named:
        for clause in (*node.clauses, *node.expressions.values()):
            named |= clause.reads if clause.word != "expect" else set()
    return [one for one in there if one in named] if known is not None or named else there


def ids_read(program: Program, node: Node, source: str) -> list[str]:
    """Ancestors of an input whose ids the node goes by."""
    above = program.nodes[source].ancestors
    query = query_of(node)
    if query is not None:
        return [one for one in above if _whole(query) or _mentions(query, node.id_of(one))]
    settings = roles(registry()[node.kind].settings)
    named = {getattr(node.settings, one, None) for one, role in settings.items() if role is Role.TABLE}
    return [one for one in above if one in named]


def params_that_matter(node: Node, other: Node | None, differing: Mapping[str, Any]) -> dict[str, Any]:
    """Of params with other values, those that make the node another than `other`, the same with theirs.

    Where more than its templates and its query differ, it is not looked into which does it.
    """
    if other is None or not _same(node, other):
        return dict(differing)
    reads = {name for template in node.templates for name in template.reads}
    reads |= set(re.findall(r"\$(\w+)", query_of(node) or ""))
    return {one: value for one, value in differing.items() if one in reads}


def _from_input(node: Node) -> set[str]:
    """Of the names that a node both reads and makes, those that it reads of its input first."""
    found = {name for template in (node.template, *node.pool) if template for name in template.reads}
    for clause in (*node.of("where"), *node.of("let"), *node.expressions.values()):
        found |= clause.reads
    for section in node.sections.values():
        kind = section.result
        found |= {one.name for one in kind} if isinstance(kind, Record) else set()
    return found


def _whole(query: str) -> bool:
    """Whether a query reads columns without naming them."""
    plain = re.sub(r"'(?:[^']|'')*'", "''", query)
    plain = re.sub(r"count\s*\(\s*\*\s*\)", "", plain, flags=re.IGNORECASE)
    return re.search(r"\bselect\b", plain, re.IGNORECASE) is None or bool(
        re.search(r"(?:\bselect|,|\.)\s*(?:distinct\s*)?\*|\bcolumns\b|\bunpivot\b", plain, re.IGNORECASE)
    )


def _mentions(query: str, column: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", query, re.IGNORECASE) is not None


def _same(node: Node, other: Node) -> bool:
    """Whether two nodes are alike in all but their values and what templates and queries make of them."""
    return _declared(node) == _declared(other)


def _declared(node: Node) -> tuple[Any, ...]:
    return (
        node.settings,
        [one.sql for one in node.clauses],
        {name: one.sql for name, one in node.expressions.items()},
        {name: one.settings for name, one in node.sections.items()},
        node.inputs,
        node.skipped,
    )
