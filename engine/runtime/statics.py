"""What decides a node's rows besides its input: the static part of its key.

Whatever can change a row is in it; names, prices, limits, doc comments and `expect` are not,
so that renaming a node or correcting a price costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.kinds.base import Kind
from engine.language.kind import Role
from engine.language.program import ModelSpec, Node, Program
from engine.store.keys import fingerprint

ENGINE = 1  # raised when the engine itself begins to make other rows of the same parts


def parts_of(program: Program, node: Node, kind: Kind) -> dict[str, str]:
    """What decides the rows of a node, part by part: a name people know, and a fingerprint of it."""
    whole = dict(kind.static(node))
    parts = {name: fingerprint(value).hex() for name, value in sorted(whole.items())}
    for template in (node.template, *(section.template for section in node.sections.values())):
        if template is not None:
            parts[f"template {template.name}"] = template.digest
    for name, value in _values(node).items():
        parts[f"param {name}"] = fingerprint(value).hex()
    for name in models_of(node, kind):
        parts[f"model {name}"] = fingerprint(model_identity(program.models[name])).hex()
    return parts


def static_of(parts: Mapping[str, str]) -> bytes:
    """16 bytes over the parts. Models and templates count by content, so that they may be renamed."""
    named: list[tuple[str, str]] = []
    for name, value in parts.items():
        sort = name.split(" ", 1)[0]
        at = sum(one.startswith(f"{sort} ") for one, _ in named)
        named.append((f"{sort} {at}" if sort in ("template", "model") else name, value))
    return fingerprint(ENGINE, sorted(named))


def model_identity(spec: ModelSpec) -> dict[str, Any]:
    """What of a model can change a reply."""
    return {
        "provider": spec.provider,
        "model": spec.model,
        "base_url": spec.base_url,
        "sampling": dict(spec.sampling),
        "options": dict(spec.options),
        "structured": spec.structured,
    }


def models_of(node: Node, kind: Kind) -> list[str]:
    """Names of the models that a node asks, its sections included."""
    found = [*_with_role(kind.settings.model_fields, node.settings, Role.MODEL)]
    for name, section in node.sections.items():
        found += _with_role(kind.sections[name].model_fields, section.settings, Role.MODEL)
    return list(dict.fromkeys(found))


def _with_role(fields: Mapping[str, Any], settings: Any, role: Role) -> list[str]:
    named = [getattr(settings, name) for name, entry in fields.items() if role in entry.metadata]
    return [value for value in named if isinstance(value, str)]


def _values(node: Node) -> dict[str, Any]:
    """Params and slots that a template of the node reads; gates have theirs written in."""
    read: set[str] = set()
    for template in (node.template, *(section.template for section in node.sections.values())):
        read |= template.reads if template else set()
    query = getattr(node.settings, "query", None)
    if isinstance(query, str):
        read |= {name for name in node.values if f"${name}" in query}
    return {name: value for name, value in sorted(node.values.items()) if name in read}
