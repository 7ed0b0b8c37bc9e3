"""One pass of a `source` over its files: what was read gets its type, its identity or its reason."""

from __future__ import annotations

import contextlib
import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from engine.data import databases, files
from engine.data.archives import NotUnpacked, Unpacker
from engine.data.hub import HubProblem
from engine.kinds.base import KindError, Known, Made, Stretch
from engine.language.columns import fits
from engine.language.types import (
    BOOL,
    INT,
    STR,
    Field,
    Many,
    Mismatch,
    Optional,
    Record,
    Scalar,
    Type,
    describe,
    duckdb_type,
    validator,
)

if TYPE_CHECKING:
    from engine.data import readers

PAGES = Many(Record((Field("page", INT), Field("start", INT))))
DOCUMENT: dict[str, Type] = {"path": STR, "title": STR, "text": STR, "sha256": STR, "pages": PAGES}
SURE = 100  # rows without a column before it is said to be missing altogether


class Reading:
    """One pass over the files of a source."""

    def __init__(self, node: str, record: Record, language: str, known: Known | None = None):
        self.node, self.record, self.validate, self.known = node, record, validator(record), known
        self.language = language
        self.left: dict[str, list[str]] = {}  # pages of documents that could not be read, by the reason
        self.fields = {field.name: field.type for field in record}
        self.needed = [field.name for field in record if not isinstance(field.type, Optional)]
        self.seen: dict[bytes, bytes | None] = {}  # content -> the stretch where it came first
        self.again: Counter[bytes] = Counter()  # content that came more than once
        self.unpacker = Unpacker()

    def all(self, found: Iterable[files.File]) -> Iterator[Made]:
        for file in found:
            if file.trouble is not None:
                yield self.troubled(file, file.trouble)
            elif not file.is_document:
                yield from self.rows(file)
            elif (made := self.document(file)) is not None:
                yield made

    def sample(self, found: Iterable[files.File], limit: int) -> Iterator[Made]:
        """The documents and rows with the smallest hashes of their identity, in their order."""
        heap: list[tuple[int, int, Made | files.File]] = []  # smallest last: hash negated
        failed: list[tuple[int, Made]] = []
        order = 0

        def offer(identity: str, what: Made | files.File) -> None:
            entry = (-int.from_bytes(_digest(identity)), order, what)
            if len(heap) < limit:
                heapq.heappush(heap, entry)
            elif entry > heap[0]:
                heapq.heapreplace(heap, entry)

        for file in found:
            if file.trouble is not None:
                order += 1
                failed.append((order, self.troubled(file, file.trouble)))
                continue
            if file.is_document:
                order += 1
                offer(file.name, file)
                continue
            for made in self.rows(file):
                order += 1
                if made.fate == "ok":
                    offer(cast(str, made.identity), made)
                else:
                    failed.append((order, made))
        chosen = [(place, what) for _, place, what in heap]
        for _, what in sorted([*chosen, *failed], key=lambda entry: entry[0]):
            row = self.document(what) if isinstance(what, files.File) else what
            if row is not None:
                yield row

    # -- documents -----------------------------------------------------------------------------

    def document(self, file: files.File) -> Made | None:
        """The row of a document; None for one that stands."""
        from engine.data import readers

        self.check(file)
        try:
            with files.unpacked(file, self.unpacker) as here:
                mark = self.mark(here)
                if mark is not None and self.known is not None and self.known.stands(mark):
                    return None
                item = readers.document(here, self.fields, self.language)
        except NotUnpacked as error:
            return self.troubled(file, str(error))
        if item.values is None:
            return self.troubled(file, cast(str, item.failure))
        for reason, pages in item.left.items():
            self.left.setdefault(reason, []).append(f"{file.name}: {', '.join(map(str, pages))}")
        own = {name: item.values.get(name) for name in self.fields}
        stretch = None
        if mark is not None and self.known is not None and not item.left:
            stretch = Stretch(mark, self.known.skipped)
        return Made(own, identity=file.name, stretch=stretch)

    def troubled(self, file: files.File, why: str) -> Made:
        """The row of a file that cannot be read."""
        own: dict[str, Any] = {"path": file.name} if "path" in self.fields else {}
        return Made(own, "failed", f"{file.name}: {why}", identity=file.name)

    def check(self, file: files.File) -> None:
        """Whether the type is one that a document can have. Raises `KindError`."""
        missing = [name for name in self.needed if name not in DOCUMENT]
        if missing:
            raise KindError(
                f"`{self.node}`: {file.name} is a document, which has path, title, text, sha256 and pages; "
                f"the type also wants `{missing[0]}`",
                "leave it out of the type, make it optional, or read rows (jsonl, csv, parquet)",
            )
        for name, kind in DOCUMENT.items():
            if name in self.fields and not fits(duckdb_type(kind), duckdb_type(self.fields[name])):
                raise KindError(
                    f"`{self.node}`: {file.name} is a document, whose `{name}` is no "
                    f"{describe(self.fields[name])}",
                    f"write `{name}: {describe(kind)}`",
                )

    def mark(self, file: files.File) -> bytes | None:
        """By what a document is known that takes long to read: one that was read well is not read again."""
        if self.known is None or file.format not in files.EXTRACTED.values():
            return None
        from engine.data import extraction, stretches

        return stretches.document(file, f"{extraction.version()} {self.language}")

    # -- rows ----------------------------------------------------------------------------------

    def rows(self, file: files.File) -> Iterator[Made]:
        """Rows of one file. What lacks a column is held back until it is known whether all do."""
        held: list[Made] | None = []
        lacking: set[str] = set(self.needed)
        names: set[str] = set()
        for item, stretch in self.items(file):
            if item is None:  # a stretch that stands, which only one without such a lack does
                yield from held or ()
                held = None
                continue
            values = self.shaped(item.values, file) if item.values is not None else None
            made = self.row(values, item, file, stretch)
            if held is None:
                yield made
                continue
            held.append(made)
            if item.values is not None:
                names |= item.values.keys()
                lacking &= {name for name in self.needed if name not in cast(dict[str, Any], values)}
            if item.values is not None and not lacking:
                yield from held
                held = None
            elif len(held) >= SURE and names:
                self.missing(file, lacking, names)
        if held is not None:
            if names:
                self.missing(file, lacking, names)
            yield from held

    def missing(self, file: files.File, lacking: set[str], names: set[str]) -> None:
        first = next(name for name in self.needed if name in lacking)
        there = ", ".join(f"`{name}`" for name in sorted(names)[:12])
        raise KindError(
            f"`{self.node}`: {file.name} has no column `{first}`; its rows have {there}",
            f"name the columns in the type as the file does, or write `{first}: "
            f"{describe(self.fields[first])}?` if it may be missing",
        )

    def items(self, file: files.File) -> Iterator[tuple[readers.Item | None, Stretch | None]]:
        """What is in a file and where; None for a stretch that stands.

        Where a file cannot be read on, one last item says so.
        """
        from engine.data import readers, stretches

        known = self.known
        try:
            with files.unpacked(file, self.unpacker) as here:
                if known is None or file.part is not None:
                    yield from ((item, None) for item in readers.rows(here))
                    return
                for part in stretches.stretches(here):
                    if part.mark is not None and known.stands(part.mark):
                        yield None, None
                        continue
                    stretch = None if part.mark is None else Stretch(part.mark, known.skipped)
                    yield from ((item, stretch) for item in part.items())
        except (readers.Unreadable, NotUnpacked) as error:
            yield readers.Item(None, failure=str(error)), None
        except (HubProblem, databases.DatabaseProblem) as error:
            raise KindError(f"`{self.node}`: {error.message}", error.help) from error

    def row(
        self, values: dict[str, Any] | None, item: readers.Item, file: files.File, stretch: Stretch | None
    ) -> Made:
        """One row with its type, or with the reason why it does not fit."""
        failure = item.failure
        if values is not None:
            try:
                own = self.validate(values)
            except Mismatch as error:
                failure = str(error)
            else:
                return Made(own, identity=self.identity(file, own, stretch), stretch=stretch)
        place = f", {item.place}" if item.place else ""
        own = {"path": file.name} if "path" in self.fields else {}
        about = values if values is not None else failure
        self.doubt(stretch)
        identity = self.identity(file, about, stretch)
        return Made(own, "failed", f"{file.name}{place}: {failure}", identity=identity, stretch=stretch)

    def shaped(self, values: dict[str, Any], file: files.File) -> dict[str, Any]:
        """Values as the type's validator takes them: cells of a csv are text, a parquet's are not JSON's."""
        cells = file.format in ("csv", "tsv")
        shaped: dict[str, Any] = {}
        for name, value in values.items():
            kind = self.fields.get(name)
            if kind is None:
                continue
            shaped[name] = _from_cell(value, kind) if cells else _plain(value)
            if file.format == "database":
                shaped[name] = _from_database(shaped[name], kind)
        if "path" in self.fields and "path" not in values:
            shaped["path"] = file.name
        return shaped

    def identity(self, file: files.File, content: Any, stretch: Stretch | None) -> str:
        """The file and the content; the same content again gets a number. Never the place in the file."""
        import orjson

        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
        key = hashlib.blake2b(file.name.encode() + b"\0" + text, digest_size=16).digest()
        here = None if stretch is None else stretch.mark
        if key not in self.seen:
            self.seen[key] = here
            return f"{file.name}#{key.hex()}"
        # Which of them has which number depends on all of them: they are read again together.
        self.again[key] += 1
        self.doubt(stretch)
        if self.known is not None and (first := self.seen[key]) is not None:
            self.known.unsure.add(first)
        return f"{file.name}#{key.hex()}#{self.again[key] + 1}"

    def doubt(self, stretch: Stretch | None) -> None:
        """The rows of a stretch are not known by its mark alone."""
        if self.known is not None and stretch is not None:
            self.known.unsure.add(stretch.mark)


