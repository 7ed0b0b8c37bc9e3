"""The language server, asked by a real client over stdio; and what it knows of unfinished texts."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from engine.editor.context import context

GRAPH = '''\
use "shapes.atk"

## What the documents are about.
param domain: str = "bees"
param limit: int = 3

type Card {
  question: str                          ## Understandable alone.
  answer:   str
}

model small from default { temperature = 0.2 }

## One row a file.
source documents -> shapes.Document[] { path = "documents" }

chunk passages from documents { size = 100 }

## Cards for each passage.
prompt cards from passages -> Card[] {
  template = "cards"
  model    = small
  let about = "all of " || domain
  check ends_with(question, "?") else "ask something"
}

sql counted {
  query = """
    SELECT passages_id, count(*) AS cards_made, any_value(p.title) AS title
    FROM cards c JOIN passages p USING (passages_id)
    WHERE cards_index < $limit
    GROUP BY ALL
  """
}
'''
SHAPES = """\
## What a file holds.
type Document { path: str, title: str?, text: str }
"""
PROMPT = "---\ndescription: Cards.\n---\nuser:\n{{ about }} {{ text }}\n{{ schema }}\n"


class Editor:
    """A client as an editor is one: it opens files, types, asks."""

    def __init__(self, folder: Path, client: LanguageClient):
        self.folder, self.client = folder, client
        self.said: dict[str, list[lsp.Diagnostic]] = {}
        self.news = asyncio.Event()
        self.text = ""

    def uri(self, name: str = "first.atk") -> str:
        return (self.folder / name).as_uri()

    def open(self, text: str, name: str = "first.atk") -> None:
        self.text = text
        item = lsp.TextDocumentItem(self.uri(name), "atk", 1, text)
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))

    def type(self, text: str) -> None:
        self.text = text
        document = lsp.VersionedTextDocumentIdentifier(version=2, uri=self.uri())
        change = lsp.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [change]))

    async def diagnostics(self, until: Callable[[list[lsp.Diagnostic]], bool]) -> list[lsp.Diagnostic]:
        """What is said of the graph, as soon as it is as it should be."""
        async with asyncio.timeout(20):
            while True:
                found = self.said.get(self.uri())
                if found is not None and until(found):
                    return found
                self.news.clear()
                await self.news.wait()

    def at(self, words: str, more: int = 0) -> lsp.Position:
        """The place of some words in the open text, `more` characters in."""
        before = self.text[: self.text.index(words) + more]
        return lsp.Position(before.count("\n"), len(before.rpartition("\n")[2]))

    def place(self, words: str, more: int = 0) -> dict[str, Any]:
        document = lsp.TextDocumentIdentifier(self.uri())
        return {"text_document": document, "position": self.at(words, more)}

    async def hover(self, words: str, more: int = 0) -> str:
        found = await self.client.text_document_hover_async(lsp.HoverParams(**self.place(words, more)))
        assert found is not None
        assert isinstance(found.contents, lsp.MarkupContent)
        return found.contents.value

    async def definition(self, words: str, more: int = 0) -> tuple[str, int]:
        """The file's name and the line, from 1, where a word leads."""
        found = await self.client.text_document_definition_async(
            lsp.DefinitionParams(**self.place(words, more))
        )
        assert isinstance(found, lsp.Location)
        return found.uri.rpartition("/")[2], found.range.start.line + 1

    async def completion(self, before: str) -> dict[str, lsp.CompletionItem]:
        """What is proposed at the end of a text that is typed so far."""
        self.type(before)
        end = lsp.Position(before.count("\n"), len(before.rpartition("\n")[2]))
        document = lsp.TextDocumentIdentifier(self.uri())
        found = await self.client.text_document_completion_async(lsp.CompletionParams(document, end))
        assert isinstance(found, lsp.CompletionList)
        return {item.label: item for item in found.items}


