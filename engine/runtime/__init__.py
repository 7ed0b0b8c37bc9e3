"""Planning and running checked graphs. Heavy parts are imported where they are used.

program = load("graphs/factual.atk", values={"domain": "Army training"})
plan(program, options)            # what it would do and cost
await execute(program, options)   # do it
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.language.program import Program
    from engine.runtime.engine import Options
    from engine.runtime.events import Listener, Plan, Summary
    from engine.runtime.probing import Probe

__all__ = ["GraphMissing", "Options", "execute", "load", "plan", "render"]


class GraphMissing(Exception):
    """No graph of that name or path."""

    def __init__(self, message: str, help: str | None = None):
        super().__init__(message)
        self.message, self.help = message, help


def __getattr__(name: str) -> object:
    if name == "Options":
        from engine.runtime.engine import Options

        return Options
    raise AttributeError(name)


def load(
    graph: str,
    *,
    values: Mapping[str, str] | None = None,
    models: Mapping[str, str] | None = None,
    profile: str | None = None,
    root: Path | None = None,
    complete: bool = True,
    text: str | None = None,
    tests: bool = False,
) -> Program:
    """Read and check a graph: a path, or the name of a shipped one (`quickstart`).

    `values` and `models` are what `-p` and `-m` give; unless `complete`, a param may lack a value,
    and the program is only to be looked at. `text` stands for the file's content where it is given;
    `tests` checks the file's tests too. The program may hold diagnostics; only one that is `ok` can
    be planned or run. Raises `GraphMissing`.
    """
    from engine.kinds import registry
    from engine.language import check
    from engine.runtime.loading import find, graph_directories, prompt_directories

    root = (root or Path.cwd()).resolve()
    path = find(graph, root)
    return check(
        path,
        registry(),
        values=values or {},
        models=models or {},
        profile=profile,
        root=root,
        complete=complete,
        tests=tests,
        prompts=prompt_directories(path, root),
        graphs=graph_directories(path, root),
        text=text,
    )


def plan(program: Program, options: Options, against: str | None = None, probed: Probe | None = None) -> Plan:
    """What `execute` would do now, without doing or writing any of it.

    `against` names an earlier run (a number, `last`, `-1`), with whose state marks and reasons compare.
    `probed` is what `probing.probe` found: estimates follow it in place of earlier runs.
    """
    import asyncio

    from engine.kinds import registry
    from engine.runtime.engine import Engine
    from engine.runtime.planning import made_plan
    from engine.store.store import Store

    with Store.open(options.store, "plan") as store:
        engine = Engine(program, options, registry(), store, dry=True)
        asyncio.run(engine.run())
        engine.raise_errors()
        made = made_plan(engine, probed)
        if against is None:
            return made
        from engine.runtime.against import against as compared

        return compared(engine, made, against)


async def execute(program: Program, options: Options, listener: Listener | None = None) -> Summary:
    """Run a graph; what is known already is not done again.

    Raises `StoreError` when the store cannot be used.
    """
    from engine.kinds import registry
    from engine.runtime.engine import Engine
    from engine.store.errors import StoreError
    from engine.store.store import Store

    store = Store.open(options.store, "write")
    try:
        with store:
            engine = Engine(program, options, registry(), store, listener)
            summary = await engine.run()
            summary.crashes.extend(engine.crashes)
            return summary
    except StoreError as error:
        raise store.journal.told(error) if store.journal else error from None


def render(program: Program, options: Options, node: str, row: str) -> list[dict[str, str]]:
    """The exact messages that one row of a prompt node's input sends. Raises `KindError`."""
    from engine.runtime.rendering import messages_of

    return messages_of(program, options, node, row)
