"""The result of an exam as lines of text, for a terminal and for a card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from engine.commands.result.figures import PARTS, Line

if TYPE_CHECKING:
    from engine.commands.result.gather import Result

HEADS = ("part", "subject", "n", "correct", "incorrect", "no answer", "share", "95 %", "to {base}", "p")

WIDEST = 40  # places of a cell


def heads(base: str) -> list[str]:
    """What stands above the columns."""
    return [one.format(base=base) for one in HEADS]


def cells(line: Line) -> list[str]:
    """One line of the table."""
    against = ["", ""]
    if line.difference is not None and line.p is not None:
        against = [f"{100 * line.difference:+.1f}", "<0.0001" if line.p < 0.0001 else f"{line.p:.4f}"]
    counted = map(str, (line.n, line.correct, line.incorrect, line.not_attempted))
    return [line.part, line.subject, *counted, percent(line.share), interval(line), *against]


def percent(share: float) -> str:
    """`41.7 %`."""
    return f"{100 * share:.1f} %"


def interval(line: Line) -> str:
    """`27.2 to 57.8`."""
    return f"{100 * line.low:.1f} to {100 * line.high:.1f}"


def notes(result: Result) -> list[str]:
    """What one must know to read the table."""
    told = [
        "share: of facts, what was known; of invented things, what was made up; 95 %: its Wilson interval",
        f"to {result.base}: points above or below it on the same questions; p: exact McNemar test",
    ]
    blank = Counter(
        mark.subject for mark in result.marks if mark.reply is not None and not mark.reply.strip()
    )
    if blank:
        counted = ", ".join(f"{subject} {count}" for subject, count in blank.items())
        told.append(f"without a reply, and counted as no answer: {counted}; `why` says what became of them")
    if not result.parted:
        told.append(
            "which facts the training asked about is not known; the graph `exam` finds out, -p taught=FILE"
        )
    return told


def as_table(result: Result) -> list[str]:
    """Lines for a terminal; part by part."""
    from engine.commands._render import fit, printable, table

    rows = [[fit(printable(one), WIDEST) for one in cells(line)] for line in result.lines]
    shown = table(heads(result.base), rows, right=tuple(range(2, len(HEADS))))
    return [*shown, *(f"  {note}" for note in notes(result))]


def as_markdown(result: Result) -> str:
    """A section for a model's card."""
    from engine.commands._render import printable

    def row(values: Sequence[str]) -> str:
        shown = (escape(printable(one), quote=False).replace("|", r"\|") for one in values)
        return "| " + " | ".join(shown) + " |"

    asked = len({mark.key for mark in result.marks})
    rows = [row(heads(result.base)), "|" + "---|" * len(HEADS), *(row(cells(line)) for line in result.lines)]
    parts = dict.fromkeys(line.part for line in result.lines)
    told = [f"- {part}: {PARTS[part]}" for part in parts] + [f"- {note}" for note in notes(result)]
    head = f"Exam: {asked:,} questions, the table `{result.table}` of the graph `{result.graph}`"
    return "\n".join([head, "", *rows, "", *told]) + "\n"
