"""Types and values that fit them, made by hypothesis."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from engine.language.types import BOOL, FLOAT, INT, STR, Field, Literal, Many, Optional, Record, Scalar, Type

names = st.from_regex(r"[a-z][a-z_]{0,7}[a-z]", fullmatch=True)
words = st.text(st.characters(codec="utf-8"), max_size=20)
scalars = st.sampled_from([STR, INT, FLOAT, BOOL])
literals = st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=1, max_size=4, unique=True).map(
    lambda values: Literal(tuple(values))
)


def types(depth: int = 2) -> st.SearchStrategy[Type]:
    """Any type of the language, records at most `depth` deep; `?` of `?` and lists of `?` are left out."""
    leaves: st.SearchStrategy[Type] = st.one_of(scalars, literals)
    if depth:
        leaves = st.one_of(leaves, records(depth - 1))
    whole = st.one_of(leaves, leaves.map(Many))
    return st.one_of(whole, whole.map(Optional))


def records(depth: int = 2) -> st.SearchStrategy[Record]:
    """Records with at least one field that must be there; no two names are alike but for `_`."""
    fields = st.lists(
        st.tuples(names, types(depth)),
        min_size=1,
        max_size=4,
        unique_by=lambda pair: pair[0].replace("_", ""),
    )
    return fields.filter(lambda pairs: not isinstance(pairs[0][1], Optional)).map(
        lambda pairs: Record(tuple(Field(name, kind) for name, kind in pairs))
    )


def values(kind: Type) -> st.SearchStrategy[Any]:
    """Values of a type, as they are in the engine: dicts, lists, texts, numbers, None."""
    match kind:
        case Scalar("int"):
            return st.integers(-(2**53), 2**53)
        case Scalar("float"):
            return st.floats(allow_nan=False, allow_infinity=False)
        case Scalar("bool"):
            return st.booleans()
        case Scalar():
            return words
        case Literal(options):
            return st.sampled_from(options)
        case Many(inner):
            return st.lists(values(inner), max_size=4)
        case Optional(inner):
            return st.one_of(st.none(), values(inner))
        case Record(fields):
            return st.fixed_dictionaries({f.name: values(f.type) for f in fields})


@st.composite
def typed_values(draw: st.DrawFn, records: bool = False) -> tuple[Type, Any]:
    """A type that a prompt may ask for, and a value of it."""
    plain = globals()["records"]()
    kind = draw(plain if records else st.one_of(plain, plain.map(Many), plain.map(Optional)))
    return kind, draw(values(kind))
