"""Checks whose failures are never tried again.

## What it does

Finds prompts that have `check`s and `retries = 0`.

## Why is this bad?

A `check` is there to have the reply written again, with its message. Without a retry the row has
failed at the first slip, and the call that was paid for is lost. What sorts rows is a `keep`: its rows
are rejected, and kept apart with the reason.

## Example

```atk fragment
prompt drafted from passages -> QA[] {
  template = "write"
  retries  = 0
  check length(answer) > 20 else "the answer must be a full sentence"
}
```

## Use instead

```atk fragment
prompt drafted from passages -> QA[] {
  template = "write"
  check length(answer) > 20 else "the answer must be a full sentence"
}
```
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.lint.linted import Linted, setting
from engine.language.lint.rule import Finding

CODE = "ATK516"


def check(graph: Linted) -> Iterator[Finding]:
    """Prompts that are asked once and checked."""
    for declaration, node in graph.prompts:
        written = setting(declaration.block, "retries")
        if written is not None and node.of("check") and getattr(node.settings, "retries", 1) == 0:
            yield Finding(
                "a reply that fails a `check` here is never asked for again",
                written.value.span,
                "allow retries, or sort the rows with `keep`",
            )
