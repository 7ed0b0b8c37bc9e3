"""How long a person waits before atk does anything: warm medians against their budgets.

    python benchmarks/startup.py            # a table
    python benchmarks/startup.py --check    # exit 1 where a budget is missed

Each command is a fresh process, as in a shell; the first of each warms files and caches and is
not counted.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 9
COMMANDS = (
    (("--help",), 0.25),
    (("check", str(ROOT / "graphs" / "factual.atk"), "-p", "domain=Meteorology"), 0.5),
)


def seconds(arguments: tuple[str, ...], folder: str) -> float:
    """Wall time of one `atk` with these arguments; it must succeed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(ROOT)
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-P", "-m", "engine.commands", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - begun


def main() -> int:
    """Measure and print; the exit code tells of a missed budget under `--check`."""
    missed = False
    print(f"{'command':<28}{'median':>9}{'fastest':>9}{'budget':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for arguments, budget in COMMANDS:
            seconds(arguments, folder)
            times = [seconds(arguments, folder) for _ in range(RUNS)]
            median = statistics.median(times)
            missed |= median > budget
            shown = " ".join(["atk", *(Path(word).name if "/" in word else word for word in arguments[:2])])
            verdict = "" if median <= budget else "  missed"
            print(f"{shown:<28}{median:>7.3f} s{min(times):>7.3f} s{budget:>7.2f} s{verdict}")
    return int(missed and "--check" in sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
