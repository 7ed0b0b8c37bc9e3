"""`atk chat`: which model is meant, what it is asked, and what is said when it cannot be."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.commands import main
from engine.models import local
from engine.models.base import Reply, Request
from engine.models.streaming import UpToStop, whole
from tests.endpoint import Endpoint, endpoint

SEEN: list[tuple[str, list[dict[str, str]], dict[str, Any]]] = []


class Echo:
    """Says how many messages it was shown."""

    def __init__(self, spec: Any):
        self.spec = spec

    async def stream(self, request: Request, heard: Callable[[str], None]) -> Reply:
        SEEN.append((self.spec.start, [dict(one) for one in request.messages], dict(request.sampling or {})))
        if request.messages[-1]["content"] == "fail":
            return Reply("error", error="the model in it cannot be asked: no weights", fault="model")
        heard(f"{len(request.messages)} ")
        heard("messages")
        return Reply("ok", f"{len(request.messages)} messages")

    async def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`atk chat` in a folder where `knows` was trained, with lines typed in."""
    SEEN.clear()
    model = tmp_path / "out/models/knows/abc/model"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (tmp_path / "out/models/knows/latest").symlink_to("abc")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "Local", Echo)

    def said(text: str, *arguments: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        return main(["chat", *arguments])

    return said


def test_a_talk_has_what_was_said_before(
    talk: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        talk(
            "Hello\n\nWhy?\n/new\nWho?\n",
            "knows",
            "--system",
            "Be brief.",
            "--temperature",
            "0.5",
            "--max-tokens",
            "9",
        )
        == 0
    )
    assert capsys.readouterr().out.splitlines() == ["2 messages", "4 messages", "2 messages"]
    assert SEEN[1][1] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "2 messages"},
        {"role": "user", "content": "Why?"},
    ]
    assert SEEN[0][2] == {"max_tokens": 9, "temperature": 0.5}


@pytest.mark.parametrize(
    "name", ["knows", "out/models/knows", "out/models/knows/abc", "out/models/knows/latest/model"]
)
def test_every_way_to_name_a_model(talk: Callable[..., int], name: str, tmp_path: Path) -> None:
    assert talk("Hello\n", name) == 0
    assert SEEN[0][0] == str(tmp_path.resolve() / "out/models/knows/abc/model")


def test_where_nothing_was_trained_it_says_what_to_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["chat", "large"]) == 2
    message, help = capsys.readouterr().err.splitlines()
    assert message == "error: there is no model at large"
    assert help.startswith("help: name a `model` of a graph (atk chat MODEL GRAPH), a `train` node")


