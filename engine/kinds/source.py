"""`source`: documents and rows from files.

Finding, decoding and parsing is `engine.data`'s; here what was read gets its type, its
identity and, where it does not fit, its reason.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import Field as Setting

from engine.data import files
from engine.data.archives import NotUnpacked, Unpacker
from engine.data.hub import HubProblem, Part
from engine.kinds.base import Context, KindError, Known, Made, Settings, SourceKind, Stretch, read_from
from engine.language.columns import fits
from engine.language.kind import Problem, Role, Shape
from engine.language.types import (
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
TOLD = 5  # documents named in one line of the summary
SURE = 100  # rows without a column before it is said to be missing altogether


class SourceSettings(Settings):
    """Settings of `source`."""

    path: Annotated[str | None, Role.INPUT_PATH] = Setting(
        None,
        description="A file, a folder (with all below it) or a pattern such as `notes/*.md`; looked for "
        "where the command runs, then beside the graph. Where a param says `null`, there are no rows.",
    )
    hub: str | None = Setting(
        None, description="A data set of the Hugging Face hub, `owner/name`, in place of `path`."
    )
    subset: str | None = Setting(None, description="Of a data set of the hub: its subset, if it has several.")
    split: str | None = Setting(None, description="Of a data set of the hub: its split; `train` if absent.")
    revision: str | None = Setting(
        None, description="Of a data set of the hub: a commit or a tag, so that another day reads the same."
    )
    limit: int | None = Setting(
        None, gt=0, description="Only so many documents or rows, chosen by a hash: the same ones each time."
    )
    ocr_language: str = Setting(
        "eng",
        pattern=r"^\w+(\+\w+)*$",
        description="Of PDF pages that are pictures: their languages, as Tesseract names them (`deu+eng`).",
    )
    format: (
        Literal["txt", "md", "pdf", "docx", "pptx", "epub", "html", "jsonl", "json", "csv", "tsv", "parquet"]
        | None
    ) = Setting(
        None, description="How the files are read, whatever their names end in; by the ending if absent."
    )


class Source(SourceKind):
    """Reads files; see the module's docstring."""

    name = "source"
    settings = SourceSettings

    def own(self, shape: Shape) -> Mapping[str, str]:
        """The fields of the type, which is `T[]`."""
        settings = cast(SourceSettings, shape.settings)
        if settings.hub is not None and settings.path is not None:
            raise Problem("ATK150", "rows come from `path` or from `hub`", "hub", "leave one of them out")
        for setting in ("subset", "split", "revision"):
            if settings.hub is None and getattr(settings, setting) is not None:
                raise Problem("ATK150", f"`{setting}` is for a data set of the hub", setting, "add `hub`")
        if settings.path is None and settings.hub is None and not _without(settings):
            raise Problem("ATK105", f"`{shape.name}` needs `path`", "path")
        if settings.path is not None and not settings.path.strip():
            raise Problem(
                "ATK105", f"the `path` of `{shape.name}` is empty", "path", 'a folder itself is "."'
            )
        if not isinstance(shape.result, Many) or not isinstance(shape.result.of, Record):
            raise Problem(
                "ATK140",
                "a source gives rows: `-> T[]` with T a record",
                help="for example `-> { path: str, title: str?, text: str }[]`",
            )
        return {field.name: duckdb_type(field.type) for field in shape.result.of}

    def signature(self, context: Context) -> Any:
        """Name, size, time of change and inode of each file; of a data set at the hub what names it.

        That is read once: another `revision` reads another state of it.
        """
        settings = cast(SourceSettings, context.node.settings)
        if settings.hub is not None:
            part = _part(settings)
            return ["hub", part.name, part.subset, part.split, part.revision]
        if _without(settings):
            return []
        from engine.data.extraction import means

        found = self.found(context).files
        return files.signature(found) + means({file.format for file in found}, settings.ocr_language)

    def read(self, context: Context, known: Known) -> Iterable[Made]:
        """Rows in the order of the files; of a `limit`, those with the smallest hashes."""
        settings = cast(SourceSettings, context.node.settings)
        found = self.found(context)
        if found.unread:
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.unread.items()))
            left = found.unread.total()
            were = "1 file was" if left == 1 else f"{left} files were"
            context.say(f"{were} left out ({kinds}); {files.KNOWN} are read")
        record = cast(Record, cast(Many, context.node.result).of)
        reading = _Reading(
            context.node.name, record, settings.ocr_language, known if settings.limit is None else None
        )
        try:
            if settings.limit is None:
                yield from reading.all(found.files)
            else:
                yield from reading.sample(found.files, settings.limit)
        finally:
            reading.unpacker.close()
        for reason, pages in reading.left.items():
            more = f" and of {len(pages) - TOLD} more" if len(pages) > TOLD else ""
            context.say(f"pages that are pictures were left out ({'; '.join(pages[:TOLD])}{more}): {reason}")

    def found(self, context: Context) -> files.Found:
        settings = cast(SourceSettings, context.node.settings)
        if settings.hub is not None:
            part = _part(settings)
            return files.Found((files.File(Path(part.name), part.told, "hub", part),), Counter())
        if _without(settings):
            return files.Found((), Counter())
        try:
            return files.find(settings.path or "", read_from(context), settings.format)
        except files.NothingFound as error:
            raise KindError(f"`{context.node.name}`: {error.message}", error.help) from error


def _without(settings: SourceSettings) -> bool:
    """Whether `path` is set, and set to nothing: a graph that reads more only where its author has more."""
    return "path" in settings.model_fields_set and settings.path is None and settings.hub is None


def _part(settings: SourceSettings) -> Part:
    return Part(cast(str, settings.hub), settings.subset, settings.split or "train", settings.revision)


class _Reading:
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
        except HubProblem as error:
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
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value
