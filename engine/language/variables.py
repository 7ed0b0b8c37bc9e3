"""Variables of prompts: each must be a column, a `let`, a param or a slot."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from engine.language.diagnostics import Diagnostic, suggestion
from engine.language.instances import Instance
from engine.language.meanings import Meanings, place_in

SPECIAL = frozenset({"schema", "failure"})


def undeclared(
    meanings: Meanings,
    given: Collection[str],
    home: Instance,
    hint: Callable[[str], str | None],
    shown: Callable[[Path], str],
) -> Iterator[Diagnostic]:
    """What a block's prompt reads and nobody gives, in the order in which the prompt reads it."""
    whose = meanings.around.flat.declaration.name.text
    for template, span in meanings.templates:
        places = template.places
        unknown = template.reads - set(given) - SPECIAL
        for name in sorted(unknown, key=lambda one: (places.get(one, (0, 0)), one)):
            line, column = places.get(name, (1, 1))
            help = hint(name) or suggestion(name, given)
            if home.graph is not None and name in home.file.params:
                help = f"a graph sees its slots only: add a slot `{name}` and set it at the call"
            message = f"`{{{{ {name} }}}}` is no column, `let` or param of `{whose}`"
            at = place_in(template.path, shown, line, column, len(name))
            yield Diagnostic("ATK132", message, at, help, ((span, "the prompt is named here"),))
