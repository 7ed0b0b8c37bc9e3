"""Rows out of jsonl, json, csv, tsv and parquet files, lazily; and documents out of text files.

A row that cannot be read is told as such, with its line, and the rest goes on. What the rows
mean, and which type they must have, is not known here.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, field, replace
from pathlib import PurePosixPath
from typing import IO, Any

from engine.data import databases, hub
from engine.data.blocks import title
from engine.data.extraction import NoText, text_of
from engine.data.files import EXTRACTED, File, NotText, decode, encoding_of, read_text
from engine.frozen import dataclass

BATCH = 1_024  # rows of a parquet file in memory at once


@dataclass(frozen=True, slots=True)
class Item:
    """One thing read: its values, or why there are none. `place` is "line 3" or "row 3".

    `left` are pages of a document that could not be read, by the reason.
    """

    values: dict[str, Any] | None
    place: str | None = None
    failure: str | None = None
    left: Mapping[str, Sequence[int]] = field(default_factory=dict)


class Unreadable(Exception):
    """A whole file that cannot be read from here on; the message says why."""


def document(file: File, wanted: Collection[str] = (), language: str = "eng") -> Item:
    """A document as `path`, `title` and `text`. Lines end in a line feed, a byte order mark is gone.

    Where they are wanted, also `sha256`, in hexadecimal, of the file's bytes; and `pages`, each with the
    character of the text at which it begins, of a file that has none an empty list. `language` is that of
    pages that are pictures.
    """
    item = _document(file, "pages" in wanted, language)
    if "sha256" not in wanted or item.values is None:
        return item
    try:
        with file.path.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        return Item(None, failure=f"cannot be read: {error.strerror or error}")
    return replace(item, values=item.values | {"sha256": digest})


def _document(file: File, paged: bool, language: str) -> Item:
    if file.format in EXTRACTED.values():
        try:
            found = text_of(file, paged, language)
        except NoText as error:
            return Item(None, failure=str(error))
        named = found.title or title(found.text) or pretty(PurePosixPath(file.name).stem)
        pages = [asdict(page) for page in found.pages]
        values = {"path": file.name, "title": named, "text": found.text, "pages": pages}
        return Item(values, left=found.left)
    try:
        text = read_text(file)
    except NotText as error:
        return Item(None, failure=str(error))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return Item(
        {
            "path": file.name,
            "title": title(text) or pretty(PurePosixPath(file.name).stem),
            "text": text,
            "pages": [],
        }
    )


def pretty(stem: str) -> str:
    """A title made of a file's name: `fm-7-0_training` is "fm 7-0 training"."""
    words = stem.replace("_", " ").split()
    text = " ".join(words)
    letters = [
        " " if mark == "-" and not (text[at - 1 : at].isdigit() and text[at + 1 : at + 2].isdigit()) else mark
        for at, mark in enumerate(text)
    ]
    joined = " ".join("".join(letters).split())
    return joined[:1].upper() + joined[1:] if joined else stem


def rows(file: File) -> Iterator[Item]:
    """The rows of a file, one after the other. Raises `Unreadable`."""
    try:
        match file.format:
            case "jsonl":
                yield from _jsonl(file)
            case "json":
                yield from _json(file)
            case "csv" | "tsv":
                yield from _csv(file)
            case "hub":
                assert isinstance(file.part, hub.Part)
                yield from (Item(row, f"row {number}") for number, row in enumerate(hub.rows(file.part), 1))
            case "database":
                assert isinstance(file.part, databases.Rows)
                found = databases.rows(file.path, file.name, file.part)
                yield from (Item(row, f"row {number}") for number, row in enumerate(found, 1))
            case _:
                yield from _parquet(file)
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error


def _jsonl(file: File) -> Iterator[Item]:
    with file.path.open("rb") as handle:
        for number, line in byte_lines(handle):
            yield json_line(number, line)


