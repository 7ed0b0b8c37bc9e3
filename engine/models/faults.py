"""What an endpoint's bad answers and broken connections mean, in one clear line each.

Sorts status codes and exceptions into the faults of `engine.models.base`, and says which are
worth another try and when. Sends nothing, waits for nothing and holds no key.
"""

from __future__ import annotations

import email.utils
import math
import random
import re
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

import orjson

from engine.frozen import dataclass
from engine.language.program import ModelSpec
from engine.models.base import Fault
from engine.models.connections import (
    BrokenOff,
    ConnectTimeout,
    NoAddress,
    NoHTTP,
    NotConnected,
    SessionProblem,
)

LONGEST_WAIT = 300.0  # seconds; an endpoint that asks for more is not waited for
LIMITED_FOR = 900.0  # seconds that one call may spend on being told to slow down
TRIES: Mapping[Fault, int] = {"transport": 5, "server": 5, "timeout": 3}
FIRST_PAUSE = 0.25  # seconds; doubles with each try: five tries take less than four seconds
LONGEST_PAUSE = 30.0
PATIENCE = 60.0  # seconds that an endpoint which did answer may be out of reach, before it is given up
LONGEST_MESSAGE = 300

TOO_LONG = re.compile(
    r"context[ _-]?(length|window|size)|maximum context|max_model_len|too many tokens"
    r"|(prompt|input|request) (is |has )?too (long|large|many)|reduce the length|longer than the maximum",
    re.IGNORECASE,
)
NO_CREDIT = re.compile(
    r"insufficient[ _](quota|balance|credits?|funds)|exceeded your current quota|out of credits?"
    r"|payment required",
    re.IGNORECASE,
)
NO_MODEL = re.compile(
    r"model_not_found|(unknown|invalid|unsupported|no such) model|model\b.{0,200}?\b(does not exist|not found"
    r"|doesn't exist|is not available|not supported|is not a valid)|no (model|endpoints found)",
    re.IGNORECASE | re.DOTALL,
)
NO_SCHEMA = re.compile(
    r"response[ _]?format|json[ _]?schema|structured|guided|grammar|\bschema\b|requested parameters",
    re.IGNORECASE,
)
TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)  # for its rate at all: waiting is in vain
FILTERED = re.compile(r"content_filter|content_policy_violation|content management policy", re.IGNORECASE)
MASKED = re.compile(r"[\w-]*\*{2,}[\w*-]*")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer. `wait` is what the endpoint asked for, in seconds."""

    fault: Fault
    message: str
    retry: bool = False
    wait: float | None = None
    slow_down: bool = False  # too much was asked of it: 429, 503, 529
    refuses_schema: bool = False  # it may be `response_format` that it does not take
    unknown_model: bool = False
    filtered: bool = False  # declined by a filter before the model saw it


@dataclass(slots=True)
class Retries:
    """How often one call has been tried, and whether it is worth another try.

    Being told to slow down does not count towards the few tries of a fault, but is bounded in
    time: a quota that is gone for the day must not hold a run for ever.
    """

    failed: int = 0
    slowed: int = 0
    limited_since: float | None = None

    def pause(self, failure: Failure, lost: float | None = None) -> float | None:
        """Seconds until the next try; None when there should be none.

        `lost`: for how many seconds an endpoint that did answer has not been reached. It may well
        come back: a server that is started anew, a network that is gone for a moment.
        """
        if not failure.retry:
            return None
        if failure.fault == "limited":
            self.slowed += 1
            now = time.monotonic()
            self.limited_since = now if self.limited_since is None else self.limited_since
            if now - self.limited_since > LIMITED_FOR:
                return None
            # The limits hold everyone back until `wait` is over, this call among them.
            return 0.0 if failure.wait is not None else _backoff(self.slowed + 1)
        self.failed += 1
        if failure.fault == "transport" and lost is not None:
            if lost > PATIENCE:
                return None
        elif self.failed >= TRIES.get(failure.fault, 1):
            return None
        return 0.0 if failure.wait is not None else _backoff(self.failed)


def _backoff(tries: int) -> float:
    longest: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1))
    return longest * (0.5 + random.random() / 2)


def from_answer(
    status: int, headers: Mapping[str, str], payload: bytes, spec: ModelSpec, host: str
) -> Failure:
    """What an HTTP answer other than 200 means."""
    said, code = _said(payload)
    told = f": {said}" if said else ""
    about = f"{code} {said}"
    if status in (401, 403):
        return Failure("authentication", _no_entry(status, told, spec, host))
    if status == 402 or (status in (400, 403, 429) and NO_CREDIT.search(about)):
        return Failure("authentication", f"{host}: the account has no credit left ({status}){told}")
    if status == 429 and TOO_LARGE.search(about):
        return Failure("request", f"{host}: the prompt is larger than the account's rate allows (429){told}")
    if status == 429:
        return _limited(headers, told, host)
    if status != 429 and TOO_LONG.search(about) and 400 <= status < 500:
        return Failure("request", f"{host}: the prompt is longer than the model's context{told}")
    refuses_schema = status == 501 or (
        status in (400, 404, 415, 422, 500) and NO_SCHEMA.search(about) is not None
    )
    if status in (400, 404, 422) and NO_MODEL.search(about):
        return Failure(
            "model",
            f'{host} has no model "{spec.model}" ({status}){told}',
            refuses_schema=refuses_schema,
            unknown_model=True,
        )
    if status in (404, 405) or 300 <= status < 400:
        return Failure("model", _no_path(status, headers, told, spec, host), refuses_schema=refuses_schema)
    if status in (408, 409, 425) or (status >= 500 and status not in (501, 505)):
        wait = retry_after(headers)
        return Failure(
            "server",
            f"{host} failed with {status}{told}",
            retry=wait is None or wait <= LONGEST_WAIT,
            wait=wait,
            slow_down=status in (503, 529) or wait is not None,
            refuses_schema=refuses_schema,
        )
    return Failure(
        "request",
        f"{host} refused the request ({status}){told}",
        refuses_schema=refuses_schema,
        filtered=status in (400, 422) and FILTERED.search(about) is not None,
    )


def from_error(error: Any, spec: ModelSpec, host: str) -> Failure:
    """What an `error` object inside an answer of 200 means: some gateways answer so."""
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return from_answer(status, {}, orjson.dumps({"error": error}), spec, host)


def from_exception(problem: Exception, spec: ModelSpec, host: str) -> Failure:
    """What a connection that was not made, or broke, means."""
    match problem:
        case SessionProblem():
            return _from_session(problem.reason, spec, host)
        case ssl.SSLCertVerificationError():
            return _no_trust(problem, host)
        case ssl.SSLError():
            return _no_tls(host)
        case socket.gaierror():
            return _no_name(host)
        case ConnectTimeout():
            return _no_time(host)
        case TimeoutError():
            return Failure("timeout", f"{host} gave no answer within {spec.timeout:g} s", retry=True)
        case NoAddress():
            return _no_address(spec)
        case NotConnected():
            return _no_connection(problem.reason, host)
        case BrokenOff():
            return _broken_off(host)
        case ConnectionError() if not isinstance(problem, NoHTTP):
            return _closed(host)
        case _:
            text = _line(str(problem)) or type(problem).__name__
            retry = not isinstance(problem, ValueError)
            return Failure("transport", f"the connection to {host} failed: {text}", retry=retry)


def _from_session(problem: Exception, spec: ModelSpec, host: str) -> Failure:
    """The same for what aiohttp raises, whose exceptions name more of what lies between."""
    import aiohttp

    match problem:
        case aiohttp.ClientConnectorCertificateError():
            return _no_trust(problem, host)
        case aiohttp.ClientConnectorSSLError():
            return _no_tls(host)
        case aiohttp.ClientConnectorDNSError():
            return _no_name(host)
        case aiohttp.ConnectionTimeoutError():
            return _no_time(host)
        case aiohttp.ClientHttpProxyError():
            said = _line(f"{problem.status} {problem.message}")
            return Failure("transport", f"the proxy does not reach {host}: {said}")
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return _no_address(spec)
        case aiohttp.ClientConnectorError():
            return _no_connection(problem.os_error, host)
        case aiohttp.ClientPayloadError():
            return _broken_off(host)
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return _closed(host)
        case _:
            return from_exception(problem, spec, host)


def _no_trust(problem: Exception, host: str) -> Failure:
    return Failure("transport", f"the certificate of {host} is not trusted: {_line(str(problem))}")


def _no_tls(host: str) -> Failure:
    mend = "is base_url https where it should be http?"
    return Failure("transport", f"{host} does not speak TLS as expected: {mend}")


def _no_name(host: str) -> Failure:
    mend = "is base_url right, is there a network?"
    return Failure("transport", f"the name {host} is not known: {mend}", retry=True)


def _no_time(host: str) -> Failure:
    return Failure("transport", f"{host} does not answer: the connection timed out", retry=True)


def _no_address(spec: ModelSpec) -> Failure:
    return Failure("model", f'base_url of model {spec.name} is no address: "{spec.base_url}"')


def _no_connection(reason: BaseException, host: str) -> Failure:
    mend = "Is the server running, is base_url right?"
    return Failure("transport", f"cannot connect to {host}: {_reason(reason)}. {mend}", retry=True)


def _broken_off(host: str) -> Failure:
    return Failure("transport", f"{host} broke off in the middle of its answer", retry=True)


def _closed(host: str) -> Failure:
    return Failure("transport", f"{host} closed the connection without an answer", retry=True)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the endpoint asks to wait: `Retry-After` (seconds or a date), `retry-after-ms`."""
    for name, scale in (("retry-after-ms", 1e-3), ("Retry-After", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
            except ValueError:
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def _limited(headers: Mapping[str, str], told: str, host: str) -> Failure:
    wait = retry_after(headers)
    if wait is not None and wait > LONGEST_WAIT:
        return Failure("limited", f"{host} asks to wait {_duration(wait)} (429){told}", wait=wait)
    message = f"{host} answers too many requests (429){told}"
    return Failure("limited", message, retry=True, wait=wait, slow_down=True)


def _no_entry(status: int, told: str, spec: ModelSpec, host: str) -> str:
    told = MASKED.sub("***", told).rstrip(".")
    if spec.secret is None:
        mend = f'Model {spec.name} has none: add api_key = secret("NAME") to it.'
        return f"{host} wants a key ({status}){told}. {mend}"
    mend = f"Set {spec.secret} to a key that is valid there."
    return f"{host} does not accept the key in {spec.secret} ({status}){told}. {mend}"


def _no_path(status: int, headers: Mapping[str, str], told: str, spec: ModelSpec, host: str) -> str:
    if 300 <= status < 400:
        target = _line(headers.get("Location", "another address"))
        mend = f"write the final address as base_url of model {spec.name}"
        return f"{host} redirects to {target} ({status}): {mend}"
    base = (spec.base_url or "").rstrip("/")
    mend = "Is base_url right?" if base.endswith("/v1") else "Should base_url end in /v1?"
    return f"{host} has no chat completions under {base} ({status}){told.rstrip('.')}. {mend}"


def _said(payload: bytes) -> tuple[str, str]:
    """The endpoint's own message and code, from the forms in which endpoints give them."""
    try:
        data = orjson.loads(payload)
    except orjson.JSONDecodeError:
        text = payload[:2_000].decode("utf-8", "replace").strip()
        return ("" if text.startswith("<") else _line(text)), ""
    if isinstance(data, list) and data:
        data = data[0]
    if not isinstance(data, dict):
        return _line(str(data)), ""
    error = data.get("error", data)
    if not isinstance(error, dict):
        return _line(str(error)), str(data.get("code", ""))
    message = error.get("message", error.get("detail", error.get("msg", "")))
    if isinstance(message, list):
        message = "; ".join(_detail(item) for item in message)
    return _line(str(message or "")), f"{error.get('code') or ''} {error.get('type') or ''}".strip()


def _detail(item: Any) -> str:
    """One entry of a validation error as FastAPI gives it: a place and a message."""
    if not isinstance(item, dict):
        return str(item)
    loc = item.get("loc")
    place = ".".join(str(part) for part in loc) if isinstance(loc, list) else ""
    return f"{place}: {item.get('msg', '')}" if place else str(item.get("msg", item))


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"


def _reason(problem: BaseException) -> str:
    if isinstance(problem, ConnectionRefusedError):
        return "connection refused"
    text = getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
    return _line(str(text))


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
