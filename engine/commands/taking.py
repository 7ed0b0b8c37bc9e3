"""`atk import`: replies that were paid for elsewhere are known here too."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.commands._before import Wait, when_free
from engine.commands._options import STORE, Debug, StorePath

Given = Annotated[Path, typer.Argument(metavar="FILE", help="A file that `atk export` wrote.")]


def take(file: Given, store: StorePath = STORE, wait: Wait = False, debug: Debug = False) -> None:
    """Add the replies of a file to a store, which may be a new one.

    A reply that the store has already stays as it is; to import a file twice does no harm.
    """
    from engine.commands._render import number
    from engine.store.carrying import take as taken

    total, added = when_free(lambda: taken(store, file), wait)
    known = f", {number(total - added)} known already" if total > added else ""
    print(f"{store}: {number(added)} repl{'y' if added == 1 else 'ies'} added{known}")
