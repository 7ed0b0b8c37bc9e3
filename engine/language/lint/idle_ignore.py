"""A comment that ignores nothing.

## What it does

Finds `# atk: ignore` comments that name no rule, a rule that does not exist, or one that finds
nothing on their line.

## Why is this bad?

Such a comment once hid a finding that is gone. It would hide the next one without anybody having
looked at it.

## Example

```atk fragment
param size: int = 800                    # atk: ignore unused-param
chunk passages from documents { size = size }
```

## Use instead

```atk fragment
param size: int = 800
chunk passages from documents { size = size }
```
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.lint.linted import Linted
from engine.language.lint.rule import Finding

CODE = "ATK500"


def check(graph: Linted) -> Iterator[Finding]:
    """Nothing by itself: `ignoring` knows what was ignored when all rules have run."""
    yield from ()
