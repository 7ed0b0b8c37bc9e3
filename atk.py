"""atk from Python: plan a graph, run it, and look into its tables.

    import atk

    print(atk.plan("quickstart").cost)
    summary = atk.execute("quickstart", params={"limit": 20})
    tables = atk.connect()
    tables.sql("FROM sft").arrow()          # or .pl(), .df(), .fetchall()

These few names are the whole public face; what is in `engine` may change. All of them work
in a notebook, where an event loop is already running. Importing this module is cheap: what is
heavy is imported by the call that needs it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import __version__ as __version__
from engine.runtime.events import Listener, NodePlan, NodeProgress, Plan, Summary

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from engine.language.program import Program
    from engine.runtime import Options
    from engine.runtime.executors import Executor

__all__ = ["GraphError", "NodePlan", "NodeProgress", "Plan", "Summary", "connect", "execute", "plan"]

STORE = Path(".atk") / "store.duckdb"


class GraphError(Exception):
    """The graph is wrong: `str(error)` is what `atk check` prints.

    `diagnostics` holds the same as data: `code`, `message`, `span`, `help`.
    """

    def __init__(self, message: str, diagnostics: tuple[Any, ...] = ()):
        super().__init__(message)
        self.message, self.diagnostics = message, diagnostics
        self.help: str | None = None


def plan(
    graph: str | os.PathLike[str],
    *,
    params: Mapping[str, Any] | None = None,
    models: Mapping[str, str] | None = None,
    profile: str | None = None,
    store: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] | None = None,
) -> Plan:
    """What `execute` would do now: rows, calls, tokens and cost (USD) of each node, and why.

    Nothing is called and nothing is written. `graph` is a graph file or the name of a shipped
    graph; `params` are coerced by their declared types; `models` lets a model stand for
    another, as `-m` does. `store` (default `.atk/store.duckdb`) and `out` (default: `root`) are
    relative to `root`, by default the working directory.

    Raises `GraphError` where the graph has an error.
    """
    from engine import runtime
    from engine.runtime.loop import run

    program, options = _prepare("plan", graph, params, models, profile, store, out, root)
    # In a thread, since a plan has a loop of its own and there may be one here already.
    return run(asyncio.to_thread(runtime.plan, program, options))


def execute(
    graph: str | os.PathLike[str],
    *,
    params: Mapping[str, Any] | None = None,
    models: Mapping[str, str] | None = None,
    profile: str | None = None,
    store: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] | None = None,
    listener: Listener | None = None,
    executor: Callable[[], Executor] | None = None,
) -> Summary:
    """Run a graph and wait for its end; arguments are those of `plan`.

    A run that fails gives a summary that says so (`summary.status`, `summary.errors`) and
    keeps every row that was finished. `listener` is called with the events of
    `engine.runtime.events` as they happen, from the thread that runs the graph. `executor` makes an
    `engine.runtime.executors.Executor`, which answers the requests in place of this process.

    Raises `GraphError` where the graph has an error, before anything is paid for.
    """
    from engine import runtime
    from engine.runtime.loop import run

    program, options = _prepare("exec", graph, params, models, profile, store, out, root)
    options = replace(options, executor=executor)
    return run(runtime.execute(program, options, listener or _deaf))


def connect(store: str | os.PathLike[str] | None = None, graph: str | None = None) -> DuckDBPyConnection:
    """A read-only DuckDB connection whose tables are those of the last run, or of `graph`.

    `checked`, `rejected.checked`, `failed.checked`, `calls` and `runs` are there under these
    names. Close it before the next run of the same store in this or another process.

    Raises an error with a clear message where there is no store, or a run is writing it.
    """
    from engine import store as stores

    return stores.connect(Path(store or STORE), graph)


def _prepare(
    verb: str,
    graph: str | os.PathLike[str],
    params: Mapping[str, Any] | None,
    models: Mapping[str, str] | None,
    profile: str | None,
    store: str | os.PathLike[str] | None,
    out: str | os.PathLike[str] | None,
    root: str | os.PathLike[str] | None,
) -> tuple[Program, Options]:
    """The checked graph and what a run must know besides it."""
    from engine import runtime

    name, base = os.fspath(graph), Path(root or ".").resolve()
    values = {key: _as_text(value) for key, value in (params or {}).items()}
    program = runtime.load(name, values=values, models=dict(models or {}), profile=profile, root=base)
    if not program.ok:
        raise _graph_error(program)
    # The command that does the same: it stands in `runs`, and `atk render` reads it.
    words = ["atk", verb, name]
    words += [word for key, value in values.items() for word in ("-p", f"{key}={value}")]
    words += [word for key, value in (models or {}).items() for word in ("-m", f"{key}={value}")]
    words += ["--profile", profile] if profile else []
    return program, runtime.Options(
        root=base, store=base / (store or STORE), out=base / (out or ""), command=shlex.join(words)
    )


def _graph_error(program: Program) -> GraphError:
    from engine.language.diagnostics import render

    errors = tuple(found for found in program.diagnostics if found.severity == "error")
    texts = []
    for found in errors:
        try:
            text = Path(found.span.path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        texts.append(render(found, text))
    return GraphError("\n\n".join(texts), errors)


def _as_text(value: Any) -> str:
    """A Python value as `-p name=value` would have it."""
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    return json.dumps(value, ensure_ascii=False)


def _deaf(event: object) -> None:
    """The listener of whoever does not listen."""
