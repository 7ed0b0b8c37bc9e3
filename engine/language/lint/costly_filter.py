"""A filter that asks a costlier model than it must.

## What it does

Finds prompts that only sort rows (they have a `keep`, no `repair`, and give no text of more use than
a reason) and ask a model that another prompt of the graph writes with, while the graph also asks a
model whose stated `price` is lower.

## Why is this bad?

A filter sees every row, so most of a run's calls are its own. Judging takes less of a model than
writing: the smaller model of the graph, with votes where one is not enough, often does as well for a
fraction of the money.

## Example

```atk fragment
model small from default { price = { input: 0.1, output: 0.2 } }
model large from default { price = { input: 1.0, output: 3.0 } }
prompt worthy from passages -> Verdict { template = "judge", model = large, keep ok }
prompt drafted from worthy -> QA[] { template = "write", model = large }
prompt tagged from drafted -> { topic: str } { template = "tag", model = small }
```

## Use instead

```atk fragment
model small from default { price = { input: 0.1, output: 0.2 } }
model large from default { price = { input: 1.0, output: 3.0 } }
prompt worthy from passages -> Verdict { template = "judge", model = small, keep ok }
prompt drafted from worthy -> QA[] { template = "write", model = large }
prompt tagged from drafted -> { topic: str } { template = "tag", model = small }
```

Without prices nothing is said: nobody can tell which model is the larger.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.language.lint.linted import Linted, setting
from engine.language.lint.rule import Finding
from engine.language.program import Node
from engine.language.types import BOOL, Literal, Optional

CODE = "ATK513"


def check(graph: Linted) -> Iterator[Finding]:
    """Filters whose model also writes, where a cheaper one is asked too."""
    nodes = [node for node in graph.program.nodes.values() if node.template is not None and not node.skipped]
    asked = {_model(node) for node in nodes}
    writing = {_model(node) for node in nodes if not _sorts(node)}
    for declaration, node in graph.prompts:
        model = _model(node)
        price = _price(graph, model)
        if node.skipped or not _sorts(node) or model not in writing or price is None:
            continue
        cheaper = sorted(
            (other, name) for name in asked if (other := _price(graph, name)) is not None and other < price
        )
        if cheaper:
            written = setting(declaration.block, "model")
            span = written.value.span if written else declaration.name.span
            other, name = cheaper[0]
            yield Finding(
                f"a filter asks `{model}`, which costs {price / other:.1f} times as much as `{name}`"
                if other
                else f"a filter asks `{model}`, and `{name}` costs nothing",
                span,
                f"try `model = {name}`, with `votes = 3` where one is not enough",
            )


def _model(node: Node) -> str:
    return str(getattr(node.settings, "model", ""))


def _price(graph: Linted, name: str) -> float | None:
    """USD for a million tokens in and a million out; None where it is not said."""
    model = graph.program.models.get(name)
    if model is None or not model.price:
        return None
    return model.price.get("input", 0.0) + model.price.get("output", 0.0)


def _sorts(node: Node) -> bool:
    """A filter: it decides, with at most one text beside the decision, and writes nothing new."""
    if not node.of("keep") or node.sections or node.record is None:
        return False
    kinds = [one.type.of if isinstance(one.type, Optional) else one.type for one in node.record]
    texts = sum(not isinstance(kind, Literal) and str(getattr(kind, "name", "")) == "str" for kind in kinds)
    return texts <= 1 and any(kind == BOOL or isinstance(kind, Literal) for kind in kinds)