def project(folder: Path) -> None:
    (folder / "prompts").mkdir()
    (folder / "prompts" / "cards.md").write_text(PROMPT, encoding="utf-8")
    (folder / "shapes.atk").write_text(SHAPES, encoding="utf-8")
    (folder / "first.atk").write_text(GRAPH, encoding="utf-8")
    (folder / "documents").mkdir()
    (folder / "documents" / "a.txt").write_text(
        "Bees\n\nA colony does not sleep in winter. It draws together."
    )


def session(folder: Path, work: Callable[[Editor], Awaitable[None]]) -> None:
    """One life of a server, started as an editor starts it."""

    async def run() -> None:
        client = LanguageClient("an editor", "1")
        editor = Editor(folder, client)

        @client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def told(params: lsp.PublishDiagnosticsParams) -> None:
            editor.said[params.uri] = list(params.diagnostics)
            editor.news.set()

        await client.start_io(sys.executable, "-m", "engine.commands", "lsp")
        capabilities = lsp.ClientCapabilities()
        asked = lsp.InitializeParams(capabilities, root_uri=folder.as_uri(), process_id=None)
        answered = await client.initialize_async(asked)
        assert answered.capabilities.rename_provider
        client.initialized(lsp.InitializedParams())
        try:
            await work(editor)
        finally:
            await client.shutdown_async(None)
            client.exit(None)
            await client.stop()

    asyncio.run(run())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_graph_is_read_while_it_is_written(folder: Path) -> None:
    async def work(editor: Editor) -> None:
        editor.open(GRAPH)
        assert await editor.diagnostics(lambda found: True) == []

        editor.type(GRAPH.replace("ends_with(question", "ends_with(qestion"))
        (one,) = await editor.diagnostics(bool)
        assert (one.code, one.source, one.severity) == ("ATK122", "atk", lsp.DiagnosticSeverity.Error)
        assert one.message == "no column named `qestion`\ndid you mean `question`?"
        assert one.range.start == editor.at("qestion")
        assert one.range.end.character - one.range.start.character == len("qestion")

        editor.type(GRAPH.replace("WHERE cards_index", "WHERE card_index"))
        (one,) = await editor.diagnostics(lambda found: bool(found) and found[0].code == "ATK121")
        assert one.range.start == editor.at("card_index")

        editor.type("prompt x from {")
        assert await editor.diagnostics(lambda found: bool(found) and found[0].code == "ATK001")
        editor.type(GRAPH)
        await editor.diagnostics(lambda found: not found)

    session(folder, work)


def test_a_word_tells_what_it_stands_for(folder: Path) -> None:
    from engine.commands import main

    assert main(["exec", "first.atk"]) == 0

    async def work(editor: Editor) -> None:
        editor.open(GRAPH)
        told = await editor.hover("cards from passages")
        assert "prompt cards from passages -> Card[]" in told
        assert "Cards for each passage." in told
        assert "| `question` | str |  |" in told
        assert "| `title` | str | of `documents` |" in told
        assert "\n1 row\n" in told
        cases = {
            ("passages -> Card", 2): ["chunk passages from documents", "1 row"],
            ("Card[]", 1): ["type Card {", "question: str  ## Understandable alone."],
            ("domain\n", 1): ["param domain: str", "What the documents are about."],
            ("template =", 1): ["The prompt file under `prompts/`"],
            ('"cards"', 2): ["prompts/cards.md", "{{ about }} {{ text }}"],
            ("prompt cards", 2): ["one call a row", "`retries`"],
            ("small\n", 1): ["offline", "temperature 0.2"],
            ("question, ", 3): ["question: str", "a column of `cards`"],
            ("Document[]", 2): ["type Document", "What a file holds."],
        }
        for (words, more), wanted in cases.items():
            told = await editor.hover(words, more)
            assert all(text in told for text in wanted), (words, told)

    session(folder, work)


