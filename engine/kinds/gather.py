"""`gather`: the rows that share an ancestor, collected into a list in that ancestor's row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

from pydantic import BaseModel, Field

from engine.kinds.base import Context, GroupKind, Made, Outcome, Row, Settings
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node


class GatherSettings(Settings):
    """Settings of `gather`."""

    by: Annotated[str, Role.TABLE] = Field(description="The ancestor whose rows are to hold the lists.")
    columns: Annotated[list[str] | None, Role.COLUMN] = Field(
        None,
        description="What is collected of each row; if absent, the columns that the ancestor does not have.",
    )
    into: str | None = Field(None, description="The name of the list; the node's own if absent.")
    order: Annotated[str | None, Role.COLUMN] = Field(
        None,
        description="A column to sort by, smallest first; the order in which the rows came to be if absent.",
    )
    min: int = Field(1, ge=1, description="Rows that a list must have; a shorter one is rejected.")


class Gather(GroupKind):
    """One row for each row of the ancestor: its columns, and a list; see the module's docstring."""

    name = "gather"
    settings = GatherSettings

    def base(self, settings: BaseModel) -> str | None:
        """Its rows stand for the ancestor's."""
        return cast(GatherSettings, settings).by

    def by(self, node: Node) -> str:
        """The ancestor's node."""
        name = cast(GatherSettings, node.settings).by
        return name if name in node.ancestors else node.tables.get(name, name)

    def own(self, shape: Shape) -> Mapping[str, str]:
        """One column: a list of records, one for each row collected."""
        settings = cast(GatherSettings, shape.settings)
        before = shape.inputs[0] if shape.inputs else {}
        for name in (*(settings.columns or ()), *((settings.order,) if settings.order else ())):
            if name not in before:
                known = ", ".join(f"`{each}`" for each in before)
                setting = "order" if name == settings.order else "columns"
                raise Problem("ATK122", f"no column named `{name}`", setting, f"the input has {known}")
        if shape.ancestors and settings.by not in shape.ancestors:
            known = ", ".join(f"`{name}`" for name in shape.ancestors)
            raise Problem(
                "ATK103", f"`{settings.by}` is no ancestor of the input", "by", f"its rows come from {known}"
            )
        names = settings.columns or added(before, shape.ancestors.get(settings.by, {}))
        if not names:
            raise Problem(
                "ATK152",
                f"nothing to collect: the input has no column that `{settings.by}` lacks",
                "by",
                "name what is to be collected: `columns = [question, answer]`",
            )
        fields = ", ".join(f'"{name}" {before[name]}' for name in names)
        return {settings.into or shape.name.rpartition(".")[2]: f"STRUCT({fields})[]"}

    def collect(self, ancestor: Row, rows: Sequence[Row], context: Context) -> Outcome:
        """The list, or why it is too short."""
        node = context.node
        settings = cast(GatherSettings, node.settings)
        if settings.order is not None:
            order = settings.order
            rows = sorted(rows, key=lambda row: (row.columns[order] is None, row.columns[order]))
        names = settings.columns or added(rows[0].columns, ancestor.columns)
        into = settings.into or node.name.rpartition(".")[2]
        own = {into: [{name: row.columns[name] for name in names} for row in rows]}
        if len(rows) < settings.min:
            return Outcome([Made(own, "rejected", f"{len(rows)} of at least {settings.min} rows")])
        return Outcome([Made(own)])


def added(columns: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """The columns that came after an ancestor."""
    return [name for name in columns if name not in before]
