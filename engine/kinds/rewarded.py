"""`rewarded`: the replies of a model in training with the reward of each.

A graph does not name it: `reward` at a `train` node brings it in. While the model is trained it adds up
what the judges say of a batch; afterwards its table is that of the whole training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, cast

from pydantic import Field

from engine.kinds.base import Context, Made, Row, Settings, TableKind
from engine.kinds.replies import routed
from engine.language.kind import Problem, Role, Shape

OWN = {"reward": "DOUBLE", "rewards": "STRUCT(name VARCHAR, reward DOUBLE)[]"}


class RewardedSettings(Settings):
    """What it takes over from its `train` node."""

    weights: Annotated[dict[str, float], Role.TABLES] = Field(
        description="How much each judge counts, by its table."
    )
    route: Annotated[str | None, Role.COLUMN] = Field(
        None, description="The column that says which rewards a row has, by name."
    )


class Rewarded(TableKind):
    """See the module's docstring."""

    name = "rewarded"
    settings = RewardedSettings
    inputs = (2, None)
    keeps = True
    unwritten: ClassVar[bool] = True

    def own(self, shape: Shape) -> Mapping[str, str]:
        """The reward, which is the weighted sum, and the judges' parts in it."""
        for name, lineage in zip(shape.names[1:], shape.lineage[1:], strict=False):
            if not any(one.rpartition(".")[2] == "replies" or ".for_" in one for one in lineage):
                message = f"`{name}` does not say which reply a reward is for"
                raise Problem("ATK177", message, None, "let its query select `replies_id`, or `*`")
        before = shape.inputs[0] if shape.inputs else {}
        taken = next((name for name in OWN if name in before), None)
        if taken is not None:
            raise Problem("ATK102", f"what is trained on has a column `{taken}` already", None, "rename it")
        return OWN

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """Every reply; one that a judge owes a reward has none, rather than a part of one."""
        settings = cast(RewardedSettings, context.node.settings)
        tables = context.node.inputs[1:]
        judged: dict[str, dict[bytes, float]] = {}
        judges: dict[bytes, dict[str, bytes]] = {}  # by reply: the rows that judged it, for its lineage
        for table, rows in zip(tables, inputs[1:], strict=True):
            replies = replies_above(context, table)
            judged[table] = means(noted(rows(), table, replies, judges), replies)
        for row in inputs[0]():
            wanted = [
                table
                for table in tables
                if settings.route is None or local(table) in routed(row, settings.route)
            ]
            found = {table: judged[table].get(row.id) for table in wanted}
            whole = bool(found) and None not in found.values()
            total = sum(settings.weights[name] * (value or 0.0) for name, value in found.items())
            parts = [{"name": local(name), "reward": value} for name, value in found.items()]
            parent = Row(row.id, row.rev, row.columns, {**judges.get(row.id, {}), **row.ids})
            yield Made({"reward": total if whole else None, "rewards": parts}, parent=parent)


def replies_above(context: Context, table: str) -> str:
    """The table of replies that a judge's rows come of."""
    prefix, _, name = table.rpartition(".")
    own = f"{prefix}.for_{name}"
    return own if own in context.program.nodes else f"{prefix}.replies"


def noted(
    rows: Iterable[Row], table: str, replies: str, judges: dict[bytes, dict[str, bytes]]
) -> Iterable[Row]:
    """The rows of a judge as they pass; the first of each reply becomes one of its ancestors."""
    for row in rows:
        found = judges.setdefault(row.ids[replies], {})
        if table not in found:
            found |= {**row.ids, table: row.id}
        yield row


def means(rows: Iterable[Row], replies: str) -> dict[bytes, float]:
    """By the id of a reply, the mean of the rewards that its rows have; one that is no number counts not."""
    found: dict[bytes, list[float]] = {}
    for row in rows:
        reward = row.columns["reward"]
        if reward is not None and math.isfinite(reward):
            found.setdefault(row.ids[replies], []).append(float(reward))
    return {key: sum(values) / len(values) for key, values in found.items()}


def local(table: str) -> str:
    """The name of a judge beneath its `train` node."""
    return table.rpartition(".")[2]
