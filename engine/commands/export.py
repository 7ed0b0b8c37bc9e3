"""`atk export`: the replies of a store as a file, so that they need not be paid for elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.commands._before import Wait, when_free
from engine.commands._errors import WRONG, stop
from engine.commands._options import STORE, Debug, StoredGraph, StorePath

Target = Annotated[Path, typer.Argument(metavar="FILE", help="The Parquet file to write.")]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


def export(
    file: Target,
    store: StorePath = STORE,
    graph: StoredGraph = None,
    force: Force = False,
    wait: Wait = False,
    debug: Debug = False,
) -> None:
    """Write the replies of a store to a file that `atk import` reads.

    They hold the prompts and what was answered, so give the file to nobody who may not see these.
    """
    from engine.commands._render import number
    from engine.store.carrying import export as exported

    if file.exists() and not force:
        stop(f"{file} is there already", "--force writes over it", WRONG)
    count = when_free(lambda: exported(store, file, graph), wait)
    print(f"{file}: {number(count)} repl{'y' if count == 1 else 'ies'}")
