"""An endpoint that goes away in the middle of a run: what is lost, what is paid again, what is said."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.models import faults
from engine.runtime import execute
from tests.endpoint import Endpoint, endpoint
from tests.project import Project

ROWS = 150


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "PATIENCE", 1.0)
    monkeypatch.setattr(faults, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.05)


def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    project = Project(tmp_path, monkeypatch, server.base_url)
    for path in (project.root / "inputs").iterdir():
        path.unlink()
    for number in range(ROWS):
        project.write(f"inputs/{number}.txt", f"Passage number {number} says that {number} is a number.")
    text = (project.root / "graph.atk").read_text()
    project.graph(text=text.replace("temperature = 0.5", "parallel = 16"))
    return project


def stop_after(server: Endpoint, calls: int) -> threading.Thread:
    def watch() -> None:
        while server.stats()["calls"] < calls:
            time.sleep(0.01)
        server.stop()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_the_node_stops_itself_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with endpoint(p_true=1.0, latency_ms=20) as first:
        project = large(tmp_path, monkeypatch, first)
        port = first.port
        watcher = stop_after(first, 40)
        summary = project.run()
        watcher.join()
    assert summary.exit_code == 1
    assert summary.crashes == []
    said = {message for message, _ in summary.errors}
    assert any(f"cannot connect to 127.0.0.1:{port}" in message for message in said)
    assert all("stopped" in message for message in said)
    assert len(said) <= 2  # one for each node that asks it
    helps = {help for _, help in summary.errors}
    assert helps == {"rows that were not asked yet stay undecided; the same command goes on from here"}
    done = project.rows("SELECT count(*) FROM worthy")[0][0]
    failed = project.rows("SELECT count(*) FROM failed.worthy")[0][0]
    assert done >= 20
    assert failed < 8  # not one for each row that is left
    paid = project.rows("SELECT count(*) FROM calls WHERE status = 'ok'")[0][0]

    with endpoint(port=port, p_true=1.0) as second:
        assert project.run().status == "done"
        assert second.stats()["calls"] == 2 * ROWS - paid
    assert project.rows("SELECT count(*) FROM worthy") == [(ROWS,)]
    assert project.rows("SELECT count(*) FROM failed.worthy") == [(0,)]


def test_an_endpoint_that_comes_back_in_time_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "PATIENCE", 30.0)
    with endpoint(p_true=1.0, latency_ms=20) as first:
        project = large(tmp_path, monkeypatch, first)
        again: list[Endpoint] = []

        def come_back() -> None:
            watcher.join()
            time.sleep(0.5)
            again.append(stack.enter_context(endpoint(port=first.port, p_true=1.0)))

        with contextlib.ExitStack() as stack:
            watcher = stop_after(first, 40)
            returning = threading.Thread(target=come_back)
            returning.start()
            summary = project.run()
            returning.join()
            assert summary.status == "done", summary.errors
            assert again[0].stats()["calls"] > 0
    assert project.rows("SELECT count(*) FROM worthy") == [(ROWS,)]
    assert project.rows("SELECT count(*) FROM failed.worthy") == [(0,)]


def test_nothing_is_sent_any_more_once_the_cap_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the rows that are at work most still wait for a place at the endpoint: they are not sent."""
    with endpoint(p_true=1.0, latency_ms=50) as server:
        project = large(tmp_path, monkeypatch, server)
        text = (project.root / "graph.atk").read_text()
        priced = "price = { input: 1_000_000, output: 1_000_000 }, parallel = 4"
        project.graph(text=text.replace("parallel = 16", priced))
        options = replace(project.options, max_cost=20.0)
        summary = asyncio.run(execute(project.load(), options))
        assert summary.exit_code == 1
        calls = server.stats()["calls"]
    assert calls <= 1 + 4  # the one that reached the cap, and those in flight beside it
    assert project.rows("SELECT count(*) FROM calls") == [(calls,)]


@pytest.mark.parametrize("cap", [0.05, 1.0, 2.5])
def test_what_is_under_way_counts_towards_the_cap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cap: float
) -> None:
    """Sixteen at once do not go beyond it, but for a first whose cost nobody knows; nor is much left."""
    with endpoint(p_true=1.0, latency_ms=50) as server:
        project = large(tmp_path, monkeypatch, server)
        text = (project.root / "graph.atk").read_text()
        project.graph(
            text=text.replace("parallel = 16", "price = { input: 1_000, output: 1_000 }, parallel = 16")
        )
        summary = asyncio.run(execute(project.load(), replace(project.options, max_cost=cap)))
        assert (summary.exit_code, summary.calls) == (1, server.stats()["calls"])
        each = summary.cost / summary.calls
        assert 0.05 < each < 0.5
        assert cap - 2 * each < summary.cost <= max(cap, each) * 1.1
        (note,) = summary.notes
        assert note.text.startswith("--max-cost reached: ")
        assert asyncio.run(execute(project.load(), project.options)).status == "done"
        assert server.stats()["calls"] == project.rows("SELECT count(*) FROM calls")[0][0]


def test_a_storm_of_errors_stops_the_node_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(p_true=1.0) as server:
        project = large(tmp_path, monkeypatch, server)
        assert project.run().status == "done"
        server.reset()
        project.write(
            "prompts/worthy.md", "system:\nIs this passage worth it?\n{{ schema }}\n\nuser:\n{{ text }}\n"
        )
        server.config(p500=1.0)
        summary = project.run()
        assert summary.exit_code == 1
        assert project.rows("SELECT count(*) < 30 FROM failed.worthy") == [(True,)]
        assert any("failed with 500" in message for message, _ in summary.errors)
        server.config(p500=0.0)
        assert project.run().status == "done"
    assert project.rows("SELECT count(*) FROM worthy") == [(ROWS,)]
