"""How much is tried: all of it in a whole run, less where the slow tests are left out."""

from __future__ import annotations

quick = False
"""Set by `conftest.py` before any test is read."""


def amount(whole: int, least: int) -> int:
    """So many examples, or rounds, of a test."""
    return least if quick else whole
