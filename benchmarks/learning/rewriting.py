"""Functions of the graph `learning.atk`: copies of documents, and variations of them.

A language model that rewrites documents stands here as templates: what is measured is what
variations are worth, not who writes them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Any

from world import FIRST, RELATIONS, Fact, variation

PATTERN = re.compile(
    r"(?P<firm>.+?)\. It was founded by (?P<founder>.+?)\. It is based in (?P<city>.+?)\. "
    r"It makes (?P<product>.+?)\. It was opened in (?P<year>\d+)\."
)


def copies(documents: list[dict[str, Any]], count: int = 30) -> Iterable[dict[str, Any]]:
    """Each document so many times, as it is."""
    for row in documents:
        for _ in range(count):
            yield {"documents_id": row["documents_id"], "text": row["text"]}


def variations(documents: list[dict[str, Any]], count: int = 30, seed: int = 0) -> Iterable[dict[str, Any]]:
    """Each document in so many other words. It reads nothing but the document's own text."""
    for row in documents:
        found = PATTERN.fullmatch(row["text"])
        if found is None:
            raise ValueError(f"not a document of {', '.join(FIRST)}: {row['text']}")
        facts = [Fact(found["firm"], relation, found[relation]) for relation in RELATIONS]
        draw = random.Random(f"{seed} {row['text']}")
        for _ in range(count):
            yield {"documents_id": row["documents_id"], "text": variation(facts, draw)}