def test_a_word_leads_to_where_it_is_declared(folder: Path) -> None:
    async def work(editor: Editor) -> None:
        editor.open(GRAPH)
        cases = {
            ("passages -> Card", 2): ("first.atk", 17),
            ("Card[]", 1): ("first.atk", 7),
            ("Document[]", 2): ("shapes.atk", 2),
            ('"cards"', 2): ("cards.md", 1),
            ('"shapes.atk"', 3): ("shapes.atk", 1),
            ("small\n", 1): ("first.atk", 12),
            ("cards c JOIN", 1): ("first.atk", 20),
            ("$limit", 2): ("first.atk", 5),
            ("cards_index <", 2): ("first.atk", 20),
            ("question, ", 2): ("first.atk", 20),
        }
        for (words, more), wanted in cases.items():
            assert await editor.definition(words, more) == wanted, words

    session(folder, work)


HEAD = GRAPH.partition("sql counted")[0]


@pytest.mark.parametrize(
    ("typed", "wanted", "unwanted"),
    [
        ("", ["prompt", "param", "chunk"], ["repeat_", "template"]),
        ("prompt ask from ", ["cards", "passages"], ["Card"]),
        ("prompt ask from cards -> ", ["Card", "shapes.Document", "str"], ["cards"]),
        ("prompt ask from cards -> Card {\n  ", ["template", "votes", "check", "repair"], ["size"]),
        ('prompt ask from cards -> Card {\n  template = "x"\n  ', ["model"], ["template"]),
        ('prompt ask from cards -> Card {\n  template = "', ["cards"], ["model"]),
        ("prompt ask from cards -> Card {\n  model = ", ["small", "default"], ["template"]),
        ("prompt ask from cards -> Card {\n  keep ", ["question", "text", "domain", "length"], ["template"]),
        ("prompt ask from cards -> Card {\n  check length(que", ["question"], []),
        ('prompt ask from cards -> Card {\n  reply = "', ["json", "text", "tags"], ["cards"]),
        ("dedupe unique from cards { column = ", ["question", "title"], []),
        ("gather all from cards { by = ", ["passages", "documents"], []),
        ('sql s { query = """\n  SELECT * FROM ', ["cards", "passages"], ["question"]),
        ('sql s { query = """\n  SELECT x FROM cards WHERE ', ["question", "cards_id"], []),
        ('sql s { query = """\n  SELECT x FROM cards WHERE n < $', ["limit", "domain"], []),
        ("model big from default {\n  ", ["base_url", "price", "parallel"], ["template"]),
        ("model big from ", ["small", "default"], ["cards"]),
        ("type T {\n  a: ", ["str", "Card"], ["cards"]),
        ('use "', ["shapes.atk"], []),
        ("# a remark, fr", [], ["from", "prompt"]),
    ],
)  # fmt: skip
def test_what_could_be_written_is_proposed(
    folder: Path, typed: str, wanted: list[str], unwanted: list[str]
) -> None:
    from engine.editor.analysis import Analysis
    from engine.editor.completion import proposals

    path = folder / "first.atk"
    before = Analysis.of(path, {}, folder)
    text = HEAD + typed
    now = Analysis.of(path, {path: text}, folder, before)
    words = {one.word for one in proposals(now, context(text))}
    assert set(wanted) <= words
    assert not set(unwanted) & words


def test_ids_are_proposed_as_the_graph_around_calls_its_tables(folder: Path) -> None:
    from engine.editor.analysis import Analysis
    from engine.editor.completion import proposals

    typed = """graph g(rows: Card[]) -> Card[] {
  sql near { query = "SELECT rows_id, question FROM rows" }
  sql s { query = "SELECT near_id, question FROM near, rows WHERE """
    whole = typed + '1 = 1" }\n  return s\n}\ng called from cards\n'
    path = folder / "first.atk"
    analysis = Analysis.of(path, {path: HEAD + whole}, folder)
    words = {one.word for one in proposals(analysis, context(HEAD + typed))}
    assert {"near_id", "rows_id", "question"} <= words
    assert not {one for one in words if one.startswith("called_")}


