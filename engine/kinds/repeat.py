"""`repeat`: the table of a call with `rounds`. Its rows are those of the last round that ran.

The rounds are ordinary nodes, written out by the language; whether a round runs is the runtime's
affair (`until`). Here the last one that did is handed on. No graph writes this kind by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from pydantic import Field

from engine.kinds.base import Context, Made, Row, Settings, TableKind


class RepeatSettings(Settings):
    """What a call may set beside the slots of its graph."""

    rounds: int = Field(description="How often the graph runs, at most; each round takes what the last gave.")


class Repeat(TableKind):
    """The last round; see the module's docstring."""

    name = "repeat"
    settings = RepeatSettings
    inputs = (1, None)
    either: ClassVar[bool] = True
    unwritten: ClassVar[bool] = True

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """The rows of the last round, each with the columns that differ from round to round."""
        last = [name for name in context.node.inputs if context.ran(name)][-1]
        for row in context.rows(last):
            yield Made({name: row.columns[name] for name in context.node.own}, parent=row)
