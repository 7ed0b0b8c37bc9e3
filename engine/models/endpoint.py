"""One HTTP endpoint: its address, its connections, its key, its limits.

Sends bytes and gives bytes back. Knows nothing of messages, types or replies, and is the only
place that ever holds a key; models of a graph that ask the same endpoint share one of these.
"""

from __future__ import annotations

import base64
import ssl
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib import request

from yarl import URL

from engine.language.program import ModelSpec
from engine.models.connections import KEEP_ALIVE, Answer, Connections, SessionProblem
from engine.models.faults import Failure
from engine.models.limits import Limits
from engine.models.streaming import Heard, streamed, whole

if TYPE_CHECKING:
    import aiohttp

CONNECT_TIMEOUT = 10.0  # seconds
LIST_TIMEOUT = 5.0  # seconds, for the list of models, which only makes a message better
FILES_BESIDE = 512  # open files that are not connections: the store, documents, the process's own
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class NoKey(Exception):
    """The environment does not hold the key that the model names."""

    def __init__(self, failure: Failure):
        super().__init__(failure.message)
        self.failure = failure


def normalised(base_url: str) -> URL:
    """The address that calls are counted under: no credentials, no trailing slash, no default port.

    A base_url that was copied with `/chat/completions` at its end means the part before it.
    """
    url = URL(base_url.strip())
    path = url.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return url.with_user(None).with_path(path or "/").with_query(url.query) if url.host else url


