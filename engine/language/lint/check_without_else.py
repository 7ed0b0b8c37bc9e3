"""A check that does not say what is wrong.

## What it does

Finds `check`s without `else "…"`.

## Why is this bad?

What a check says goes back to the model with the next try. Without words of its own that is the
expression: `regexp_matches(answer, "^[A-Z]") does not hold`. A sentence that says what the reply must
be is understood more often, and a retry that fails is paid for.

## Example

```atk fragment
prompt drafted from passages -> QA[] {
  template = "write"
  check ends_with(question, "?")
}
```

## Use instead

```atk fragment
prompt drafted from passages -> QA[] {
  template = "write"
  check ends_with(question, "?") else "the question must end with a question mark"
}
```
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.lint.linted import Linted
from engine.language.lint.rule import Finding

CODE = "ATK515"


def check(graph: Linted) -> Iterator[Finding]:
    """`check`s whose failure has no words."""
    for declaration in graph.declarations:
        for clause in declaration.block.clauses:
            if clause.word.text == "check" and clause.otherwise is None:
                yield Finding(
                    "this `check` does not tell the model what is wrong",
                    clause.value.span,
                    'add else "…", as you would say it to the model',
                )
