"""A test made of what a run left: real rows, the real replies to them, and what came of both.

The rows go through the node once more as a test's do, offline; where a call would be made, the reply
that was paid for in the run is taken from the store and noted. What comes out is what is expected.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from engine.frozen import dataclass
from engine.language.formatting import format_text
from engine.language.types import validator
from engine.language.writing import Unwritable, name, quoted, several, written
from engine.models.base import Reply, Request
from engine.models.reply_text import reply_text
from engine.runtime.choosing import Choosing, Chosen, id_names
from engine.runtime.expecting import expected
from engine.runtime.reading import asks, columns_read, ids_read, params_that_matter
from engine.runtime.testing import Runner
from engine.runtime.trial import Answers
from engine.store.memo import USABLE
from engine.store.reader import Reader
from engine.store.records import id_column
from engine.store.schema import SCHEMA

if TYPE_CHECKING:
    from engine.language.program import Node, Program
    from engine.language.testing import Test


class NotRecorded(Exception):
    """No test can be made of this node's rows."""

    exit_code = 2

    def __init__(self, message: str, help: str | None = None, exit_code: int = 2):
        super().__init__(message)
        self.message, self.help, self.exit_code = message, help, exit_code


@dataclass(frozen=True)
class Recording:
    """A test that passes: its text as it is laid out, and how many rows it gives of each table."""

    node: str
    says: str
    text: str
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Noted:
    """One real reply, as it is written."""

    status: str
    text: str
    source: str


class FromStore(Answers):
    """Answers with what the store holds, and notes it."""

    def __init__(self, program: Program, reader: Reader):
        self.program, self.reader = program, reader
        self.models: dict[str, Any] = {}
        self.noted: dict[str, list[list[Noted]]] = {}

    def answer(self, node: str, row: int, call: int, role: str, model: str, request: Request) -> Reply | None:
        if model not in self.models:
            from engine.models import open_model

            self.models[model] = open_model(self.program.models[model], os.environ)
        found = self.known(self.models[model].key(request))
        if found is None:
            self.trouble = f"the store has no reply to what `{node}` asks now"
            return None
        status, text, finish = found
        rows = self.noted.setdefault(node, [])
        if row == len(rows):
            rows.append([])
        rows[row].append(Noted(status, text, reply_source(status, text, request)))
        return Reply(status, text, finish=finish)

    def known(self, key: bytes) -> tuple[Any, str, str] | None:
        """Status, text and finish of the newest usable reply, as a test serves it."""
        statuses = ", ".join(f"'{one}'" for one in USABLE)
        rows = self.reader.sql(
            f"SELECT status, reply FROM {SCHEMA}.calls WHERE key = '{UUID(bytes=key)}'"
            f" AND status IN ({statuses}) ORDER BY rowid DESC LIMIT 1"
        ).rows
        if not rows:
            return None
        status, text = rows[0]
        return status, text or "", {"cut": "length", "refused": "content_filter"}.get(status, "stop")


def reply_source(status: str, text: str, request: Request) -> str:
    """A reply as a test writes it: a value where the text is nothing but that, else the text."""
    if status != "ok":
        return f"{status}({written(text, 4, len(status) + 1)})"
    if request.reply == "json" and request.wanted is not None:
        import json

        from engine.models.replies import Unparsed, parse

        try:
            value = parse(text, request.wanted, "json")
            served = reply_text(validator(request.wanted)(value), request.wanted, "json")
            if not isinstance(value, str) and json.loads(served) == json.loads(text):
                return written(value, 4)
        except (ValueError, RecursionError, Unparsed, Unwritable):
            pass
    return written(text, 4)


