"""Whether a reply is in the language of another text, as far as that can be told of short ones.

Asked is not which language a text is in, where neighbours as Danish and Norwegian are mixed up, but
whether it can be in one of those that the other text may be in. `docs/decisions/languages.md` has figures.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LEAST = 24  # bytes of letters: what is shorter is of any language
ENOUGH = 2_000  # characters of a long text that say what it is in
MAYBE = 0.05  # a text may be in a language that is as likely as this
HARDLY = 0.01  # together, for those of the other text: it is in another one


def apart(text: str, other: str) -> tuple[str, str] | None:
    """The languages of two texts (ISO 639-1), where they are surely not of one; else None."""
    if _short(text) or _short(other):
        return None
    mine, wanted = _likely(text), _likely(other[:ENOUGH])
    shared = sum(mine.get(one, 0.0) for one, chance in wanted.items() if chance >= MAYBE)
    if shared >= HARDLY:
        return None
    return max(mine, key=lambda one: mine[one]), max(wanted, key=lambda one: wanted[one])


def _short(text: str) -> bool:
    """Whether a text has too few letters; of Chinese a few are many, as they are in bytes."""
    return len("".join(filter(str.isalpha, text[:ENOUGH])).encode("utf-8", "replace")) < LEAST


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _likely(text: str) -> Mapping[str, float]:
    """How likely each language is."""
    return dict(_identifier().rank(text[:ENOUGH]))
