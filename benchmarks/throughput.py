"""One prompt over many rows: the engine against raw aiohttp, in one run on one machine.

    python benchmarks/throughput.py [--rows 5000] [--in-flight 256] [--repeat 3] [--latency 0 500] [--check]

Runs at 0 ms and at 500 ms a call (or at those of `--latency`), cold (an empty store, memo on).
Each run is a new process, measured from outside by the operating system's own accounting,
interpreter start and imports included; `engine` leaves those out. Floor and engine take turns, so
that a machine that slows down slows both. Prints medians, ranges and ratios; `--check` exits with
1 where a budget is missed: CPU a row at most twice the floor, and where a call takes time at most
1.08 of the ideal (1.3 above 512 in flight, none above 1,024).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.throughput_floor import prompt  # noqa: E402
from tests.endpoint import Endpoint, endpoint  # noqa: E402

CPU_BUDGET = 2.0
IDEAL_BUDGET, MANY_BUDGET = 1.08, 1.3
MANY, TOO_MANY = 512, 1024  # in flight; beyond the latter nothing is promised but that it works

GRAPH = """
type Row {{ text: str }}
model asked from default {{ parallel = {in_flight} }}
source rows -> Row[] {{ path = "rows.jsonl" }}
prompt answered from rows -> {{ answer: str }} {{ template = "ask", model = asked, reply = "text" }}
"""


def measured(command: list[str], cwd: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Wall and CPU seconds and peak memory (MB) of a process, and what it printed."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed: {printed[-2000:]}")
    return {
        "wall": time.perf_counter() - begin,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss / 1024,
        "printed": json.loads(printed),
    }


def floor(server: Endpoint, rows: int, in_flight: int) -> dict[str, Any]:
    """Raw aiohttp over the same prompts."""
    server.reset()
    command = [
        sys.executable,
        str(ROOT / "benchmarks" / "throughput_floor.py"),
        "--rows",
        str(rows),
        "--in-flight",
        str(in_flight),
        "--base-url",
        server.base_url,
    ]
    result = measured(command, ROOT, dict(os.environ))
    result["engine"] = result["printed"]["wall"]
    return result


def prepare(folder: Path, server: Endpoint, rows: int, in_flight: int) -> dict[str, str]:
    """The graph, its prompt and its rows in an empty folder; the environment to run it in."""
    (folder / "prompts").mkdir()
    (folder / "prompts" / "ask.md").write_text("user:\n{{ text }}\n")
    (folder / "graph.atk").write_text(GRAPH.format(in_flight=in_flight))
    with (folder / "rows.jsonl").open("w") as file:
        file.writelines(json.dumps({"text": prompt(row)}) + "\n" for row in range(rows))
    return os.environ | {
        "PYTHONPATH": str(ROOT),
        "ATK_BASE_URL": server.base_url,
        "ATK_MODEL": "mock",
        "ATK_API_KEY": "sk-mock",
    }


EXEC = [sys.executable, "-m", "engine.commands", "exec", "graph.atk", "--json"]


def engine(server: Endpoint, rows: int, in_flight: int) -> dict[str, Any]:
    """`atk exec` in an empty folder, then once more."""
    server.reset()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = prepare(folder, server, rows, in_flight)
        result = measured(EXEC, folder, environment)
        stats = server.stats()
        assert stats["calls"] == rows, stats
        warm = measured(EXEC, folder, environment)
        assert server.stats()["calls"] == rows, "the second run paid again"
        result["engine"] = result["printed"]["seconds"]
        result["warm"] = warm
    return result


def middle(results: list[dict[str, Any]], name: str) -> float:
    return statistics.median(result[name] for result in results)


def spread(results: list[dict[str, Any]], name: str, scale: float = 1.0, digits: int = 2) -> str:
    values = sorted(result[name] * scale for result in results)
    return f"{statistics.median(values):.{digits}f} ({values[0]:.{digits}f}-{values[-1]:.{digits}f})"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--latency", type=int, nargs="+", default=[0, 500], help="ms a call")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a budget is missed")
    given = parser.parse_args()
    missed = []
    print(
        f"{given.rows} rows, {given.in_flight} in flight, {given.repeat} runs each, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for latency in given.latency:
        with endpoint(latency_ms=latency) as server:
            floors, engines = [], []
            for _ in range(given.repeat):
                floors.append(floor(server, given.rows, given.in_flight))
                engines.append(engine(server, given.rows, given.in_flight))
        print(
            f"\n{latency} ms a call".ljust(21)
            + "  ".join(head.ljust(19) for head in ("CPU ms/row", "wall s", "in the run s", "memory MB"))
        )
        for name, results in (
            ("raw aiohttp", floors),
            ("atk, cold", engines),
            ("atk, warm", [one["warm"] for one in engines]),
        ):
            for result in results:
                result.setdefault("engine", result["printed"].get("seconds", 0.0))
            print(
                f"{name:<20} {spread(results, 'cpu', 1e3 / given.rows, 3):<20} {spread(results, 'wall'):<20} "
                f"{spread(results, 'engine'):<20} {spread(results, 'memory', 1, 0)}"
            )
        ratio = statistics.median(one["cpu"] / low["cpu"] for one, low in zip(engines, floors, strict=True))
        print(f"CPU of the engine to the floor's, whole processes: {ratio:.2f}")
        if latency == 0 and ratio > CPU_BUDGET:
            missed.append(f"CPU {ratio:.2f} times the floor's, above {CPU_BUDGET}")
        if latency:
            ideal = given.rows * latency / 1000 / given.in_flight
            print(
                f"ideal {ideal:.2f} s; raw aiohttp {middle(floors, 'engine') / ideal:.3f}, "
                f"atk {middle(engines, 'engine') / ideal:.3f} of it"
            )
            budget = IDEAL_BUDGET if given.in_flight <= MANY else MANY_BUDGET
            if given.in_flight <= TOO_MANY and middle(engines, "engine") / ideal > budget:
                missed.append(f"{middle(engines, 'engine') / ideal:.3f} of the ideal time, above {budget}")
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed and given.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
