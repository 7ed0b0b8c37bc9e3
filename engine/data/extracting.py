"""The program of the process that reads documents; `extraction` starts it and talks to it.

It is run by its path and imports nothing of the engine. On each line of its input stand the path of a
file and the seconds it may take; on a line of its output, as JSON, what is in it. It dies of a file that
makes it crash, takes it too long or wants too much memory, and of the end of its input.
"""

import contextlib
import json
import os
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

    settings = kreuzberg.ExtractionConfig(output_format="markdown")
    for line in sys.stdin:
        path, seconds = json.loads(line)
        signal.alarm(seconds + SURPLUS)
        answers.write(json.dumps(_read(kreuzberg, settings, path)) + "\n")
        answers.flush()
        signal.alarm(0)


def _read(kreuzberg: Any, settings: Any, path: str) -> dict[str, str | None]:
    try:
        found = kreuzberg.extract_file_sync(path, config=settings)
    except OSError as error:
        return {"system": error.strerror or str(error)}
    except Exception as error:  # whatever a parser has against a file is the file's affair
        return {"refused": str(error)}
    metadata = found.metadata
    title = metadata.get("title") if hasattr(metadata, "get") else None
    return {"text": found.content, "title": title if isinstance(title, str) else None}


if __name__ == "__main__":
    main()