def _digest(identity: str) -> bytes:
    return hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=8).digest()


def _from_cell(cell: str, kind: Type) -> Any:
    """A csv cell: empty is nothing where nothing may be, lists and records are JSON."""
    import orjson

    optional = isinstance(kind, Optional)
    while isinstance(kind, Optional):
        kind = kind.of
    if cell == "" and (optional or kind not in (Scalar("str"), Scalar("path"))):
        return None
    if isinstance(kind, Many | Record):
        try:
            return orjson.loads(cell)
        except orjson.JSONDecodeError:
            return cell
    return cell


def _from_database(value: Any, kind: Type) -> Any:
    """SQLite knows neither true and false, which are 1 and 0, nor lists and records, which are JSON."""
    import orjson

    while isinstance(kind, Optional):
        kind = kind.of
    if kind == BOOL and value in (0, 1):
        return bool(value)
    if isinstance(kind, Many | Record) and isinstance(value, str):
        with contextlib.suppress(orjson.JSONDecodeError):
            return orjson.loads(value)
    return value


def _plain(value: Any) -> Any:
    """Values that JSON does not know, in the form that a type can hold."""
    import datetime
    import decimal
    import uuid

    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        whole = value.is_finite() and value == value.to_integral_value()
        return int(value) if whole else float(value)
    if isinstance(value, datetime.timedelta):
        return str(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value
