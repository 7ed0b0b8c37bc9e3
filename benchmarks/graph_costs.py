"""What each shipped graph asks for 1 MB of text: calls, tokens in and out.

    python benchmarks/graph_costs.py           # a table
    python benchmarks/graph_costs.py --write   # and into docs/graphs.md

Each graph runs offline, without its `dev` profile, over the first 100,000 characters of a manual (the
conversations that come with `thoughts`, for that one). Calls and tokens of the store's `calls` are scaled
to 1 MB. They are counted with the offline stand-in, whose replies are shorter than a model's: the tokens
out are what a careful reader would double.

What `classifier` and `grpo` ask is a matter of their params and not of the text, and nothing is trained here.
Of `classifier` the texts that are labelled before the first training are labelled, and what all rounds label
is reckoned by them. For `grpo` the replies that come with `thoughts` are judged in place of those that a
model would give, and the number of replies is that of its plan.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path

HOUSE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOUSE))

from engine import runtime  # noqa: E402
from engine.kinds.manual import table  # noqa: E402
from engine.language.program import Program  # noqa: E402
from engine.runtime.events import Plan  # noqa: E402
from engine.store.reader import open_reader  # noqa: E402

CHARACTERS = 100_000
PRICE_IN, PRICE_OUT = 0.26, 0.39  # dollars for a million tokens, as docs/models.md has them
NEEDS = {"factual": {"domain": "Army training"}, "complete": {"least": "1"}}
GRAPHS = (
    *("clean_pdf", "factual", "variations", "rag", "corrections", "style", "roleplay", "poem", "quickstart"),
    *("rounds", "thoughts", "complete", "exam", "classifier", "grpo"),
)
HEAD = ("graph", "calls", "tokens in", "tokens out", "price")
CALLS = "SELECT count(*), sum(tokens_in), sum(tokens_out) FROM calls"
JUDGED = """
use "grpo.atk" as grpo

param inputs: path = "conversations/chats.jsonl"
param wanted: str = "{wanted}"

source chats -> {{ messages: {{ role: str, content: str }}[] }}[] {{ path = inputs }}
sql replies {{
  query = "{query}"
}}
grpo.liking liked from replies {{ wanted = wanted, votes = 1 }}
"""
QUERY = (
    "SELECT chats_id, messages[:-2] AS messages, messages[-1].content AS reply, true AS finished FROM chats"
)

Cost = tuple[float, float, float]
"""Calls, tokens in, tokens out."""


def measured(graph: str) -> tuple[str, ...]:
    """One line of the table: calls, tokens in, tokens out, in thousands, and the price."""
    for name in ("ATK_BASE_URL", "ATK_MODEL", "ATK_API_KEY", "OPENAI_API_KEY"):
        os.environ.pop(name, None)  # nobody's endpoint is asked, and paid, for this
    with tempfile.TemporaryDirectory() as folder:
        calls, tokens_in, tokens_out = OWN.get(graph, by_text)(graph, Path(folder))
    price = (tokens_in * PRICE_IN + tokens_out * PRICE_OUT) / 1_000_000
    return (
        f"`{graph}`",
        f"{calls:,.0f}",
        f"{tokens_in / 1_000:,.0f} k",
        f"{tokens_out / 1_000:,.0f} k",
        f"${price:,.2f}",
    )


def by_text(graph: str, root: Path) -> Cost:
    """What grows with the text, for 1 MB of it."""
    values = NEEDS.get(graph, {}) | ({} if graph == "thoughts" else {"inputs": manual(root)})
    if graph in ("poem", "roleplay", "rounds"):
        values |= {"limit": "1000"}
    found = paid(runtime.load(graph, values=values, root=root), root)
    size = (HOUSE / "graphs/conversations/chats.jsonl").stat().st_size if graph == "thoughts" else CHARACTERS
    return scaled(found, 1_000_000 / size)


def by_labels(graph: str, root: Path) -> Cost:
    """One call for the rules, and those for each text that is labelled, if no round is spared."""
    program = runtime.load(graph, values={"inputs": manual(root)}, root=root)
    rules = paid(program, root, "+written")
    labels = [
        whole - own for whole, own in zip(paid(program, root, "+seeds", "+compared"), rules, strict=True)
    ]
    value = {name: param.value for name, param in program.params.items()}
    labelled = value["held_out"] + value["first"]
    times = (labelled + value["rounds"] * value["more"]) / labelled
    return tuple(own + label * times for own, label in zip(rules, labels, strict=True))  # type: ignore[return-value]


def by_steps(graph: str, root: Path) -> Cost:
    """One call for each reply that is judged."""
    program = runtime.load(graph, root=root)
    (told,) = [line for line in planned(program, root).nodes if line.name == "actor.liking.marked"]
    text = JUDGED.format(wanted=program.params["wanted"].value, query=QUERY).replace(
        "grpo.atk", f"{HOUSE}/graphs/grpo.atk"
    )
    path = root / "judged.atk"
    path.write_text(text, encoding="utf-8")
    inputs = HOUSE / "graphs/conversations/chats.jsonl"
    found = paid(runtime.load(str(path), values={"inputs": str(inputs)}, root=root), root)
    return scaled(found, (told.to_call or 0) / found[0])


OWN = {"classifier": by_labels, "grpo": by_steps}


def manual(root: Path) -> str:
    """Part of a manual, where the graph will read it."""
    text = (HOUSE / "tests/data/manuals/fm-7-0-training.txt").read_text(encoding="utf-8")
    (root / "manual.txt").write_text(text[:CHARACTERS], encoding="utf-8")
    return "manual.txt"


def options_in(root: Path, *select: str) -> runtime.Options:
    return runtime.Options(root=root, store=root / "store.duckdb", out=root, select=select)


def planned(program: Program, root: Path) -> Plan:
    return runtime.plan(program, options_in(root))


def paid(program: Program, root: Path, *select: str) -> Cost:
    """What all runs in this folder have asked, after one more."""
    if not program.ok:
        raise SystemExit("\n".join(map(str, program.diagnostics)))
    summary = asyncio.run(runtime.execute(program, options_in(root, *select), lambda event: None))
    ended = {name: node.state for name, node in summary.progress.items()}
    if {"failed", "stopped"} & set(ended.values()):  # rows that failed were asked for like the others
        raise SystemExit(f"{program.name} did not run to its end: {ended}")
    with open_reader(root / "store.duckdb") as reader:
        calls, tokens_in, tokens_out = reader.sql(CALLS).rows[0]
    return calls, tokens_in, tokens_out


def scaled(cost: Cost, times: float) -> Cost:
    return cost[0] * times, cost[1] * times, cost[2] * times


def written(page: str, made: str) -> str:
    """The page with that table in place of the one before; all else stays."""
    before, start, rest = page.partition("<!-- generated: costs -->\n")
    _, end, after = rest.partition("<!-- end -->")
    return f"{before}{start}\n{made}\n\n{end}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/graphs.md")
    asked = parser.parse_args()
    made = table(HEAD, [measured(graph) for graph in GRAPHS])
    print(made)
    if asked.write:
        page = HOUSE / "docs/graphs.md"
        page.write_text(written(page.read_text(encoding="utf-8"), made.strip()), encoding="utf-8")


if __name__ == "__main__":
    main()
