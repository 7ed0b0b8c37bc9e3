"""A data set that may be empty.

## What it does

Finds nodes that write a data set while neither they nor any table before them `expect` anything.

## Why is this bad?

A wrong folder, a strict judge or a column that changed its meaning gives an empty file and a run that
says "done". An `expect` stops the run before anything is trained on nothing.

## Example

```atk fragment
emit sft from conversations { path = "sft.jsonl", format = "messages" }
```

## Use instead

```atk fragment
emit sft from conversations {
  path   = "sft.jsonl"
  format = "messages"
  expect count(*) >= 100 else "too few conversations: read rejected.checked"
}
```
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.lint.linted import Linted, writes
from engine.language.lint.rule import Finding

CODE = "ATK517"


def check(graph: Linted) -> Iterator[Finding]:
    """What writes, and is not asked for anything on the way."""
    nodes = graph.program.nodes
    sure: dict[str, bool] = {}
    for name, node in nodes.items():  # inputs come first
        sure[name] = bool(node.of("expect")) or any(sure.get(source, False) for source in node.inputs)
    for declaration in graph.declarations:
        for node in graph.nodes(declaration)[:1]:
            # A training of nothing is an error in any case.
            if writes(node) and node.kind != "train" and not sure.get(node.name, True):
                yield Finding(
                    f"`{node.name}` is written even if it is empty",
                    declaration.name.span,
                    "add `expect count(*) > 0`, here or further up",
                )
