"""Other tools that run a prompt over rows, side by side with this one, in one run on one machine.

    python benchmarks/peers.py --install             # an environment for each, below ~/.cache/atk-benchmarks
    python benchmarks/peers.py [--rows 5000] [--in-flight 256] [--repeat 3] [--only NAME…] [--check]

The same prompts against the same endpoint at 0 ms a call, in turns: raw aiohttp, `atk exec`, and each
peer as its own documentation would do it (`benchmarks/peers/run_*.py`), with whatever lets it resume
turned on where it can. Each run is a new process in an empty folder, measured from outside by the
operating system's accounting, children included. A peer that could not be installed, or does not
finish, is named with the reason. `--check` exits with 1 where this engine takes more than a fifth of
the CPU a row of the best peer that can resume, or more than the best that cannot.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.throughput import engine, floor  # noqa: E402
from benchmarks.throughput_floor import prompt  # noqa: E402
from tests.endpoint import Endpoint, endpoint  # noqa: E402

HOME = Path(os.environ.get("ATK_BENCHMARKS", Path.home() / ".cache" / "atk-benchmarks"))
PATIENCE = 300  # seconds until a peer is given up


@dataclass(frozen=True)
class Peer:
    """One tool: what to install, and whether the way it is run here lets it resume."""

    packages: tuple[str, ...]
    resumes: bool = True


PEERS = {
    "data_designer": Peer(("data-designer==0.9.6",)),
    "curator": Peer(("bespokelabs-curator==0.1.31",)),
    "distilabel": Peer(("distilabel[openai]==1.5.3", "requests", "datasets<4")),
    "sdg_hub": Peer(("sdg-hub==0.9.4",)),
    "datatrove": Peer(
        ("datatrove[io]==0.10.1", "aiosqlite", "aiofiles", "httpx", "openai", "xxhash"), resumes=False
    ),
}


class Missing(Exception):
    """A peer that is not there, or did not finish; the message says why."""


def python(name: str) -> Path:
    return HOME / name / "bin" / "python"


def install(name: str) -> None:
    """An environment of its own. Raises `Missing` with the last words of pip."""
    if not python(name).exists():
        venv.create(HOME / name, with_pip=True)
    command = [str(python(name)), "-m", "pip", "install", "--quiet", *PEERS[name].packages]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise Missing((result.stderr.strip() or "pip failed").splitlines()[-1])


def run(name: str, server: Endpoint, rows: int, in_flight: int) -> dict[str, float]:
    """One cold run; seconds, CPU seconds and MB. Raises `Missing`."""
    if not python(name).exists():
        raise Missing("not installed: python benchmarks/peers.py --install")
    server.reset()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with (work / "rows.jsonl").open("w") as file:
            file.writelines(json.dumps({"text": prompt(row)}) + "\n" for row in range(rows))
        script = ROOT / "benchmarks" / "peers" / f"run_{name}.py"
        command = [str(python(name)), str(script), str(work / "rows.jsonl"), server.base_url, str(in_flight)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        environment |= {
            "HOME": folder,
            "HF_HUB_OFFLINE": "1",
            "OPENAI_API_KEY": "sk-mock",
            "TOKENIZERS_PARALLELISM": "false",
        }
        begin = time.perf_counter()
        with (work / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=work, env=environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                status, usage = waited(process.pid, begin + PATIENCE)
            except BaseException:  # interrupted: its own session would outlive this one
                os.killpg(process.pid, signal.SIGKILL)
                raise
        wall = time.perf_counter() - begin
        said = (work / "log.txt").read_text(errors="replace").strip().splitlines()[-1:] or ["nothing said"]
        if status is None:
            raise Missing(f"not done after {PATIENCE} s")
        if status or not (work / "done.json").exists():
            raise Missing(f"failed: {said[0][:120]}")
        done = json.loads((work / "done.json").read_text())["rows"]
        if done != rows:
            raise Missing(f"{done} of {rows} rows are done")
        return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss / 1024}


def waited(process: int, until: float) -> tuple[int | None, Any]:
    """Exit status and use of a process with its children, or None where its time was over."""
    while True:
        found, status, usage = os.wait4(process, os.WNOHANG)
        if found:
            return status, usage
        if time.perf_counter() > until:
            os.killpg(process, signal.SIGKILL)
            os.wait4(process, 0)
            return None, usage
        time.sleep(0.02)


def spread(values: list[float], digits: int) -> str:
    low, high = min(values), max(values)
    return f"{statistics.median(values):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--install", action="store_true", help="install the peers, and run nothing")
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[*PEERS], default=[*PEERS], metavar="NAME")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a budget is missed")
    given = parser.parse_args()
    if given.install:
        for name in given.only:
            try:
                install(name)
                print(f"{name}: installed", flush=True)
            except Missing as reason:
                print(f"{name}: {reason}", flush=True)
        return 0
    print(f"{given.rows} rows, {given.in_flight} in flight, 0 ms a call, load {os.getloadavg()[0]:.1f}")
    found: dict[str, list[dict[str, float]]] = {}
    missing: dict[str, str] = {}
    with endpoint(latency_ms=0, record=0) as server:
        for _ in range(given.repeat):
            found.setdefault("raw aiohttp", []).append(floor(server, given.rows, given.in_flight))
            found.setdefault("atk", []).append(engine(server, given.rows, given.in_flight))
            for name in given.only:
                if name in missing:
                    continue
                try:
                    found.setdefault(name, []).append(run(name, server, given.rows, given.in_flight))
                except Missing as reason:
                    missing[name] = str(reason)
    print(f"{'':<15}{'resumes':<9}{'CPU ms/row':<24}{'wall s':<22}{'memory MB':<12}{'runs':>4}")
    cpu = {}
    for name, results in found.items():
        if not results:
            continue
        resumes = "yes" if name == "atk" or (name in PEERS and PEERS[name].resumes) else "no"
        cpu[name] = statistics.median(one["cpu"] for one in results) / given.rows * 1e3
        print(
            f"{name:<15}{resumes:<9}{spread([one['cpu'] / given.rows * 1e3 for one in results], 3):<24}"
            f"{spread([one['wall'] for one in results], 1):<22}"
            f"{statistics.median(one['memory'] for one in results):<12.0f}{len(results):>4}"
        )
    for name, reason in missing.items():
        print(f"{name:<15}{reason}")
    missed = []
    for resumes, times in ((True, 5.0), (False, 1.0)):
        peers = {name: cpu[name] for name in cpu if name in PEERS and PEERS[name].resumes is resumes}
        if not peers:
            continue
        best = min(peers, key=peers.__getitem__)
        kind = "that can resume" if resumes else "that cannot"
        print(f"the best peer {kind}, {best}, takes {peers[best] / cpu['atk']:.1f} times the CPU of atk")
        if peers[best] < times * cpu["atk"]:
            missed.append(f"{best} takes less than {times:.0f} times the CPU of atk")
    for line in missed:
        print(f"missed: {line}")
    return int(bool(missed) and given.check)


if __name__ == "__main__":
    raise SystemExit(main())
