"""The program of the process that reads documents; `extraction` starts it and talks to it.

It is run by its path and imports nothing of the engine. On each line of its input stand, as JSON, the
path of a file, the seconds it may take and whether its pages are wanted ("pages" of a PDF, "slides"); on
a line of its output what is in it. It dies of a file that makes it crash, takes it too long or wants too
much memory, and of the end of its input.
"""

import contextlib
import json
import os
import re
import secrets
import signal
import sys
from typing import Any

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
        path, seconds, wanted = json.loads(line)
        signal.alarm(seconds + SURPLUS)
        answers.write(json.dumps(_read(kreuzberg, path, wanted)) + "\n")
        answers.flush()
        signal.alarm(0)


def _read(kreuzberg: Any, path: str, wanted: str | None) -> dict[str, Any]:
    settings = kreuzberg.ExtractionConfig(
        output_format="markdown",
        pages=kreuzberg.PageConfig(extract_pages=True) if wanted == "pages" else None,
    )
    try:
        found = kreuzberg.extract_file_sync(path, config=settings)
        pages = [[page["page_number"], page["content"]] for page in found.pages or ()]
        if wanted == "slides":
            pages = _slides(kreuzberg, path)
    except OSError as error:
        return {"system": error.strerror or str(error)}
    except Exception as error:  # whatever a parser has against a file is the file's affair
        return {"refused": str(error)}
    metadata = found.metadata
    title = metadata.get("title") if hasattr(metadata, "get") else None
    return {"text": found.content, "title": title if isinstance(title, str) else None, "pages": pages}


def _slides(kreuzberg: Any, path: str) -> list[list[Any]]:
    """What is on each slide: of these only marks in the text tell."""
    mark = f"slide-{secrets.token_hex(8)}-"
    marks = kreuzberg.PageConfig(insert_page_markers=True, marker_format=f"\n\n{mark}{{page_num}}\n\n")
    settings = kreuzberg.ExtractionConfig(output_format="markdown", pages=marks, use_cache=False)
    found = kreuzberg.extract_file_sync(path, config=settings)
    _, *parts = re.split(rf"{mark}(\d+)", found.content)
    return [[int(number), text] for number, text in zip(parts[::2], parts[1::2], strict=True)]


if __name__ == "__main__":
    main()