def test_a_proposal_takes_the_place_of_what_was_typed(folder: Path) -> None:
    async def work(editor: Editor) -> None:
        editor.open(GRAPH)
        await editor.diagnostics(lambda found: True)
        found = await editor.completion(HEAD + 'prompt ask from cards -> Card { template = "ca')
        edit = found["cards"].text_edit
        assert isinstance(edit, lsp.TextEdit)
        assert edit.range.end.character - edit.range.start.character == 2
        assert found["cards"].detail == "Cards."

    session(folder, work)


def test_a_text_is_laid_out(folder: Path) -> None:
    async def work(editor: Editor) -> None:
        editor.open(GRAPH.replace("  template = ", "      template="))
        asked = lsp.DocumentFormattingParams(
            lsp.TextDocumentIdentifier(editor.uri()), lsp.FormattingOptions(2, True)
        )
        (edit,) = await editor.client.text_document_formatting_async(asked) or []
        assert edit.new_text == GRAPH
        editor.type("prompt x from {")
        assert await editor.client.text_document_formatting_async(asked) is None

    session(folder, work)


def test_a_name_is_changed_wherever_it_stands(folder: Path) -> None:
    async def rename(editor: Editor, words: str, name: str, more: int = 0) -> dict[str, str]:
        asked = lsp.RenameParams(new_name=name, **editor.place(words, more))
        found = await editor.client.text_document_rename_async(asked)
        assert found is not None
        assert found.changes is not None
        return {uri.rpartition("/")[2]: put_in(editor, uri, edits) for uri, edits in found.changes.items()}

    def put_in(editor: Editor, uri: str, edits: Any) -> str:
        text = editor.text if uri == editor.uri() else SHAPES
        lines = text.split("\n")
        for edit in sorted(edits, key=lambda one: (one.range.start.line, -one.range.start.character)):
            start, end = edit.range.start, edit.range.end
            line = lines[start.line]
            lines[start.line] = line[: start.character] + edit.new_text + line[end.character :]
        return "\n".join(lines)

    async def work(editor: Editor) -> None:
        editor.open(GRAPH)
        assert await rename(editor, "passages from documents", "pieces") == {
            "first.atk": GRAPH.replace("passages", "pieces")
        }
        assert await rename(editor, "limit: int", "most") == {"first.atk": GRAPH.replace("limit", "most")}
        assert await rename(editor, "Card {", "Pair") == {
            "first.atk": GRAPH.replace("Card ", "Pair ").replace("Card[", "Pair[")
        }
        assert await rename(editor, "small from", "judge") == {"first.atk": GRAPH.replace("small", "judge")}
        both = await rename(editor, "Document[]", "Paper")
        assert both["shapes.atk"] == SHAPES.replace("Document", "Paper")
        assert both["first.atk"] == GRAPH.replace("Document[]", "Paper[]")
        for words, name, wrong in [
            ("passages from documents", "cards", "would break something"),
            ("passages from documents", "a b", "cannot be a name"),
            ("question,", "asked", "is not declared in a graph"),
            ("about =", "topic", "would break something"),  # the prompt reads it
        ]:
            with pytest.raises(Exception, match=wrong):
                await rename(editor, words, name)

    session(folder, work)


def test_wide_characters_are_counted_as_the_editor_counts(folder: Path) -> None:
    async def work(editor: Editor) -> None:
        wide = GRAPH.replace('"all of " || domain', '"🐝🐝 " || domian')
        editor.open(wide)
        (one,) = await editor.diagnostics(bool)
        assert one.range.start.character == len('  let about = "') + 4 + len(' " || ')
        assert one.range.end.character - one.range.start.character == len("domian")

    session(folder, work)
