"""The manual's tables of settings, made of the settings models: `python -m engine.kinds.manual`.

A page holds `<!-- generated: NAME -->` … `<!-- end -->`; what stands between is made here, the
rest is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.kinds.base import Kind
from engine.language.kind import Role

MARKED = re.compile(r"(<!-- generated: ([\w ]+) -->\n).*?(<!-- end -->)", re.S)
# The words that a kind may take, in the order in which they act.
CLAUSES = ("where", "let", "check", "keep", "until", "expect")
ROLES = {
    Role.COLUMN: "column",
    Role.TABLE: "table",
    Role.BESIDE: "table",
    Role.MODEL: "model",
    Role.TEMPLATE: "prompt file",
    Role.TEMPLATES: "prompt files, or their folder",
    Role.QUERY: "SQL",
    Role.FUNCTION: "function",
    Role.INPUT_PATH: "`path`",
    Role.OUTPUT_PATH: "`path`",
    Role.SECRET: '`secret("NAME")`',
    Role.START: "model",
    Role.REWARD: "graph",
    Role.ROW: "expression",
    Role.WHEN: "`bool`",
}
RESULTS = {"required": "required", "optional": "may be given", "forbidden": "none"}


def renewed(text: str, makers: Mapping[str, Callable[[], str]]) -> str:
    """The page with what is generated made anew. Raises `KeyError` for a name that nothing makes."""
    return MARKED.sub(lambda found: f"{found[1]}\n{makers[found[2]]()}\n\n{found[3]}", text)


def cell(text: str) -> str:
    """A text that stands in one cell of a table."""
    return " ".join(text.split()).replace("|", r"\|")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [head, ("---",) * len(head), *(tuple(map(cell, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def type_of(field: FieldInfo) -> str:
    """The type of a setting, in the language's words."""
    role = next((one for one in field.metadata if isinstance(one, Role)), None)
    if role is Role.TABLES:
        _, value = get_args(_bare(field.annotation))
        return f"`{{ table: {_spelled(value)} }}`"
    if role is None:
        return f"`{_spelled(field.annotation)}`"
    many = get_origin(_bare(field.annotation)) is list and role is not Role.TEMPLATES
    return f"{ROLES[role]}s" if many else ROLES[role]


def _bare(annotation: Any) -> Any:
    """Without `| None` and `Annotated`: that a setting may be left out is told by its default."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        left = [one for one in get_args(annotation) if one is not NoneType]
        return _bare(left[0]) if len(left) == 1 else Union[tuple(left)]  # noqa: UP007 - made of a list
    return annotation


def _spelled(annotation: Any) -> str:
    bare = _bare(annotation)
    arguments = get_args(bare)
    match get_origin(bare):
        case origin if origin is Literal:
            return " | ".join(f'"{one}"' for one in arguments)
        case origin if origin is list:
            return f"{_spelled(arguments[0])}[]"
        case origin if origin is dict:
            return f"{{ name: {_spelled(arguments[1])} }}"
        case origin if origin in (Union, UnionType):
            return " | ".join(map(_spelled, arguments))
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        inner = [
            f"{name}: {_spelled(one.annotation)}{'' if one.is_required() else '?'}"
            for name, one in bare.model_fields.items()
        ]
        return f"{{ {', '.join(inner)} }}"
    return "value" if bare is Any else str(bare.__name__)


def default_of(field: FieldInfo) -> str:
    """What a setting is where a graph does not set it; nothing where that is for the text to say."""
    if field.is_required():
        return "*required*"
    match field.default:
        case None:
            return ""
        case bool() as flag:
            return f"`{str(flag).lower()}`"
        case int() as number:
            return f"`{number:_}`"
        case str() as text:
            return f'`"{text}"`'
        case other:
            return f"`{other}`"


def settings(model: type[BaseModel]) -> str:
    """The table of a settings model: its own, then those that it shares with others."""
    shared = [name for name in model.model_fields if name not in model.__annotations__]
    rows = []
    for name in [*(name for name in model.model_fields if name not in shared), *shared]:
        field = model.model_fields[name]
        rows.append((f"`{name}`", type_of(field), field.description or "", default_of(field)))
    if model.model_config.get("extra") == "allow":
        rows.append(("others", "value", "Arguments of the function, by their names.", ""))
    return table(("setting", "type", "says", "default"), rows)


def inputs(kind: Kind) -> str:
    """How many tables stand after `from`."""
    fewest, most = kind.inputs
    if most == 0:
        return "none"
    if not fewest and kind.name == "sql":
        return "those that the query names"
    if fewest == most:
        return "one" if fewest == 1 else str(fewest)
    return f"{fewest} or more" if most is None else f"{fewest} to {most}"


def columns(kind: Kind) -> str:
    """What becomes of the columns of its input."""
    if type(kind).keeping is not Kind.keeping:
        return "stay, or go: its settings say"
    return "stay" if kind.keeps else "go; its table has what it gives"


def facts(kind: Kind) -> str:
    """All that is known of a kind: what it takes, and its settings with those of its sections."""
    clauses = ", ".join(f"`{word}`" for word in CLAUSES if word in kind.clauses)
    parts = [
        table(
            ("tables after `from`", "`-> T`", "clauses", "the input's columns"),
            [(inputs(kind), RESULTS[kind.result], clauses, columns(kind))],
        ),
        settings(kind.settings),
    ]
    for name, section in kind.sections.items():
        parts += [f"In `{name}`:", settings(section)]
    return "\n\n".join(parts)


def makers() -> dict[str, Callable[[], str]]:
    """What can be generated, by name."""
    from engine.kinds import registry
    from engine.language.models import ModelSettings

    found: dict[str, Callable[[], str]] = {"model": lambda: settings(ModelSettings)}
    for kind in registry().values():
        found[kind.name] = lambda kind=kind: facts(kind)  # type: ignore[misc]
    return found


def renew(page: Path, makers: Mapping[str, Callable[[], str]]) -> None:
    """Write a page anew, where it differs."""
    before = page.read_text(encoding="utf-8")
    after = renewed(before, makers)
    if after != before:
        page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    for place in [*Path("docs/kinds").glob("*.md"), Path("docs/models.md")]:
        renew(place, makers())
