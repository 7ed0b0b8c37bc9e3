"""A slot that its graph does not use.

## What it does

Finds slots of a graph that nothing in its body reads: no `from`, query, setting, clause or prompt.

## Why is this bad?

A call sets it, and nothing comes of it. Where the slot is a table, the call waits for it.

## Example

```atk fragment
graph short(pairs: Pair[], longest: int = 200) -> Pair[] {
  sql few { query = "FROM pairs WHERE length(answer) < 200" }
  return few
}
```

## Use instead

```atk fragment
graph short(pairs: Pair[], longest: int = 200) -> Pair[] {
  sql few { query = "FROM pairs WHERE length(answer) < $longest" }
  return few
}
```
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.lint.linted import Linted, setting
from engine.language.lint.rule import Finding

CODE = "ATK507"


def check(graph: Linted) -> Iterator[Finding]:
    """Slots whose names stand nowhere in the body."""
    for scope in graph.scopes[1:]:
        assert scope.graph is not None
        if any(setting(one.block, "template") and not graph.nodes(one) for one in scope.nodes):
            continue  # which prompt it sends is not known before a call: any slot may stand there
        used = graph.tables(scope) | graph.names(scope)
        for slot in scope.graph.slots:
            if slot.name.text not in used:
                yield Finding(
                    f"nothing in `{scope.graph.name.text}` uses the slot `{slot.name.text}`",
                    slot.name.span,
                    "use it, or take it out here and at the calls",
                )
