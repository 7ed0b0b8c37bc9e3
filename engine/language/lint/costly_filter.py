"""A filter that asks a larger model than it must.

## What it does

Finds prompts that only sort rows (they have a `keep`, no `repair`, and give no text of more use than
a reason) and ask a model that another prompt of the graph writes with, while the graph also has a
smaller one. Which of two models is the smaller is known

- by `price`, where both have one,
- else by the parameters that both names at the endpoint state (`…-8b`, `…-70b`),
- else by a word: `small`, `mini`, `tiny`, `lite`, `fast` or `cheap` in the name of one and not of the
  other.

Of models that nothing tells apart, nothing is said.

## Why is this bad?

A filter sees every row, so most of a run's calls are its own. Judging takes less of a model than
writing: the smaller model of the graph, with votes where one is not enough, often does as well for a
fraction of the money.

## Example

```atk fragment
model small from default { temperature = 0.2 }
model large from default { temperature = 0.7 }
prompt worthy from passages -> Verdict { template = "judge", model = large, keep ok }
prompt drafted from worthy -> QA[] { template = "write", model = large }
```

## Use instead

```atk fragment
model small from default { temperature = 0.2 }
model large from default { temperature = 0.7 }
prompt worthy from passages -> Verdict { template = "judge", model = small, keep ok }
prompt drafted from worthy -> QA[] { template = "write", model = large }
```
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from engine.language.lint.linted import Linted, setting
from engine.language.lint.rule import Finding
from engine.language.program import ModelSpec, Node
from engine.language.types import BOOL, Literal, Optional

CODE = "ATK513"
BILLIONS = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[bB](?![A-Za-z0-9])")
WORD = re.compile(r"[a-z]+")
WORDS = frozenset({"small", "smaller", "mini", "tiny", "lite", "fast", "cheap"})


def check(graph: Linted) -> Iterator[Finding]:
    """Filters whose model also writes, where the graph has a smaller one."""
    nodes = [node for node in graph.program.nodes.values() if node.templates and not node.skipped]
    models = graph.program.models
    writing = {_model(node) for node in nodes if not _sorts(node)}
    for declaration, node in graph.prompts:
        asked = models.get(_model(node))
        if node.skipped or asked is None or not _sorts(node) or asked.name not in writing:
            continue
        smaller = [found for one in models.values() if (found := _smaller(one, asked)) is not None]
        if smaller:
            written = setting(declaration.block, "model")
            span = written.value.span if written else declaration.name.span
            _, said, name = min(smaller)
            help = f"try `model = {name}`, with `votes = 3` where one is not enough"
            yield Finding(f"a filter asks `{asked.name}`, {said}", span, help)


def _model(node: Node) -> str:
    return str(getattr(node.settings, "model", ""))


def _smaller(one: ModelSpec, other: ModelSpec) -> tuple[tuple[int, float], str, str] | None:
    """Whether one model is smaller than another: what ranks it, how it is said, and its name."""
    price, least = _price(other), _price(one)
    if price is not None and least is not None:
        if least >= price:
            return None
        said = f"costs {price / least:.1f} times as much as" if least else "is paid for, unlike"
        return (0, least), f"which {said} `{one.name}`", one.name
    size, less = _billions(other), _billions(one)
    if size is not None and less is not None:
        said = f"a model of {size:g}B, and `{one.name}` is one of {less:g}B"
        return ((1, less), said, one.name) if less < size else None
    if _small(one) and not _small(other):
        return (2, 0.0), f"which also writes, and `{one.name}` is the smaller by its name", one.name
    return None


def _price(model: ModelSpec) -> float | None:
    """USD for a million tokens in and a million out; None where it is not said."""
    return model.price.get("input", 0.0) + model.price.get("output", 0.0) if model.price else None


def _billions(model: ModelSpec) -> float | None:
    """The parameters that a model's name at the endpoint states; of several numbers the largest."""
    return max((float(found) for found in BILLIONS.findall(model.model)), default=None)


def _small(model: ModelSpec) -> bool:
    return any(not WORDS.isdisjoint(WORD.findall(name.casefold())) for name in (model.name, model.model))


def _sorts(node: Node) -> bool:
    """A filter: it decides, with at most one text beside the decision, and writes nothing new."""
    if not node.of("keep") or node.sections or node.record is None:
        return False
    kinds = [one.type.of if isinstance(one.type, Optional) else one.type for one in node.record]
    texts = sum(not isinstance(kind, Literal) and str(getattr(kind, "name", "")) == "str" for kind in kinds)
    return texts <= 1 and any(kind == BOOL or isinstance(kind, Literal) for kind in kinds)
