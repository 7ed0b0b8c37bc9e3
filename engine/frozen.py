"""`dataclass`, whose `frozen=True` is held by the type checker and costs nothing at run time.

To refuse assignments at run time, Python compiles two methods more for each class and sets each field
of each instance by a call. Of these there are hundreds at every start and several for each row: 4 %
of the CPU of a run over 5,000 rows. mypy refuses the same assignments before anything runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses

    def dataclass(cls=None, /, *, frozen=False, **options):
        """As in the standard library, but that a frozen one has its hash and can be written to."""
        if frozen and options.get("eq", True):
            options["unsafe_hash"] = True
        return dataclasses.dataclass(cls, **options)


__all__ = ["dataclass"]
