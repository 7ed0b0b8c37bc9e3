"""`atk retry`: rows that failed for good are asked for again, with replies of their own."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from engine.commands._before import Wait, Yes, when_free
from engine.commands._errors import stop
from engine.commands._options import (
    STORE,
    Debug,
    GraphFile,
    Json,
    Models,
    OutFolder,
    Profile,
    Select,
    StorePath,
    Values,
)
from engine.commands.exec import EventsFile, MaxCost, Quiet, run_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.store.failures import Failures

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be asked for again.")]


def retry(
    graph: GraphFile,
    values: Values = None,
    models: Models = None,
    profile: Profile = None,
    select: Select = None,
    store: StorePath = STORE,
    out: OutFolder = None,
    max_cost: MaxCost = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = False,
    events: EventsFile = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Ask again for rows that failed for good, and go on as exec does.

    A row whose replies could not be used stays failed, and no run pays for it a second time. This
    forgets these replies; what was paid for them stays in the ledger.
    """
    from engine.commands._options import command_line, load_sound, options
    from engine.runtime import retrying

    program = load_sound(graph, values, models, profile)
    asked = options(
        store,
        out,
        command_line("retry", graph, values, models, profile, select),
        max_cost=max_cost,
        select=tuple(select or ()),
        detailed=events is not None,
    )
    found = when_free(lambda: retrying.failures(program, asked), wait)
    for line in lines(found):
        print(line, file=sys.stderr)
    if dry_run or not found:
        return
    if not yes and sys.stdin.isatty() and not typer.confirm("go on?", default=True, err=True):
        stop("nothing was asked", None, exit_code=1)
    when_free(lambda: retrying.forget(program, asked, [one.node for one in found]), wait)
    run_graph(program, asked, quiet=quiet, json=json, events=events, wait=wait, crashes=debug)


def lines(found: Sequence[Failures]) -> list[str]:
    """What is asked for again, and what it cost the first time."""
    from engine.commands._render import money, plural, table

    if not found:
        return ["no row has failed for good: nothing to ask again"]
    cells = [(one.node, str(one.rows), str(one.calls), money(one.cost)) for one in found]
    heads = ("failed for good", "rows", "calls", "they cost")
    total = plural(sum(one.rows for one in found), "row")
    return [*table(heads, cells, right=range(1, 4)), f"{total} to decide anew"]
