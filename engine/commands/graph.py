"""`atk graph`: a picture of a graph, as Mermaid text or as one page that needs nothing else."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.commands._options import STORE, Debug, GraphFile, Models, Profile, Select, StorePath, Values

if TYPE_CHECKING:
    from engine.commands.picture.facts import Facts
    from engine.language.program import Program

Html = Annotated[
    bool,
    typer.Option("--html", help="Write a page: the picture, and all about each node; also what runs left."),
]
Target = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="Where the page goes, if not GRAPH.html here.")
]
Mermaid = Annotated[bool, typer.Option("--mermaid", help="Print Mermaid text (what happens without --html).")]


def graph(
    graph: GraphFile,
    file: Target = None,
    values: Values = None,
    models: Models = None,
    profile: Profile = None,
    select: Select = None,
    store: StorePath = STORE,
    html: Html = False,
    mermaid: Mermaid = False,
    debug: Debug = False,
) -> None:
    """Draw a graph: its nodes, their kinds, and what flows where."""
    from engine.commands._diagnostics import tell
    from engine.commands._errors import WRONG, stop
    from engine.commands._options import load
    from engine.commands.picture.mermaid import mermaid_text

    if file is not None and not html:
        stop(f"{file} is given, but no page is asked for", f"atk graph {graph} --html {file}")
    program = load(graph, values, models, profile, complete=False)
    tell(program)
    if not program.ok:  # half a picture would be taken for the whole
        raise typer.Exit(WRONG)
    if not program.nodes:
        stop(f"{program.path} has no nodes to draw", exit_code=WRONG)
    if select:
        program = narrowed(program, select, store)
    if html:
        from engine.commands._files import write_page
        from engine.commands.picture.page import page

        target = file or Path(f"{program.name}.html")
        text = page(program, known(program, store), Path.cwd())
        write_page(target, text)
        print(target)
    if mermaid or not html:
        print(mermaid_text(program))


def known(program: Program, store: Path) -> Facts:
    """What the store knows of the nodes. One that is broken or held by another program does not keep a
    graph from being drawn: that is told, and the page says so too."""
    from engine.commands._errors import complain
    from engine.commands.picture.facts import gather, unknown
    from engine.store.errors import StoreError

    try:
        return gather(store, program.name, program.nodes)
    except (StoreError, OSError) as error:
        said = f"drawn without rows and costs: {getattr(error, 'strerror', None) or error}"
        complain(said, getattr(error, "help", None), word="warning")
        return unknown(program.nodes)


def narrowed(program: Program, select: list[str], path: Path) -> Program:
    """The program with the selected nodes alone, and what of them reads one another."""
    from dataclasses import replace

    from engine.kinds import registry
    from engine.runtime.choice import chosen
    from engine.store.store import Store

    asks_store = any("state:" in item for item in select) and path.exists()
    with contextlib.ExitStack() as opened:
        store = opened.enter_context(Store.open(path, "read")) if asks_store else None
        found = chosen(program, registry(), store, select)
    nodes = {
        name: replace(
            node,
            inputs=tuple(above for above in node.inputs if above in found),
            waits=tuple(above for above in node.waits if above in found),
        )
        for name, node in program.nodes.items()
        if name in found
    }
    return replace(program, nodes=nodes)
