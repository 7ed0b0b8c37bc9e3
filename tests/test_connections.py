"""Answers as servers give them, byte for byte, and connections that are used again or not."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from engine.language.program import ModelSpec
from engine.models.connections import (
    Answer,
    BrokenOff,
    Connections,
    Disconnected,
    NoHTTP,
    NotConnected,
)
from engine.models.faults import from_exception

BODY = b'{"choices": []}'
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n%b\r\nb\r\n%b\r\n0\r\n\r\n" % (
    BODY[:4],
    BODY[4:],
)
PACKED = gzip.compress(BODY)
ZIPPED = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(PACKED), PACKED)

SPEC = ModelSpec("small", "openai", "m", "https://h/v1", None, {}, {}, {}, 4, 1.0, "auto", None, None, None)

Piece = bytes | float | None  # bytes to send, seconds to wait, None to close


@pytest.fixture(autouse=True, params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs use uvloop where it is, which is C through and through."""
    if request.param == "uvloop":
        runner, uvloop = asyncio.Runner, pytest.importorskip("uvloop")

        def run(main: Any) -> Any:
            with runner(loop_factory=uvloop.new_event_loop) as running:
                return running.run(main)

        monkeypatch.setattr(asyncio, "run", run)
    return str(request.param)


class Server:
    """Answers each request with the next script; counts connections and keeps what came."""

    def __init__(self, scripts: Sequence[Sequence[Piece]]):
        self.scripts = list(scripts)
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0

    async def client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(
                    int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length:")
                )
                self.requests.append(head + await reader.readexactly(size))
                for piece in self.scripts.pop(0) if self.scripts else [PLAIN]:
                    if isinstance(piece, bytes):
                        writer.write(piece)
                        await writer.drain()
                    elif piece is not None:
                        await asyncio.sleep(piece)
                    else:
                        return


