"""Whether the tables handed into a graph have the columns that its slots ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.language.columns import Table, lacking
from engine.language.diagnostics import Diagnostic, Reporting, Wrong
from engine.language.expand import Expansion
from engine.language.instances import Instance


class Slots(Reporting):
    """Checks each slot once, when the first node of the body reads it."""

    def __init__(
        self,
        expansion: Expansion,
        tables: Mapping[str, Table | None],
        report: Callable[[Diagnostic], None],
    ):
        self.expansion, self.tables, self.report = expansion, tables, report
        self.fit: set[tuple[int, str]] = set()
        self.unfit: set[tuple[int, str]] = set()

    def fits(self, home: Instance, name: str) -> bool:
        key = (id(home), name)
        if key in self.fit:
            return True
        slot = home.slots[name]
        if key in self.unfit or home.call is None or slot.path is None or slot.outer is None:
            return slot.stands_for is not None
        outer = slot.path.dotted
        if outer in slot.outer.slots and not self.fits(slot.outer, outer):
            self.unfit.add(key)
            return False
        try:
            table = self.tables.get(self.expansion.table(slot.outer, outer, slot.path.span))
        except Wrong:  # told where the edges were made
            table = None
        if table is None:
            return False
        faults = lacking(table.types, slot.type)
        for fault in faults:
            call = home.call.kind.dotted
            message = f"`{slot.path.dotted}` {fault}, which `{call}` needs"
            help = f"its columns are {', '.join(table.columns)}" if table.columns else None
            self.report(Diagnostic("ATK117", message, slot.path.span, help))
        (self.unfit if faults else self.fit).add(key)
        return not faults
