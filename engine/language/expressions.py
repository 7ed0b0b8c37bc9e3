"""Expressions checked: names looked up, types bound by DuckDB, its silent conversions refused.

An expression is over a row (clauses) or over nothing (constants). Whatever is wrong is raised
as `Wrong`, with diagnostics at the smallest part at fault. Statements and nodes are not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from decimal import Decimal
from typing import Any

from engine.frozen import dataclass
from engine.language import slips, sqltext
from engine.language import tree as ast
from engine.language.binding import Binder, Unbound, spelled
from engine.language.diagnostics import Diagnostic, Span, Wrong, closest, suggestion, wrong
from engine.language.inference import Inference, answer, many_rows
from engine.language.types import Literal, Many, Optional, Record, Type, describe, duckdb_type


class Missing:
    """Stands for the value of a param or slot that has none, which was told already."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


@dataclass(frozen=True)
class Known:
    """A param or a slot in scope: its type, and its value or `MISSING`."""

    type: Type
    value: Any

    @property
    def sql(self) -> str:
        """Its value as a literal; nulls, lists and objects with their type."""
        duck = duckdb_type(self.type)
        if self.value is MISSING or self.value is None:
            return f"CAST(NULL AS {duck})"
        written = sqltext.literal(self.value)
        return f"CAST({written} AS {duck})" if isinstance(self.value, list | dict | tuple) else written


@dataclass(frozen=True)
class Scope:
    """The names that an expression may use. A column hides a param of the same name."""

    columns: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, Known] = field(default_factory=dict)
    what: str = "column"
    code: str = "ATK122"
    hint: Callable[[str], str | None] = lambda name: None
    shapes: Mapping[str, Type] = field(default_factory=dict)  # of columns whose declared type is known
    real: Mapping[str, str] = field(default_factory=dict)  # columns that the table calls otherwise


@dataclass(frozen=True)
class Compiled:
    """A checked expression. `reads` are the columns that it names, `params` the params and slots."""

    sql: str
    type: str
    reads: frozenset[str]
    aggregate: bool  # over many rows
    params: frozenset[str] = frozenset()


Special = Callable[[ast.Expression], Any]
"""Gives the value of a part that has a meaning of its own, such as `env("N")`; else `NotImplemented`."""


def not_special(node: ast.Expression) -> Any:
    return NotImplemented


class Expressions:
    """Checks expressions with one DuckDB connection."""

    def __init__(self, binder: Binder):
        self.binder = binder
        self.variables: Mapping[str, str] = {}  # of the environment, for constants that may read it

    # -- over a row -----------------------------------------------------------------------

    def compile(self, root: ast.Expression, scope: Scope, special: Special = not_special) -> Compiled:
        """Check an expression. Raises `Wrong` with every unknown name, or the first other fault."""
        values: dict[int, Any] = {}
        for part in ast.walk(root):
            value = special(part)
            if value is not NotImplemented:
                values[id(part)] = value
        reads = self.names(root, scope, values)
        return _Check(self.binder, scope, values).run(root, reads)

    def names(self, root: ast.Expression, scope: Scope, values: Mapping[int, Any]) -> frozenset[str]:
        """The columns that an expression names; every unknown name is told."""
        reads: set[str] = set()
        unknown: list[Diagnostic] = []

        def visit(node: ast.Expression) -> None:
            if id(node) in values:
                return
            if isinstance(node, ast.Name):
                if node.name in scope.columns:
                    reads.add(node.name)
                elif node.name not in scope.known:
                    unknown.append(self.unknown(node, scope))
            for part in node.parts:
                visit(part)

        visit(root)
        if unknown:
            raise Wrong(*unknown)
        return frozenset(reads)

    def unknown(self, node: ast.Name, scope: Scope) -> Diagnostic:
        help = (
            scope.hint(node.name)
            or slips.name(node.name)
            or suggestion(node.name, {*scope.columns, *scope.known})
        )
        return Diagnostic(scope.code, f"no {scope.what} named `{node.name}`", node.span, help)

    def sql(self, part: ast.Expression, scope: Scope) -> str:
        """A part of an expression that was checked, as SQL."""
        return _Check(self.binder, scope, {}).sql(part)

    # -- constants ------------------------------------------------------------------------

    def constant(self, root: ast.Expression, scope: Scope, special: Special = not_special) -> Any:
        """The value of an expression without columns. Raises `Wrong`."""
        value = special(root)
        if value is not NotImplemented:
            return value
        match root:
            case ast.Constant():
                return root.value
            case ast.String():
                return root.value
            case ast.Name():
                self.names(root, scope, {})
                found = scope.known[root.name].value
                if found is MISSING:
                    raise Wrong
                return found
            case ast.Sequence(bracket="["):
                return self.gathered(root.items, scope, special)
            case ast.Object(pairs=pairs):
                keys: dict[str, ast.Word] = {}
                for key, _ in pairs:
                    if key.text in keys:
                        raise wrong("ATK102", f"`{key.text}` is given twice", key.span)
                    keys[key.text] = key
                values = self.gathered([inner for _, inner in pairs], scope, special)
                return dict(zip(keys, values, strict=True))
            case ast.Unary(operator="-", of=ast.Constant(value=int() | float() as number)) if (
                number is not True
            ):
                return -number
        return self.computed(root, scope, special)

    def gathered(self, parts: Any, scope: Scope, special: Special) -> list[Any]:
        """Values of several parts; the faults of all of them at once."""
        values: list[Any] = []
        told: list[Diagnostic] = []
        failed = False
        for part in parts:
            try:
                values.append(self.constant(part, scope, special))
            except Wrong as error:
                failed = True
                told += error.diagnostics
        if failed:
            raise Wrong(*told)
        return values

    def computed(self, root: ast.Expression, scope: Scope, special: Special) -> Any:
        compiled = self.compile(root, scope, special)
        if any(scope.known[node.name].value is MISSING for node in ast.walk(root)
               if isinstance(node, ast.Name) and node.name in scope.known):  # fmt: skip
            raise Wrong
        if compiled.aggregate:
            raise wrong("ATK124", "an aggregate has no meaning in a constant", root.span)
        text = _joined(root, scope)
        if text is not None:
            return text
        try:
            return _plain(self.binder.value(compiled.sql), root.span)
        except Unbound as error:
            raise wrong("ATK123", error.message, root.span, error.help) from None


