"""Diagnostics of a graph, printed; what they say is the language's affair."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.language.diagnostics import Diagnostic
    from engine.language.program import Program


MOST = 20  # messages that are shown at once; whoever mends these asks again


def tell(program: Program, stream: IO[str] | None = None) -> None:
    """The errors and warnings with their places, the first of very many, and how many there are."""
    from engine.commands._render import beside
    from engine.language.diagnostics import render

    stream = stream or sys.stderr
    texts = {str(program.path): program.text}
    for diagnostic in program.diagnostics[:MOST]:
        print(render(diagnostic, _text(diagnostic.span.path, texts)), end="\n\n", file=stream)
    if len(program.diagnostics) > MOST:
        print(f"and {len(program.diagnostics) - MOST:,} more like these", end="\n\n", file=stream)
    errors = sum(diagnostic.severity == "error" for diagnostic in program.diagnostics)
    if errors:
        codes = sorted(
            {diagnostic.code for diagnostic in program.diagnostics if diagnostic.severity == "error"}
        )
        counted = f"{errors:,} error{'s' * (errors > 1)}"
        print(f"{beside(program.path)}: {counted}; `atk explain {codes[0]}` says more", file=stream)


def as_data(diagnostic: Diagnostic) -> dict[str, Any]:
    """One diagnostic for programs: editors, scripts."""
    span = diagnostic.span
    return {
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "help": diagnostic.help,
        "path": str(span.path),
        "line": span.line,
        "column": span.column,
        "width": span.width,
        "related": [
            {"path": str(where.path), "line": where.line, "column": where.column, "message": note}
            for where, note in diagnostic.related
        ],
    }


def _text(path: str, known: dict[str, str]) -> str:
    """The text that a diagnostic points into: the graph's, or that of a file it uses."""
    if path not in known:
        try:
            known[path] = Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            known[path] = ""
    return known[path]
