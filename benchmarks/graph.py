"""A whole graph: how well its nodes overlap.

    python benchmarks/graph.py [--documents 300] [--in-flight 64 256] [--draws 8] [--check]

Five prompts and a `gather`: documents are filtered, four questions are drafted about each, each is
judged by votes (a tenth is repaired and judged again), and what is left of a document becomes one
conversation. Latencies are log-normal, median 0.5 s, with a long tail; the endpoint draws them from
the request, so each is known afterwards from table `calls`. A single one of 9 s, asked early or late,
moves the end of a run by seconds: so they are drawn several times, and budgets are for the sums.

Three times are held against that of the run: of a scheduler without overhead that has the same calls,
latencies and places (`simulated`); of one that does node after node; and, measured, of the same graph
selected node after node (`atk exec -s`, the time in the run only). Also when the first conversation
was finished, and when it is at best, with places for all calls at once: with many places a run is so
short that the calls of one conversation, one after another, are more of it than the budget.
`--check` exits with 1 where a budget is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import heapq
import json
import math
import os
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.throughput import EXEC, ROOT, measured
from engine.models.queue import Queue
from tests.endpoint import Endpoint, endpoint
from tests.endpoint.config import Config
from tests.endpoint.faults import Draw, latency

GRAPH = """
type Verdict {{ why: str, ok: bool }}
type QA {{ question: str, answer: str }}
model asked from default {{ parallel = {in_flight} }}
source documents -> {{ n: int, text: str }}[] {{ path = "documents.jsonl" }}
prompt worthy from documents -> Verdict {{ template = "worthy", model = asked, keep ok }}
prompt drafted from worthy -> QA[] {{ template = "drafted", model = asked }}
prompt checked from drafted -> Verdict {{
  template = "checked"
  model    = asked
  votes    = 3
  keep ok
  repair -> QA {{ template = "repaired", model = asked, rounds = 1 }}
}}
gather turns from checked {{ by = documents, columns = [question, answer] }}
prompt talk from turns -> {{ opening: str }} {{ template = "talk", model = asked }}
"""
PROMPTS = {
    "worthy": "Judge document {{ n }}.\n{{ schema }}\n{{ text }}",
    "drafted": "Draft about document {{ n }}.\n{{ schema }}\n{{ text }}",
    "checked": "Check {{ question }}.\n{{ schema }}\n{{ answer }}",
    "repaired": "Repair {{ question }}.\n{{ schema }}\n{{ answer }}",
    "talk": "Converse about document {{ n }}.\n{{ schema }}\n"
    "{% for turn in turns %}{{ turn.question }}\n{% endfor %}",
}
NODES = ("worthy", "drafted", "checked", "talk")
QUESTIONS = [{"question": f"question ${{1}}.{n} as drafted", "answer": "Warm air rises."} for n in range(4)]
POOR = r"Check question (\d*[05]\.0|\d*[27]\.1) as drafted"  # a tenth of all questions
SETTINGS: dict[str, Any] = {
    "latency_ms": 500.0,
    "sigma": 0.8,
    "p_true": 0.9,
    "record": 0,
    "rules": [
        {"contains": r"Draft about document (\d+)\.", "reply": {"items": QUESTIONS}},
        {"contains": POOR, "reply": {"why": "It is not clear.", "ok": False}},
        {"contains": "Check question", "reply": {"why": "It is clear.", "ok": True}},
        {
            "contains": r"Repair (question [\d.]+) as drafted",
            "reply": {"question": "${1} as repaired", "answer": "Warm air rises and cools."},
        },
    ],
}
IDEAL_BUDGET = 1.1  # of the simulated scheduler's time
BARRIER_BUDGETS = {64: 0.9, 256: 0.6}  # of the time node after node
FIRST_BUDGET = 0.08  # of the run's time until the first conversation
SOONEST_BUDGET = 1.5  # of the time at best, where that is more


@dataclass
class Task:
    """One call: how long it takes, how deep it lies, what must be done before and what waits for it."""

    seconds: float
    depth: int
    waits: int = 0
    then: list[Task] = field(default_factory=list)


def follow(before: Iterable[Task], after: Iterable[Task]) -> None:
    for one in after:
        for other in before:
            other.then.append(one)
            one.waits += 1


def tasks_of(calls: list[tuple[str, str, str]], settings: dict[str, Any]) -> list[Task]:
    """The calls (node, role, request) as tasks that wait for one another, in no order."""
    config = Config()
    config.change(settings)
    seen: Counter[bytes] = Counter()
    documents: dict[str, dict[str, Task]] = defaultdict(dict)
    questions: dict[str, dict[str, dict[int, list[Task]]]] = defaultdict(lambda: defaultdict(dict))
    for node, role, request in calls:
        digest = hashlib.blake2b(request.encode(), digest_size=16).digest()
        draw = Draw(digest, seen[digest], config.seed)
        seen[digest] += 1
        task = Task(latency(config, draw.latency), NODES.index(node))
        prompt = "\n".join(message["content"] for message in json.loads(request)["messages"])
        if node != "checked":
            found = re.search(r"document (\d+)\.", prompt)
            assert found, prompt
            documents[found[1]][node] = task
            continue
        found = re.search(r"question (\d+)\.(\d) as (\w+)", prompt)
        assert found, prompt
        turn = 1 if role == "repair" else 0 if found[3] == "drafted" else 2
        questions[found[1]][found[2]].setdefault(turn, []).append(task)
    everything: list[Task] = []
    for document, nodes in documents.items():
        if "drafted" in nodes:
            follow([nodes["worthy"]], [nodes["drafted"]])
        for turns in questions[document].values():
            before = [nodes["drafted"]]
            for _, votes in sorted(turns.items()):
                for together in (votes[:2], votes[2:]):  # a third is asked where two do not agree
                    if together:
                        follow(before, together)
                        before = together
                everything += votes
            if "talk" in nodes:
                follow(before, [nodes["talk"]])
        everything += nodes.values()
    return everything


def simulated(tasks: list[Task], places: float, node_after_node: bool = False) -> tuple[float, float]:
    """Seconds that the tasks take with so many places, given as the engine does, and nothing else to do.

    Also when the first of the deepest was done.
    """
    waits = {id(task): task.waits for task in tasks}
    ready: Queue[Task] = Queue()
    under_way: list[tuple[float, int, Task]] = []
    held: dict[int, list[Task]] = defaultdict(list)
    left = Counter(task.depth for task in tasks)
    number, now, first, level = 0, 0.0, 0.0, 0

    def free(task: Task) -> None:
        nonlocal number
        number += 1
        if node_after_node and task.depth > level:
            held[task.depth].append(task)
        else:
            ready.push(task.depth, number, task)

    for task in tasks:
        if not task.waits:
            free(task)
    while ready or under_way:
        while ready and len(under_way) < places:
            order, task = ready.pop()
            heapq.heappush(under_way, (now + task.seconds, order, task))
        now, _, task = heapq.heappop(under_way)
        left[task.depth] -= 1
        if task.depth == len(NODES) - 1:
            first = first or now
        for other in task.then:
            waits[id(other)] -= 1
            if not waits[id(other)]:
                free(other)
        while level < len(NODES) and not left[level]:
            level += 1
            for other in held.pop(level, []):
                free(other)
    return now, first


def asked(store: Path, query: str) -> list[tuple[Any, ...]]:
    from engine.store import connect

    connection = connect(store)
    try:
        return connection.sql(query).fetchall()
    finally:
        connection.close()


def prepare(folder: Path, documents: int, in_flight: int) -> None:
    (folder / "prompts").mkdir()
    for name, text in PROMPTS.items():
        (folder / "prompts" / f"{name}.md").write_text(f"user:\n{text}\n")
    (folder / "graph.atk").write_text(GRAPH.format(in_flight=in_flight))
    with (folder / "documents.jsonl").open("w") as file:
        for number in range(documents):
            file.write(json.dumps({"n": number, "text": f"Of clouds, part {number}. " * 8}) + "\n")


def run(server: Endpoint, documents: int, in_flight: int, settings: dict[str, Any]) -> Counter[str]:
    """The whole graph, then the same node after node into another store; times in seconds."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "ATK_BASE_URL": server.base_url,
        "ATK_MODEL": "mock",
        "ATK_API_KEY": "sk-mock",
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, documents, in_flight)
        server.reset()
        whole = measured(EXEC, folder, environment)
        assert whole["printed"]["nodes"]["talk"]["rows"] > documents / 2, whole["printed"]
        store = folder / ".atk" / "store.duckdb"
        calls = asked(store, "SELECT node, role, request FROM calls ORDER BY called_at")
        ((first,),) = asked(
            store, "SELECT epoch((SELECT min(called_at) FROM calls WHERE node = 'talk') - started) FROM runs"
        )
        server.reset()
        steps = [
            measured([*EXEC, "--store", "steps.duckdb", "-s", step], folder, environment)
            for step in ("documents", "worthy", "drafted", "checked", "turns", "talk")
        ]
    tasks = tasks_of(calls, settings)
    least, least_first = simulated(tasks, in_flight)
    return Counter(
        {
            "calls": len(calls),
            "cpu": whole["cpu"],
            "run": whole["printed"]["seconds"],
            "simulated": least,
            "steps": sum(step["printed"]["seconds"] for step in steps),
            "simulated steps": simulated(tasks, in_flight, node_after_node=True)[0],
            "first": first,
            "simulated first": least_first,
            "soonest": simulated(tasks, math.inf)[1],
        }
    )


