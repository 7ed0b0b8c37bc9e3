"""Kinds that the language knows and this version does not run: they parse, and say so."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import ConfigDict

from engine.kinds.base import Kind, Settings


class AnySettings(Settings):
    """What will be settings, not looked at yet."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)


class Unbuilt(Kind):
    """Base of these kinds: `built` is false, so a graph with one of them is not run."""

    settings = AnySettings
    clauses = frozenset({"where", "let", "check", "keep", "expect", "until"})
    result = "optional"
    inputs: ClassVar[tuple[int, int | None]] = (0, None)
    built: ClassVar[bool] = False

    def static(self, node: Any) -> dict[str, Any]:
        """Never asked for, since nothing of it runs."""
        return {"kind": [self.name, 0]}


class Embed(Unbuilt):
    """Vectors of texts."""

    name = "embed"


KINDS: tuple[type[Unbuilt], ...] = (Embed,)
