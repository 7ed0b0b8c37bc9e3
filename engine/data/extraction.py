"""Text out of PDF, Word, PowerPoint, EPUB and HTML files, as Markdown: headings, lists and tables stay.

`kreuzberg` does the work (docs/decisions/documents.md), in a process of its own: a parser may crash on a
file, or never come to an end, and then only that file is set aside. It is an extra; the process is
started when the first such file is read.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.data import recognition
from engine.data.files import EXTRACTED, File
from engine.data.pages import Page, starts
from engine.data.recognition import Read, Unrecognised, completed, missing, tesseract
from engine.frozen import dataclass

MISSING = "reading .{format} files needs the package kreuzberg: pip install 'atk[documents]'"
FRONT = re.compile(r"\A---\n+(?:## )?title: [^\n]*\n+(?:---\n+)?")  # what HTML gets on top of its text
SECONDS, SECONDS_PER_MB = 60, 5  # how long a file may take
MEMORY = 4 << 30  # bytes of addresses that reading may take
PROGRAM = Path(__file__).with_name("extracting.py")
# What the process gets of the environment: where things are, and no key.
PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TESSDATA_PREFIX", "LD_LIBRARY_PATH")
# How Word's symbol font numbers its bullets; the characters mean nothing elsewhere.
BULLETS = {0xF0B7: "•", 0xF0A7: "▪", 0xF0D8: "➢", 0xF0FC: "✓", 0xF0E0: "→", 0xF076: "❖", 0xF06F: "○"}
ZIPPED = ("docx", "pptx", "epub")
BEGINNINGS = (
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a zip archive, as .docx, .pptx and .epub are"),
    (b"\xd0\xcf\x11\xe0", "a file of an old Office, or one with a password"),
    (b"{\\rtf", "RTF"),
    (b"<!doctype html", "a page of HTML"),
    (b"<html", "a page of HTML"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
)


class NoText(Exception):
    """A file that gives no text; the message says why."""


@dataclass(frozen=True)
class Extracted:
    """The text of a file, lines ended by a line feed; its title, if it has one; where its pages begin."""

    text: str
    title: str | None
    pages: list[Page]  # in characters of the text; of a file that has no pages, and where not asked for, none
    left: Mapping[str, Sequence[int]]  # pages that are pictures and could not be read, by the reason


def text_of(file: File, paged: bool = False, language: str = "eng") -> Extracted:
    """What is in a file; `paged` says whether the pages are wanted. Raises `NoText`.

    Pages of a PDF that are pictures are read by Tesseract, in a language that it knows.
    """
    if find_spec("kreuzberg") is None:
        raise NoText(MISSING.format(format=file.format))
    size = _looked_at(file)
    seconds = SECONDS + SECONDS_PER_MB * (size >> 20)
    found = _reader.ask(file.path, seconds, format=file.format, paged=paged)
    if "system" in found:
        raise NoText(f"cannot be read: {found['system']}")
    if "refused" in found:
        raise NoText(_reason(file, found["refused"]))
    text = found["text"].replace("\r\n", "\n").replace("\r", "\n").translate(BULLETS)
    text = FRONT.sub("", text).strip("\n")
    pages = [(number, said) for number, said in found.get("pages", ())]
    if pictures := found.get("pictures"):
        read = completed(text, pages, pictures, language, functools.partial(_recognised, file, language))
    else:
        read = Read(text, starts(text, pages))
    if not read.text.strip():
        reason = next(iter(read.left), None)
        raise NoText("there is no text in it" + (f", its pages are pictures: {reason}" if reason else ""))
    return Extracted(read.text + "\n", (found["title"] or "").strip() or None, read.pages, read.left)


def _recognised(file: File, language: str, page: int) -> str:
    """What stands on a page that is a picture. Raises `Unrecognised`."""
    there = tesseract()
    assert there is not None
    try:
        found = _reader.ask(file.path, recognition.SECONDS, page=page, language=language, folder=there.folder)
    except NoText as error:
        raise Unrecognised(str(error)) from error
    if "text" not in found:
        raise Unrecognised(f"Tesseract cannot read it: {found.get('system') or _said(found['refused'])}")
    text: str = found["text"]
    return text


def means(formats: Collection[str], language: str) -> list[Any]:
    """What files of some formats are read with, JSON-able: it changes when what was missing is installed."""
    if not set(EXTRACTED.values()) & set(formats):
        return []
    return [find_spec("kreuzberg") is not None, missing(language) if "pdf" in formats else None]


def version() -> str:
    """Of the package that reads; empty where it is not installed."""
    with contextlib.suppress(PackageNotFoundError):
        return metadata.version("kreuzberg")
    return ""


def _looked_at(file: File) -> int:
    """The size of a file that may be what its name says. Raises `NoText`."""
    try:
        size = file.path.stat().st_size
        with file.path.open("rb") as opened:
            first = opened.read(1024)
    except OSError as error:
        raise NoText(f"cannot be read: {error.strerror or error}") from error
    if not size:
        raise NoText(f"no {file.format}: it is empty")
    wanted = b"%PDF-" if file.format == "pdf" else b"PK\x03\x04" if file.format in ZIPPED else b""
    if wanted not in first:
        begun = first.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        is_ = next((name for start, name in BEGINNINGS if begun.startswith(start.lower())), None)
        raise NoText(
            f"no {file.format}: it begins like {is_}" if is_ else f"no {file.format} by its first bytes"
        )
    return size


class _Reader:
    """The process that reads, started anew where it has died. Used by one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, path: Path, seconds: int, **wanted: Any) -> dict[str, Any]:
        """What the process says of a file. Raises `NoText` where it says nothing."""
        with self._lock:
            process = self._running()
            assert process.stdin
            try:
                asked = {"path": os.fspath(path.absolute()), "seconds": seconds, **wanted}
                process.stdin.write(json.dumps(asked).encode() + b"\n")
                process.stdin.flush()
                line = self._line(process, seconds)
            except TimeoutError:
                self._end()
                raise NoText(f"reading it takes more than {seconds} s") from None
            except BrokenPipeError:  # it died before it was asked
                line = b""
            if not line.endswith(b"\n"):
                code = self._end()
                raise NoText(f"reading it fails: the reader {_died(code)}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            environment = {name: os.environ[name] for name in PASSED if name in os.environ}
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(PROGRAM), str(MEMORY)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the engine, which lets it finish
            )
        return self._process

    def _line(self, process: subprocess.Popen[bytes], seconds: int) -> bytes:
        assert process.stdout
        handle, line = process.stdout.fileno(), bytearray()
        deadline = time.monotonic() + seconds
        while not line.endswith(b"\n"):
            if not select.select([handle], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError
            part = os.read(handle, 1 << 20)
            if not part:
                break
            line += part
        return bytes(line)

    def _end(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):  # what it was still to be told
                pipe.close()  # type: ignore[union-attr]
        return process.wait()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()


_reader = _Reader()
atexit.register(_reader.close)


def _died(code: int) -> str:
    if code == -6 or code == 101:  # what Rust and C++ do where there is no memory left
        return "gave up, perhaps for want of memory"
    return f"crashed on it (signal {-code})" if code < 0 else f"ended with {code}"


def _reason(file: File, said: str) -> str:
    if "assword" in said or "ncrypted" in said:
        return "it is encrypted: save it without a password"
    told = _said(said)
    return f"no {file.format} that can be read: {told}" if told else f"no {file.format}"


def _said(said: str) -> str:
    """The first line of what a parser said, without the names of its own parts."""
    said = said.strip().split("\n")[0]
    said = re.sub(r"\b\w*(?:Error|Exception): ", "", said)
    return ": ".join(dict.fromkeys(part.strip() for part in said.split(": ") if part.strip()))
