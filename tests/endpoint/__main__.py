"""`python -m tests.endpoint --port 0 --latency-ms 50`: serve until the standard input closes.

Prints `{"port": 40123}` as its first line. With `--stay` it serves until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import sys
import threading
from collections.abc import Callable

from tests.endpoint.config import Config
from tests.endpoint.server import serve


def arguments() -> argparse.Namespace:
    """Every plain setting is an option; all the others come as JSON in `--config`."""
    parser = argparse.ArgumentParser(prog="python -m tests.endpoint", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--stay", action="store_true", help="do not end when the standard input closes")
    parser.add_argument("--config", type=json.loads, default={}, help="settings as JSON")
    for entry in dataclasses.fields(Config):
        kind = {"float": float, "int": int, "str": str}.get(str(entry.type))
        if kind is not None:
            parser.add_argument(f"--{entry.name.replace('_', '-')}", type=kind, default=None)
    return parser.parse_args()


def until_closed(loop: asyncio.AbstractEventLoop, stop: Callable[[], object]) -> None:
    """Wait for the end of the standard input, then stop. Reads past `sys.stdin`, whose lock a
    daemon thread must not hold when the process ends."""
    while os.read(0, 1_024):
        pass
    loop.call_soon_threadsafe(stop)


async def main(given: argparse.Namespace) -> None:
    config = Config()
    config.change(given.config)
    names = {entry.name for entry in dataclasses.fields(Config)}
    config.change({name: value for name, value in vars(given).items() if name in names and value is not None})
    serving = asyncio.create_task(
        serve(config, given.port, lambda port: print(json.dumps({"port": port}), flush=True))
    )
    if not given.stay:
        # Whoever started this may be killed: its end of the pipe closes then, and this ends too.
        loop = asyncio.get_running_loop()
        threading.Thread(target=until_closed, args=(loop, serving.cancel), daemon=True).start()
    try:
        await serving
    except asyncio.CancelledError:
        return


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        run = asyncio.run
    else:
        run = uvloop.run
    try:
        run(main(arguments()))
    except KeyboardInterrupt:
        sys.exit(130)
