"""`atk lint`: what is no error in a graph and yet hardly meant."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.commands._errors import WRONG, CommandError, complain, stop
from engine.commands._options import Debug, Json

if TYPE_CHECKING:
    from engine.language.lint import Found, Rule
    from engine.language.program import Program

Files = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FILE…]", help="Graph files or folders of them (else this one)."),
]
Fix = Annotated[bool, typer.Option("--fix", help="Take out what is needless, where that is safe.")]
Select = Annotated[
    list[str] | None,
    typer.Option("--select", metavar="RULE", help="Only this rule, by code or name; repeatable."),
]
Ignore = Annotated[
    list[str] | None, typer.Option("--ignore", metavar="RULE", help="Not this rule; repeatable.")
]
TURNS = 10  # what one fix leaves needless, the next turn takes out


def lint(
    files: Files = None,
    fix: Fix = False,
    select: Select = None,
    ignore: Ignore = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Find what is no error in a graph and yet hardly meant.

    The exit code is 1 if something was found, and 2 if a graph is wrong. `atk explain CODE` has a
    page on each rule.
    """
    from engine.commands._files import graph_files
    from engine.commands._render import print_json

    session = _Session(_chosen(select, ignore), fix)
    for path in graph_files(files or ["."]):
        session.take(path)
    if json:
        print_json([_as_data(one, one in session.fixable) for one in session.found])
    raise typer.Exit(session.finish(json))


def _chosen(select: list[str] | None, ignore: list[str] | None) -> list[Rule]:
    from engine.language.lint import RULES

    wanted, unwanted = _rules(select, "--select"), _rules(ignore, "--ignore")
    return [rule for rule in RULES if (not select or rule in wanted) and rule not in unwanted]


def _rules(words: list[str] | None, option: str) -> list[Rule]:
    from engine.language.diagnostics import closest
    from engine.language.lint import RULES, rule_named

    found = []
    for word in (part for given in words or () for part in given.split(",") if part.strip()):
        rule = rule_named(word)
        if rule is None:
            near = closest(word.strip(), [name for one in RULES for name in (one.code, one.name)])
            help = f"did you mean {near}?" if near else "atk explain lists the rules, from ATK500 on"
            stop(f"{option}: there is no rule {word.strip()}", help)
        found.append(rule)
    return found


@dataclass
class _Session:
    """All files of one command, and what was found in them."""

    rules: Sequence[Rule]
    fix: bool
    found: list[Found] = field(default_factory=list)
    fixable: list[Found] = field(default_factory=list)
    files: int = 0
    wrong: int = 0

    def take(self, path: Path) -> None:
        from engine.commands._diagnostics import tell
        from engine.language.lint import fixed, lint

        self.files += 1
        program = _load(path)
        if not program.ok:
            program.diagnostics = [one for one in program.diagnostics if one.severity == "error"]
            tell(program)
            self.wrong += 1
            return
        found = lint(program, self.rules)
        if self.fix:
            found = self.mend(path, program, found)
        else:
            self.fixable += fixed(program.text, found)[1]
        self.found += found

    def mend(self, path: Path, program: Program, found: list[Found]) -> list[Found]:
        """Take out what can be, as long as the graph stays right; gives what is left."""
        from engine.commands._files import rewrite
        from engine.commands._render import beside, plural
        from engine.language.lint import fixed, lint

        before = text = program.text
        mended = 0
        for _ in range(TURNS):
            after, done = fixed(text, found)
            changed = _load(path, after) if done else None
            if changed is None or not changed.ok:
                break
            text, mended, found = after, mended + len(done), lint(changed, self.rules)
        if text == before:
            return found
        try:
            rewrite(path, _with_line_ends(path, text))
        except CommandError as error:
            complain(error.message, error.help)
            self.wrong += 1
            return lint(program, self.rules)
        print(f"mended {beside(path)}: {plural(mended, 'thing')} taken out", file=sys.stderr)
        return found

    def finish(self, quiet: bool) -> int:
        """Print what was found and say how much; gives the exit code."""
        from engine.commands._render import plural
        from engine.language.diagnostics import render

        if not quiet:
            for one in self.found:
                print(render(one.diagnostic), end="\n\n")
        said = [
            plural(self.files, "file"),
            plural(len(self.found), "finding") if self.found else "no findings",
        ]
        if self.wrong:
            said.append(f"{self.wrong} with errors")
        if self.fixable:
            said.append(f"--fix takes out {len(self.fixable)}")
        if self.found:
            said.append(f"`atk explain {self.found[0].rule.code}` says more")
        print(", ".join(said), file=sys.stderr)
        return WRONG if self.wrong else int(bool(self.found))


def _load(path: Path, text: str | None = None) -> Program:
    from engine import runtime

    return runtime.load(str(path), root=Path.cwd(), complete=False, text=text)


def _with_line_ends(path: Path, text: str) -> str:
    """The text with the line ends that the file has."""
    with path.open("rb") as stream:
        return text.replace("\n", "\r\n") if stream.readline().endswith(b"\r\n") else text


def _as_data(found: Found, fixable: bool) -> dict[str, Any]:
    from engine.commands._diagnostics import as_data

    return as_data(found.diagnostic) | {"rule": found.rule.name, "fixable": fixable}
