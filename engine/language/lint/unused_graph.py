"""A graph that nothing calls.

## What it does

Finds graphs that no node of the file calls and no setting names. A file without nodes of its own is
there for others: its graphs are not asked about.

## Why is this bad?

It looks like a step that the documents go through, and they do not.

## Example

```atk fragment
graph short(pairs: Pair[]) -> Pair[] {
  sql few { query = "FROM pairs WHERE length(answer) < 200" }
  return few
}
emit sft from pairs { path = "sft.jsonl", format = "messages" }
```

## Use instead

```atk fragment
graph short(pairs: Pair[]) -> Pair[] {
  sql few { query = "FROM pairs WHERE length(answer) < 200" }
  return few
}
short brief from pairs
emit sft from brief { path = "sft.jsonl", format = "messages" }
```
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language import tree as ast
from engine.language.lint.linted import Linted, words
from engine.language.lint.rule import Finding

CODE = "ATK506"


def check(graph: Linted) -> Iterator[Finding]:
    """Graphs that are declared and stand nowhere else."""
    if graph.library:
        return
    used: set[str] = set()
    for declaration in graph.declarations:
        used |= {declaration.kind.dotted, *words(declaration.block)}
    for statement in graph.source.statements:
        if isinstance(statement, ast.GraphDeclaration) and statement.name.text not in used:
            name = statement.name
            yield Finding(f"nothing calls the graph `{name.text}`", name.span, "call it, or take it out")
