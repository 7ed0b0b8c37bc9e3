"""The language server: LSP over stdin and stdout. What it answers is worked out beside this file."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path
from pygls.workspace import PositionCodec, TextDocument

from engine import __version__
from engine.editor import completion, hover, rename
from engine.editor.analysis import Analysis
from engine.editor.context import context
from engine.editor.index import Mention
from engine.language.diagnostics import Diagnostic, Span
from engine.language.formatting import format_text
from engine.language.lexing import normalized

PAUSE = 0.15  # seconds without a key until a text is checked
GLYPHS = {
    "word": lsp.CompletionItemKind.Keyword,
    "kind": lsp.CompletionItemKind.Class,
    "graph": lsp.CompletionItemKind.Function,
    "table": lsp.CompletionItemKind.Variable,
    "setting": lsp.CompletionItemKind.Property,
    "section": lsp.CompletionItemKind.Property,
    "type": lsp.CompletionItemKind.Struct,
    "model": lsp.CompletionItemKind.Interface,
    "template": lsp.CompletionItemKind.File,
    "file": lsp.CompletionItemKind.File,
    "column": lsp.CompletionItemKind.Field,
    "let": lsp.CompletionItemKind.Variable,
    "param": lsp.CompletionItemKind.Constant,
    "value": lsp.CompletionItemKind.EnumMember,
    "function": lsp.CompletionItemKind.Function,
}
Answer = TypeVar("Answer")


class Refused(JsonRpcException):
    """A request that cannot be done, with the reason for the person who asked."""

    CODE = -32803  # RequestFailed


class GraphServer(LanguageServer):
    """The open graphs of one editor, each with its latest analysis."""

    def __init__(self) -> None:
        super().__init__("atk", __version__)
        self.known: dict[Path, Analysis] = {}
        self.stale: set[Path] = set()
        self.waiting: dict[str, asyncio.Task[None]] = {}
        self.told: dict[str, set[str]] = {}  # graph -> files in which it found something

    # -- texts -----------------------------------------------------------------------------------

    @property
    def root(self) -> Path:
        """Where commands would run: the folder that the editor has open."""
        folder = self.workspace.root_path
        return Path(folder).resolve() if folder else Path.cwd()

    def texts(self) -> dict[Path, str]:
        """What the editor holds, by path."""
        found = {}
        for uri, document in self.workspace.text_documents.items():
            if (path := path_of(uri)) is not None:
                found[path] = normalized(document.source)
        return found

    def analysis(self, uri: str) -> Analysis | None:
        """What the text of a graph means now."""
        path = path_of(uri)
        if path is None or path.suffix != ".atk":
            return None
        if path not in self.known or path in self.stale:
            self.known[path] = Analysis.of(path, self.texts(), self.root, self.known.get(path))
            self.stale.discard(path)
        return self.known[path]

    def changed(self, uri: str) -> None:
        """A text is another one: check its graph, and those that use it, after a pause."""
        self.stale |= set(self.known)
        open_graphs = [other for other in self.workspace.text_documents if other.endswith(".atk")]
        for graph in dict.fromkeys([uri, *open_graphs]):
            if not graph.endswith(".atk"):
                continue
            if (task := self.waiting.pop(graph, None)) is not None:
                task.cancel()
            self.waiting[graph] = asyncio.ensure_future(self.check_soon(graph))

    async def check_soon(self, uri: str) -> None:
        await asyncio.sleep(PAUSE)
        self.publish(uri)

    def publish(self, uri: str) -> None:
        """Tell every mistake of a graph, each in the file where it is."""
        analysis = self.analysis(uri)
        if analysis is None:
            return
        by_file: dict[str, list[lsp.Diagnostic]] = {uri: []}
        for one in analysis.program.diagnostics:
            where = self.uri_of(one.span, uri)
            by_file.setdefault(where, []).append(self.diagnostic(one, where))
        for where in self.told.get(uri, set()) - set(by_file):
            by_file[where] = []
        self.told[uri] = {where for where, found in by_file.items() if found}
        for where, found in by_file.items():
            self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(where, found))

    # -- places ----------------------------------------------------------------------------------

    def uri_of(self, span: Span, fallback: str) -> str:
        path = Path(span.path)
        path = path if path.is_absolute() else self.root / path
        return (from_fs_path(str(path)) or fallback) if path.is_file() else fallback

    def range_of(self, span: Span, uri: str) -> lsp.Range:
        """A span as the editor counts: from 0, in its own units."""
        line, start = span.line - 1, span.column - 1
        plain = lsp.Range(lsp.Position(line, start), lsp.Position(line, start + span.width))
        lines = self.document(uri).lines
        codec: PositionCodec = self.workspace.position_codec
        return codec.range_to_client_units(lines, plain) if line < len(lines) else plain

    def place_of(self, uri: str, position: lsp.Position) -> tuple[int, int]:
        """Line and column from 1, in characters."""
        codec: PositionCodec = self.workspace.position_codec
        found = codec.position_from_client_units(self.document(uri).lines, position)
        return found.line + 1, found.character + 1

    def document(self, uri: str) -> TextDocument:
        return self.workspace.get_text_document(uri)

    def diagnostic(self, one: Diagnostic, uri: str) -> lsp.Diagnostic:
        warning = one.severity == "warning"
        return lsp.Diagnostic(
            range=self.range_of(one.span, uri),
            message=f"{one.message}\n{one.help}" if one.help else one.message,
            severity=lsp.DiagnosticSeverity.Warning if warning else lsp.DiagnosticSeverity.Error,
            code=one.code,
            source="atk",
            related_information=[
                lsp.DiagnosticRelatedInformation(self.location(span, uri), text) for span, text in one.related
            ],
        )

    def location(self, span: Span, fallback: str) -> lsp.Location:
        uri = self.uri_of(span, fallback)
        return lsp.Location(uri, self.range_of(span, uri))

    def mention(self, uri: str, position: lsp.Position) -> tuple[Analysis, Mention] | None:
        analysis = self.analysis(uri)
        if analysis is None:
            return None
        mention = analysis.at(*self.place_of(uri, position))
        return (analysis, mention) if mention is not None else None

    def counts(self, graph: str, node: str) -> Mapping[str, int] | None:
        """Rows of a table by fate, from the store of the folder; None where nothing has run."""
        from engine.store import StoreError, open_reader

        path = self.root / ".atk" / "store.duckdb"
        if not path.is_file():
            return None
        with contextlib.suppress(StoreError, OSError), contextlib.closing(open_reader(path, graph)) as reader:
            found = {}
            for fate, table in (("ok", node), ("rejected", f"rejected.{node}"), ("failed", f"failed.{node}")):
                quoted = ".".join(f'"{part}"' for part in table.split(".", 1 if fate != "ok" else 0))
                found[fate] = reader.sql(f"SELECT count(*) AS n FROM {quoted}").dicts()[0]["n"]
            return found
        return None


def path_of(uri: str) -> Path | None:
    path = to_fs_path(uri)
    return Path(path).resolve() if path else None


server = GraphServer()


def quietly(answer: Callable[..., Answer]) -> Callable[..., Answer | None]:
    """A fault of ours must not reach the person who types: nothing is answered then."""

    @functools.wraps(answer)
    def run(ls: GraphServer, params: Any) -> Answer | None:
        try:
            return answer(ls, params)
        except JsonRpcException:
            raise
        except Exception as error:
            ls.window_log_message(
                lsp.LogMessageParams(lsp.MessageType.Error, f"{answer.__name__}: {error!r}")
            )
            return None

    return run


@server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
async def opened(ls: GraphServer, params: lsp.DidOpenTextDocumentParams) -> None:
    ls.changed(params.text_document.uri)


@server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
async def edited(ls: GraphServer, params: lsp.DidChangeTextDocumentParams) -> None:
    ls.changed(params.text_document.uri)


@server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
async def saved(ls: GraphServer, params: lsp.DidSaveTextDocumentParams) -> None:
    ls.changed(params.text_document.uri)


@server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
async def closed(ls: GraphServer, params: lsp.DidCloseTextDocumentParams) -> None:
    uri = params.text_document.uri
    if (task := ls.waiting.pop(uri, None)) is not None:
        task.cancel()
    for where in ls.told.pop(uri, set()) | {uri}:
        ls.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(where, []))


@server.feature(lsp.TEXT_DOCUMENT_HOVER)
@quietly
def hovered(ls: GraphServer, params: lsp.HoverParams) -> lsp.Hover | None:
    found = ls.mention(params.text_document.uri, params.position)
    if found is None:
        return None
    text = hover.hover(*found, ls.counts)
    if text is None:
        return None
    place = ls.range_of(found[1].span, params.text_document.uri)
    return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, text), place)


@server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
@quietly
def defined(ls: GraphServer, params: lsp.DefinitionParams) -> lsp.Location | None:
    """Where a name is declared; for a prompt or an imported file, the file itself."""
    uri = params.text_document.uri
    found = ls.mention(uri, params.position)
    if found is None:
        return None
    analysis, mention = found
    symbol = mention.symbol
    path = symbol.file if symbol.sort == "file" else None
    if symbol.sort == "template":
        path = analysis.template(symbol.name)
    if path is not None:
        nowhere = lsp.Range(lsp.Position(0, 0), lsp.Position(0, 0))
        return lsp.Location(from_fs_path(str(path)) or uri, nowhere)
    if symbol.sort == "column":
        return column_definition(ls, analysis, mention, uri)
    span = analysis.definition(symbol)
    return ls.location(span, uri) if span is not None else None


def column_definition(ls: GraphServer, analysis: Analysis, mention: Mention, uri: str) -> lsp.Location | None:
    """A column comes of the node whose table holds it."""
    graph, _, name = (mention.symbol.within or "").rpartition(".")
    node = analysis.node(name, graph or None)
    tables = [node, *(analysis.nodes.get(one) for one in (node.inputs if node else ()))]
    for table in tables:
        if table is not None and mention.symbol.name in table.columns:
            owner = analysis.nodes.get(table.columns[mention.symbol.name].owner)
            return ls.location(owner.span, uri) if owner is not None else None
    return None


@server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
@quietly
def referred(ls: GraphServer, params: lsp.ReferenceParams) -> list[lsp.Location]:
    uri = params.text_document.uri
    found = ls.mention(uri, params.position)
    if found is None:
        return []
    analysis, mention = found
    return [
        ls.location(one.span, uri)
        for one in analysis.index.mentions
        if one.symbol == mention.symbol and (params.context.include_declaration or not one.defines)
    ]


@server.feature(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=['"', ".", "$", "/"]))
@quietly
def completed(ls: GraphServer, params: lsp.CompletionParams) -> lsp.CompletionList:
    uri = params.text_document.uri
    analysis = ls.analysis(uri)
    if analysis is None:
        return lsp.CompletionList(False, [])
    line, column = ls.place_of(uri, params.position)
    lines = ls.document(uri).lines
    before = "".join(lines[: line - 1]) + (lines[line - 1][: column - 1] if line <= len(lines) else "")
    at = context(normalized(before))
    typed = (at.string or "") if at.string is not None and not at.long else at.word
    place = lsp.Range(
        lsp.Position(params.position.line, params.position.character - len(typed)), params.position
    )
    return lsp.CompletionList(
        False,
        [
            lsp.CompletionItem(
                label=one.word,
                kind=GLYPHS.get(one.sort),
                detail=one.detail or None,
                sort_text=f"{rank:04}",
                filter_text=one.word,
                text_edit=None if at.long else lsp.TextEdit(place, one.word),
            )
            for rank, one in enumerate(completion.proposals(analysis, at))
        ],
    )


@server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
@quietly
def formatted(ls: GraphServer, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit] | None:
    """The whole text laid out; one that cannot be read stays as it is."""
    uri = params.text_document.uri
    document = ls.document(uri)
    analysis = ls.analysis(uri)
    if analysis is None or analysis.file.source.errors:
        return None
    text = format_text(normalized(document.source))
    if text == document.source:
        return []
    end = lsp.Position(len(document.lines) + 1, 0)
    return [lsp.TextEdit(lsp.Range(lsp.Position(0, 0), end), text)]


@server.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
@quietly
def rename_prepared(ls: GraphServer, params: lsp.PrepareRenameParams) -> lsp.Range | None:
    found = ls.mention(params.text_document.uri, params.position)
    if found is None:
        return None
    try:
        rename.renamable(*found)
    except rename.NotRenamed as problem:
        raise Refused(str(problem)) from None
    return ls.range_of(found[1].span, params.text_document.uri)


@server.feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
@quietly
def renamed(ls: GraphServer, params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
    found = ls.mention(params.text_document.uri, params.position)
    if found is None:
        return None
    try:
        places = rename.renamed(*found, params.new_name, ls.texts(), ls.root)
    except rename.NotRenamed as problem:
        raise Refused(str(problem)) from None
    changes: dict[str, list[lsp.TextEdit]] = {}
    for path, spans in places.items():
        uri = from_fs_path(str(path)) or ""
        changes[uri] = [lsp.TextEdit(ls.range_of(span, uri), params.new_name) for span in spans]
    return lsp.WorkspaceEdit(changes=changes)


@server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
@quietly
def outlined(ls: GraphServer, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
    """The declarations of a file, in order."""
    uri = params.text_document.uri
    analysis = ls.analysis(uri)
    sorts = {
        "node": lsp.SymbolKind.Variable,
        "graph": lsp.SymbolKind.Function,
        "type": lsp.SymbolKind.Struct,
        "param": lsp.SymbolKind.Constant,
        "model": lsp.SymbolKind.Interface,
    }
    found = []
    for one in analysis.index.mentions if analysis else []:
        if one.defines and one.symbol.sort in sorts and one.symbol.within is None:
            place = ls.range_of(one.span, uri)
            found.append(lsp.DocumentSymbol(one.symbol.name, sorts[one.symbol.sort], place, place))
    return found
