"""The manual's page on commands, made of their own help, and the params of the shipped graphs, made of
their declarations: `python -m engine.commands._manual`."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from engine.kinds.manual import renew, table


def command(name: str, shown: Any) -> str:
    """Usage, what it does, arguments and options. `shown` is the command as typer has built it."""
    arguments = [one for one in shown.params if one.param_type_name == "argument"]
    options = [one for one in shown.params if one.param_type_name == "option"]
    words = ["atk", name, *(["[OPTIONS]"] if options else []), *map(usage, arguments)]
    parts = [f"```text\n{' '.join(words)}\n```", shown.help.strip()]
    rows = [(f"`{spelled(one)}`", one.help or "", default(one)) for one in (*arguments, *options)]
    return "\n\n".join([*parts, table(("", "says", "default"), rows)])


def usage(argument: Any) -> str:
    """An argument as it stands in a usage line."""
    word = str(argument.metavar)
    return word if argument.required or word.startswith("[") else f"[{word}]"


def spelled(parameter: Any) -> str:
    """How a parameter is typed: `-n, --count N`."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    words = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return words if parameter.is_flag else f"{words} {parameter.metavar or 'N'}"


def default(parameter: Any) -> str:
    """The value of a parameter that is not given, where it is a number or a text."""
    if parameter.required:
        return "*required*"
    value = parameter.default
    if value is None or callable(value) or isinstance(value, bool | list | tuple):
        return ""
    return f"`{value}`"


def makers() -> dict[str, Callable[[], str]]:
    """What can be generated, by the command's name."""
    import typer

    from engine.commands._app import app

    commands: dict[str, Any] = typer.main.get_command(app()).commands  # type: ignore[attr-defined]
    return {name: partial(command, name, shown) for name, shown in commands.items()}


def params(graph: Path) -> str:
    """What can be set in a graph, and what its `dev` profile sets."""
    from engine import runtime
    from engine.commands.params import required
    from engine.language.types import describe

    program = runtime.load(str(graph), complete=False)
    rows = [
        (
            f"`{name}`",
            f"`{describe(one.type)}`",
            "*required*" if required(one) else said(one.value),
            one.doc or "",
        )
        for name, one in program.params.items()
    ]
    parts = [table(("param", "type", "default", "says"), rows)]
    if re.search(r"^profile dev\b", graph.read_text("utf-8"), re.M):
        first = runtime.load(str(graph), profile="dev", complete=False).params
        other = [
            f"`{name}` {said(one.value)}"
            for name, one in first.items()
            if one.value != program.params[name].value
        ]
        parts.append(
            f"`--profile dev`: {', '.join(other)}." if other else "`--profile dev` changes no param."
        )
    return "\n\n".join(parts)


def said(value: Any) -> str:
    """A param's value, short."""
    import json

    if value is None:
        return ""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return f"`{text}`" if len(text) < 60 else f"`{text[:56]}…`"


def shipped(page: str) -> dict[str, Callable[[], str]]:
    """The same for the page of the shipped graphs; what costs are is measured elsewhere and stays."""
    made: dict[str, Callable[[], str]] = {
        f"params of {path.stem}": partial(params, path) for path in sorted(Path("graphs").glob("*.atk"))
    }
    costs = page.partition("<!-- generated: costs -->\n")[2].partition("<!-- end -->")[0].strip("\n")
    return made | {"costs": lambda: costs}


if __name__ == "__main__":
    renew(Path("docs/commands.md"), makers())
    graphs = Path("docs/graphs.md")
    renew(graphs, shipped(graphs.read_text("utf-8")))
