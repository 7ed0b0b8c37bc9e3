"""How long a person waits before atk does anything, against budgets.

    python benchmarks/startup.py            # a table
    python benchmarks/startup.py --check    # exit 1 where a budget is missed
    python benchmarks/startup.py --atk DIR/bin/atk   # of an installed atk, in place of this checkout

Each command is a fresh process, as in a shell; the first of each warms files and caches and is
not counted. The graph that is edited gets another comment before each of its runs, so that nothing
that is remembered of a file's text stands for it. The budget is of the fastest: what else the
machine does can only make a run slower.
The processor time beside it says what a run costs when the machine is busy.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 15
NODES = 200
EDITED = "edited.atk"


@dataclass(frozen=True)
class Took:
    """Seconds of one run: on the clock, and of processor time."""

    wall: float
    processor: float


def large_graph(nodes: int = NODES) -> str:
    """A graph of about so many nodes, in groups of eight that are like those of a real one."""
    head = """\
use "lib/text.atk"
use "lib/chat.atk" as chat

param limit: int = 20
param style: "plain" | "socratic" = "plain"

model small from default { temperature = 0.2 }

type Verdict { why: str, ok: bool }
type QA { question: str, answer: str }

source documents -> text.Document[] { path = "." }
text.passages passages from documents { size = 800 }
"""
    group = """
prompt worthy_{n} from passages -> Verdict {{
  template = "factual/judge_passage"
  model    = small
  where length(text) > {n} and tokens < 5000
  let domain = "group {n}"
  keep ok
  expect count(*) > 0 else "every passage was set aside"
}}
prompt drafted_{n} from worthy_{n} -> QA[] {{
  template = "factual/write_questions"
  model    = small
  retries  = 3
  let domain = "group {n}"
  let audience = if(style == "socratic", "a curious student", "a practitioner")
  check ends_with(question, "?") else "the question must end with a question mark"
  check length(answer) >= 20 else "the answer must be a full sentence"
}}
prompt checked_{n} from drafted_{n} -> Verdict {{
  template = "factual/check_answer"
  model    = small
  let domain = "group {n}"
  votes    = 3
  keep ok
}}
sql counted_{n} {{
  query = \"""
    SELECT checked_{n}_id, question, answer, length(answer) AS long
    FROM checked_{n}
    WHERE ok AND length(question) > {n}
    ORDER BY long DESC
    LIMIT $limit
  \"""
}}
sql both_{n} {{
  query = "SELECT question, c.answer FROM counted_{n} c JOIN checked_{n} USING (checked_{n}_id, question)"
}}
dedupe unique_{n} from checked_{n} {{ column = question, method = "exact" }}
chat.dialogue talks_{n} from unique_{n} {{ system = "You know group " || "{n}" || "." }}
emit out_{n} from talks_{n} {{ path = "out/{n}.jsonl", format = "messages" }}
"""
    return head + "".join(group.format(n=number) for number in range(nodes // 8))


def commands(folder: str) -> tuple[tuple[str, tuple[str, ...], float], ...]:
    """Name, arguments and budget in seconds of each measured command."""
    large = Path(folder) / "large.atk"
    large.write_text(large_graph())
    factual = str(ROOT / "graphs" / "factual.atk")
    complete = ROOT / "graphs" / "complete.atk"
    (Path(folder) / EDITED).write_text(complete.read_text())
    return (
        ("atk --help", ("--help",), 0.25),
        ("atk check factual.atk", ("check", factual, "-p", "domain=Meteorology"), 0.5),
        ("atk check complete.atk", ("check", str(complete)), 0.5),
        ("the same, edited", ("check", EDITED), 0.5),
        (f"atk check, {NODES} nodes", ("check", str(large)), 1.0),
    )


def took(atk: list[str], arguments: tuple[str, ...], folder: str) -> Took:
    """One run of `atk` with these arguments; it must succeed."""
    with (Path(folder) / EDITED).open("a") as edited:
        edited.write(f"# {time.time_ns()}\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = str(ROOT) if atk[0] == sys.executable else ""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*atk, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> int:
    """Measure and print; the exit code tells of a missed budget under `--check`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit 1 where a budget is missed")
    parser.add_argument("--atk", help="the program to measure; else this checkout")
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    atk = [given.atk] if given.atk else [sys.executable, "-P", "-m", "engine.commands"]
    missed = False
    print(f"{'command':<26}{'fastest':>9}{'median':>9}{'processor':>11}{'budget':>9}")
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments, budget in commands(folder):
            took(atk, arguments, folder)
            runs = [took(atk, arguments, folder) for _ in range(given.runs)]
            fastest = min(run.wall for run in runs)
            median = statistics.median(run.wall for run in runs)
            processor = min(run.processor for run in runs)
            missed |= fastest > budget
            verdict = "" if fastest <= budget else "  missed"
            print(f"{name:<26}{fastest:>7.3f} s{median:>7.3f} s{processor:>9.3f} s{budget:>7.2f} s{verdict}")
    return int(missed and given.check)


if __name__ == "__main__":
    sys.exit(main())
