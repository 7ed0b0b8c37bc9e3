"""`atk clean`: removes from a store what nothing refers to any more, and says what that frees."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from engine.commands._before import Wait, when_free
from engine.commands._errors import stop
from engine.commands._options import STORE, Debug, StorePath

if TYPE_CHECKING:
    from engine.store.cleaning import Unused

KeepRuns = Annotated[
    int,
    typer.Option("--keep-runs", metavar="N", min=1, help="Rows that the last N runs replaced stay."),
]
Replies = Annotated[
    bool,
    typer.Option(
        "--replies", help="Replies too on which no row stands: to undo an edit then costs calls. Prices stay."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def clean(
    store: StorePath = STORE,
    keep_runs: KeepRuns = 2,
    replies: Replies = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    wait: Wait = False,
    debug: Debug = False,
) -> None:
    """Remove from a store what nothing refers to any more.

    These are rows that were replaced, and tables of nodes that their graph no longer has.
    """
    from engine.commands._errors import WRONG
    from engine.commands._render import plural
    from engine.store.cleaning import clean as cleaned
    from engine.store.cleaning import look

    if not store.exists():
        stop(f"there is no store at {store}", "--store names another", WRONG)
    unused = when_free(lambda: look(store, keep_runs, replies), wait)
    for line in lines(unused):
        print(line)
    if dry_run or not unused:
        return
    if not yes:
        if not sys.stdin.isatty():
            stop("nothing was removed: nobody agreed to it", "--yes agrees beforehand", exit_code=1)
        if not typer.confirm("remove it?", default=False, err=True):
            stop("nothing was removed", None, exit_code=1)
    _, before, after = when_free(lambda: cleaned(store, keep_runs, replies), wait)
    print(f"{store}: {size(before)} before, {size(after)} now")
    copies = sorted(store.parent.glob(f"{store.name}.wal.damaged*"))
    if copies:
        names = ", ".join(copy.name for copy in copies)
        print(f"left alone: {plural(len(copies), 'copy', 'copies')} of damaged logs ({names})")


def lines(unused: Unused) -> list[str]:
    """What would go, a line for each sort."""
    from engine.commands._render import number, plural

    if not unused:
        return ["nothing to remove: all that is in the store is referred to"]
    told = []
    for name, count in unused.rows.items():
        graph, _, node = name.partition(".")
        told.append(f"{number(count)} row{'s' * (count != 1)} of {node} ({graph}) that were replaced")
    if unused.tables:
        names = ", ".join(unused.tables)
        told.append(f"{plural(len(unused.tables), 'table')} of nodes that are gone: {names}")
    if unused.replies:
        count = unused.replies
        told.append(f"{number(count)} repl{'y' if count == 1 else 'ies'} on which no row stands")
    return told


def size(count: int) -> str:
    """Bytes, for people."""
    value = float(count)
    for unit in ("B", "KB", "MB"):
        if value < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} GB"
