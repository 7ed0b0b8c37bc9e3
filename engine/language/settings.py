"""A block's settings against a pydantic model: what pydantic says, in our words and with a place.

What a setting's value means is for the caller to say; this module evaluates nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Span, Wrong, suggestion
from engine.language.kind import Role

Report = Callable[[Diagnostic], None]
Evaluate = Callable[[ast.Setting, Role | None], Any]

# Where pydantic would turn one scalar into another, what was written stands as an error.
_CONVERTED = ("int_type", "float_type", "bool_type", "string_type", "int_from_float")
_KINDS = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "string": "text", "list": "a list",
    "tuple": "a list", "set": "a list", "frozen_set": "a list", "dict": "an object", "model": "an object",
    "mapping": "an object", "typed_dict": "an object", "none": "null", "path": "a path", "url": "a URL",
}  # fmt: skip


class FromEnvironment(str):
    """A text that `env` read. The environment holds texts only, so the setting's type says what it means."""

    __slots__ = ()


@dataclass
class Filled:
    """What became of a block. `settings` is None where something in it is wrong.

    `partial` holds all the same what could be read, so that columns can be worked out and one
    mistake does not hide others.
    """

    settings: BaseModel | None
    partial: BaseModel
    spans: dict[str, Span] = field(default_factory=dict)  # of the values, by setting
    values: dict[str, Any] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)  # set, but to nothing that could be used


def role_of(info: FieldInfo) -> Role | None:
    """The role in a field's annotation, wherever in it it stands."""
    for entry in info.metadata:
        if isinstance(entry, Role):
            return entry
    return next(_roles(info.annotation), None)


def _roles(annotation: Any) -> Iterator[Role]:
    if get_origin(annotation) is Annotated:
        yield from (entry for entry in get_args(annotation) if isinstance(entry, Role))
    for inner in get_args(annotation):
        if not isinstance(inner, Role):
            yield from _roles(inner)


@cache
def roles(model: type[BaseModel]) -> Mapping[str, Role]:
    """Setting -> role, for the settings that have one."""
    found = {name: role_of(info) for name, info in model.model_fields.items()}
    return {name: role for name, role in found.items() if role is not None}


def fill(
    model: type[BaseModel],
    written: Sequence[ast.Setting],
    what: str,
    whose: ast.Word,
    evaluate: Evaluate,
    report: Report,
    elsewhere: Iterable[str] = (),
) -> Filled:
    """Evaluate and validate the settings of one block.

    `what` names the thing in messages about unknown settings (`prompt`), `whose` is pointed at
    where one is missing, `elsewhere` are names that the block takes in another form.
    """
    told: list[Diagnostic] = []
    values: dict[str, Any] = {}
    expressions: dict[str, ast.Expression] = {}
    failed: set[str] = set()
    broken = False
    for setting in written:
        name = setting.name.text
        if name in expressions:
            told.append(Diagnostic("ATK102", f"`{name}` is set twice", setting.name.span))
            continue
        info = model.model_fields.get(name)
        if info is None and model.model_config.get("extra") != "allow":
            told.append(_unknown(setting, model, what, elsewhere))
            continue
        expressions[name] = setting.value
        try:
            values[name] = evaluate(setting, roles(model).get(name))
        except Wrong as error:
            told += error.diagnostics
            failed.add(name)
            broken = True
    settings, partial, invalid = _validated(model, values, failed, expressions, whose)
    told += invalid
    for diagnostic in told:
        report(diagnostic)
    spans = {name: expression.span for name, expression in expressions.items()}
    refused = {name for name in values if name not in partial.model_fields_set}
    return Filled(None if told or broken else settings, partial, spans, values, failed | refused)


def _unknown(setting: ast.Setting, model: type[BaseModel], what: str, elsewhere: Iterable[str]) -> Diagnostic:
    name = setting.name.text
    if name in elsewhere:
        help: str | None = f"write it as a block: `{name} -> T {{ … }}`"
    else:
        help = suggestion(name, {*model.model_fields, *elsewhere}, most=12)
    return Diagnostic("ATK104", f"no setting of `{what}` named `{name}`", setting.name.span, help)


def _validated(
    model: type[BaseModel],
    values: Mapping[str, Any],
    failed: set[str],
    expressions: Mapping[str, ast.Expression],
    whose: ast.Word,
) -> tuple[BaseModel | None, BaseModel, list[Diagnostic]]:
    """The settings, or what could be made of them, and what is wrong with them."""
    settings, faults = _try(model, values)
    by_name: dict[str, list[Any]] = {}
    for fault in faults:
        name = str(fault["loc"][0]) if fault["loc"] else ""
        if name not in failed:
            by_name.setdefault(name, []).append(fault)
    told: list[Diagnostic] = []
    for name, found in by_name.items():
        if name not in expressions:
            if name:
                told.append(
                    Diagnostic("ATK105", f"`{whose.text}` needs `{name}`", whose.span, _about(model, name))
                )
            else:
                told.append(Diagnostic("ATK111", _phrase(found[0]), whose.span))
        else:
            told.append(_refused(name, found, expressions[name]))
    if settings is not None and not told and not failed:
        return settings, settings, []
    good = {name: value for name, value in values.items() if name not in by_name}
    partial, _ = _try(model, good)
    return None, partial if partial is not None else model.model_construct(**good), told


