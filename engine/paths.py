"""Where the files that ship beside the code are: grammar, graphs, prompts.

A checkout keeps them beside `engine/`, where people read and edit them; a wheel brings them
along in `engine/shipped/`. Nothing else belongs here.
"""

from __future__ import annotations

from pathlib import Path

_ENGINE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The shipped folder `grammar`, `graphs` or `prompts`."""
    inside = _ENGINE / "shipped" / name
    return inside if inside.is_dir() else _ENGINE.parent / name


def grammar() -> Path:
    """The grammar of `.atk` files."""
    return shipped("grammar") / "atk.lark"


def graphs() -> Path:
    """The shipped graphs, with `lib/` beneath."""
    return shipped("graphs")


def prompts() -> Path:
    """The shipped prompt files, a folder a pipeline."""
    return shipped("prompts")
