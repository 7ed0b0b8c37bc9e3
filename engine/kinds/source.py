"""`source`: documents and rows from files and databases.

Finding, decoding and parsing is `engine.data`'s, what becomes of what was read `source_reading`'s; here
it is said what is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from engine.data import databases, files, servers
from engine.data.hub import Part
from engine.kinds.base import Context, KindError, Known, Made, Settings, SourceKind, read_from
from engine.kinds.source_reading import Reading
from engine.language.kind import Problem, Role, Shape
from engine.language.types import Many, Record, duckdb_type

TOLD = 5  # documents named in one line of the summary


class SourceSettings(Settings):
    """Settings of `source`."""

    path: Annotated[str | None, Role.INPUT_PATH] = Field(
        None,
        description="A file, a folder (with all below it) or a pattern such as `notes/*.md`; looked for "
        "where the command runs, then beside the graph. Or a database of a server: "
        "`postgresql://user@host/database`, `mysql://…`. Where a param says `null`, there are no rows.",
    )
    hub: str | None = Field(
        None, description="A data set of the Hugging Face hub, `owner/name`, in place of `path`."
    )
    subset: str | None = Field(None, description="Of a data set of the hub: its subset, if it has several.")
    split: str | None = Field(None, description="Of a data set of the hub: its split; `train` if absent.")
    revision: str | None = Field(
        None, description="Of a data set of the hub: a commit or a tag, so that another day reads the same."
    )
    table: str | None = Field(
        None, description="Of a database, a file or a server's: the table or view whose rows are read."
    )
    query: str | None = Field(
        None, description="Of a database, in place of `table`: a SELECT, in that database's own SQL."
    )
    password: Annotated[str | None, Role.SECRET] = Field(
        None, description='Of a database of a server: where the password is, `secret("NAME")`.'
    )
    limit: int | None = Field(
        None, gt=0, description="Only so many documents or rows, chosen by a hash: the same ones each time."
    )
    ocr_language: str = Field(
        "eng",
        pattern=r"^\w+(\+\w+)*$",
        description="Of PDF pages that are pictures: their languages, as Tesseract names them (`deu+eng`).",
    )
    format: (
        Literal["txt", "md", "pdf", "docx", "pptx", "epub", "html", "jsonl", "json", "csv", "tsv", "parquet"]
        | None
    ) = Field(
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
        if settings.table is not None and settings.query is not None:
            raise Problem(
                "ATK150", "rows come from `table` or from `query`", "query", "leave one of them out"
            )
        for setting in ("table", "query"):
            if (settings.hub or settings.format) and getattr(settings, setting) is not None:
                other = "hub" if settings.hub else "format"
                raise Problem("ATK150", f"`{setting}` is for a database, which has no `{other}`", setting)
        if settings.path is not None and not settings.path.strip():
            raise Problem(
                "ATK105", f"the `path` of `{shape.name}` is empty", "path", 'a folder itself is "."'
            )
        _check_server(settings)
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
        if (server := _server(settings)) is not None:
            return server.signature()
        from engine.data.extraction import means

        found = self.found(context).files
        seen = files.signature(found) + means({file.format for file in found}, settings.ocr_language)
        if _rows_of(settings) is None:
            return seen
        logs = (replace(file, path=log) for file in found for log in databases.beside(file.path))
        return seen + files.signature([log for log in logs if log.path.exists()])

    def ready(self, context: Context, fetch: bool) -> None:
        """Of a server, whether what asks it is installed and the password is set."""
        settings = cast(SourceSettings, context.node.settings)
        try:
            if (server := _server(settings)) is not None:
                server.ready()
        except databases.DatabaseProblem as error:
            raise KindError(error.message, error.help) from error

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
        reading = Reading(
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
        of = _rows_of(settings)
        if of is not None and of.server is not None:
            return files.Found((files.File(Path(of.server.name), of.server.name, "database", of),), Counter())
        how = settings.format if of is None else "database"
        try:
            found = files.find(settings.path or "", read_from(context), how)
        except files.NothingFound as error:
            help = error.help
            if (settings.path or "").lower().endswith(databases.ENDINGS):
                help = "of a database, `table` names what is read, or `query` is a SELECT"
            raise KindError(f"`{context.node.name}`: {error.message}", help) from error
        if of is None:
            return found
        named = [one for one in found.files if one.name.lower().endswith(databases.ENDINGS)]
        return files.Found(tuple(replace(file, part=of) for file in named or found.files), found.unread)


def _without(settings: SourceSettings) -> bool:
    """Whether `path` is set, and set to nothing: a graph that reads more only where its author has more."""
    return "path" in settings.model_fields_set and settings.path is None and settings.hub is None


def _rows_of(settings: SourceSettings) -> databases.Rows | None:
    """Which rows of a database are read, if it is one."""
    if settings.table is None and settings.query is None:
        return None
    return databases.Rows(settings.table, settings.query, _server(settings))


def _server(settings: SourceSettings) -> servers.Server | None:
    """The server that is asked, if it is one."""
    if settings.path is None or not servers.named(settings.path):
        return None
    return servers.server(settings.path, settings.password)


def _check_server(settings: SourceSettings) -> None:
    """What an address must be, and what goes with one. Raises `Problem`."""
    try:
        server = _server(settings)
    except servers.AddressProblem as error:
        raise Problem("ATK182", error.message, "path", error.help) from error
    if server is not None and settings.table is None and settings.query is None:
        raise Problem(
            "ATK105", f"of {server.name} nothing is named", "path", "`table` names it, or `query` is a SELECT"
        )
    if server is None and settings.password is not None and settings.path is not None:
        raise Problem("ATK150", "`password` is for a database of a server", "password", "leave it out")


def _part(settings: SourceSettings) -> Part:
    return Part(cast(str, settings.hub), settings.subset, settings.split or "train", settings.revision)
