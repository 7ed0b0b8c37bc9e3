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
    story = Story(console(), None if full else TEXT_LIMIT)
    for step in steps:
        story.step(step)


class Story:
    """What happened to a row, told in order. What was told already is only named again."""

    def __init__(self, screen: Console, limit: int | None):
        self.screen, self.limit = screen, limit
        self.rows: set[tuple[str, object]] = set()
        self.calls: list[CallStep] = []

    def step(self, step: Step) -> None:
        """What the node added to the row, what became of it, and what was said about it."""
        from engine.commands._look import brief_id, fields, heading

        again = ", as above" if (step.node, step.id) in self.rows else ""
        fate = "" if step.status == "ok" else f", {step.status}"
        heading(self.screen, f"{step.node} {brief_id(step.id)} ({step.kind}{fate}{again})")
        if again:
            return
        self.rows.add((step.node, step.id))
        told = {"reason": step.reason} if step.reason else {}
        if step.columns or told:
            fields(self.screen, step.columns | told, self.limit)
        for call in step.calls:
            self.call(call)
        for number, way in enumerate(step.collected, 1):
            place = f"{number} of the {len(step.collected)}" if len(step.collected) > 1 else "the one"
            self.screen.print(f"\n{place} in {step.node} {brief_id(step.id)}:", style="bold")
            for each in way:
                self.step(each)

    def call(self, call: CallStep) -> None:
        """A prompt as sent, and the reply."""
        from engine.commands._look import message, reply, took

        votes = f", vote {call.sample + 1}" if call.sample else ""
        role = "call" if call.role == "ask" else call.role
        again = f", retry {call.attempt}" if call.attempt else ""
        if call in self.calls:
            self.screen.print(f"\n{role}{again}{votes}: the same one as above", style="dim")
            return
        self.calls.append(call)
        self.screen.print(f"\n{role}{again}{votes}: {took(asdict(call))}", style="dim")
        for sent in call.messages:
            content = sent.get("content")
            text = content if isinstance(content, str) else str(content)
            message(self.screen, str(sent.get("role")), text, self.limit)
        reply(self.screen, asdict(call), self.limit)
