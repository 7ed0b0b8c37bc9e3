"""`replies`: what a model replied while it was trained with a reward, each beneath the row that asked.

A graph does not name it: `reward` at a `train` node brings it in. The rows come from the job folder,
where they were written down batch by batch as they were judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, cast

from pydantic import Field

from engine.kinds.base import Context, KindError, Made, Row, Settings, TableKind
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node

OWN = {"reply": "VARCHAR", "step": "BIGINT", "finished": "BOOLEAN"}
TEXTS = ("VARCHAR", "VARCHAR[]")


class RepliesSettings(Settings):
    """What it takes over from its `train` node."""

    of: Annotated[str, Role.START] = Field(description="The `train` node whose replies these are.")
    steps: int | None = Field(None, gt=0, description="Steps of that node, as far as they are set.")
    batch: int | None = Field(None, gt=0, description="Replies a step, as far as they are set.")
    route: Annotated[str | None, Role.COLUMN] = Field(
        None, description="The column that says which rewards a row has, by name."
    )
    only: str | None = Field(None, description="The reward for which these replies are.")


class Replies(TableKind):
    """See the module's docstring."""

    name = "replies"
    settings = RepliesSettings
    inputs = (1, None)
    keeps = True
    pure = False
    unwritten: ClassVar[bool] = True

    def own(self, shape: Shape) -> Mapping[str, str]:
        """The reply, the step in which it was given, and whether it came to its end."""
        settings = cast(RepliesSettings, shape.settings)
        before = shape.inputs[0] if shape.inputs else {}
        taken = next((name for name in OWN if any(name in columns for columns in shape.inputs)), None)
        if taken is not None:
            message = f"what is trained on has a column `{taken}` already: replies have it too"
            raise Problem(
                "ATK102", message, None, f"rename it in a `sql` before: `SELECT * RENAME ({taken} AS …)`"
            )
        if settings.route and before.get(settings.route) not in TEXTS:
            message = f"`{settings.route}` names no rewards: it is {before.get(settings.route, 'missing')}"
            raise Problem("ATK177", message, None, "a text, or a list of texts")
        return OWN

    def foreseen(self, node: Node) -> int | None:
        """All that the training will have asked for, where every judge sees all of it."""
        from engine.training.recipes import RECIPES

        settings, grpo = cast(RepliesSettings, node.settings), RECIPES["grpo"]
        return (settings.steps or grpo.steps or 0) * (settings.batch or grpo.batch)

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """What was written down, of the rows that asked."""
        from engine.training.rewarding import places, recorded

        settings = cast(RepliesSettings, context.node.settings)
        trained = context.trained(settings.of)
        if trained is None:
            raise KindError(f"`{context.node.name}`: `{settings.of}` is not trained")
        folder = (context.root / Path(str(trained["folder"]))).parent
        asked = asking_rows(inputs, places(folder))
        for one in recorded(folder):
            row = asked[one.place]
            if settings.only is not None and settings.only not in routed(row, settings.route):
                continue
            own = {"reply": one.reply, "step": one.step, "finished": one.finished}
            yield Made(own, parent=row, identity=f"{one.step}/{one.number}")


def asking_rows(
    inputs: Sequence[Callable[[], Iterable[Row]]], places: Sequence[tuple[int, int]]
) -> list[Row]:
    """The rows that were asked about, in the order of the job: each given as input and place in it."""
    wanted: dict[int, dict[int, int]] = {}
    for number, (source, place) in enumerate(places):
        wanted.setdefault(source, {})[place] = number
    found: dict[int, Row] = {}
    for source, numbers in wanted.items():
        for place, row in enumerate(inputs[source]()):
            if place in numbers:
                found[numbers[place]] = row
    return [found[number] for number in range(len(places))]


def routed(row: Row, route: str | None) -> Sequence[str]:
    """The names of the rewards that a row has."""
    value = row.columns.get(route) if route else None
    return [value] if isinstance(value, str) else value or []
