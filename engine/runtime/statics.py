"""What decides a node's rows besides its input: the static part of its key.

Whatever can change a row is in it; names, prices, limits, doc comments that no model sees and
`expect` are not, so that renaming a node or correcting a price costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from engine.kinds.base import Kind
from engine.kinds.static import written
from engine.language.kind import Role
from engine.language.program import ModelSpec, Node, Program
from engine.models import folders
from engine.store.keys import fingerprint

if TYPE_CHECKING:
    from engine.language.templates import Template

ENGINE = 1  # raised when the engine itself begins to make other rows of the same parts


Trained = Callable[[str], Mapping[str, Any] | None]
"""From the name of a `train` node to its row; None while there is no model yet."""


def parts_of(program: Program, node: Node, kind: Kind, trained: Trained | None = None) -> dict[str, str]:
    """What decides the rows of a node, part by part: a name people know, and a fingerprint of it."""
    return {name: mark for name, (mark, _) in _parts(program, node, kind, trained).items()}


def contents_of(program: Program, node: Node, kind: Kind, trained: Trained | None = None) -> dict[str, Any]:
    """What is behind the fingerprints of `parts_of`, JSON-able, without logins: to tell of changes."""
    return {mark: content() for mark, content in _parts(program, node, kind, trained).values()}


def _parts(
    program: Program, node: Node, kind: Kind, trained: Trained | None
) -> dict[str, tuple[str, Callable[[], Any]]]:
    """By part: its fingerprint, and what gives its content."""
    parts: dict[str, tuple[str, Callable[[], Any]]] = {}

    def add(name: str, value: Any, shown: Any = None) -> None:
        parts[name] = (fingerprint(value).hex(), lambda: value if shown is None else shown)

    shown = written(node)
    for name, value in sorted(dict(kind.static(node)).items()):
        add(name, value, shown.get(name))
    for template in node.templates:
        parts[f"template {template.name}"] = (template.digest, partial(_text, template))
    for name, value in _values(node).items():
        add(f"param {name}", value)
    for name in models_of(node, kind):
        spec = program.models[name]
        identity = model_identity(spec)
        if spec.start is not None:
            identity["weights"] = folders.identity(
                located(spec, [Path.cwd(), program.path.parent], None).start or ""
            )
        add(f"model {name}", identity, identity | {"base_url": _without_login(identity["base_url"])})
    if getattr(node.settings, "reward", None):
        from engine.runtime.judging import identity_of_judges

        add("reward", identity_of_judges(program, node.name))
    for name in node.waits:
        made = trained(name) if trained is not None else None
        add("trained model", [parts.get("trained model"), made["weights"] if made else None])
    return parts


def located(spec: ModelSpec, folders: Iterable[Path], made: str | None) -> ModelSpec:
    """A model of this process with its folder: that which a `train` node made, or one that lies there."""
    start = made or spec.start or ""
    found = next((folder / start for folder in folders if start and (folder / start).exists()), None)
    return replace(spec, start=str(found) if found else start or None)


def _text(template: Template) -> str:
    """The prompt file and all that it includes."""
    return "\n".join(path.read_text(encoding="utf-8") for path in template.files)


def _without_login(url: str | None) -> str | None:
    if url is None:
        return None
    parsed = urlsplit(url)
    return parsed._replace(netloc=parsed.netloc.rpartition("@")[2], query="", fragment="").geturl()


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
    read = {name for template in node.templates for name in template.reads}
    query = getattr(node.settings, "query", None)
    if isinstance(query, str):
        read |= {name for name in node.values if f"${name}" in query}
    return {name: value for name, value in sorted(node.values.items()) if name in read}
