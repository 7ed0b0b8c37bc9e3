"""`atk version` and `atk --version`."""

from __future__ import annotations

from typing import Annotated

import typer

from engine.commands._options import Debug, Json


def _print_and_leave(asked: bool) -> None:
    if asked:
        from engine import __version__

        print(f"atk {__version__}")
        raise typer.Exit


Flag = Annotated[
    bool, typer.Option("--version", callback=_print_and_leave, is_eager=True, help="Show the version.")
]

# What results depend on most; the rest of the pins stand in requirements/run.txt.
TOLD = ("duckdb", "lark", "pyarrow", "pydantic", "tokenizers")


def version(json: Json = False, debug: Debug = False) -> None:
    """Show the versions of atk, Python and what results depend on."""
    import platform
    from importlib import metadata

    from engine import __version__
    from engine.commands._render import print_json

    found = {"atk": __version__, "python": platform.python_version()}
    found |= {name: metadata.version(name) for name in TOLD}
    if json:
        print_json(found)
        return
    for name, text in found.items():
        print(f"{name} {text}")
