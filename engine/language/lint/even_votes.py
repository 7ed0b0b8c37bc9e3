"""An even number of votes.

## What it does

Finds nodes whose `votes` are even while `quorum` is a half.

## Why is this bad?

More than the quorum must keep a row, so a tie refuses it: of two votes both must agree, and the
second one makes the node stricter rather than surer, at twice the price. Without a `keep` a tie goes to
the reply that came first, and the even vote decided nothing.

## Example

```atk fragment
prompt checked from drafted -> Verdict { template = "check", votes = 2, keep ok }
```

## Use instead

```atk fragment
prompt checked from drafted -> Verdict { template = "check", votes = 3, keep ok }
```

Where all votes are to agree, say so: `quorum = 0.9`.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.lint.linted import Linted, setting
from engine.language.lint.rule import Finding
from engine.language.types import BOOL, Literal, Optional, Type

CODE = "ATK510"


def check(graph: Linted) -> Iterator[Finding]:
    """Votes that can tie."""
    for declaration, node in graph.prompts:
        votes, quorum = getattr(node.settings, "votes", 1), getattr(node.settings, "quorum", 0.5)
        written = setting(declaration.block, "votes")
        elected = node.of("keep") or any(_choice(one.type) for one in node.record or ())
        if written is not None and votes % 2 == 0 and quorum == 0.5 and elected:
            fate = "refuses the row" if node.of("keep") else "goes to the first reply"
            yield Finding(
                f"{votes} votes can tie, and a tie {fate}",
                written.value.span,
                f"take {votes + 1}"
                + (", or say with `quorum` how many must agree" if node.of("keep") else ""),
            )


def _choice(kind: Type) -> bool:
    """What the commonest vote decides, rather than the middle one or the first."""
    bare = kind.of if isinstance(kind, Optional) else kind
    return bare == BOOL or isinstance(bare, Literal)
