"""An endpoint that refuses: 429 above so many requests in flight, and some answers are a 500.

    python benchmarks/hostile.py [--rows 2000] [--in-flight 256] [--cap 64] [--repeat 3] [--check]

One prompt over so many rows, 100 ms a call, `Retry-After: 1` with each refusal, 2 % of answers an
error of the server. Every row must be done in the end. Prints the time in the run against the ideal
(all rows at `cap` in flight), the requests sent, and how many of them were refused. `calm` is the
same with `cap` in flight from the beginning at an endpoint without a fault, in turns: what this
machine can do now. `--check` exits with 1 where a run takes more than twice the ideal, or more than
one refusal for ten rows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.throughput import EXEC, measured, prepare
from tests.endpoint import Endpoint, endpoint

LATENCY_MS = 100
ERRORS = 0.02
TIME_BUDGET = 2.0  # times the ideal
REFUSED_BUDGET = 0.096  # of the rows
HEADS = ("in the run s", "of the ideal", "CPU s", "sent", "429s", "500s", "at most")


def run(server: Endpoint, rows: int, in_flight: int) -> dict[str, Any]:
    """One cold run: seconds in the run, CPU seconds, what the endpoint answered."""
    with tempfile.TemporaryDirectory() as name:
        environment = prepare(Path(name), server, rows, in_flight)
        result = measured(EXEC, Path(name), environment)
    printed, stats = result["printed"], server.stats()
    done = printed["nodes"]["answered"]["rows"]
    assert done == rows, f"{done} of {rows} rows are done"
    return {
        "seconds": printed["seconds"],
        "cpu": result["cpu"],
        "sent": stats["calls"],
        "refused": stats["statuses"].get("429", 0),
        "errors": stats["statuses"].get("500", 0),
        "most": stats["max_in_flight"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--cap", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a budget is missed")
    given = parser.parse_args()
    ideal = given.rows * LATENCY_MS / 1000 / given.cap
    print(
        f"{given.rows} rows, {given.in_flight} in flight allowed, 429 above {given.cap}, "
        f"load {os.getloadavg()[0]:.1f}; ideal {ideal:.2f} s"
    )
    print(" " * 9 + "".join(head.rjust(14) for head in HEADS))
    results, calm = [], []
    with endpoint(latency_ms=LATENCY_MS, record=0) as server:
        for _ in range(given.repeat):
            server.reset(cap=0, p500=0.0)
            calm.append(run(server, given.rows, given.cap))
            server.reset(cap=given.cap, p500=ERRORS)
            results.append(run(server, given.rows, given.in_flight))
            for name, one in (("calm", calm[-1]), ("hostile", results[-1])):
                print(
                    f"{name:>9}{one['seconds']:>14.2f}{one['seconds'] / ideal:>14.2f}{one['cpu']:>14.2f}"
                    f"{one['sent']:>14}{one['refused']:>14}{one['errors']:>14}{one['most']:>14}",
                    flush=True,
                )
    ratio = statistics.median(one["seconds"] / two["seconds"] for one, two in zip(results, calm, strict=True))
    print(f"hostile to calm: {ratio:.2f}")
    times = statistics.median(one["seconds"] for one in results) / ideal
    refused = statistics.median(one["refused"] for one in results) / given.rows
    missed = []
    if times > TIME_BUDGET:
        missed.append(f"{times:.2f} times the ideal, above {TIME_BUDGET}")
    if refused > REFUSED_BUDGET:
        missed.append(f"{refused:.3f} refusals a row, above {REFUSED_BUDGET}")
    for line in missed:
        print(f"missed: {line}")
    return int(bool(missed) and given.check)


if __name__ == "__main__":
    raise SystemExit(main())
