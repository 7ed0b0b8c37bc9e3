"""A drawing as SVG: boxes that are links to the details of their nodes, so that it works everywhere."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

from engine.commands._render import fit, money, plural
from engine.commands.picture.facts import SIGNS, Facts, NodeFacts
from engine.commands.picture.layout import Drawing, Point, Rect, arrange
from engine.commands.picture.mermaid import edges

if TYPE_CHECKING:
    from engine.language.program import Node, Program

# Kinds by what they do to documents on their way; any other kind, a plug-in's too, shapes tables.
GROUPS = {
    "source": "reads",
    "prompt": "asks",
    "vary": "asks",
    "embed": "asks",
    "emit": "writes",
    "train": "trains",
}
LEGEND = {
    "reads": "reads documents",
    "asks": "asks a model",
    "shapes": "shapes tables",
    "writes": "writes files",
    "trains": "trains a model",
}
_ARROW_HEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
    ' orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>'
)
NAME_PLACES, LINE_PLACES = 22, 30


def group(kind: str) -> str:
    """The colour of a kind."""
    return GROUPS.get(kind, "shapes")


def svg(program: Program, facts: Facts) -> str:
    """The picture alone; its colours come from the style of the page that it stands in."""
    drawing = arrange(program.nodes, edges(program))
    size = f"0 0 {drawing.width:.0f} {drawing.height:.0f}"
    opening = (
        f'<svg id="picture" xmlns="http://www.w3.org/2000/svg" viewBox="{size}" width="{drawing.width:.0f}"'
        f' height="{drawing.height:.0f}" role="group" aria-label="The graph {escape(program.name)}">'
    )
    parts = [
        opening,
        _ARROW_HEAD,
        *(_frame(name, rect) for name, rect in drawing.frames.items()),
        *(
            f'<path class="edge" data-from="{escape(start)}" data-to="{escape(end)}" d="{curve(points)}"'
            ' marker-end="url(#head)"/>'
            for (start, end), points in drawing.ways.items()
        ),
        *(_box(node, drawing, facts.of(node.name)) for node in program.nodes.values()),
        "</svg>",
    ]
    return "\n".join(parts)


def curve(points: list[Point]) -> str:
    """A path through upright pieces, which come in pairs, joined by curves that begin and end upright."""
    x, y = points[0]
    steps = [f"M{x:.1f} {y:.1f}"]
    for index, ((from_x, from_y), (to_x, to_y)) in enumerate(pairwise(points)):
        if index % 2 == 0:
            if to_y - from_y > 0.05:
                steps.append(f"L{to_x:.1f} {to_y:.1f}")
        else:
            bend = (to_y - from_y) / 2
            steps.append(
                f"C{from_x:.1f} {from_y + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}"
            )
    return "".join(steps)


def _frame(name: str, rect: Rect) -> str:
    return (
        f'<g class="frame"><rect x="{rect.x:.1f}" y="{rect.y:.1f}" width="{rect.width:.1f}"'
        f' height="{rect.height:.1f}" rx="12"/><text x="{rect.x + 14:.1f}" y="{rect.y + 23:.1f}">'
        f"{escape(fit(name, int(rect.width / 9)))}</text></g>"
    )


def _box(node: Node, drawing: Drawing, facts: NodeFacts) -> str:
    rect = drawing.boxes[node.name]
    around = max(
        (frame for frame in drawing.frames if node.name.startswith(frame + ".")), key=len, default=""
    )
    short = node.name[len(around) + 1 :] if around else node.name.rpartition(".")[2]
    left = rect.x + 16
    sign, told = SIGNS[facts.state]
    model = getattr(node.settings, "model", None)
    kind = f"{node.kind} · {model}" if model else node.kind
    kind += " · skipped" if node.skipped else ""
    tip = f"{node.name} ({node.kind}), {told}" + (f"\n{node.doc}" if node.doc else "")
    return (
        f'<a class="node {group(node.kind)} {facts.state}" href="#node={escape(node.name)}"'
        f' data-node="{escape(node.name)}" aria-label="{escape(f"{node.name}, {node.kind}, {told}")}">'
        f"<title>{escape(tip)}</title>"
        f'<rect x="{rect.x:.1f}" y="{rect.y:.1f}" width="{rect.width:.0f}"'
        f' height="{rect.height:.0f}" rx="9"/><rect class="band" x="{rect.x:.1f}"'
        f' y="{rect.y + 9:.1f}" width="4" height="{rect.height - 18:.0f}"/>'
        f'<text class="name" x="{left:.1f}" y="{rect.y + 25:.1f}">{escape(fit(short, NAME_PLACES))}</text>'
        f'<text class="kind" x="{left:.1f}" y="{rect.y + 43:.1f}">{escape(fit(kind, LINE_PLACES))}</text>'
        f'<text class="count" x="{left:.1f}" y="{rect.y + 61:.1f}">'
        f"{escape(fit(counts(facts), LINE_PLACES))}</text>"
        f'<circle class="state" cx="{rect.x + rect.width - 17:.1f}" cy="{rect.y + 20:.1f}" r="9"/>'
        f'<text class="sign" x="{rect.x + rect.width - 17:.1f}" y="{rect.y + 24.5:.1f}">{sign}</text></a>'
    )


def counts(facts: NodeFacts) -> str:
    """`82 rows · 3 rejected · $1.20`."""
    if facts.rows is None:
        return {"never": "never run", "unknown": "rows not known"}.get(facts.state, "no rows yet")
    parts = [plural(facts.rows, "row")]
    if facts.rejected:
        parts.append(f"{facts.rejected} rejected")
    if facts.failed:
        parts.append(f"{facts.failed} failed")
    if facts.cost:
        parts.append(money(facts.cost))
    return " · ".join(parts)
