"""`python`: a function of the author's, over a row (`each = true`) or over a whole table.

The function is plain: it takes dicts and gives dicts, and its own arguments are settings of the
node. What it gives is held against the node's type. Finding and loading it is `functions`'.
"""

from __future__ import annotations

import copy
import inspect
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import BaseModel, ConfigDict, Field

from engine.kinds import functions
from engine.kinds.base import (
    Context,
    Kind,
    KindError,
    Made,
    Outcome,
    Row,
    RowKind,
    Settings,
    TableKind,
)
from engine.kinds.sql import content, id_bytes
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node
from engine.language.types import Many, Mismatch, Optional, Record, Type, duckdb_type, validator


class PythonSettings(Settings):
    """Settings of `python`; every other one is an argument of the function."""

    model_config = ConfigDict(extra="allow", frozen=True)

    call: Annotated[str, Role.FUNCTION] = Field(
        description="The function, as `lib/clean.py:name`, beside the graph or where the command runs."
    )
    each: bool = Field(
        False,
        description="True: the function takes one row; false: it takes the whole table, as a list of rows.",
    )

    @property
    def arguments(self) -> dict[str, Any]:
        """What the function is called with besides rows."""
        return dict(self.model_extra or {})


class _Called(Kind):
    """What both forms share: settings, columns, what decides the rows."""

    name = "python"
    settings = PythonSettings
    inputs = (1, None)
    result = "required"

    def own(self, shape: Shape) -> Mapping[str, str]:
        """The fields of the type. The function is read, not run."""
        settings = cast(PythonSettings, shape.settings)
        record = _record(shape.result)
        if record is None or not record.fields:
            raise Problem("ATK140", "a python node gives records: `-> T`, `T?` or `T[]` with T a record")
        if settings.each and len(shape.inputs) > 1:
            raise Problem("ATK155", "a function of one row takes one table", "each")
        if not settings.each and not isinstance(shape.result, Many):
            raise Problem(
                "ATK140",
                "a function over a table gives rows: `-> T[]`",
                help="for a function of one row, say `each = true`",
            )
        try:
            path, name = functions.locate(settings.call, _folders(shape))
            _check(functions.signature(path, name, len(shape.inputs) or 1), settings, name)
        except functions.FunctionProblem as error:
            raise Problem("ATK154", error.message, "call", error.help) from error
        return {field.name: duckdb_type(field.type) for field in record}

    def keeping(self, settings: BaseModel) -> bool:
        """A row's function adds to the row; a table's gives a table of its own."""
        return cast(PythonSettings, settings).each

    def static(self, node: Node) -> dict[str, Any]:
        """Besides the settings: what is in the function's file and in those it imports beside it."""
        settings = cast(PythonSettings, node.settings)
        try:
            path, _ = functions.locate(settings.call, _near(node))
            source = functions.digest(path)
        except functions.FunctionProblem:
            source = "missing"
        return super().static(node) | {"function": source}


class Python(_Called):
    """What the language sees of both forms; `PythonEach` and `PythonTable` do the work."""

    def working(self, node: Node) -> Kind:
        """The form that the settings ask for."""
        return PythonEach() if cast(PythonSettings, node.settings).each else PythonTable()


class PythonEach(_Called, RowKind):
    """A function of one row."""

    async def work(self, row: Row, context: Context) -> Outcome:
        """Call it, in a thread or awaited; what it raises fails the row."""
        import asyncio

        node = context.node
        settings = cast(PythonSettings, node.settings)
        function, path = _function(context)
        given = columns_of(row)
        try:
            if inspect.iscoroutinefunction(function):
                value = await function(given, **settings.arguments)
            else:
                value = await asyncio.to_thread(_call, function, given, settings.arguments)
        except (Exception, SystemExit) as error:  # a function must not end the engine
            return Outcome([Made({}, "failed", functions.fault(error, path))])
        try:
            return Outcome(_made(value, cast(Type, node.result)))
        except Mismatch as error:
            return Outcome([Made({}, "failed", f"what the function gave: {error}")])


class PythonTable(_Called, TableKind):
    """A function of a whole table."""

    keeps = False
    pure = False

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """Its rows, each held against the type; one that does not fit has failed.

        A row that carries the id of an input row (`checked_id`) keeps that row's lineage.
        """
        node = context.node
        settings = cast(PythonSettings, node.settings)
        function, path = _function(context)
        known: dict[bytes, Row] = {}
        tables = []
        for number, read in enumerate(inputs):
            rows = list(read())
            if number == 0:
                known = {row.id: Row(row.id, row.rev, {}, row.ids) for row in rows}
            tables.append([ids_of(node, row) | columns_of(row) for row in rows])
        try:
            given = list(_values(function(*tables, **settings.arguments)))
        except Mismatch as error:
            raise KindError(
                f"`{node.name}`: the function gave {error}", f"mend the function in {path}"
            ) from error
        except (Exception, SystemExit) as error:  # a function must not end the engine
            raise KindError(
                f"`{node.name}`: {functions.fault(error, path)}", f"mend the function in {path}"
            ) from error
        return self.made(node, given, known)

    def made(self, node: Node, given: Iterable[Any], known: Mapping[bytes, Row]) -> Iterator[Made]:
        record = cast(Record, _record(node.result))
        validate = validator(record)
        column = node.id_of(node.inputs[0]) if node.inputs else ""
        seen: Counter[str] = Counter()
        for value in given:
            fields = _fields(value)
            parent = known.get(id_bytes((fields or {}).get(column)) or b"")
            try:
                own, reason = validate(fields if fields is not None else value), None
            except Mismatch as error:
                own, reason = {}, f"what the function gave: {error}"
            identity = content(own) if reason is None else content({"value": repr(value)})
            key = f"{parent.id.hex() if parent else ''} {identity}"
            seen[key] += 1
            if seen[key] > 1:
                identity += f" {seen[key]}"
            yield Made(own, "failed" if reason else "ok", reason, parent=parent, identity=identity)


