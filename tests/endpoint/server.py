"""The server: HTTP/1.1 by hand on asyncio, since it must be far quicker than what it measures.

POST /v1/chat/completions   a completion
POST /v1/embeddings         a vector of the words in the text
GET  /v1/models             the configured names
GET  /stats                 the counters
GET  /requests              the latest requests as they came, with their headers
POST /config                change settings; `/reset` changes them too, and zeroes the counters
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import orjson

from engine.models.vectors import of_words
from tests.endpoint.completion import Completions, Result, error
from tests.endpoint.config import Config
from tests.endpoint.counters import Counters

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}
LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
AUTHORIZATION = re.compile(rb"authorization:\s*(.*)", re.IGNORECASE)


def packed(result: Result) -> bytes:
    """An answer as it goes over the wire."""
    reason = REASONS.get(result.status, "Status")
    extra = "".join(f"{name}: {value}\r\n" for name, value in result.headers.items())
    head = f"HTTP/1.1 {result.status} {reason}\r\nContent-Type: {result.form}\r\n{extra}"
    return f"{head}Content-Length: {len(result.body)}\r\n\r\n".encode() + result.body


class Service:
    """What all connections share."""

    def __init__(self, config: Config):
        self.config = config
        self.counters = Counters(config.record)
        self.completions = Completions(config, self.counters)

    def reset(self) -> None:
        """Zero the counters; the settings stay."""
        old = self.counters
        self.counters = Counters(self.config.record, old.in_flight, old.open_connections)
        self.completions = Completions(self.config, self.counters)

    def aside(self, method: bytes, path: str, body: bytes) -> Result:
        """Everything but completions."""
        self.counters.by_path[path] += 1
        match method, path:
            case b"GET", "/v1/models":
                names = self.config.models or ["mock"]
                data = [{"id": name, "object": "model", "created": 1, "owned_by": "mock"} for name in names]
                return Result(200, orjson.dumps({"object": "list", "data": data}))
            case b"POST", "/v1/embeddings":
                asked = orjson.loads(body)
                used = {"prompt_tokens": len(asked["input"]) // 4 + 1, "total_tokens": 0}
                made = [{"object": "embedding", "index": 0, "embedding": of_words(asked["input"])}]
                return Result(200, orjson.dumps({"object": "list", "data": made, "usage": used}))
            case b"GET", "/stats":
                return Result(200, orjson.dumps(self.counters.as_dict()))
            case b"GET", "/requests":
                return Result(200, orjson.dumps(list(self.counters.requests)))
            case b"POST", "/config" | "/reset":
                try:
                    self.config.change(orjson.loads(body) if body else {})
                except (KeyError, TypeError, ValueError, re.error) as problem:
                    return error(400, f"not a setting: {problem}")
                if path == "/reset":
                    self.reset()
                else:
                    self.completions.configured()
                return Result(200, b"{}")
        return error(404, f"no such path: {path}")


class Connection(asyncio.Protocol):
    """One client. Requests on one connection are answered one after the other."""

    def __init__(self, service: Service):
        self.service = service
        self.buffer = bytearray()
        self.transport: asyncio.Transport | None = None
        self.last = False  # the client wants no more of this connection
        self.gone = False
        self.hanging = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]
        self.service.counters.connections += 1
        self.service.counters.open_connections += 1

    def connection_lost(self, problem: Exception | None) -> None:
        self.gone = True
        self.service.counters.open_connections -= 1
        self.service.counters.in_flight -= self.hanging

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end])
            length = LENGTH.search(head)
            size = int(length[1]) if length else 0
            if len(self.buffer) < end + 4 + size:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + size])
            del self.buffer[: end + 4 + size]
            self.handle(head, body)

    def handle(self, head: bytes, body: bytes) -> None:
        method, target, _ = head.split(b" ", 2)
        self.last = CLOSE.search(head) is not None
        path = target.split(b"?", 1)[0].decode("latin-1")
        if method == b"POST" and path == "/v1/chat/completions":
            self.complete(head, body)
        else:
            self.write(packed(self.service.aside(method, path, body)))

    def complete(self, head: bytes, body: bytes) -> None:
        counters = self.service.counters
        counters.arrived()
        found = AUTHORIZATION.search(head)
        authorization = found[1].strip().decode("latin-1") if found else ""
        result = self.service.completions.answer(body, authorization, time.monotonic())
        if result.fate == "hang":
            self.hanging += 1
            return
        if result.delay > 0:
            asyncio.get_running_loop().call_later(result.delay, self.finish, result, counters)
        else:
            self.finish(result, counters)

    def finish(self, result: Result, counters: Counters) -> None:
        if counters is not self.service.counters:  # reset while it was under way
            self.service.counters.in_flight -= 1
        counters.left(result.status, result.request, not self.gone and result.fate is None)
        if self.gone or self.transport is None:
            return
        if result.fate == "drop":
            self.transport.abort()
        elif result.fate == "truncate":
            whole = packed(result)
            self.transport.write(whole[: len(whole) - len(result.body) // 2])
            self.transport.close()
        else:
            self.write(packed(result))

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)
            if self.last:
                self.transport.close()


async def serve(config: Config, port: int, announce: Any) -> None:
    """Serve on the loopback until cancelled; `announce` is called with the port."""
    service = Service(config)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", port, backlog=8_192)
    announce(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()
