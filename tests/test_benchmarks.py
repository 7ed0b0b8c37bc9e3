"""The benchmarks run, with few rows; what they find on a quiet machine stands in `docs/benchmarks.md`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def printed(*command: str) -> str:
    result = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_a_page_can_be_made_of_them() -> None:
    page = printed("benchmarks/document.py", "--quick")
    for words in ("# Benchmarks", "raw aiohttp", "atk, cold", "one row changed", "peak MB", "atk check"):
        assert words in page
    assert "missed: CPU" not in page.partition("## Memory")[2]


@pytest.mark.slow
def test_running_again_pays_nothing_but_for_what_changed(tmp_path: Path) -> None:
    """The script itself asserts the number of calls."""
    kept = tmp_path / "kept"
    for _ in range(2):  # the second time it takes the folder that the first one kept
        said = printed("benchmarks/warm.py", "--rows", "300", "--calls", "900", "--keep", str(kept))
        assert "show, more calls" in said


@pytest.mark.slow
def test_a_whole_graph_is_held_against_what_its_calls_take() -> None:
    said = printed("benchmarks/graph.py", "--documents", "20", "--in-flight", "32", "--draws", "1")
    assert "of the simulated time" in said


@pytest.mark.slow
def test_all_rows_are_done_at_an_endpoint_that_refuses() -> None:
    """The script itself asserts the number of rows."""
    assert "hostile to calm" in printed("benchmarks/hostile.py", "--rows", "400", "--repeat", "1")


@pytest.mark.slow
def test_a_killed_run_asks_again_what_was_in_flight_and_no_more() -> None:
    """The script itself compares."""
    said = printed("benchmarks/killed.py", "--rows", "1000", "--repeat", "2", "--check")
    assert "asked again" in said


@pytest.mark.slow
def test_a_peer_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATK_BENCHMARKS", str(tmp_path))
    said = printed("benchmarks/peers.py", "--rows", "200", "--repeat", "1", "--only", "curator")
    assert "not installed" in said
