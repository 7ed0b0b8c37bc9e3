"""How much memory a cold run takes, and that it does not grow with the rows.

    python benchmarks/memory.py [--rows 25000 100000] [--in-flight 256] [--check]

One prompt of 1.4 KB over so many rows, each reply 0.6 KB, at 0 ms a call, into an empty store.
Prints the peak of the process as the operating system counts it; `--check` exits with 1 where
100,000 rows take more than 500 MB, or where the last number of rows takes more than half as much
again for each doubling of the first.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.throughput import engine
from tests.endpoint import endpoint

BUDGET = 500.0  # MB at 100,000 rows
GROWTH = 1.5  # at most so many times the memory for twice the rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[25_000, 100_000])
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a budget is missed")
    given = parser.parse_args()
    print(f"{given.in_flight} in flight, load {os.getloadavg()[0]:.1f}")
    print(f"{'rows':>10}{'peak MB':>9}{'CPU ms/row':>12}{'rows/s':>8}{'again: MB':>11}{'CPU s':>7}")
    peaks = []
    for rows in given.rows:
        with endpoint(latency_ms=0, record=0) as server:
            result = engine(server, rows, given.in_flight)
        warm = result["warm"]
        peaks.append((rows, result["memory"]))
        print(
            f"{rows:>10}{result['memory']:>9.0f}{result['cpu'] / rows * 1e3:>12.3f}"
            f"{rows / result['wall']:>8.0f}{warm['memory']:>11.0f}{warm['cpu']:>7.2f}",
            flush=True,
        )
    missed = [f"{rows} rows take {peak:.0f} MB" for rows, peak in peaks if rows <= 100_000 and peak > BUDGET]
    (first, low), (last, high) = peaks[0], peaks[-1]
    if last > first and high / low > GROWTH ** math.log2(last / first):
        missed.append(f"{last / first:.0f} times the rows take {high / low:.1f} times the memory")
    for line in missed:
        print(f"missed: {line}")
    return int(bool(missed) and given.check)


if __name__ == "__main__":
    raise SystemExit(main())
