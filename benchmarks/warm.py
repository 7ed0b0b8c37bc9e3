"""Running again: what a run costs when nothing, or next to nothing, has changed.

    python benchmarks/warm.py [--rows 100000] [--calls 5000000] [--keep FOLDER] [--check]

A store is filled by a run over so many rows whose model answers at once, in this process; then
each case is a new `atk`, measured from outside by the operating system's own accounting: nothing
changed; a param that no node reads changed; one row changed (one call); `atk show` of that store,
and again after so many calls were added to it. Prints CPU and wall seconds;
`--check` exits with 1 where a budget for a million rows is missed. `--keep` keeps the filled
folder, and takes it as it is when it is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.throughput import measured  # noqa: E402
from tests.endpoint import Endpoint, endpoint  # noqa: E402

GRAPH = """
param unrelated: str = "a"
type Row { text: str }
model asked from default { parallel = 256 }
source rows -> Row[] { path = "rows.jsonl" }
prompt answered from rows -> { answer: str } { template = "ask", model = asked, reply = "text" }
"""
BUDGETS = {
    "unchanged": 1.5,
    "another param": 1.5,
    "one row changed": 5.0,
    "show": 1.0,
    "show, more calls": 1.0,
}
"""CPU seconds at a million rows (of `show`: whatever the rows)."""


def text(row: int) -> str:
    return f"[{row}] The cumulus cloud forms where warm and moist air rises and gives up its water."


def write_rows(folder: Path, rows: int) -> None:
    with (folder / "rows.jsonl").open("w") as file:
        file.writelines(json.dumps({"text": text(row)}) + "\n" for row in range(rows))


def fill(folder: Path, rows: int, environment: dict[str, str]) -> float:
    """Run the graph in this process with a model that answers at once; CPU seconds it took."""
    from engine import runtime
    from engine.kinds import registry
    from engine.models.base import Reply, Request
    from engine.models.openai import OpenAI
    from engine.runtime.engine import Engine, Options
    from engine.store.store import Store

    class Instant(OpenAI):
        async def call(self, request: Request, priority: float = 0.0) -> Reply:
            await asyncio.sleep(0)
            return Reply("ok", "Because warm air holds more water.", sent=self.body(request), ms=1.0)

    (folder / "prompts").mkdir(parents=True)
    (folder / "prompts" / "ask.md").write_text("user:\n{{ text }}\n")
    (folder / "graph.atk").write_text(GRAPH)
    write_rows(folder, rows)
    os.environ.update(environment)
    program = runtime.load(str(folder / "graph.atk"), root=folder)
    options = Options(root=folder, store=folder / ".atk" / "store.duckdb", out=folder / "out")
    begin = time.process_time()
    with Store.open(options.store, "write") as store:
        engine = Engine(program, options, registry(), store)
        engine.open_model = lambda name: Instant(program.models[name], os.environ)  # type: ignore[method-assign]
        engine.calls.open_model = engine.open_model
        summary = asyncio.run(engine.run())
    assert summary.status == "done", summary
    return time.process_time() - begin


def add_calls(store: Path, calls: int) -> None:
    """Copies of the calls, each under a key of its own, until there are so many."""
    import duckdb

    with duckdb.connect(str(store)) as connection:
        (there,) = connection.execute("SELECT count(*) FROM data.calls").fetchall()[0]
        connection.execute(
            "INSERT INTO data.calls BY NAME"
            " SELECT c.* REPLACE (uuid() AS key) FROM data.calls c, range(?) LIMIT ?",
            [calls // there + 1, max(0, calls - there)],
        )


def atk(folder: Path, environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    """One command in a new process; `printed` is what it says with `--json`."""
    command = [sys.executable, "-P", "-m", "engine.commands", *arguments, "--json"]
    return measured(command, folder, os.environ | environment | {"PYTHONPATH": str(ROOT)})


def cases(
    folder: Path, server: Endpoint, environment: dict[str, str], rows: int, calls: int
) -> dict[str, Any]:
    """Each case measured, by name."""
    server.reset()
    found = {"unchanged": atk(folder, environment, "exec", "graph.atk")}
    found["another param"] = atk(folder, environment, "exec", "graph.atk", "-p", "unrelated=b")
    assert server.stats()["calls"] == 0, "a run that changes nothing paid"
    lines = (folder / "rows.jsonl").read_text().splitlines(keepends=True)
    lines[rows // 2] = json.dumps({"text": f"another text, at {time.time()}"}) + "\n"
    (folder / "rows.jsonl").write_text("".join(lines))
    del lines
    found["one row changed"] = atk(folder, environment, "exec", "graph.atk")
    assert server.stats()["calls"] == 1, server.stats()
    found["show"] = atk(folder, environment, "show", "answered")
    if calls:
        add_calls(folder / ".atk" / "store.duckdb", calls)
        found["show, more calls"] = atk(folder, environment, "show", "answered")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=0, help="fill table `calls` up to so many")
    parser.add_argument(
        "--keep", type=lambda text: Path(text).expanduser(), help="where the filled folder is, or is put"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 where a budget is missed")
    given = parser.parse_args()
    with (
        endpoint(latency_ms=0, port=PORT if given.keep else 0) as server,
        tempfile.TemporaryDirectory() as name,
    ):
        environment = {"ATK_BASE_URL": server.base_url, "ATK_MODEL": "mock", "ATK_API_KEY": "sk-mock"}
        folder = Path(name) / "work"
        if given.keep and given.keep.exists():
            shutil.copytree(given.keep, folder)
            atk(folder, environment, "exec", "graph.atk")  # the copy of the rows is another file
        else:
            took = fill(folder, given.rows, environment)
            print(f"filled with {given.rows} rows: {took / given.rows * 1e3:.3f} ms of CPU a row, no HTTP")
            if given.keep:
                shutil.copytree(folder, given.keep)
        print(f"{given.rows} rows, load {os.getloadavg()[0]:.1f}")
        print(f"{'case':<20}{'CPU s':>8}{'wall s':>8}{'budget':>8}")
        missed = False
        for case, result in cases(folder, server, environment, given.rows, given.calls).items():
            late = result["cpu"] > BUDGETS[case]
            missed |= late
            print(
                f"{case:<20}{result['cpu']:>8.2f}{result['wall']:>8.2f}"
                f"{BUDGETS[case]:>7.1f}s{'  missed' if late else ''}"
            )
    return int(missed and given.check)


PORT = 18_437
"""Fixed, since the address is part of a call's key and a kept folder is to be known again."""

if __name__ == "__main__":
    raise SystemExit(main())
