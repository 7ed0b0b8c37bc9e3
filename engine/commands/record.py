"""`atk test --record`: a test made of what the last run left, written at the end of its graph."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from engine.commands._errors import WRONG, complain, stop
from engine.frozen import dataclass

if TYPE_CHECKING:
    from engine.language.program import Program


ROWS = 3


@dataclass(frozen=True)
class Wanted:
    """What to record, and where it goes."""

    node: str
    rows: int | None
    says: str | None
    stdout: bool
    store: Path


def record(wanted: Wanted, graphs: Sequence[str]) -> None:
    """Make the test, see it pass, and write it."""
    from engine.commands._files import rewrite
    from engine.commands._options import reader
    from engine.commands._render import beside, plural
    from engine.runtime.recording import Recorder, joined

    if len(graphs) > 1:
        stop("a test is recorded in one graph", f"name one of {', '.join(graphs)}")
    run, command = _last_run(wanted.store, graphs[0] if graphs else None)
    program, plain = _programs(command, graphs[0] if graphs else None)
    if not wanted.stdout and not program.path.is_relative_to(Path.cwd()):
        stop(f"{program.path} is not beneath this folder", "--stdout prints the test instead of writing it")
    before = program.path.read_bytes().decode("utf-8")
    says = wanted.says or _unsaid(plain, wanted.node, f"as in run {run}")
    if any(one.node == wanted.node and one.says == says for one in plain.tests):
        stop(f'`{wanted.node}` has a test "{says}" already', 'say what this one shows: --says "…"')
    with (
        contextlib.closing(reader(wanted.store, program.name)) as opened,
        contextlib.redirect_stdout(sys.stderr),  # what the author's functions print
    ):
        made = Recorder(program, plain, opened, Path.cwd()).record(wanted.node, wanted.rows or ROWS, says)
    if wanted.stdout:
        print(made.text, end="")
    else:
        if program.path.read_bytes().decode("utf-8") != before:
            stop(f"{beside(program.path)} has changed meanwhile", "nothing is written; try again")
        rewrite(program.path, joined(before, made.text))
    given = " and ".join(f"{plural(number, 'row')} of {name}" for name, number in made.rows.items())
    file = sys.stderr if wanted.stdout else sys.stdout
    place = "" if wanted.stdout else f" at the end of {beside(program.path)}"
    print(f'recorded `{made.node}` "{made.says}"{place}: {given}, and it passes', file=file)
    most = max(made.rows.values())
    if wanted.rows and most < wanted.rows:
        complain(f"{wanted.rows} rows were asked for, and there are no more than {most}", word="note")


def _last_run(store: Path, graph: str | None) -> tuple[int, dict[str, Any]]:
    """Number and command line of the last run, of a graph where one is named."""
    from engine.commands._options import load, reader
    from engine.commands.render import read_command

    name = load(graph, complete=False).name if graph else None
    where = "WHERE graph = '" + name.replace("'", "''") + "' " if name else ""
    with contextlib.closing(reader(store)) as opened:
        rows = opened.sql(f"SELECT run, command FROM runs {where}ORDER BY run DESC LIMIT 1").rows
    if not rows:
        what = f"{name} has not been run with {store}" if name else "this store has seen no run"
        stop(f"{what}: there is nothing to record", f"run it first: atk exec {graph or 'GRAPH'}")
    run, command = rows[0]
    nothing: dict[str, Any] = {"graph": graph, "-p": [], "-m": [], "--profile": None}
    return run, read_command(command) if command or not graph else nothing


def _programs(command: dict[str, Any], graph: str | None) -> tuple[Program, Program]:
    """The graph as it was run, and as its tests see it; an error in it ends the command."""
    from engine.commands._diagnostics import tell
    from engine.commands._options import load
    from engine.language.testing import ENVIRONMENT

    graph = graph or command["graph"]
    program = load(graph, command["-p"], command["-m"], command["--profile"], complete=False)
    plain = load(graph, complete=False, tests=True)
    for one in (program, plain):
        if any(found.severity == "error" and found.code not in ENVIRONMENT for found in one.diagnostics):
            tell(one)
            raise typer.Exit(WRONG)
    return program, plain


def _unsaid(plain: Program, node: str, says: str) -> str:
    """Words that no test of the node has yet."""
    taken = {one.says for one in plain.tests if one.node == node}
    number, found = 1, says
    while found in taken:
        number += 1
        found = f"{says} ({number})"
    return found
