"""What a run came to: the tables, the failures by reason, the files, and where to look next."""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.commands._errors import complain
from engine.commands._render import (
    NOTHING,
    beside,
    cell,
    duration,
    fit,
    harmless,
    money,
    number,
    plural,
    short,
    table,
    terminal_width,
)

if TYPE_CHECKING:
    from engine.language.program import Program
    from engine.runtime import Options
    from engine.runtime.events import NodeProgress, Summary

VERDICTS = {
    "done": "done",
    "failed": "failed",
    "expectation": "stopped by an expectation",
    "interrupted": "interrupted; run it again to go on",
}
REASONS_SHOWN = 4


def lines(summary: Summary, program: Program, options: Options) -> list[str]:
    """The whole summary, without the errors that ended the run."""
    out = [_headline(summary)]
    nodes = [node for node in summary.progress.values() if node.state not in ("waiting", "passed")]
    out += table(
        ("  node", "rows", "rejected", "failed", "calls", "memo", "tokens", "cost"),
        [_cells(node) for node in nodes],
        right=range(1, 8),
    )
    passed = sum(node.state == "passed" for node in summary.progress.values())
    if passed:
        out.append(f"  {plural(passed, 'node')} of rounds that were not needed")
    if waiting := len(summary.progress) - len(nodes) - passed:
        out.append(f"  {plural(waiting, 'node')} not begun")
    out += _failures(summary, options)
    if summary.notes:
        # Also told as they came; here they stand beside the result, each once.
        texts = dict.fromkeys(
            f"{note.node}: {note.text}" if note.node else note.text for note in summary.notes
        )
        out += ["note", *(f"  {text}" for text in texts)]
    if summary.files:
        out.append("wrote")
        paths = [(beside(path, options.root), plural(rows, "row")) for path, rows in summary.files]
        out += table(("  file", "rows"), [(f"  {path}", rows) for path, rows in paths])[1:]
    return out + _next_steps(summary, program, options)


def tell_errors(summary: Summary, *, crashes: bool = False) -> None:
    """Why the run did not end well, on stderr; with the tracebacks of faults, where asked."""
    if crashes:
        print(*summary.crashes, sep="\n", end="", file=sys.stderr)
    for message, mend in summary.errors:
        complain(message, mend)
    if summary.status == "failed" and not summary.errors:
        _tell_failed_rows(summary)


def _tell_failed_rows(summary: Summary) -> None:
    """The commonest reason of the node with the most failed rows, whole: stdout may go to a file."""
    worst = max(summary.progress.values(), key=lambda node: node.failed, default=None)
    if worst is None or not worst.failed or summary.store is None:
        return
    reasons = group(_reasons(worst.name, summary.graph, summary.store))
    why = f": {harmless(reasons[0][0])}" if reasons else ""
    complain(
        f"{plural(worst.failed, 'row')} of `{worst.name}` failed{why}",
        "mend that and run the same command again: what is done is not done again",
    )


def group(reasons: Iterable[tuple[str | None, int]]) -> list[tuple[str, int]]:
    """Reasons that differ only in numbers and quotations counted together, the commonest first.

    Each group is told in the words of its first member.
    """
    counts: Counter[str] = Counter()
    words: dict[str, str] = {}
    for reason, count in reasons:
        text = reason or "no reason was kept"
        pattern = re.sub(r"`[^`]*`|\"[^\"]*\"|'[^']*'|[0-9a-f]{8}[0-9a-f-]*|\d+", "…", text)
        words.setdefault(pattern, text)
        counts[pattern] += count
    return [(words[pattern], count) for pattern, count in counts.most_common()]


def name_in_sql(node: str) -> str:
    """`checked`; `single_turn.built` as `"single_turn"."built"`."""
    parts = node.split(".")
    if len(parts) == 1 and re.fullmatch(r"[a-z_][a-z0-9_]*", node):
        return node
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _headline(summary: Summary) -> str:
    parts = [plural(summary.calls, "call")]
    if cached := sum(node.cached for node in summary.progress.values()):
        parts.append(f"{number(cached)} from the memo")
    if summary.calls:
        parts.append(money(summary.cost))
    verdict = VERDICTS[summary.status]
    return f"{summary.graph}, run {summary.run}: {verdict} ({duration(summary.seconds)}, {', '.join(parts)})"


def _cells(node: NodeProgress) -> tuple[str, ...]:
    marks = {"unchanged": "=", "failed": "!", "stopped": "x", "running": ">"}
    tokens = node.tokens_in + node.tokens_out
    return (
        f"{marks.get(node.state, ' ')} {node.name}",
        number(node.rows),
        number(node.rejected or None),
        number(node.failed or None),
        number(node.calls or None),
        number(node.cached or None),
        short(tokens) if tokens else NOTHING,
        money(node.cost) if node.calls else NOTHING,
    )


def _failures(summary: Summary, options: Options) -> list[str]:
    """For each node with failed rows, why they failed and how to look at them."""
    failing = [node for node in summary.progress.values() if node.failed]
    if not failing:
        return []
    places = terminal_width() or 100
    out = ["failed"]
    for node in failing:
        out.append(f"  {node.name}: {plural(node.failed, 'row')} (atk show {node.name} --failed)")
        found = group(_reasons(node.name, summary.graph, options.store))
        for text, count in found[:REASONS_SHOWN]:
            first, *rest = _folded(cell(text), max(places - 11, 20))
            out += [f"  {number(count):>6} × {first}", *(f"           {line}" for line in rest)]
        if len(found) > REASONS_SHOWN:
            out.append(f"         and {plural(len(found) - REASONS_SHOWN, 'other reason')}")
    return out


def _folded(text: str, places: int) -> list[str]:
    """A reason on as many lines as it needs, three at most: its end often says what to do."""
    folded = textwrap.wrap(text, places) or [""]
    return [*folded[:2], fit(" ".join(folded[2:]), places)] if len(folded) > 3 else folded


def _reasons(node: str, graph: str, store: Path) -> Sequence[tuple[str | None, int]]:
    """Reasons of failed rows with their counts; none where the store cannot be read just now."""
    from engine.store.reader import open_reader

    with contextlib.suppress(Exception), open_reader(store, graph) as reader:
        query = f"SELECT reason, count(*) FROM failed.{quoted(node)} GROUP BY ALL ORDER BY 2 DESC, 1"
        return [(row[0], int(row[1])) for row in reader.sql(query).rows]
    return []


def quoted(node: str) -> str:
    """The one-part name under which `rejected` and `failed` hold a node's rows."""
    return '"' + node.replace('"', '""') + '"'


def _next_steps(summary: Summary, program: Program, options: Options) -> list[str]:
    """Two or three commands that are worth typing now, the deepest table first."""
    nodes = summary.progress
    store = (
        ""
        if options.store == options.root / ".atk/store.duckdb"
        else f" --store {shlex.quote(str(beside(options.store, options.root)))}"
    )
    filled = [name for name, node in nodes.items() if node.rows and "." not in name]
    rejecting = max(nodes.values(), key=lambda node: node.rejected, default=None)
    steps = []
    if filled:
        steps.append(f'atk sql "FROM {name_in_sql(filled[-1])} LIMIT 5"{store}')
    if rejecting is not None and rejecting.rejected:
        steps.append(f"atk show {rejecting.name} --rejected{store}")
    prompts = [name for name in filled if program.nodes[name].kind == "prompt"] if filled else []
    if prompts:
        steps.append(f"atk show {prompts[-1]} --calls{store}")
    elif nodes:
        steps.append(f'atk sql "FROM runs"{store}')
    return ["look inside", *(f"  {step}" for step in steps)] if steps else []
