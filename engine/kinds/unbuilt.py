"""Kinds that the language knows and this version does not run: they parse, and say so."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict

from engine.kinds.base import Kind, Settings
from engine.language.kind import Role


class AnySettings(Settings):
    """What will be settings, not looked at yet."""

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)


class AskingSettings(AnySettings):
    """The same, of a kind that asks a model."""

    model: Annotated[str | None, Role.MODEL] = None


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


class Vary(Unbuilt):
    """A prompt from a pool of templates."""

    name = "vary"
    settings = AskingSettings


class Embed(Unbuilt):
    """Vectors of texts."""

    name = "embed"


class Retrieve(Unbuilt):
    """Nearest rows."""

    name = "retrieve"


KINDS: tuple[type[Unbuilt], ...] = (Vary, Embed, Retrieve)
