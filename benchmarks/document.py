"""Run the benchmarks and write what they print to `docs/benchmarks.md`.

    python benchmarks/document.py [--quick] [SECTION…]

Takes more than an hour on a quiet machine. With names of sections (`Memory`) only those are run, and
the others of the page stay. `--quick` runs each with few rows, to try this script, and writes to the
standard output instead.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

What a run costs, measured by the scripts in `benchmarks/` against an endpoint of our own on the same
machine. `python benchmarks/document.py` runs them and writes this page. Sections may be of
different days. CPU is of whole processes, interpreter start and imports included, as the operating system
counts it. Wall time depends on what else the machine does: the load beside each table is its queue
of running processes when the script began, and ratios within one table are what to trust.

{machine}
"""
THROUGHPUT = """One prompt of 1.4 KB over many rows, cold, everything kept in the store, held against a
bare loop of aiohttp that keeps nothing (`benchmarks/throughput_floor.py`), in turns. Four
tenths of a second of what 5,000 rows take is start and end; a longer run stands under Memory."""
AGAIN = """The same graph once more: nothing changed; a param changed that no node reads; one row changed,
and one call is paid. Then `atk show` of that store, and again with five million calls in it."""
MEMORY = "Cold runs over more and more rows, and the same again with nothing to do."
PEERS = """The same prompts with other tools, each as its documentation has it, in an environment of its
own (`python benchmarks/peers.py --install`), in turns. How each is run is in `benchmarks/peers`."""
GRAPH = """A graph of five prompts and a `gather`, every call known afterwards: against a scheduler without
overhead, and against the same graph node after node, simulated and run; latencies are drawn several times,
since a single long one moves the end of a run by seconds. `at best` is the first conversation with places
for all calls at once: with 256 of them that is already above 8 % of the run."""
HOSTILE = """An endpoint that refuses above 64 in flight and fails now and then, `parallel = 256`; in turns
with the same at 64 in flight without a fault."""
KILLED = """Killed with SIGKILL when half of the replies were given, and run again: the calls that were
paid for twice. What is in flight at that moment cannot be known; nothing else is asked again."""
LEARNING = """What variations of documents are worth. A model of 1.1 million weights grows up among 200
invented firms until it answers what is asked of them. Two models start from it and read of 13 others, equally
long: one 30 copies of each document, one 30 variations of it. Both are shown how half of the facts are
asked for, and examined on the other half: right is who names the value. `known`: questions put as they
were for the first half; `held out`: put otherwise. All of it is graphs of atk
(`benchmarks/learning/*.atk`), with templates in the place of a model that rewrites."""
SLIPS = """How much of a slip of the hand `atk check` notices: each token of three graphs deleted, doubled,
swapped with the next, and misspelt, one at a time. Of what passes most is another graph and a right one: a
text or a comment that says something else (`silent` leaves out what is provably the same graph)."""
START = "What one waits for before anything happens."
MANY = ["throughput.py", "--latency", "500", "--rows", "10000", "--repeat", "1", "--in-flight"]
MORE = ["--calls", "5000000"]
KEPT = "~/.cache/atk-benchmarks/million"  # filled once, which takes a quarter of an hour
SECTIONS = (
    (
        "Throughput",
        THROUGHPUT,
        (["throughput.py"], [*MANY, "1000"], [*MANY, "4000"]),
        (["throughput.py", "--rows", "500", "--repeat", "1"],),
    ),
    (
        "Running again",
        AGAIN,
        (["warm.py", *MORE, "--rows", "20000"], ["warm.py", *MORE, "--rows", "1000000", "--keep", KEPT]),
        (["warm.py", "--rows", "2000", "--calls", "10000"],),
    ),
    (
        "Side by side",
        PEERS,
        (["peers.py", "--repeat", "1"],),
        (["peers.py", "--rows", "200", "--repeat", "1"],),
    ),
    (
        "A whole graph",
        GRAPH,
        (
            ["graph.py", "--in-flight", "64", "--draws", "2"],
            ["graph.py", "--in-flight", "256", "--draws", "8"],
        ),
        (["graph.py", "--documents", "30", "--in-flight", "64", "--draws", "1"],),
    ),
    (
        "Memory",
        MEMORY,
        (["memory.py", "--rows", "25000", "100000", "1000000"],),
        (["memory.py", "--rows", "1000", "2000"],),
    ),
    (
        "An endpoint that refuses",
        HOSTILE,
        (["hostile.py"],),
        (["hostile.py", "--rows", "500", "--repeat", "1"],),
    ),
    ("Killed half way", KILLED, (["killed.py"],), (["killed.py", "--rows", "300", "--repeat", "1"],)),
    ("Learning", LEARNING, (["learning/run.py"],), ()),
    ("Slips of the hand", SLIPS, (["mutations.py"],), (["mutations.py", "--sample", "3"],)),
    ("Start", START, (["startup.py"],), (["startup.py"],)),
)


def machine() -> str:
    """What it ran on, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return (
        f"Machine: {os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GB, "
        f"{platform.system()}, Python {platform.python_version()}."
    )


def printed(command: list[str]) -> str:
    """What a benchmark prints; its progress is not kept."""
    path = str(ROOT / "benchmarks" / command[0])
    result = subprocess.run(
        [sys.executable, path, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise SystemExit(f"{' '.join(command)} failed: {result.stdout}{result.stderr[-2000:]}")
    return "\n".join(line.rstrip() for line in result.stdout.strip("\n").splitlines())


def section(title: str, about: str, commands: tuple[list[str], ...]) -> str:
    """One section of the page."""
    parts = [f"## {title}\n\n{about}\n"]
    for command in commands:
        print(" ".join(command), file=sys.stderr, flush=True)
        load = os.getloadavg()[0]
        parts.append(f"`python benchmarks/{' '.join(command)}`, load {load:.1f}:\n")
        parts.append(f"```text\n{printed(command)}\n```\n")
    return "\n".join(parts)


def written() -> dict[str, str]:
    """The sections of the page as it is."""
    if not PAGE.exists():
        return {}
    found = re.split(r"^(?=## )", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {part[3:].partition("\n")[0]: part.rstrip("\n") + "\n" for part in found}


def main() -> int:
    quick = "--quick" in sys.argv[1:]
    wanted = [word for word in sys.argv[1:] if not word.startswith("-")]
    unknown = set(wanted) - {title for title, *_ in SECTIONS}
    if unknown:
        raise SystemExit(f"no section {min(unknown)}: {', '.join(title for title, *_ in SECTIONS)}")
    made = {
        title: section(title, about, few if quick else commands)
        for title, about, commands, few in SECTIONS
        if not wanted or title in wanted
    }
    made = (written() if wanted and not quick else {}) | made
    titles = [title for title, *_ in SECTIONS if title in made]
    page = "\n".join([HEAD.format(machine=machine()), *(made[title] for title in titles)])
    if quick:
        print(page)
    else:
        PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
