"""A run killed half way and begun again: how many calls are made twice.

    python benchmarks/killed.py [--rows 5000] [--repeat 3] [--check]

Kills with SIGKILL when half of the replies were given, once with 64 in flight and 100 ms a call, once
at full speed with 256 in flight, where a commit holds most. Beyond the rows, calls are what was paid
for twice; in flight is what the endpoint had not answered when the process died, or had answered and
nobody had read: at most as many as may be in flight. `--check` exits with 1 where it is more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.throughput import EXEC, prepare  # noqa: E402
from tests.endpoint import endpoint  # noqa: E402


def killed(rows: int, in_flight: int, latency: int) -> tuple[int, int]:
    """Calls answered before the kill, and calls answered twice in the end."""
    with endpoint(latency_ms=latency) as server, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = prepare(folder, server, rows, in_flight)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(EXEC, cwd=folder, env=environment, **quiet)
        while server.stats()["ok"] < rows // 2:
            if process.poll() is not None:
                raise SystemExit("the run ended before it was killed")
            time.sleep(0.01)
        process.kill()
        process.wait()
        before = server.stats()["ok"]
        done = subprocess.run(EXEC, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"the second run failed: {done.stderr[-2000:]}")
        return before, server.stats()["ok"] - rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="exit with 1 where more is asked again")
    given = parser.parse_args()
    print(
        f"{given.rows} rows\n\n{'in flight':>9}  {'ms a call':>9}  {'killed after':>12}  {'asked again':>11}"
    )
    more = False
    for in_flight, latency in ((64, 100), (256, 0)):
        for _ in range(given.repeat):
            before, again = killed(given.rows, in_flight, latency)
            more = more or again > in_flight
            print(f"{in_flight:>9}  {latency:>9}  {before:>12}  {again:>11}")
    return 1 if more and given.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
