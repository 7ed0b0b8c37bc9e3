"""Text out of PDF, Word, PowerPoint, EPUB and HTML files, as Markdown: headings, lists and tables stay.

`kreuzberg` does the work (docs/decisions/documents.md). It is an extra, imported when the first such file
is read.
"""

from __future__ import annotations

import re
from typing import Any

from engine.data.files import File

MISSING = "reading .{format} files needs the package kreuzberg: pip install 'atk[documents]'"
FRONT = re.compile(r"\A---\n+(?:## )?title: [^\n]*\n+(?:---\n+)?")  # what HTML gets on top of its text


class NoText(Exception):
    """A file that gives no text; the message says why."""


def text_of(file: File) -> tuple[str, str | None]:
    """The text of a file, lines ended by a line feed, and its title if it has one. Raises `NoText`."""
    try:
        import kreuzberg
    except ImportError:
        raise NoText(MISSING.format(format=file.format)) from None
    try:
        found = kreuzberg.extract_file_sync(
            str(file.path), config=kreuzberg.ExtractionConfig(output_format="markdown")
        )
    except OSError as error:
        raise NoText(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever a parser has against a file is the file's affair
        raise NoText(_reason(file, error)) from error
    text = FRONT.sub("", found.content.replace("\r\n", "\n").replace("\r", "\n")).strip("\n")
    if not text.strip():
        raise NoText("there is no text in it; if its pages are pictures, run it through OCR first")
    return text + "\n", _title(found.metadata)


def _title(metadata: Any) -> str | None:
    title = metadata.get("title") if hasattr(metadata, "get") else None
    return title.strip() if isinstance(title, str) and title.strip() else None


def _reason(file: File, error: Exception) -> str:
    """The first line of what the parser said, without the names of its own parts."""
    said = str(error).strip().split("\n")[0]
    said = re.sub(r"\b\w*(?:Error|Exception): ", "", said)
    parts = list(dict.fromkeys(part.strip() for part in said.split(": ") if part.strip()))
    if "assword" in said or "ncrypted" in said:
        return "it is encrypted: save it without a password"
    return f"no {file.format} that can be read: {': '.join(parts)}" if parts else f"no {file.format}"
