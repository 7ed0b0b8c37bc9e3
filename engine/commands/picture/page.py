"""One HTML file: picture, details of every node, style and script. It fetches nothing.

All text is written as HTML, escaped, and none into the script: what a document or a prompt says
cannot become code. Without a script the picture's links lead to the details below it.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from engine.commands.picture import details
from engine.commands.picture.facts import SIGNS, Facts
from engine.commands.picture.svg import LEGEND, group, svg

if TYPE_CHECKING:
    from engine.language.program import Program

_HERE = Path(__file__).parent


def page(program: Program, facts: Facts, root: Path) -> str:
    """The whole file; paths in it are as seen from `root`."""
    title = escape(program.name)
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f"<title>{title} · atk</title>",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        # The page's own style and script, and nothing from anywhere else.
        _POLICY,
        f"<style>\n{_part('page.css')}</style></head>",
        f"<body>\n<header><div><h1>{title}</h1><p class=run>{escape(_run(program, facts))}</p></div>",
        _TOOLS,
        "</header>",
        f"<main>\n<div id=canvas>\n{svg(program, facts)}\n</div>",
        f"<section id=details aria-label=Details>\n{_overview(program, facts)}",
        *(details.article(node, program, facts.of(node.name), root) for node in program.nodes.values()),
        "</section>\n</main>",
        f"<script>\n{_part('page.js')}</script>",
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _part(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _run(program: Program, facts: Facts) -> str:
    from engine.commands._render import money, plural

    nodes = plural(len(program.nodes), "node")
    if not facts.known:
        return f"{nodes} · the store could not be read"
    if facts.run is None:
        return f"{nodes} · never run"
    calls = sum(node.last_calls for node in facts.nodes.values())
    cost = sum(node.last_cost for node in facts.nodes.values())
    spent = f"{plural(calls, 'call')}, {money(cost)}"
    return f"{nodes} · run {facts.run}, {facts.started} UTC: {facts.status}, {spent}"


def _overview(program: Program, facts: Facts) -> str:
    """What the side shows before a node is chosen: what the graph is for, the legend, all nodes."""
    used = {group(node.kind) for node in program.nodes.values()}
    kinds = "".join(
        f'<li><span class="swatch {name}"></span>{told}</li>' for name, told in LEGEND.items() if name in used
    )
    states = "".join(
        f'<li><span class="swatch state {name}">{sign}</span>{told}</li>'
        for name, (sign, told) in SIGNS.items()
        if (name == "unknown") is not facts.known
    )
    rows = "".join(
        f'<li><a href="#node={escape(node.name)}">{escape(node.name)}</a>'
        f" <small>{escape(node.kind)}</small></li>"
        for node in program.nodes.values()
    )
    return (
        f"<article id=overview class=open>{details.prose(program.doc)}"
        f'<h3>Colours</h3><ul class="legend">{kinds}</ul>'
        f'<h3>The last run</h3><ul class="legend">{states}</ul>'
        f"<h3>Nodes</h3><ol class=list>{rows}</ol></article>"
    )


_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
    " style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
)
_TOOLS = """<div class=tools role=toolbar aria-label=View>
<input id=search type=search placeholder="Search  /" aria-label="Search nodes, prompts and columns">
<output id=found aria-live=polite></output>
<button id=out title="Zoom out  −" aria-label="Zoom out">−</button>
<button id=in title="Zoom in  +" aria-label="Zoom in">+</button>
<button id=fit title="Fit  0">Fit</button>
</div>"""
