"""Comparisons in a query that DuckDB binds and that mean nothing: a number with a text, anything with null.

DuckDB converts a text where it is held against a number, and fails over the first row in which that
cannot be done. What is told here is certain: a column whose name has one type in the whole query, beside a
constant. Whatever a query names itself, in a CTE, an alias or a lambda, is left to DuckDB.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Tree = dict[str, Any]

_OPERATORS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")


class Nonsense(NamedTuple):
    """A comparison that means nothing; `constant` is the part of DuckDB's tree that is at fault."""

    message: str
    help: str
    constant: Tree


def nonsense(tree: Any, tables: Mapping[tuple[str, ...], Mapping[str, str]]) -> Iterator[Nonsense]:
    """What is wrong in a query's parse tree, over tables with these columns."""
    types = _types(tree, tables)
    for node in _parts(tree):
        kind = str(node.get("type"))
        if kind in _OPERATORS:
            yield from _compared(node["left"], node["right"], _OPERATORS[kind], types)
        elif kind == "COMPARE_IN" and node["children"]:
            first, *others = node["children"]
            for other in others:
                yield from _mixed(first, other, types)
        elif kind == "COMPARE_BETWEEN":
            for side in ("lower", "upper"):
                yield from _compared(node["input"], node[side], "between", types)


def _compared(left: Tree, right: Tree, operator: str, types: Mapping[str, str]) -> Iterator[Nonsense]:
    for one, other in ((left, right), (right, left)):
        if _constant(other) == "NULL_LITERAL":
            name = _name(one) or "x"
            mend = f"write `{name} IS {'NOT ' if operator == '<>' else ''}NULL`"
            yield Nonsense(f"`{operator}` with null is never true", mend, other)
            return
    yield from _mixed(left, right, types)
    yield from _mixed(right, left, types)


def _mixed(column: Tree, constant: Tree, types: Mapping[str, str]) -> Iterator[Nonsense]:
    name, sort = _name(column), _constant(constant)
    type_ = types.get(name.casefold()) if name else None
    if type_ is None or sort is None:
        return
    if type_ == "number" and sort == "STRING":
        said = str(constant["literal"].get("text"))
        number = said.strip().removeprefix("-").replace(".", "", 1).isdigit()
        mend = f"write {said.strip()}, without quotes" if number else "compare it with a number"
        yield Nonsense(f"`{name}` is a number, and this is a text", mend, constant)
    elif type_ == "text" and sort in ("INTEGER", "NUMERIC"):
        mend = f"write '{constant['literal'].get('text')}', or cast(`{name}` AS INTEGER) on the other side"
        yield Nonsense(f"`{name}` is a text, and this is a number", mend, constant)
    elif type_ == "bool" and sort in ("STRING", "INTEGER", "NUMERIC"):
        yield Nonsense(f"`{name}` is true or false", f"write `{name}`, or `NOT {name}`", constant)


def _types(tree: Any, tables: Mapping[tuple[str, ...], Mapping[str, str]]) -> dict[str, str]:
    """What each column certainly is ("number", "text", "bool"), as `n` and as `table.n`, in small letters."""
    sorts: dict[str, set[str | None]] = {}
    for columns in tables.values():
        for name, kind in columns.items():
            sorts.setdefault(name.casefold(), set()).add(_sort(kind))
    own = _named(tree)
    sure = {name: sort for name, (sort, *more) in sorts.items() if sort and not more and name not in own}
    bases = (node for node in _parts(tree) if node.get("type") == "BASE_TABLE")
    called = {str(name).casefold() for one in bases for name in (one["table_name"], one["alias"]) if name}
    qualified = {f"{table}.{name}": sort for table in called - sorts.keys() for name, sort in sure.items()}
    return sure | qualified


def _sort(kind: str) -> str | None:
    if kind.endswith("]"):
        return None
    if kind.startswith(_NUMBERS):
        return "number"
    return {"VARCHAR": "text", "BOOLEAN": "bool"}.get(kind)


def _named(tree: Any) -> set[str]:
    """Names that the query gives to things of its own."""
    found: set[str] = set()
    for node in _parts(tree):
        found |= {node["alias"].casefold()} if node.get("alias") else set()
        found |= {name.casefold() for name in (*node.get("column_name_alias", ()), *node.get("aliases", ()))}
        for entry in (*(node.get("replace_list") or ()), *(node.get("rename_list") or ())):
            found.add(str(entry.get("key")).casefold())
        if node.get("type") == "LAMBDA":
            found |= {name.casefold() for one in _parts(node["lhs"]) if (name := _name(one))}
        if "PIVOT" in str(node.get("type")):
            found |= {name.casefold() for one in _parts(node) if (name := _name(one))}
    return found


def _name(node: Tree) -> str | None:
    """A column as it is written: `n`, or `t.n`."""
    names = node.get("column_names") if node.get("class") == "COLUMN_REF" else None
    return ".".join(names) if names else None


def _constant(node: Tree) -> str | None:
    """The sort of a constant: "STRING", "INTEGER", "NUMERIC", "BOOLEAN", "NULL_LITERAL"."""
    return (node.get("literal") or {}).get("kind") if node.get("class") == "CONSTANT" else None


def _parts(value: Any) -> Iterator[Tree]:
    """Every object in a tree."""
    if isinstance(value, list):
        for inner in value:
            yield from _parts(inner)
    elif isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _parts(inner)