def _joined(root: ast.Expression, scope: Scope) -> str | None:
    """Texts joined by `||`, for which DuckDB need not be asked."""
    match root:
        case ast.String(value=value):
            return value
        case ast.Name(name=name) if name in scope.known:
            known = scope.known[name].value
            return known if isinstance(known, str) else None
        case ast.Binary(operator="||", left=left, right=right):
            before, after = _joined(left, scope), _joined(right, scope)
            return before + after if before is not None and after is not None else None
    return None


def _plain(value: Any, span: Span) -> Any:
    match value:
        case None | bool() | int() | str():
            return value
        case Decimal():
            return float(value)
        case float():
            if not math.isfinite(value):
                raise wrong("ATK123", "this has no finite value", span)
            return value
        case list():
            return [_plain(inner, span) for inner in value]
        case dict():
            return {str(key): _plain(inner, span) for key, inner in value.items()}
    raise wrong("ATK123", "a constant is a number, a text, true, false, null, a list or an object", span)


# -- types ------------------------------------------------------------------------------------

_NUMBERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "INTEGER_LITERAL",
    "BIGNUM",
)


# What only constants have, as the type of a column would be.
_UNSAID = {"STRING_LITERAL": "VARCHAR", '"NULL"': "INTEGER"}


def family(type_: str) -> str | None:
    """number, text, bool, list or object; None for what is left to DuckDB."""
    head = type_.split("(")[0].split(" ")[0]
    if type_.endswith("]"):
        return "list"
    if head in _NUMBERS:
        return "number"
    if head in ("VARCHAR", "STRING_LITERAL", "ENUM", "CHAR"):
        return "text"
    return {"BOOLEAN": "bool", "STRUCT": "object"}.get(head)


def element(type_: str) -> str:
    """The type of a list's elements."""
    return type_[: type_.rindex("[")] if type_.endswith("]") else type_


