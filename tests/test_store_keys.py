"""Fingerprints: what must be the same, and what must never be."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.store.keys import child_id, fingerprint


class Colour(StrEnum):
    RED = "red"


DISTINCT: list[Any] = [
    None,
    "None",
    "",
    "1",
    1,
    1.0,
    True,
    b"1",
    Decimal(1),
    Decimal("1.0"),
    0,
    False,
    [],
    {},
    set(),
    [None],
    [[]],
    ["a", "b"],
    ["ab"],
    ["a", ["b"]],
    {"a": "b"},
    [("a", "b")],
    {"a": {"b": 1}},
    {"a": {"b": 2}},
    {1: "a"},
    {"1": "a"},
    datetime(2020, 1, 1),  # noqa: DTZ001
    datetime(2020, 1, 1, tzinfo=UTC),
    date(2020, 1, 1),
    time(0, 0),
    timedelta(days=1),
    timedelta(seconds=1),
    "2020-01-01",
    UUID(int=1),
    math.nan,
    math.inf,
    "\ud800",
    PurePosixPath("a"),
    "a",
]

SAME: list[tuple[Any, Any]] = [
    (["a", 1], ("a", 1)),
    ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ({"a": 1}, OrderedDict(a=1)),
    ({"x", "y", "z"}, frozenset({"z", "y", "x"})),
    (math.nan, -math.nan),
    (Colour.RED, "red"),
    (bytearray(b"x"), b"x"),
]

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


def typed(value: Any) -> Any:
    """A form that is equal only where value, type and nesting are."""
    if isinstance(value, dict):
        return ("dict", frozenset((key, typed(item)) for key, item in value.items()))
    if isinstance(value, list):
        return ("list", tuple(map(typed, value)))
    return (type(value).__name__, repr(value))


def test_what_differs_has_another_fingerprint() -> None:
    prints = [fingerprint(value) for value in DISTINCT]
    assert len(set(prints)) == len(DISTINCT)


@pytest.mark.parametrize(("left", "right"), SAME)
def test_what_is_the_same_has_the_same(left: Any, right: Any) -> None:
    assert fingerprint(left) == fingerprint(right)


def test_parts_are_not_run_together() -> None:
    assert fingerprint("a", "b") != fingerprint("ab")
    assert fingerprint("a", "b") != fingerprint(["a", "b"])
    assert fingerprint("a") != fingerprint("a", None)


@given(values, values)
def test_equal_fingerprints_mean_equal_values(left: Any, right: Any) -> None:
    assert (fingerprint(left) == fingerprint(right)) == (typed(left) == typed(right))


@given(st.dictionaries(st.text(), st.integers(), min_size=2), st.randoms())
def test_order_of_keys_does_not_matter(value: dict[str, int], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert fingerprint(dict(items)) == fingerprint(value)


def test_the_encoding_stays_as_it_is_and_does_not_depend_on_the_process() -> None:
    value = {"a": [1, 2.5, None, True, "ü"], "b": {"c": b"\0"}, "d": {"x", "y"}}
    known = fingerprint("row", value)
    assert known.hex() == "39a18965908dedac4fae28ebc026eac9"
    code = (
        "from engine.store.keys import fingerprint as f;"
        "print(f('row', {'d': {'y', 'x'}, 'b': {'c': b'\\0'}, 'a': [1, 2.5, None, True, 'ü']}).hex())"
    )
    for seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "PYTHONUTF8": "1"},
        )
        assert out.stdout.strip() == known.hex()


def test_what_has_no_canonical_form_is_refused() -> None:
    with pytest.raises(TypeError, match="function"):
        fingerprint(lambda: 1)


def test_ids_of_rows() -> None:
    parent = child_id(None, "documents", "a.md")
    assert len(parent) == 16
    children = {child_id(parent, "chunks", place) for place in range(50)}
    assert len(children) == 50
    assert child_id(parent, "chunks", 1) != child_id(parent, "chunks", "1")
    assert child_id(parent, "chunks", 1) != child_id(parent, "other", 1)
    assert child_id(parent, "chunks", 1) == child_id(parent, "chunks", 1)
