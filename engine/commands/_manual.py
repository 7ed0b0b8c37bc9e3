"""The manual's page on commands, made of their own help: `python -m engine.commands._manual`."""

from __future__ import annotations

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


if __name__ == "__main__":
    renew(Path("docs/commands.md"), makers())
