"""A gate that is the same for every row.

## What it does

Finds `where`, `check`, `keep`, `expect` and `until` whose expression names nothing: no column, no
param, no aggregate.

## Why is this bad?

It keeps every row or none. Mostly it was written to switch a gate off and stayed.

## Example

```atk fragment
prompt worthy from passages -> Verdict { template = "judge", keep true }
```

## Use instead

```atk fragment
prompt worthy from passages -> Verdict { template = "judge", keep ok }
```

To switch a gate on and off, name a param: `keep ok or not strict`.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language import tree as ast
from engine.language.lint.linted import Linted
from engine.language.lint.rule import Finding

CODE = "ATK514"


def check(graph: Linted) -> Iterator[Finding]:
    """Clauses without a name in them; a function's own name is none."""
    for declaration in graph.declarations:
        for clause in declaration.block.clauses:
            if clause.word.text in ("let", "given"):
                continue
            names = any(isinstance(part, ast.Name | ast.Star) for part in ast.walk(clause.value))
            if not names:
                yield Finding(
                    f"this `{clause.word.text}` is the same for every row",
                    clause.value.span,
                    "name a column, or leave the clause out",
                )
