"""`atk show`: a few rows of a node, whole and readable; or its rejected or failed rows, or its calls."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.commands._errors import WRONG, CommandError, stop
from engine.commands._options import STORE, Debug, Json, NodeName, StoredGraph, StorePath

if TYPE_CHECKING:
    from rich.console import Console

    from engine.store.reader import Reader
    from engine.store.records import TableSpec

Rejected = Annotated[bool, typer.Option("--rejected", help="The rows that a gate set aside, and why.")]
Failed = Annotated[bool, typer.Option("--failed", help="The rows that came to nothing, and why.")]
Calls = Annotated[bool, typer.Option("--calls", help="The last calls: prompt as sent, reply, tokens, cost.")]
Count = Annotated[int, typer.Option("-n", "--count", metavar="N", min=1, help="How many rows or calls.")]
Full = Annotated[bool, typer.Option("--full", help="Cut no text.")]
All = Annotated[bool, typer.Option("--all", help="All columns, not only those that the node adds.")]


def show(
    node: NodeName,
    rejected: Rejected = False,
    failed: Failed = False,
    calls: Calls = False,
    count: Count = 5,
    full: Full = False,
    all_columns: All = False,
    store: StorePath = STORE,
    graph: StoredGraph = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show rows of a node, its rejected or failed rows, or its calls."""
    from engine.commands._look import TEXT_LIMIT
    from engine.commands._options import reader
    from engine.commands._render import console, print_json

    if rejected + failed + calls > 1:
        stop("--rejected, --failed and --calls exclude each other", "choose one")
    with contextlib.closing(reader(store, graph)) as opened, opened.held():
        spec = table_of(opened, node)
        what = "calls" if calls else "rejected" if rejected else "failed" if failed else "rows"
        found, total = fetch(opened, spec, what, count)
    if json:
        print_json(found)
        return
    limit = None if full else TEXT_LIMIT
    screen = console()
    for item in found:
        if calls:
            _call(screen, item, limit)
        else:
            _row(screen, item, spec, limit, all_columns)
    print(_closing(spec.node, what, len(found), total))


def table_of(opened: Reader, node: str) -> TableSpec:
    """What the store knows of a node; a name that it does not know ends the command."""
    from engine.language.diagnostics import closest

    known = opened.description
    name = known.aliases.get(node, node)
    if name in known.tables:
        return known.tables[name]
    near = closest(node, [*known.tables, *known.aliases])
    raise CommandError(
        f"graph {known.graph} has no node {node}",
        f"did you mean {near}?" if near else f"its nodes: {', '.join(known.tables)}",
        WRONG,
    )


def fetch(opened: Reader, spec: TableSpec, what: str, count: int) -> tuple[list[dict[str, Any]], int]:
    """The rows (or calls) to show, and how many there are in all."""
    from engine.commands._summary import name_in_sql, quoted
    from engine.store.records import id_column
    from engine.store.views import standing

    if what == "calls":
        counted = f"FROM calls WHERE graph = {_text(spec.graph)} AND node = {_text(spec.node)}"
        query = f"SELECT * {counted} ORDER BY called_at DESC, attempt DESC LIMIT {count}"
    else:
        # Chosen in the node's own table: the view would join all rows to show a few.
        counted = standing(opened.description, spec.node, "ok" if what == "rows" else what)
        view = name_in_sql(spec.node) if what == "rows" else f"{what}.{quoted(spec.node)}"
        own_id = quoted(id_column(spec.node))
        query = f"SELECT * FROM {view} WHERE {own_id} IN (SELECT _id {counted} LIMIT {count})"
    total = opened.sql(f"SELECT count(*) {counted}").rows[0][0]
    return opened.sql(query).dicts(), int(total)


def _row(screen: Console, row: dict[str, Any], spec: TableSpec, limit: int | None, all_columns: bool) -> None:
    """One row: its id and where it comes from, then what the node added to it."""
    from engine.commands._look import brief_id, fields, heading

    ids = {name: row[name] for name in row if name.endswith("_id") and name not in spec.visible}
    own_id = spec.node.replace(".", "_") + "_id"
    parents = [
        f"{name.removesuffix('_id')} {brief_id(value)}"
        for name, value in ids.items()
        if name != own_id and value is not None
    ]
    title = f"{spec.node} {brief_id(ids[own_id])}" if ids.get(own_id) else spec.node
    heading(screen, title + (f" from {', '.join(parents[:2])}" if parents else ""))
    reason = {"reason": row["reason"]} if "reason" in row else {}
    shown = reason | {name: value for name, value in row.items() if name not in ids}
    if spec.own and not all_columns:
        kept = [name for name in shown if name in spec.own or name == "reason"]
        shown = {name: shown[name] for name in kept} or shown
    fields(screen, shown, limit)


def _call(screen: Console, call: dict[str, Any], limit: int | None) -> None:
    """One call: what was asked, what came back, what it took."""
    from engine.commands._look import brief_id, heading, reply, request, took

    role = "" if call["role"] == "ask" else f", {call['role']}"
    role += f", retry {call['attempt']}" if call["attempt"] else ""
    heading(screen, f"{call['node']} {brief_id(call['row'])}{role}, run {call['run']}")
    request(screen, call["request"], limit)
    reply(screen, call, limit)
    screen.print(took(call), style="dim")


def _closing(node: str, what: str, shown: int, total: int) -> str:
    from engine.commands._render import number, plural

    if not total:
        nothing = {
            "rows": "no rows",
            "calls": "no calls",
            "rejected": "no rejected rows",
            "failed": "no failed rows",
        }
        return f"{node} has {nothing[what]}"
    noun = {"rows": "row", "calls": "call", "rejected": "rejected row", "failed": "failed row"}[what]
    return f"{number(shown)} of {plural(total, noun)}"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
