"""The files that a new project begins with; they lie in `project/`, `dot-` for a leading dot."""

from __future__ import annotations

import re
from pathlib import Path

TEMPLATE = Path(__file__).parent / "project"
_IGNORED = frozenset({".git", ".DS_Store", ".venv", ".python-version", "LICENSE", ".idea", ".vscode"})


def graph_name(folder: str) -> str | None:
    """What the graph of a folder is called: `my-notes` gives `my_notes`; None where nothing fits."""
    name = folder.replace("-", "_")
    return name if re.fullmatch(r"[A-Za-z]\w{0,63}", name, re.ASCII) else None


def begin(folder: Path, name: str) -> list[Path]:
    """Write the files; gives their paths. Nothing is written where anything stands in the way."""
    from engine.commands._errors import WRONG, CommandError
    from engine.commands._render import beside

    if folder.exists() and not folder.is_dir():
        raise CommandError(f"{beside(folder)} is a file", "choose another name", WRONG)
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if standing := [entry for entry in there if entry not in _IGNORED]:
        listed = ", ".join(standing[:8]) + (f" and {len(standing) - 8} more" if len(standing) > 8 else "")
        raise CommandError(
            f"{folder.name} is not empty: {listed}", "a project begins in an empty or a new folder", WRONG
        )
    written = []
    for source in sorted(path for path in TEMPLATE.rglob("*") if path.is_file()):
        relative = source.relative_to(TEMPLATE).as_posix()
        relative = re.sub(r"(^|/)dot-", r"\1.", relative).replace("graph.atk", f"{name}.atk")
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(source.read_text(encoding="utf-8").replace("{name}", name), encoding="utf-8")
        written.append(target)
    return written
