"""`atk exec`: run a graph; what is done already is not done again."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Never

import typer

from engine.commands._before import AskAbove, Wait, Yes, agree, when_free
from engine.commands._errors import stop
from engine.commands._options import (
    STORE,
    Debug,
    GraphFile,
    Json,
    Limits,
    Models,
    OutFolder,
    Profile,
    Select,
    StorePath,
    Values,
)

if TYPE_CHECKING:
    from engine.language.program import Program
    from engine.runtime import Options

STAND_IN = "the offline stand-in"

FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first row that fails.")]
MaxFailures = Annotated[
    str | None,
    typer.Option("--max-failures", metavar="N|N%", help="Stop when more rows of a node have failed."),
]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost", metavar="USD", min=0, help="Stop cleanly before it costs more.")
]
EventsFile = Annotated[
    Path | None,
    typer.Option("--events", metavar="FILE", help="Append what happens to a file, a JSON object a line."),
]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="No progress, only the summary.")]


def execute(
    graph: GraphFile,
    values: Values = None,
    models: Models = None,
    profile: Profile = None,
    select: Select = None,
    limit: Limits = None,
    store: StorePath = STORE,
    out: OutFolder = None,
    fail_fast: FailFast = False,
    max_failures: MaxFailures = None,
    max_cost: MaxCost = None,
    ask_above: AskAbove = None,
    yes: Yes = False,
    wait: Wait = False,
    events: EventsFile = None,
    quiet: Quiet = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Run a graph; what is done already is not done again.

    Every finished row is kept, whatever happens: run it again to go on.
    """
    from engine.commands._options import command_line, load_sound, options, with_limits

    _valid_failures(max_failures)
    program = with_limits(load_sound(graph, values, models, profile), limit)
    asked = options(
        store,
        out,
        command_line("exec", graph, values, models, profile, select, limit),
        fail_fast=fail_fast,
        max_failures=max_failures,
        max_cost=max_cost,
        select=tuple(select or ()),
        detailed=events is not None,
    )
    when_free(lambda: agree(program, asked, ask_above, yes), wait)
    run_graph(program, asked, quiet=quiet, json=json, events=events, wait=wait, crashes=debug)


def run_graph(
    program: Program,
    asked: Options,
    *,
    quiet: bool,
    json: bool,
    events: Path | None,
    wait: bool,
    crashes: bool,
) -> Never:
    """Run a checked graph, told as the options say; ends the command with the run's exit code."""
    from engine import runtime
    from engine.commands import _events, _progress, _summary
    from engine.commands._render import console, print_json
    from engine.runtime.loop import run

    # Only a terminal is drawn on: what draws takes longer to import than a run that has nothing to do.
    screen = console(error=True) if sys.stderr.isatty() and not quiet else None
    following = _progress.follow(screen, quiet=quiet, head=head(program))
    # What the author's functions print must not end up in what `--json` prints.
    with (
        _events.events(events) as watching,
        following as following_too,
        contextlib.redirect_stdout(sys.stderr),
    ):
        listener = _events.both(following_too, watching.listen)
        summary = when_free(lambda: run(runtime.execute(program, asked, listener)), wait)
        watching.end(summary)
    if json:
        print_json(summary.as_dict())
    else:
        for line in _summary.lines(summary, program, asked):
            print(line)
    _summary.tell_errors(summary, crashes=crashes)
    raise typer.Exit(summary.exit_code)


def head(program: Program) -> list[str]:
    """What is about to run, in two or three lines: the graph, what was set, who is asked."""
    from engine.commands._render import beside, cell, fit, plural

    lines = [f"{program.name}: {plural(len(program.nodes), 'node')} from {beside(program.path)}"]
    if given := [
        f"{name} = {fit(cell(found.value), 40)}" for name, found in program.params.items() if found.given
    ]:
        lines.append("  with " + ", ".join(given))
    asked = models_asked(program)
    if asked.keys() - {STAND_IN}:  # the run has a note of its own where the stand-in alone answers
        lines.append("  asks " + "; ".join(f"{who} as {', '.join(names)}" for who, names in asked.items()))
    return lines


def models_asked(program: Program) -> dict[str, list[str]]:
    """Who answers, in words, and the names by which the graph's nodes ask it."""
    from urllib.parse import urlsplit

    names: set[str] = set()
    for node in program.nodes.values():
        for settings in (node.settings, *(section.settings for section in node.sections.values())):
            name = getattr(settings, "model", None)
            if isinstance(name, str) and not node.skipped:
                names.add(name)
    asked: dict[str, list[str]] = {}
    for name in sorted(names & program.models.keys()):
        spec = program.models[name]
        host = urlsplit(spec.base_url or "").netloc.rpartition("@")[2]
        place = f" at {host}" if host else ""
        who = STAND_IN if spec.provider == "offline" else f"{spec.model}{place}"
        asked.setdefault(who, []).append(name)
    return asked


def _valid_failures(text: str | None) -> None:
    if text is None or (text.isascii() and text.isdigit()):
        return
    try:
        share = float(text.removesuffix("%")) if text.endswith("%") else -1
    except ValueError:
        share = -1
    if not 0 <= share <= 100:
        stop(f"--max-failures takes a number of rows or a share, not `{text}`", "such as 50 or 2%")
