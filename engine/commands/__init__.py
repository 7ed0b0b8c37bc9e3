"""The command line: one verb a file, each thin over runtime, language and store.

No rule of the language, no SQL of the store's layout and no scheduling lives here. Verbs
import what is heavy inside their functions: `atk --help` must stay a blink.

Exit codes: 0 done, 1 the run failed, 2 the graph or the command line is wrong, 3 an `expect`
failed, 130 interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

# In the order of a day's work; `--help` lists them so.
VERBS = (
    *("check", "fmt", "plan", "exec", "show", "why", "render"),
    *("sql", "params", "graph", "explain", "version"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code. The console script `atk` and `python -m` call this."""
    # pydantic would look through the metadata of every installed package for plug-ins: 30 ms a start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from engine.commands._app import run

    return run(arguments)
