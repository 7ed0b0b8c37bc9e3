"""`atk report`: what came of an exam, as a table, as a page, and in the card of a model."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.commands._options import STORE, Debug, Json, StoredGraph, StorePath

if TYPE_CHECKING:
    from engine.commands.result.gather import Result

Table = Annotated[
    str | None, typer.Argument(metavar="[TABLE]", help="A table with the marks, if it is not called marks.")
]
Against = Annotated[
    str | None,
    typer.Option("--against", metavar="SUBJECT", help="Whom the others are compared with, if not base."),
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write a page: plots, samples, costs.")
]
Card = Annotated[
    Path | None,
    typer.Option(
        "--card", metavar="FOLDER", help="Write the table into the card of the model in this folder."
    ),
]


def report(
    table: Table = None,
    against: Against = None,
    html: Html = None,
    card: Card = None,
    store: StorePath = STORE,
    graph: StoredGraph = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show what came of an exam: who knew how much, with intervals."""
    from engine.commands._options import reader
    from engine.commands._render import print_json
    from engine.commands.result.gather import gather
    from engine.commands.result.text import as_table

    if card is not None:
        card_of(card)  # a wrong folder is told before anything else is written
    with contextlib.closing(reader(store, graph)) as opened, opened.held():
        result = gather(opened, table, against)
    if json:
        print_json([line.as_dict() for line in result.lines])
    else:
        print("\n".join(as_table(result)))
    if html is not None:
        draw(result, html)
    if card is not None:
        write_card(result, card)


def draw(result: Result, target: Path) -> None:
    """The page, in the style of those of graphs."""
    from engine.commands import picture
    from engine.commands._files import write_page
    from engine.commands.result.page import page

    style = Path(picture.__path__[0]) / "page.css"
    write_page(target, page(result, style))
    tell(target)


def card_of(folder: Path) -> Path:
    """The card of the model in a folder."""
    from engine.commands._errors import stop

    found = folder / "README.md"
    if not found.is_file():
        stop(
            f"{folder} has no card: there is no README.md in it",
            "name the folder that `train` made, such as out/models/NAME/latest/model",
        )
    return found


def write_card(result: Result, folder: Path) -> None:
    """The table in the model's card, in place of what an earlier exam has left there."""
    from engine.commands._files import rewrite
    from engine.commands.result.text import as_markdown
    from engine.training.card import examined

    path = card_of(folder)
    rewrite(path, examined(path.read_text("utf-8"), as_markdown(result)))
    tell(path)


def tell(path: Path) -> None:
    """Say what was written; on stderr, since a program may read the table."""
    print(f"wrote {path}", file=sys.stderr)
