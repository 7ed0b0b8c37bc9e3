"""`atk chat`: which model is meant, what it is asked, and what is said when it cannot be."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.commands import main
from engine.models import local
from engine.models.base import Reply, Request

SEEN: list[tuple[str, list[dict[str, str]], dict[str, Any]]] = []


class Echo:
    """Says how many messages it was shown."""

    def __init__(self, spec: Any):
        self.spec = spec

    async def call(self, request: Request) -> Reply:
        SEEN.append((self.spec.start, [dict(one) for one in request.messages], dict(self.spec.sampling)))
        if request.messages[-1]["content"] == "fail":
            return Reply("error", error="the model in it cannot be asked: no weights", fault="model")
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
    assert talk("Hello\n\nWhy?\n/new\nWho?\n", "knows", "--system", "Be brief.", "--temperature", "0.5") == 0
    assert capsys.readouterr().out.splitlines() == ["2 messages", "4 messages", "2 messages"]
    assert SEEN[1][1] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "2 messages"},
        {"role": "user", "content": "Why?"},
    ]
    assert SEEN[0][2] == {"max_tokens": 512, "temperature": 0.5}


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
    assert help.startswith("help: give a model's folder, or the name of a `train` node")


def test_what_goes_wrong(talk: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert talk("", "nobody") == 2
    assert capsys.readouterr().err == "error: there is no model at nobody\nhelp: trained here: knows\n"
    assert talk("fail\n", "knows") == 2
    assert "cannot be asked: no weights" in capsys.readouterr().err
