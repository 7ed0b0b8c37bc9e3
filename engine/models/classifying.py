"""A classifier in this process, by the library `transformers`. Nothing heavy is imported before it loads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from engine.models.local import ALONE

BATCH = 32
LONGEST = 512  # tokens of a text, where neither tokenizer nor model says; the rest is cut off


class NoClassifier(Exception):
    """A folder that tells no classes, or a library that is not there."""

    def __init__(self, message: str, help: str | None = None):
        super().__init__(message)
        self.message, self.help = message, help


class Classifier:
    """The model of a folder. Raises `NoClassifier` where it is none."""

    def __init__(self, folder: str):
        with ALONE:  # two threads that import the library at once trip over each other
            self._load(folder)

    def _load(self, folder: str) -> None:
        _expect_classes(folder)  # before the library, which takes seconds to come
        try:
            import torch
            from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
            from transformers.utils import logging
        except ImportError as error:
            raise NoClassifier(
                f"classifiers need {error.name or 'torch'} where atk is installed", 'pip install "atk[train]"'
            ) from error
        logging.disable_progress_bar()
        try:
            config = AutoConfig.from_pretrained(folder)
        except (OSError, ValueError) as error:
            raise NoClassifier(f"{folder} is no model: {str(error).splitlines()[0]}") from error
        self.torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        self.model = model.to(self.device).eval()
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.labels = [str(config.id2label[at]) for at in range(config.num_labels)]
        limits = (self.tokenizer.model_max_length, getattr(config, "max_position_embeddings", None), LONGEST)
        self.longest = min(one for one in limits if one)

    def scores(self, texts: Sequence[str]) -> list[list[tuple[str, float]]]:
        """For each text all classes with their probability, likeliest first. Blocking."""
        found: list[list[tuple[str, float]]] = [[] for _ in texts]
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))  # alike lengths pad little
        with ALONE:
            for start in range(0, len(order), BATCH):
                places = order[start : start + BATCH]
                for at, row in zip(places, self._batch([texts[at] for at in places]), strict=True):
                    pairs = zip(self.labels, row, strict=True)
                    found[at] = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
        return found

    def _batch(self, texts: Sequence[str]) -> list[list[float]]:
        torch = self.torch
        given = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.longest, return_tensors="pt"
        )
        with torch.inference_mode():
            logits = self.model(
                input_ids=given["input_ids"].to(self.device),
                attention_mask=given["attention_mask"].to(self.device),
            ).logits
        made: list[list[float]] = torch.softmax(logits.float(), -1).tolist()
        return made


def _expect_classes(folder: str) -> None:
    """Raises `NoClassifier` where the folder's model says that it is something else."""
    try:
        config = json.loads((Path(folder) / "config.json").read_bytes())
        sorts = list(config.get("architectures") or [])
    except OSError as error:
        raise NoClassifier(f"{folder} is no model: its config.json: {error.strerror}") from error
    except (ValueError, AttributeError, TypeError) as error:
        raise NoClassifier(f"{folder} is no model: its config.json cannot be read") from error
    if not any(str(one).endswith("ForSequenceClassification") for one in sorts):
        found = f"is a {sorts[0]}" if sorts else "does not say what it is"
        help = 'train one with `method = "classifier"`, or name a folder that has one'
        raise NoClassifier(f"{folder} is no classifier: it {found}", help)
