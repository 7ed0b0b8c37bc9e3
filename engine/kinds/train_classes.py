"""What a classifier is made of: texts as tokens, each with the number of its class."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from engine.kinds.base import Row
from engine.kinds.train_data import Preparation, Read
from engine.kinds.train_settings import HELD_OUT, LABEL

if TYPE_CHECKING:
    from engine.training.job import Draft
    from engine.training.report import Report


class ClassPreparation(Preparation):
    """Rows with a text and a class; the classes are those that the rows name, sorted."""

    classes: list[str]

    def template(self) -> str | None:
        """No conversation is written, so that it does not matter which."""
        return "plain"

    @cached_property
    def length(self) -> int:
        """Tokens of a text, at most: no more than the model has places for."""
        try:
            config = json.loads((self.start / "config.json").read_text("utf-8"))
        except (OSError, ValueError):
            config = {}
        return min(self.recipe.length, config.get("max_position_embeddings") or self.recipe.length)

    def read(self, name: str, rows: Iterable[Row]) -> Read:
        """One input; the label of an example is its class, still by name."""
        from engine.training.classes import encoded

        column = self.settings.label or LABEL
        found = Read(name, "text")
        for row in rows:
            held_out = row.columns.get("split") in HELD_OUT
            text, label = row.columns.get("text"), _name(row.columns.get(column))
            if not text or not text.strip():
                found.refused.append("there is nothing in them")
                continue
            if not label:
                found.refused.append(f"`{column}` says no class")
                continue
            example = encoded(self.tokenizer, text, self.length)
            (found.held_out if held_out else found.examples).append(example)
            (found.held_out_texts if held_out else found.texts).append(text)
            (found.held_out_labels if held_out else found.labels).append(label)
            if not held_out:
                found.rows.append({"text": text, column: label})
        return found

    def made_whole(self) -> None:
        """Numbers for the classes. Raises `NotTrained` where there are not two."""
        from engine.training.classes import numbered

        pairs = [
            pair
            for one in self.inputs
            for pair in (
                *zip(one.examples, one.labels, strict=True),
                *zip(one.held_out, one.held_out_labels, strict=True),
            )
        ]
        trained = {label for one in self.inputs for label in one.labels}
        self.classes = numbered(pairs, trained)

    def reported(self) -> Report:
        """What can be said of it before it begins."""
        from engine.training.classes import report

        return report(
            self.tokenizer,
            self.recipe,
            self.classes,
            self.examples,
            self.order,
            [reason for one in self.inputs for reason in one.refused],
            [text for one in self.inputs for text in one.held_out_texts],
            [text for one in self.inputs for text in one.texts],
        )

    def asked(self) -> dict[str, Any]:
        """What the trainer is told besides: the classes, by number."""
        return {**super().asked(), "classes": self.classes, "stop": [], "merge": True}

    def write(self, draft: Draft) -> None:
        """The rows and their tokens; there is no chat template."""
        self.write_examples(draft)


def _name(value: Any) -> str | None:
    """A class as a text; a verdict of yes or no is one too."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.strip() if isinstance(value, str) else None
