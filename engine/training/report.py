"""What can be said of a training before it begins: counts, warnings, and what is learnt, as text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.training.encoding import UNTRAINED, Example
from engine.training.recipes import FEW_STEPS, Recipe
from engine.training.tokenizer import Tokenizer

GRAM = 13
"""Words in a row that, found in both, make a held-out row one that was trained on."""
SHOWN = 3
WORD = re.compile(r"\w+")


@dataclass
class Report:
    """See the module's docstring. `warnings` are what the author should mend or mean."""

    rows: int
    examples: int
    tokens: int  # of all examples, once
    trained: int  # those of them that are learnt
    seen: int  # tokens of all sequences, every epoch counted
    sequences: int
    steps: int
    packed: bool
    cut_rows: int
    cut_tokens: int
    refused: list[str] = field(default_factory=list)  # why rows were left out
    learnt: list[str] = field(default_factory=list)  # of some rows, what is learnt
    stop: str | None = None
    warnings: list[str] = field(default_factory=list)
    first: str | None = None  # the line that counts, where it is another than of texts

    def lines(self) -> list[str]:
        """A few lines for a plan and a run."""
        if self.first is not None:
            return [self.first, *self.warnings]
        about = "packed, " if self.packed else ""
        first = (
            f"{self.steps:,} steps on {self.sequences:,} sequences ({about}{self.seen:,} tokens in all "
            f"epochs); {self.rows:,} rows of {self.tokens:,} tokens, {self.trained:,} of them learnt"
        )
        return [first, *self.warnings]

    def text(self, name: str) -> str:
        """The whole of it, as Markdown."""
        parts = [f"# {name}\n", "\n".join(f"- {line}" for line in self.lines()) + "\n"]
        if self.first is None:
            parts.append(f"The mark that ends a turn: {self.stop or 'none'}\n")
        parts.append("What is learnt of some rows, decoded from their tokens (⟦…⟧ is only read):\n")
        parts += [f"```text\n{text}\n```\n" for text in self.learnt]
        if self.refused:
            reasons = "\n".join(f"- {reason}" for reason in sorted(set(self.refused)))
            parts.append(f"Left out, {len(self.refused):,} rows:\n\n{reasons}\n")
        return "\n".join(parts)


