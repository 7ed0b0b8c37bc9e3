"""Data set files, whole or not at all: written under a passing name, then put in place.

The bytes depend on the rows alone. Which rows, in which form, is not known here.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

ROW_GROUP = 2_000  # rows of a parquet file in memory at once


class NotWritten(Exception):
    """A file that could not be written: one clear message, and a mend."""

    def __init__(self, message: str, help: str | None = None):
        super().__init__(message)
        self.message, self.help = message, help


class Files:
    """Several files that appear together. Used with `with`; nothing is left behind when it fails."""

    def __init__(self) -> None:
        self.waiting: dict[Path, Path] = {}  # final -> passing name
        self.open: list[JsonLines | Parquet] = []

    def __enter__(self) -> Files:
        return self

    def rows(self, path: Path, types: Mapping[str, str]) -> JsonLines | Parquet:
        """A writer of rows, by the path's suffix; `types` are DuckDB's. Raises `NotWritten`."""
        passing = self.passing(path)
        with _told(path):
            sort = Parquet if path.suffix == ".parquet" else JsonLines
            self.open.append(sort(path, passing, types))
        return self.open[-1]

    def text(self, path: Path, text: str) -> None:
        """A whole file of text; one that is the same already stays untouched."""
        if path.is_file() and path.read_bytes() == text.encode():
            return
        with _told(path):
            self.passing(path).write_bytes(text.encode())

    def passing(self, path: Path) -> Path:
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        passing = path.with_name(f".{path.name}.{os.getpid()}.part")
        self.waiting[path] = passing
        return passing

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for writer in self.open:
                if error is not None:
                    with contextlib.suppress(Exception):  # what went wrong first is what is told
                        writer.abandon()
                    continue
                with _told(writer.path):
                    writer.close()
            if error is None:
                for path, passing in self.waiting.items():
                    with _told(path):
                        passing.replace(path)
        finally:
            for passing in self.waiting.values():
                with contextlib.suppress(OSError):
                    passing.unlink()


class JsonLines:
    """One object on each line, UTF-8."""

    def __init__(self, path: Path, passing: Path, types: Mapping[str, str]):
        self.path = path
        self.handle: IO[bytes] = passing.open("wb", buffering=1 << 20)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        import orjson

        options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
        with _told(self.path):
            for row in rows:
                self.handle.write(orjson.dumps(dict(row), option=options, default=str))

    def close(self) -> None:
        self.handle.close()

    def abandon(self) -> None:
        self.handle.close()


class Parquet:
    """Zstandard-compressed parquet with a schema made of DuckDB's types."""

    def __init__(self, path: Path, passing: Path, types: Mapping[str, str]):
        import pyarrow.parquet as pq

        self.path, self.schema = path, _schema(types)
        self.writer = pq.ParquetWriter(passing, self.schema, compression="zstd")
        self.buffer: list[dict[str, Any]] = []

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        with _told(self.path):
            for row in rows:
                self.buffer.append(dict(row))
                if len(self.buffer) >= ROW_GROUP:
                    self.flush()

    def flush(self) -> None:
        import pyarrow as pa

        if self.buffer:
            self.writer.write_table(pa.Table.from_pylist(self.buffer, schema=self.schema))
            self.buffer = []

    def close(self) -> None:
        self.flush()
        self.writer.close()

    def abandon(self) -> None:
        self.writer.close()


def _schema(types: Mapping[str, str]) -> Any:
    """Arrow's schema of columns with DuckDB's types: DuckDB itself knows best."""
    import duckdb
    import pyarrow as pa

    columns = ", ".join(f"""NULL::{type_} AS "{name.replace('"', '""')}\"""" for name, type_ in types.items())
    with duckdb.connect() as connection:
        empty: pa.Table = connection.sql(f"SELECT {columns} LIMIT 0").to_arrow_table()
        return empty.schema


def _said(error: OSError) -> str:
    """The system's words, and the file that stands where a folder must be, if that is the cause."""
    if isinstance(error, FileExistsError | NotADirectoryError) and error.filename:
        place = Path(error.filename)
        found = next((one for one in (place, *place.parents) if one.is_file()), place)
        return f"{found} is a file where a folder must be"
    return error.strerror or str(error)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what the system says into a message about the file."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise NotWritten(
                f"no room to write {path}: {os.strerror(error.errno)}",
                "free some space, or write elsewhere with --out; nothing half written was left",
            ) from error
        raise NotWritten(
            f"{path} cannot be written: {_said(error)}",
            "see to it that the folder may be written, or write elsewhere with --out",
        ) from error
