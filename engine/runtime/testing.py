"""Tests of graphs: each run by itself, offline, its expectations held against what came of it."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engine.frozen import dataclass
from engine.language.types import accepts, describe, validator
from engine.models.base import Reply, Request
from engine.models.reply_text import reply_text
from engine.runtime.trial import Answers, Ids, Shared, Trial, trial

if TYPE_CHECKING:
    from engine.language.canned import Canned
    from engine.language.diagnostics import Span
    from engine.language.testing import Expectation, Fate, Test

FATES: tuple[Fate, ...] = ("ok", "rejected", "failed")
ORDINALS = ("first", "second", "third")


@dataclass(frozen=True)
class Failure:
    """One thing that was not as expected: in a word or two, where, and what was seen."""

    message: str
    span: Span
    seen: tuple[tuple[str, Any], ...] = ()
    rows: tuple[Mapping[str, Any], ...] = ()  # those that do not hold, cut to what the expression reads
    help: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a test ended. `error`: it could not be held against its expectations.

    `tables` are the node's rows by what became of them, in the order of the given rows.
    """

    test: Test
    status: Literal["passed", "failed", "error"]
    seconds: float
    failures: tuple[Failure, ...] = ()
    tables: Mapping[Fate, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    crashes: tuple[str, ...] = ()


class Scripted(Answers):
    """The replies that a test gives."""

    def __init__(self, test: Test):
        self.replies = test.replies
        self.span: Span | None = None

    def answer(self, node: str, row: int, call: int, role: str, model: str, request: Request) -> Reply | None:
        given = self.replies.get(node, ())
        if row >= len(given):
            self.trouble = f"row {row + 1} of those that ask `{node}` has no reply: there are {len(given)}"
            return None
        if call >= len(given[row]):
            self.span = given[row][-1].span if given[row] else None
            self.trouble = (
                f"row {row + 1} of `{node}` is asked a {_ordinal(call)} time, and has "
                f"{len(given[row])} {'reply' if len(given[row]) == 1 else 'replies'}{_cause(role, request)}"
            )
            return None
        return self.written(given[row][call], node, row, call, role, request)

    def written(
        self, canned: Canned, node: str, row: int, call: int, role: str, request: Request
    ) -> Reply | None:
        if canned.text is not None:
            finish = {"cut": "length", "refused": "content_filter"}.get(canned.status, "stop")
            return Reply(canned.status, canned.text, finish=finish)
        assert request.wanted is not None
        refused = accepts(request.wanted, canned.value)
        if refused:
            self.span = canned.span
            asked = "repairs it" if role == "repair" else "asks the node's own question"
            self.trouble = (
                f"call {call + 1} for row {row + 1} of `{node}` {asked} and gives "
                f"{describe(request.wanted, expand=True)}: {refused}"
            )
            return None
        value = validator(request.wanted)(canned.value)
        return Reply("ok", reply_text(value, request.wanted, request.reply), finish="stop")


def _ordinal(place: int) -> str:
    return ORDINALS[place] if place < len(ORDINALS) else f"{place + 1}th"


def _cause(role: str, request: Request) -> str:
    if role == "repair":
        return ": to be repaired"
    last = request.messages[-1]["content"] if request.messages else ""
    mark = "That reply cannot be used: "
    return f": {last[len(mark) :].splitlines()[0]}" if last.startswith(mark) else ""


class Runner:
    """Runs tests one by one; to be closed.

    They share one store in memory, in which each has tables of its own, and the connections that
    evaluate gates and expectations. What a test writes lies in a folder that goes with the runner.
    """

    def __init__(self, root: Path):
        from engine.store.store import Store

        self.root = root
        self.shared = Shared()
        self.expressions = self.shared.values
        self.folder = tempfile.TemporaryDirectory(prefix="atk-test-")
        self.store = Store.open(Path(self.folder.name) / "none", "plan")
        self.number = 0

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
        self.shared.close()
        self.folder.cleanup()

    def tried(self, test: Test, answers: Answers) -> tuple[Trial, dict[Fate, list[dict[str, Any]]]]:
        """The engine after it ran a test, and the node's rows by what became of them."""
        self.number += 1
        out = Path(self.folder.name) / str(self.number)
        engine, ids = trial(test, answers, self.store, self.shared, self.number, self.root, out)
        asyncio.run(engine.run())
        there: Mapping[str, int] = dict.fromkeys(FATES, 1)
        station = engine.stations.get(engine.behind(test.node))
        if station is not None and station.result == "done":  # it has counted them
            progress = station.progress
            there = {"ok": progress.rows, "rejected": progress.rejected, "failed": progress.failed}
        return engine, {
            fate: rows_of(engine, test.node, fate, ids, test.ids) if there[fate] else [] for fate in FATES
        }

    def run(self, test: Test) -> Outcome:
        """One test, to its end."""
        started = time.monotonic()
        answers = Scripted(test)
        engine, tables = self.tried(test, answers)
        failures = self.troubles(test, engine, answers)
        status: Literal["passed", "failed", "error"] = "error" if failures else "passed"
        if not failures:
            failures = [
                found
                for expectation in test.expects
                if (found := self.held(test, expectation, tables[expectation.fate])) is not None
            ]
            status = "failed" if failures else "passed"
        return Outcome(
            test, status, time.monotonic() - started, tuple(failures), tables, tuple(engine.crashes)
        )

    # -- what went wrong before there was a table -----------------------------------------------

    def troubles(self, test: Test, engine: Trial, answers: Scripted) -> list[Failure]:
        if answers.trouble is not None:
            help = "several replies for one row stand in parentheses: (first, second)"
            return [Failure(answers.trouble, answers.span or test.span, help=help)]
        found = [Failure(message, test.span, help=help) for message, help in engine.errors]
        if found:
            return found
        for node, given in test.replies.items():
            asked = engine.replies.asked.get(node)
            calls = asked.calls if asked else []
            for row, replies in enumerate(given):
                used = calls[row] if row < len(calls) else 0
                if row >= len(calls):
                    asks = f"{len(calls)} {'row asks' if len(calls) == 1 else 'rows ask'}"
                    found.append(
                        Failure(f"{len(given)} replies for `{node}`, and {asks}", replies[0].span)
                        if replies
                        else Failure(f"{len(given)} replies for `{node}`, and {asks}", test.span)
                    )
                    break
                if used < len(replies):
                    times = "once" if used == 1 else f"{used} times"
                    found.append(
                        Failure(
                            f"row {row + 1} of `{node}` is asked {times}, and has {len(replies)} replies",
                            replies[used].span,
                        )
                    )
        return found

    # -- expectations -----------------------------------------------------------------------------

    def held(self, test: Test, expectation: Expectation, rows: Sequence[Mapping[str, Any]]) -> Failure | None:
        """What does not hold of an expectation; None where it does."""
        import duckdb

        clause = expectation.clause
        types = dict(test.columns)
        if expectation.fate != "ok":
            types["reason"] = "VARCHAR"
        said = clause.otherwise or f"expect {clause.text}"
        parts = [sql for _, sql in expectation.parts]
        try:
            if not clause.aggregate:
                return self.every(expectation, rows, types, said)
            value, *seen = self.whole([clause.sql, *parts], rows, types)
            if value is True:
                return None
        except (duckdb.Error, ArithmeticError, ValueError) as error:
            return Failure(f"{said}: cannot be worked out: {str(error).splitlines()[0]}", clause.span)
        names = [text for text, _ in expectation.parts]
        return Failure(said, clause.span, tuple(zip(names, seen, strict=True)))

    def every(
        self,
        expectation: Expectation,
        rows: Sequence[Mapping[str, Any]],
        types: Mapping[str, str],
        said: str,
    ) -> Failure | None:
        """An expectation of each row; over no rows at all it says nothing, so there must be one."""
        clause = expectation.clause
        if not rows:
            where = "the table" if expectation.fate == "ok" else f"`{expectation.fate}`"
            return Failure(
                said, clause.span, help=f"{where} has no row; to expect none, write expect count(*) == 0"
            )
        values = self.expressions.evaluate([clause.sql], rows, types)
        wrong = [row for row, (value,) in zip(rows, values, strict=True) if value is not True]
        if not wrong:
            return None
        shown = tuple({name: row.get(name) for name in types if name in clause.reads} for row in wrong)
        return Failure(f"{said} ({len(wrong)} of {len(rows)} rows do not hold)", clause.span, rows=shown)

    def whole(
        self, expressions: Sequence[str], rows: Sequence[Mapping[str, Any]], types: Mapping[str, str]
    ) -> tuple[Any, ...]:
        """Expressions over a whole table, its rows in order; a part that is over one row is None."""
        import duckdb

        from engine.store.arrow import pyarrow as pa

        arrays = [
            pa.array([row.get(name) for row in rows], type=self.expressions.arrow_type(kind))
            for name, kind in types.items()
        ]
        connection = self.expressions.connection
        connection.register("__rows", pa.Table.from_arrays(arrays, names=list(types)))
        try:
            first = connection.execute(f"SELECT ({expressions[0]}) FROM __rows").fetchall()[0]
            if first[0] is True:
                return (True, *([None] * (len(expressions) - 1)))
            found: list[Any] = [first[0]]
            for sql in expressions[1:]:
                try:
                    found.append(connection.execute(f"SELECT ({sql}) FROM __rows").fetchall()[0][0])
                except (duckdb.Error, IndexError):
                    found.append(None)
            return tuple(found)
        finally:
            connection.unregister("__rows")


def rows_of(
    engine: Trial, name: str, fate: Fate, ids: Ids, called: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Rows of a node that became so, in order, under the names that expectations use; ids as texts."""
    from uuid import UUID

    node = engine.program.nodes[name]
    back = ids.texts()
    made: list[dict[str, Any]] = []
    for row_id, columns, found, reason in engine.store.told(engine.behind(name), fate):
        row: dict[str, Any] = {}
        for one in (name, *node.ancestors):
            raw = row_id if one == name else found.get(one)
            column = called[one]
            if one in back:
                row[column] = back[one].get(raw) if raw is not None else None
            else:
                row[column] = str(UUID(bytes=raw)) if raw is not None else None
        row |= columns
        if fate != "ok":
            row["reason"] = reason
        made.append(row)
    return made
