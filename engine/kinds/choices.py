"""The type that a model is asked for: the node's, narrowed by what its checks allow.

`check label in ["a", "b"]` says what `label: "a" | "b"` says, so the schema that the endpoint
sees, the words of `{{ schema }}` and the reader of replies say it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.language.program import Node
from engine.language.types import SCALARS, Field, Literal, Many, Optional, Record, Type

MOST = 250
"""More alternatives are left to the check: endpoints bound how many a schema may name."""


def asked_for(node: Node) -> Type:
    """What a reply of this node must be."""
    assert node.result is not None
    choices: dict[str, Sequence[str]] = {}
    for clause in node.of("check"):
        for name, values in clause.choices.items():
            before = choices.get(name)
            choices[name] = values if before is None else [one for one in values if one in before]
    return narrowed(node.result, choices) if choices else node.result


def narrowed(type_: Type, choices: Mapping[str, Sequence[str]]) -> Type:
    """The type with texts that have to be one of a few given as such. A null never passes a check."""
    match type_:
        case Many(inner):
            return Many(narrowed(inner, choices))
        case Optional(inner):
            return Optional(narrowed(inner, choices))
        case Record():
            fields = tuple(
                Field(one.name, _chosen(one.type, choices.get(one.name)), one.doc) for one in type_
            )
            return Record(fields, type_.name, type_.doc)
    return type_


def _chosen(type_: Type, values: Sequence[str] | None) -> Type:
    inner = type_.of if isinstance(type_, Optional) else type_
    if values is None or (inner != SCALARS["str"] and not isinstance(inner, Literal)):
        return type_
    left = tuple(
        dict.fromkeys(one for one in values if not isinstance(inner, Literal) or one in inner.values)
    )
    return Literal(left) if 0 < len(left) <= MOST else type_
