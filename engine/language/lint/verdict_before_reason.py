"""A verdict that is written before its reason.

## What it does

Finds types of replies in which a `bool` or a choice (`"good" | "bad"`) stands before the text that
argues for it: a `str` field named `why`, `reason`, `reasoning`, `rationale`, `explanation`,
`analysis`, `evidence`, `critique`, `notes` or the like.

## Why is this bad?

A model writes fields in their order. What it writes after the verdict cannot change the verdict any
more: the reason is then an excuse for a guess.

## Example

```atk fragment
type Verdict { ok: bool, why: str }
prompt checked from drafted -> Verdict { template = "check", keep ok }
```

## Use instead

```atk fragment
type Verdict { why: str, ok: bool }
prompt checked from drafted -> Verdict { template = "check", keep ok }
```

No fix is offered: the order is part of what the model is asked, so that every row is asked again.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language import tree as ast
from engine.language.lint.linted import Linted, record
from engine.language.lint.rule import Finding

CODE = "ATK511"


_REASONS = frozenset(
    "why because reason reasons reasoning rationale explanation justification argument arguments analysis"
    " evidence thoughts thinking notes critique".split()
)


def check(graph: Linted) -> Iterator[Finding]:
    """Records that a prompt of the file asks for, with those inside them."""
    seen: set[int] = set()
    for declaration, _ in graph.prompts:
        waiting = [record(graph, declaration.result)]
        while waiting:
            found = waiting.pop()
            if found is None or id(found) in seen:
                continue
            seen.add(id(found))
            waiting += [record(graph, one.type) for one in found.fields]
            yield from _within(graph, found)


def _within(graph: Linted, found: ast.TypeRecord) -> Iterator[Finding]:
    verdict: ast.FieldDeclaration | None = None
    for one in found.fields:
        if _decides(graph, one.type):
            verdict = verdict or one
        elif verdict is not None and one.name.text.lower() in _REASONS and _scalar(one.type) == "str":
            yield Finding(
                f"`{verdict.name.text}` is decided before `{one.name.text}` argues for it",
                verdict.name.span,
                f"write `{one.name.text}` first: fields are generated in their order",
                ((one.name.span, "the reason comes here"),),
            )
            return


def _decides(graph: Linted, written: ast.TypeExpression) -> bool:
    if isinstance(written, ast.TypeOptional):
        written = written.of
    if isinstance(written, ast.TypeName):
        written = graph.types.get(written.path.dotted, written)
    return isinstance(written, ast.TypeUnion) or _scalar(written) == "bool"


def _scalar(written: ast.TypeExpression) -> str | None:
    """The name of a type that is written as a name, optional or not."""
    if isinstance(written, ast.TypeOptional):
        written = written.of
    return written.path.dotted if isinstance(written, ast.TypeName) else None
