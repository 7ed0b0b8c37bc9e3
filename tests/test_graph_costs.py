"""The benchmark of what graphs cost asks nobody, whatever the environment names."""

from __future__ import annotations

import pytest

from benchmarks.graph_costs import GRAPHS, HOUSE, measured, written
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


def test_labels_cost_as_their_number_and_not_as_the_text() -> None:
    """240 texts of three votes, of which two are enough where they agree, and the rules."""
    _, calls, *_ = measured("classifier")
    assert 1 + 240 * 2 <= int(calls) <= 1 + 240 * 3


def test_judged_replies_are_those_of_all_steps() -> None:
    name, calls, tokens_in, *_ = measured("grpo")
    assert (name, calls) == ("`grpo`", "19,200")
    assert int(tokens_in.removesuffix(" k").replace(",", "")) > 19_200 * 200 // 1_000


def test_the_manuals_table_has_a_line_for_each_graph_that_is_measured() -> None:
    page = (HOUSE / "docs/graphs.md").read_text(encoding="utf-8")
    lines = page.partition("| graph | calls |")[2].partition("\n\n")[0].splitlines()
    told = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert told == list(GRAPHS)


def test_the_table_is_written_and_all_else_stays() -> None:
    page = (HOUSE / "docs/graphs.md").read_text(encoding="utf-8")
    other = written(page, "| graph |")
    made = page.partition("<!-- generated: costs -->\n")[2].partition("<!-- end -->")[0]
    assert "\n| graph |\n" in other
    assert written(other, made.strip()) == page
