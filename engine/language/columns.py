"""Tables while a graph is checked: their columns, whose rows theirs come from, which types fit.

DuckDB types are text here, as DuckDB writes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.language.binding import spelled
from engine.language.files import record_of
from engine.language.program import Column
from engine.language.types import Type, duckdb_type


@dataclass
class Table:
    """What is known of a node's table. `absent` are columns that a skipped node would have given it."""

    columns: dict[str, Column]
    ancestors: tuple[str, ...]
    kind: str
    absent: dict[str, Column] = field(default_factory=dict)

    @property
    def types(self) -> dict[str, str]:
        return {name: column.type for name, column in self.columns.items()}

    def missed(self, name: str) -> str | None:
        """Why a column is not there, where it could be."""
        if name not in self.absent:
            return None
        return f"`{self.absent[name].owner}` gives it, but is left out where its `when` is false"


def id_column(name: str) -> str:
    """The column that names a row of a node's table."""
    return name.replace(".", "_") + "_id"


def over(below: Mapping[str, Column], added: Mapping[str, Column]) -> dict[str, Column]:
    """Columns of a row with those added to it. A new one hides an old one, whatever its case."""
    folded = {name.casefold() for name in added}
    return {name: column for name, column in below.items() if name.casefold() not in folded} | dict(added)


def lacking(types: Mapping[str, str], type_: Type) -> list[str]:
    """What columns lack of the records that a type asks for."""
    faults: list[str] = []
    for one in record_of(type_) or ():
        wanted = duckdb_type(one.type)
        if one.name not in types:
            faults.append(f"has no column `{one.name}`")
        elif not fits(types[one.name], wanted):
            faults.append(f"has `{one.name}` as {spelled(types[one.name])} and not as {spelled(wanted)}")
    return faults


def alternatives(tables: Sequence[Table]) -> tuple[dict[str, Column], dict[str, str]]:
    """Columns of a table whose rows are those of one of several: kept ones, and ones of its own.

    It shows what all of them show. A column that one node stores for all of them stays there; one
    that each has from another node must be copied.
    """
    kept: dict[str, Column] = {}
    own: dict[str, str] = {}
    for name, column in tables[0].columns.items():
        found = [table.columns.get(name) for table in tables]
        there = [one for one in found if one is not None]
        widest = next((one.type for one in there if all(fits(other.type, one.type) for other in there)), None)
        if len(there) < len(tables) or widest is None:
            continue
        if all(one == column for one in there):
            kept[name] = column
        else:
            own[name] = widest
    return kept, own


def fits(given: str, wanted: str) -> bool:
    """Whether a column of one DuckDB type can stand where another is declared."""
    whole = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
    if given == wanted or (wanted == "BIGINT" and given in whole):
        return True
    if wanted == "DOUBLE":
        return given in (*whole, "FLOAT", "UBIGINT", "HUGEINT") or given.startswith("DECIMAL")
    if wanted == "VARCHAR":
        return given.startswith("ENUM")
    if given.endswith("]") and wanted.endswith("]"):
        return fits(given[: given.rindex("[")], wanted[: wanted.rindex("[")])
    return given.startswith("STRUCT(") and wanted.startswith("STRUCT(") and _fields(wanted, given)


def _fields(wanted: str, given: str) -> bool:
    """Whether a struct has all fields of another, with types that fit."""
    there, asked = struct_fields(given), struct_fields(wanted)
    return all(name in there and fits(there[name], kind) for name, kind in asked.items())


def struct_fields(type_: str) -> dict[str, str]:
    """Fields of `STRUCT("a" VARCHAR, b BIGINT[])` and their types."""
    inner = type_[len("STRUCT(") : type_.rindex(")")]
    parts: list[str] = []
    depth = begin = 0
    quoted = False
    for at, character in enumerate(inner):
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "([":
            depth += 1
        elif not quoted and character in ")]":
            depth -= 1
        elif not quoted and character == "," and not depth:
            parts.append(inner[begin:at].strip())
            begin = at + 1
    parts.append(inner[begin:].strip())
    fields: dict[str, str] = {}
    for part in filter(None, parts):
        found = re.match(r'"((?:[^"]|"")*)"\s+(.*)|(\S+)\s+(.*)', part, re.S)
        if found:
            name = found[1].replace('""', '"') if found[1] is not None else found[3]
            fields[name] = found[2] if found[1] is not None else found[4]
    return fields
