"""What a store can object to. Each is one message for a person, with a mend where there is one.

No message here holds a traceback, and none is about a graph: those are diagnostics.
"""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot do what was asked. `help` says what to do about it."""

    def __init__(self, message: str, help: str | None = None):
        super().__init__(message)
        self.message, self.help = message, help


class StoreMissing(StoreError):
    """There is no store file where one was looked for."""


class StoreBusy(StoreError):
    """Another process, or another part of this one, holds the file."""


class QueryError(StoreError):
    """A query that a person wrote is wrong, or asks for more than reading."""
