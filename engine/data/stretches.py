"""A file of rows in stretches, so that of an edited file only what was edited need be read again.

A stretch ends after a row whose own checksum says so. Where a file is cut thus depends on what is
nearby alone: a row more or less at its top moves no cut further down. What a stretch says is known
by its mark; what the rows mean, and which of them are kept where, is not known here.
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from engine.data import readers
from engine.data.files import File
from engine.data.readers import Item, Unreadable
from engine.frozen import dataclass

CUT = 0x3FF  # one row of so many ends a stretch
MOST = 8 * CUT  # rows of a stretch at most
BYTES = 1 << 20  # and bytes, roughly

Record = tuple[bytes, Any]  # what a row says, without a line feed, and what is needed to read it


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of a file, not read yet. Equal marks (16 bytes) mean equal rows; None says nothing.

    Only where every row can be read: a failure names its line, which the mark does not know.
    """

    mark: bytes | None
    items: Callable[[], Iterator[Item]]


def stretches(file: File) -> Iterator[Stretch]:
    """The rows of a file, stretch by stretch: together those of `readers.rows`. Raises `Unreadable`."""
    try:
        match file.format:
            case "jsonl":
                yield from _jsonl(file)
            case "csv" | "tsv":
                yield from _csv(file)
            case "parquet":
                yield from _parquet(file)
            case _:
                yield Stretch(None, lambda: readers.rows(file))
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error


def document(file: File, how: str) -> bytes | None:
    """The mark of a document that is costly to read, and of how it is read; None where it cannot be read."""
    try:
        return _mark(file, how, [(file.path.read_bytes(), None)])
    except OSError:
        return None


def _jsonl(file: File) -> Iterator[Stretch]:
    def records() -> Iterator[Record]:
        with file.path.open("rb") as handle:
            for number, line in readers.byte_lines(handle):
                yield line, number

    def items(batch: list[Record]) -> Iterator[Item]:
        return (readers.json_line(number, line) for line, number in batch)

    for batch in _cut(records()):
        yield Stretch(_mark(file, "", batch), functools.partial(items, batch))


def _csv(file: File) -> Iterator[Stretch]:
    def records() -> Iterator[Record]:
        for header, cells, number in readers.csv_records(file):
            # As cells: whatever the quotes and the mark between them.
            yield repr(cells).encode(), (header, cells, number)

    def items(batch: list[Record]) -> Iterator[Item]:
        return (readers.csv_row(*row) for _, row in batch)

    for batch in _cut(records()):
        header = batch[0][1][0]
        yield Stretch(_mark(file, repr(header), batch), functools.partial(items, batch))


def _parquet(file: File) -> Iterator[Stretch]:
    """Stretches of even size: rows that come or go move all that follow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def items(batch: Any, first: int) -> Iterator[Item]:
        return (Item(values, f"row {number}") for number, values in enumerate(batch.to_pylist(), first))

    try:
        with pq.ParquetFile(file.path) as reader:
            schema = str(reader.schema_arrow.remove_metadata())
            first = 1
            for batch in reader.iter_batches(readers.BATCH):
                mark = None
                if "dictionary<" not in schema:  # the words of one are not in what a batch writes
                    mark = _mark(file, schema, [(batch.serialize().to_pybytes(), None)])
                yield Stretch(mark, functools.partial(items, batch, first))
                first += len(batch)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise Unreadable(f"no parquet file that can be read: {error}") from error


def _cut(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Records in batches that end where their content says; those before a failure are not lost."""
    batch: list[Record] = []
    size = 0
    try:
        for record in records:
            raw = record[0]
            batch.append(record)
            size += len(raw)
            if not zlib.crc32(raw) & CUT or len(batch) >= MOST or size >= BYTES:
                yield batch
                batch, size = [], 0
    except Unreadable:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _mark(file: File, how: str, batch: list[Record]) -> bytes:
    """Over the rows as they lie in the file, and over what decides how they are read."""
    about = b"".join(b"%d:%b" % (len(part), part) for part in map(_bytes, (file.name, file.format, how)))
    content = hashlib.blake2b(about, digest_size=16)
    content.update(b"\n".join([raw for raw, _ in batch]))
    return content.digest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
