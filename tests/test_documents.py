"""Documents that are no plain text: what is read of them, and what is said of those that cannot be read."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.data import extraction
from engine.language.types import Field, Record, Scalar
from tests import paper
from tests.test_readers import source

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
TYPES = "application/vnd.openxmlformats-officedocument.wordprocessingml"


def docx(path: Path, *blocks: str) -> None:
    """A Word file with these pieces of its body."""
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
            '<Default Extension="rels" ContentType="application/'
            'vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{TYPES}.document.main+xml"/></Types>',
        )
        made.writestr(
            "_rels/.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
            '<Relationship Id="r1" Target="word/document.xml" Type="http://schemas.openxmlformats.org/'
            'officeDocument/2006/relationships/officeDocument"/></Relationships>',
        )
        body = "".join(blocks)
        made.writestr(
            "word/document.xml", f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
        )


def paragraph(text: str, style: str = "") -> str:
    shown = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{shown}<w:r><w:t>{text}</w:t></w:r></w:p>"


def table(*rows: tuple[str, ...]) -> str:
    cells = ("".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows)
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl>"


def epub(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("mimetype", "application/epub+zip")
        made.writestr(
            "META-INF/container.xml",
            '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
            '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/>'
            "</rootfiles></container>",
        )
        made.writestr(
            "book.opf",
            '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="i">'
            '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>The Hive</dc:title>'
            '<dc:identifier id="i">x</dc:identifier><dc:language>en</dc:language></metadata>'
            '<manifest><item id="c" href="c.xhtml" media-type="application/xhtml+xml"/></manifest>'
            '<spine><itemref idref="c"/></spine></package>',
        )
        made.writestr(
            "c.xhtml",
            '<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>Winter</h1>'
            "<p>Bees keep warm.</p></body></html>",
        )


def pdf(path: Path, *lines: str) -> None:
    """A PDF of one page."""
    paper.pdf(path, lines)


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    folder.mkdir()
    return folder


@pytest.fixture
def own_reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process of the test's own, which ends with it."""
    reader = extraction._Reader()
    monkeypatch.setattr(extraction, "_reader", reader)
    yield
    reader.close()


def read(tmp_path: Path) -> dict[str, Any]:
    return {one.own["path"]: one for one in source(tmp_path).read()}


def test_headings_and_tables_of_a_word_file(tmp_path: Path, inputs: Path) -> None:
    cells = table(("Month", "Food"), ("March", "little"))
    docx(inputs / "bees.docx", paragraph("Feeding", "Heading1"), paragraph("Colonies starve."), cells)
    one = read(tmp_path)["bees.docx"]
    assert one.own["title"] == "Feeding"
    assert one.own["text"].lstrip("#").startswith(" Feeding\n\nColonies starve.\n")
    assert "| Month | Food |" in one.own["text"]
    assert "| March | little |" in one.own["text"]


def test_a_book_a_page_and_a_pdf(tmp_path: Path, inputs: Path) -> None:
    epub(inputs / "hive.epub")
    (inputs / "page.html").write_text(
        "<html><head><title>On bees</title><style>p {}</style></head>"
        "<body><h2>Wings</h2><p>Four.</p></body></html>"
    )
    pdf(inputs / "note.pdf", "A swarm leaves in May.", "It looks for a hollow place.")
    found = read(tmp_path)
    assert found["hive.epub"].own["title"] == "The Hive"
    assert "Bees keep warm." in found["hive.epub"].own["text"]
    assert found["page.html"].own == {"path": "page.html", "title": "On bees", "text": "## Wings\n\nFour.\n"}
    assert "A swarm leaves in May." in found["note.pdf"].own["text"]


