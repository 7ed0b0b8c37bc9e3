"""Starts an endpoint for a test, and talks to it."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.endpoint.config import Config

ROOT = Path(__file__).resolve().parents[2]
# The environment may name a proxy, which cannot reach this machine's loopback.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Endpoint:
    """A running endpoint, in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], port: int):
        self.process, self.port = process, port
        self.address = f"http://127.0.0.1:{port}"
        self.base_url = f"{self.address}/v1"

    def stats(self) -> dict[str, Any]:
        """The counters; see `Counters.as_dict`."""
        return self._ask("/stats")

    def requests(self) -> list[dict[str, Any]]:
        """The latest requests, oldest first: `authorization` and `body`."""
        return self._ask("/requests")

    def config(self, **settings: Any) -> None:
        """Change settings; see `Config`. Raises `ValueError` for one that is not there."""
        self._ask("/config", settings)

    def reset(self, **settings: Any) -> None:
        """Zero the counters, and change settings."""
        self._ask("/reset", settings)

    def stop(self) -> None:
        """End it at once, as a server that dies: connections break, the port refuses."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()

    def _ask(self, path: str, settings: dict[str, Any] | None = None) -> Any:
        body = None if settings is None else json.dumps(settings).encode()
        try:
            with DIRECT.open(urllib.request.Request(self.address + path, data=body), timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as problem:
            raise ValueError(json.load(problem)["error"]["message"]) from None


def start(port: int = 0, **settings: Any) -> Endpoint:
    """Start an endpoint on a free port of the loopback; it ends with this process at the latest."""
    command = [sys.executable, "-m", "tests.endpoint", "--port", str(port), "--config", json.dumps(settings)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        process.wait()
        raise RuntimeError("the endpoint did not start: see its message above")
    return Endpoint(process, json.loads(line)["port"])


# Those that no test has now: a start costs more than most tests do.
_idle: list[Endpoint] = []


@contextlib.contextmanager
def endpoint(port: int = 0, **settings: Any) -> Iterator[Endpoint]:
    """`with endpoint(latency_ms=50, p500=0.02) as e: …`; the settings are those of `Config`.

    It is as good as new, but may have served others before, unless it must have a port of its own.
    """
    if port or not _idle:
        given = start(port, **settings)
    else:
        given = _idle.pop()
        given.reset(**(dataclasses.asdict(Config()) | settings))
    try:
        yield given
    finally:
        if port or not _calm(given):
            given.stop()
        else:
            _idle.append(given)


def _calm(given: Endpoint) -> bool:
    """Whether it lives, nobody waits for it, and no connection is open but that which asks."""
    if given.process.poll() is not None:
        return False
    stats = given.stats()
    return (stats["in_flight"], stats["open_connections"]) == (0, 1)


@atexit.register
def _stop_all() -> None:
    for one in _idle:
        one.stop()
