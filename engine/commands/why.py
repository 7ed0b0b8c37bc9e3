"""`atk why`: a row's whole story, from the row back to its document, with each prompt and reply."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from engine.commands._options import STORE, Debug, Json, NodeName, RowId, StoredGraph, StorePath

if TYPE_CHECKING:
    from rich.console import Console

    from engine.store.lineage import CallStep, Step

Full = Annotated[bool, typer.Option("--full", help="Cut no text.")]


def why(
    node: NodeName,
    row: RowId,
    full: Full = False,
    store: StorePath = STORE,
    graph: StoredGraph = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell how a row came about, with each prompt and reply."""
    from engine.commands._look import TEXT_LIMIT
    from engine.commands._options import reader
    from engine.commands._render import console, print_json
    from engine.commands.show import table_of
    from engine.store import lineage

    with contextlib.closing(reader(store, graph)) as opened, opened.held():
        steps = lineage.why(opened, table_of(opened, node).node, row)
    if json:
        print_json([asdict(step) for step in steps])
        return
    screen = console()
    for step in steps:
        _step(screen, step, None if full else TEXT_LIMIT)


def _step(screen: Console, step: Step, limit: int | None) -> None:
    """What the node added to the row, what became of it, and what was said about it."""
    from engine.commands._look import brief_id, fields, heading

    fate = "" if step.status == "ok" else f", {step.status}"
    heading(screen, f"{step.node} {brief_id(step.id)} ({step.kind}{fate})")
    told = {"reason": step.reason} if step.reason else {}
    if step.columns or told:
        fields(screen, step.columns | told, limit)
    for call in step.calls:
        _call(screen, call, limit)


def _call(screen: Console, call: CallStep, limit: int | None) -> None:
    from engine.commands._look import message, reply, took

    votes = f", vote {call.sample + 1}" if call.sample else ""
    role = "call" if call.role == "ask" else call.role
    again = f", retry {call.attempt}" if call.attempt else ""
    screen.print(f"\n{role}{again}{votes}: {took(asdict(call))}", style="dim")
    for sent in call.messages:
        content = sent.get("content")
        message(screen, str(sent.get("role")), content if isinstance(content, str) else str(content), limit)
    reply(screen, asdict(call), limit)
