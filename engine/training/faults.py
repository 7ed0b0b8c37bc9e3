"""What keeps a training from its end."""

from __future__ import annotations


class NotTrained(Exception):
    """One clear message, with cause and mend, for the person who runs it."""

    def __init__(self, message: str, help: str | None = None):
        super().__init__(message)
        self.message, self.help = message, help
