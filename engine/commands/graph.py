"""`atk graph`: a picture of a graph, as Mermaid text or as one page that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.commands._options import STORE, Debug, GraphFile, Models, Profile, StorePath, Values

Html = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write a page with the picture, and row counts after a run."),
]
Mermaid = Annotated[bool, typer.Option("--mermaid", help="Print Mermaid text (what happens without --html).")]


def graph(
    graph: GraphFile,
    values: Values = None,
    models: Models = None,
    profile: Profile = None,
    store: StorePath = STORE,
    html: Html = None,
    mermaid: Mermaid = False,
    debug: Debug = False,
) -> None:
    """Draw a graph: its nodes, their kinds, and what flows where."""
    from engine.commands._errors import WRONG, stop
    from engine.commands._options import load_drawable
    from engine.commands._picture import mermaid_text, page

    program = load_drawable(graph, values, models, profile)
    if not program.nodes:
        stop(f"{program.path} has no nodes to draw", exit_code=WRONG)
    if html is not None:
        html.parent.mkdir(parents=True, exist_ok=True)
        html.write_text(page(program, counts(store, program.name, list(program.nodes))), encoding="utf-8")
        print(html)
    if mermaid or html is None:
        print(mermaid_text(program))


def counts(store: Path, name: str, nodes: list[str]) -> dict[str, tuple[int, int, int]]:
    """Rows, rejected and failed of each node that the store holds; none where there is no store."""
    import contextlib

    from engine.commands._options import reader
    from engine.commands._summary import name_in_sql, quoted

    found: dict[str, tuple[int, int, int]] = {}
    if not store.exists():
        return found
    with contextlib.suppress(Exception), contextlib.closing(reader(store, name)) as opened, opened.held():
        for node in nodes:
            tables = (name_in_sql(node), f"rejected.{quoted(node)}", f"failed.{quoted(node)}")
            query = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)
            with contextlib.suppress(Exception):
                row = opened.sql(query).rows[0]
                found[node] = (int(row[0]), int(row[1]), int(row[2]))
    return found
