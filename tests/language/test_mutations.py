"""One token of a graph changed at a time: what a check notices of it. See `benchmarks/mutations.py`."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.amount import amount
from tests.language.support import HERE


@pytest.fixture(scope="module")
def mutations() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "mutations", HERE.parent.parent / "benchmarks" / "mutations.py"
    )
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutations"] = module  # where its dataclasses look for themselves
    spec.loader.exec_module(module)
    return module


def shares(mutations: ModuleType, sort: str, sample: int | None) -> tuple[float, float]:
    """Unnoticed of all, and told in the statement of those noticed; nothing may fall over."""
    found = mutations.measured(sample, (sort,)).values()
    assert [fell for one in found for fell in one.fell] == []
    tried, noticed = sum(one.tried for one in found), sum(one.noticed for one in found)
    unnoticed = sum(len(one.unnoticed) for one in found)
    elsewhere = sum(len(one.elsewhere) for one in found)
    return unnoticed / tried, 1 - elsewhere / noticed


@pytest.mark.parametrize("sort", ["deleted", "doubled", "swapped", "misspelt"])
def test_a_sample(mutations: ModuleType, sort: str) -> None:
    unnoticed, inside = shares(mutations, sort, 12 if sort == "deleted" else amount(12, 3))
    if sort == "deleted":
        assert unnoticed <= 0.1
        assert inside >= 0.9


@pytest.mark.slow
@pytest.mark.timeout(1_500)  # some thousand checks
def test_deletions(mutations: ModuleType) -> None:
    """Every token: it is what the promise is about."""
    unnoticed, inside = shares(mutations, "deleted", None)
    assert unnoticed <= 0.02
    assert inside >= 0.95


@pytest.mark.slow
@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("sort", ["doubled", "swapped", "misspelt"])
def test_nothing_falls_over(mutations: ModuleType, sort: str) -> None:
    """Over a sample: all of them take a quarter of an hour. The benchmark tries all."""
    shares(mutations, sort, 200)


def test_what_counts(mutations: ModuleType) -> None:
    text = 'param a: str = "x"\nparam bc: int = 1\n'
    made = {sort: [change.text for change in mutations.changes(text, sort)] for sort in mutations.SORTS}
    assert made["deleted"][0] == ' a: str = "x"\nparam bc: int = 1\n'
    assert made["doubled"][1] == 'param a a: str = "x"\nparam bc: int = 1\n'
    assert made["swapped"][0] == 'a param: str = "x"\nparam bc: int = 1\n'
    assert 'param a: str = "x"\nparam cb: int = 1\n' in made["misspelt"]
    change = next(mutations.changes(text, "deleted"))
    places = mutations.statements(text)
    assert mutations.belongs(1, change, places)
    assert not mutations.belongs(2, change, places)
    assert mutations.same_tree("param a: { b: str, c: str }", "param a: { b: str  c: str }")
    assert not mutations.same_tree("param a: str", "param b: str")
