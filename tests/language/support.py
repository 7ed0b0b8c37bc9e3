"""Check a graph of the tests, with the small registry and the options that the file names."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from engine.language import check
from engine.language.diagnostics import render
from engine.language.program import Program
from tests.language.kinds import registry

HERE = Path(__file__).resolve().parent
ENVIRONMENT = {"DEEPINFRA_KEY": "a key for tests"}


def options(text: str) -> dict[str, Any]:
    """What a first line `# run: -p a=1 -m b=c --profile d NAME=value` asks for."""
    first = text.split("\n", 1)[0]
    found: dict[str, Any] = {"values": {}, "models": {}, "profile": None, "environment": dict(ENVIRONMENT)}
    if not first.startswith("# run:"):
        return found
    words = iter(shlex.split(first.removeprefix("# run:")))
    for word in words:
        if word == "--profile":
            found["profile"] = next(words)
            continue
        target = {"-p": "values", "-m": "models"}.get(word)
        name, _, value = (next(words) if target else word).partition("=")
        found[target or "environment"][name] = value
    return found


def checked(path: Path, text: str | None = None, **given: Any) -> Program:
    """A file, or a text in its place, checked."""
    return check(
        path,
        registry(),
        root=HERE,
        prompts=[HERE / "prompts"],
        graphs=[HERE],
        text=text,
        **({"environment": ENVIRONMENT, "tests": True} | given),
    )


def program(text: str, **given: Any) -> Program:
    """A text, checked."""
    return checked(HERE / "graphs" / "inline.atk", text, **given)


def told(found: Program) -> str:
    """All that was said, as a person reads it."""
    return "\n\n".join(render(diagnostic) for diagnostic in found.diagnostics)


def codes(found: Program) -> list[str]:
    return [diagnostic.code for diagnostic in found.diagnostics]
