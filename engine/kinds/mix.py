"""`mix`: several tables blended by share of rows or of tokens.

Which rows are taken is decided by `engine.data.mixing`; here are the columns, the weights and
what is said when the wished shares could not be had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field

from engine.data.columns import record_fields
from engine.kinds.base import Context, Made, Row, Settings, TableKind
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node

if TYPE_CHECKING:
    from engine.data.mixing import Blend

MISSED = 0.02  # of the whole: a share that is further off is told


class MixSettings(Settings):
    """Settings of `mix`."""

    share: Annotated[dict[str, float], Role.TABLES] = Field(
        description="For each input its share of the blend; together they are 1."
    )
    unit: Literal["rows", "tokens"] = Field("rows", description="What shares, total and floors count.")
    total: int | None = Field(
        None, gt=0, description="The size of the blend; as much as the scarcest input allows if absent."
    )
    floor: Annotated[dict[str, int] | None, Role.TABLES] = Field(
        None, description="Of these inputs at least so much is taken, if they have it."
    )
    seed: int = Field(0, description="Of the draw: another seed takes other rows.")


class Mix(TableKind):
    """See the module's docstring."""

    name = "mix"
    settings = MixSettings
    inputs = (2, None)
    keeps = False

    def own(self, shape: Shape) -> Mapping[str, str]:
        """The columns that all inputs have, of one type; `origin`, the input's name; `tokens`."""
        settings = cast(MixSettings, shape.settings)
        _check_names(settings, shape.names)
        total = sum(settings.share.values())
        if any(share <= 0 for share in settings.share.values()):
            raise Problem(
                "ATK157", "a share must be above 0", "share", "leave the table out of `from` instead"
            )
        if not 0.999 <= total <= 1.001:
            parts = ", ".join(f"{name}: {share / total:.3g}" for name, share in settings.share.items())
            raise Problem(
                "ATK157", f"the shares come to {total:.4g}, not to 1", "share", f"write {{ {parts} }}"
            )
        if settings.total is not None and sum((settings.floor or {}).values()) > settings.total:
            raise Problem("ATK157", "the floors come to more than `total`", "floor")
        common = shared(shape.inputs)
        if not common:
            raise Problem("ATK158", "the inputs have no column in common", None, _differences(shape))
        return {**common, "origin": "VARCHAR", "tokens": "BIGINT"}

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """The rows chosen, input after input, each with its lineage."""
        from engine.data.mixing import Item, blend

        node = context.node
        settings = cast(MixSettings, node.settings)
        names = list(node.inputs)
        counted = [name for name in node.own if name not in ("origin", "tokens")]
        items = {
            name: [
                Item(row.id, tokens_of(row, counted, node.own) if settings.unit == "tokens" else 1)
                for row in read()
            ]
            for name, read in zip(names, inputs, strict=True)
        }
        shares = _by_input(settings.share, names)
        floors = _by_input({name: float(floor) for name, floor in (settings.floor or {}).items()}, names)
        chosen = blend(items, shares, settings.total, floors, settings.seed)
        self.tell(context, chosen, shares, settings)
        return self.made(node, inputs, chosen, counted)

    def made(
        self, node: Node, inputs: Sequence[Callable[[], Iterable[Row]]], chosen: Blend, counted: Sequence[str]
    ) -> Iterator[Made]:
        for name, read in zip(node.inputs, inputs, strict=True):
            taken = set(chosen.taken[name])
            origin = name.rpartition(".")[2]
            for row in read():
                if row.id in taken:
                    own = {column: row.columns[column] for column in counted}
                    own |= {"origin": origin, "tokens": tokens_of(row, counted, node.own)}
                    yield Made(own, parent=row)

    def tell(
        self, context: Context, chosen: Blend, shares: Mapping[str, float], settings: MixSettings
    ) -> None:
        """What came of the wishes, where it is not what was wished."""
        empty = [name for name, taken in chosen.taken.items() if not taken]
        if empty:
            context.say(f"nothing was taken of {', '.join(f'`{name}`' for name in empty)}")
        if any(abs(chosen.share(name) - share) > MISSED for name, share in shares.items()) and chosen.total:
            came = ", ".join(
                f"{name} {chosen.share(name):.1%} (wished {share:.1%})" for name, share in shares.items()
            )
            context.say(f"of {chosen.total:,.0f} {settings.unit}: {came}")
        if settings.total is not None and chosen.total < settings.total * (1 - MISSED):
            had = f"{chosen.total:,.0f} of {settings.total:,} {settings.unit}"
            context.say(f"the inputs gave {had}")


def shared(inputs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The columns that all tables have with one type."""
    if not inputs:
        return {}
    first, *others = inputs
    return {
        name: type_
        for name, type_ in first.items()
        if all(_bare(other.get(name, "")) == _bare(type_) for other in others)
    }


def tokens_of(row: Row, columns: Sequence[str], types: Mapping[str, str]) -> int:
    """Tokens of what a model would be trained on: the messages, else the text, else all text columns."""
    from engine.data.conversations import text_of
    from engine.data.tokens import estimate

    messages = row.columns.get("messages")
    if "messages" in columns and messages is not None and record_fields(types["messages"]):
        return estimate(text_of(messages))
    if "text" in columns:
        return estimate(row.columns["text"] or "")
    return sum(estimate(row.columns[name] or "") for name in columns if types[name] == "VARCHAR")


def _bare(type_: str) -> str:
    """A DuckDB type without the quotes that some ways of writing it have."""
    return type_.replace('"', "").upper()


def _differences(shape: Shape) -> str:
    said = [
        f"`{name}` has {', '.join(columns) or 'none'}"
        for name, columns in zip(shape.names, shape.inputs, strict=True)
    ]
    return "; ".join(said)


def _check_names(settings: MixSettings, names: Sequence[str]) -> None:
    """Every input has a share, and nothing else has one."""
    shorts = {name.rpartition(".")[2] for name in names} | set(names)
    for setting, keys in (("share", settings.share), ("floor", settings.floor or {})):
        for key in keys:
            if key not in shorts:
                inputs = ", ".join(f"`{name}`" for name in names)
                raise Problem("ATK157", f"`{key}` is no input", setting, f"the inputs are {inputs}")
    for name in names:
        if name not in settings.share and name.rpartition(".")[2] not in settings.share:
            raise Problem(
                "ATK157",
                f"`{name}` has no share",
                "share",
                f"write `{name.rpartition('.')[2]}: 0.1`, for example",
            )


def _by_input(values: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    found = {name: values.get(name, values.get(name.rpartition(".")[2])) for name in names}
    return {name: value for name, value in found.items() if value is not None}
