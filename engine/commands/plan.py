"""`atk plan`: what a run would do now, and what it would cost; nothing is called but for a `--probe`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from engine.commands._before import Wait, when_free
from engine.commands._errors import complain
from engine.commands._options import (
    STORE,
    Debug,
    GraphFile,
    Json,
    Limits,
    Models,
    OutFolder,
    Profile,
    Select,
    StorePath,
    Values,
)

if TYPE_CHECKING:
    from engine.runtime.events import NodePlan, Plan


Against = Annotated[
    str | None,
    typer.Option("--against", metavar="RUN", help="Compare with how a run left it: its number, last or -1."),
]


ProbeRows = Annotated[
    int | None,
    typer.Option("--probe", metavar="N", min=1, help="Pay for N rows of each first prompt, to estimate by."),
]


def plan(
    graph: GraphFile,
    values: Values = None,
    models: Models = None,
    profile: Profile = None,
    select: Select = None,
    limit: Limits = None,
    store: StorePath = STORE,
    out: OutFolder = None,
    against: Against = None,
    probe: ProbeRows = None,
    wait: Wait = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Say what exec would do and cost, node by node, and why."""
    from engine import runtime
    from engine.commands._options import command_line, load_sound, options, with_limits
    from engine.commands._render import money, plural, print_json, terminal_width
    from engine.runtime import probing

    program = with_limits(load_sound(graph, values, models, profile), limit)
    typed = command_line("plan", graph, values, models, profile, select, limit)
    asked = options(store, out, typed, select=tuple(select or ()))
    probed = None
    if probe is not None:
        probed = when_free(lambda: probing.probe(program, asked, probe), wait)
        for message in probed.errors:
            complain(message, None, "probe")
        print(f"probe: {plural(probed.calls, 'call')}, {money(probed.cost)}", file=sys.stderr)
    made = when_free(lambda: runtime.plan(program, asked, against, probed), wait)
    if json:
        totals = {"calls": made.calls, "cost": made.cost, "estimated": made.estimated}
        print_json(
            {
                "graph": made.graph,
                "left": made.left,
                **totals,
                "nodes": [asdict(node) for node in made.nodes],
                "notes": made.notes,
            }
        )
        return
    for line in lines(made, terminal_width()):
        print(line)


def lines(made: Plan, limit: int | None = None) -> list[str]:
    """The plan as people read it: `=` unchanged, `~` edited, `>` follows, `+` new, `-` gone."""
    from engine.commands._render import plural, table

    shown = [node for node in made.nodes if node.mark != "=" or node.to_call]
    unchanged = len(made.nodes) - len(shown)
    out = []
    if shown:
        heads = ("  node", "rows", "cached", "to call", "tokens", "cost", "why")
        out = table(heads, [_cells(node) for node in shown], right=range(1, 6), limit=limit)
    if unchanged:
        out.append(f"= {plural(unchanged, 'node')} unchanged")
    if made.left:
        out.append(f"  {plural(made.left, 'node')} not selected")
    out.append("  " + total(made))
    return out + [f"  {note}" for note in made.notes]


def _cells(node: NodePlan) -> tuple[str, ...]:
    from engine.commands._render import NOTHING, money, number, short

    about = "~ " if node.estimated else ""
    asks = node.to_call is not None
    tokens = sum(node.tokens) if node.tokens and asks else None
    why = node.why if not node.model or not node.to_call else f"{node.why} [{node.model}]"
    return (
        f"{node.mark} {node.name}",
        NOTHING if node.rows is None else ("~ " if node.rows_estimated else "") + number(node.rows),
        number(node.cached) if asks else NOTHING,
        (about if node.to_call else "") + number(node.to_call) if asks else NOTHING,
        short(tokens) if tokens else NOTHING,
        money(node.cost) if asks and node.to_call else NOTHING,
        why,
    )


def total(made: Plan) -> str:
    """Calls, tokens and price of a plan, in words."""
    from engine.commands._render import money, number, short

    if not made.calls:
        return "no call to make"
    about, roughly = ("~ ", "about ") if made.estimated else ("", "")
    tokens = sum(sum(node.tokens) for node in made.nodes if node.tokens and node.to_call)
    calls = f"{number(made.calls)} call{'s' * (made.calls != 1)}"
    return f"{about}{calls}, {about}{short(tokens)} tokens, {roughly}{money(made.cost)}"
