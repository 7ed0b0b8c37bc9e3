"""Kept-alive HTTP/1.1 connections to one origin: a POST of bytes, a whole answer back.

`aiohttp.ClientSession` spends four times as much on a call as all of this, on redirects, cookies,
traces and streams that a call to a model has no use for. A plain answer, one whose head gives its
length and nothing else that matters, is cut out here; any other (chunks, compressed, until the
connection closes, what is no HTTP at all) is read by aiohttp's own parser, which is imported when
the first such answer comes: that import is a fifth of a second. No proxies: `endpoint` goes
through a session for those.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from yarl import URL

KEEP_ALIVE = 60.0  # seconds
NAMES_KEPT = 10.0  # seconds that the addresses of a name are taken to be the same
NEXT_ADDRESS = 0.25  # seconds until the next address of a name is tried beside the first
LONGEST_HEAD = 1 << 16  # bytes of a head that is cut out here
LONGEST_ANSWER = 1 << 30  # bytes

_PLAIN = re.compile(rb"HTTP/1\.1 ([2-5]\d\d)[ \r]")
_TELLING = re.compile(
    rb"\n(content-length|transfer-encoding|content-encoding|connection|upgrade|trailer)[ \t]*:"
    rb"[ \t]*([^\r\n]*?)[ \t]*\r",
    re.IGNORECASE,
)
_FIELD = re.compile(rb"\n([!-9;-~]+):[ \t]*([^\r\n]*?)[ \t]*(?=\r)")
_ODD = re.compile(rb"\n[ \t]|[^\r]\n|\r[^\n]|\0")  # folded lines and lone breaks: for the parser


class ConnectionProblem(ConnectionError):
    """Why there is no answer. Base of the others."""


class NotConnected(ConnectionProblem):
    """No connection came about; `reason` is what the system said."""

    def __init__(self, reason: OSError):
        super().__init__(str(reason))
        self.reason = reason


class ConnectTimeout(ConnectionProblem):
    """No connection came about in time."""


class Disconnected(ConnectionProblem):
    """The connection ended before the answer began."""


class BrokenOff(ConnectionProblem):
    """The answer began and did not come to its end, or its body cannot be unpacked."""


class NoHTTP(ConnectionProblem):
    """What came is no answer of HTTP."""


class SessionProblem(ConnectionProblem):
    """What went wrong in a session of aiohttp's; `reason` is its exception."""

    def __init__(self, reason: Exception):
        super().__init__(str(reason))
        self.reason = reason


class NoAddress(ValueError):
    """The address is none that HTTP goes to."""


@dataclass(slots=True)
class Answer:
    """What came back: the status, the headers, the whole body."""

    status: int
    headers: Mapping[str, str]
    payload: bytes


