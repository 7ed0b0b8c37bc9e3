"""`atk render`: the exact messages that a row of a prompt node sends, with the prompt as it is now."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.commands._errors import stop
from engine.commands._options import STORE, Debug, Json, NodeName, RowId, StoredGraph, StorePath

Full = Annotated[bool, typer.Option("--full/--short", help="The whole text, or long messages cut.")]


def render(
    node: NodeName,
    row: RowId,
    store: StorePath = STORE,
    graph: StoredGraph = None,
    full: Full = True,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Print the exact messages that a row of a prompt sends.

    The prompt is read afresh, so an edit shows at once. Nothing is called.
    """
    from engine import runtime
    from engine.commands._look import TEXT_LIMIT, message
    from engine.commands._options import load_sound, options
    from engine.commands._render import console, print_json

    found = last_command(store, graph)
    program = load_sound(found["graph"], found["-p"], found["-m"], found["--profile"])
    sent = runtime.render(program, options(store, None, "atk render"), node, row)
    if json:
        print_json(sent)
        return
    screen = console()
    for item in sent:
        message(screen, item["role"], item["content"], None if full else TEXT_LIMIT)


def last_command(store: Path, graph: str | None) -> dict[str, Any]:
    """Graph, parameters, models and profile of the last run that the store remembers."""
    from engine.commands._options import reader

    with contextlib.closing(reader(store, graph)) as opened:
        name = opened.description.graph.replace("'", "''")
        rows = opened.sql(f"SELECT command FROM runs WHERE graph = '{name}' ORDER BY run DESC LIMIT 1").rows
    if not rows:
        stop("this store has seen no run", "run the graph first: atk exec GRAPH")
    return read_command(rows[0][0])


def read_command(command: str) -> dict[str, Any]:
    """The inverse of `_options.command_line`."""
    words = iter(shlex.split(command)[2:])
    found: dict[str, Any] = {"graph": next(words, None), "-p": [], "-m": [], "--profile": None}
    for option in words:
        value = next(words, "")
        if option in ("-p", "-m"):
            found[option].append(value)
        elif option == "--profile":
            found[option] = value
    if not found["graph"]:
        stop(f"the last run does not say which graph it ran: {command}", "run it once more with atk exec")
    return found