def test_what_cannot_be_read_is_set_aside(tmp_path: Path, inputs: Path) -> None:
    (inputs / "torn.pdf").write_bytes(b"%PDF-1.4 rubbish")
    (inputs / "none.docx").write_bytes(b"")
    (inputs / "posing.epub").write_bytes(b"this is no book")
    pdf(inputs / "blank.pdf")
    docx(inputs / "sound.docx", paragraph("Bees fly."))
    found = read(tmp_path)
    assert {name for name, one in found.items() if one.fate == "ok"} == {"sound.docx"}
    for name in ("torn.pdf", "none.docx", "posing.epub"):
        assert found[name].reason.startswith(f"{name}: no {name.partition('.')[2]}")
        assert "\n" not in found[name].reason
    assert found["blank.pdf"].reason.startswith("blank.pdf: there is no text in it")


def test_without_the_reader_the_way_to_it_is_told(
    tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "find_spec", lambda _: None)
    pdf(inputs / "note.pdf", "Bees.")
    assert read(tmp_path)["note.pdf"].reason == (
        "note.pdf: reading .pdf files needs the package kreuzberg: pip install 'atk[documents]'"
    )


# -- files that a parser does not survive -------------------------------------------------


def nested(path: Path, depth: int) -> None:
    """A book whose one chapter is nested so deeply that its parser runs out of stack."""
    epub(path)
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    with zipfile.ZipFile(path, "w") as book:
        for name, part in parts.items():
            deep = "<html><body>" + "<div>" * depth + "x" + "</div>" * depth + "</body></html>"
            book.writestr(name, deep if name.endswith("html") else part)


def test_a_file_that_crashes_its_parser_is_set_aside_and_the_others_are_read(
    tmp_path: Path, inputs: Path
) -> None:
    nested(inputs / "b.epub", 50_000)
    pdf(inputs / "a.pdf", "Before it.")
    pdf(inputs / "c.pdf", "After it.")
    found = read(tmp_path)
    assert "Before it." in found["a.pdf"].own["text"]
    assert "After it." in found["c.pdf"].own["text"]
    assert found["b.epub"].fate == "failed"
    assert found["b.epub"].reason == "b.epub: reading it fails: the reader crashed on it (signal 11)"


PROGRAMS = {  # in the place of the program that reads: what it does, and what is then said
    "sleeps": ("import sys, time; sys.stdin.readline(); time.sleep(60)", "reading it takes more than 1 s"),
    "exits": ("import sys; sys.stdin.readline(); sys.exit(3)", "reading it fails: the reader ended with 3"),
    "aborts": (
        "import os, sys; sys.stdin.readline(); os.abort()",
        "reading it fails: the reader gave up, perhaps for want of memory",
    ),
    "never starts": ("raise SystemExit(1)", "reading it fails: the reader ended with 1"),
    "answers by half": (
        "import sys; sys.stdin.readline(); print('{\"te', end='', flush=True); sys.exit(2)",
        "reading it fails: the reader ended with 2",
    ),
}