class _Check:
    """One expression on its way through DuckDB."""

    def __init__(self, binder: Binder, scope: Scope, values: Mapping[int, Any]):
        self.binder, self.scope, self.values = binder, scope, values
        self.types: dict[int, str] = {}
        self.columns: dict[str, str] = {}  # those that are read
        self.inference = Inference({}, values)

    def run(self, root: ast.Expression, reads: frozenset[str]) -> Compiled:
        for part in ast.walk(root):
            self.form(part)
            behind_in = (
                part.right if isinstance(part, ast.Binary) and part.operator in ("in", "not in") else None
            )
            for inner in (root, *part.parts) if part is root else part.parts:
                if isinstance(inner, ast.Sequence) and inner.bracket == "(" and inner is not behind_in:
                    raise wrong("ATK123", "a list stands in `[` and `]`", inner.span)
        named = {name: self.scope.columns[name] for name in reads}
        self.columns = {self.scope.real.get(name, name): type_ for name, type_ in named.items()}
        self.inference = Inference(self.named(root) | named, self.values)
        many = many_rows(root)
        sql = self.sql(root)
        # An aggregate beside columns is for DuckDB to judge: they may need to be grouped.
        type_ = None if many and reads else self.inference.type(root)
        if type_ is None:
            type_, many = self.bound(root, sql, many)
        for part in ast.walk(root):
            self.choices(part)
        params = frozenset(self.named(root).keys() - reads)
        return Compiled(sql, _UNSAID.get(type_, type_), reads, bool(many), params)

    def named(self, root: ast.Expression) -> dict[str, str]:
        """The types of the params and slots that an expression names."""
        names = {part.name for part in ast.walk(root) if isinstance(part, ast.Name)}
        return {name: duckdb_type(self.scope.known[name].type) for name in names if name in self.scope.known}

    def bound(self, root: ast.Expression, sql: str, many: bool | None) -> tuple[str, bool]:
        """What DuckDB says of an expression: its type, and whether it is over many rows."""
        try:
            if many is None:
                type_, many = self.binder.type_and_rows(sql, self.columns)
            else:
                type_ = self.binder.type_of(sql, self.columns)
            self.types[id(root)] = type_
        except Unbound as error:
            raise self.located(root, error) from None
        for part in ast.walk(root):
            if id(part) not in self.values:
                self.strict(part)
        return type_, many

    def form(self, node: ast.Expression) -> None:
        """What the grammar lets pass and no expression may be."""
        if isinstance(node, ast.Call) and id(node) not in self.values:
            if not isinstance(node.function, ast.Name | ast.Attribute):
                raise wrong("ATK123", "only a name can be called", node.function.span)
            starred = [value for _, value in node.arguments if isinstance(value, ast.Star)]
            if node.name == "count" and not node.arguments:
                raise wrong("ATK123", "`count` needs to know what: write `count(*)` for rows", node.span)
            if starred and (node.name != "count" or len(node.arguments) != 1):
                raise wrong("ATK123", "`*` stands in `count(*)` only", starred[0].span)
            if node.name in ("env", "secret"):
                raise wrong(
                    "ATK123",
                    f"`{node.name}` has no meaning here",
                    node.function.span,
                    "read the environment in a param or a model",
                )

    def sql(self, node: ast.Expression) -> str:
        def name(word: ast.Name) -> str:
            if word.name in self.scope.columns:
                return sqltext.identifier(self.scope.real.get(word.name, word.name))
            return self.scope.known[word.name].sql

        def special(part: ast.Expression) -> str | None:
            return sqltext.literal(self.values[id(part)]) if id(part) in self.values else None

        return sqltext.expression(node, name, special)

    def bind(self, node: ast.Expression) -> str:
        """The type of a part of an expression that binds as a whole."""
        if id(node) not in self.types:
            said = self.inference.type(node) or (None if id(node) in self.values else answer(node))
            self.types[id(node)] = said or self.binder.type_of(self.sql(node), self.columns)
        return self.types[id(node)]

    def located(self, root: ast.Expression, error: Unbound) -> Wrong:
        """The fault at the smallest part that has it on its own."""
        node = root
        descending = True
        while descending:
            descending = False
            for part in node.parts:
                if isinstance(part, ast.Star):
                    continue
                try:
                    self.binder.type_of(self.sql(part), self.columns)
                except Unbound as inner:
                    node, error, descending = part, inner, True
                    break
        try:
            self.strict(node)  # which says it in the language's words, where it can
        except Wrong as told:
            return told
        span = node.span
        if error.sort == "function" and isinstance(node, ast.Call):
            span = node.function.name.span if isinstance(node.function, ast.Attribute) else node.function.span
        elif isinstance(node, ast.Attribute):
            span = node.name.span
        return wrong("ATK123", error.message, span, error.help)

    # DuckDB reads "none" as a number where one is wanted, and only finds out when it runs.
    def strict(self, node: ast.Expression) -> None:
        match node:
            case ast.Binary(operator="and" | "or" as operator):
                for side in node.parts:
                    self.wanted(side, {"bool"}, f"`{operator}` joins what is true or false")
            case ast.Unary(operator="not", of=of):
                self.wanted(of, {"bool"}, "`not` turns what is true or false")
            case ast.Unary(of=of):
                self.wanted(of, {"number"}, "`-` takes a number")
            case ast.Binary(operator="+" | "-" | "*" | "/" | "%" as operator):
                for side in node.parts:
                    help = "to join texts, write `||`" if operator == "+" else None
                    self.wanted(side, {"number"}, f"`{operator}` takes numbers", help)
            case ast.Binary(operator="in" | "not in", left=left, right=right):
                self.members(left, right)
            case ast.Binary(operator="==" | "!=" | "<" | ">" | "<=" | ">=", left=left, right=right):
                self.alike(left, right, right)
            case ast.Call() if node.name == "if" and node.arguments:
                self.wanted(node.arguments[0][1], {"bool"}, "`if` asks what is true or false")
                self.together(node.name, node.arguments[1:])
            case ast.Call() if node.name in ("greatest", "least", "coalesce", "ifnull", "nullif"):
                self.together(node.name, node.arguments)
            case ast.Sequence(items=items):
                self.together("a list", [(None, item) for item in items])

    def together(self, name: str, arguments: Sequence[tuple[ast.Word | None, ast.Expression]]) -> None:
        """What becomes one value, or stands in one list, is of one type."""
        first: tuple[str, str] | None = None
        for _, argument in arguments:
            type_ = self.type(argument)
            found = family(type_) if type_ else None
            if not type_ or not found:
                continue
            if first is None:
                first = found, type_
            elif found != first[0]:
                whose = name if " " in name else f"`{name}`"
                said = f"{whose} takes values of one type: {spelled(first[1])}, and this is {spelled(type_)}"
                texts = {found, first[0]} == {"number", "text"}
                help = 'a number becomes a text in `"" || n`' if texts else None
                raise wrong("ATK123", said, argument.span, help)

    def choices(self, node: ast.Expression) -> None:
        """What is one of a few texts is not compared with another one, and nothing is less than null."""
        if not isinstance(node, ast.Binary):
            return
        left, right = node.left, node.right
        if node.operator in ("in", "not in") and isinstance(right, ast.Sequence):
            for item in right.items:
                self.chosen(left, item)
        elif node.operator in ("==", "!="):
            self.chosen(left, right)
            self.chosen(right, left)
        elif node.operator in ("<", ">", "<=", ">="):
            for side in (left, right):
                if isinstance(side, ast.Constant) and side.value is None:
                    raise wrong("ATK123", f"`{node.operator}` with null is never true", side.span)

    def chosen(self, one: ast.Expression, other: ast.Expression) -> None:
        shape = self.shape(one)
        if not isinstance(shape, Literal) or not isinstance(other, ast.String) or id(other) in self.values:
            return
        if other.value not in shape.values:
            near = closest(other.value, shape.values)
            help = f'did you mean "{near}"?' if near else f"it is {describe(shape)}"
            raise wrong("ATK123", f"`{one.text}` is never {other.text}", other.span, help)

    def shape(self, node: ast.Expression) -> Type | None:
        """The declared type of a column, a param or a part of one, where it is known."""
        found: Type | None = None
        match node:
            case ast.Name(name=name) if name in self.scope.columns:
                found = self.scope.shapes.get(name)
            case ast.Name(name=name) if name in self.scope.known:
                found = self.scope.known[name].type
            case ast.Attribute(of=of, name=word):
                record = self.shape(of)
                fields = record.fields if isinstance(record, Record) else ()
                found = next((field.type for field in fields if field.name == word.text), None)
            case ast.Item(of=of):
                many = self.shape(of)
                found = many.of if isinstance(many, Many) else None
        return found.of if isinstance(found, Optional) else found

    def type(self, node: ast.Expression) -> str | None:
        try:
            return self.bind(node)
        except Unbound:  # a part that only binds in its place, such as a lambda's
            return None

    def wanted(self, node: ast.Expression, families: set[str], said: str, help: str | None = None) -> None:
        type_ = self.type(node)
        found = family(type_) if type_ else None
        if type_ and found and found not in families:
            raise wrong("ATK123", f"{said}; this is {spelled(type_)}", node.span, help)

    def members(self, left: ast.Expression, right: ast.Expression) -> None:
        if isinstance(right, ast.Sequence):
            for item in right.items:
                self.alike(left, item, item)
            return
        type_ = self.type(right)
        if type_ and family(type_) not in ("list", None):
            raise wrong(
                "ATK123",
                f"`in` looks into a list; this is {spelled(type_)}",
                right.span,
                "to look for a piece of text, write contains(text, piece)",
            )
        if type_ and family(type_) == "list":
            self.same(self.type(left), element(type_), left.span)

    def alike(self, left: ast.Expression, right: ast.Expression, at: ast.Expression) -> None:
        self.same(self.type(left), self.type(right), at.span)

    def same(self, one: str | None, other: str | None, span: Span) -> None:
        if one and other:
            families = family(one), family(other)
            if None not in families and families[0] != families[1]:
                raise wrong("ATK123", f"{spelled(one)} and {spelled(other)} cannot be compared", span)