@contextlib.asynccontextmanager
async def serving(*scripts: Sequence[Piece], context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server(scripts)
    listening = await asyncio.start_server(server.client, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def opened(server: Server, **settings: Any) -> Connections:
    values = {"headers": {"X-One": "1"}, "connect_timeout": 1.0, "context": None} | settings
    return Connections(URL(f"http://127.0.0.1:{server.port}/v1/chat?a=b"), **values)


def against(*scripts: Sequence[Piece], work: Callable[[Connections, Server], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with serving(*scripts) as server:
            connections = opened(server)
            try:
                return await work(connections, server)
            finally:
                await connections.close()

    return asyncio.run(main())


async def once(connections: Connections, server: Server) -> Answer:
    return await connections.post(b"{}", 2.0)


@pytest.mark.parametrize(
    "script",
    [
        [PLAIN],
        [CHUNKED],
        [ZIPPED],
        [PLAIN[:9], 0.01, PLAIN[9:50], 0.01, PLAIN[50:]],
        [CHUNKED[:60], 0.01, CHUNKED[60:]],
        [b"HTTP/1.1 100 Continue\r\n\r\n", 0.01, PLAIN],
        [b"HTTP/1.1 200 OK\r\n\r\n" + BODY, None],
        [b"HTTP/1.0 200 OK\r\n\r\n" + BODY, None],
        [b"HTTP/1.1 200 OK\nContent-Length: %d\n\n%b" % (len(BODY), BODY)],
    ],
    ids=["length", "chunks", "gzip", "pieces", "chunks in pieces", "100", "until close", "1.0", "bare lines"],
)
def test_answers_are_read_whole(script: Sequence[Piece]) -> None:
    answer = against(script, work=once)
    assert (answer.status, answer.payload) == (200, BODY)


def test_status_and_headers_come_with_it() -> None:
    answer = against([b"HTTP/1.1 429 Slow\r\nretry-after: 3\r\nContent-Length: 2\r\n\r\nno"], work=once)
    assert (answer.status, answer.headers["Retry-After"], answer.payload) == (429, "3", b"no")


def test_an_answer_without_a_body_is_empty() -> None:
    assert against([b"HTTP/1.1 204 No\r\n\r\n"], work=once).payload == b""


def test_the_request_is_what_http_wants() -> None:
    async def work(connections: Connections, server: Server) -> bytes:
        await connections.post(b'{"a": 1}', 2.0)
        return server.requests[0].replace(str(server.port).encode(), b"PORT")

    assert against(work=work) == (
        b'POST /v1/chat?a=b HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX-One: 1\r\nContent-Length: 8\r\n\r\n{"a": 1}'
    )


@pytest.mark.parametrize(
    ("script", "connections"),
    [
        ([PLAIN], 1),
        ([CHUNKED], 1),
        ([ZIPPED], 1),
        ([b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"], 1),
        ([PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)], 2),
        ([b"HTTP/1.1 200 OK\r\n\r\n" + BODY, None], 2),
        ([PLAIN, 0.0, None], 2),
        ([PLAIN + PLAIN], 2),
        ([PLAIN, 0.02, b"unasked"], 2),
    ],
    ids=["length", "chunks", "gzip", "500", "close", "until close", "closed after", "twice", "unasked"],
)
def test_when_a_connection_is_used_again(script: Sequence[Piece], connections: int) -> None:
    async def work(lines: Connections, server: Server) -> int:
        await lines.post(b"{}", 2.0)
        await asyncio.sleep(0.05)
        assert (await lines.post(b"{}", 2.0)).payload == BODY
        return server.connections

    assert against(script, work=work) == connections


def test_an_answer_before_all_was_sent_ends_the_connection() -> None:
    async def main() -> None:
        connections = 0

        async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            await reader.readuntil(b"\r\n\r\n")
            writer.write(PLAIN)
            await writer.drain()
            await asyncio.sleep(0.2)  # the body is not read
            writer.close()

        server = await asyncio.start_server(hasty, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        lines = Connections(URL(f"http://127.0.0.1:{port}/"), {}, 1.0, None)
        for _ in range(2):
            assert (await lines.post(b"x" * 30_000_000, 5.0)).payload == BODY
        assert connections == 2
        await lines.close()
        await asyncio.sleep(0.3)
        server.close()

    asyncio.run(main())


def test_many_at_once_take_a_connection_each_and_keep_them() -> None:
    async def work(connections: Connections, server: Server) -> int:
        for _ in range(3):
            answers = await asyncio.gather(*(connections.post(b"{}", 2.0) for _ in range(20)))
            assert all(answer.payload == BODY for answer in answers)
        return server.connections

    assert against(work=work) == 20


@pytest.mark.parametrize(
    ("script", "error", "says"),
    [
        ([None], Disconnected, "closed the connection without an answer"),
        ([PLAIN[:-3], None], BrokenOff, "broke off in the middle"),
        ([CHUNKED[:-12], None], BrokenOff, "broke off in the middle"),
        ([PLAIN[:20], None], Disconnected, "closed the connection without an answer"),
        ([b"SSH-2.0-OpenSSH\r\n"], NoHTTP, "it does not speak HTTP"),
        ([ZIPPED[:-12] + b"x" * 12], BrokenOff, "broke off in the middle"),
        ([5.0], TimeoutError, "gave no answer within"),
        ([PLAIN[:50], 5.0], TimeoutError, "gave no answer within"),
    ],
    ids=["closed", "cut", "cut in chunks", "cut in the head", "ssh", "bad gzip", "silent", "stuck"],
)
def test_what_goes_wrong_is_told_and_the_connection_is_not_used_again(
    script: Sequence[Piece], error: type[Exception], says: str
) -> None:
    async def work(connections: Connections, server: Server) -> Exception:
        with pytest.raises(error) as caught:
            await connections.post(b"{}", 0.2)
        assert (await connections.post(b"{}", 2.0)).payload == BODY
        assert server.connections == 2
        return caught.value

    problem = against(script, work=work)
    assert says in from_exception(problem, SPEC, "h").message


def test_a_cancelled_call_takes_its_connection_with_it() -> None:
    async def work(connections: Connections, server: Server) -> int:
        task = asyncio.create_task(connections.post(b"{}", 2.0))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await connections.post(b"{}", 2.0)).payload == BODY
        return server.connections

    assert against([0.1, PLAIN], work=work) == 2


def test_nobody_listening_is_told() -> None:
    async def work(connections: Connections, server: Server) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            url = URL(f"http://127.0.0.1:{held.getsockname()[1]}/")
            with pytest.raises(NotConnected) as caught:
                await Connections(url, {}, 1.0, None).post(b"{}", 1.0)
        assert isinstance(caught.value.reason, ConnectionRefusedError)

    against(work=work)


def test_the_second_address_of_a_name_is_tried(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if loop == "uvloop":
        pytest.skip("it asks the system for names without Python")

    async def main() -> None:
        async with serving() as server:
            asked = []

            def addresses(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
                asked.append(host)
                kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
                return [(*kind, ("127.0.0.2", 1)), (*kind, ("127.0.0.1", port))]

            monkeypatch.setattr(socket, "getaddrinfo", addresses)
            connections = Connections(URL(f"http://two.invalid:{server.port}/"), {}, 1.0, None)
            answers = await asyncio.gather(*(connections.post(b"{}", 2.0) for _ in range(5)))
            assert [answer.payload for answer in answers] == [BODY] * 5
            assert asked == ["two.invalid"]  # one look-up for all
            await connections.close()

    asyncio.run(main())


def test_tls_names_and_certificates_are_checked(tmp_path: Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl to make a certificate with")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files],
        check=True,
        capture_output=True,
    )
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))

    async def main() -> None:
        async with serving([CHUNKED], context=served) as server:

            async def ask(host: str, context: ssl.SSLContext) -> Answer:
                connections = Connections(URL(f"https://{host}:{server.port}/"), {}, 2.0, context)
                try:
                    await connections.post(b"{}", 2.0)
                    return await connections.post(b"x" * 100_000, 2.0)
                finally:
                    await connections.close()

            assert (await ask("localhost", trusting)).payload == BODY
            assert server.connections == 1
            for host, context in (("localhost", ssl.create_default_context()), ("127.0.0.1", trusting)):
                with pytest.raises(ssl.SSLCertVerificationError) as caught:
                    await ask(host, context)
                assert "is not trusted" in from_exception(caught.value, SPEC, "h").message

    asyncio.run(main())
