"""A prompt that never says what it wants back.

## What it does

Finds prompts read as JSON that neither hold `{{ schema }}` nor name every field of the type, while the
model's endpoint is sent the schema (`structured` is `auto` or `schema`).

## Why is this bad?

Most endpoints hold a model to a schema without letting it read it: the model is forced into fields
that it was never told about, and the doc comments of the type reach nobody. An endpoint that cannot
do that is told the schema in words, so the same prompt is two different ones.

## Example

```text
user:
Is this passage worth a question?

{{ text }}
```

## Use instead

```text
user:
Is this passage worth a question?

{{ schema }}

{{ text }}
```
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.language.lint.linted import Linted
from engine.language.lint.rule import Finding
from engine.language.templates import Template
from engine.language.types import Many, Optional, Record, Type

CODE = "ATK519"


def check(graph: Linted) -> Iterator[Finding]:
    """Prompts that a model is sent with a schema which it may never read."""
    for asked in graph.asked:
        model = graph.program.models.get(asked.model)
        in_words = model is not None and model.structured in ("object", "prompt")
        missing = _unsaid(asked.template, asked.result)
        if asked.reply == "json" and not in_words and missing:
            yield Finding(
                f"this prompt never says that it wants `{missing[0]}`",
                asked.written.span,
                "put {{ schema }} into it",
            )


def _unsaid(template: Template, result: Type | None) -> list[str]:
    """Fields that a prompt does not name."""
    if template.shows_schema:
        return []
    text = "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in template.files)
    return [name for name in _fields(result) if not re.search(rf"\b{re.escape(name)}\b", text)]


def _fields(kind: Type | None) -> Iterator[str]:
    match kind:
        case Record():
            for one in kind:
                yield one.name
                yield from _fields(one.type)
        case Many() | Optional():
            yield from _fields(kind.of)
