"""The time that is left: how many rows a node has yet to decide is known before its input is whole."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from engine.runtime import execute
from engine.runtime.events import Event, Started
from tests.endpoint import endpoint
from tests.project import Project

ROWS = 120


def test_the_rest_is_reckoned_while_rows_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[tuple[int, int]]] = {"worthy": [], "drafted": []}

    async def run(project: Project) -> Any:
        progress: dict[str, Any] = {}

        def listen(event: Event) -> None:
            if isinstance(event, Started):
                progress.update(event.progress)

        async def watch() -> None:
            while True:
                for name, marks in seen.items():
                    node = progress.get(name)
                    if node is not None and node.state == "running" and node.total is not None:
                        marks.append((node.rows_in, node.total))
                await asyncio.sleep(0.05)

        watching = asyncio.create_task(watch())
        try:
            return await execute(project.load(), project.options, listen)
        finally:
            watching.cancel()

    with endpoint(p_true=1.0, latency_ms=100) as server:
        project = Project(tmp_path, monkeypatch, server.base_url)
        for path in (project.root / "inputs").iterdir():
            path.unlink()
        for number in range(ROWS):
            project.write(f"inputs/{number}.txt", f"Passage {number} says that {number} is a number.")
        text = (project.root / "graph.atk").read_text()
        project.graph(text=text.replace("temperature = 0.5", "parallel = 8"))
        assert asyncio.run(run(project)).status == "done"
    for name, marks in seen.items():
        assert any(done < total for done, total in marks), name
        late = [total for done, total in marks if done > ROWS / 4]
        assert late, name
        assert all(0.8 * ROWS <= total <= 1.2 * ROWS for total in late), (name, late)
