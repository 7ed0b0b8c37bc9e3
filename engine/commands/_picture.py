"""A graph drawn: Mermaid text, and a page of our own with a layered SVG and a table of the nodes.

Layout is plain: layers by the longest way from a source, order within a layer by where the
neighbours stand, edges that skip layers led around boxes by places kept free for them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from engine.commands._render import fit, number, plural

if TYPE_CHECKING:
    from engine.language.program import Node, Program

BOX_WIDTH, BOX_HEIGHT, LANE, GAP_X, GAP_Y, MARGIN = 190, 58, 24, 28, 46, 16
SWEEPS = 6
SHAPES = {"source": ("[(", ")]"), "prompt": ("([", "])"), "emit": ("[/", "/]"), "train": ("[[", "]]")}
Counts = Mapping[str, tuple[int, int, int]]
Place = tuple[str, str, int] | str  # a node, or the lane that an edge keeps in a layer it passes


def mermaid_text(program: Program) -> str:
    """The graph as a Mermaid flowchart; the inner nodes of a called graph stand in a box."""
    names = {
        name: f"n{index}_{re.sub(r'[^a-zA-Z0-9]', '_', name)}" for index, name in enumerate(program.nodes)
    }
    calls = {name.rpartition(".")[0] for name in program.nodes} - {""}
    boxes: dict[str, list[str]] = {}
    for name in program.nodes:
        # The node that a called graph returns bears the call's own name: it belongs into the box.
        boxes.setdefault(name if name in calls else name.rpartition(".")[0] or name, []).append(name)
    lines = ["flowchart TD"]
    for index, (call, members) in enumerate(boxes.items()):
        shapes = [_shape(names[name], program.nodes[name]) for name in members]
        if call in calls:
            lines.append(f'  subgraph g{index}["{_mermaid(call)}"]')
            lines += [f"    {shape}" for shape in shapes]
            lines.append("  end")
        else:
            lines += [f"  {shape}" for shape in shapes]
    lines += [f"  {names[start]} --> {names[end]}" for start, end in edges(program)]
    return "\n".join(lines)


def _shape(identity: str, node: Node) -> str:
    """`n3_checked(["checked<br/><small>prompt</small>"])`."""
    opening, closing = SHAPES.get(node.kind, ("[", "]"))
    return f'{identity}{opening}"{_mermaid(node.name)}<br/><small>{_mermaid(node.kind)}</small>"{closing}'


def edges(program: Program) -> list[tuple[str, str]]:
    """Who reads whom, in the order of the graph."""
    return [
        (start, node.name)
        for node in program.nodes.values()
        for start in dict.fromkeys(node.inputs)
        if start in program.nodes
    ]


def page(program: Program, counts: Counts) -> str:
    """One HTML page: the picture, and below it what each node is for."""
    title = escape(program.name)
    doc = f"<p>{escape(_first_paragraph(program.doc))}</p>" if program.doc else ""
    rows = "\n".join(_row(node, counts) for node in program.nodes.values())
    return PAGE.format(title=title, doc=doc, picture=svg(program, counts), rows=rows)


def svg(program: Program, counts: Counts) -> str:
    """The picture alone."""
    drawing = arrange(program)
    size = f'width="{drawing.width}" height="{drawing.height}"'
    box = f'viewBox="0 0 {drawing.width} {drawing.height}" {size}'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {box} role="img" aria-label="{escape(program.name)}">',
        ARROW_HEAD,
        *(
            f'<path class="edge" d="{_curve(drawing, places)}" marker-end="url(#head)"/>'
            for places in drawing.ways
        ),
        *(_box(node, drawing, counts) for node in program.nodes.values()),
        "</svg>",
    ]
    return "\n".join(parts)


@dataclass
class Drawing:
    """Where everything stands, in pixels; `at` gives the middle of a place."""

    layers: list[list[Place]]
    ways: list[list[Place]]  # of each edge, from box through lanes to box
    at: dict[Place, tuple[float, float]] = field(default_factory=dict)
    width: int = 0
    height: int = 0


def arrange(program: Program) -> Drawing:
    """Layers, the order within them, and coordinates."""
    depth: dict[str, int] = {}
    for name, node in program.nodes.items():
        depth[name] = max((depth[start] + 1 for start in node.inputs if start in depth), default=0)
    layers: list[list[Place]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name, layer in depth.items():
        layers[layer].append(name)
    ways: list[list[Place]] = []
    for start, end in edges(program):
        lanes: list[Place] = [(start, end, layer) for layer in range(depth[start] + 1, depth[end])]
        for layer, lane in enumerate(lanes, depth[start] + 1):
            layers[layer].append(lane)
        ways.append([start, *lanes, end])
    drawing = Drawing(layers, ways)
    _order(drawing)
    _place(drawing)
    return drawing


def _order(drawing: Drawing) -> None:
    """Put each place near the middle of its neighbours, sweeping down and up a few times."""
    above: dict[Place, list[Place]] = {}
    below: dict[Place, list[Place]] = {}
    for way in drawing.ways:
        for upper, lower in pairwise(way):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    for sweep in range(SWEEPS):
        downward = sweep % 2 == 0
        rank = {place: (i + 0.5) / len(layer) for layer in drawing.layers for i, place in enumerate(layer)}
        neighbours = above if downward else below
        for layer in drawing.layers if downward else drawing.layers[::-1]:
            middle = {
                place: sum(rank[near] for near in neighbours[place]) / len(neighbours[place])
                if neighbours.get(place)
                else rank[place]
                for place in layer
            }
            layer.sort(key=lambda place: middle[place])
            rank |= {place: (i + 0.5) / len(layer) for i, place in enumerate(layer)}


def _place(drawing: Drawing) -> None:
    """Centre the layers above each other."""
    spans = [
        sum(BOX_WIDTH if isinstance(place, str) else LANE for place in layer) + GAP_X * (len(layer) - 1)
        for layer in drawing.layers
    ]
    drawing.width = max(spans, default=0) + 2 * MARGIN
    drawing.height = len(spans) * (BOX_HEIGHT + GAP_Y) - GAP_Y + 2 * MARGIN
    for level, (layer, span) in enumerate(zip(drawing.layers, spans, strict=True)):
        x = (drawing.width - span) / 2
        y = MARGIN + level * (BOX_HEIGHT + GAP_Y) + BOX_HEIGHT / 2
        for place in layer:
            size = BOX_WIDTH if isinstance(place, str) else LANE
            drawing.at[place] = (x + size / 2, y)
            x += size + GAP_X


def _curve(drawing: Drawing, places: list[Place]) -> str:
    """A path that leaves a box below, passes its lanes upright, and enters the next box above."""
    half = BOX_HEIGHT / 2
    x, y = drawing.at[places[0]]
    y += half
    steps = [f"M{x:.0f} {y:.0f}"]
    for place in places[1:]:
        to_x, to_y = drawing.at[place]
        bend = (to_y - half - y) / 2
        steps.append(
            f"C{x:.0f} {y + bend:.0f} {to_x:.0f} {to_y - half - bend:.0f} {to_x:.0f} {to_y - half:.0f}"
        )
        x, y = to_x, to_y - half
        if not isinstance(place, str):
            y = to_y + half
            steps.append(f"L{x:.0f} {y:.0f}")
    return "".join(steps)


def _box(node: Node, drawing: Drawing, counts: Counts) -> str:
    x, y = drawing.at[node.name]
    left, top = x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2
    told = counts.get(node.name)
    below = f"{node.kind} · {plural(told[0], 'row')}" if told else node.kind
    below += " · skipped" if node.skipped else ""
    tip = node.doc or node.kind
    kind = re.sub(r"[^a-z]", "", node.kind)
    return (
        f'<g class="node {kind}"><title>{escape(tip)}</title>'
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8"/>'
        f'<text class="name" x="{x:.0f}" y="{y - 4:.0f}">{escape(fit(node.name, 25))}</text>'
        f'<text class="kind" x="{x:.0f}" y="{y + 15:.0f}">{escape(fit(below, 30))}</text></g>'
    )


def _row(node: Node, counts: Counts) -> str:
    """A line of the table: the node, what it is for, its gates, its counts."""
    gates = "<br>".join(
        f"<code>{escape(clause.word)} {escape(clause.text)}</code>" for clause in node.clauses
    )
    prompt = f"<br>{escape(node.template.name)}" if node.template is not None else ""
    told = counts.get(node.name)
    cells = "".join(f"<td class=count>{number(count) if told else ''}</td>" for count in told or (0, 0, 0))
    return (
        f"<tr><td><b>{escape(node.name)}</b><br><span class=kind>{escape(node.kind)}{prompt}</span></td>"
        f"<td>{escape(node.doc or '')}</td><td>{gates}</td>{cells}</tr>"
    )


def _first_paragraph(text: str) -> str:
    return " ".join(text.strip().split("\n\n")[0].split())


def _mermaid(text: str) -> str:
    return text.replace('"', "#quot;").replace("<", "&lt;")


ARROW_HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
)
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>
:root {{ color-scheme: light dark; --ink: light-dark(#1c2430, #dfe5ee); --soft: light-dark(#667, #9aa6b8);
  --line: light-dark(#9aa6b8, #5b6678); --paper: light-dark(#fff, #12161d);
  --box: light-dark(#f2f5f9, #1d2430);
  --ask: light-dark(#e5edff, #1c2c52); --in: light-dark(#e8f5ec, #17331f);
  --out: light-dark(#fdf1de, #3d2d12); }}
body {{ font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem; }}
h1 {{ font-size: 1.4rem; }} .picture {{ overflow-x: auto; }}
.edge {{ fill: none; stroke: var(--line); stroke-width: 1.4; }} marker path {{ fill: var(--line); }}
.node rect {{ fill: var(--box); stroke: var(--line); }}
.node text {{ text-anchor: middle; fill: var(--ink); }}
.node .name {{ font-weight: 600; font-size: 14px; }} .node .kind {{ fill: var(--soft); font-size: 12px; }}
.prompt rect {{ fill: var(--ask); }}
.source rect {{ fill: var(--in); }} .emit rect {{ fill: var(--out); }}
table {{ border-collapse: collapse; margin-top: 1.5rem; }} .kind {{ color: var(--soft); font-size: .85em; }}
th, td {{ text-align: left; vertical-align: top; padding: .4rem .9rem .4rem 0; }}
tr {{ border-bottom: 1px solid var(--box); }} code {{ font-size: .85em; }}
.count {{ text-align: right; font-variant-numeric: tabular-nums; }}
</style></head><body>
<h1>{title}</h1>
{doc}
<div class="picture">
{picture}
</div>
<table><thead><tr><th>node</th><th>what it is for</th><th>gates</th><th class=count>rows</th>
<th class=count>rejected</th><th class=count>failed</th></tr></thead><tbody>
{rows}
</tbody></table>
</body></html>
"""
