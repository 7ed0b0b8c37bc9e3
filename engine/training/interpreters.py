"""Interpreters of other environments: which is meant, and what it has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from engine.training.faults import NotTrained

PATIENCE = 60.0  # seconds until an interpreter that says nothing is given up
_ASK = (
    "import importlib.metadata as m, json, platform, sys\n"
    "found = {'python': platform.python_version()}\n"
    "for name in sys.argv[1:]:\n"
    "    try: found[name] = m.version(name)\n"
    "    except m.PackageNotFoundError: pass\n"
    "print(json.dumps(found))"
)


def interpreter(given: str | None, variable: str) -> str:
    """The one that a graph names, else the environment's, else this process's own."""
    return given or os.environ.get(variable) or sys.executable


def versions(python: str, packages: Sequence[str], other: str) -> Mapping[str, str]:
    """The versions of an interpreter (`python`) and of those of the packages that it has.

    `other` says how another is named. Raises `NotTrained` where this one cannot be run.
    """
    try:
        asked = subprocess.run(
            [python, "-c", _ASK, *packages],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
            stdin=subprocess.DEVNULL,
        )
        found: dict[str, str] = json.loads(asked.stdout)
        return found
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise NotTrained(
            f"the interpreter {python} cannot be run: {_first_line(error)}",
            f"set `python` in the node, or {other}",
        ) from error


def _first_line(error: BaseException) -> str:
    said = getattr(error, "stderr", None) or getattr(error, "strerror", None) or str(error)
    lines = [line for line in str(said).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
