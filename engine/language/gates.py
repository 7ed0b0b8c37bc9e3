"""Clauses of a node: each checked over the rows that it sees, at its own moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from engine.frozen import dataclass
from engine.language import tree as ast
from engine.language.binding import spelled
from engine.language.diagnostics import Diagnostic, Wrong, wrong
from engine.language.expressions import Expressions, Known, Scope, family
from engine.language.formatting import on_one_line
from engine.language.instances import Instance
from engine.language.kind import KindSpec
from engine.language.program import Clause
from engine.language.types import Type

TABLE_WORDS = frozenset({"expect", "until"})
"""Clauses over a finished table: they may aggregate."""


@dataclass(frozen=True)
class Rows:
    """What clauses may name: the input's columns, the node's table, and what single words add."""

    before: Mapping[str, str]
    after: Mapping[str, str]  # the finished table, ids included
    extra: Mapping[str, Mapping[str, str]]
    known: Mapping[str, Known]
    hint: Callable[[str], str | None]
    shapes: Mapping[str, Type] = field(default_factory=dict)  # columns whose declared type is known
    real: Mapping[str, str] = field(default_factory=dict)  # what ids of `after` are called in the table


@dataclass(frozen=True)
class Checked:
    """The clauses that could be checked, and the types of the `let`s among them."""

    clauses: tuple[Clause, ...]
    lets: Mapping[str, str]
    ok: bool


def check_words(
    kind: KindSpec, name: str, written: Sequence[ast.ClauseDeclaration], report: Callable[[Diagnostic], None]
) -> list[ast.ClauseDeclaration]:
    """The clauses that a kind takes; the others are told."""
    fitting: list[ast.ClauseDeclaration] = []
    for clause in written:
        word = clause.word.text
        if word in kind.clauses:
            fitting.append(clause)
            continue
        taken = ", ".join(f"`{one}`" for one in sorted(kind.clauses))
        help = (
            "it belongs into a `test`"
            if word == "given"
            else f"it takes {taken}"
            if taken
            else "it takes no clauses"
        )
        report(Diagnostic("ATK113", f"`{name}` takes no `{word}`", clause.word.span, help))
    return fitting


def check(
    expressions: Expressions,
    written: Sequence[ast.ClauseDeclaration],
    rows: Rows,
    report: Callable[[Diagnostic], None],
) -> Checked:
    """Check clauses in the order written: a `let` is in scope of all that follow it."""
    lets: dict[str, str] = {}
    made: list[Clause] = []
    ok = True
    hidden: set[str] = set()  # lets whose type an error hides: what names them stays silent
    for clause in written:
        try:
            if clause.name is not None and clause.word.text == "let":
                unfit(clause.name, lets, hidden)
            made.append(one(expressions, clause, rows, lets, hidden))
        except Wrong as error:
            ok = False
            if clause.name is not None:
                hidden.add(clause.name.text)
            for diagnostic in error.diagnostics:
                report(diagnostic)
    return Checked(tuple(made), lets, ok)


def unfit(name: ast.Word, lets: Mapping[str, str], hidden: set[str]) -> None:
    if name.text in lets or name.text in hidden:
        raise wrong("ATK102", f"`{name.text}` is declared twice", name.span)


def one(
    expressions: Expressions,
    clause: ast.ClauseDeclaration,
    rows: Rows,
    lets: dict[str, str],
    hidden: set[str],
) -> Clause:
    word = clause.word.text
    columns = {**(rows.after if word in TABLE_WORDS else {**rows.before, **lets}), **rows.extra.get(word, {})}
    if hidden & {node.name for node in ast.walk(clause.value) if isinstance(node, ast.Name)}:
        raise Wrong

    def hint(name: str) -> str | None:
        if (said := rows.hint(name)) is not None:
            return said
        if name in rows.extra.get("check", {}):
            return f"the reply is not there yet at `{word}`"
        if name.endswith("_id") and name in rows.after:
            return "ids are for queries and `expect`"
        return f"a `let` has no meaning in `{word}`" if name in lets else None

    shapes = {name: shape for name, shape in rows.shapes.items() if name not in lets}
    real = {name: told for name, told in rows.real.items() if name in columns and word in TABLE_WORDS}
    compiled = expressions.compile(
        clause.value, Scope(columns, rows.known, hint=hint, shapes=shapes, real=real)
    )
    if compiled.aggregate and word not in TABLE_WORDS:
        raise wrong(
            "ATK124",
            f"an aggregate has no meaning in a `{word}`, which looks at one row",
            clause.value.span,
            "`expect` looks at the whole table",
        )
    if word == "let":
        assert clause.name is not None
        lets[clause.name.text] = compiled.type
    elif family(compiled.type) not in ("bool", None) or compiled.type == "UUID":
        article = "an" if word in TABLE_WORDS else "a"
        message = f"{article} `{word}` is true or false; this is {spelled(compiled.type)}"
        raise wrong("ATK125", message, clause.value.span)
    return Clause(
        word=word,
        name=clause.name.text if clause.name else None,
        sql=compiled.sql,
        reads=compiled.reads,
        otherwise=clause.otherwise,
        text=on_one_line(clause.value.text),
        aggregate=compiled.aggregate,
        span=clause.value.span,
        choices=dict(_choices(expressions, clause.value, columns, rows)),
        params=compiled.params,
    )


def _choices(
    expressions: Expressions, root: ast.Expression, columns: Mapping[str, str], rows: Rows
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """`label in ["a", "b"]`, with a list that is known when the graph is planned."""
    match root:
        case ast.Binary(operator="and", left=left, right=right):
            yield from _choices(expressions, left, columns, rows)
            yield from _choices(expressions, right, columns, rows)
        case ast.Binary(operator="in", left=ast.Name(name=name), right=right):
            named = {part.name for part in ast.walk(right) if isinstance(part, ast.Name)}
            if name not in columns or named & columns.keys():
                return
            if isinstance(right, ast.Sequence):
                items = [_constant(expressions, item, rows) for item in right.items]
            else:
                found = _constant(expressions, right, rows)
                items = found if isinstance(found, list) else []
            if items and all(isinstance(item, str) for item in items):
                yield name, tuple(items)


def _constant(expressions: Expressions, written: ast.Expression, rows: Rows) -> Any:
    try:
        return expressions.constant(written, Scope(known=rows.known))
    except Wrong:
        return None


def of_calls(
    expressions: Expressions,
    handed: Sequence[tuple[ast.ClauseDeclaration, Instance]],
    rows: Callable[[Instance], Rows],
    report: Callable[[Diagnostic], None],
) -> Checked:
    """`expect` and `until` that were written at calls, each with what its place knows."""
    made: list[Clause] = []
    ok = True
    for clause, home in handed:
        checked = check(expressions, [clause], replace(rows(home), extra={}), report)
        made += checked.clauses
        ok &= checked.ok
    return Checked(tuple(made), {}, ok)
