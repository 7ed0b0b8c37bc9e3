"""What a person reads when something went wrong: `error: …`, `help: …`, an exit code.

An exception made for people says so by having a `message` and a `help` (either may be missing
its value, not its name); one that knows its exit code has `exit_code`. Any other exception is a
fault of atk's own and is called one.
"""

from __future__ import annotations

import sys
from typing import Any, Never

import typer

FAILED, WRONG, INTERRUPTED = 1, 2, 130
_NOT_FOR_PEOPLE: Any = object()


class CommandError(Exception):
    """A command cannot do what was asked: one message, with the mend and the exit code."""

    def __init__(self, message: str, help: str | None = None, exit_code: int = FAILED):
        super().__init__(message)
        self.message, self.help, self.exit_code = message, help, exit_code


def stop(message: str, help: str | None = None, exit_code: int = WRONG) -> Never:
    """End the command with a message about what was asked for."""
    raise CommandError(message, help, exit_code)


def complain(message: str, help: str | None = None, word: str = "error") -> None:
    """Print a message and its mend on stderr, as every complaint of atk looks."""
    print(f"{word}: {message}", file=sys.stderr)
    if help:
        print(f"help: {help}", file=sys.stderr)


def report(error: BaseException, *, debug: bool) -> int:
    """Tell of an exception on stderr; gives the exit code."""
    if isinstance(error, KeyboardInterrupt | typer.Abort) or type(error).__name__ == "CancelledError":
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    if debug:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, typer.TyperException):
        return _usage(error)
    message, mend = getattr(error, "message", None), getattr(error, "help", _NOT_FOR_PEOPLE)
    if isinstance(message, str) and mend is not _NOT_FOR_PEOPLE:
        complain(str(error) or message, mend)
        return int(getattr(error, "exit_code", _exit_code(error)))
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        complain(f"{error.filename}: {(error.strerror or 'cannot be used').lower()}")
        return WRONG
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        complain(f"{place}{error.strerror.lower()}", "what was finished before is kept")
        return FAILED
    if isinstance(error, MemoryError):
        complain("out of memory", "what was finished before is kept; run the same command again")
        return FAILED
    first_line = (str(error).splitlines() or [""])[0]
    complain(
        f"a fault of atk's own: {type(error).__name__}: {first_line}",
        None if debug else "what was finished is kept; the same command with --debug shows where it happened",
    )
    return FAILED


def _exit_code(error: BaseException) -> int:
    """2 for what was asked wrongly (no such graph, store, column), 1 for what went wrong."""
    from engine.runtime import GraphMissing
    from engine.store.errors import QueryError, StoreMissing

    return WRONG if isinstance(error, GraphMissing | QueryError | StoreMissing) else FAILED


def _usage(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message())
        return 0
    text = error.format_message().rstrip(".").replace("Value error, ", "")  # pydantic's, through typer
    complain(
        text[:1].lower() + text[1:],
        f"{context.command_path} --help" if context is not None else None,
    )
    return error.exit_code
