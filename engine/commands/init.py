"""`atk init`: a small project that runs at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.commands._options import Debug

Name = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="The project's folder; without it, this one.")
]


def init(name: Name = None, debug: Debug = False) -> None:
    """Begin a project: a graph, its prompts, a document, a test."""
    from engine.commands._errors import stop
    from engine.commands._project import begin, graph_name
    from engine.commands._render import beside

    here = Path.cwd()
    folder = here / name if name is not None else here
    if name is not None and (not name.strip() or Path(name).name != name or name in (".", "..")):
        stop(f"`{name}` is no name for a folder here", "give one name, such as: atk init notes")
    called = graph_name(folder.name)
    if called is None:
        stop(
            f"`{folder.name}` cannot be the name of a graph",
            "letters, digits and underscores, a letter first, such as: atk init notes",
        )
    for path in begin(folder, called):
        print(f"  {beside(path)}")
    print("next")
    if name is not None:
        print(f"  cd {name}")
    print(f"  atk exec {called}.atk")
    print('  atk sql "SELECT question, answer FROM checked LIMIT 5"')
    print(f"  atk graph {called}.atk --html")
