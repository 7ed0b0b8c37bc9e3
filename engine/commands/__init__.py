"""The command line: one verb a file, each thin over runtime, language and store.

No rule of the language, no SQL of the store's layout and no scheduling lives here. Verbs
import what is heavy inside their functions: `atk --help` must stay a blink.

Exit codes: 0 done, 1 the run failed, 2 the graph or the command line is wrong, 3 an `expect`
failed, 130 interrupted.
"""

from __future__ import annotations

import atexit
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

CONTAINERS = 200_000
"""More than a start leaves in memory, all of it for good: to look through it for garbage takes 20 ms."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code. The console script `atk` and `python -m` call this."""
    # pydantic would look through the metadata of every installed package for plug-ins: 30 ms a start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    gc.set_threshold(CONTAINERS, 20, 20)
    from engine.commands._app import run

    return run(arguments)


def entry() -> Never:
    """The process: runs its command line and ends with the exit code."""
    ending: list[int] = []
    atexit.register(_leave, ending)  # the first that is registered is the last to be called
    code = main()
    if not _ran_foreign_code():
        ending.append(code)
    sys.exit(code)


def _leave(ending: list[int]) -> None:
    """End here where a code says so: threads have ended, and all that was opened is closed.

    To take the interpreter down object by object is a sixth of a run that has nothing to do.
    """
    with suppress(OSError, ValueError):  # nobody reads any more: end as any program does
        sys.stdout.flush()
        sys.stderr.flush()
        if ending:
            os._exit(ending[0])


def _ran_foreign_code() -> bool:
    """Whether a function of the author's was loaded: what it left open is closed by taking all down."""
    functions = sys.modules.get("engine.kinds.functions")
    return functions is not None and functions.any_loaded()
