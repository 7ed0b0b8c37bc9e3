"""`python -m engine.commands`: what `bin/atk` starts."""

from __future__ import annotations

from engine.commands import entry

entry()
