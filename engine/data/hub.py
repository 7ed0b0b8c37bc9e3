"""Rows of a data set at the Hugging Face hub, one after the other; `datasets` reads it, into its cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.frozen import dataclass


@dataclass(frozen=True)
class Part:
    """Which rows of a data set: its subset, its split, and the state of it that a revision names."""

    name: str
    subset: str | None = None
    split: str = "train"
    revision: str | None = None

    @property
    def told(self) -> str:
        """In a message: `owner/name (subset, split)`."""
        return f"{self.name} ({', '.join(filter(None, (self.subset, self.split)))})"


class HubProblem(Exception):
    """A data set that cannot be read: the message says why, `help` what to do."""

    def __init__(self, message: str, help: str):
        super().__init__(message)
        self.message, self.help = message, help


def rows(part: Part) -> Iterator[dict[str, Any]]:
    """The rows, in their order; read as they are asked for, not all at once. Raises `HubProblem`."""
    try:
        from datasets import load_dataset
        from datasets.utils import logging
    except ImportError:
        raise HubProblem(
            "reading from the hub needs the package datasets", "pip install 'atk[data]'"
        ) from None
    logging.set_verbosity_error()
    try:
        found = load_dataset(part.name, part.subset, split=part.split, revision=part.revision, streaming=True)
        yield from found
    except Exception as error:  # whatever the hub, the network and a dozen formats raise
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise HubProblem(f"{part.told} cannot be read: {first}", _mend(error)) from error


def _mend(error: Exception) -> str:
    said = f"{type(error).__name__} {error}".lower()
    if "split" in said or "config" in said:
        return "set `split` or `subset` to one that the data set has"
    if "notfound" in said or "doesn't exist" in said or "gated" in said or "401" in said:
        return 'it is named "owner/name"; a private or gated one needs HF_TOKEN in the environment'
    return "is there a network? A copy on this machine is read with `path`"
