"""The verbs put together, and the one place where exceptions become messages and exit codes."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

import typer

from engine.commands import VERBS, version
from engine.commands._errors import report

# A verb is the function of its name in the module of its name, unless Python or pytest would mind.
NAMED = {"exec": "execute", "test": "run_tests", "import": "take"}
MODULES = {"import": "taking"}


def guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """The verb with its ends told in our words, where typer would have words of its own."""

    @functools.wraps(verb)
    def run_verb(*arguments: object, **options: object) -> None:
        try:
            verb(*arguments, **options)
            sys.stdout.flush()
        except BrokenPipeError:
            raise typer.Exit(_pipe_closed()) from None
        except KeyboardInterrupt as error:
            raise typer.Exit(report(error, debug=False)) from None

    return run_verb


def top(show_version: version.Flag = False) -> None:
    """Documents in, checked training sets out: every step a table that SQL can query."""


def app(verbs: Sequence[str] = VERBS) -> typer.Typer:
    """The command line with these verbs."""
    made = typer.Typer(
        name="atk",
        help="Documents in, checked training sets out: every step a table that SQL can query.",
        epilog="Start with: atk exec quickstart",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    made.callback(invoke_without_command=True)(top)
    for name in verbs:
        function = getattr(import_module(f"engine.commands.{MODULES.get(name, name)}"), NAMED.get(name, name))
        # `atk diff -2 -1`: a run counted from the newest is no option.
        settings = {"ignore_unknown_options": True} if name == "diff" else {}
        made.command(name, context_settings=settings)(guarded(function))
    return made


def run(arguments: Sequence[str] | None = None) -> int:
    """Parse and run one command line; never raises but for faults inside `--debug`."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _open_streams()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character shows a `?` in its place and goes on.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    # A verb need not wait for the modules of the others.
    verbs = arguments[:1] if arguments[:1] and arguments[0] in VERBS else VERBS
    try:
        code = app(verbs)(arguments, prog_name="atk", standalone_mode=False)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    except BaseException as error:
        with contextlib.suppress(BrokenPipeError):
            return report(error, debug="--debug" in arguments)
        return _pipe_closed()
    return code if isinstance(code, int) else 0


def _open_streams() -> None:
    """Where a standard stream is closed, the next file or socket would get its number: take that place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it stays open


def _pipe_closed() -> int:
    """Whoever read us has gone (`atk sql … | head`): nothing to say, and no complaint at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
