"""What stands between a command line and a run: a store that another process holds, a price to agree to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from engine.commands._errors import complain, stop

if TYPE_CHECKING:
    from engine.language.program import ModelSpec, Program
    from engine.runtime import Options

Result = TypeVar("Result")

Wait = Annotated[
    bool, typer.Option("--wait", help="Where another process has the store, wait until it is free.")
]
AskAbove = Annotated[
    float | None,
    typer.Option(
        "--ask-above",
        metavar="USD",
        min=0,
        envvar="ATK_ASK_ABOVE",
        help="Ask before it may cost more than this; wins over the graph's `param ask_above`.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Agree to the price beforehand.")]
EVERY = 0.5  # seconds between two looks at a store that is held


def when_free(work: Callable[[], Result], wait: bool) -> Result:
    """Do what needs the store; with `wait`, once whoever holds it has ended. Raises `StoreBusy`."""
    from engine.store.errors import StoreBusy

    told = None
    while True:
        try:
            return work()
        except StoreBusy as busy:
            if not wait:
                busy.help = f"{busy.help}; --wait waits for it" if busy.help else "--wait waits for it"
                raise
            if told != busy.message:
                told = busy.message
                print(f"waiting: {busy.message}", file=sys.stderr, flush=True)
        time.sleep(EVERY)


def agree(program: Program, options: Options, above: float | None, yes: bool) -> None:
    """Ask where the run may cost more than `above`; ends the command where nobody agrees.

    Where `above` is None the graph's own param of that name holds, if it has one.
    """
    from engine.language.program import ASK_ABOVE

    said_by, own = "you wish", program.params.get(ASK_ABOVE)
    if above is None and own is not None and own.value is not None:
        above, said_by = float(own.value), "you wish" if own.given else "the graph wishes you"
    if above is None or yes:
        return
    from engine import runtime
    from engine.commands._render import money
    from engine.commands.plan import total

    made = runtime.plan(program, options)
    asked = {node.model.partition(" ")[0] for node in made.nodes if node.to_call and node.model}
    known = program.models
    unpriced = sorted(name for name in asked & known.keys() if _price_is_unknown(known[name]))
    if made.cost <= above and not unpriced:
        return
    if unpriced and made.cost <= above:
        price = f"{total(made)}, without what {' and '.join(unpriced)} costs, for which no price is set"
    else:
        price = total(made)
    said = f"{program.name} would take {price}; {said_by} to be asked above {money(above)}"
    if not sys.stdin.isatty():
        stop(said, "--yes agrees to it; `atk plan` says node by node what it costs", exit_code=1)
    complain(said, "`atk plan` says node by node what it costs", "price")
    if not typer.confirm("go on?", default=False, err=True):
        stop("nothing was asked", None, exit_code=1)


def _price_is_unknown(model: ModelSpec) -> bool:
    """Whether somebody elsewhere answers who may want money for it, and the graph does not say how much."""
    from urllib.parse import urlsplit

    if model.price or model.provider in ("offline", "transformers"):
        return False
    return urlsplit(model.base_url or "").hostname not in ("localhost", "127.0.0.1", "::1")
