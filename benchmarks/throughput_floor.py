"""The floor: what nothing but aiohttp and orjson take for so many calls.

    python benchmarks/throughput_floor.py --rows 5000 --in-flight 256 [--base-url URL] [--latency-ms 0]

Prints one JSON object: `wall` and `cpu` in seconds, `cpu_us` for a call, `calls_per_second`.
Without `--base-url` it starts the endpoint of the tests. No engine in here: what the engine
takes is held against this, in the same run on the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import orjson

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PROMPT = "Write one question about the passage that a careful reader can answer.\n\n"
FILLER = "The cumulus cloud forms where warm and moist air rises, cools and gives up its water. " * 16


def prompt(row: int) -> str:
    """A prompt of about 1,400 characters that no other row has."""
    return f"{PROMPT}[{row}] {FILLER}"


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """On uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def cpu() -> float:
    """Seconds of this process, user and system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measured(rows: int, work: Callable[[], Coroutine[Any, Any, Any]]) -> dict[str, float]:
    """Wall and CPU of a coroutine that makes `rows` calls."""
    wall, used = time.perf_counter(), cpu()
    run(work())
    wall, used = time.perf_counter() - wall, cpu() - used
    return {
        "rows": rows,
        "wall": round(wall, 4),
        "cpu": round(used, 4),
        "cpu_us": round(used / rows * 1e6, 1),
        "calls_per_second": round(rows / wall, 1),
    }


async def ask_all(base_url: str, rows: int, in_flight: int) -> None:
    """Every row asked once; each reply is parsed and its text taken out."""
    url = f"{base_url}/chat/completions"
    numbers = iter(range(rows))
    headers = {"Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def worker() -> None:
            for row in numbers:
                body = {"model": "mock", "messages": [{"role": "user", "content": prompt(row)}]}
                async with session.post(url, data=orjson.dumps(body)) as answer:
                    answer.raise_for_status()
                    content = orjson.loads(await answer.read())["choices"][0]["message"]["content"]
                    if not content:
                        raise RuntimeError("an empty reply")

        await asyncio.gather(*(worker() for _ in range(in_flight)))


def floor(base_url: str, rows: int, in_flight: int) -> dict[str, float]:
    """The floor against an endpoint."""
    return {"in_flight": in_flight} | measured(rows, lambda: ask_all(base_url, rows, in_flight))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base-url")
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--latency-ms", type=float, default=0.0, help="of the endpoint that it starts")
    given = parser.parse_args()
    if given.base_url:
        print(json.dumps(floor(given.base_url.rstrip("/"), given.rows, given.in_flight)))
        return
    from tests.endpoint import endpoint

    with endpoint(latency_ms=given.latency_ms, record=0) as started:
        print(json.dumps(floor(started.base_url, given.rows, given.in_flight)))


if __name__ == "__main__":
    main()
