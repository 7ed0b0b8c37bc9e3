"""The marks of an exam as a store has them, what making them cost, and models trained by the same graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.commands._errors import stop
from engine.commands.result.figures import VERDICTS, Line, Mark, lines
from engine.frozen import dataclass

if TYPE_CHECKING:
    from engine.store.reader import Reader

NEEDED = ("subject", "question", "verdict")
OPTIONAL = ("answer", "reply", "why", "invented", "asked")
MARKS = "marks"
KEY = "questions_id"
BASE = "base"


@dataclass(frozen=True)
class Result:
    """What an exam came to. `costs` are by node, `models` the rows of `train` nodes by their names."""

    graph: str
    table: str
    base: str
    marks: Sequence[Mark]
    lines: Sequence[Line]
    costs: Sequence[Mapping[str, Any]]
    models: Mapping[str, Mapping[str, Any]]

    @property
    def subjects(self) -> list[str]:
        """In the order of the table."""
        return list(dict.fromkeys(mark.subject for mark in self.marks))

    @property
    def parted(self) -> bool:
        """Whether it is known of any fact that the training asked about it."""
        return any(mark.asked is not None for mark in self.marks)


def gather(opened: Reader, table: str | None, base: str | None) -> Result:
    """Read it. What is no result of an exam ends the command and says what is missing."""
    from engine.commands._summary import name_in_sql

    known = opened.description
    name = table_named(opened, table)
    columns = known.tables[name].visible.keys()
    missing = [one for one in NEEDED if one not in columns]
    if missing:
        stop(
            f"`{name}` is no result of an exam: it has no column "
            + " and no ".join(f"`{one}`" for one in missing),
            "a row for each question and subject, with `subject`, `question`, `verdict` "
            f"({', '.join(VERDICTS)}), and where there are any {', '.join(f'`{one}`' for one in OPTIONAL)}",
        )
    taken = [*NEEDED, *(one for one in OPTIONAL if one in columns)]
    shown = opened.sql(f"FROM {name_in_sql(name)} LIMIT 0").columns
    ids = [one for one in shown if one == KEY or one.endswith(f"_{KEY}")][:1]  # of an exam that a graph uses
    chosen = [*taken, *(f"{one} AS {KEY}" for one in ids)]
    rows = opened.sql(f"SELECT {', '.join(chosen)} FROM {name_in_sql(name)}").dicts()
    if not rows:
        stop(
            f"`{name}` has no rows: nobody has sat this exam",
            "`atk exec` runs it; `atk runs` says how it ended",
        )
    marks = marked(name, rows)
    subjects = list(dict.fromkeys(mark.subject for mark in marks))
    against = base or (BASE if BASE in subjects else subjects[0])
    if against not in subjects:
        stop(f"nobody is called {against} in `{name}`", f"its subjects: {', '.join(subjects)}")
    in_order = sorted(marks, key=lambda mark: (mark.subject != against, subjects.index(mark.subject)))
    return Result(
        known.graph,
        name,
        against,
        in_order,
        lines(in_order, against),
        costs(opened, known.graph),
        trained(opened),
    )


def table_named(opened: Reader, table: str | None) -> str:
    """The table that is named; without a name `marks`, the graph's own or that of an exam that it uses."""
    from engine.commands.show import table_of

    tables = opened.description.tables
    if table is not None:
        return table_of(opened, table).node
    found = [MARKS] if MARKS in tables else [one for one in tables if one.endswith(f".{MARKS}")]
    if len(found) != 1:
        what = f"has {' and '.join(found)}" if found else f"has no table `{MARKS}`"
        stop(
            f"graph {opened.description.graph} {what}",
            "name the table: atk report TABLE; --graph names another graph, such as exam",
        )
    return found[0]


def marked(name: str, rows: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """Rows as marks; a question that is asked twice is two, told apart by their order."""
    nth: Counter[Any] = Counter()
    marks: list[Mark] = []
    for row in rows:
        if row["verdict"] not in VERDICTS:
            stop(f"`{name}` has the verdict {row['verdict']!r}", f"it must be one of {', '.join(VERDICTS)}")
        subject, question = str(row["subject"]), str(row["question"])
        key = row.get(KEY) or question
        nth[subject, key] += 1
        more = {one: row.get(one) for one in ("answer", "reply", "why")}
        texts = {one: None if value is None else str(value) for one, value in more.items()}
        asked = row.get("asked")
        marks.append(
            Mark(
                subject,
                (key, nth[subject, key]),
                question,
                row["verdict"],
                bool(row.get("invented")),
                None if asked is None else bool(asked),
                **texts,
            )
        )
    return marks


def costs(opened: Reader, graph: str) -> list[dict[str, Any]]:
    """Calls, tokens and USD of each node of the graph, over all its runs."""
    from engine.store.schema import text

    return opened.sql(
        "SELECT node, string_agg(DISTINCT model, ', ' ORDER BY model) AS model, count(*) AS calls,"
        " coalesce(sum(tokens_in), 0)::BIGINT AS tokens_in,"
        " coalesce(sum(tokens_out), 0)::BIGINT AS tokens_out,"
        f" coalesce(sum(cost), 0)::DOUBLE AS cost FROM calls WHERE graph = {text(graph)} AND run > 0"
        " GROUP BY node ORDER BY cost DESC, calls DESC, node"
    ).dicts()


def trained(opened: Reader) -> dict[str, dict[str, Any]]:
    """What each `train` node of the graph came to."""
    from engine.commands._summary import name_in_sql

    found: dict[str, dict[str, Any]] = {}
    for name, spec in opened.description.tables.items():
        if spec.kind == "train" and spec.passes is None:
            rows = opened.sql(f"SELECT {', '.join(spec.own)} FROM {name_in_sql(name)} LIMIT 1").dicts()
            if rows:
                found[name] = rows[0]
    return found
