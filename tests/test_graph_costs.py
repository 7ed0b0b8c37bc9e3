"""The benchmark of what graphs cost asks nobody, whatever the environment names."""

from __future__ import annotations

import pytest

from benchmarks.graph_costs import measured
from tests.endpoint import endpoint


def test_a_users_endpoint_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint() as asked:
        monkeypatch.setenv("ATK_BASE_URL", asked.base_url)
        monkeypatch.setenv("ATK_MODEL", "m")
        name, calls, *_ = measured("thoughts")
        assert asked.stats()["calls"] == 0
    assert name == "`thoughts`"
    assert int(calls.replace(",", "")) > 0
