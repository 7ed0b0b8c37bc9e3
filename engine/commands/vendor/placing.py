"""A shared graph's place in the project, the record of where it came from, and its renewal.

The record holds a checksum of each file as it was copied, so a later copy can tell what was edited
here. All files of a graph are put in place together, or none.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from engine.commands._errors import WRONG, CommandError
from engine.commands.vendor.sources import Found

RECORD = "vendor.json"
FOLDER = Path("graphs") / "vendor"


@dataclass
class Renewal:
    """How what is there differs from what would come. Paths are those in the graph's folder."""

    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)  # here, since they were copied, and the copy differs

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.gone)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def record_of(folder: Path) -> dict[str, Any]:
    """What was written when the graph was copied. Raises `CommandError` for a folder that has none."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if isinstance(found, dict) and isinstance(found.get("files"), dict):
            if any(PurePosixPath(name).is_absolute() or ".." in name.split("/") for name in found["files"]):
                raise ValueError("it names files outside of its folder")
            return found
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise CommandError(
            f"{folder / RECORD} cannot be read: {error}", "move the folder away and add it again"
        ) from None
    raise CommandError(
        f"{folder} is there, and was not added",
        "give the new one another name with --as, or move it away",
        WRONG,
    )


def compared(folder: Path, files: Mapping[str, bytes]) -> Renewal:
    """What would happen to a folder if these files came."""
    renewal = Renewal()
    if not folder.exists():
        renewal.new = list(files)
        return renewal
    was: dict[str, str] = record_of(folder)["files"]
    for name, content in files.items():
        here = (folder / name).read_bytes() if (folder / name).is_file() else None
        if here == content:
            continue
        (renewal.new if here is None else renewal.changed).append(name)
        if here is not None and digest(here) != was.get(name):
            renewal.edited.append(name)
    for name, sum_ in was.items():
        path = folder / name
        if name not in files and path.is_file():
            renewal.gone.append(name)
            if digest(path.read_bytes()) != sum_:
                renewal.edited.append(name)
    return renewal


def differences(folder: Path, files: Mapping[str, bytes], renewal: Renewal) -> str:
    """A unified diff of what would change."""
    lines: list[str] = []
    for name in (*renewal.new, *renewal.changed, *renewal.gone):
        path = folder / name
        before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        after = files[name].decode("utf-8", errors="replace") if name in files else ""
        lines += difflib.unified_diff(
            before.splitlines(keepends=True),
            after.splitlines(keepends=True),
            f"{name} (here)",
            f"{name} (new)",
        )
    return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


def record_for(place: Found, files: Mapping[str, bytes]) -> dict[str, Any]:
    """Where files come from, and a checksum of each."""
    return {
        "source": place.said,
        "version": place.version,
        "commit": place.commit,
        "files": {name: digest(content) for name, content in sorted(files.items())},
    }


def up_to_date(folder: Path, record: Mapping[str, Any]) -> bool:
    """Whether the record there says the same already; the day aside."""
    return folder.exists() and {**record_of(folder), "added": None} == {**record, "added": None}


def put_in_place(
    folder: Path, files: Mapping[str, bytes], renewal: Renewal, record: Mapping[str, Any]
) -> None:
    """Write the files and the record; what else lies in the folder stays. All or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    old = made / "old"
    try:
        coming = made / "new"
        if folder.exists():
            shutil.copytree(folder, coming)
        for name in renewal.gone:
            (coming / name).unlink(missing_ok=True)
        for name, content in files.items():
            (coming / name).parent.mkdir(parents=True, exist_ok=True)
            (coming / name).write_bytes(content)
        dated = {**record, "added": datetime.now(UTC).date().isoformat()}
        (coming / RECORD).write_text(json.dumps(dated, indent=2) + "\n", encoding="utf-8")
        if folder.exists():
            folder.replace(old)
        coming.replace(folder)
    except OSError as error:
        if old.exists() and not folder.exists():
            old.replace(folder)
        raise CommandError(
            f"{folder} cannot be written: {error.strerror or error}", "nothing was changed"
        ) from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
