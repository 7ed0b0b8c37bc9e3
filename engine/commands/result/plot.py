"""Shares with their intervals as SVG: a panel for each part, a row for each subject."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from engine.commands._render import fit
from engine.commands.result.figures import Line
from engine.commands.result.text import interval, percent

LEFT, WIDE, RIGHT = 170, 520, 190  # the names, the scale, the figures
ROW, TOP, BOTTOM = 30, 10, 26
NAME_PLACES = 22


def plot(lines: Sequence[Line], base: str, label: str) -> str:
    """One part; `label` says what is shown, for those who do not see it."""
    high = TOP + ROW * len(lines)
    width = LEFT + WIDE + RIGHT
    parts = [
        f'<svg class=plot viewBox="0 0 {width} {high + BOTTOM}" role=img aria-label="{escape(label)}">',
        *(_tick(at, high) for at in (0, 25, 50, 75, 100)),
        *(_row(line, TOP + ROW * place + ROW / 2, base) for place, line in enumerate(lines)),
        "</svg>",
    ]
    return "\n".join(parts)


def _at(share: float) -> float:
    return LEFT + WIDE * share


def _tick(at: int, high: int) -> str:
    x = _at(at / 100)
    return (
        f'<line class=tick x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{high}"/>'
        f'<text class=scale x="{x:.1f}" y="{high + 18}">{at} %</text>'
    )


def _row(line: Line, y: float, base: str) -> str:
    name = escape(fit(line.subject, NAME_PLACES))
    tip = f"{line.subject}: {percent(line.share)} of {line.n}, 95 %: {interval(line)}"
    kind = "base" if line.subject == base else "other"
    low, high, share = _at(line.low), _at(line.high), _at(line.share)
    return (
        f"<g class={kind}><title>{escape(tip)}</title>"
        f'<text class=name x="{LEFT - 14}" y="{y + 4.5:.1f}">{name}</text>'
        f'<line class=bar x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<line class=bar x1="{low:.1f}" x2="{low:.1f}" y1="{y - 5:.1f}" y2="{y + 5:.1f}"/>'
        f'<line class=bar x1="{high:.1f}" x2="{high:.1f}" y1="{y - 5:.1f}" y2="{y + 5:.1f}"/>'
        f'<circle cx="{share:.1f}" cy="{y:.1f}" r="5.5"/>'
        f'<text class=figure x="{LEFT + WIDE + 16}" y="{y + 4.5:.1f}">{percent(line.share)} '
        f"<tspan>({interval(line)})</tspan></text></g>"
    )