class Endpoint:
    """Connections to one base_url, for one key.

    `users` counts the models that share it: the last one to close it gives the connections
    back. It can be used again afterwards.
    """

    def __init__(self, spec: ModelSpec, environment: Mapping[str, str]):
        base = URL((spec.base_url or "").strip())
        self.url = normalised(spec.base_url or "")
        self.chat = self._under("chat/completions")
        self.embeddings = self._under("embeddings")
        self.models = self._under("models")
        self.host = self.url.host_port_subcomponent or str(self.url)
        self.limits = Limits(spec.parallel, spec.rpm, spec.tpm)
        self.takes_schema: bool | None = None
        self.users = 0
        self._spec = spec
        self._environment = environment
        self._login = (base.user, base.password or "") if base.user else None
        self._session: aiohttp.ClientSession | None = None
        self._connections: Connections | None = None
        self._proxy = proxy_of(self.url, environment)
        self._headers: dict[str, str] | None = None
        self._hidden: tuple[bytes, ...] = ()
        self._hidden_always: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"Endpoint({self.url})"

    async def post(self, payload: bytes, patience: float) -> Answer:
        """Send a request for a completion; `patience` is seconds for all of it.

        Raises `NoKey`, and what `Connections.post` raises.
        """
        if self._proxy is not None:
            return await self._through_session("POST", self.chat, payload, patience)
        connections = self._connections or self._connect()
        answer = await connections.post(payload, patience)
        return self._blanked(answer) if self._hidden_always or answer.status != 200 else answer

    async def post_text(self, payload: bytes, patience: float) -> Answer:
        """Send a request for a vector. Raises as `post` does."""
        return await self._through_session("POST", self.embeddings, payload, patience)

    async def get_models(self) -> Answer:
        """Ask for the list of models. Raises as `post` does."""
        return await self._through_session("GET", self.models, None, LIST_TIMEOUT)

    async def stream(self, payload: bytes, patience: float, heard: Heard) -> Answer:
        """Send a request for a completion, and tell its text as it comes; the answer is the whole.

        `patience` is seconds until the next piece. Some endpoints stream, but do not know how to be
        asked for the tokens; others do not stream. Raises as `post` does.
        """
        answer = await self._streamed(streamed(payload, with_usage=True), patience, heard)
        if answer.status == 400 and b"stream_options" in answer.payload:
            answer = await self._streamed(streamed(payload, with_usage=False), patience, heard)
        return self._blanked(answer)

    async def _streamed(self, payload: bytes, patience: float, heard: Heard) -> Answer:
        import aiohttp

        session = self._session or self._open()
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=min(CONNECT_TIMEOUT, patience), sock_read=patience
        )
        try:
            async with session.post(self.chat, data=payload, timeout=limits, allow_redirects=False) as came:
                if came.status == 200 and came.content_type == "text/event-stream":
                    return Answer(came.status, came.headers, await whole(came.content, heard))
                return Answer(came.status, came.headers, await came.read())
        except aiohttp.ClientError as problem:
            raise SessionProblem(problem) from None

    async def _through_session(self, method: str, url: URL, payload: bytes | None, patience: float) -> Answer:
        """Through aiohttp's session, which knows proxies. Raises `SessionProblem`, and as `post` does."""
        import aiohttp

        session = self._session or self._open()
        limits = aiohttp.ClientTimeout(total=patience, sock_connect=min(CONNECT_TIMEOUT, patience))
        try:
            async with session.request(
                method, url, data=payload, timeout=limits, allow_redirects=False
            ) as came:
                return self._blanked(Answer(came.status, came.headers, await came.read()))
        except aiohttp.ClientError as problem:
            raise SessionProblem(problem) from None

    async def close(self) -> None:
        """One user less; the last one closes the connections."""
        self.users -= 1
        if self.users > 0:
            return
        session, self._session = self._session, None
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.close()
        if session is not None:
            await session.close()

    def _under(self, path: str) -> URL:
        return self.url.with_path(f"{self.url.path.rstrip('/')}/{path}").with_query(self.url.query)

    def _connect(self) -> Connections:
        context = certificates() if self.url.scheme == "https" else None
        headers = self._sent_headers()
        self._connections = Connections(self.chat, headers, CONNECT_TIMEOUT, context, self.limits.connected)
        return self._connections

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=KEEP_ALIVE,
                ssl=certificates() if self.url.scheme == "https" else True,
            ),
            headers=self._sent_headers(),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=self._proxy,
        )
        return self._session

    def _sent_headers(self) -> dict[str, str]:
        """The headers of every request, the key among them."""
        if self._headers is not None:
            return self._headers
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "atk"}
        hidden: list[str] = []
        if self._spec.secret is not None:
            key = self._key(self._spec.secret)
            headers["Authorization"] = f"Bearer {key}"
            hidden.append(key)
        elif self._login is not None:
            login = base64.b64encode(":".join(self._login).encode()).decode()
            headers["Authorization"] = f"Basic {login}"
            hidden += [self._login[1], login]
        # A short word such as "EMPTY" stands for no key at many local servers, and may well
        # stand in a reply by itself: replies are data, and only long keys are taken out there.
        self._hidden = tuple(word.encode() for word in hidden if len(word) >= 4)
        self._hidden_always = tuple(word for word in self._hidden if len(word) >= 16)
        raise_file_limit(self._spec.parallel + FILES_BESIDE)
        self._headers = headers
        return headers

    def _key(self, name: str) -> str:
        key = self._environment.get(name, "").strip()
        if not key:
            message = f"no key for {self.host}: {name} is not set in the environment. Set it to your key."
            raise NoKey(Failure("authentication", message))
        if not key.isascii() or not key.isprintable():
            message = f"the key in {name} has characters that no key has: was it copied whole?"
            raise NoKey(Failure("authentication", message))
        return key

    def _blanked(self, answer: Answer) -> Answer:
        """The answer without the key, should the endpoint repeat it."""
        payload = answer.payload
        for word in self._hidden_always if answer.status == 200 else self._hidden:
            if word in payload:
                payload = payload.replace(word, b"***")
        return answer if payload is answer.payload else Answer(answer.status, answer.headers, payload)


def proxy_of(url: URL, environment: Mapping[str, str]) -> str | None:
    """The proxy that the environment names for an address, if any.

    Looked up once: aiohttp's `trust_env` does it for every request. A proxy cannot reach this
    machine's own loopback, so that none is used for it.
    """
    host = url.host or ""
    name = f"{url.scheme}_proxy"
    proxy = environment.get(name) or environment.get(name.upper())
    if not proxy or host in LOOPBACK:
        return None
    spared = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if request.proxy_bypass_environment(host, {"no": spared}):  # type: ignore[attr-defined]
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def certificates() -> ssl.SSLContext:
    """The system's certificates; certifi's where the system has none and certifi is there."""
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        try:
            import certifi
        except ImportError:
            pass
        else:
            return ssl.create_default_context(cafile=certifi.where())
    return ssl.create_default_context()


def raise_file_limit(wanted: int) -> None:
    """Let this process open as many files as it may, where the limit is below `wanted`."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):  # some systems name a hard limit that they do not grant
            return
