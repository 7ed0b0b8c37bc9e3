"""The program of the process that reads documents; `extraction` starts it and talks to it.

It is run by its path and imports nothing of the engine. On each line of its input stands, as JSON, a
request (its path, the seconds it may take, and what is wanted); on a line of its output what is in the
file. It dies of a file that makes it crash, takes it too long or wants too much memory, and of the end of
its input.
"""

import contextlib
import json
import os
import re
import secrets
import signal
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

OFFICE = "application/vnd.openxmlformats-officedocument"
KINDS = {  # what a file is taken for, whatever its name ends in
    "pdf": "application/pdf",
    "docx": f"{OFFICE}.wordprocessingml.document",
    "pptx": f"{OFFICE}.presentationml.presentation",
    "epub": "application/epub+zip",
    "html": "text/html",
}
FEW = 10  # letters and digits of a page, below which it has no text
SMALL, SHARP = 36, 300  # dots an inch of a page that is looked at, and of one that is read
SURPLUS = 5  # seconds after which it ends by itself, where whoever started it is gone


def main() -> None:
    """Read files until the input ends."""
    memory = int(sys.argv[1])
    # Whatever a library prints must not get in between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    with contextlib.suppress(ImportError, ValueError, OSError):  # not everywhere
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import kreuzberg

    for line in sys.stdin:
        request = json.loads(line)
        signal.alarm(request["seconds"] + SURPLUS)
        work = _recognise if "page" in request else _read
        answers.write(json.dumps(_answer(work, kreuzberg, request)) + "\n")
        answers.flush()
        signal.alarm(0)


def _answer(work: Callable[[Any, Any], dict[str, Any]], kreuzberg: Any, request: Any) -> dict[str, Any]:
    try:
        return work(kreuzberg, request)
    except OSError as error:
        return {"system": error.strerror or str(error)}
    except Exception as error:  # whatever a parser has against a file is the file's affair
        return {"refused": str(error)}


def _read(kreuzberg: Any, request: Any) -> dict[str, Any]:
    """The text of a file, its title, its pages, and which of them are pictures."""
    path, format_ = request["path"], request["format"]
    pages = kreuzberg.PageConfig(extract_pages=True) if format_ == "pdf" else None
    settings = kreuzberg.ExtractionConfig(output_format="markdown", pages=pages)
    found = kreuzberg.extract_file_sync(path, KINDS[format_], config=settings)
    said = [[page["page_number"], page["content"]] for page in found.pages or ()]
    pictures = []
    for number, text in said:
        letters = len(re.findall(r"\w", text))
        # A page with nothing but its number is no picture, one with a number and much to see is.
        if letters < FEW and _shows(kreuzberg, path, number, share=0.1 if letters else 0):
            pictures.append(number)
    if format_ == "pptx" and request["paged"]:
        said = _slides(kreuzberg, path)
    title = found.metadata.get("title") if hasattr(found.metadata, "get") else None
    return {
        "text": found.content,
        "title": title if isinstance(title, str) else None,
        "pages": said if request["paged"] or pictures else [],
        "pictures": pictures,
    }


def _shows(kreuzberg: Any, path: str, number: int, share: float) -> bool:
    """Whether something covers more than a share of a page: drawn small, so many lines are no empty ones."""
    try:
        image = kreuzberg.render_pdf_page(path, number - 1, dpi=SMALL)
    except Exception:  # a page that cannot be drawn cannot be read either
        return False
    parts: dict[bytes, bytes] = {}
    at = 8
    while at < len(image):
        length, name = struct.unpack(">I4s", image[at : at + 8])
        parts[name] = parts.get(name, b"") + image[at + 8 : at + 8 + length]
        at += length + 12
    _, height = struct.unpack(">II", parts[b"IHDR"][:8])
    dots = zlib.decompress(parts[b"IDAT"])
    wide = len(dots) // height
    lines = Counter(dots[at : at + wide] for at in range(wide, len(dots), wide))
    return lines.total() - max(lines.values(), default=0) > int(height) * share


def _recognise(kreuzberg: Any, request: Any) -> dict[str, Any]:
    """What Tesseract reads on one page."""
    os.environ["TESSDATA_PREFIX"] = request["folder"]
    image = kreuzberg.render_pdf_page(request["path"], request["page"] - 1, dpi=SHARP)
    reader = kreuzberg.OcrConfig(backend="tesseract", language=request["language"])
    settings = kreuzberg.ExtractionConfig(output_format="markdown", ocr=reader, use_cache=False)
    return {"text": kreuzberg.extract_bytes_sync(image, "image/png", config=settings).content}


def _slides(kreuzberg: Any, path: str) -> list[list[Any]]:
    """What is on each slide: of these only marks in the text tell."""
    mark = f"slide-{secrets.token_hex(8)}-"
    marks = kreuzberg.PageConfig(insert_page_markers=True, marker_format=f"\n\n{mark}{{page_num}}\n\n")
    settings = kreuzberg.ExtractionConfig(output_format="markdown", pages=marks, use_cache=False)
    found = kreuzberg.extract_file_sync(path, KINDS["pptx"], config=settings)
    _, *parts = re.split(rf"{mark}(\d+)", found.content)
    return [[int(number), text] for number, text in zip(parts[::2], parts[1::2], strict=True)]


if __name__ == "__main__":
    main()
