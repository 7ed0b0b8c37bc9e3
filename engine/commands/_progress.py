"""How a run looks while it goes on: a live table on a terminal, sparse lines elsewhere.

Reads `NodeProgress` and nothing else. Whatever becomes of the terminal, the run goes on: no
error here leaves this module.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from engine.commands._render import NOTHING, duration, fit, money, number, plural, short
from engine.runtime.events import Changed, Event, NodeProgress, Note, Started

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from engine.runtime.events import Listener

ENDED = frozenset({"done", "unchanged", "passed", "failed", "stopped"})
GIVING_WAY = ("rate", "memo", "rej.", "tokens", "left")  # columns, on a narrow terminal, in this order
LEAST_OF_A_NAME = 16  # places
LINE_EVERY = 2.0  # seconds between two lines about one node
MARKS = {
    "waiting": " ",
    "running": ">",
    "done": "+",
    "unchanged": "=",
    "passed": "-",
    "failed": "!",
    "stopped": "x",
}


class Pace:
    """Rows a second of each node over the last seconds, and the time that the rest will take."""

    def __init__(self, window: float = 15.0, clock: Callable[[], float] = time.monotonic):
        self.window, self.clock = window, clock
        self.seen: dict[str, deque[tuple[float, int]]] = {}

    def rate(self, node: NodeProgress) -> float | None:
        """Rows a second: of late while it runs, over all when it has ended; None if not known."""
        if node.started is None:
            return None
        if node.ended is not None:
            spent = node.ended - node.started
            return node.rows_in / spent if spent > 0 and node.rows_in else None
        now = self.clock()
        marks = self.seen.setdefault(node.name, deque([(node.started, 0)]))
        if marks[-1] != (now, node.rows_in):
            marks.append((now, node.rows_in))
        while len(marks) > 2 and now - marks[1][0] > self.window:
            marks.popleft()
        then, rows = marks[0]
        return (node.rows_in - rows) / (now - then) if now > then and node.rows_in > rows else None

    def left(self, node: NodeProgress) -> float | None:
        """Seconds until the node has decided all rows that it knows of."""
        rate = self.rate(node)
        if node.state != "running" or node.total is None or not rate:
            return None
        return max(node.total - node.rows_in, 0) / rate


def done_of(node: NodeProgress) -> str:
    """`240/371`; the total is `?` while the input still grows."""
    if node.state in ("waiting", "unchanged", "passed"):
        return NOTHING
    total = number(node.total) if node.total is not None else "?"
    return number(node.rows_in) if node.state == "done" else f"{number(node.rows_in)}/{total}"


def rate_of(node: NodeProgress, pace: Pace) -> str:
    """`55/s`, or `-`."""
    rate = pace.rate(node)
    if rate is None:
        return NOTHING
    return f"{short(rate) if rate >= 10 else f'{rate:.2g}'}/s"


def tokens_of(nodes: Iterable[NodeProgress]) -> str:
    """All that was sent and written in this run: `1.2 M`, or `-`."""
    tokens = sum(node.tokens_in + node.tokens_out for node in nodes)
    return short(tokens) if tokens else NOTHING


def line(node: NodeProgress, pace: Pace) -> str:
    """One node on one line, for logs."""
    parts = [f"{done_of(node)} done" if node.state == "running" else node.state]
    parts.append(plural(node.rows, "row"))
    counts = ((node.rejected, "rejected"), (node.failed, "failed"), (node.cached, "from the memo"))
    parts += [f"{number(count)} {word}" for count, word in counts if count]
    if node.calls:
        parts.append(plural(node.calls, "call"))
        if (tokens := tokens_of([node])) != NOTHING:
            parts.append(f"{tokens} tokens")
        parts.append(money(node.cost))
    if node.state == "running":
        if (rate := rate_of(node, pace)) != NOTHING:
            parts.append(rate)
        if (left := pace.left(node)) is not None:
            parts.append(f"{duration(left)} left")
    elif node.started is not None and node.ended is not None:
        parts.append(duration(node.ended - node.started))
    if node.reason:
        parts.append(node.reason)
    return f"{MARKS[node.state]} {node.name}: {', '.join(parts)}"


def totals(progress: Mapping[str, NodeProgress]) -> str:
    """What the whole run has come to so far."""
    nodes = progress.values()
    parts = [f"{sum(node.state in ENDED for node in nodes)} of {len(progress)} nodes"]
    if flying := sum(node.in_flight for node in nodes):
        parts.append(f"{number(flying)} in flight")
    parts.append(plural(sum(node.calls for node in nodes), "call"))
    if cached := sum(node.cached for node in nodes):
        parts.append(f"{number(cached)} from the memo")
    if (tokens := tokens_of(nodes)) != NOTHING:
        parts.append(f"{tokens} tokens")
    parts.append(money(sum(node.cost for node in nodes)))
    return ", ".join(parts)


def live_table(progress: Mapping[str, NodeProgress], pace: Pace, height: int, width: int) -> RenderableType:
    """A line for each node that matters now, as many as fit; the rest are counted below.

    Where the columns take more than `width` places, those that say least are left out.
    """
    from rich.table import Table

    shown, folded = choose(list(progress.values()), max(height - 5, 3))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", caption_justify="left")
    columns = {
        "done": [done_of(node) for node in shown],
        "rows": [number(node.rows) if node.state != "waiting" else NOTHING for node in shown],
        "rej.": [number(node.rejected or None) for node in shown],
        "fail": [number(node.failed or None) for node in shown],
        "calls": [number(node.calls or None) for node in shown],
        "memo": [number(node.cached or None) for node in shown],
        "rate": [rate_of(node, pace) for node in shown],
        "tokens": [tokens_of([node]) for node in shown],
        "cost": [money(node.cost) if node.calls else NOTHING for node in shown],
        "left": [duration(pace.left(node)) for node in shown],
    }
    wide = {head: 2 + max(map(len, (head, *cells))) for head, cells in columns.items()}
    for head in GIVING_WAY:
        if sum(wide.values()) + LEAST_OF_A_NAME > width:
            del columns[head], wide[head]
    room = max(width - sum(wide.values()), LEAST_OF_A_NAME) - 2
    table.add_column("  node", no_wrap=True)
    for head in columns:
        table.add_column(head, justify="right", no_wrap=True)
    styles = {
        "failed": "red",
        "stopped": "red",
        "running": "bold",
        "waiting": "dim",
        "unchanged": "dim",
        "passed": "dim",
    }
    for place, node in enumerate(shown):
        cells = (cells[place] for cells in columns.values())
        name = fit(f"{MARKS[node.state]} {node.name}", room)
        table.add_row(name, *cells, style=styles.get(node.state))
    table.caption = "  ".join([*folded, totals(progress)])
    return table


def choose(nodes: Sequence[NodeProgress], room: int) -> tuple[list[NodeProgress], list[str]]:
    """The nodes to show, in the graph's order, and what is said of the others.

    Those that run or failed come first, then what has ended last, then what waits.
    """
    if len(nodes) <= room:
        return list(nodes), []
    ranks = {"running": 0, "failed": 0, "stopped": 0, "done": 1, "waiting": 2, "unchanged": 3, "passed": 3}
    ranked = sorted(nodes, key=lambda node: (ranks[node.state], -(node.ended or 0.0)))
    kept = {node.name for node in ranked[:room]}
    folded = [node for node in nodes if node.name not in kept]
    said = [
        f"+ {number(count)} {state}"
        for state in MARKS
        if (count := sum(node.state == state for node in folded))
    ]
    return [node for node in nodes if node.name in kept], said


class Plain:
    """Lines for a log: one when a node ends, and one every two seconds while it moves."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic):
        self.write, self.clock, self.pace = write, clock, Pace(clock=clock)
        self.progress: Mapping[str, NodeProgress] = {}
        self.told: dict[str, tuple[float, int, int]] = {}
        self.unchanged: list[str] = []
        self.lock = threading.Lock()

    def start(self, progress: Mapping[str, NodeProgress]) -> None:
        """Follow these nodes."""
        self.progress = progress

    def say(self, text: str) -> None:
        """A line that is about no node."""
        with self.lock:
            self.write(text)

    def changed(self, node: NodeProgress) -> None:
        """A node has begun or ended; only its end is told."""
        with self.lock:
            if node.state == "unchanged":
                self.unchanged.append(node.name)
            elif node.state == "passed":
                pass  # the summary counts them
            elif node.state in ENDED:
                self.write(line(node, self.pace))

    def tick(self) -> None:
        """Tell of each node that has moved since its last line, if that is old enough."""
        now = self.clock()
        with self.lock:
            for node in self.progress.values():
                if node.state != "running":
                    continue
                self.pace.rate(node)
                when, rows, calls = self.told.get(node.name, (node.started or now, 0, 0))
                if now - when >= LINE_EVERY and (node.rows_in, node.calls) != (rows, calls):
                    self.told[node.name] = (now, node.rows_in, node.calls)
                    self.write(line(node, self.pace))

    def close(self) -> None:
        """The nodes that had nothing to do share one line."""
        if self.unchanged:
            names = ", ".join(self.unchanged[:6]) + (", …" if len(self.unchanged) > 6 else "")
            self.say(f"= {plural(len(self.unchanged), 'node')} unchanged: {names}")


