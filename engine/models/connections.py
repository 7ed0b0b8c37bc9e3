"""Kept-alive HTTP/1.1 connections to one origin: a POST of bytes, a whole answer back.

`aiohttp.ClientSession` spends four times as much on a call as all of this, on redirects, cookies,
traces and streams that a call to a model has no use for. Answers are read by aiohttp's own parser,
so that chunks, compressed bodies and what servers do wrong are its affair. No proxies: `endpoint`
goes through a session for those.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohappyeyeballs
import aiohttp
from aiohttp.http import HttpProcessingError, HttpResponseParser
from yarl import URL

KEEP_ALIVE = 60.0  # seconds
NAMES_KEPT = 10.0  # seconds that the addresses of a name are taken to be the same
NEXT_ADDRESS = 0.25  # seconds until the next address of a name is tried beside the first
LONGEST_ANSWER = 1 << 30  # bytes


class NotConnected(ConnectionError):
    """No connection came about; `reason` is what the system said."""

    def __init__(self, reason: OSError):
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the headers, the whole body."""

    status: int
    headers: Mapping[str, str]
    payload: bytes


class Connections:
    """The connections to one address. Belongs to one event loop.

    `headers` go with every request; their values must be free of line breaks.
    """

    def __init__(
        self, url: URL, headers: Mapping[str, str], connect_timeout: float, context: ssl.SSLContext | None
    ):
        if url.scheme not in ("http", "https") or not url.host or url.port is None:
            raise aiohttp.InvalidURL(url)
        self._host, self._port = url.raw_host or "", url.port
        self._context = context
        self._connect_timeout = connect_timeout
        lines = [f"POST {url.raw_path_qs} HTTP/1.1", f"Host: {url.host_port_subcomponent}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._head = ("\r\n".join(lines) + "\r\nContent-Length: ").encode("latin-1")
        self._idle: list[_Connection] = []  # the latest used is the last
        self._names: asyncio.Task[list[Any]] | None = None
        self._names_at = 0.0

    async def post(self, payload: bytes, patience: float) -> Answer:
        """Send, and wait for the whole answer, `patience` seconds for all of it.

        Raises `NotConnected`, `socket.gaierror` or `ssl.SSLError` where no connection came about,
        `aiohttp.ConnectionTimeoutError` and `TimeoutError`, and otherwise what aiohttp raises for
        an answer that breaks off or is no HTTP.
        """
        deadline = asyncio.get_running_loop().time() + patience
        connection = self._take() or await self._connect(patience)
        done = False
        try:
            answer = await connection.exchange(
                b"%b%d\r\n\r\n%b" % (self._head, len(payload), payload), deadline
            )
            done = True
            return answer
        finally:
            if done and connection.reusable:
                connection.idle_since = time.monotonic()
                self._idle.append(connection)
            else:
                connection.abort()

    async def close(self) -> None:
        """Close those that are idle; those under way are closed by whoever uses them."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        if self._names is not None:
            self._names.cancel()
        await asyncio.sleep(0)  # lets the transports go

    def _take(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                if time.monotonic() - connection.idle_since < KEEP_ALIVE:
                    return connection
                connection.close()
        return None

    async def _connect(self, patience: float) -> _Connection:
        limit = min(self._connect_timeout, patience)
        try:
            async with asyncio.timeout(limit):
                return await self._open()
        except TimeoutError as problem:
            if isinstance(problem, OSError) and problem.errno is not None:  # the system's own
                raise NotConnected(problem) from None
            raise aiohttp.ConnectionTimeoutError(f"no connection within {limit:g} s") from None
        except (ssl.SSLError, socket.gaierror):
            raise
        except OSError as problem:
            raise NotConnected(problem) from problem

    async def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        found = await self._addresses(loop)
        named: dict[str, Any] = {"ssl": self._context}
        if self._context is not None:
            named["server_hostname"] = self._host
        if len(found) == 1:
            _, connection = await loop.create_connection(
                lambda: _Connection(loop), found[0][4][0], self._port, family=found[0][0], **named
            )
            return connection
        opened = await aiohappyeyeballs.start_connection(
            found, happy_eyeballs_delay=NEXT_ADDRESS, interleave=1, loop=loop
        )
        try:
            _, connection = await loop.create_connection(lambda: _Connection(loop), sock=opened, **named)
        except BaseException:
            opened.close()
            raise
        return connection

    async def _addresses(self, loop: asyncio.AbstractEventLoop) -> list[Any]:
        """Where the name leads; many that ask at once share one look-up."""
        if self._names is None or (self._names.done() and time.monotonic() - self._names_at > NAMES_KEPT):
            look_up = loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self._names = loop.create_task(_all_of(look_up))
            self._names_at = time.monotonic()
        names = self._names
        try:
            return await asyncio.shield(names)
        except BaseException:
            if names.done() and self._names is names:
                self._names = None  # a name that was not known may be known the next time
            raise


async def _all_of(look_up: Any) -> list[Any]:
    found: list[Any] = await look_up
    return found


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._answer: asyncio.Future[Answer] | None = None
        self._message: Any = None  # status line and headers of the answer that is coming
        self._body: Any = None
        self._spent = False
        self.idle_since = 0.0
        # What aiohttp's stream of a body asks of a protocol: nothing is ever held up.
        self._reading_paused = False

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent."""
        return not self._spent and self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes, deadline: float) -> Answer:
        """Send a request and wait for its answer until `deadline`, in the loop's time."""
        assert self._transport is not None
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answer = answer
        timer = self._loop.call_at(deadline, self._too_late)
        self._transport.write(request)
        try:
            return await answer
        finally:
            timer.cancel()
            self._answer = self._message = self._body = None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio's protocol --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._parser = HttpResponseParser(
            self,  # type: ignore[arg-type]
            self._loop,
            LONGEST_ANSWER,
            payload_exception=aiohttp.ClientPayloadError,
            read_until_eof=True,
        )

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():  # said without being asked
            self._spent = True
            self.abort()
            return
        try:
            messages, upgraded, _ = self._parser.feed_data(data)
        except Exception as problem:
            self._fail(problem)
            return
        for message, body in messages:
            if 100 <= message.code < 200 and not upgraded:
                continue  # the answer itself is still to come
            if self._message is not None:  # two answers to one request
                self._spent = True
                break
            self._message, self._body = message, body
            self._spent = self._spent or message.should_close or upgraded
        self._look()

    def eof_received(self) -> None:
        return None

    def connection_lost(self, problem: Exception | None) -> None:
        self._spent = True
        self._transport = None
        if self._answer is None or self._answer.done():
            return
        try:
            self._parser.feed_eof()
        except Exception as cut:
            self._fail(aiohttp.ClientPayloadError(str(cut)))
            return
        self._look()
        if self._answer.done():
            return
        if self._message is not None:
            self._fail(aiohttp.ClientPayloadError("the connection closed in the middle of the answer"))
        elif isinstance(problem, ssl.SSLError):
            self._fail(problem)
        elif isinstance(problem, OSError):
            self._fail(aiohttp.ClientOSError(*problem.args))
        else:
            self._fail(aiohttp.ServerDisconnectedError())

    # -- the answer ----------------------------------------------------------------------------

    def _look(self) -> None:
        """Hand the answer over when all of it is here."""
        body = self._body
        if body is None or self._answer is None or self._answer.done():
            return
        problem = body.exception()
        if problem is not None:
            self._fail(problem)
        elif body.is_eof():
            self._answer.set_result(
                Answer(self._message.code, self._message.headers, body.read_nowait(-1) or b"")
            )

    def _fail(self, problem: BaseException) -> None:
        self._spent = True
        if isinstance(problem, HttpProcessingError):
            problem = aiohttp.ClientConnectionError(f"the answer is no HTTP: {problem.message}")
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(problem)
        self.abort()

    def _too_late(self) -> None:
        self._fail(TimeoutError())

    # -- what aiohttp's parser and streams ask of a protocol -----------------------------------

    def pause_reading(self) -> None:
        """Never: a whole answer is read at once."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Nothing was held up."""

    def start_timeout(self) -> None:
        """`exchange` has a timer for all of it."""
