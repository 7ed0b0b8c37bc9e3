"""Types of expressions that can be told without asking DuckDB.

Most gates are a comparison or a call of a common function, and binding one in DuckDB takes a
millisecond or two. What is told here is exactly what DuckDB would say (a test compares them over
many expressions); everything else is left to it, mistakes above all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.language import tree as ast
from engine.language.columns import struct_fields

AGGREGATES = frozenset(
    """any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_max_null
    arg_max_nulls_last arg_min arg_min_null arg_min_nulls_last argmax argmin array_agg avg bit_and bit_or
    bit_xor bitstring_agg bool_and bool_or combine_aggr corr count count_if count_star countif covar_pop
    covar_samp decimal_average entropy favg first fsum group_concat histogram histogram_exact kahan_sum
    kurtosis kurtosis_pop last list listagg lttb mad max max_by mean median min min_by mode product quantile
    quantile_cont quantile_disc regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx
    regr_sxy regr_syy reservoir_quantile sem skewness stddev stddev_pop stddev_samp string_agg sum
    sum_no_overflow sumkahan var_pop var_samp variance variant_group_object
    """.split()
)
"""Functions over many rows (`duckdb_functions()`, type aggregate)."""

_WHOLE = ("INTEGER", "BIGINT")
_NUMBERS = (*_WHOLE, "DOUBLE")
_TEXT = ("VARCHAR",)
_COMPARED = ("==", "!=", "<", ">", "<=", ">=")
# What common functions take and give. A pattern of `regexp_matches` is for DuckDB to read.
_FUNCTIONS: dict[str, tuple[tuple[tuple[str, ...], ...], str]] = {
    "lower": ((_TEXT,), "VARCHAR"),
    "upper": ((_TEXT,), "VARCHAR"),
    "trim": ((_TEXT,), "VARCHAR"),
    "contains": ((_TEXT, _TEXT), "BOOLEAN"),
    "starts_with": ((_TEXT, _TEXT), "BOOLEAN"),
    "ends_with": ((_TEXT, _TEXT), "BOOLEAN"),
    "replace": ((_TEXT, _TEXT, _TEXT), "VARCHAR"),
}


class Inference:
    """Types of one expression's parts. `names` are the types of the bare words in it.

    `values` are parts that have a meaning of their own; nothing is said of them.
    """

    def __init__(self, names: Mapping[str, str], values: Mapping[int, Any]):
        self.names, self.values = names, values
        self.found: dict[int, str | None] = {}

    def type(self, node: ast.Expression) -> str | None:
        """The DuckDB type of an expression that certainly binds; None where DuckDB must be asked."""
        if id(node) in self.values:
            return None
        if id(node) not in self.found:
            self.found[id(node)] = self._type(node)
        return self.found[id(node)]

    def _type(self, node: ast.Expression) -> str | None:
        match node:
            case ast.Name(name=name):
                return self.names.get(name)
            case ast.String():
                return "VARCHAR"
            case ast.Constant(value=value):
                return _of_constant(value)
            case ast.Unary(operator=operator, of=of):
                inner = self.type(of)
                fits = inner == "BOOLEAN" if operator == "not" else inner in _NUMBERS
                return inner if fits else None
            case ast.Binary():
                return self._binary(node)
            case ast.Attribute(of=of, name=name):
                inner = self.type(of)
                fields = struct_fields(inner) if inner and _is_struct(inner) else {}
                return fields.get(name.text)
            case ast.Item(of=of, at=at):
                inner = self.type(of)
                return inner[: -len("[]")] if inner and _is_list(inner) and self.type(at) in _WHOLE else None
            case ast.Call():
                return self._call(node)
        return None

    def _binary(self, node: ast.Binary) -> str | None:
        operator, left = node.operator, self.type(node.left)
        if operator in ("in", "not in"):
            items = node.right.items if isinstance(node.right, ast.Sequence) else ()
            return "BOOLEAN" if items and all(_alike(left, self.type(item)) for item in items) else None
        right = self.type(node.right)
        if left is None or right is None:
            return None
        if operator in ("and", "or"):
            return "BOOLEAN" if left == right == "BOOLEAN" else None
        if operator in _COMPARED:
            return "BOOLEAN" if _alike(left, right) else None
        if operator == "||":
            return "VARCHAR" if left == right == "VARCHAR" else None
        if left not in _NUMBERS or right not in _NUMBERS:
            return None
        if operator == "/" or "DOUBLE" in (left, right):
            return "DOUBLE"
        return "BIGINT" if "BIGINT" in (left, right) else "INTEGER"

    def _call(self, node: ast.Call) -> str | None:
        if node.name is None or any(name is not None for name, _ in node.arguments):
            return None
        arguments = [value for _, value in node.arguments]
        if node.name == "count" and len(arguments) == 1 and isinstance(arguments[0], ast.Star):
            return "BIGINT"
        types = [self.type(value) for value in arguments]
        match node.name, types:
            case (("length" | "len"), [str(only)]) if only == "VARCHAR" or _is_list(only):
                return "BIGINT"
            case "if", ["BOOLEAN", str(one), other] if one == other:
                return one
            case "coalesce", [str(one), *others] if others and all(other == one for other in others):
                return one
        takes, gives = _FUNCTIONS.get(node.name, ((), None))
        fits = len(takes) == len(types) and all(one in kinds for one, kinds in zip(types, takes, strict=True))
        return gives if fits else None


def answer(node: ast.Expression) -> str | None:
    """The type of what has only one, whatever is in it, once the whole is known to bind."""
    match node:
        case ast.Unary(operator="not") | ast.Binary(operator="and" | "or" | "in" | "not in"):
            return "BOOLEAN"
        case ast.Binary(operator=operator) if operator in _COMPARED:
            return "BOOLEAN"
        case ast.Call(name=("length" | "len" | "count")):
            return "BIGINT"
        case ast.Call(name="regexp_matches"):
            return "BOOLEAN"
        case ast.Call(name=str(name)) if name in _FUNCTIONS:
            return _FUNCTIONS[name][1]
    return None


def many_rows(root: ast.Expression) -> bool | None:
    """Whether an expression that binds is over many rows; None where DuckDB must be asked."""
    calls = [part for part in ast.walk(root) if isinstance(part, ast.Call)]
    names = {_called(call) for call in calls}
    if names & AGGREGATES:
        return True
    return False if names <= {*_FUNCTIONS, "length", "len", "if", "coalesce", "regexp_matches"} else None


def _called(call: ast.Call) -> str:
    return (call.function.name.text if isinstance(call.function, ast.Attribute) else call.name or "").lower()


def _of_constant(value: int | float | bool | None) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return "BOOLEAN"
        case int():
            return "INTEGER" if value < 2**31 else "BIGINT"
    return "DOUBLE"


def _alike(one: str | None, other: str | None) -> bool:
    """Whether two types of values can be compared as they are."""
    return (one in _NUMBERS and other in _NUMBERS) or (one == other and one in ("VARCHAR", "BOOLEAN"))


def _is_list(type_: str) -> bool:
    return type_.endswith("[]")


def _is_struct(type_: str) -> bool:
    return type_.startswith("STRUCT(") and type_.endswith(")")
