"""`atk params`: what can be set with `-p`, and what is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from engine.commands._errors import WRONG
from engine.commands._options import Debug, GraphFile, Json, Models, Profile, Values

if TYPE_CHECKING:
    from engine.language.program import Parameter


def params(
    graph: GraphFile,
    values: Values = None,
    models: Models = None,
    profile: Profile = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """List what can be set with -p, and what is in force."""
    from engine.commands._diagnostics import tell
    from engine.commands._options import load
    from engine.commands._render import print_json, table, terminal_width
    from engine.language.types import describe

    program = load(graph, values, models, profile, complete=False)
    if not program.params:
        tell(program)
        if not program.ok:
            raise typer.Exit(WRONG)
    # As the file alone has them: what a profile or the command line set is told apart by `given`.
    defaults = load(graph, complete=False).params
    found = [
        {
            "name": name,
            "type": describe(parameter.type),
            "value": _without_login(parameter.value),
            "default": _without_login(defaults[name].value) if name in defaults else None,
            "required": required(defaults.get(name)),
            "given": parameter.given,
            "doc": parameter.doc,
        }
        for name, parameter in program.params.items()
    ]
    if json:
        print_json(found)
    elif not found:
        print(f"{program.name} has no parameters")
    else:
        heads = ("name", "type", "value", "default", "")
        rows = [
            (item["name"], item["type"], _shown(item, "value"), _shown(item, "default"), item["doc"] or "")
            for item in found
        ]
        for line in table(heads, rows, limit=terminal_width()):
            print(line)


def _without_login(value: Any) -> Any:
    """An address without what may be a password: the environment may have one, or a command line."""
    from engine.language.diagnostics import masked

    return masked(value) if isinstance(value, str) else value


def required(parameter: Parameter | None) -> bool:
    """Nothing stands for it unless it is set: it has no default and its type is not `T?`."""
    from engine.language.types import Optional

    return parameter is not None and parameter.value is None and not isinstance(parameter.type, Optional)


def _shown(item: dict[str, Any], which: str) -> str:
    from engine.commands._render import cell, fit

    value = item[which]
    if value is None:
        return "(required)" if item["required"] else "none"
    return fit(cell(value) if value != "" else '""', 32)
