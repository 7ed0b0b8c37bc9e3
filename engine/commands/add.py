"""`atk add`: copy a shared graph, with all that it uses, into the project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from engine.commands._errors import WRONG
from engine.commands._options import Debug

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="A path, a shipped graph's name, github:owner/repo//path@version, or an https address.",
    ),
]
As = Annotated[str | None, typer.Option("--as", metavar="NAME", help="Its folder's name; else the graph's.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what was edited here.")]
Diff = Annotated[bool, typer.Option("--diff", help="Write nothing; show what would change.")]


def add(
    source: Source, name: As = None, force: Force = False, diff: Diff = False, debug: Debug = False
) -> None:
    """Copy a shared graph with its prompts into graphs/vendor."""
    from engine.commands._errors import stop
    from engine.commands.vendor.gathering import gathered
    from engine.commands.vendor.placing import (
        FOLDER,
        compared,
        differences,
        put_in_place,
        record_for,
        up_to_date,
    )
    from engine.commands.vendor.sources import found

    with found(source) as place:
        files = {key: path.read_bytes() for key, path in gathered(place).items()}
        called = name or place.graph.stem
        if not re.fullmatch(r"[A-Za-z_]\w*", called, re.ASCII):
            stop(f"`{called}` cannot be a folder's name here", "letters, digits and underscores: --as NAME")
        folder = Path.cwd() / FOLDER / called
        renewal = compared(folder, files)
        if diff:
            print(differences(folder, files, renewal), end="")
            return
        if renewal.edited and not force:
            stop(
                f"edited here since they were added: {', '.join(renewal.edited)}",
                "see what would change with --diff; --force overwrites them",
            )
        record = record_for(place, files)
        if renewal or not up_to_date(folder, record):
            put_in_place(folder, files, renewal, record)
        graph = folder / place.graph.name
    tell(folder, graph, files, bool(renewal))


def tell(folder: Path, graph: Path, files: dict[str, bytes], written: bool) -> None:
    """What was copied, what of it is code, and whether the graph checks here."""
    from engine.commands import _diagnostics
    from engine.commands._render import beside, plural
    from engine.runtime import load

    print(f"{beside(folder)}: {'' if written else 'nothing new, '}{plural(len(files), 'file')}")
    for name in files:
        print(f"  {name}{'  (Python code: read it before you run it)' if name.endswith('.py') else ''}")
    program = load(str(graph), complete=False)
    _diagnostics.tell(program)
    if not program.ok:
        raise typer.Exit(WRONG)
    print("next")
    print(f"  atk params {beside(graph)}")
    print(f"  atk plan {beside(graph)}")
