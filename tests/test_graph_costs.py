"""The benchmark of what graphs cost asks nobody, whatever the environment names."""

from __future__ import annotations

import pytest

from benchmarks.graph_costs import GRAPHS, HOUSE, measured
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


def test_the_manuals_table_has_a_line_for_each_graph_that_is_measured() -> None:
    page = (HOUSE / "docs/graphs.md").read_text(encoding="utf-8")
    lines = page.partition("| graph | calls |")[2].partition("\n\n")[0].splitlines()
    told = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert told == list(GRAPHS)
