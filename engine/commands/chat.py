"""`atk chat`: talk to a model that was trained, in a terminal or through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.commands._errors import stop
from engine.commands._options import Debug

ModelFolder = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A model's folder, or the name of a `train` node that ran here."),
]
System = Annotated[str | None, typer.Option("--system", help="What the model is told beforehand.")]
Longest = Annotated[int, typer.Option("--max-tokens", min=1, help="The longest reply.")]
Temperature = Annotated[
    float, typer.Option("--temperature", min=0, help="Randomness; at 0 the likeliest word each time.")
]

AGAIN = "/new"
ELSE = "give a model's folder, or the name of a `train` node once it has run here; no endpoint is asked"


def chat(
    model: ModelFolder,
    system: System = None,
    max_tokens: Longest = 512,
    temperature: Temperature = 0.0,
    debug: Debug = False,
) -> None:
    """Talk to a model that was trained.

    A line is a message, and the model has the whole talk before it; `/new` begins another. Nothing is kept.
    """
    import asyncio  # a third of what the other commands would take to begin

    from engine.language.program import ModelSpec
    from engine.models.local import Local

    folder = found(model, Path.cwd())
    sampling = {"max_tokens": max_tokens, **({"temperature": temperature} if temperature else {})}
    spec = ModelSpec(
        "chat", "transformers", model, None, None, sampling, {}, {}, 1, 0.0, "prompt", None, None, None,
        start=str(folder),
    )  # fmt: skip
    with asyncio.Runner() as runner:
        opened = Local(spec)
        first = [{"role": "system", "content": system}] if system else []
        talk = list(first)
        try:
            for line in lines():
                if line == AGAIN:
                    talk = list(first)
                    continue
                talk.append({"role": "user", "content": line})
                reply = runner.run(_reply(opened, talk))
                print(reply, flush=True)
                talk.append({"role": "assistant", "content": reply})
        finally:
            runner.run(opened.close())


def found(model: str, root: Path) -> Path:
    """The folder that is meant: one with a model in it, a job's, or the newest of a `train` node."""
    given = root / model
    places = (given, given / "model", given / "latest/model", root / "out/models" / model / "latest/model")
    files = ("config.json", "adapter_config.json")
    folder = next((one for one in places if any((one / name).is_file() for name in files)), None)
    if folder is None:
        near = sorted(path.name for path in (root / "out/models").glob("*") if (path / "latest").exists())
        stop(f"there is no model at {model}", f"trained here: {', '.join(near)}" if near else ELSE)
    return folder.resolve()


def lines() -> Iterator[str]:
    """What is typed or piped in, without empty lines."""
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            return
        if line:
            yield line


async def _reply(model: Any, talk: list[dict[str, str]]) -> str:
    from engine.models.base import Request

    reply = await model.call(Request(list(talk), sample=len(talk)))
    if reply.status == "error":
        stop(reply.error or "the model gave no reply", None)
    return str(reply.text)
