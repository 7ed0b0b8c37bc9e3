"""A `let` that nothing reads.

## What it does

Finds `let`s that neither the node's prompts nor its later clauses name.

## Why is this bad?

It looks as if the prompt said it.

## Example

```atk fragment
prompt drafted from passages -> QA[] {
  template = "factual/judge_passage"
  let audience = "a practitioner"
}
```

## Use instead

```atk fragment
prompt drafted from passages -> QA[] {
  template = "factual/write_questions"
  let audience = "a practitioner"
}
```

## Fix safety

`--fix` takes the `let` out with its doc comment, unless another comment stands beside it. What the
model is sent stays the same, since nothing of it was sent.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.lint.linted import Linted, templates, words
from engine.language.lint.rule import Finding, Fix

CODE = "ATK508"
FIXABLE = True


def check(graph: Linted) -> Iterator[Finding]:
    """`let`s whose names no prompt and no other clause reads, in any call."""
    for declaration in graph.declarations:
        nodes = graph.nodes(declaration)
        if not nodes:
            continue
        for clause in declaration.block.clauses:
            if clause.word.text != "let" or clause.name is None:
                continue
            name = clause.name.text
            read = set().union(*(template.reads for node in nodes for template in templates(node)))
            read |= set().union(
                *(other.reads for node in nodes for other in node.clauses if other.name != name)
            )
            read |= set().union(*(other.reads for node in nodes for other in node.expressions.values()))
            if name not in read and name not in words(declaration.block):
                yield Finding(
                    f"no prompt and no clause reads `{name}`",
                    clause.name.span,
                    "take it out, or name it in the prompt",
                    fix=Fix("let", clause.name.span),
                )
