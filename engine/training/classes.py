"""Texts and their classes: tokens, numbers of classes, and what can be said before a training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from engine.training.encoding import Example
from engine.training.faults import NotTrained
from engine.training.recipes import Recipe
from engine.training.report import SHOWN, Report, overlap, spread
from engine.training.tokenizer import Tokenizer

FEW = 8
"""Texts of a class below which a classifier hardly learns it."""
MANY = 1_000


def encoded(tokenizer: Tokenizer, text: str, length: int) -> Example:
    """A text with the marks that the tokenizer puts around it; the end of a long one is cut off."""
    inner = tokenizer.inner
    inner.no_truncation()
    whole = len(inner.encode(text).ids)
    inner.enable_truncation(length)
    tokens = inner.encode(text).ids
    inner.no_truncation()
    return Example(tokens, [], whole - len(tokens))


def numbered(pairs: Sequence[tuple[Example, str]], trained: Iterable[str]) -> list[str]:
    """The classes in order; each example has the number of its own from then on. Raises `NotTrained`."""
    names = sorted({label for _, label in pairs})
    if len(set(trained)) < 2:
        seen = f"all texts are `{names[0]}`" if names else "no text has a class"
        raise NotTrained(f"there is nothing to tell apart: {seen}", "label texts of another class too")
    if len(names) > MANY:
        help = "`label` names a column with a few names that come again and again"
        raise NotTrained(f"{len(names):,} classes are no classes", help)
    numbers = {name: at for at, name in enumerate(names)}
    for example, label in pairs:
        example.labels = [numbers[label]]
    return names


def report(
    tokenizer: Tokenizer,
    recipe: Recipe,
    classes: Sequence[str],
    examples: Sequence[Example],
    sequences: Sequence[Sequence[int]],
    refused: Sequence[str],
    held_out: Sequence[str],
    texts: Sequence[str],
) -> Report:
    """The report of a classifier; `held_out` and `texts` are what is not, and what is, trained on."""
    counts = Counter(classes[one.labels[0]] for one in examples)
    cut = [one.cut for one in examples if one.cut]
    made = Report(
        rows=len(examples),
        examples=len(examples),
        tokens=sum(one.size for one in examples),
        trained=len(examples),
        seen=sum(examples[one].size for group in sequences for one in group),
        sequences=len(sequences),
        steps=-(-len(sequences) // recipe.batch),
        packed=False,
        cut_rows=len(cut),
        cut_tokens=sum(cut),
        refused=list(refused),
        learnt=[
            f"⟦{_short(tokenizer.decode(one.tokens))}⟧ {classes[one.labels[0]]}"
            for one in spread(examples, SHOWN)
        ],
    )
    made.first = (
        f"{made.steps:,} steps on {made.sequences:,} texts ({made.seen:,} tokens in all epochs); "
        + ", ".join(f"{counts[name]:,} {name}" for name in classes)
    )
    made.warnings = list(_warnings(made, recipe, classes, counts))
    overlapping, all_ = overlap(texts, held_out)
    if overlapping:
        made.warnings.append(f"{overlapping:,} of {all_:,} held-out rows stand in what is trained on as well")
    return made


def _warnings(made: Report, recipe: Recipe, classes: Sequence[str], counts: Counter[str]) -> Iterable[str]:
    missing = [name for name in classes if not counts[name]]
    few = [name for name in classes if 0 < counts[name] < FEW]
    if missing:
        yield f"no text is `{missing[0]}` but held-out ones: it will never be told"
    if few:
        names = ", ".join(f"`{name}`" for name in few)
        yield f"fewer than {FEW} texts are {names}: label more of them"
    if made.cut_rows:
        yield (
            f"{made.cut_rows:,} texts are longer than {recipe.length:,} tokens and lose {made.cut_tokens:,}: "
            "raise `length`, or make them shorter"
        )
    if made.refused:
        yield f"{len(made.refused):,} rows are left out: {max(set(made.refused), key=made.refused.count)}"


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else f"{text[: most - 100]} … {text[-100:]}"
