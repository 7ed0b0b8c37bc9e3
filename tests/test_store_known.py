"""Whether a key has to be looked for at all: "no" is never wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.store import known
from engine.store.keys import fingerprint
from engine.store.known import KnownKeys
from tests.store_graph import call, opened

KEYS = [fingerprint("call", number) for number in range(3_000)]
OTHERS = [fingerprint("other", number) for number in range(3_000)]


@pytest.mark.parametrize("together", [1, 7, 1_000, 10_000])
def test_what_was_added_is_there_and_nothing_else(monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    monkeypatch.setattr(known, "TOGETHER", together)
    keys = KnownKeys()
    assert not any(key in keys for key in KEYS)
    for at in range(0, len(KEYS), 100):
        keys.add(KEYS[at : at + 100])
        assert all(key in keys for key in KEYS[: at + 100])
    keys.add(KEYS[:50])  # again
    assert all(key in keys for key in KEYS)
    assert not any(key in keys for key in OTHERS)


@pytest.mark.parametrize("edge", [b"\0" * 16, b"\xff" * 16])
def test_the_first_and_the_last_key_there_may_be(monkeypatch: pytest.MonkeyPatch, edge: bytes) -> None:
    monkeypatch.setattr(known, "TOGETHER", 1)
    keys = KnownKeys()
    keys.add(KEYS)
    assert edge not in keys
    keys.add([edge])
    assert edge in keys


def test_the_calls_of_earlier_runs_are_learnt(tmp_path: Path) -> None:
    path: Any = tmp_path / "store.duckdb"
    with opened(path) as store:
        store.log([call(key) for key in KEYS])
        assert all(store.may_know(key) for key in KEYS)
        store.settle()
        assert all(store.may_know(key) for key in KEYS)
    with opened(path) as store:
        store.log([call(OTHERS[0])])
        assert not store.knows_keys
        assert store.known([KEYS[5], OTHERS[0], OTHERS[1]]).keys() == {KEYS[5], OTHERS[0]}
        assert store.knows_keys
        assert all(store.may_know(key) for key in [*KEYS, OTHERS[0]])
        assert not any(store.may_know(key) for key in OTHERS[1:])
