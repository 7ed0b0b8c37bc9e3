"""`atk sql`: one query over a run's tables, or a shell; also while a run is writing them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.commands._errors import complain, stop
from engine.commands._options import STORE, Debug, Json, StoredGraph, StorePath

if TYPE_CHECKING:
    from engine.store.reader import Reader, Result

Query = Annotated[
    str | None,
    typer.Argument(metavar="[QUERY]", help="DuckDB's SQL; without it a shell, or what is piped in."),
]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets and scripts.")]
Rows = Annotated[int, typer.Option("-n", "--rows", metavar="N", min=1, help="Rows of a printed table.")]

HISTORY_LINES = 2000
TABLES = """\
SELECT CASE schema_name WHEN 'main' THEN '' ELSE schema_name || '.' END || view_name AS name
FROM duckdb_views() WHERE database_name = current_database() AND NOT internal
AND NOT (schema_name = 'main' AND contains(view_name, '.'))
ORDER BY schema_name != 'main', schema_name, view_name"""
HELP = """\
A statement ends with `;` or an empty line.
  .tables   the tables of the graph      .help   this
  .quit     leave (so does Ctrl-D)"""


def sql(
    query: Query = None,
    store: StorePath = STORE,
    graph: StoredGraph = None,
    json: Json = False,
    csv: Csv = False,
    rows: Rows = 40,
    debug: Debug = False,
) -> None:
    """Ask SQL of a run's tables; without a query, a shell.

    Such as: atk sql "FROM checked LIMIT 5"
    """
    from engine.commands._options import reader

    if json and csv:
        stop("--json and --csv exclude each other", "choose one")
    form = "json" if json else "csv" if csv else "table"
    with contextlib.closing(reader(store, graph)) as opened:  # a missing store is told before the prompt
        if query is None and not sys.stdin.isatty():
            query = sys.stdin.read()
        if query is not None:
            if not query.strip().rstrip(";"):
                stop("the query is empty", 'such as: atk sql "FROM runs"')
            if not _is_text(query):
                stop("the query is not UTF-8 text", "see to it that the terminal's locale is UTF-8")
            show(answer(opened, query, form, rows), form)
        else:
            shell(opened, form, rows)


def answer(opened: Reader, query: str, form: str, limit: int) -> Result:
    """Ask; only as many rows are fetched as are printed."""
    return opened.sql(query.strip().rstrip(";"), limit if form == "table" else None)


def show(result: Result, form: str) -> None:
    """Print a result as a table, JSON or CSV."""
    from engine.commands._render import plain, print_json

    if form == "json":
        print_json(result.dicts())
    elif form == "csv":
        import csv

        out = csv.writer(sys.stdout, lineterminator="\n")
        out.writerow(result.columns)
        out.writerows([_csv_cell(value, plain) for value in row] for row in result.rows)
    else:
        for line in lines(result):
            print(line)


def lines(result: Result) -> list[str]:
    """The table that fits the terminal: narrow columns, or one column a line where there are many."""
    from engine.commands._render import cell, plural, table, terminal_width

    places = terminal_width()
    numeric = [index for index, kind in enumerate(result.types) if _is_number(kind)]
    short_ids = places is not None
    cells = [
        [
            cell(value)[:8] if short_ids and kind == "UUID" and value is not None else cell(value)
            for value, kind in zip(row, result.types, strict=True)
        ]
        for row in result.rows
    ]
    counted = plural(len(result.rows), "row")
    if result.more:
        counted = f"the first {counted}; -n N prints more, --json and --csv all"
    if places is not None and len(result.columns) * 9 > places:
        return [*_records(result.columns, cells, places), f"({counted})"]
    widths = _widths(result.columns, cells, places)
    fitted = _fitted([list(result.columns), *cells], widths)
    return [*table(fitted[0], fitted[1:], right=numeric), f"({counted})"]


def shell(opened: Reader, form: str, limit: int) -> None:
    """Read statements until the end of input; an error ends a statement, not the shell."""
    from engine.commands._errors import report

    print("atk sql, read-only. End a statement with `;`. `.help` says more.")
    with history():
        for statement in statements():
            try:
                if statement == ".help":
                    print(HELP)
                elif statement == ".tables":
                    show(opened.sql(TABLES), form)
                elif statement.startswith("."):
                    complain(f"there is no {statement.split()[0]}", ".help lists what there is")
                else:
                    show(answer(opened, statement, form, limit), form)
            except BrokenPipeError:
                raise
            except (Exception, KeyboardInterrupt) as error:
                report(error, debug=False)


def statements() -> Iterator[str]:
    """Statements as they are typed, without their `;`; Ctrl-C drops what was begun."""
    begun: list[str] = []
    while True:
        try:
            line = input("...> " if begun else "atk> ")
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            begun.clear()
            continue
        text = line.strip()
        if not begun and text in (".quit", ".exit", "exit", "quit"):
            return
        if not begun and text.startswith("."):
            yield text
            continue
        if text:
            begun.append(line)
        if begun and (text.endswith(";") or not text):
            yield "\n".join(begun).strip().rstrip(";")
            begun.clear()


@contextlib.contextmanager
def history() -> Iterator[None]:
    """Lines typed before, kept in the user's state folder where that can be written."""
    try:
        import readline
    except ImportError:
        yield
        return
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(state) / "atk" / "sql_history"
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        readline.read_history_file(path)
    readline.set_history_length(HISTORY_LINES)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            readline.write_history_file(path)


def _is_text(query: str) -> bool:
    """Whether it holds characters alone: bytes that a locale cannot read come as halves of some."""
    try:
        query.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_number(kind: str) -> bool:
    return kind.startswith(
        (
            "TINYINT",
            "SMALLINT",
            "INTEGER",
            "BIGINT",
            "HUGEINT",
            "UTINYINT",
            "USMALLINT",
            "UINTEGER",
            "UBIGINT",
            "UHUGEINT",
            "FLOAT",
            "DOUBLE",
            "DECIMAL",
        )
    ) and not kind.endswith("[]")


def _csv_cell(value: Any, plain: Any) -> Any:
    import json

    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=plain)
    return value


def _widths(columns: Sequence[str], cells: Sequence[Sequence[str]], places: int | None) -> list[int]:
    """Of each column: its own width where all fit, else the widest give way, a step at a time."""
    from engine.commands._render import width

    widths = [
        min(max([width(head), *(width(row[place]) for row in cells)]), 200)
        for place, head in enumerate(columns)
    ]
    if places is None:
        return widths
    room = max(places - 2 * (len(widths) - 1), len(widths))
    while sum(widths) > room:
        widest = max(widths)
        second = max((size for size in widths if size < widest), default=1)
        at_widest = [place for place, size in enumerate(widths) if size == widest]
        share = max((sum(widths) - room) // len(at_widest), 1)
        for place in at_widest:
            widths[place] = max(widest - share, second - 1, 1)
    return widths


def _fitted(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[list[str]]:
    from engine.commands._render import fit

    return [[fit(cell, size) for cell, size in zip(row, widths, strict=True)] for row in rows]


def _records(columns: Sequence[str], cells: Sequence[Sequence[str]], places: int) -> Iterator[str]:
    """A row as a block of lines, for results with more columns than a terminal is wide."""
    from engine.commands._render import fit

    margin = min(max(map(len, columns)), places // 3)
    for index, row in enumerate(cells, 1):
        yield f"-- {index} " + "-" * max(margin - len(str(index)) - 2, 2)
        for name, value in zip(columns, row, strict=True):
            yield f"{fit(name, margin):<{margin}}  {fit(value, places - margin - 2)}".rstrip()
