"""Expressions over rows as they come: each is DuckDB's, and a bare flag needs no query."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.runtime.gates import Gates

ROWS = [{"ok": True, "n": 1}, {"ok": False, "n": 2}, {"ok": None, "n": 3}]
TYPES = {"ok": "BOOLEAN", "n": "INTEGER"}


@pytest.mark.parametrize(
    ("expressions", "values", "queried"),
    [
        (['"ok"'], [(True,), (False,), (None,)], False),
        (["ok", '"ok"'], [(True, True), (False, False), (None, None)], False),
        (['"ok"', "n > 1"], [(True, False), (False, True), (None, True)], True),
        (['NOT "ok"'], [(False,), (True,), (None,)], True),
        (['"n"'], [(1,), (2,), (3,)], True),
    ],
)
def test_values(
    expressions: list[str], values: list[tuple[Any, ...]], queried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gates = Gates()
    assert asyncio.run(gates.values(expressions, ROWS, TYPES)) == values
    assert (gates.expressions is not None) is queried
