"""The benchmark of what graphs cost asks nobody, whatever the environment names."""

from __future__ import annotations

import pytest

from benchmarks.graph_costs import measured
from tests.endpoint import endpoint


@pytest.mark.parametrize("graph", ["thoughts", "rounds"])
def test_a_users_endpoint_is_not_asked(graph: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint() as asked:
        monkeypatch.setenv("ATK_BASE_URL", asked.base_url)
        monkeypatch.setenv("ATK_MODEL", "m")
        name, calls, *_ = measured(graph)
        assert asked.stats()["calls"] == 0
    assert name == f"`{graph}`"
    assert int(calls.replace(",", "")) > 0
