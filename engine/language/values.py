"""Which values fit a type: replies and rows (`validator`), the command line (`parse_value`),
constants in a graph (`accepts`).

Strict about meaning and, for what a model wrote, forgiving about form. No JSON text is
searched for here; that is the affair of whoever reads replies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema

from engine.language.shapes import Field, Literal, Many, Optional, Record, Scalar, Type, describe, quoted

BIGINT = 2**63  # a DuckDB BIGINT holds -BIGINT <= value < BIGINT
# A bound makes pydantic decode the text, which refuses lone surrogates; Arrow would raise on them
# when the row is already accepted. It is below what a DuckDB string can hold.
LONGEST = 2**31
_TOLD = 3  # problems named in one message; more are only noise to whoever has to mend them

_TRUE, _FALSE = {"true", "yes", "1", "on"}, {"false", "no", "0", "off"}


class Mismatch(ValueError):
    """A value does not have the wanted type; the message says where and what is wanted instead."""

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message


@lru_cache(maxsize=512)
def validator(type_: Type, root: str = "") -> Callable[[Any], Any]:
    """A function that gives a value the type, ready for DuckDB, or raises `Mismatch`.

    Records become dicts with the fields in their order, missing and null fields of `T?` are
    None. What differs in form only is mended: "yes" for a bool, "7" and 7.0 for an int, a
    number for a str, one element for a list of one, a literal in another case, extra fields.
    `root` is put before the paths in messages: with "items" they read `items[2].answer`.
    """
    compiled = SchemaValidator(_core(type_))

    def validate(value: Any) -> Any:
        try:
            return compiled.validate_python(value)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_context=True)
            raise Mismatch(_message(problems, type_, root)) from None

    return validate


def _core(type_: Type) -> CoreSchema:
    match type_:
        case Scalar("int"):
            number = core_schema.int_schema(ge=-BIGINT, lt=BIGINT)
            return core_schema.no_info_before_validator_function(_not_bool, number)
        case Scalar("float"):
            real = core_schema.float_schema(allow_inf_nan=False)
            return core_schema.no_info_before_validator_function(_not_bool, real)
        case Scalar("bool"):
            return core_schema.no_info_before_validator_function(_stripped, core_schema.bool_schema())
        case Scalar():
            return core_schema.str_schema(max_length=LONGEST, coerce_numbers_to_str=True)
        case Literal(values):
            return core_schema.no_info_before_validator_function(
                _matcher(values), core_schema.literal_schema(list(values))
            )
        case Optional(inner):
            return core_schema.nullable_schema(_core(inner))
        case Many(inner):
            return core_schema.no_info_before_validator_function(
                _listed, core_schema.list_schema(_core(inner))
            )
        case Record(fields):
            return core_schema.typed_dict_schema(
                {f.name: core_schema.typed_dict_field(_field(f)) for f in fields}, extra_behavior="ignore"
            )


def _field(field: Field) -> CoreSchema:
    inner = _core(field.type)
    if isinstance(field.type, Optional):
        return core_schema.with_default_schema(inner, default=None)
    return inner


def _not_bool(value: Any) -> Any:
    if value is True or value is False:
        raise ValueError
    return value


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return value if isinstance(value, list) or value is None else _as_list(value)


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else [value]


def _matcher(values: tuple[str, ...]) -> Callable[[Any], Any]:
    exact = frozenset(values)
    folded: dict[str, str] = {}
    for value in reversed(values):
        folded[value.strip().casefold()] = value

    def match(value: Any) -> Any:
        if isinstance(value, str):
            return value if value in exact else folded.get(value.strip().casefold(), value)
        if isinstance(value, (bool, int)):
            return folded.get(str(value).casefold(), value)
        return value

    return match


# -- messages ------------------------------------------------------------------------


def _message(problems: Iterable[Mapping[str, Any]], type_: Type, root: str) -> str:
    told = [_problem(problem, type_, root) for problem in problems]
    shown = list(dict.fromkeys(told))
    rest = len(shown) - _TOLD
    return "; ".join(shown[:_TOLD]) + (f"; and {rest} more" if rest > 0 else "")


def _problem(problem: Mapping[str, Any], type_: Type, root: str) -> str:
    place = problem["loc"]
    path = _path(root, place)
    if problem["type"] == "missing":
        return f"`{path}` is missing"
    wanted, value = _type_at(type_, place), problem["input"]
    subject = f"`{path}`" if path else "the value"
    if value is None:
        return f"{subject} must be {_wanted(wanted)}, not null"
    if problem["type"] == "string_too_long":
        return f"{subject} is too long a text"
    if problem["type"] == "string_unicode":
        return f"{subject} holds text that is not valid Unicode"
    if isinstance(wanted, Literal):
        return f"{subject} must be {_wanted(wanted)}, not {_shown(value)}"
    if wanted == Scalar("int") and type(value) in (int, float) and abs(value) >= BIGINT:
        return f"{subject} must lie within 64 bits"
    return f"{subject} must be {_wanted(wanted)}, not {_shown(value)}"


def _type_at(type_: Type, place: Iterable[Any]) -> Type:
    for part in place:
        while isinstance(type_, Optional):
            type_ = type_.of
        if isinstance(type_, Many):
            type_ = type_.of
        elif isinstance(type_, Record):
            type_ = next(f.type for f in type_ if f.name == part)
    while isinstance(type_, Optional):
        type_ = type_.of
    return type_


def _path(root: str, place: Iterable[Any]) -> str:
    path = root
    for part in place:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _wanted(type_: Type) -> str:
    match type_:
        case Scalar("int"):
            return "a whole number"
        case Scalar("float"):
            return "a number"
        case Scalar("bool"):
            return "true or false"
        case Scalar():
            return "text"
        case Literal(values):
            names = [quoted(value) for value in values]
            return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " or " + names[-1]
        case Many():
            return "a list"
        case Optional(inner):
            return _wanted(inner) + " or null"
        case Record(fields):
            return "an object with " + ", ".join(f"`{f.name}`" for f in fields)


def _shown(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return quoted(value if len(value) <= 60 else value[:57] + "...")
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            text = str(value)
            return text if len(text) <= 60 else text[:57] + "..."


# -- constants of a graph ---------------------------------------------------------------


def accepts(type_: Type, value: Any) -> str | None:
    """None where a constant from a graph has the type, else what is wrong with it.

    Nothing is coerced but an int where a float is wanted: in a graph the author can write
    what is meant.
    """
    return _refusal(type_, value, "")


def _refusal(type_: Type, value: Any, path: str) -> str | None:
    if isinstance(type_, Optional):
        return None if value is None else _refusal(type_.of, value, path)
    match type_:
        case Many(inner) if isinstance(value, (list, tuple)):
            parts: Iterable[str | None] = (_refusal(inner, v, f"{path}[{i}]") for i, v in enumerate(value))
            return next((refusal for refusal in parts if refusal), None)
        case Record() if isinstance(value, Mapping):
            return _record_refusal(type_, value, path)
        case Scalar(name) if _is(name, value):
            return None
        case Literal(values) if isinstance(value, str):
            if value in values:
                return None
            close = get_close_matches(value, values, 1)
            hint = f"; did you mean {quoted(close[0])}?" if close else ""
            return f"{_subject(path)}must be {_wanted(type_)}, not {_shown(value)}{hint}"
    written = f" ({describe(type_)})" if isinstance(type_, Scalar) else ""
    return f"{_subject(path)}must be {_wanted(type_)}{written}, not {_shown(value)}"


def _record_refusal(type_: Record, value: Mapping[str, Any], path: str) -> str | None:
    names = [f.name for f in type_]
    for name in value:
        if name not in names:
            close = get_close_matches(str(name), names, 1)
            hint = f"; did you mean `{close[0]}`?" if close else f"; it has {', '.join(names)}"
            return f"{_subject(path)}has no field `{name}`{hint}"
    for f in type_:
        inner = _path(path, (f.name,))
        if f.name not in value:
            if not isinstance(f.type, Optional):
                return f"`{inner}` is missing"
        elif refusal := _refusal(f.type, value[f.name], inner):
            return refusal
    return None


def _is(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return name == "bool"
    if isinstance(value, int):
        return name == "float" or (name == "int" and -BIGINT <= value < BIGINT)
    if isinstance(value, float):
        return name == "float" and math.isfinite(value)
    return isinstance(value, str) and name in ("str", "path")


def _subject(path: str) -> str:
    return f"`{path}` " if path else ""


# -- the command line --------------------------------------------------------------------


def parse_value(text: str, type_: Type) -> Any:
    """The value that `-p name=text` means for a param of this type; `ValueError` says why not.

    Lists are JSON or separated by commas, records are JSON, `T?` is null for an empty text
    or "null". The type decides what the text means; nothing is guessed from its looks.
    """
    match type_:
        case Optional(inner):
            return None if text.strip() in ("", "null") else parse_value(text, inner)
        case Scalar(name):
            return _scalar(text, name)
        case Literal():
            if refusal := accepts(type_, text):
                raise ValueError(refusal)
            return text
        case Many(inner):
            if text.lstrip().startswith("[") or isinstance(inner, (Record, Many)):
                return _from_json(text, type_)
            return [parse_value(part.strip(), inner) for part in text.split(",") if part.strip()]
        case Record():
            return _from_json(text, type_)


def _scalar(text: str, name: str) -> Any:
    if name in ("str", "path"):
        return text
    word = text.strip()
    try:
        if name == "int":
            whole = int(word)
            if not -BIGINT <= whole < BIGINT:
                raise OverflowError
            return whole
        if name == "float" and math.isfinite(real := float(word)):
            return real
    except OverflowError:
        raise ValueError(f"must lie within 64 bits, not {_shown(text)}") from None
    except ValueError:
        pass
    if name == "bool" and word.lower() in _TRUE | _FALSE:
        return word.lower() in _TRUE
    raise ValueError(f"must be {_wanted(Scalar(name))} ({name}), not {_shown(text)}")


def _from_json(text: str, type_: Type) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"must be {_wanted(type_)}, written as JSON: {error}") from None
    if refusal := accepts(type_, value):
        raise ValueError(refusal)
    return validator(type_)(value)