class _Lively:
    """The same, as a table that is drawn again in place."""

    def __init__(self, console: Console):
        from rich.live import Live

        self.console, self.pace = console, Pace()
        self.progress: Mapping[str, NodeProgress] = {}
        self.live: Live = Live(
            get_renderable=lambda: live_table(self.progress, self.pace, console.height, console.width),
            console=console,
            refresh_per_second=5,
            transient=True,
            redirect_stdout=False,
        )

    def start(self, progress: Mapping[str, NodeProgress]) -> None:
        self.progress = progress
        self.live.start(refresh=True)

    def say(self, text: str) -> None:
        self.console.print(text)

    def changed(self, node: NodeProgress) -> None:
        if node.state in ("failed", "stopped"):
            self.console.print(line(node, self.pace), style="red")

    def tick(self) -> None:
        pass

    def close(self) -> None:
        self.live.stop()


@contextlib.contextmanager
def follow(console: Console | None, *, quiet: bool, head: Sequence[str]) -> Iterator[Listener]:
    """A listener for a run, drawing on the console until the block ends; without one, lines on stderr."""
    if quiet:
        yield lambda event: None
        return
    view = (
        _Lively(console)
        if console is not None and console.is_terminal and not console.is_dumb_terminal
        else Plain(lambda text: print(text, file=console.file if console else sys.stderr, flush=True))
    )
    ended = threading.Event()

    def listen(event: Event) -> None:
        with contextlib.suppress(Exception):
            if isinstance(event, Started):
                for text in event.notes:
                    view.say(f"  {text}")
                view.start(event.progress)
            elif isinstance(event, Changed):
                view.changed(event.node)
            elif isinstance(event, Note):
                view.say(f"  {event.node}: {event.text}" if event.node else f"  {event.text}")

    def beat() -> None:
        while not ended.wait(0.5):
            with contextlib.suppress(Exception):
                view.tick()

    ticker = threading.Thread(target=beat, name="progress", daemon=True)
    with contextlib.suppress(Exception):
        for text in head:
            view.say(text)
        ticker.start()
    try:
        yield listen
    finally:
        ended.set()
        with contextlib.suppress(Exception):
            view.close()
