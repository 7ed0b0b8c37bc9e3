"""`atk test`: the tests that stand in graphs, run offline; nothing is asked and nothing is paid."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.commands._errors import FAILED, WRONG, stop
from engine.commands._options import STORE, Debug, Json, StorePath

if TYPE_CHECKING:
    from engine.language.program import Program
    from engine.language.testing import Test
    from engine.runtime.testing import Outcome

Graphs = Annotated[
    list[str] | None,
    typer.Argument(metavar="GRAPH…", help="Graphs or folders; all of graphs/, or of here, if absent."),
]
Matching = Annotated[
    str | None, typer.Option("-k", metavar="TEXT", help="Only tests whose node or words hold this text.")
]
Record = Annotated[
    str | None,
    typer.Option("--record", metavar="NODE", help="Write a test of this node, made of its last run."),
]
Rows = Annotated[
    int | None,
    typer.Option("--rows", min=1, max=100, help="How many rows a recorded test gives; 3 if absent."),
]
Says = Annotated[
    str | None, typer.Option("--says", metavar="TEXT", help="What the recorded test shows, in words.")
]
Stdout = Annotated[bool, typer.Option("--stdout", help="Print the recorded test, write nothing.")]
SHOWN = 5  # rows of a table that are shown beside a failure


def run_tests(
    graphs: Graphs = None,
    matching: Matching = None,
    record: Record = None,
    rows: Rows = None,
    says: Says = None,
    stdout: Stdout = False,
    store: StorePath = STORE,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Run the tests that stand in graphs, offline and without a key.

    With --record, make one of real rows and replies of the last run, and write it into the graph.

    Exit code 0: all passed, 1: a test failed, 2: a graph is wrong.
    """
    if record is not None:
        from engine.commands.record import Wanted
        from engine.commands.record import record as make

        if matching or json:
            stop("--record goes with neither -k nor --json", "--stdout prints the test")
        make(Wanted(record, rows, says, stdout, store), graphs or ())
        return
    if says or stdout or rows:
        stop("--rows, --says and --stdout are about a test to be recorded", "name its node: --record NODE")
    from engine.commands._render import plural, print_json
    from engine.runtime.testing import Runner

    found = list(_programs(graphs))
    told: list[dict[str, Any]] = []
    outcomes: list[Outcome] = []
    wrong = 0
    with Runner(Path.cwd()) as runner:
        for program, errors in found:
            chosen = [one for one in program.tests if _matches(one, matching)]
            wrong += bool(errors)
            if json:
                told.append({"graph": str(program.path), "errors": _diagnostics(errors), "tests": []})
            elif errors:
                _tell(program, errors)
            elif not program.tests and graphs and not _folder(graphs, program):
                print(f"{_shown(program)}: no tests")
            elif chosen:
                print(_shown(program))
            for one in [] if errors else chosen:
                with contextlib.redirect_stdout(sys.stderr):  # what the author's functions print
                    outcome = runner.run(one)
                outcomes.append(outcome)
                if json:
                    told[-1]["tests"].append(_as_data(outcome))
                else:
                    print("\n".join(_lines(outcome, debug)))
                    sys.stdout.flush()
    if matching and not outcomes and not wrong:
        stop(f"no test holds `{matching}`", "-k looks into a test's node and its words")
    failed = sum(one.status != "passed" for one in outcomes)
    if json:
        print_json(told)
    elif outcomes:
        passed = plural(len(outcomes) - failed, "test") + " passed"
        seconds = sum(one.seconds for one in outcomes)
        print(f"{passed}{f', {failed} failed' if failed else ''} ({seconds:.1f} s)")
    elif not wrong and not graphs:
        print("no tests: a `test` stands in a graph, below the node that it is about")
    raise typer.Exit(WRONG if wrong else FAILED if failed else 0)


# -- which graphs -----------------------------------------------------------------------------


def _programs(graphs: Sequence[str] | None) -> Iterator[tuple[Program, list[Any]]]:
    """Every graph that was asked for, checked with its tests, and what is wrong with it."""
    from engine import runtime
    from engine.language.testing import ENVIRONMENT

    for graph in _paths(graphs):
        program = runtime.load(graph, root=Path.cwd(), complete=False, tests=True)
        errors = [
            one for one in program.diagnostics if one.severity == "error" and one.code not in ENVIRONMENT
        ]
        yield program, errors


