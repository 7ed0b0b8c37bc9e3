"""The result of an exam as one HTML file: plots, table, samples, costs, models.

It fetches nothing and has no script. All text is escaped: what a question or a reply says stays what
somebody said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from engine.commands._render import duration, money, number, plural, shorten
from engine.commands.result.figures import PARTS, VERDICTS, Mark
from engine.commands.result.gather import Result
from engine.commands.result.plot import plot
from engine.commands.result.text import cells, heads, notes

SAMPLES = 4  # of each verdict, for each subject
LONG = 600  # characters of a reply that are shown
TOLD = {"correct": "correct", "incorrect": "incorrect", "not_attempted": "not attempted"}
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)


def page(result: Result, graph_style: Path) -> str:
    """The whole file; `graph_style` is the style that it has in common with the pages of graphs."""
    title = escape(f"{result.graph}: {result.table}")
    style = graph_style.read_text("utf-8") + Path(__file__).with_name("page.css").read_text("utf-8")
    asked = len({mark.key for mark in result.marks})
    about = f"{plural(asked, 'question')} · {plural(len(result.subjects), 'subject')} · {_spent(result)}"
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            f"<title>{title} · atk</title>",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            _POLICY,
            f"<style>\n{style}</style></head>",
            f"<body>\n<header><div><h1>{title}</h1><p class=run>{escape(about)}</p></div></header>\n<main>",
            *_plots(result),
            "<h2 id=table>In figures</h2>",
            _table(result),
            "<h2 id=samples>Samples</h2><p>The same ones each time, chosen by a hash of the question.</p>",
            *(_samples(result, subject) for subject in result.subjects),
            *_models(result),
            *_costs(result),
            "</main></body></html>\n",
        ]
    )


def _spent(result: Result) -> str:
    calls = sum(one["calls"] for one in result.costs)
    return f"{plural(calls, 'call')}, {money(sum(one['cost'] for one in result.costs))}"


def _plots(result: Result) -> Iterable[str]:
    for part, told in PARTS.items():
        lines = [line for line in result.lines if line.part == part]
        if lines:
            less = ": less is better" if part == "invented" else ""
            yield f"<h2>{escape(part.capitalize())}</h2><p>{escape(told)}{less}</p>"
            yield plot(lines, result.base, f"{part}: {told}")
    yield "".join(f"<p>{escape(note)}</p>" for note in notes(result))


def _table(result: Result) -> str:
    rows: list[str] = []
    before = None
    for line in result.lines:
        new = " class=new" if before not in (None, line.part) else ""
        rows.append(f"<tr{new}>{_cells('td', cells(line), 2)}</tr>")
        before = line.part
    return _whole(heads(result.base), rows, 2)


def _whole(names: Sequence[str], rows: Sequence[str], words: int) -> str:
    head = f"<thead><tr>{_cells('th', names, words)}</tr></thead>"
    return f"<div class=wide><table>{head}<tbody>{''.join(rows)}</tbody></table></div>"


def _cells(tag: str, values: Sequence[str], words: int) -> str:
    """Cells of a row: the first are words, the others numbers."""
    return "".join(
        f"<{tag}{' class=number' if place >= words else ''}>{escape(value)}</{tag}>"
        for place, value in enumerate(values)
    )


def _samples(result: Result, subject: str) -> str:
    own = [mark for mark in result.marks if mark.subject == subject]
    chosen = [mark for verdict in VERDICTS for mark in _spread(own, verdict)]
    inner = "".join(map(_sample, chosen))
    counted = ", ".join(f"{sum(mark.verdict == one for mark in own)} {told}" for one, told in TOLD.items())
    is_open = " open" if subject == result.subjects[-1] else ""
    return f"<details{is_open}><summary>{escape(subject)}: {counted}</summary>{inner}</details>"


def _spread(marks: Sequence[Mark], verdict: str) -> list[Mark]:
    """A few with the verdict, invented things among them where there are any."""

    def order(mark: Mark) -> bytes:
        return hashlib.sha256(mark.question.encode("utf-8", "surrogatepass")).digest()

    found = sorted((mark for mark in marks if mark.verdict == verdict), key=order)
    invented = [mark for mark in found if mark.invented][: SAMPLES // 2]
    return [*[mark for mark in found if not mark.invented][: SAMPLES - len(invented)], *invented]


def _sample(mark: Mark) -> str:
    kind = "invented" if mark.invented else {True: "asked", False: "unasked", None: "fact"}[mark.asked]
    pairs = [
        ("expected", mark.answer),
        ("said", mark.reply if mark.reply is None or mark.reply.strip() else "(nothing)"),
        ("why", mark.why),
    ]
    shown = "".join(
        f"<dt>{name}</dt><dd>{escape(shorten(value, LONG))}</dd>"
        for name, value in pairs
        if value is not None
    )
    return (
        f'<div class=sample><p>{escape(mark.question)}</p><span class="tag verdict {mark.verdict}">'
        f"{TOLD[mark.verdict]}</span> <span class=tag>{kind}</span><dl>{shown}</dl></div>"
    )


def _models(result: Result) -> Iterable[str]:
    """What is on the cards of models that the same graph trained."""
    if not result.models:
        return
    yield "<h2 id=models>Models</h2>"
    rows = []
    for name, row in result.models.items():
        loss = "" if row["loss"] is None else f"{row['loss']:.4g}"
        counts = [number(row[one]) for one in ("rows", "steps", "tokens")]
        values = [name, row["method"], row["folder"], *counts, loss, duration(row["seconds"])]
        rows.append(f"<tr>{_cells('td', values, 3)}</tr>")
    yield _whole(["node", "method", "folder", "rows", "steps", "tokens", "loss", "time"], rows, 3)


def _costs(result: Result) -> Iterable[str]:
    """What calls cost, node by node."""
    yield "<h2 id=costs>Costs</h2>"
    if not result.costs:
        yield "<p>No call was made.</p>"
        return
    names = ("calls", "tokens_in", "tokens_out")
    whole = {
        "node": "all",
        "model": "",
        **{name: sum(one[name] for one in result.costs) for name in (*names, "cost")},
    }
    rows = []
    for one in [*result.costs, whole]:
        counts = [number(one[name]) for name in names]
        rows.append(
            f"<tr>{_cells('td', [one['node'], one['model'] or '', *counts, money(one['cost'])], 2)}</tr>"
        )
    yield f"<p>All runs of the graph <code>{escape(result.graph)}</code>.</p>"
    yield _whole(["node", "model", "calls", "tokens in", "tokens out", "cost"], rows, 2)
