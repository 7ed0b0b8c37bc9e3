"""The built-in kinds, by name. A kind is one file here; this one only gathers them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.kinds.base import Kind

CLASSES = {
    "source": "Source",
    "chunk": "Chunk",
    "prompt": "Prompt",
    "vary": "Vary",
    "sql": "Sql",
    "python": "Python",
    "gather": "Gather",
    "dedupe": "Dedupe",
    "embed": "Embed",
    "retrieve": "Retrieve",
    "chat": "Chat",
    "mix": "Mix",
    "emit": "Emit",
    "train": "Train",
    "classify": "Classify",
    "evaluate": "Evaluate",
    "repeat": "Repeat",
    "replies": "Replies",
    "rewarded": "Rewarded",
}


class Registry(Mapping[str, "Kind"]):
    """Kinds by their names in a graph. One is imported when it is first asked for: a run needs few."""

    def __init__(self) -> None:
        self.made: dict[str, Kind] = {}

    def __getitem__(self, name: str) -> Kind:
        if name not in self.made:
            kind = CLASSES[name]
            self.made[name] = getattr(import_module(f"engine.kinds.{name}"), kind)()
        return self.made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(CLASSES)

    def __len__(self) -> int:
        return len(CLASSES)

    def __contains__(self, name: object) -> bool:
        return name in CLASSES


@cache
def registry() -> Registry:
    """Every kind that the language knows."""
    return Registry()
