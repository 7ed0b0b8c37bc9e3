"""`atk diff`: what changed between two runs: in which tables, because of what, and at what cost."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.commands._options import STORE, Debug, Json, StoredGraph, StorePath

if TYPE_CHECKING:
    from engine.store.changes import NodeChange, Paid, Parts, RowChange
    from engine.store.records import TableSpec

GONE, LEFT_OUT = NOT_THERE = ("gone from the graph", "left out by `when`")
"""Reasons of nodes that the later run does not have."""

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run: its number, last, or -1 for the last one.")]
Node = Annotated[
    str | None, typer.Argument(metavar="[NODE]", help="Show this node's rows, before and after.")
]
Count = Annotated[int, typer.Option("-n", "--count", metavar="N", min=1, help="How many rows.")]
Full = Annotated[bool, typer.Option("--full", help="Cut no text.")]


def diff(
    earlier: Run,
    later: Run,
    node: Node = None,
    count: Count = 10,
    full: Full = False,
    store: StorePath = STORE,
    graph: StoredGraph = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Tell what changed between two runs, why, and at what cost."""
    from engine.commands._options import reader
    from engine.commands._render import plural, print_json, table, terminal_width
    from engine.commands.show import table_of
    from engine.store import changes
    from engine.store.snapshots import named_run

    with contextlib.closing(reader(store, graph)) as opened, opened.held():
        known = opened.description
        runs = changes.runs_of(opened, known.graph)
        first, last = sorted(named_run(runs, name, known.graph) for name in (earlier, later))
        specs = [spec for spec in known.tables.values() if spec.passes is None]
        between, paid = changes.paid(opened, known.graph, first, last)
        found = changes.counts(opened, specs, first, last, paid)
        before, after = (changes.parts(opened, known.graph, run) for run in (first, last))
        contents = changes.contents(opened, before, after)
        why = causes(specs, found, before, after, contents)
        for name in gone(before, after, paid, why):
            own = paid.get(name, changes.Paid(name, 0, 0.0))
            found.append(changes.NodeChange(name, 0, 0, 0, 0, own.calls, own.cost))
            why[name] = LEFT_OUT if name in known.tables else GONE
        if node is not None:
            spec = table_of(opened, known.real(table_of(opened, node).node).node)
            above = [known.tables[name] for name in spec.ancestors if known.tables[name].passes is None]
            rows = changes.rows(opened, above, spec, first, last, None if json else count)
    if node is not None:
        if json:
            print_json([asdict(row) | {"why": _cause(row, why[spec.node])} for row in rows])
            return
        total = next(one for one in found if one.node == spec.node)
        for row in rows:
            print(*row_lines(row, why[spec.node], None if full else 480), sep="\n")
        moved = total.added + total.changed + total.removed
        print(f"{plural(len(rows), 'row')} of {moved} that differ between runs {first} and {last}")
        return
    if json:
        nodes = [asdict(one) | {"why": why[one.node]} for one in found]
        print_json({"graph": known.graph, "earlier": first, "later": last, "paid": between, "nodes": nodes})
        return
    shown = [
        one
        for one in found
        if one.added or one.changed or one.removed or one.calls or why[one.node] in NOT_THERE
    ]
    heads = ("  node", "added", "changed", "removed", "same", "calls", "cost", "why")
    if shown:
        cells = [_cells(one, why[one.node]) for one in shown]
        print(*table(heads, cells, right=range(1, 7), limit=terminal_width()), sep="\n")
    if quiet := len(found) - len(shown):
        print(f"= {plural(quiet, 'node')} the same in runs {first} and {last}")
    if between:
        print(total_line(between, found))


def gone(before: Parts, after: Parts, paid: Mapping[str, Paid], tables: Mapping[str, str]) -> list[str]:
    """Nodes that have no table any more: they were there, or were paid for in between."""
    left = before.keys() - after.keys() if after else set()
    return sorted((left | paid.keys()) - tables.keys())


def total_line(between: list[int], found: list[NodeChange]) -> str:
    """What was paid, and in which runs: all those after the earlier one, up to the later."""
    from engine.commands._render import money, number, plural

    calls, cost = sum(one.calls for one in found), sum(one.cost for one in found)
    runs = f"run {between[0]}" if len(between) == 1 else f"runs {between[0]} to {between[-1]}"
    if len(between) not in (1, between[-1] - between[0] + 1):
        runs = f"{plural(len(between), 'run')} from {between[0]} to {between[-1]}"
    told = f"{number(calls)} call{'s' * (calls != 1)}, {money(cost)}" if calls else "no call"
    return f"  {told} in {runs}"


def causes(
    specs: list[TableSpec], found: list[NodeChange], before: Parts, after: Parts, contents: Mapping[str, Any]
) -> dict[str, str]:
    """By node: what of its own part changed, or which input's change it follows; empty for no change."""
    from engine.runtime.reasons import reasons

    moved = {one.node for one in found if one.added or one.changed or one.removed}
    why: dict[str, str] = {}
    for spec in specs:
        name = spec.node
        said = reasons(before[name], after[name], contents) if name in before and name in after else []
        follows = [above for above in spec.inputs if above in moved]
        if name in after and name not in before:
            why[name] = "new"
        elif said:
            why[name] = "; ".join(said)
        elif name not in moved:
            why[name] = ""
        elif follows:
            why[name] = f"follows {', '.join(follows)}"
        else:
            why[name] = "what it reads changed" if not spec.inputs else "was not finished before"
    return why


def _cells(one: NodeChange, why: str) -> tuple[str, ...]:
    from engine.commands._render import NOTHING, money, number

    counts = (one.added, one.changed, one.removed, one.same, one.calls)
    cells = [number(value or None) for value in counts]
    return (f"  {one.node}", *cells, money(one.cost) if one.calls else NOTHING, why)


def _cause(row: RowChange, why: str) -> str:
    """The node's own part; else the row above that changed."""
    if row.above is not None and (why.startswith("follows ") or not why):
        return f"its row in {row.above} changed"
    return why


def row_lines(row: RowChange, why: str, limit: int | None) -> list[str]:
    """A row for reading: its id, what became of it and why, and the columns that differ."""
    from engine.commands._look import brief_id
    from engine.commands._render import harmless, shorten

    sign = {"added": "+", "changed": "~", "removed": "-"}[row.what]
    out = [f"{sign} {brief_id(row.id)} {row.what}: {_cause(row, why)}"]
    for name, told in _differences(row.before, row.after).items():
        out.append(f"    {name}: {harmless(told if limit is None else shorten(told, limit))}")
    return out


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    from engine.commands._render import cell

    if before and after:
        return {name: words(cell(before[name]), cell(after[name])) for name in before}
    return {name: cell(value) for name, value in (before or after).items() if value is not None}


ALIKE = 0.4
"""Texts less alike than this are shown one after the other: word for word they would be a riddle."""


def words(old: str, new: str) -> str:
    """Two texts as one: `[-gone-]` and `{+come+}` among the words that stayed."""
    a, b = old.split(), new.split()
    matched = SequenceMatcher(None, a, b, autojunk=False)
    if matched.ratio() < ALIKE:
        return " ".join(_marked([old] if old else [], [new] if new else []))
    out: list[str] = []
    for tag, start, end, first, last in matched.get_opcodes():
        out += a[start:end] if tag == "equal" else _marked(a[start:end], b[first:last])
    return " ".join(out)


def _marked(gone: list[str], come: list[str]) -> list[str]:
    return [f"[-{' '.join(gone)}-]"] * bool(gone) + [f"{{+{' '.join(come)}+}}"] * bool(come)
