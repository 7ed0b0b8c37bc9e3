"""The command line: one verb a file, each thin over runtime, language and store.

No rule of the language, no SQL of the store's layout and no scheduling lives here. Verbs
import what is heavy inside their functions: `atk --help` must stay a blink.

Exit codes: 0 done, 1 the run failed, 2 the graph or the command line is wrong, 3 an `expect`
failed, 130 interrupted.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Never

# In the order of a day's work; `--help` lists them so.
VERBS = (
    *("init", "add", "check", "lint", "fmt", "test", "plan", "exec", "retry"),
    *("show", "why", "render", "chat", "runs", "diff", "cost", "report"),
    *("clean", "export", "import"),
    *("sql", "params", "graph", "explain", "lsp", "version"),
)

# Verbs that only look at texts: they write nothing, and leave no thread and no file behind.
LOOKING = frozenset({"check", "explain", "params", "version", "--help"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code. The console script `atk` and `python -m` call this."""
    # pydantic would look through the metadata of every installed package for plug-ins: 30 ms a start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    looking = bool(set(sys.argv[1:2]) & LOOKING)
    # What a start imports is garbage at the end only: looking for it all the while takes a tenth of it.
    gc.set_threshold(1_000_000 if looking else 20_000, 20, 20)
    from engine.commands._app import run

    return run(arguments)


def entry() -> Never:
    """The process: runs its command line and ends with the exit code."""
    code = main()
    if set(sys.argv[1:2]) & LOOKING:
        # Nothing is open but what was only read, and taking the interpreter down is a tenth of all.
        with suppress(OSError, ValueError):  # nobody reads any more: end as any program does
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    sys.exit(code)
