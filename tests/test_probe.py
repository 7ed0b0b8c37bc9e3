"""`plan --probe N`: a few rows are paid for, the estimate is better, the run does not pay for them again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.commands import main
from tests.endpoint import Endpoint, endpoint
from tests.project import Project

ROWS = 40
GRAPH = """
model asked from default { temperature = 0.5, price = { input: 10, output: 10 } }
type Verdict { why: str, ok: bool }
type QA { question: str, answer: str }
source pages -> { text: str }[] { path = "pages.jsonl" }
prompt worthy from pages -> Verdict { template = "worthy", model = asked, keep ok }
prompt drafted from worthy -> QA[] { template = "draft", model = asked }
prompt checked from drafted -> Verdict { template = "check", model = asked, votes = 3 }
emit out from checked { path = "out/out.jsonl", format = "prompt_completion" }
emit pages_out from pages { path = "out/pages.jsonl", format = "text" }
"""


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with endpoint(p_true=0.5) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    monkeypatch.chdir(tmp_path)
    made = Project(tmp_path, monkeypatch, server.base_url)
    made.write("pages.jsonl", "".join(f'{{"text": "Page {number} of them."}}\n' for number in range(ROWS)))
    made.write("prompts/check.md", "system:\nRight?\n{{ schema }}\n\nuser:\n{{ question }} {{ answer }}\n")
    made.graph(text=GRAPH)
    return made


def test_a_probe_pays_for_few_rows_and_the_run_for_the_others(
    project: Project, server: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    guessed = project.plan().calls
    assert main(["plan", "graph.atk"]) == 0
    assert "~ estimated from no run yet, so these are guesses" in capsys.readouterr().out
    assert main(["plan", "graph.atk", "--probe", "8"]) == 0
    told = capsys.readouterr()
    paid = server.stats()["calls"]
    assert f"probe: {paid} calls, $0.0" in told.err
    assert "~ estimated from a probe of 8 rows: drafted, checked" in told.out
    assert project.rows("SELECT count(*) FROM calls WHERE node = 'worthy'") == [(8,)]
    assert not (project.root / "out").exists()

    from engine import runtime
    from engine.runtime.probing import probe

    again = probe(project.load(), project.options, 8)
    assert again.calls == 0  # the second finds all in the memo
    estimated = runtime.plan(project.load(), project.options, None, again).calls
    assert project.run().status == "done"
    real = server.stats()["calls"] - paid
    assert abs(estimated - real) < abs(guessed - paid - real)
    assert abs(estimated - real) < 0.5 * real
    assert project.rows("SELECT count(*), count(DISTINCT key) FROM calls") == [(paid + real, paid + real)]
    assert main(["plan", "graph.atk"]) == 0
    assert "no call to make" in capsys.readouterr().out


def test_its_tables_are_dropped_and_those_of_the_graph_untouched(project: Project, server: Endpoint) -> None:
    project.run()
    before = project.rows("SELECT worthy_id, why FROM worthy ORDER BY ALL")
    project.write("prompts/worthy.md", "system:\nIs it worth it, then?\n{{ schema }}\n\nuser:\n{{ text }}\n")
    server.reset()
    assert main(["plan", "graph.atk", "--probe", "3"]) == 0
    assert server.stats()["calls"] > 0
    assert project.rows("SELECT worthy_id, why FROM worthy ORDER BY ALL") == before
    from engine.store.attach import attach, detach
    from engine.store.cleaning import _node_tables

    connection = attach(project.options.store, "read", sandbox=False)
    try:
        assert [name for name in _node_tables(connection) if "probe" in name] == []
    finally:
        detach(connection, project.options.store)


def test_a_graph_that_asks_nobody_needs_no_probe(
    project: Project, server: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    project.graph(text='source pages -> { text: str }[] { path = "pages.jsonl" }\n')
    assert main(["plan", "graph.atk", "--probe", "3"]) == 0
    assert "probe: 0 calls" in capsys.readouterr().err
    assert server.stats()["calls"] == 0


@pytest.mark.usefixtures("short_pauses")
def test_an_endpoint_that_is_dead_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATK_BASE_URL", "http://127.0.0.1:9/v1")
    assert main(["plan", "graph.atk", "--probe", "30"]) == 0
    told = capsys.readouterr()
    assert "127.0.0.1:9" in told.err
    assert "guesses" in told.out
