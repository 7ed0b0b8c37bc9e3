"""`atk fmt`: graph files laid out in the one way there is."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from engine.commands._errors import WRONG, CommandError, complain, stop
from engine.commands._options import Debug

Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE…]", help="Graph files or folders of them (else this one); - for stdin."),
]
Check = Annotated[bool, typer.Option("--check", help="Write nothing; name the files that would change.")]
Diff = Annotated[bool, typer.Option("--diff", help="Write nothing; show what would change.")]
STDIN = "<stdin>"


def fmt(files: Files = None, check: Check = False, diff: Diff = False, debug: Debug = False) -> None:
    """Lay graph files out, in the one way there is.

    Indentation, spaces and alignment are set; words, comments and line breaks stay.
    With --check or --diff the exit code is 1 if a file would change; it is 2 if one cannot be read.
    """
    from engine.commands._files import graph_files

    names = files or ["."]
    if "-" in names:
        if len(names) > 1:
            stop("- stands for the standard input and is given alone")
        raise typer.Exit(_stdin(check, diff))
    tally = _Tally(check, diff)
    for path in graph_files(names):
        tally.take(path)
    raise typer.Exit(tally.finish())


@dataclass
class _Tally:
    """What becomes of each file, and what is said at the end."""

    check: bool
    diff: bool
    changed: int = 0
    same: int = 0
    failed: int = 0
    code: int = 0

    def take(self, path: Path) -> None:
        from engine.commands._files import rewrite
        from engine.commands._render import beside

        shown = beside(path)
        read = _read(path, shown)
        after = _formatted(read, shown) if read is not None else None
        if read is None or after is None:
            self.failed += 1
            return
        if after == read:
            self.same += 1
            return
        self.changed += 1
        if self.diff:
            print(_difference(read, after, shown), end="")
        elif self.check:
            print(shown)
        else:
            try:
                rewrite(path, after)
            except CommandError as error:
                complain(error.message, error.help)
                self.changed -= 1
                self.failed += 1
            else:
                print(f"formatted {shown}")

    def finish(self) -> int:
        from engine.commands._render import plural

        looking = self.check or self.diff
        said = []
        if self.changed:
            said.append(f"{plural(self.changed, 'file')} {'would change' if looking else 'formatted'}")
        if self.same:
            said.append(f"{self.same if said else plural(self.same, 'file')} left as {_were(self.same)}")
        if self.failed:
            said.append(f"{self.failed if said else plural(self.failed, 'file')} could not be formatted")
        print(", ".join(said), file=sys.stderr)
        if self.failed:
            return WRONG
        return 1 if looking and self.changed else 0


def _were(count: int) -> str:
    return "it was" if count == 1 else "they were"


def _stdin(check: bool, diff: bool) -> int:
    """The standard input, to the standard output."""
    try:
        read = sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        complain("the standard input is not UTF-8")
        return WRONG
    after = _formatted(read, STDIN)
    if after is None:
        return WRONG
    if diff:
        _write(_difference(read, after, STDIN))
    elif not check:
        _write(after)
    elif after != read:
        print(STDIN)
    return int((check or diff) and after != read)


def _write(text: str) -> None:
    """To the standard output as it is: line ends stay, and so does every character."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8"))
    sys.stdout.buffer.flush()


def _read(path: Path, shown: str) -> str | None:
    """The file's text with its own line ends, or None after saying why there is none."""
    from engine.language.diagnostics import render
    from engine.language.lexing import read

    _, wrong = read(path, shown)
    if wrong is not None:
        print(render(wrong), end="\n\n", file=sys.stderr)
        return None
    return path.read_bytes().decode("utf-8")


def _formatted(text: str, shown: str) -> str | None:
    from engine.language.diagnostics import Wrong, render
    from engine.language.formatting import Unsafe, format_text

    try:
        return format_text(text, shown)
    except Wrong as error:
        for diagnostic in error.diagnostics:
            print(render(diagnostic), end="\n\n", file=sys.stderr)
    except Unsafe as error:
        complain(error.message, error.help)
    return None


def _difference(before: str, after: str, shown: str) -> str:
    """A unified difference; where only line ends differ, that is all it shows."""
    import difflib

    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    out = ""
    for line in difflib.unified_diff(old, new, shown, f"{shown} (formatted)"):
        out += line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
    return out