@pytest.mark.usefixtures("own_reader")
@pytest.mark.parametrize("what", PROGRAMS)
def test_a_reader_that_does_not_answer(
    what: str, tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, said = PROGRAMS[what]
    (tmp_path / "program.py").write_text(program)
    monkeypatch.setattr(extraction, "PROGRAM", tmp_path / "program.py")
    monkeypatch.setattr(extraction, "SECONDS", 1)
    pdf(inputs / "a.pdf", "Bees.")
    (inputs / "b.txt").write_text("Wasps.")
    found = read(tmp_path)
    assert found["a.pdf"].reason == f"a.pdf: {said}"
    assert found["b.txt"].own["text"] == "Wasps."


@pytest.mark.usefixtures("own_reader")
def test_a_reader_that_died_before_it_was_asked(
    tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "program.py").write_text("raise SystemExit(7)")
    monkeypatch.setattr(extraction, "PROGRAM", tmp_path / "program.py")
    pdf(inputs / "a.pdf", "Bees.")
    start = subprocess.Popen

    def ended(*arguments: Any, **settings: Any) -> subprocess.Popen[bytes]:
        process = start(*arguments, **settings)
        if settings.get("start_new_session"):
            process.wait()
        return process

    monkeypatch.setattr(extraction.subprocess, "Popen", ended)
    monkeypatch.setattr(subprocess.Popen, "poll", lambda self: None, raising=False)
    assert read(tmp_path)["a.pdf"].reason == "a.pdf: reading it fails: the reader ended with 7"


@pytest.mark.usefixtures("own_reader")
def test_the_reader_is_told_no_secret(tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-user")
    (tmp_path / "program.py").write_text(
        "import json, os, sys; sys.stdin.readline();"
        "print(json.dumps({'text': str(dict(os.environ)), 'title': None}), flush=True)"
    )
    monkeypatch.setattr(extraction, "PROGRAM", tmp_path / "program.py")
    pdf(inputs / "a.pdf", "Bees.")
    text = read(tmp_path)["a.pdf"].own["text"]
    assert "PATH" in text
    assert "sk-of-the-user" not in text


def test_one_process_reads_many_files(tmp_path: Path, inputs: Path) -> None:
    for name in "abc":
        pdf(inputs / f"{name}.pdf", f"Page {name}.")
    read(tmp_path)
    first = extraction._reader._process
    read(tmp_path)
    assert first is not None
    assert extraction._reader._process is first


POSING = {
    "a.pdf": (b"<!DOCTYPE html><p>Not found", "no pdf: it begins like a page of HTML"),
    "b.docx": (b"%PDF-1.4 and so on", "no docx: it begins like a PDF"),
    "c.docx": (
        b"\xd0\xcf\x11\xe0rest",
        "no docx: it begins like a file of an old Office, or one with a password",
    ),
    "d.epub": (b"once upon a time", "no epub by its first bytes"),
    "e.pdf": (b"", "no pdf: it is empty"),
}


def test_files_that_are_not_what_their_name_says(tmp_path: Path, inputs: Path) -> None:
    for name, (content, _) in POSING.items():
        (inputs / name).write_bytes(content)
    assert {name: one.reason for name, one in read(tmp_path).items()} == {
        name: f"{name}: {said}" for name, (_, said) in POSING.items()
    }


def test_the_bullets_of_a_symbol_font_are_bullets(
    tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docx(inputs / "a.docx", paragraph("\uf0b7 First"), paragraph("\uf0a7 Second"))
    text = read(tmp_path)["a.docx"].own["text"]
    assert "• First" in text
    assert "▪ Second" in text


def test_a_type_may_name_the_hash_of_the_files(tmp_path: Path, inputs: Path) -> None:
    """It is that of the bytes: of what was extracted from too, and before line ends and marks are mended."""
    docx(inputs / "bees.docx", paragraph("Bees fly."))
    (inputs / "marked.md").write_bytes(b"\xef\xbb\xbf# Bees\r\n\r\nThey fly.\r\n")
    (inputs / "torn.pdf").write_bytes(b"%PDF-1.4 rubbish")
    text = Scalar("str")
    hashed = Record((Field("path", text), Field("text", text), Field("sha256", text)))
    found = {one.own["path"]: one for one in source(tmp_path, type_=hashed).read()}
    for name in ("bees.docx", "marked.md"):
        assert found[name].own["sha256"] == hashlib.sha256((inputs / name).read_bytes()).hexdigest()
    assert found["torn.pdf"].fate == "failed"
    assert "sha256" not in read(tmp_path)["marked.md"].own


def test_files_whose_names_do_not_say_what_they_are(tmp_path: Path, inputs: Path) -> None:
    """They are read as `format` says."""
    pdf(tmp_path / "a.pdf", "A swarm leaves in May.")
    docx(tmp_path / "a.docx", paragraph("Bees fly."))
    epub(tmp_path / "a.epub")
    (tmp_path / "a.html").write_text("<html><body><p>Four wings.</p></body></html>")
    said = {"pdf": "swarm", "docx": "fly", "epub": "warm", "html": "wings"}
    for format_, word in said.items():
        for name in ("scan.dat", "noname", "posing.txt"):
            shutil.copy(tmp_path / f"a.{format_}", inputs / name)
        found = source(tmp_path, format=format_).read()
        assert [word in one.own["text"] for one in found] == [True] * 3
