"""What the page says of one node: purpose, figures, model, gates, prompts, columns, settings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.commands._render import beside, money, number, short
from engine.commands.picture.facts import SIGNS, NodeFacts
from engine.commands.picture.svg import group

if TYPE_CHECKING:
    from pydantic import BaseModel

    from engine.language.program import Node, Program
    from engine.language.templates import Template

_MARKED = re.compile(
    r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|^(?:system|user|assistant|messages):[^\n]*$", re.S | re.M
)
_ELSEWHERE = frozenset({"model", "template", "query"})


def article(node: Node, program: Program, facts: NodeFacts, root: Path) -> str:
    """All that is known of a node, as an `article` whose id the picture links to."""
    readers = [other.name for other in program.nodes.values() if node.name in other.inputs]
    sign, told = SIGNS[facts.state]
    head = (
        f'<article id="node={escape(node.name)}" data-node="{escape(node.name)}">'
        f'<h2>{escape(node.name)}</h2><p><span class="tag {group(node.kind)}">{escape(node.kind)}</span> '
        f'<span class="tag state {facts.state}">{sign} {told}</span>'
        f"{'<span class=tag>skipped: rows pass untouched</span>' if node.skipped else ''}</p>"
    )
    facts_list = [
        ("reads", _links(node.inputs)),
        ("read by", _links(readers)),
        ("gives", f"<code>{escape(_result(node))}</code>" if node.result is not None else ""),
        ("model", _model(node.settings, program)),
        ("written in", f"<code>{escape(shown(Path(node.span.path), root))}:{node.span.line}</code>"),
        ("file", f"<code>{escape(str(node.settings.path))}</code>" if node.kind == "emit" else ""),  # type: ignore[attr-defined]
    ]
    parts = [
        head,
        prose(node.doc),
        _figures(facts),
        _definitions(facts_list),
        _gates(node),
        _query(node.settings),
        _prompt(node.template, root),
        *(_prompt(template, root) for template in node.pool),
    ]
    for name, section in node.sections.items():
        parts.append(f"<h3>{escape(name)}</h3>{_definitions([('model', _model(section.settings, program))])}")
        parts += [_settings(section.settings), _prompt(section.template, root)]
    parts += [_columns(node), _settings(node.settings), "</article>"]
    return "\n".join(part for part in parts if part)


def prose(text: str | None) -> str:
    """A doc comment: paragraphs, and what is indented as it is."""
    out = []
    for paragraph in (text or "").strip("\n").split("\n\n"):
        lines = paragraph.split("\n")
        if paragraph.strip() and all(line.startswith("  ") for line in lines if line.strip()):
            out.append(f"<pre>{escape(paragraph)}</pre>")
        elif paragraph.strip():
            out.append(f"<p>{escape(' '.join(paragraph.split()))}</p>")
    return "".join(out)


def _links(names: Iterable[str]) -> str:
    return ", ".join(f'<a href="#node={escape(name)}">{escape(name)}</a>' for name in dict.fromkeys(names))


def _definitions(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in pairs if value)
    return f"<dl>{rows}</dl>" if rows else ""


def _result(node: Node) -> str:
    from engine.language.types import describe

    assert node.result is not None
    named = describe(node.result)
    record = node.record
    if record is None or record.name is None:
        return named
    return f"{named} = {describe(record, expand=True)}"


def _model(settings: BaseModel, program: Program) -> str:
    name = getattr(settings, "model", None)
    spec = program.models.get(name) if isinstance(name, str) else None
    if spec is None:
        return ""
    sampling = ", ".join(f"{key} = {value}" for key, value in spec.sampling.items())
    # The offline stand-in has no name at an endpoint.
    said = spec.provider if spec.model in ("", spec.provider) else f"{spec.provider}: {spec.model}"
    return f"<b>{escape(spec.name)}</b> ({escape(said)}{escape(', ' + sampling if sampling else '')})"


def _figures(facts: NodeFacts) -> str:
    if facts.rows is None:
        return ""
    cells = [
        ("rows", number(facts.rows)),
        ("rejected", number(facts.rejected)),
        ("failed", number(facts.failed)),
    ]
    if facts.calls:
        cells += [
            ("calls", number(facts.calls)),
            ("tokens", short(facts.tokens)),
            ("cost", money(facts.cost)),
        ]
        cells += [("calls in the last run", number(facts.last_calls))]
    return (
        "<ul class=figures>" + "".join(f"<li><b>{value}</b> {name}</li>" for name, value in cells) + "</ul>"
    )


def _gates(node: Node) -> str:
    rows = "".join(
        f"<li><code><b>{escape(clause.word)}</b> "
        f"{escape(f'{clause.name} = ' if clause.name else '')}{escape(clause.text)}</code>"
        + (f"<br><small>else “{escape(clause.otherwise)}”</small>" if clause.otherwise else "")
        + "</li>"
        for clause in node.clauses
    )
    return f"<h3>Gates</h3><ul class=gates>{rows}</ul>" if rows else ""


def _query(settings: BaseModel) -> str:
    query = getattr(settings, "query", None)
    return f"<h3>Query</h3><pre>{escape(str(query).strip())}</pre>" if query else ""


def _prompt(template: Template | None, root: Path) -> str:
    """The prompt file as it is, what Jinja fills in and the role lines marked."""
    if template is None:
        return ""
    from engine.language.template_source import read_text

    described = f"<p>{escape(template.description)}</p>" if template.description else ""
    return (
        f"<h3>Prompt <code>{escape(shown(template.path, root))}</code></h3>{described}"
        f"<pre class=prompt>{marked(read_text(template.path).strip())}</pre>"
    )


def shown(path: Path, root: Path) -> str:
    """A path as seen from `root`; a shipped file without the place of this machine's atk."""
    from engine import paths

    for folder in (paths.graphs(), paths.prompts()):
        if path.is_relative_to(folder) and not path.is_relative_to(root):
            return f"{folder.name}/{path.relative_to(folder)} (comes with atk)"
    return beside(path, root)


