"""One model at several endpoints: they share the calls, and one that dies takes none of them with it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.models import open_model
from engine.models.base import Request
from engine.runtime import load
from tests.endpoint import Endpoint, endpoint
from tests.project import Project

ROWS = 120
MODEL = """
model asked {{
  base_url = [{urls}]
  name     = "mock"
  parallel = 16
  {more}
}}
type Verdict {{ why: str, ok: bool }}
source pages -> {{ text: str }}[] {{ path = "pages.jsonl" }}
prompt worthy from pages -> Verdict {{ template = "worthy", model = asked }}
"""


@pytest.fixture
def two() -> Iterator[tuple[Endpoint, Endpoint]]:
    with endpoint(p_true=1.0, latency_ms=10) as first, endpoint(p_true=1.0, latency_ms=10) as second:
        yield first, second


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path, monkeypatch)
    made.write("pages.jsonl", "".join(f'{{"text": "Page {number}."}}\n' for number in range(ROWS)))
    return made


def ask(project: Project, *urls: str, more: str = "") -> None:
    project.graph(text=MODEL.format(urls=", ".join(f'"{url}"' for url in urls), more=more))


def calls(*servers: Endpoint) -> list[int]:
    return [int(server.stats()["calls"]) for server in servers]


def test_they_share_the_calls(project: Project, two: tuple[Endpoint, Endpoint]) -> None:
    ask(project, *(server.base_url for server in two))
    assert project.run().status == "done"
    shared = calls(*two)
    assert sum(shared) == ROWS
    assert min(shared) > ROWS / 4
    told = dict(project.rows("SELECT endpoint, count(*) FROM calls GROUP BY ALL"))
    assert told == {server.base_url: count for server, count in zip(two, shared, strict=True)}


def test_a_further_endpoint_and_another_order_behind_the_first_cost_nothing(
    project: Project, two: tuple[Endpoint, Endpoint]
) -> None:
    first, second = two
    ask(project, first.base_url)
    assert project.run().status == "done"
    ask(project, first.base_url, second.base_url, "http://127.0.0.1:9/v1")
    assert project.run().status == "done"
    ask(project, first.base_url, "http://127.0.0.1:9/v1", second.base_url)
    assert project.run().status == "done"
    assert calls(first, second) == [ROWS, 0]


def test_one_that_was_never_there_is_left_out(project: Project, two: tuple[Endpoint, Endpoint]) -> None:
    ask(project, "http://127.0.0.1:9/v1", two[1].base_url)
    started = time.monotonic()
    assert project.run().status == "done"
    assert time.monotonic() - started < 20
    assert calls(two[1]) == [ROWS]
    assert project.rows("SELECT count(*) FROM failed.worthy") == [(0,)]
    assert project.rows("SELECT count(*) FROM calls") == [(ROWS,)]


def test_one_that_dies_in_the_middle_hands_its_calls_on(project: Project) -> None:
    with endpoint(p_true=1.0, latency_ms=20) as first, endpoint(p_true=1.0, latency_ms=20) as second:
        ask(project, first.base_url, second.base_url)

        def watch() -> None:
            while first.stats()["calls"] < 15:
                time.sleep(0.005)
            first.stop()

        thread = threading.Thread(target=watch)
        thread.start()
        assert project.run().status == "done"
        thread.join()
        assert project.rows("SELECT count(*) FROM worthy") == [(ROWS,)]
        by_second = project.rows(f"SELECT count(*) FROM calls WHERE endpoint = '{second.base_url}'")
        assert by_second[0][0] >= ROWS - 40
        with contextlib.suppress(OSError):
            assert second.stats()["calls"] >= by_second[0][0]


def test_one_that_only_refuses_is_left_to_itself(project: Project, two: tuple[Endpoint, Endpoint]) -> None:
    first, second = two
    first.config(p500=1.0)
    ask(project, first.base_url, second.base_url)
    assert project.run().status == "done"
    assert project.rows("SELECT DISTINCT endpoint FROM calls") == [(second.base_url,)]


def test_where_all_are_dead_each_is_named(project: Project) -> None:
    ask(project, "http://127.0.0.1:9/v1", "http://127.0.0.1:10/v1")
    summary = project.run()
    assert summary.status == "failed"
    assert len(summary.errors) == 1
    message = summary.errors[0][0]
    assert "127.0.0.1:9" in message
    assert "127.0.0.1:10" in message
    assert project.rows("SELECT count(*) FROM worthy") == [(0,)]


def test_each_may_have_a_key_of_its_own(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE_KEY", "sk-one")
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    with (
        endpoint(p_true=1.0, latency_ms=10, key="sk-one") as first,
        endpoint(p_true=1.0, latency_ms=10, key="sk-other") as second,
    ):
        keys = 'api_key = [secret("ONE_KEY"), secret("OTHER_KEY")]'
        ask(project, first.base_url, second.base_url, more=keys)
        assert project.run().status == "done"
        assert min(calls(first, second)) > 0
        assert sum(calls(first, second)) == ROWS


def test_a_refusal_of_the_request_is_an_answer(two: tuple[Endpoint, Endpoint], tmp_path: Path) -> None:
    """It would be refused elsewhere too: nobody else is asked."""
    import asyncio

    path = tmp_path / "graph.atk"
    urls = ", ".join(f'"{server.base_url}"' for server in two)
    path.write_text(MODEL.format(urls=urls, more=""))
    for server in two:
        server.config(rules=[{"contains": "", "status": 400, "message": "too long"}])
    spec = load(str(path), root=tmp_path).models["asked"]

    async def one() -> None:
        model = open_model(spec, {})
        reply = await model.call(Request([{"role": "user", "content": "hi"}]))
        assert reply.status == "error"
        assert "too long" in str(reply.error)
        await model.close()

    asyncio.run(one())
    assert sum(calls(*two)) == 1


WRONG = {
    '["http://a/v1", "no address"]': 'error[ATK181]: `base_url` is no address: "no address"',
    '["http://a/v1", 3]': "error[ATK111]: `base_url[2]` must be text",
    "[]": "error[ATK181]: the model `asked` needs `base_url`",
}


@pytest.mark.parametrize("urls", WRONG)
def test_addresses_that_are_none(urls: str, project: Project) -> None:
    from engine.language.diagnostics import render

    text = MODEL.format(urls="X", more="").replace("[X]", urls)
    project.graph(text=text)
    found = load("graph.atk", root=project.root).diagnostics
    assert WRONG[urls] in "\n".join(map(render, found))


def test_keys_that_are_written_out_are_not_shown(project: Project) -> None:
    from engine.language.diagnostics import render

    more = 'api_key = [\n    "sk-written-out",\n  ]'
    project.graph(text=MODEL.format(urls='"http://a/v1"', more=more))
    found = "\n".join(map(render, load("graph.atk", root=project.root).diagnostics))
    assert "error[ATK182]: a key is not written into a graph" in found
    assert "sk-written" not in found
    project.graph(text=MODEL.format(urls='"http://a/v1", "http://b/v1"', more='api_key = [secret("HOME")]'))
    found = "\n".join(map(render, load("graph.atk", root=project.root).diagnostics))
    assert "error[ATK182]: 1 keys for 2 addresses" in found