COLUMNS = (
    ("in flight", 9),
    ("draw", 6),
    ("calls", 7),
    ("CPU s", 7),
    ("run s", 8),
    ("simulated s", 13),
    ("node after node s", 19),
    ("simulated s", 13),
    ("first s", 9),
    ("simulated s", 13),
    ("at best s", 11),
)


def shown(name: str, draw: str, one: Counter[str]) -> str:
    """A line of the table."""
    seconds = ("cpu", "run", "simulated", "steps", "simulated steps", "first", "simulated first", "soonest")
    texts = [name, draw, str(int(one["calls"])), *(f"{one[column]:.2f}" for column in seconds)]
    return "".join(f"{text:>{width}}" for text, (_, width) in zip(texts, COLUMNS, strict=True))


def judged(in_flight: int, total: Counter[str]) -> tuple[str, list[str]]:
    """Shares in words, and what misses a budget."""
    ideal, barrier = total["run"] / total["simulated"], total["run"] / total["steps"]
    first, soonest = total["first"] / total["run"], total["soonest"] / total["run"]
    told = (
        f"{'':>9}  {ideal:.3f} of the simulated time, {barrier:.3f} of that node after node; the first"
        f" conversation after {first:.1%}, at best {soonest:.1%}"
    )
    budgets = (
        (f"{ideal:.3f} of the simulated time", ideal, IDEAL_BUDGET),
        (f"{barrier:.3f} of the time node after node", barrier, BARRIER_BUDGETS.get(in_flight, 1.0)),
        (f"the first conversation after {first:.3f}", first, max(FIRST_BUDGET, SOONEST_BUDGET * soonest)),
    )
    return told, [
        f"{in_flight} in flight: {text}, above {budget:.3f}"
        for text, found, budget in budgets
        if found > budget
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--draws", type=int, default=8, help="how often latencies are drawn anew")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a budget is missed")
    given = parser.parse_args()
    missed = []
    print(f"{given.documents} documents, load {os.getloadavg()[0]:.1f}")
    print("".join(f"{name:>{width}}" for name, width in COLUMNS))
    for in_flight in given.in_flight:
        total: Counter[str] = Counter()
        for draw in range(given.draws):
            settings = SETTINGS | {"seed": draw}
            with endpoint(**settings) as server:
                one = run(server, given.documents, in_flight, settings)
            total.update(one)
            print(shown(str(in_flight), str(draw), one), flush=True)
        told, above = judged(in_flight, total)
        print(told, flush=True)
        missed += above
    for line in missed:
        print(f"missed: {line}")
    return int(bool(missed) and given.check)


if __name__ == "__main__":
    raise SystemExit(main())
