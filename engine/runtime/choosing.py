"""Which real rows a recorded test is made of: a few, always the same, one that was set aside among them.

Reads a store through SQL, so it works beside a run; nothing is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from engine.frozen import dataclass
from engine.store import views
from engine.store.reader import Reader
from engine.store.records import Description, TableSpec

OK = "bool_and(n._status = 'ok')"
ASIDE = "bool_or(n._status IN ('rejected', 'failed'))"
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Chosen:
    """A row of an input table: its columns, and its ids by node, its own among them."""

    columns: dict[str, Any]
    ids: dict[str, UUID]


class Choosing:
    """Rows of the inputs of one node, as its last run left them."""

    def __init__(self, reader: Reader, description: Description, node: str, inputs: Sequence[str]):
        self.reader, self.description = reader, description
        self.locate = views.physical(description.graph)
        self.spec: TableSpec = description.real(node)
        self.inputs = inputs

    def rows(self, number: int) -> dict[str, list[Chosen]]:
        """For each input table its rows, in canonical order; empty where the node has none."""
        first = self.inputs[0]
        if self.spec.kind == "gather":
            return {first: self.groups(first, number)}
        ids = self.decided(first, number) if len(self.inputs) == 1 else []
        if ids:
            return {first: self.fetch(first, _among("t._id", ids))}
        if not self.any():
            return {first: []}
        made: dict[str, list[Chosen]] = {}
        for name in self.inputs:
            made[name] = self.related(name, made, number)
        return made

    def any(self) -> bool:
        """Whether anything came of the node."""
        table = self.locate(self.spec.node)
        return bool(self.reader.sql(f"SELECT 1 FROM {table} WHERE _died IS NULL LIMIT 1").rows)

    # -- rows with an outcome each -----------------------------------------------------------------

    def decided(self, source: str, number: int) -> list[UUID]:
        """Ids of input rows of which the node made something that stands: good ones, and one that is not.

        Where a reason names another row, as a duplicate's does, that one comes with it.
        """
        aside = self.by_fate(source, ASIDE, number)
        shown = aside[:1] if number > 1 else []
        if shown:
            shown = [*shown, *self.named(source, shown[0])][:number]
        orders = (OK, f"NOT {OK} AND NOT {ASIDE} AND NOT bool_or(n._status = 'skipped')")
        for fate in orders:
            found = [one for one in self.by_fate(source, fate, number) if one not in shown]
            shown += found[: number - len(shown)]
        shown += [one for one in aside if one not in shown][: number - len(shown)]
        if len(shown) < number:
            passed_over = self.by_fate(source, "bool_or(n._status = 'skipped')", number)
            shown += [one for one in passed_over if one not in shown][: number - len(shown)]
        return shown

    def by_fate(self, source: str, fate: str, number: int) -> list[UUID]:
        """The first ids of input rows of which became what `fate` says of their rows `n`."""
        outcomes = (
            f"SELECT n._parent FROM {self.locate(self.spec.node)} n WHERE n._died IS NULL"
            f" AND n._parent = t._id AND n._parent_rev = t._rev GROUP BY n._parent"
            f" HAVING {fate} AND NOT bool_or(n._retry)"
        )
        return [one.ids[source] for one in self.fetch(source, f"EXISTS ({outcomes})", number)]

    def named(self, source: str, row: UUID) -> list[UUID]:
        """Rows that the reason of a row's rejection names."""
        reasons = self.reader.sql(
            f"SELECT _reason FROM {self.locate(self.spec.node)} WHERE _died IS NULL AND _parent = '{row}'"
        ).rows
        ids = [UUID(found) for (reason,) in reasons for found in _ID.findall(reason or "")]
        return [one.ids[source] for one in self.fetch(source, _among("t._id", ids))] if ids else []

    # -- rows that come together -------------------------------------------------------------------

    def groups(self, source: str, number: int) -> list[Chosen]:
        """All members of a few groups, one of them too small where there is such a one."""
        by = self.spec.ancestors[0]

        def of(status: str, limit: int) -> list[UUID]:
            found = self.fetch(self.spec.node, "true", limit, status)
            return [one.ids[by] for one in found if by in one.ids]

        aside = of("rejected", number)
        good = of("ok", number)
        chosen = good[: number - 1] + aside[:1] if number > 1 else good or aside
        chosen += [one for one in [*good, *aside] if one not in chosen][: number - len(chosen)]
        if not chosen:
            return []
        column = dict(views.ids(self.description, source))[by]
        return self.fetch(source, _among(column, chosen))

    def related(self, source: str, made: dict[str, list[Chosen]], number: int) -> list[Chosen]:
        """The first rows of a table, those first that belong to rows chosen already."""
        travelling = dict(views.ids(self.description, source))
        known: dict[str, set[UUID]] = {}
        for rows in made.values():
            for row in rows:
                for node, one in row.ids.items():
                    known.setdefault(node, set()).add(one)
        for node, column in travelling.items():
            if node in known:
                found = self.fetch(source, _among(column, known[node]), None if node == source else number)
                if found:
                    return found
        return self.fetch(source, "true", number)

    def fetch(
        self, source: str, condition: str, limit: int | None = None, status: str = "ok"
    ) -> list[Chosen]:
        """Live rows that became so, in canonical order."""
        query = views.flowing(self.description, source, self.locate, condition, status)
        if limit is not None:
            query += f"\nLIMIT {limit}"
        found = self.reader.sql(query).rows
        names = [node for node, _ in views.ids(self.description, source)]
        columns = list(self.description.real(source).visible)
        first = 2 + len(names)
        return [
            Chosen(
                dict(zip(columns, row[first : first + len(columns)], strict=True)),
                {node: UUID(bytes=one) for node, one in zip(names, row[2:first], strict=True) if one},
            )
            for row in found
        ]


def id_names(rows: Sequence[Chosen], node: str) -> dict[UUID, str]:
    """Ids as a test writes them: as much of their beginning as tells them apart."""
    found = list(dict.fromkeys(row.ids[node] for row in rows if node in row.ids))
    for length in (8, 13, 18, 36):
        short = {one: str(one)[:length] for one in found}
        if len(set(short.values())) == len(found):
            return short
    return {one: str(one) for one in found}


def _among(column: str, ids: Sequence[UUID] | set[UUID]) -> str:
    wanted = ", ".join(sorted(f"'{one}'::UUID" for one in ids))
    return f"{column} IN ({wanted})"
