"""Numbers, tables and long texts as people read them: no colour is needed to understand any."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from rich.console import Console

NOTHING = "-"
# Control characters, lone surrogates, line separators and marks that reverse the direction of text.
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def number(value: int | None) -> str:
    """1234567 as `1 234 567`; None as `-`."""
    return NOTHING if value is None else f"{value:,}".replace(",", " ")


def short(value: float | None) -> str:
    """A count in three digits or so: 950, 12 k, 1.9 M."""
    if value is None:
        return NOTHING
    for limit, divisor, unit in ((1e4, 1, ""), (1e6, 1e3, " k"), (1e9, 1e6, " M"), (1e12, 1e9, " G")):
        if value < limit * 0.9995:
            scaled = value / divisor
            text = f"{scaled:.0f}" if divisor == 1 or scaled >= 100 else f"{scaled:.3g}"
            return text + unit
    return f"{value:.3g}"


def money(usd: float | None) -> str:
    """Dollars, with as many digits as a small price needs."""
    if usd is None:
        return NOTHING
    if usd == 0:
        return "$0"
    if usd < 0.000_05:
        return "<$0.0001"
    return f"${usd:,.2f}" if usd >= 0.095 else f"${usd:.2g}" if usd >= 0.001 else f"${usd:.4f}"


def duration(seconds: float | None) -> str:
    """Seconds as `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 row`, `12 rows`."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def shorten(text: str, limit: int) -> str:
    """The beginning and the end of a long text, and how much of it was cut."""
    if len(text) <= limit:
        return text
    tail = limit // 4
    cut = len(text) - limit
    return f"{text[: limit - tail].rstrip()} [… {number(cut)} characters …] {text[-tail:].lstrip()}"


def width(text: str) -> int:
    """Places that a text takes on a terminal: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def fit(text: str, places: int) -> str:
    """The text in at most so many places, `…` at its end where something was cut."""
    if width(text) <= places:
        return text
    kept: list[str] = []
    used = 1
    for char in text:
        used += width(char)
        if used > places:
            break
        kept.append(char)
    return "".join(kept).rstrip() + "…"


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = (), limit: int | None = None
) -> list[str]:
    """Lines of an aligned table; the columns in `right` end together. The last column gives
    way first where `limit` (places a line) is exceeded.
    """
    lines = [list(heads), *map(list, rows)]
    widths = [max(width(line[place]) for line in lines) for place in range(len(heads))]
    if limit is not None and heads:
        over = sum(widths) + 2 * (len(widths) - 1) - limit
        widths[-1] = max(width(heads[-1]), 8, widths[-1] - max(over, 0))
    out = []
    for line in lines:
        cells = []
        for place, cell in enumerate(line):
            cell = fit(cell, widths[place])
            space = " " * (widths[place] - width(cell))
            cells.append(space + cell if place in right else cell + space)
        out.append("  ".join(cells).rstrip())
    return out


def cell(value: Any) -> str:
    """One value of a table on one line."""
    if value is None:
        return ""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=plain)
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def printable(text: str) -> str:
    """On one line, and without what would steer the terminal: a document is data here too."""
    if text.isprintable():
        return text
    return harmless(text.replace("\n", "⏎").replace("\t", " "))


def harmless(text: str) -> str:
    """The text with its lines and tabs kept, and what would steer a terminal shown as `�`."""
    return text if text.isprintable() else STEERING.sub("�", text)


def plain(value: Any) -> Any:
    """What JSON has no form for: ids and dates as text, decimals as numbers, bytes as hex."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID | date | datetime | time):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)


def print_json(value: Any) -> None:
    """Indented JSON on stdout; NaN and the infinities, which JSON lacks, as null."""
    print(json.dumps(finite(value), ensure_ascii=False, indent=2, default=plain))


def finite(value: Any) -> Any:
    """The same value with NaN and the infinities as None."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def terminal_width(default: int = 100) -> int | None:
    """Places a line on the terminal at stdout; None where stdout goes to a file or a program."""
    import shutil

    return shutil.get_terminal_size((default, 24)).columns if sys.stdout.isatty() else None


def console(*, error: bool = False, **settings: Any) -> Console:
    """A rich console for stdout or stderr: at most 100 places wide, 80 where it is no terminal."""
    from rich.console import Console

    class Ours(Console):
        def on_broken_pipe(self) -> None:
            # Rich would silence stdout and exit here, though it may be stderr that was closed.
            raise BrokenPipeError

    found = Ours(stderr=error, highlight=False, markup=False, emoji=False, **settings)
    if found.width > 100:
        found.width = 100
    return found


def beside(path: Path, root: Path | None = None) -> str:
    """The path as it is typed from `root`, by default from where the command runs."""
    try:
        return str(path.relative_to(root or Path.cwd()))
    except ValueError:
        return str(path)
