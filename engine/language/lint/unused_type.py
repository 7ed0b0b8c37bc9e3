"""A type that nothing names.

## What it does

Finds declared types that no node, graph, param or other type of the file names. A file without nodes
of its own is there for others: its types are not asked about.

## Why is this bad?

Whoever changes it believes that a prompt's schema changes.

## Example

```atk fragment
type Verdict { why: str, ok: bool }
prompt checked from drafted -> { why: str, ok: bool } { template = "check" }
```

## Use instead

```atk fragment
type Verdict { why: str, ok: bool }
prompt checked from drafted -> Verdict { template = "check" }
```
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language import tree as ast
from engine.language.lint.linted import Linted, written_types
from engine.language.lint.rule import Finding

CODE = "ATK504"


def check(graph: Linted) -> Iterator[Finding]:
    """Types that are declared and stand nowhere else."""
    if graph.library:
        return
    used = {
        (written.path.dotted, isinstance(one, ast.TypeDeclaration) and one.name.text)
        for one in graph.source.statements
        for written in written_types(one)
        if isinstance(written, ast.TypeName)
    }
    names = {name for name, where in used if name != where}
    for statement in graph.source.statements:
        if isinstance(statement, ast.TypeDeclaration) and statement.name.text not in names:
            name = statement.name
            yield Finding(f"nothing names the type `{name.text}`", name.span, "use it, or take it out")
