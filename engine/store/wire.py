"""How a reader and a running engine speak over a unix socket: where it is, and its frames.

A request is one frame `Q` of JSON (`sql`, `graph`, `limit`). The answer is `H` (JSON: columns and
DuckDB types), any number of `D` (an Arrow IPC stream, cut anywhere) and `Z`; or, at any point, `E`
(JSON: message, help). A frame is its letter, the length as four bytes, and the content.
"""

from __future__ import annotations

import hashlib
import os
import socket
import struct
import tempfile
from pathlib import Path

QUERY, HEAD, DATA, END, ERROR = b"Q", b"H", b"D", b"Z", b"E"
MOST = 64 << 20  # bytes in a frame; a longer one is no frame of ours

_LONGEST = 100  # bytes of a socket's path; the systems allow 104 to 108
_head = struct.Struct(">cI")


class Gone(Exception):
    """The other side has hung up."""


def socket_path(store: Path) -> Path:
    """Beside the store; where that path is too long for a socket, in a private temporary folder."""
    beside = store.resolve().with_suffix(".sock")
    if len(os.fsencode(beside)) <= _LONGEST:
        return beside
    name = hashlib.sha256(os.fsencode(beside)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"atk-{os.getuid()}" / f"{name}.sock"


def send(link: socket.socket, letter: bytes, content: bytes | memoryview = b"") -> None:
    """Send one frame. Raises `Gone`, also where the other side takes nothing for too long."""
    try:
        link.sendall(_head.pack(letter, len(content)))
        if content:
            link.sendall(content)
    except OSError:
        raise Gone from None


def receive(link: socket.socket) -> tuple[bytes, bytes]:
    """The next frame. Raises `Gone` at the end, or for what is no frame."""
    letter, length = _head.unpack(_exactly(link, _head.size))
    if length > MOST:
        raise Gone
    return letter, _exactly(link, length)


def _exactly(link: socket.socket, length: int) -> bytes:
    out = bytearray()
    while len(out) < length:
        try:
            part = link.recv(min(length - len(out), 1 << 20))
        except OSError:
            raise Gone from None
        if not part:
            raise Gone
        out += part
    return bytes(out)