def json_line(number: int, line: bytes) -> Item:
    """One line of a jsonl file."""
    import orjson

    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Item(None, f"line {number}", _json_failure(line, error))
    return _object(value, f"line {number}")


def byte_lines(handle: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, in UTF-8, with their numbers from 1."""
    encoding = encoding_of(handle.read(4))
    handle.seek(0)
    lines: Iterator[bytes] = iter(handle)
    if encoding not in ("utf-8", "utf-8-sig"):
        lines = (line.encode() for line in io.TextIOWrapper(handle, encoding, newline="\n"))
    for number, line in enumerate(lines, 1):
        stripped = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
        if stripped:
            yield number, stripped


def _json_failure(line: bytes, error: Exception) -> str:
    try:
        decode(line)
    except NotText as problem:
        return str(problem)
    return f"no JSON: {error}"


def _object(value: Any, place: str) -> Item:
    if isinstance(value, dict):
        return Item(value, place)
    names = {list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return Item(None, place, f"{names.get(type(value), 'a number')}, not an object with fields")


def _json(file: File) -> Iterator[Item]:
    import orjson

    try:
        text = read_text(file)
        value = orjson.loads(text)
    except NotText as error:
        raise Unreadable(str(error)) from error
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"no JSON: {error}; a file with an object on each line is a .jsonl") from error
    values = value if isinstance(value, list) else [value]
    for number, each in enumerate(values, 1):
        yield _object(each, f"row {number}")


def _csv(file: File) -> Iterator[Item]:
    for header, cells, number in csv_records(file):
        yield csv_row(header, cells, number)


def csv_records(file: File) -> Iterator[tuple[list[str], list[str], int]]:
    """The header, the cells and the last line's number of each row. Raises `Unreadable`."""
    csv.field_size_limit(2**31 - 1)
    with file.path.open("rb") as raw:
        encoding = encoding_of(raw.read(4))
    with file.path.open(encoding=encoding, errors="surrogateescape", newline="") as handle:
        reader = csv.reader(handle, delimiter=_delimiter(file, handle), strict=True)
        header: list[str] | None = None
        try:
            for cells in reader:
                if header is None:
                    header = [name.strip() for name in cells]
                    _named_once(header)
                elif cells:
                    yield header, cells, reader.line_num
        except csv.Error as error:
            raise Unreadable(f"no CSV from line {reader.line_num} on: {error}") from error
        except UnicodeDecodeError as error:
            raise Unreadable(f"not {encoding.upper()} at byte {error.start}") from error


def _named_once(header: list[str]) -> None:
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise Unreadable(f"the header names `{twice}` twice; name each column once")


def _delimiter(file: File, handle: IO[str]) -> str:
    """The mark between cells: a tab for tsv, else what the header has most of."""
    if file.format == "tsv":
        return "\t"
    header = handle.readline()
    handle.seek(0)
    return max(",;\t", key=header.count)


def csv_row(header: list[str], cells: list[str], number: int) -> Item:
    """The row of a csv file that ends on a line."""
    place = f"line {number}"
    if len(cells) != len(header):
        return Item(None, place, f"{len(cells)} cells, but the header names {len(header)} columns")
    for name, cell in zip(header, cells, strict=True):
        if not cell.isascii() and any("\udc80" <= mark <= "\udcff" for mark in cell):
            return Item(None, place, f"not UTF-8 in `{name}` (looks like latin-1?); convert the file")
    return Item(dict(zip(header, cells, strict=True)), place)


def _parquet(file: File) -> Iterator[Item]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file.path) as reader:
            number = 0
            for batch in reader.iter_batches(BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Item(values, f"row {number}")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise Unreadable(f"no parquet file that can be read: {error}") from error


def column_names(file: File) -> list[str] | None:
    """The columns that a csv or parquet file says it has; None where only its rows tell."""
    if file.format == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return list(pq.read_schema(file.path).names)
        except (OSError, pa.ArrowInvalid):
            return None
    return None
