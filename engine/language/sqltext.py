"""Expressions and values as DuckDB's SQL. No connection here, and no look-up of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.language import tree as ast

RESERVED = frozenset(
    """all analyse analyze and any array as asc asymmetric both case cast check collate column constraint
    create default deferrable desc describe distinct do else end except false fetch for foreign from group
    having in initially intersect into lambda lateral leading limit not null offset on only or order pivot
    pivot_longer pivot_wider placing primary qualify references returning select show some summarize symmetric
    table then to trailing true union unique unpivot using variadic when where window with
    anti asof at authorization binary by collation concurrently cross freeze full glob ilike inner is isnull
    join left like natural notnull outer overlaps positional right semi similar tablesample unpack verbose
    """.split()
)
"""Words that DuckDB takes as a table's name in quotes only."""

_OPERATORS = {"==": "=", "!=": "<>"}


def identifier(name: str) -> str:
    """A name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def word(name: str) -> str:
    """A function's name. Quoted, DuckDB does not know `coalesce` and its like."""
    return name if name.isidentifier() and name.isascii() else identifier(name)


def text(value: str) -> str:
    """A string literal. A NUL, which no literal can hold, is put in by `chr`."""
    quoted = "'" + value.replace("'", "''") + "'"
    if "\0" not in value:
        return quoted
    return (
        "(" + " || chr(0) || ".join("'" + part.replace("'", "''") + "'" for part in value.split("\0")) + ")"
    )


def literal(value: Any) -> str:
    """A constant as SQL: numbers, strings, true, false, null, lists and objects."""
    match value:
        case None:
            return "NULL"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value) if value >= 0 else f"({value})"
        case float():
            # An exponent makes it a DOUBLE; DuckDB reads 0.1 as a DECIMAL.
            shown = repr(value)
            return f"({shown if 'e' in shown else shown + 'e0'})"
        case str():
            return text(value)
        case Mapping():
            return (
                "{" + ", ".join(f"{text(str(key))}: {literal(inner)}" for key, inner in value.items()) + "}"
            )
        case Sequence():
            return "[" + ", ".join(literal(inner) for inner in value) + "]"
    raise TypeError(f"no SQL literal for {type(value).__name__}")


def expression(
    root: ast.Expression,
    name: Callable[[ast.Name], str],
    special: Callable[[ast.Expression], str | None] = lambda node: None,
) -> str:
    """An expression as DuckDB reads it.

    `name` gives the SQL of a bare word, `special` that of any part that has a meaning of its own.
    """

    def sql(node: ast.Expression) -> str:
        if (own := special(node)) is not None:
            return own
        match node:
            case ast.Name():
                return name(node)
            case ast.Constant(value=value):
                return literal(value)
            case ast.String(value=value):
                return text(value)
            case ast.Unary(operator="not", of=of):
                return f"(NOT {sql(of)})"
            case ast.Unary(of=of):
                return f"(- {sql(of)})"
            case ast.Binary():
                return binary(node)
            case ast.Attribute(of=of, name=word):
                return f"({sql(of)}).{identifier(word.text)}"
            case ast.Item(of=of, at=at):
                return f"({sql(of)})[{sql(at)}]"
            case ast.Call():
                return call(node)
            case ast.Star():
                return "*"
            case ast.Sequence(items=items):
                return "[" + ", ".join(sql(item) for item in items) + "]"
            case ast.Object(pairs=pairs):
                return "{" + ", ".join(f"{text(key.text)}: {sql(value)}" for key, value in pairs) + "}"
        raise AssertionError(node)

    def binary(node: ast.Binary) -> str:
        left, right, operator = node.left, node.right, node.operator
        if operator in ("==", "!="):
            for one, other in ((left, right), (right, left)):
                if isinstance(other, ast.Constant) and other.value is None:
                    return f"({sql(one)} IS {'NOT ' if operator == '!=' else ''}NULL)"
        if operator in ("in", "not in"):
            negation = "NOT " if operator == "not in" else ""
            if isinstance(right, ast.Sequence):
                if not right.items:
                    return f"({negation}false)"
                return f"({negation}{sql(left)} IN ({', '.join(sql(item) for item in right.items)}))"
            return f"({negation}list_contains({sql(right)}, {sql(left)}))"
        return f"({sql(left)} {_OPERATORS.get(operator, operator.upper())} {sql(right)})"

    def call(node: ast.Call) -> str:
        function = node.function
        values = [
            f"{identifier(word.text)} := {sql(value)}" if word else sql(value)
            for word, value in node.arguments
        ]
        if isinstance(function, ast.Attribute):  # text.lower() is lower(text)
            return f"{word(function.name.text)}({', '.join([sql(function.of), *values])})"
        if node.name == "if" and len(values) == 3:
            return f"(CASE WHEN {values[0]} THEN {values[1]} ELSE {values[2]} END)"
        return f"{word(node.name or '')}({', '.join(values)})"

    return sql(root)