def _try(model: type[BaseModel], values: Mapping[str, Any]) -> tuple[BaseModel | None, list[Any]]:
    """Strict about scalars, lenient about containers: a list may fill a tuple."""
    settings, faults = None, []
    try:
        settings = model.model_validate(dict(values))
    except ValidationError as error:
        faults += error.errors(include_url=False)
    known = {fault["loc"] for fault in faults}
    try:
        model.model_validate(dict(values), strict=True)
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            if isinstance(fault["input"], FromEnvironment):
                continue
            # An alternative of a union that does not fit says nothing while another one does.
            if fault["type"] in _CONVERTED and fault["loc"] not in known and _converted(fault, settings):
                faults.append(fault)
    return (None if faults else settings), faults


def _converted(fault: Any, settings: BaseModel | None) -> bool:
    """Whether lenient validation really changed the value that strict validation refused."""
    if settings is None:
        return True
    value: Any = settings
    for part in fault["loc"]:
        try:
            value = getattr(value, part) if isinstance(value, BaseModel) else value[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return type(value) is not type(fault["input"])


def _about(model: type[BaseModel], name: str) -> str | None:
    info = model.model_fields.get(name)
    return info.description if info else None


def _refused(name: str, faults: Sequence[Any], expression: ast.Expression) -> Diagnostic:
    # Of the alternatives of a union the one that came furthest is what was meant: a list, not a text.
    deepest = max(len(one["loc"]) for one in faults)
    faults = [one for one in faults if len(one["loc"]) == deepest]
    fault = faults[0]
    inside, place = _inside(expression, fault["loc"][1:])
    path = name + "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in place)
    if fault["type"] == "extra_forbidden":
        return Diagnostic(
            "ATK111", f"`{path.rpartition('.')[0] or name}` takes no `{fault['loc'][-1]}`", inside.span
        )
    if fault["type"] == "missing":
        return Diagnostic("ATK111", f"`{path}` needs `{fault['loc'][-1]}`", inside.span)
    phrases = list(dict.fromkeys(_phrase(one) for one in faults))
    wanted = [phrase.removeprefix("must be ") for phrase in phrases if phrase.startswith("must be ")]
    said = f"must be {' or '.join(wanted)}" if wanted else phrases[0]
    value = fault["input"]
    shown = f", not {_shown(value)}" if said.startswith("must be ") else ""
    help = None
    if fault["type"] == "literal_error" and isinstance(value, str):
        choices = [
            part.strip("' ") for part in str(fault["ctx"]["expected"]).replace(" or ", ", ").split(",")
        ]
        near = suggestion(value, choices)
        help = near if near and near.startswith("did you mean") else None
    return Diagnostic("ATK111", f"`{path}` {said}{shown}", inside.span, help)


def _inside(expression: ast.Expression, place: Sequence[Any]) -> tuple[ast.Expression, list[Any]]:
    """The part of an expression that a place within its value was written as."""
    walked: list[Any] = []
    for part in place:
        if isinstance(expression, ast.Object):
            found = [value for key, value in expression.pairs if key.text == part]
        elif isinstance(expression, ast.Sequence) and isinstance(part, int):
            found = list(expression.items[part : part + 1])
        else:
            found = []
        if found:
            expression = found[0]
            walked.append(part)
    return expression, walked


def _phrase(fault: Any) -> str:
    """What pydantic has against a value, in our words."""
    sort, context = fault["type"], fault.get("ctx", {})
    if sort == "literal_error":
        expected = str(context["expected"]).replace("'", '"')
        return f"must be {expected}"
    bounds = {"greater_than": ("more than", "gt"), "greater_than_equal": ("at least", "ge"),
              "less_than": ("less than", "lt"), "less_than_equal": ("at most", "le")}  # fmt: skip
    if sort in bounds:
        words, key = bounds[sort]
        return f"must be {words} {context[key]}"
    if sort == "value_error":
        return str(context.get("error", fault["msg"]))
    for ending in ("_type", "_parsing", "_from_float"):
        if sort.endswith(ending) and (kind := _KINDS.get(sort.removesuffix(ending))):
            return f"must be {kind}"
    if sort == "none_required":
        return "must be null"
    if sort == "too_short":
        return f"must have {context['min_length']} or more"
    message = str(fault["msg"])
    return message[:1].lower() + message[1:]


def _shown(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"' if len(value) <= 40 else f'"{value[:37]}…"'
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
    return str(value)
