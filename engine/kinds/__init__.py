"""The built-in kinds, by name. A kind is one file here; this one only gathers them."""

from __future__ import annotations

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
    "repeat": "Repeat",
    "replies": "Replies",
    "rewarded": "Rewarded",
}


@cache
def registry() -> dict[str, Kind]:
    """Every kind that the language knows, by its name in a graph."""
    return {name: getattr(import_module(f"engine.kinds.{name}"), kind)() for name, kind in CLASSES.items()}
