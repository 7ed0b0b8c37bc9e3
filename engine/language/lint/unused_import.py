"""An import that nothing uses.

## What it does

Finds `use` statements of whose file nothing is named.

## Why is this bad?

Whoever reads the file looks for what comes from there.

## Example

```atk fragment
use "lib/chat.atk" as chat
chat conversations from turns { turns = turns }
```

## Use instead

```atk fragment
chat conversations from turns { turns = turns }
```

## Fix safety

`--fix` takes the statement out, unless a comment stands beside it: nothing else can have named it.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language import tree as ast
from engine.language.lint.linted import Linted
from engine.language.lint.rule import Finding, Fix

CODE = "ATK503"
FIXABLE = True


def check(graph: Linted) -> Iterator[Finding]:
    """What checking noticed, where it is written."""
    told = {
        (one.span.line, one.span.column): one.message
        for one in graph.program.diagnostics
        if one.code == "ATK190" and one.span.path == graph.program.shown
    }
    for statement in graph.source.statements:
        if isinstance(statement, ast.Use):
            span = statement.alias.span if statement.alias else statement.file.span
            if message := told.get((span.line, span.column)):
                yield Finding(message, span, "leave the `use` out", fix=Fix("use", statement.file.span))