def test_what_goes_wrong(talk: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert talk("", "nobody") == 2
    assert capsys.readouterr().err == "error: there is no model at nobody\nhelp: trained here: knows\n"
    assert talk("fail\n", "knows") == 2
    assert "cannot be asked: no weights" in capsys.readouterr().err


# -- a model of a graph ------------------------------------------------------------------

GRAPH = """
model large from default { temperature = 0.7, price = { input: 1_000.0, output: 2_000.0 } }
model knowing { start = knows }
source rows -> { text: str }[] { path = "rows.jsonl" }
chat talks from rows { user = text, assistant = text }
train knows from talks { method = "sft", start = "base" }
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with endpoint(record=100, words=6) as started:
        yield started


@pytest.fixture
def asked(
    talk: Callable[..., int], server: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., int]:
    """`atk chat` beside a graph whose model is an endpoint."""
    server.reset()
    for name, value in (("ATK_BASE_URL", server.base_url), ("ATK_MODEL", "mock"), ("ATK_API_KEY", "sk-mock")):
        monkeypatch.setenv(name, value)
    (tmp_path / "graph.atk").write_text(GRAPH)
    (tmp_path / "rows.jsonl").write_text('{"text": "Rain falls."}\n')
    return talk


def test_a_model_of_a_graph_is_asked_and_paid(
    asked: Callable[..., int], server: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked("Hello\nWhy?\n", "large", "graph.atk", "--max-tokens", "7") == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    bodies = [one["body"] for one in server.requests()]
    assert [(one["stream"], one["max_tokens"], one["temperature"]) for one in bodies] == [(True, 7, 0.7)] * 2
    assert bodies[1]["messages"] == [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": first},
        {"role": "user", "content": "Why?"},
    ]
    assert second
    asked_for = ["Hello", f"Hello\n{first}\nWhy?"]
    tokens = sum(len(text) // 4 + 4 for text in asked_for) + sum(
        len(text) // 4 + 1 for text in (first, second)
    )
    assert err.startswith(f"2 replies, {tokens} tokens, $")


@pytest.mark.parametrize(
    ("settings", "requests"),
    [({}, 1), ({"streams": False}, 1), ({"stream_options": False}, 2), ({"usage": False}, 1)],
)
def test_endpoints_that_stream_less(
    settings: dict[str, bool],
    requests: int,
    asked: Callable[..., int],
    server: Endpoint,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.config(**settings)
    try:
        assert asked("Hello\n", "large", "graph.atk") == 0
    finally:
        server.config(**dict.fromkeys(settings, True))
    out, err = capsys.readouterr()
    assert len(out.split()) > 5
    assert err.startswith("1 reply, ")
    assert server.stats()["calls"] == requests


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"key": "sk-other"}, "Incorrect API key"),
        ({"models": ["tiny"]}, "It has: tiny."),
        ({"p500": 1.0}, "500"),
    ],
)
def test_an_endpoint_that_refuses(
    settings: dict[str, Any],
    told: str,
    asked: Callable[..., int],
    server: Endpoint,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.config(**settings)
    try:
        assert asked("Hello\n", "large", "graph.atk") == 2
    finally:
        server.config(key=None, models=[], p500=0.0)
    out, err = capsys.readouterr()
    assert (out, err.count("error: ")) == ("", 1)
    assert told in err
    assert "sk-mock" not in err


def test_a_model_that_a_graph_trains(
    asked: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked("Hello\n", "knowing", "graph.atk") == 0
    assert SEEN[0][0] == str(tmp_path.resolve() / "out/models/knows/abc/model")
    (tmp_path / "out/models/knows/latest").unlink()
    capsys.readouterr()
    assert asked("Hello\n", "knowing", "graph.atk") == 2
    assert "is what `knows` trains, which has not run here" in capsys.readouterr().err


def test_a_name_that_no_graph_has(asked: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert asked("Hello\n", "larg", "graph.atk") == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: there is no model at larg",
        "help: models of graph.atk: knowing, large; trained here: knows",
    ]


def test_without_a_graph_it_is_that_of_the_last_run(
    asked: Callable[..., int], server: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/ask.md").write_text("user:\n{{ text }}\n")
    (tmp_path / "graph.atk").write_text(
        "param heat: float = 0.1\n"
        "model large from default { temperature = heat }\n"
        'source rows -> { text: str }[] { path = "rows.jsonl" }\n'
        'prompt said from rows -> { answer: str } { template = "ask", model = large, reply = "text" }\n'
    )
    assert main(["exec", "graph.atk", "-q", "-p", "heat=0.3"]) == 0
    capsys.readouterr()
    assert asked("Hello\n", "large") == 0
    assert server.requests()[-1]["body"]["temperature"] == 0.3
    assert asked("Hello\n", "large", "-p", "heat=0.5") == 0
    assert server.requests()[-1]["body"]["temperature"] == 0.5


def test_the_stand_in_talks_too(
    asked: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ATK_BASE_URL", "ATK_MODEL", "ATK_API_KEY"):
        monkeypatch.delenv(name)
    assert asked("Hello\n", "large", "graph.atk") == 0
    out, err = capsys.readouterr()
    assert (bool(out.strip()), err) == (True, "")


# -- pieces --------------------------------------------------------------------------------


def put_together(events: list[Any]) -> tuple[dict[str, Any], list[str]]:
    async def lines() -> AsyncIterator[bytes]:
        for event in events:
            text = event if isinstance(event, str) else f"data: {json.dumps(event)}"
            yield f"{text}\r\n".encode()
            yield b"\r\n"

    heard: list[str] = []
    return json.loads(asyncio.run(whole(lines(), heard.append))), heard


def delta(finish: str | None = None, **parts: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": parts, "finish_reason": finish}]}


def test_a_stream_is_read_as_the_whole_would_be() -> None:
    made, heard = put_together(
        [
            ": keep alive",
            delta(role="assistant", content=""),
            delta(reasoning_content="Well. "),
            delta(reasoning_content="So."),
            delta(content="It "),
            delta(content="rains."),
            delta(content=None),
            delta("stop"),
            {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
            "data: [DONE]",
        ]
    )
    assert heard == ["It ", "rains."]
    assert made == {
        "choices": [
            {"message": {"content": "It rains.", "reasoning_content": "Well. So."}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    }


def test_an_error_in_the_middle_of_a_stream_is_one() -> None:
    made, heard = put_together([delta(content="It "), {"error": {"message": "out of memory"}}])
    assert (made, heard) == ({"error": {"message": "out of memory"}}, ["It "])


def test_a_stream_without_a_reply_is_none() -> None:
    assert put_together(["event: ping", "data: [DONE]"]) == ({}, [])


@pytest.mark.parametrize("size", [1, 2, 3, 50])
@pytest.mark.parametrize(
    ("text", "stops", "shown"),
    [
        ("one two three", ["two"], "one "),
        ("one two three", ["four", "e"], "on"),
        ("one two", [], "one two"),
        ("one tw", ["two"], "one tw"),
        ("two", ["two"], ""),
    ],
)
def test_what_stands_behind_a_stop_is_not_shown(text: str, stops: list[str], shown: str, size: int) -> None:
    heard: list[str] = []
    passed = UpToStop(heard.append, stops)
    for at in range(0, len(text), size):
        passed(text[at : at + size])
    passed.end()
    assert "".join(heard) == shown