class Connections:
    """The connections to one address. Belongs to one event loop.

    `headers` go with every request; their values must be free of line breaks. `connected` is told
    how many seconds each connection took to come about.
    """

    def __init__(
        self,
        url: URL,
        headers: Mapping[str, str],
        connect_timeout: float,
        context: ssl.SSLContext | None,
        connected: Callable[[float], None] = lambda seconds: None,
    ):
        if url.scheme not in ("http", "https") or not url.host or url.port is None:
            raise NoAddress(str(url))
        self._host, self._port = url.raw_host or "", url.port
        self._context = context
        self._connect_timeout = connect_timeout
        self._connected = connected
        lines = [f"POST {url.raw_path_qs} HTTP/1.1", f"Host: {url.host_port_subcomponent}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._head = ("\r\n".join(lines) + "\r\nContent-Length: ").encode("latin-1")
        self._idle: list[_Connection] = []  # the latest used is the last
        self._names: asyncio.Task[list[Any]] | None = None
        self._names_at = 0.0

    async def post(self, payload: bytes, patience: float) -> Answer:
        """Send, and wait for the whole answer, `patience` seconds for all of it.

        Raises a `ConnectionProblem`; `socket.gaierror` or `ssl.SSLError` where no connection came
        about; `TimeoutError` where the answer did not come in time.
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
                begun = time.monotonic()
                connection = await self._open()
                self._connected(time.monotonic() - begun)
                return connection
        except TimeoutError as problem:
            if isinstance(problem, OSError) and problem.errno is not None:  # the system's own
                raise NotConnected(problem) from None
            raise ConnectTimeout(f"no connection within {limit:g} s") from None
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
        import aiohappyeyeballs

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
        self._answer: asyncio.Future[Answer] | None = None
        self._came = b""  # of the answer, while it is taken to be a plain one
        self._size = 0  # bytes of it, head and body, once that is known
        self._parser: _Parser | None = None  # reads the answer where it is not plain
        self._spent = False
        self.idle_since = 0.0

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
            if self._transport is not None and self._transport.get_write_buffer_size():
                self._spent = True  # answered before all was sent: the rest would be the next request's start
            self._answer = self._parser = None
            self._came, self._size = b"", 0

    def close(self) -> None:
        """Let go of it when what was written is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Let go of it now."""
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio's protocol --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():  # said without being asked
            self._spent = True
            self.abort()
            return
        if self._parser is not None:
            self._parse(data)
            return
        self._came = data = self._came + data if self._came else data
        if self._size:
            if len(data) >= self._size:
                self._plain(data)
            return
        end = data.find(b"\r\n\r\n")
        if end < 0:
            odd = not b"HTTP/1.1 ".startswith(data[:9]) or b"\n\n" in data
            if odd or len(data) > LONGEST_HEAD:
                self._hand_over()
            return
        length = _plain_length(data[: end + 2])
        if length is None:
            self._hand_over()
            return
        self._size = end + 4 + length
        if len(data) >= self._size:
            self._plain(data)

    def connection_lost(self, problem: Exception | None) -> None:
        self._spent = True
        self._transport = None
        if self._answer is None or self._answer.done():
            return
        if self._parser is not None:
            try:
                self._found(self._parser.end())
            except ConnectionProblem as cut:
                self._fail(cut)
        elif b"\r\n\r\n" in self._came:
            self._fail(BrokenOff("the connection closed in the middle of the answer"))
        elif isinstance(problem, ssl.SSLError):
            self._fail(problem)
        else:
            self._fail(Disconnected(str(problem or "")))

    # -- the answer ----------------------------------------------------------------------------

    def _plain(self, data: bytes) -> None:
        end = data.index(b"\r\n\r\n")
        if len(data) > self._size:  # it says more than it was asked
            self._spent = True
        payload = data[end + 4 : self._size]
        self._found(Answer(int(data[9:12]), _Headers(data[: end + 2]), payload))

    def _hand_over(self) -> None:
        """Not a plain answer: all of it goes to aiohttp's parser."""
        self._parser = _Parser(self._loop)
        came, self._came = self._came, b""
        self._parse(came)

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            answer = self._parser.feed(data)
        except ConnectionProblem as problem:
            self._fail(problem)
            return
        if answer is not None:
            self._spent = self._spent or self._parser.last
            self._found(answer)

    def _found(self, answer: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _fail(self, problem: BaseException) -> None:
        self._spent = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(problem)
        self.abort()

    def _too_late(self) -> None:
        self._fail(TimeoutError())


def _plain_length(head: bytes) -> int | None:
    """The length of the body where nothing else in the head matters; None for an answer to be parsed."""
    status = _PLAIN.match(head)
    if status is None or status[1] in (b"204", b"304") or _ODD.search(head):
        return None
    length: int | None = None
    for name, value in _TELLING.findall(head):
        match name.lower():
            case b"content-length" if length is None and value.isdigit() and len(value) < 10:
                length = int(value)
            case b"connection" if value.lower() == b"keep-alive":
                continue
            case _:
                return None
    return length


class _Headers(Mapping[str, str]):
    """The fields of a plain head, looked through when somebody asks. Names without case."""

    __slots__ = ("_fields", "_head")

    def __init__(self, head: bytes):
        self._head = head
        self._fields: dict[str, str] | None = None

    def _all(self) -> dict[str, str]:
        if self._fields is None:
            found = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._pairs())
            self._fields = {name.lower(): value for name, value in found}
        return self._fields

    def _pairs(self) -> list[tuple[bytes, bytes]]:
        return _FIELD.findall(self._head)

    def __getitem__(self, name: str) -> str:
        return self._all()[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


class _Parser:
    """aiohttp's parser, reading one answer. It also stands for the protocol that the parser expects."""

    _reading_paused = False

    def __init__(self, loop: asyncio.AbstractEventLoop):
        import aiohttp
        from aiohttp.http import HttpProcessingError, HttpResponseParser

        self._errors = HttpProcessingError
        self._message: Any = None
        self._body: Any = None
        self.last = False  # no further answer can come on this connection
        self._parser = HttpResponseParser(
            self,  # type: ignore[arg-type]
            loop,
            LONGEST_ANSWER,
            payload_exception=aiohttp.ClientPayloadError,
            read_until_eof=True,
        )

    def feed(self, data: bytes) -> Answer | None:
        """The answer, once all of it has come."""
        try:
            messages, upgraded, tail = self._parser.feed_data(data)
        except self._errors as problem:
            raise NoHTTP(f"it does not speak HTTP: {problem.message}") from None
        for message, body in messages:
            if 100 <= message.code < 200 and not upgraded:
                continue  # the answer itself is still to come
            if self._message is not None:  # two answers to one request
                self.last = True
                break
            self._message, self._body = message, body
            self.last = self.last or message.should_close or upgraded
        self.last = self.last or bool(tail)
        return self._answer()

    def end(self) -> Answer:
        """The answer, where the end of the connection is its end."""
        try:
            self._parser.feed_eof()
        except Exception as problem:
            raise BrokenOff(str(problem)) from None
        answer = self._answer()
        if answer is not None:
            return answer
        if self._message is not None:
            raise BrokenOff("the connection closed in the middle of the answer")
        raise Disconnected("")

    def _answer(self) -> Answer | None:
        if self._body is None:
            return None
        problem = self._body.exception()
        if problem is not None:
            raise BrokenOff(str(problem))
        if not self._body.is_eof():
            return None
        return Answer(self._message.code, self._message.headers, self._body.read_nowait(-1) or b"")

    # -- what the parser and its streams ask of a protocol: nothing is ever held up ------------

    def pause_reading(self) -> None:
        """Never: a whole answer is read at once."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Nothing was held up."""
