"""A decision without a reason.

## What it does

Finds prompts that ask for a `bool` and for no text beside it.

## Why is this bad?

A model that first writes down what it found decides better than one that answers at once, and
`rejected.<node>` can then be read: without a reason nobody can tell a strict judge from a broken
prompt.

## Example

```atk fragment
prompt worthy from passages -> { ok: bool } { template = "judge", keep ok }
```

## Use instead

```atk fragment
type Verdict {
  why: str                               ## One or two sentences, before deciding.
  ok:  bool
}
prompt worthy from passages -> Verdict { template = "judge", keep ok }
```

A model that reasons by itself before it replies can do without: `# atk: ignore
verdict-without-reason`.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.lint.linted import Linted
from engine.language.lint.rule import Finding
from engine.language.types import BOOL, STR, Many, Optional, Record, Type

CODE = "ATK512"


def check(graph: Linted) -> Iterator[Finding]:
    """Prompts whose record holds a bool and no text, at whatever depth."""
    for declaration, node in graph.prompts:
        if node.record is None:
            continue
        parts = list(_parts(node.record))
        flags = [one.name for one in node.record if _bare(one.type) == BOOL]
        if flags and STR not in parts:
            span = declaration.result.span if declaration.result is not None else declaration.name.span
            yield Finding(
                f"`{flags[0]}` is decided, and nothing says why",
                span,
                "put a field such as `why: str` before it",
            )


def _bare(kind: Type) -> Type:
    return kind.of if isinstance(kind, Optional) else kind


def _parts(kind: Type) -> Iterator[Type]:
    yield kind
    match kind:
        case Record():
            for one in kind:
                yield from _parts(one.type)
        case Many() | Optional():
            yield from _parts(kind.of)
