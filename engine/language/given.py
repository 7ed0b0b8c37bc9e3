"""What a check is given besides the file, and places on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path

from engine.frozen import dataclass
from engine.language import tree as ast
from engine.language.diagnostics import Span
from engine.language.kind import KindSpec

COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Given:
    """What the caller hands in besides the file. See `engine.language.check`."""

    kinds: Mapping[str, KindSpec]
    values: Mapping[str, str] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    profile: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    root: Path = Path()
    prompts: Sequence[Path] = ()
    graphs: Sequence[Path] = ()
    texts: Mapping[Path, str] = field(default_factory=dict)  # instead of what files hold, by resolved path
    complete: bool = True
    tests: bool = False
    trial: tuple[ast.GraphDeclaration | None, Mapping[str, ast.Setting]] | None = None
    """What a test sets: params, or slots of the graph that it is about."""


def option(text: str, part: str, last: bool = True) -> Span:
    """A place on the command line: `part`, where it stands last (or first) in an option as typed."""
    at = text.rfind(part) if last else text.find(part)
    return Span(COMMAND_LINE, 1, max(at, 0) + 1, max(len(part), 1), text)