def _paths(graphs: Sequence[str] | None) -> list[str]:
    if graphs is None or not graphs:
        folder = Path("graphs") if Path("graphs").is_dir() else Path()
        found = sorted(map(str, folder.rglob("*.atk")))
        if not found:
            stop("there are no graphs here", "name one: atk test graph.atk")
        return found
    made: list[str] = []
    for graph in graphs:
        if Path(graph).is_dir():
            inside = sorted(map(str, Path(graph).rglob("*.atk")))
            if not inside:
                stop(f"there are no graphs in {graph}")
            made += inside
        else:
            made.append(graph)
    return list(dict.fromkeys(made))


def _folder(graphs: Sequence[str], program: Program) -> bool:
    """Whether a graph was found in a folder, not named itself."""
    return any(Path(one).is_dir() and program.path.is_relative_to(Path(one).resolve()) for one in graphs)


def _matches(test: Test, text: str | None) -> bool:
    return text is None or text.casefold() in f"{test.node} {test.says}".casefold()


# -- what is told --------------------------------------------------------------------------------


def _shown(program: Program) -> str:
    from engine.commands._render import beside

    return beside(program.path)


def _tell(program: Program, errors: Sequence[Any]) -> None:
    from engine.language.diagnostics import render

    for one in errors:
        print(render(one), end="\n\n", file=sys.stderr)
    number = f"{len(errors)} error{'s' * (len(errors) > 1)}"
    print(f"{_shown(program)}: {number}; `atk explain {errors[0].code}` says more", file=sys.stderr)


def _diagnostics(errors: Sequence[Any]) -> list[dict[str, Any]]:
    from engine.commands._diagnostics import as_data

    return [as_data(one) for one in errors]


def _lines(outcome: Outcome, debug: bool) -> list[str]:
    """One line for a test that passed; for another what was expected, what was seen, and the rows."""
    from engine.commands._render import cell, fit, printable, table

    test = outcome.test
    word = {"passed": "ok  ", "failed": "FAIL", "error": "ERR "}[outcome.status]
    lines = [f"  {word}  {test.node}: {printable(test.says)}"]
    for failure in outcome.failures:
        place = f"{failure.span.path}:{failure.span.line}:{failure.span.column}"
        lines += [f"        {place}", f"        {printable(failure.message)}"]
        lines += [f"          {text} is {fit(cell(value) or 'null', 80)}" for text, value in failure.seen]
        if failure.rows:
            heads = list(failure.rows[0])
            shown = [[_value(row[name]) for name in heads] for row in failure.rows[:SHOWN]]
            lines += [f"          {line}" for line in table(heads, shown, limit=90)]
        if failure.help:
            lines.append(f"        help: {failure.help}")
    if outcome.status != "passed":
        for fate, rows in outcome.tables.items():
            lines += [f"        {line}" for line in _table(outcome, fate, rows)]
    if debug:
        lines += [crash.rstrip() for crash in outcome.crashes]
    return lines


def _table(outcome: Outcome, fate: str, rows: Sequence[Any]) -> list[str]:
    """The node's table as it came out: given ids, what was made on the way, what is expected of."""
    from engine.commands._render import plural, table

    test = outcome.test
    if not rows:
        return []
    node = test.program.nodes[test.node]
    made = {name for name, column in node.columns.items() if column.owner in test.path}
    made |= {name for one in test.expects for name in one.clause.reads}
    ids = {f"{name.replace('.', '_')}_id" for name in test.fixtures}
    heads = [name for name in rows[0] if name in made | ids and any(row[name] is not None for row in rows)]
    heads += ["reason"] if fate != "ok" and "reason" not in heads else []
    heads = heads or list(rows[0])
    shown = [[_value(row[name], 72 if name == "reason" else 40) for name in heads] for row in rows[:SHOWN]]
    name = test.node if fate == "ok" else f"{fate}.{test.node}"
    more = f", {SHOWN} of them shown" if len(rows) > SHOWN else ""
    return [
        f"{name} ({plural(len(rows), 'row')}{more})",
        *(f"  {line}" for line in table(heads, shown, limit=110)),
    ]


def _value(value: Any, places: int = 40) -> str:
    from engine.commands._render import cell, fit

    return "null" if value is None else fit(cell(value), places)


def _as_data(outcome: Outcome) -> dict[str, Any]:
    test = outcome.test
    return {
        "node": test.node,
        "says": test.says,
        "status": outcome.status,
        "seconds": round(outcome.seconds, 4),
        "path": test.span.path,
        "line": test.span.line,
        "failures": [
            {
                "message": one.message,
                "path": one.span.path,
                "line": one.span.line,
                "column": one.span.column,
                "seen": dict(one.seen),
                "rows": [dict(row) for row in one.rows],
                "help": one.help,
            }
            for one in outcome.failures
        ],
        "tables": {fate: [dict(row) for row in rows] for fate, rows in outcome.tables.items()},
    }
