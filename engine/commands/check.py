"""`atk check`: everything that can be known of a graph before anything runs."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.commands._errors import WRONG
from engine.commands._options import Debug, Json, Models, Profile, Values

Graphs = Annotated[
    list[str], typer.Argument(metavar="GRAPH…", help="Graph files, or names of shipped graphs.")
]


def check(
    graphs: Graphs,
    values: Values = None,
    models: Models = None,
    profile: Profile = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Find every mistake in a graph without running it.

    The exit code is 2 if there is one.
    """
    from engine.commands._diagnostics import as_data, tell
    from engine.commands._options import load
    from engine.commands._render import beside, plural, print_json

    # A param that a run must be given may be missing here: the graph is no less right for that.
    programs = [load(graph, values, models, profile, complete=False, tests=True) for graph in graphs]
    if json:
        print_json(
            [
                {
                    "graph": program.name,
                    "path": str(program.path),
                    "ok": program.ok,
                    "nodes": len(program.nodes),
                    "diagnostics": [as_data(diagnostic) for diagnostic in program.diagnostics],
                }
                for program in programs
            ]
        )
    else:
        for program in programs:
            tell(program)
            if program.ok:
                print(f"{beside(program.path)}: {plural(len(program.nodes), 'node')}, no errors")
    if not all(program.ok for program in programs):
        raise typer.Exit(WRONG)
