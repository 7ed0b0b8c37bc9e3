"""`atk lsp`: the language server, for an editor to start."""

from __future__ import annotations

from engine.commands._errors import CommandError
from engine.commands._options import Debug


def lsp(debug: Debug = False) -> None:
    """Serve an editor over stdin and stdout: the language server."""
    try:
        from engine.editor.server import server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("pygls", "lsprotocol"):
            raise
        raise CommandError(
            "the language server needs the extra `editor`", "pip install 'atk[editor]'"
        ) from None
    server.start_io()
