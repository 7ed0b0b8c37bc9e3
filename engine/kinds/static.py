"""What of a node decides its rows, as plain data: the general answer, for every kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from engine.language.kind import Role
from engine.language.types import describe

if TYPE_CHECKING:
    from engine.kinds.base import Kind
    from engine.language.program import Clause, Node

# Not what they are called counts but what is behind them, which the runtime adds; a setting that
# is an expression counts as the expression that it is.
# The names of templates to choose from are in: they are in the rows too.
LEFT_OUT = {Role.MODEL, Role.TEMPLATE, Role.ROW, Role.WHEN, Role.SECRET}
# What was settled before there were these is not settled anew where they are absent.
LATER = frozenset(("same_language_as",))


def static(kind: Kind, node: Node) -> dict[str, Any]:
    """The parts, by names that people know. JSON-able; equal parts give equal rows of equal inputs."""
    return {
        "kind": [kind.name, kind.version],
        "type": describe(node.result, expand=True) if node.result is not None else None,
        "settings": settings(node.settings, node),
        "expressions": {name: clause.sql for name, clause in sorted(node.expressions.items())},
        "gates": [
            [clause.word, clause.name, clause.sql, clause.otherwise]
            for clause in node.clauses
            if clause.word not in ("expect", "until")
        ],
        "sections": {
            name: {
                "type": describe(section.result, expand=True) if section.result is not None else None,
                "settings": settings(section.settings, node),
            }
            for name, section in sorted(node.sections.items())
        },
    }


def written(node: Node) -> dict[str, Any]:
    """The parts that are expressions, with their text and the params in them: to tell of changes.

    Of the shape of `static`, each clause with what its author wrote behind it.
    """
    return {
        "expressions": {
            name: [clause.sql, *_as_written(clause, node)]
            for name, clause in sorted(node.expressions.items())
        },
        "gates": [
            [clause.word, clause.name, clause.sql, clause.otherwise, *_as_written(clause, node)]
            for clause in node.clauses
            if clause.word not in ("expect", "until")
        ],
    }


def _as_written(clause: Clause, node: Node) -> tuple[str, dict[str, Any]]:
    return clause.text, {name: node.values[name] for name in sorted(clause.params & node.values.keys())}


def settings(model: BaseModel, node: Node) -> dict[str, Any]:
    """Settings as plain data; tables by their place among the ancestors, so that they may be renamed."""
    roles = {name: set(entry.metadata) for name, entry in type(model).model_fields.items()}
    values: Mapping[str, Any] = model.model_dump(mode="json")
    found: dict[str, Any] = {}
    for name, value in values.items():
        role = roles.get(name, set())
        if role & LEFT_OUT or (name in LATER and value is None):
            continue
        if Role.TABLE in role and value in node.ancestors:
            found[name] = node.ancestors.index(value)
        else:
            found[name] = value
    return found
