"""A model that nothing asks.

## What it does

Finds models that no node names, no other model copies and no profile puts in another's place. A file
without nodes of its own is there for others: its models are not asked about.

## Why is this bad?

Whoever changes its price or its temperature believes that something changes.

## Example

```atk fragment
model small from default { temperature = 0.2 }
model large from default { temperature = 0.7 }
prompt checked from drafted -> Verdict { template = "check", model = large }
```

## Use instead

```atk fragment
model large from default { temperature = 0.7 }
prompt checked from drafted -> Verdict { template = "check", model = large }
```
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language import tree as ast
from engine.language.lint.linted import Linted, named, words
from engine.language.lint.rule import Finding

CODE = "ATK505"


def check(graph: Linted) -> Iterator[Finding]:
    """Models that are declared and stand nowhere else."""
    if graph.library:
        return
    used = {word for scope in graph.scopes for one in scope.nodes for word in words(one.block)}
    for statement in graph.source.statements:
        match statement:
            case ast.ModelDeclaration(base=base) if base is not None:
                used.add(base.dotted)
            case ast.Use(block=ast.Block() as block):
                used |= words(block)
            case ast.ProfileDeclaration() | ast.TestDeclaration():
                used |= words(statement.block)
            case ast.ParamDeclaration(default=default) if default is not None:
                used |= {word for part in ast.walk(default) for word in named(part)}
            case ast.GraphDeclaration():
                defaults = [slot.default for slot in statement.slots if slot.default is not None]
                used |= {word for one in defaults for part in ast.walk(one) for word in named(part)}
    for statement in graph.source.statements:
        if isinstance(statement, ast.ModelDeclaration) and statement.name.text not in used:
            name = statement.name
            yield Finding(f"nothing asks the model `{name.text}`", name.span, "use it, or take it out")
