"""Executors: whoever answers the requests, what was paid for is kept once, and no row is lost."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from engine.runtime.executors import Executor, LocalExecutor
from tests.endpoint import Endpoint
from tests.executor_conformance import KEY, Bench, Calm, Conformance, tables
from tests.executor_pool import Pool
from tests.project import Project


class TestLocal(Conformance):
    """The one of this process, in batches as any other."""

    def executor(self) -> Executor:
        return LocalExecutor()


class Processes(Bench):
    """Workers and pipes."""

    def executor(self) -> Pool:
        return Pool(self.root / "errors.log", environment=dict(os.environ))


@pytest.mark.slow
class TestPool(Processes, Conformance):
    """Another process answers as this one does."""


class TestWorkers(Processes):
    """What only another process can do: die, and be looked at from outside."""

    def test_worker_that_is_killed_takes_no_row_with_it(
        self, project: Project, server: Endpoint, calm: Calm
    ) -> None:
        server.config(latency_ms=40)
        pool = self.executor()
        kills = []

        def kill() -> None:
            for share in (0.3, 0.6):
                while server.stats()["ok"] < share * calm.calls or pool.workers[0].seen[-1:] == kills[-1:]:
                    time.sleep(0.01)
                kills.append(pool.workers[0].seen[-1])
                pool.kill()

        killing = threading.Thread(target=kill)
        killing.start()
        summary = self.run(project, lambda: pool)
        killing.join()
        assert summary.status == "done"
        assert len(set(kills)) == 2
        assert len(pool.pids) == 4  # two at first, and one more for each that was killed
        assert tables(project) == calm.tables
        ledger = project.rows("SELECT count(*), count(DISTINCT key) FROM calls")
        assert ledger == [(calm.calls,) * 2]
        # What the killed ones had asked for is paid for and lost: at most what each may have in flight.
        assert calm.calls <= server.stats()["ok"] <= calm.calls + 2 * 8
        assert self.run(project, self.executor).calls == 0

    def test_key_is_in_a_workers_environment_and_nowhere_else(
        self, project: Project, server: Endpoint
    ) -> None:
        server.config(latency_ms=40)
        pool = self.executor()
        seen: list[tuple[bytes, bytes]] = []

        def look() -> None:
            while not server.stats()["ok"]:
                time.sleep(0.01)
            for worker in pool.workers:
                process = Path(f"/proc/{worker.process.pid}")
                seen.append(((process / "cmdline").read_bytes(), (process / "environ").read_bytes()))

        looking = threading.Thread(target=look)
        looking.start()
        assert self.run(project, lambda: pool).status == "done"
        looking.join()
        assert len(seen) == 2
        for command, environment in seen:
            assert KEY.encode() not in command
            holding = [entry for entry in environment.split(b"\0") if KEY.encode() in entry]
            assert holding == [b"ATK_API_KEY=" + KEY.encode()]
        assert (self.root / "errors.log").read_bytes() == b""

    def test_no_worker_outlives_the_run(self, project: Project, server: Endpoint) -> None:
        pool = self.executor()
        assert self.run(project, lambda: pool).status == "done"
        assert len(pool.pids) == 2
        assert not any(Path(f"/proc/{pid}").exists() for pid in pool.pids)