class Recorder:
    """Makes one test. `program` is the graph as it was run, `plain` as its tests see it."""

    def __init__(self, program: Program, plain: Program, reader: Reader, root: Path):
        self.program, self.plain, self.reader, self.root = program, plain, reader, root

    def record(self, name: str, number: int, says: str) -> Recording:
        """The test. Raises `NotRecorded`; nothing is written."""
        node = self.node(name)
        with self.reader.held():
            rows = self.rows(node, number)
            given = {source: self.given(node, source, found) for source, found in rows.items()}
            params = self.params(node)
            with Runner(self.root) as runner:
                bare = self.composed(node, says, params, given, "reply = []" if asks(node) else "", [])
                test = self.test(bare, name, says)
                answers = FromStore(self.program, self.reader)
                engine, tables = runner.tried(test, answers)
                if answers.trouble is not None:
                    raise NotRecorded(
                        answers.trouble,
                        "the graph, a prompt or a model is not as it was in the run: atk exec runs it anew",
                    )
                if engine.errors:
                    raise NotRecorded(engine.errors[0][0], engine.errors[0][1], 1)
                text = self.composed(
                    node, says, params, given, self.replies(answers, name), list(expected(test, tables))
                )
                outcome = runner.run(self.test(text, name, says))
        if outcome.status != "passed":
            raise NotRecorded(
                f"the test that was made does not pass: {outcome.failures[0].message}",
                "nothing is written; two runs of this node over the same rows may well differ",
                1,
            )
        return Recording(name, says, text, {source: len(found) for source, found in rows.items()})

    # -- what can be recorded ----------------------------------------------------------------------

    def node(self, name: str) -> Node:
        """The node. Raises `NotRecorded` where there is none, or where it is none of the file's own."""
        alias = self.program.aliases.get(name, name)
        node = self.program.nodes.get(alias)
        if node is None:
            import difflib

            known = [one for one in self.program.nodes if "." not in one]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            help = f"did you mean {near[0]}?" if near else f"its nodes: {', '.join(known)}"
            raise NotRecorded(f"{self.program.name} has no node `{name}`", help)
        if "." in node.name:
            raise NotRecorded(
                f"`{name}` is made inside a graph that is called here",
                "a graph is tested by its own name in its own file, with rows that you write",
            )
        if not node.inputs:
            raise NotRecorded(
                f"`{name}` reads from outside, where a test has no place", "record a node that reads it"
            )
        if node.skipped:
            raise NotRecorded(f"`{name}` was left out of the run: its `when` is false")
        for view, source in node.tables.items():
            if view.startswith(("rejected.", "failed.")):
                raise NotRecorded(
                    f"`{name}` reads {view}, and a test gives good rows only",
                    f"write a test that gives what `{source}` reads",
                )
        return node

    def rows(self, node: Node, number: int) -> dict[str, list[Chosen]]:
        """Rows of each input table. Raises `NotRecorded` where nothing came of the node."""
        description = self.reader.description
        if node.name not in description.tables:
            raise NotRecorded(
                f"`{node.name}` has not been run yet", f"atk exec {self.program.shown or self.program.name}"
            )
        choosing = Choosing(self.reader, description, node.name, list(dict.fromkeys(node.inputs)))
        found = choosing.rows(number)
        if not any(found.values()):
            raise NotRecorded(
                f"`{node.name}` has no rows that a test could show",
                "its last run came to none, or only to calls that failed: atk show and atk exec",
            )
        return found

    # -- what is given -----------------------------------------------------------------------------

    def given(self, node: Node, source: str, rows: Sequence[Chosen]) -> str:
        """`given source = [ … ]`: the columns that the node reads, the row's id, and ids that it reads."""
        columns = columns_read(self.program, node, source)
        ids = [source, *ids_read(self.program, node, source)]
        short = {one: id_names(rows, one) for one in ids}
        made: list[str] = []
        for row in rows:
            shown = {id_column(one): short[one][row.ids[one]] for one in ids if one in row.ids}
            try:
                made.append(written(shown | {one: row.columns[one] for one in columns}, 4))
            except Unwritable as error:
                raise NotRecorded(f"a row of `{source}` cannot be written down: {error} is in it") from None
        return f"given {source} = {_lines(made)}"

    def params(self, node: Node) -> list[str]:
        """Params that the run had and the file alone has not, where they make a difference to the node."""
        differing = {
            one: param.value
            for one, param in self.program.params.items()
            if one not in self.plain.params or self.plain.params[one].value != param.value
        }
        kept = params_that_matter(node, self.plain.nodes.get(node.name), differing)
        try:
            return [f"{name(one)} = {written(value, 2)}" for one, value in kept.items()]
        except Unwritable as error:
            raise NotRecorded(f"a param of the run cannot be written down: {error}") from None

    # -- the text ----------------------------------------------------------------------------------

    def replies(self, answers: FromStore, name: str) -> str:
        if name not in answers.noted:
            return "reply = []" if asks(self.program.nodes[name]) else ""
        rows = [
            calls[0].source if len(calls) == 1 else several([one.source for one in calls], 4, "()")
            for calls in answers.noted[name]
        ]
        return f"reply = {_lines(rows)}"

    def composed(
        self,
        node: Node,
        says: str,
        params: Sequence[str],
        given: Mapping[str, str],
        replies: str,
        expects: Sequence[str],
    ) -> str:
        body = [*params, *given.values(), replies, *(expects or ["expect count(*) >= 0"])]
        inner = "\n".join(f"  {one}" for one in body if one)
        return format_text(f"test {node.name} {quoted(says)} {{\n{inner}\n}}\n", self.program.shown)

    def test(self, text: str, name: str, says: str) -> Test:
        """The test as it is checked at the end of the file. Raises `NotRecorded` where it is wrong."""
        from engine import runtime

        whole = joined(self.program.text, text)
        found = runtime.load(str(self.program.path), root=self.root, complete=False, tests=True, text=whole)
        for test in found.tests:
            if test.node == name and test.says == says:
                return test
        first = self.program.text.count("\n")
        wrong = [one for one in found.diagnostics if one.severity == "error"]
        here = [one for one in wrong if one.span.line > first] or wrong
        message = here[0].message if here else "it is not understood"
        raise NotRecorded(f"the test that was made is not sound: {message}", here[0].help if here else None)


def joined(before: str, test: str) -> str:
    """A file with a test at its end; what was there stays as it is."""
    ending = "\r\n" if before.partition("\n")[0].endswith("\r") else "\n"
    gap = "" if not before else ending if before.endswith("\n") else ending * 2
    return before + gap + test.replace("\n", ending)


# -- small things ----------------------------------------------------------------------------------


def _lines(parts: Sequence[str]) -> str:
    return "[\n" + "".join(f"    {one},\n" for one in parts) + "  ]" if parts else "[]"