def columns_of(row: Row) -> dict[str, Any]:
    """A row's columns as the author's code sees them: its own to change.

    A function of one row gets no ids: what it gives must depend on nothing but the columns.
    """
    return {
        name: copy.deepcopy(value) if isinstance(value, list | dict) else value
        for name, value in row.columns.items()
    }


def ids_of(node: Node, row: Row) -> dict[str, str]:
    """The ids of a row and of its ancestors, by the columns they have in queries (`checked_id`)."""
    return {node.id_of(above): str(uuid.UUID(bytes=each)) for above, each in row.ids.items()}


def _call(function: Callable[..., Any], row: dict[str, Any], arguments: Mapping[str, Any]) -> Any:
    value = function(row, **arguments)
    return list(value) if inspect.isgenerator(value) else value


def _function(context: Context) -> tuple[Callable[..., Any], Path]:
    settings = cast(PythonSettings, context.node.settings)
    folders = [*_near(context.node), context.program.path.parent, context.root]
    try:
        path, name = functions.locate(settings.call, folders)
        return functions.load(path, name), path
    except functions.FunctionProblem as error:
        raise KindError(f"`{context.node.name}`: {error.message}", error.help) from error


def _made(value: Any, wanted: Type) -> list[Made]:
    """What a function of one row gave, as rows. Raises `Mismatch`."""
    optional = isinstance(wanted, Optional)
    inner = wanted.of if isinstance(wanted, Optional) else wanted
    if value is None:
        if optional:
            return [Made({}, "rejected", "the function gave nothing")]
        raise Mismatch("None, though the type is not optional (`T?`)")
    if not isinstance(inner, Many):
        return [Made(validator(inner)(_unwrapped(value)))]
    validate = validator(inner.of)
    return [Made(validate(_unwrapped(each))) for each in _values(value)] or [Made({}, "empty")]


def _values(value: Any) -> Iterable[Any]:
    """Rows out of what a function gave: a list, an iterator, or a data frame's records."""
    if hasattr(value, "to_dicts"):  # polars
        return cast(Iterable[Any], value.to_dicts())
    if hasattr(value, "to_pylist"):  # arrow
        return cast(Iterable[Any], value.to_pylist())
    if hasattr(value, "to_dict") and hasattr(value, "iterrows"):  # pandas
        return cast(Iterable[Any], value.to_dict("records"))
    if value is None:
        raise TypeError("the function gave None, not rows")
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise Mismatch(f"{type(value).__name__}, not a list of rows")
    return value


def _unwrapped(value: Any) -> Any:
    fields = _fields(value)
    return value if fields is None else fields


def _fields(value: Any) -> dict[str, Any] | None:
    """The fields of a dict, data class, named tuple or pydantic model."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, BaseModel):
        return value.model_dump()
    if hasattr(value, "_asdict"):
        return dict(value._asdict())
    if hasattr(value, "__dataclass_fields__"):
        import dataclasses

        return dataclasses.asdict(value)
    return None


def _check(found: functions.Signature, settings: PythonSettings, name: str) -> None:
    """Hold the settings against the function's own arguments. Raises `Problem`."""
    if not found.takes_rows:
        raise Problem("ATK154", f"`{name}` takes no rows: it needs a first argument for each table", "call")
    if found.is_async and not settings.each:
        raise Problem(
            "ATK154",
            f"`{name}` is async, which a function over a table cannot be",
            "call",
            "make it a plain function, or say `each = true`",
        )
    arguments = {argument.name: argument for argument in found.arguments}
    for given, value in settings.arguments.items():
        if given not in arguments:
            if found.anything:
                continue
            takes = ", ".join(f"`{each}`" for each in arguments) or "none"
            raise Problem(
                "ATK104", f"`{name}` takes no argument `{given}`", given, f"its arguments are {takes}"
            )
        if said := functions.mismatch(arguments[given], value):
            raise Problem("ATK155", said, given)
    for argument in found.arguments:
        if argument.required and argument.name not in settings.arguments:
            raise Problem(
                "ATK105",
                f"`{name}` needs `{argument.name}`",
                None,
                f"its default is missing: set `{argument.name} = …` in the node",
            )


def _record(kind: Type | None) -> Record | None:
    while isinstance(kind, Many | Optional):
        kind = kind.of
    return kind if isinstance(kind, Record) else None


def _folders(shape: Shape) -> list[Path]:
    return [*([shape.folder] if shape.folder else []), Path.cwd()]


def _near(node: Node) -> list[Path]:
    return [*([node.folder] if node.folder else []), Path.cwd()]
