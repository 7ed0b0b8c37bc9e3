"""What a run would do and cost, found by running dry.

The whole engine runs on a store that forgets (`Store.open(mode="plan")`): files are read,
passages cut, prompts rendered and looked up, and where a reply would have to be paid for it
is counted instead. So the first frontier is exact. What lies beyond it is estimated, from the
figures of earlier runs where there are any, and marked so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from engine.kinds.base import TableKind
from engine.kinds.prompt import is_many, row_record
from engine.language.types import Many, Optional, Record, Type
from engine.runtime.engine import Engine, model_notes
from engine.runtime.events import NodePlan, Note, Plan
from engine.runtime.groups import GroupStation
from engine.runtime.reasons import reasons
from engine.runtime.rows import RowStation
from engine.runtime.statics import contents_of, models_of
from engine.runtime.station import Station

if TYPE_CHECKING:
    from engine.language.program import Node
    from engine.runtime.probing import Probe

FAN_OUT = 4.0
"""Rows that a `T[]` is taken to give where no earlier run has shown it."""
TEXT_TOKENS = 40
"""Tokens that a text field of a reply is taken to have where no earlier run has shown it."""
COLUMN_CHARACTERS = 400
"""Characters of a text column that no row shows yet."""


def made_plan(engine: Engine, probed: Probe | None = None) -> Plan:
    """The plan, after the engine has run dry; with the figures of a probe where there was one."""
    guesses = Guesses(engine, probed.figures if probed else {})
    for name in engine.read:
        guesses.coming[name] = guesses.leaving[name] = 0.0
    nodes = [guesses.line(engine.stations[name]) for name in engine.progress]
    left = sum(not node.skipped for node in engine.program.nodes.values()) - len(nodes)
    notes = (*model_notes(engine.program, engine.kinds), *map(said, engine.notes), *guesses.told(probed))
    return Plan(engine.program.name, tuple(nodes), notes, left)


def said(note: Note) -> str:
    """A note, with the node that it is about."""
    return f"{note.node}: {note.text}" if note.node else note.text


class Guesses:
    """Numbers for what the dry run could not reach."""

    def __init__(self, engine: Engine, probed: Mapping[str, Mapping[str, Any]]):
        self.engine, self.probed = engine, probed
        self.sources: dict[str, list[str]] = {}  # where estimates are from -> the nodes
        self.coming: dict[str, float] = {}  # rows that a node will make beyond those known
        self.leaving: dict[str, float] = {}  # rows that stand now and will not, since others come for them
        self.lengths: dict[tuple[str, str], float] = {}
        states = engine.store.remembered(engine.program.name)
        self.known = set(states)
        self.gone = {name: state.static for name, state in states.items() if name not in engine.program.nodes}

    def line(self, station: Station) -> NodePlan:
        node, progress = station.node, station.progress
        unknown = sum(self.coming[one.node.name] for one in station.upstream)
        calls, tokens_in, tokens_out, cost = (
            progress.calls,
            progress.tokens_in,
            progress.tokens_out,
            progress.cost,
        )
        asks = models_of(node, station.kind)
        if asks and unknown:
            more, each_in, each_out, price = self.calls_for(station, unknown)
            calls += math.ceil(more)
            tokens_in += round(more * each_in)
            tokens_out += round(more * each_out)
            cost += price
        self.coming[node.name], self.leaving[node.name] = self.rows_to_come(station, unknown)
        rows = round(self.at_end(station))
        model = self.engine.program.models[asks[0]] if asks else None
        return NodePlan(
            name=node.name,
            kind=node.kind,
            mark=self.mark(station),
            rows=rows,
            cached=progress.cached if asks else None,
            to_call=calls if asks else None,
            tokens=(tokens_in, tokens_out) if asks else None,
            cost=cost if asks else None,
            estimated=bool(unknown) or station.at_most if asks else station.estimated,
            rows_estimated=bool(unknown or station.missing or station.estimated),
            why=self.why(station),
            model=f"{model.name} ({model.model})" if model else None,
        )

    def at_end(self, station: Station) -> float:
        """Rows that a table will have."""
        name = station.node.name
        return station.progress.rows - self.leaving[name] + self.coming[name]

    def rows_to_come(self, station: Station, unknown: float) -> tuple[float, float]:
        """Rows that will be made beyond those known, and rows that stand now and will go for them."""
        undecided = unknown + station.missing
        stand = float(station.progress.rows)
        if isinstance(station, RowStation):
            replaced = self.replaced(station)
            above = station.upstream[0]
            share = self.leaving[above.node.name] / max(above.progress.rows, 1)
            return undecided * self.fan_out(station), replaced + (stand - replaced) * min(share, 1.0)
        if isinstance(station, GroupStation):
            if not undecided:
                return 0.0, 0.0
            ancestors = self.engine.stations.get(station.by)
            most = self.at_end(ancestors) if ancestors else undecided
            end = min(self.in_proportion(station) if stand else undecided, most)
            coming = min(undecided, end)
        elif station.kind.either:
            last = [one for one in station.upstream if one.result != "passed"][-1]
            end = self.at_end(last)
            coming = max(self.coming[last.node.name], end - stand)
        elif station.estimated and (known := foreseen(station)) is not None:
            coming = max(known - stand, 0.0)
            end = float(known)
        elif station.estimated:
            limit = most_rows(station)
            cut = limit is not None and stand >= limit  # how many there would be does not show
            end = self.in_proportion(station) if stand and not cut else self.going_in(station)
            end = end if limit is None else min(end, limit)
            coming = max(end - stand, min(end, unknown))
        else:
            return 0.0, 0.0
        return max(coming, 0.0), min(max(stand + coming - end, 0.0), stand)

    def replaced(self, station: RowStation) -> int:
        """Rows that stand of an older prompt or input, where the new outcome is to be paid for."""
        if not station.unpaid or not station.progress.rows:
            return 0
        found = self.engine.store.parents(station.node.name).values()
        return sum(status == "ok" and parent in station.unpaid for parent, status in found)

    def in_proportion(self, station: Station) -> float:
        """Rows at the end, if they are as many to those of the inputs as they are now."""
        now = sum(one.progress.rows for one in station.upstream)
        return station.progress.rows * sum(map(self.at_end, station.upstream)) / max(now, 1)

    def going_in(self, station: Station) -> float:
        """Rows of all inputs; where one comes of another, they are taken to be about the same things."""
        rows = {one.node.name: self.at_end(one) for one in station.upstream}
        below = {
            one.node.name: [other for other in rows if other in one.node.ancestors]
            for one in station.upstream
        }
        return sum(
            max(count, *(rows[other] for other in rows if name in below[other]), 0.0)
            for name, count in rows.items()
            if not below[name]
        )

    def told(self, probed: Probe | None) -> list[str]:
        """Where the numbers with `~` are from."""
        names = {
            "probe": f"a probe of {probed.rows if probed else 0} rows",
            "runs": "earlier runs",
            "rows": "the rows that are known",
            "guess": "no run yet, so these are guesses (`atk plan --probe 5` pays for a few rows to see)",
        }
        return [
            f"~ estimated from {names[source]}: {', '.join(self.sources[source])}"
            for source in names
            if source in self.sources
        ]

    def figures(self, station: Station, key: str) -> Any:
        """What a probe or an earlier run has shown of a node."""
        found = self.probed.get(station.node.name, {})
        return found[key] if key in found else station.info.get(key)

    def fan_out(self, station: Station) -> float:
        known = self.figures(station, "fan_out")
        if known is not None:
            return float(known)
        times = float(getattr(station.node.settings, "count", 1)) if station.node.pool else 1.0
        return times * (FAN_OUT if is_many(station.node.result) else 1.0)

    def calls_for(self, station: Station, rows: float) -> tuple[float, float, float, float]:
        """Calls, tokens in and out of each, and the price of all, for rows that nobody has seen."""
        figures = self.figures(station, "figures")
        name, source = station.node.name, "guess"
        if figures:
            source = "probe" if "figures" in self.probed.get(name, {}) else "runs"
            each, tokens_in, tokens_out = figures["calls"], figures["tokens_in"], figures["tokens_out"]
        elif station.progress.calls and station.missing:
            source = "rows"
            each = station.progress.calls / station.missing
            tokens_in = station.progress.tokens_in / station.progress.calls
            tokens_out = station.progress.tokens_out / station.progress.calls
        else:
            votes, quorum = (
                getattr(station.node.settings, "votes", 1),
                getattr(station.node.settings, "quorum", 0.5),
            )
            times = getattr(station.node.settings, "count", 1) if station.node.pool else 1
            each = float(times * min(votes, math.floor(votes * quorum) + 1))
            tokens_in, tokens_out = self.tokens_in(station.node), float(reply_tokens(station.node.result))
        self.sources.setdefault(source, []).append(name)
        price = self.engine.program.models[models_of(station.node, station.kind)[0]].price
        calls = rows * each
        cost = calls * (tokens_in * price.get("input", 0.0) + tokens_out * price.get("output", 0.0)) / 1e6
        return calls, tokens_in, tokens_out, cost

    def tokens_in(self, node: Node) -> float:
        """Length of the prompt with typical columns in it; a token is taken as four characters."""
        asked = [node.template] if node.template else [*node.pool]
        characters = 0.0
        for template in asked:
            characters += len(template.path.read_text(encoding="utf-8"))
            for name in template.reads:
                column = node.columns.get(name)
                if column is not None and "VARCHAR" in column.type:
                    characters += self.length(column.owner, name)
        return characters / 4 / max(len(asked), 1)

    def length(self, owner: str, column: str) -> float:
        """Mean length of a column over the rows that are known, in characters."""
        if (owner, column) not in self.lengths:
            found: Any = None
            if owner in self.engine.stations and self.engine.stations[owner].progress.rows:
                view = self.engine.store.view(owner)
                cursor = self.engine.store.cursor(view)
                try:
                    found = cursor.execute(f'SELECT avg(length("{column}"::VARCHAR)) FROM {view}').fetchall()[
                        0
                    ][0]
                finally:
                    cursor.close()
            self.lengths[owner, column] = float(found) if found is not None else float(COLUMN_CHARACTERS)
        return self.lengths[owner, column]

    def mark(self, station: Station) -> Literal["=", "~", ">", "+"]:
        if station.result in ("unchanged", "passed"):
            return "="
        if station.state is None:
            return "+"
        return ">" if station.state.static == station.static else "~"

    def why(self, station: Station) -> str:
        if station.result == "passed":
            return f"not needed: `until` holds before (`{station.node.after}`)"
        why = self.change(station)
        return f"{why}; at most, if `until` does not hold before" if station.at_most else why

    def change(self, station: Station) -> str:
        """What is not as it was."""
        mark = self.mark(station)
        if mark == "=":
            return ""
        if mark == "+":
            if station.node.name in self.known:  # the store forgets a table that does not fit any more
                return "its table is made anew: its columns, or names above it, are not as they were"
            return new(station, self.gone)
        if mark == "~":
            return "; ".join(told(self.engine, station, station.parts_before)) or "its own part changed"
        changed = [
            one.node.name
            for one in station.upstream
            if one.result not in ("unchanged", "passed") and (one.changed or one.estimated or one.missing)
        ]
        if changed:
            return f"follows {', '.join(changed)}"
        if not station.upstream:
            return "what it reads changed"
        if station.info.get("retry"):
            return f"{station.info['retry']} rows to try again"
        return (
            "was not finished"
            if station.state is not None and not station.state.complete
            else "its input changed"
        )


def foreseen(station: Station) -> int | None:
    """Rows that a table will have, where the settings of its node say so."""
    kind = station.kind
    return kind.foreseen(station.node) if isinstance(kind, TableKind) else None


def most_rows(station: Station) -> int | None:
    """Rows that a table can have at most, where the settings of its node say so."""
    kind = station.kind
    return kind.most(station.node) if isinstance(kind, TableKind) else None


def new(station: Station, gone: Mapping[str, bytes]) -> str:
    """What to say of a node that was not there; one that is gone may have been it by another name."""
    was = [name for name, static in gone.items() if static == station.static]
    return f"new; `{was[-1]}`, which is gone, was made the same way" if was else "new"


def told(engine: Engine, station: Station, before: Mapping[str, str]) -> list[str]:
    """What of a node's own part differs from what it was, in words."""
    contents = engine.store.contents([*before.values()])
    contents |= contents_of(engine.program, station.node, station.kind)
    return reasons(before, station.parts, contents)


def reply_tokens(kind: Type | None) -> int:
    """A guess at the length of a reply of a type."""
    record = row_record(kind)
    if record is None:
        return TEXT_TOKENS
    one = sum(_field_tokens(entry.type) for entry in record)
    return round(one * (FAN_OUT if is_many(kind) else 1))


def _field_tokens(kind: Type) -> int:
    match kind:
        case Many(of):
            return round(_field_tokens(of) * FAN_OUT)
        case Optional(of):
            return _field_tokens(of)
        case Record(fields):
            return sum(_field_tokens(entry.type) for entry in fields)
        case _:
            return TEXT_TOKENS if getattr(kind, "name", "") == "str" else 4