def marked(text: str) -> str:
    """A prompt's text escaped, its variables in `mark`, its role lines in `b`."""
    out, last = [], 0
    for match in _MARKED.finditer(text):
        tag = "mark" if match[0].startswith("{") else "b"
        out += [escape(text[last : match.start()]), f"<{tag}>{escape(match[0])}</{tag}>"]
        last = match.end()
    return "".join([*out, escape(text[last:])])


def _columns(node: Node) -> str:
    documented = {entry.name: entry.doc for entry in node.record} if node.record is not None else {}
    rows = "".join(
        f"<tr{' class=own' if column.owner == node.name else ''}><td><code>{escape(name)}</code></td>"
        f"<td><code>{escape(column.type)}</code></td><td>{_owner(column.owner, node.name)}</td>"
        f"<td>{escape(documented.get(name) or '') if column.owner == node.name else ''}</td></tr>"
        for name, column in node.columns.items()
    )
    if not rows:
        return ""
    return (
        "<h3>Columns</h3><table><thead><tr><th>column</th><th>type</th><th>from</th><th></th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _owner(owner: str, node: str) -> str:
    return "here" if owner == node else _links([owner])


def _settings(settings: BaseModel) -> str:
    """What is set in the file, and nothing that is only a default."""
    given = settings.model_dump(include=set(settings.model_fields_set) - _ELSEWHERE)
    rows = [(escape(name), f"<code>{escape(_value(value))}</code>") for name, value in given.items()]
    return f"<h3>Settings</h3>{_definitions(rows)}" if any(value for _, value in rows) else ""


def _value(value: Any) -> str:
    from engine.commands._render import cell

    return f'"{value}"' if isinstance(value, str) else "null" if value is None else cell(value)
