"""Model folders: where one is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from engine.training.faults import NotTrained

HUB = re.compile(r"[\w.-]+/[\w.-]+")


def find(start: str, folders: Sequence[Path], fetch: bool = False) -> Path:
    """The folder of a model: a path, looked for in `folders`, or a name at the hub.

    What lies in the hub's cache is taken from there; with `fetch`, what does not is downloaded.
    Raises `NotTrained`.
    """
    for folder in folders:
        found = folder / start
        if found.is_dir():
            if not (found / "config.json").is_file() and not (found / "adapter_config.json").is_file():
                raise NotTrained(f"{found} is no model: it has no config.json", "give a folder that has one")
            return found.resolve()
    if not HUB.fullmatch(start):
        raise NotTrained(f"there is no model at {start}", "give a folder, or a name at the hub as owner/name")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = ["*.json", "*.jinja", "*.safetensors", "tokenizer*"]
    try:
        return Path(snapshot_download(start, local_files_only=not fetch, allow_patterns=patterns)).resolve()
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        if not fetch:
            raise NotTrained(f"{start} is not on this machine yet", "`atk exec` fetches it") from error
        message = f"{start} is neither a folder nor to be had from the hub: {str(error).splitlines()[0]}"
        raise NotTrained(
            message, "give a folder, or see that the hub is reached and the name is right"
        ) from error