def report(
    tokenizer: Tokenizer,
    recipe: Recipe,
    rows: int,
    examples: Sequence[Example],
    sequences: Sequence[Sequence[int]],
    packed: bool,
    refused: Sequence[str],
    held_out: Iterable[str] = (),
    texts: Iterable[str] = (),
) -> Report:
    """The report. `texts` are what is trained on, `held_out` what is not to be."""
    lengths = [one.size for one in examples]
    steps = -(-len(sequences) // recipe.batch)
    cut = [one.cut for one in examples if one.cut]
    made = Report(
        rows=rows,
        examples=len(examples),
        tokens=sum(lengths),
        trained=sum(one.trained for one in examples),
        seen=sum(lengths[one] for group in sequences for one in group),
        sequences=len(sequences),
        steps=steps,
        packed=packed,
        cut_rows=len(cut),
        cut_tokens=sum(cut),
        refused=list(refused),
        learnt=[learnt(tokenizer, one) for one in spread(examples, SHOWN)],
    )
    stop = tokenizer.stop() if tokenizer.chat is not None and recipe.method != "cpt" else None
    made.stop = stop[0] if stop else tokenizer.marks.get("eos_token")
    made.warnings = list(_warnings(made, tokenizer, recipe, examples, stop))
    overlapping, all_ = overlap(texts, held_out)
    if overlapping:
        made.warnings.append(f"{overlapping:,} of {all_:,} held-out rows stand in what is trained on as well")
    return made


def _warnings(
    made: Report,
    tokenizer: Tokenizer,
    recipe: Recipe,
    examples: Sequence[Example],
    stop: tuple[str, int] | None,
) -> Iterable[str]:
    if made.cut_rows:
        yield (
            f"{made.cut_rows:,} rows are longer than {recipe.length:,} tokens and lose {made.cut_tokens:,}: "
            "raise `length`, or make them shorter"
        )
    if made.steps < FEW_STEPS and recipe.method != "dpo":
        yield (
            f"{made.steps:,} steps are few for facts to stick (300 and more do better): "
            "more variations or `epochs`, or a smaller `batch`"
        )
    if recipe.method != "cpt":
        if stop is None:
            yield "the chat template ends a turn with no mark of its own: the model will not learn to stop"
        elif not any(label == stop[1] for one in examples for label in one.labels):
            yield f"{stop[0]} is never learnt: the model will not learn to stop"
        if not tokenizer.chat.asks_as_trained():
            yield "the chat template asks otherwise than it writes: the model is asked what it did not learn"
    doubled = sum(_doubled(tokenizer, one.tokens) for one in examples)
    if doubled:
        yield f"{doubled:,} rows end in two end marks: take the mark out of their text"
    if made.refused:
        yield f"{len(made.refused):,} rows are left out: {max(set(made.refused), key=made.refused.count)}"


def _doubled(tokenizer: Tokenizer, tokens: Sequence[int]) -> bool:
    """Whether two ends stand behind one another, with nothing but space between them."""
    end = tokenizer.end
    if end is None or tokens[-1:] != [end] or end not in tokens[-4:-1]:
        return False
    at = len(tokens) - 2 - list(reversed(tokens[:-1])).index(end)
    return not tokenizer.decode(tokens[at + 1 : -1]).strip()


def learnt(tokenizer: Tokenizer, example: Example, most: int = 600) -> str:
    """What is learnt of an example, as text; what is only read stands in ⟦ ⟧, shortened."""
    parts: list[str] = []
    start = 0
    labels = example.labels
    for at in range(1, len(labels) + 1):
        if at == len(labels) or (labels[at] == UNTRAINED) != (labels[start] == UNTRAINED):
            text = tokenizer.decode(example.tokens[start:at])
            if labels[start] == UNTRAINED:
                text = f"⟦{text if len(text) <= 80 else text[:38] + ' … ' + text[-38:]}⟧"
            parts.append(text)
            start = at
    whole = "".join(parts)
    return whole if len(whole) <= most else f"{whole[: most - 100]} … {whole[-100:]}"


def spread(examples: Sequence[Example], count: int) -> list[Example]:
    """Some of them, from the first to the last."""
    if len(examples) <= count:
        return list(examples)
    return [examples[at * (len(examples) - 1) // (count - 1)] for at in range(count)]


def overlap(texts: Iterable[str], held_out: Iterable[str]) -> tuple[int, int]:
    """How many of the held-out texts share `GRAM` words in a row with what is trained on, and of how many.

    Of a shorter one all words count; case and marks do not.
    """
    found = standing(held_out, texts)
    return sum(found), len(found)


def standing(looked_for: Iterable[str], texts: Iterable[str]) -> list[bool]:
    """For each text whether `GRAM` of its words (all, where it has fewer) stand in a row in one of `texts`.

    The rule of Brown et al. (2020, arXiv:2005.14165), appendix C.
    """
    wanted: dict[int, set[tuple[str, ...]]] = {}
    rows: list[list[tuple[str, ...]]] = []
    for text in looked_for:
        words = WORD.findall(text.casefold())
        size = min(len(words), GRAM)
        grams = [tuple(words[at : at + size]) for at in range(len(words) - size + 1)] if size else []
        rows.append(grams)
        wanted.setdefault(size, set()).update(grams)
    if not rows:
        return []
    found: set[tuple[str, ...]] = set()
    for text in texts:
        words = WORD.findall(text.casefold())
        for size, sought in wanted.items():
            here = {tuple(words[at : at + size]) for at in range(len(words) - size + 1)}
            found |= here & sought
    return [any(gram in found for gram in row) for row in rows]
