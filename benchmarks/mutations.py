"""How much of a slip of the hand `atk check` notices: one token of a graph changed at a time.

    python benchmarks/mutations.py                  # all three graphs: a table
    python benchmarks/mutations.py --list deleted   # each change of a sort that went unnoticed
    python benchmarks/mutations.py --sample 40      # of each sort and graph, 40 changes

Each token of a graph is, one at a time, deleted, doubled, swapped with the one after it, and (where
it is a word, a string or a number) misspelt; what comes out is checked as `atk check` would.

What counts:

- *unnoticed*: the check finds neither an error nor a warning. Many of these are right to pass, since
  the graph is another one and a good one: without its `not`, an optional setting, a doc comment's
  field or a `?` a graph means something else, and nobody but its author can know it. They are counted
  all the same: `unnoticed` is everything that passes. `silent` leaves out what is provably no
  mistake, a text whose tree is the same: a comma more or less, brackets around one operand.
- *in the statement*: the first message of those that were noticed points to a line of the statement
  (or of the head of a graph, or of the node in it) in which the change was made.
- *fell over*: an exception. There must be none.

The goals: at most 2 % of the deletions unnoticed, 95 % of first messages in the statement.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine import paths  # noqa: E402
from engine.language import check  # noqa: E402
from engine.language.grammar import parser  # noqa: E402
from engine.language.kind import KindSpec  # noqa: E402
from engine.language.lexing import statement_starts  # noqa: E402
from engine.language.parsing import Token, Tree, Unreadable  # noqa: E402
from engine.language.tree import Text  # noqa: E402

SORTS = ("deleted", "doubled", "swapped", "misspelt")
SHIPPED = ("factual", "quickstart")
WORKED = ROOT / "tests" / "language" / "graphs" / "worked.atk"


@dataclass(frozen=True)
class Change:
    """One changed text: what was done to which token, and on which lines (from 1) it shows."""

    sort: str
    text: str
    token: str
    lines: tuple[int, int]


@dataclass
class Count:
    """What became of the changes of one sort in one graph."""

    tried: int = 0
    unnoticed: list[Change] = field(default_factory=list)
    same: int = 0  # of the unnoticed, those whose tree is the same
    elsewhere: list[tuple[Change, str]] = field(default_factory=list)
    fell: list[tuple[Change, str]] = field(default_factory=list)

    @property
    def noticed(self) -> int:
        return self.tried - len(self.unnoticed) - len(self.fell)


def changes(text: str, sort: str) -> Iterator[Change]:
    """Every change of a sort."""
    tokens = list(parser().lex(text))
    source = Text("", text)
    for at, token in enumerate(tokens):
        begin, end, to = token.start_pos, token.end_pos, token.end_pos
        if sort == "deleted":
            made = ""
        elif sort == "doubled":
            made = f"{token} {token}"
        elif sort == "swapped":
            if at + 1 == len(tokens):
                continue
            other = tokens[at + 1]
            to = other.end_pos
            made = f"{other}{text[end : other.start_pos]}{token}"
        else:
            spelt = misspelt(token)
            if spelt is None:
                continue
            made = spelt
        first = source.span(begin).line
        last = source.span(max(to - 1, 0)).line
        yield Change(sort, text[:begin] + made + text[to:], str(token), (first, last))


def misspelt(token: Token) -> str | None:
    """A word with two letters exchanged, or one doubled; None for signs."""
    text = str(token)
    letters = [at for at, letter in enumerate(text) if letter.isalnum()]
    if not letters:
        return None
    for one, other in pairwise(letters):
        if other == one + 1 and text[one] != text[other]:
            return text[:one] + text[other] + text[one] + text[other + 1 :]
    at = letters[-1]
    return text[:at] + text[at] + text[at:]


def statements(text: str) -> list[tuple[int, int]]:
    """First and last line of each statement, the doc comments above it with it.

    Inside a graph each node counts as a statement of its own, and so does what is around them.
    """
    source = Text("", text)
    starts = [row + 1 for row in statement_starts(source)]
    whole = list(zip(starts, [*(start - 1 for start in starts[1:]), len(source.lines)], strict=True))
    inner = [
        (source.span(node.meta.start_pos).line, source.span(node.meta.end_pos - 1).line)
        for tree in parser().parse(text).children
        if tree.data == "graph"
        for part in tree.children
        if isinstance(part, Tree) and part.data == "nodes"
        for node in part.children
    ]
    return whole + inner


def belongs(line: int, change: Change, places: list[tuple[int, int]]) -> bool:
    """Whether a line lies in the smallest statement that holds a changed line."""
    for at in change.lines:
        holding = [place for place in places if place[0] <= at <= place[1]]
        smallest = min(holding, key=lambda place: place[1] - place[0], default=(at, at))
        if smallest[0] <= line <= smallest[1]:
            return True
    return False


def same_tree(one: str, other: str) -> bool:
    """Whether two texts read the same but for the places."""

    def plain(node: object) -> object:
        if isinstance(node, Tree):
            return node.data, [plain(child) for child in node.children]
        return str(node)

    try:
        return plain(parser().parse(one)) == plain(parser().parse(other))
    except Unreadable:
        return False


def count(path: Path, sort: str, checked: Callable[[Path, str], list[object]], sample: int | None) -> Count:
    """Try all changes of a sort on one graph, or a sample of them."""
    text = path.read_text(encoding="utf-8")
    found = Count()
    places = statements(text)
    every = list(changes(text, sort))
    if sample is not None and sample < len(every):
        every = random.Random(f"{path.name} {sort}").sample(every, sample)
    for change in every:
        if change.text == text:
            continue
        found.tried += 1
        try:
            diagnostics = checked(path, change.text)
        except Exception as error:
            found.fell.append((change, f"{type(error).__name__}: {error}"))
            continue
        if not diagnostics:
            found.unnoticed.append(change)
            found.same += same_tree(text, change.text)
            continue
        first = diagnostics[0]
        span = first.span  # type: ignore[attr-defined]
        here = span.path.endswith(path.name) and belongs(span.line, change, places)
        prompt = span.path.endswith(".md") and any(
            belongs(where.line, change, places)
            for where, _ in first.related  # type: ignore[attr-defined]
            if where.path.endswith(path.name)
        )
        if not (here or prompt):
            found.elsewhere.append((change, f"{span.path}:{span.line} {first.message}"))  # type: ignore[attr-defined]
    return found


def checks() -> Iterator[tuple[Path, Callable[[Path, str], list[object]]]]:
    """The graphs, each with the way to check a text in its place."""

    def with_kinds(kinds: dict[str, KindSpec], prompts: list[Path], graphs: list[Path], **given: object):  # type: ignore[no-untyped-def]
        def checked(path: Path, text: str) -> list[object]:
            program = check(
                path,
                kinds,
                root=ROOT,
                prompts=prompts,
                graphs=graphs,
                text=text,
                complete=False,
                tests=True,
                **given,
            )  # type: ignore[arg-type]
            return list(program.diagnostics)

        return checked

    from engine.kinds import registry

    for name in SHIPPED:
        shipped = with_kinds(dict(registry()), [paths.prompts()], [paths.graphs()], environment={})
        yield paths.graphs() / f"{name}.atk", shipped
    from tests.language.kinds import registry as small
    from tests.language.support import ENVIRONMENT, HERE

    yield WORKED, with_kinds(small(), [HERE / "prompts"], [HERE], environment=ENVIRONMENT)


def measured(sample: int | None = None, sorts: tuple[str, ...] = SORTS) -> dict[tuple[str, str], Count]:
    """What became of all changes, by graph and sort."""
    return {
        (path.stem, sort): count(path, sort, checked, sample) for path, checked in checks() for sort in sorts
    }


def main() -> int:
    """Print the table; the exit code is 1 where something fell over."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--sample", type=int, help="so many changes of each sort and graph")
    arguments.add_argument("--list", choices=SORTS, help="print what went unnoticed or was told elsewhere")
    given = arguments.parse_args()
    found = measured(given.sample, (given.list,) if given.list else SORTS)
    print(f"{'':<22}{'tried':>7}{'unnoticed':>11}{'silent':>9}{'in the statement':>18}{'fell over':>11}")
    totals: dict[str, Count] = {}
    for (graph, sort), one in found.items():
        print(f"{graph + ', ' + sort:<22}{_row(one)}")
        total = totals.setdefault(sort, Count())
        total.tried += one.tried
        total.same += one.same
        total.unnoticed += one.unnoticed
        total.elsewhere += one.elsewhere
        total.fell += one.fell
    for sort, total in totals.items():
        print(f"{'all, ' + sort:<22}{_row(total)}")
    if given.list:
        for change in totals[given.list].unnoticed:
            print(f"unnoticed  line {change.lines[0]}: {change.token!r}")
        for change, said in totals[given.list].elsewhere:
            print(f"elsewhere  line {change.lines[0]}: {change.token!r} -> {said}")
    for total in totals.values():
        for change, said in total.fell:
            print(f"fell over  line {change.lines[0]}: {change.token!r} {change.sort} -> {said}")
    return int(any(total.fell for total in totals.values()))


def _row(one: Count) -> str:
    unnoticed = len(one.unnoticed) / max(one.tried, 1)
    silent = (len(one.unnoticed) - one.same) / max(one.tried, 1)
    inside = 1 - len(one.elsewhere) / max(one.noticed, 1)
    return f"{one.tried:>7}{unnoticed:>11.1%}{silent:>9.1%}{inside:>18.1%}{len(one.fell):>11}"


if __name__ == "__main__":
    sys.exit(main())
