"""A column that changes its type on the way.

## What it does

Finds nodes that add a column under the name of a column of their input, with another type, while they
keep the other columns.

## Why is this bad?

The old column cannot be seen any more from there on, and whoever reads the name expects the old one:
a prompt further down is sent something else without an error.

## Example

```atk fragment
source pairs -> { question: str, score: float }[] { path = "pairs.jsonl" }
prompt judged from pairs -> { why: str, score: "good" | "bad" } { template = "judge" }
```

## Use instead

```atk fragment
source pairs -> { question: str, score: float }[] { path = "pairs.jsonl" }
prompt judged from pairs -> { why: str, verdict: "good" | "bad" } { template = "judge" }
```

A column that is written anew with the same type, as a repair does, is meant and not told.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.lint.linted import Linted
from engine.language.lint.rule import Finding

CODE = "ATK518"


def check(graph: Linted) -> Iterator[Finding]:
    """Own columns that hide one of another type."""
    nodes = graph.program.nodes
    for declaration in graph.declarations:
        for node in graph.nodes(declaration)[:1]:
            if all(column.owner == node.name for column in node.columns.values()):
                continue  # it keeps nothing of its input
            for name, kind in node.own.items():
                hidden = (nodes[one].columns.get(name) for one in node.inputs if one in nodes)
                old = next((one for one in hidden if one is not None and one.type != kind), None)
                if old is not None:
                    yield Finding(
                        f"`{name}` is {kind} from here on, and was {old.type} of `{old.owner}`",
                        declaration.name.span,
                        "give the new column a name of its own",
                    )
