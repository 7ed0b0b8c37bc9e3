"""The shapes of the language as plain data, and how each is written.

Nothing here knows JSON, DuckDB, a value or the place where a type was written. Import the
names from `engine.language.types`, which gathers them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field

from engine.frozen import dataclass


@dataclass(frozen=True)
class Scalar:
    """`str`, `int`, `float`, `bool` or `path`."""

    name: str


@dataclass(frozen=True)
class Literal:
    """A closed set of strings: `"plain" | "socratic"`."""

    values: tuple[str, ...]


@dataclass(frozen=True)
class Many:
    """`T[]`."""

    of: Type


@dataclass(frozen=True)
class Optional:
    """`T?`."""

    of: Type


@dataclass(frozen=True)
class Field:
    """One field of a record. `doc` is its `##` comment; the model sees it in the schema."""

    name: str
    type: Type
    doc: str | None = None


@dataclass(frozen=True)
class Record:
    """`{ a: str, b: int }`; `name` is the declared type's name where it has one.

    Two records are equal when name and fields are; the doc comment of the type itself is
    left out, so whatever shows it must not be cached by the type alone.
    """

    fields: tuple[Field, ...]
    name: str | None = None
    doc: str | None = field(default=None, compare=False)

    def __iter__(self) -> Iterator[Field]:
        return iter(self.fields)


Type = Scalar | Literal | Many | Optional | Record

STR, INT, FLOAT, BOOL, PATH = (Scalar(name) for name in ("str", "int", "float", "bool", "path"))
SCALARS = {scalar.name: scalar for scalar in (STR, INT, FLOAT, BOOL, PATH)}


def describe(type_: Type, expand: bool = False) -> str:
    """The type as it is written in the language.

    A declared type is called by its name; with `expand` its fields are written out, which
    is what a fingerprint needs: a name stays the same when the fields change.
    """
    match type_:
        case Scalar(name):
            return name
        case Literal(values):
            return " | ".join(quoted(value) for value in values)
        case Many(inner):
            return _bracketed(inner, expand) + "[]"
        case Optional(inner):
            return _bracketed(inner, expand) + "?"
        case Record(fields, name):
            if name and not expand:
                return name
            if not fields:
                return "{}"
            return "{ " + ", ".join(f"{f.name}: {describe(f.type, expand)}" for f in fields) + " }"


def quoted(text: str) -> str:
    """A string as it is written in a graph: in double quotes, escaped."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


def _bracketed(inner: Type, expand: bool) -> str:
    text = describe(inner, expand)
    return f"({text})" if isinstance(inner, Literal) and len(inner.values) > 1 else text
