"""Where everything that was paid for is kept: one DuckDB file, its views, its memo and its lineage.

`engine.store.store.Store` is what the engine works with; `open_reader` and `connect` are for whoever
looks on. Nothing here knows what a kind or a model is. DuckDB is imported when a store is opened.
"""

from engine.store.errors import QueryError, StoreBusy, StoreError, StoreMissing
from engine.store.reader import Reader, Result, connect, open_reader

__all__ = [
    "QueryError",
    "Reader",
    "Result",
    "StoreBusy",
    "StoreError",
    "StoreMissing",
    "connect",
    "open_reader",
]
