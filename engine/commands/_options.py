"""The options that several verbs share, each declared once, and what they mean together."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.commands._errors import WRONG, CommandError, stop

if TYPE_CHECKING:
    from engine.language.program import Program
    from engine.runtime import Options
    from engine.store.reader import Reader

STORE = Path(".atk/store.duckdb")

GraphFile = Annotated[
    str, typer.Argument(metavar="GRAPH", help="A graph file, or the name of a shipped graph (quickstart).")
]
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="The name of a node, which is its table's.")]
RowId = Annotated[str, typer.Argument(metavar="ROW", help="A row's id, or enough of its beginning.")]
Values = Annotated[
    list[str] | None,
    typer.Option("-p", "--param", metavar="NAME=VALUE", help="Set a parameter of the graph; repeatable."),
]
Models = Annotated[
    list[str] | None,
    typer.Option("-m", "--model", metavar="NAME=MODEL", help="Let a model stand for another; repeatable."),
]
Profile = Annotated[
    str | None, typer.Option("--profile", metavar="NAME", help="Take a profile of the graph.")
]
StorePath = Annotated[
    Path, typer.Option("--store", metavar="FILE", help="Where tables and replies are kept.")
]
OutFolder = Annotated[
    Path | None, typer.Option("--out", metavar="FOLDER", help="Beneath which files are written, if not here.")
]
StoredGraph = Annotated[
    str | None,
    typer.Option("--graph", metavar="NAME", help="Whose tables, where a store holds several graphs."),
]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "-s",
        "--select",
        metavar="NODES",
        help="Only these: node, +node, node+, 2+node, kind:prompt, state:changed+; repeatable.",
    ),
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NODE=N",
        help="Let only N rows of a node go on, chosen by hash: for a first look; repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
# Read from the command line itself, since a fault may come before options are parsed.
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def pairs(given: list[str] | None, option: str) -> dict[str, str]:
    """`["a=1", "b="]` as a dictionary; a later value wins, as on every command line."""
    found: dict[str, str] = {}
    for item in given or ():
        name, equals, value = item.partition("=")
        if not equals or not name.strip():
            stop(f"{option} takes name=value, not `{item}`", f"write it as {option} name=value")
        found[name.strip()] = value
    return found


def load(
    graph: str,
    values: list[str] | None = None,
    models: list[str] | None = None,
    profile: str | None = None,
    complete: bool = True,
    tests: bool = False,
) -> Program:
    """The graph, checked, its errors not told yet; unless `complete`, params may lack a value.

    With `tests`, its tests are checked too.
    """
    from engine import runtime

    return runtime.load(
        graph,
        values=pairs(values, "-p"),
        models=pairs(models, "-m"),
        profile=profile,
        root=Path.cwd(),
        complete=complete,
        tests=tests,
    )


def load_sound(
    graph: str, values: list[str] | None, models: list[str] | None, profile: str | None
) -> Program:
    """The graph, fit to run; its warnings go to stderr, and an error ends the command (exit 2)."""
    from engine.commands._diagnostics import tell

    program = load(graph, values, models, profile)
    tell(program)
    if not program.ok:
        raise typer.Exit(WRONG)
    if not program.nodes:
        stop(f"{graph} has no nodes: there is nothing to run", "a graph begins with a `source`")
    return program


def with_limits(program: Program, limits: list[str] | None) -> Program:
    """The graph with what `--limit node=50` says put into it."""
    from engine.runtime.limiting import limited

    counts: dict[str, int] = {}
    for name, count in pairs(limits, "--limit").items():
        if not count.replace("_", "").isdecimal() or int(count) < 1:
            stop(f"--limit {name} takes a number of rows, not `{count}`", f"such as --limit {name}=50")
        counts[name] = int(count)
    return limited(program, counts)


def command_line(
    verb: str,
    graph: str,
    values: list[str] | None,
    models: list[str] | None,
    profile: str | None,
    select: list[str] | None = None,
    limits: list[str] | None = None,
) -> str:
    """The command as it may be typed again; kept with the run, and read again by `atk render`."""
    words = ["atk", verb, graph]
    for option, items in (("-p", values), ("-m", models), ("-s", select), ("--limit", limits)):
        words += [word for item in items or () for word in (option, item)]
    if profile:
        words += ["--profile", profile]
    return shlex.join(words)


def options(store: Path, out: Path | None, command: str, **more: object) -> Options:
    """What a plan or a run must know besides its graph."""
    from engine.runtime import Options

    root = Path.cwd()
    return Options(root=root, store=root / store, out=root / (out or ""), command=command, **more)  # type: ignore[arg-type]


def reader(store: Path, graph: str | None = None) -> Reader:
    """The tables of the last run (or of `graph`), also while a run is writing them."""
    if not store.exists():
        raise CommandError(
            f"there is no store at {store}",
            "run a graph here first (atk exec quickstart), or say where it is with --store",
            WRONG,
        )
    from engine.store.reader import open_reader

    return open_reader(store, graph)


def interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()
