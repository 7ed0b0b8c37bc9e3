"""A prompt without a description.

## What it does

Finds prompts whose front matter has no `description`.

## Why is this bad?

A folder of prompts is read by their descriptions, and whoever changes one must know what it is for.
The description is sent to nobody and costs nothing.

## Example

```text
user:
Is this worth a question? {{ text }}
```

## Use instead

```text
---
description: Is this passage worth asking questions about?
---
user:
Is this worth a question? {{ text }}
```
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.lint.linted import Linted
from engine.language.lint.rule import Finding

CODE = "ATK521"


def check(graph: Linted) -> Iterator[Finding]:
    """Prompts that do not say what they are for, each once."""
    told: set[str] = set()
    for asked in graph.asked:
        name = asked.template.name
        if not (asked.template.description or "").strip() and name not in told:
            told.add(name)
            yield Finding(
                f"the prompt `{name}` has no description",
                asked.written.span,
                "say what it is for between `---` and `---` at its top",
            )
