"""What every executor has to pass: a class to derive from, with `executor` saying how one is made.

    class TestMine(Conformance):
        def executor(self) -> Executor:
            return Mine()

Whole graphs are run through it against an endpoint that counts. `Unruly` stands around the executor and
does what a network does: answers come late, out of order and twice, batches are repeated, and their ends
are lost. Whatever it does: no row is lost, nothing is written down twice, and all that was paid for is.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from engine.language.program import ModelSpec
from engine.models.openai import OpenAI
from engine.runtime import execute
from engine.runtime.events import Summary
from engine.runtime.executors import Answer, Executor, Job
from engine.runtime.loop import run
from engine.store.keys import fingerprint
from tests.endpoint import Endpoint, endpoint
from tests.project import Project

ROWS = 40
PARALLEL = 16
KEY = "sk-" + "very-secret-0123456789"
GRAPH = """
model asked from default { parallel = %d, price = { input: 1.0, output: 2.0 } }
type Verdict { why: str, ok: bool }
source pages -> { text: str }[] { path = "pages.jsonl" }
prompt worthy from pages -> Verdict { template = "worthy", model = asked, votes = 3, keep ok }
prompt drafted from worthy -> { question: str, answer: str }[] { template = "draft", model = asked }
"""
USUAL = {"p_true": 0.7, "key": KEY, "p429": 0.0, "p500": 0.0, "latency_ms": 0}
TABLES = ("worthy", "rejected.worthy", "drafted")


class Calm(NamedTuple):
    """What an undisturbed run comes to."""

    tables: dict[str, list[str]]
    drafted: list[tuple[Any, ...]]
    calls: int


class Unruly:
    """Around an executor, with the faults of a network. Every batch is pickled on its way, as it would be."""

    def __init__(
        self,
        inner: Executor,
        twice: bool = False,
        reverse: bool = False,
        repeat: bool = False,
        lose: int = 0,
        swallow: int = 0,
    ):
        self.inner, self.twice, self.reverse, self.repeat = inner, twice, reverse, repeat
        self.lose = lose  # so many batches break off when half of them is answered
        self.swallow = swallow  # so many end as if all were well, with half of their answers
        self.sent: list[bytes] = []

    async def submit(self, model: ModelSpec, jobs: Sequence[Job]) -> AsyncIterator[Answer]:
        packed = pickle.dumps((model, jobs))
        self.sent.append(packed)
        model, jobs = pickle.loads(packed)
        given, wanted = 0, len(jobs)
        for _ in range(1 + self.repeat):
            held = []
            async for answer in self.inner.submit(model, jobs):
                if self.reverse:
                    held.append(answer)
                    continue
                if (self.lose or self.swallow) and given >= wanted // 2:
                    self.lose, lost = max(0, self.lose - 1), self.lose > 0
                    self.swallow -= not lost
                    if lost:
                        raise ConnectionError("the line is dead")
                    return
                yield answer
                given += 1
                if self.twice:
                    yield pickle.loads(pickle.dumps(answer))
            for answer in reversed(held):
                yield answer
                if self.twice:
                    yield answer

    def halt(self) -> None:
        self.inner.halt()

    async def close(self) -> None:
        await self.inner.close()


class Bench:
    """A graph, an endpoint that counts, and an executor to run the one against the other."""

    root: Path

    def executor(self) -> Executor:
        """A new executor, for one run. `self.root` is a folder of the test's own."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def served(cls) -> Iterator[Endpoint]:
        with endpoint() as started:
            yield started

    @pytest.fixture
    def server(self, served: Endpoint) -> Endpoint:
        served.reset(**USUAL)
        return served

    @pytest.fixture
    def project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
        self.root = tmp_path
        (tmp_path / "one").mkdir()
        return prepared(tmp_path / "one", monkeypatch, server.base_url)

    @pytest.fixture(scope="class")
    @classmethod
    def calm(cls, served: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Calm:
        """What comes of a run without any executor but the engine's own."""
        with pytest.MonkeyPatch.context() as patch:
            served.reset(**USUAL)
            project = prepared(tmp_path_factory.mktemp("calm"), patch, served.base_url)
            assert project.run().status == "done"
            return Calm(tables(project), drafted(project), served.stats()["ok"])

    def run(self, project: Project, make: Callable[[], Executor], **options: Any) -> Summary:
        changed = dataclasses.replace(project.options, executor=make, **options)
        return run(execute(project.load(), changed))

    def holds(self, project: Project, server: Endpoint) -> None:
        """Whatever happened: every answer of the endpoint is written down, and none twice."""
        ledger = project.rows(
            "SELECT count(*), count(DISTINCT key), sum(cost) FROM calls WHERE status = 'ok'"
        )
        assert ledger[0][:2] == (server.stats()["ok"],) * 2
        assert ledger[0][2] == pytest.approx(project.rows("SELECT sum(cost) FROM runs")[0][0])


class Conformance(Bench):
    """What has to hold."""

    def test_makes_the_tables_that_any_run_makes(
        self, project: Project, server: Endpoint, calm: Calm
    ) -> None:
        assert self.run(project, self.executor).status == "done"
        assert tables(project) == calm.tables
        assert server.stats()["ok"] == calm.calls
        self.holds(project, server)
        summary = self.run(project, self.executor)
        assert (summary.status, summary.calls, server.stats()["ok"]) == ("done", 0, calm.calls)

    @pytest.mark.parametrize(
        "faults",
        [
            {"reverse": True, "twice": True},
            {"lose": 2, "twice": True},
            {"swallow": 1},
        ],
        ids="-".join,
    )
    def test_faults_of_the_line_lose_nothing(
        self, project: Project, server: Endpoint, calm: Calm, faults: dict[str, Any]
    ) -> None:
        assert self.run(project, lambda: Unruly(self.executor(), **faults)).status == "done"
        assert tables(project) == calm.tables
        keys, ledger = project.rows("SELECT count(DISTINCT key), count(*) FROM calls")[0]
        assert keys == ledger == calm.calls
        paid = server.stats()["ok"]
        if "lose" in faults or "swallow" in faults:
            assert (
                calm.calls <= paid <= calm.calls + 100 * faults.get("lose", 1)
            )  # what was lost was paid for
        else:
            assert paid == calm.calls
        assert self.run(project, self.executor).calls == 0

    def test_repeated_batch_is_harmless_and_its_cost_is_known(
        self, project: Project, server: Endpoint, calm: Calm
    ) -> None:
        summary = self.run(project, lambda: Unruly(self.executor(), repeat=True))
        assert summary.status == "done"
        assert tables(project) == calm.tables
        assert server.stats()["ok"] == 2 * calm.calls == summary.calls
        self.holds(project, server)
        assert self.run(project, self.executor).calls == 0

    def test_lost_for_good_fails_the_row_and_is_asked_again_by_the_next_run(
        self, project: Project, server: Endpoint, calm: Calm
    ) -> None:
        assert self.run(project, lambda: Unruly(self.executor(), lose=10**6)).status == "failed"
        assert project.rows("SELECT DISTINCT error, fault FROM calls WHERE status = 'error'") == [
            ("lost 3 times with whoever was to answer: the line is dead", "transport")
        ]
        assert self.run(project, self.executor).status == "done"
        # A vote that was lost is no vote: who had two that agree is not asked for the third.
        assert drafted(project) == calm.drafted

    def test_faults_of_the_endpoint_are_met_as_ever(
        self, project: Project, server: Endpoint, calm: Calm
    ) -> None:
        server.reset(p429=0.2, p500=0.1, retry_after=0.0)
        assert self.run(project, self.executor).status == "done"
        assert tables(project) == calm.tables
        self.holds(project, server)

    def test_dead_key_costs_no_row(self, project: Project, server: Endpoint) -> None:
        server.config(key="another")
        summary = self.run(project, self.executor)
        assert summary.status == "failed"
        assert server.stats()["calls"] < ROWS  # the breaker ends it
        server.config(key=KEY)
        assert self.run(project, self.executor).status == "done"
        self.holds(project, server)

    def test_cap_stops_it_and_the_next_run_pays_only_the_rest(
        self, project: Project, server: Endpoint, calm: Calm
    ) -> None:
        server.config(latency_ms=30)
        summary = self.run(project, self.executor, max_cost=0.001)
        assert summary.status == "failed"
        assert 0 < summary.calls <= 3 * PARALLEL < calm.calls  # what waits for a place is not sent
        self.holds(project, server)
        server.config(latency_ms=0)
        assert self.run(project, self.executor).status == "done"
        assert server.stats()["ok"] == calm.calls
        assert tables(project) == calm.tables

    def test_keys_are_the_drivers(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, server: Endpoint
    ) -> None:
        ordinary = OpenAI.key
        made: set[bytes] = set()

        def salted(model: OpenAI, request: Any) -> bytes:
            made.add(key := fingerprint("salt", ordinary(model, request)))
            return key

        monkeypatch.setattr(OpenAI, "key", salted)
        unruly = Unruly(self.executor())
        assert self.run(project, lambda: unruly).status == "done"
        assert {key for (key,) in project.rows("SELECT key::BLOB FROM calls")} == made
        sent = b"".join(unruly.sent)
        assert not any(key in sent or key.hex().encode() in sent for key in made)

    def test_secrets_stay(self, project: Project, server: Endpoint) -> None:
        unruly = Unruly(self.executor())
        assert self.run(project, lambda: unruly).status == "done"
        assert all(request["authorization"] == f"Bearer {KEY}" for request in server.requests())
        assert b"ATK_API_KEY" in unruly.sent[0]  # the name, by which a worker finds it in its environment
        assert KEY.encode() not in b"".join(unruly.sent)
        written = b"".join(path.read_bytes() for path in self.root.rglob("*") if path.is_file())
        assert KEY.encode() not in written
        assert KEY not in repr(project.rows("FROM calls"))

    def test_offline_model_answers_as_ever(
        self, project: Project, monkeypatch: pytest.MonkeyPatch, server: Endpoint
    ) -> None:
        for name in ("ATK_BASE_URL", "ATK_MODEL", "ATK_API_KEY"):
            monkeypatch.delenv(name)
        assert self.run(project, self.executor).status == "done"
        there = tables(project)
        assert project.rows("SELECT DISTINCT endpoint FROM calls") == [("offline",)]
        project.options.store.unlink()
        assert project.run().status == "done"
        assert tables(project) == there


def tables(project: Project) -> dict[str, list[str]]:
    """All rows, with their ids."""
    return {name: sorted(map(repr, project.rows(f"FROM {name}"))) for name in TABLES}


def drafted(project: Project) -> list[tuple[Any, ...]]:
    """What came of the last prompt."""
    return project.table("drafted", "drafted_id", "question", "answer")


def prepared(root: Path, monkeypatch: pytest.MonkeyPatch, base_url: str) -> Project:
    """The graph and its pages in a folder."""
    made = Project(root, monkeypatch, base_url)
    monkeypatch.setenv("ATK_API_KEY", KEY)
    made.write("pages.jsonl", "".join(f'{{"text": "Page {number}."}}\n' for number in range(ROWS)))
    made.graph(text=GRAPH % PARALLEL)
    return made
