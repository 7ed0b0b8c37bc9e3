"""What each shipped graph asks for 1 MB of text: calls, tokens in and out.

    python benchmarks/graph_costs.py           # a table
    python benchmarks/graph_costs.py --write   # and into docs/graphs.md

Each graph runs offline, without its `dev` profile, over the first 100,000 characters of a manual (the
conversations that come with `thoughts`, for that one). Calls and tokens of the store's `calls` are scaled
to 1 MB. They are counted with the offline stand-in, whose replies are shorter than a model's: the tokens
out are what a careful reader would double.
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
from engine.kinds.manual import renewed, table  # noqa: E402
from engine.store.reader import open_reader  # noqa: E402

CHARACTERS = 100_000
NEEDS = {"factual": {"domain": "Army training"}, "complete": {"least": "1"}}
GRAPHS = (
    *("clean_pdf", "factual", "variations", "rag", "corrections", "style", "roleplay", "poem", "quickstart"),
    *("rounds", "thoughts", "complete"),
)


def measured(graph: str) -> tuple[str, ...]:
    """One line of the table: calls, tokens in, tokens out, in thousands, for 1 MB."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        manual = (HOUSE / "tests/data/manuals/fm-7-0-training.txt").read_text(encoding="utf-8")
        (root / "manual.txt").write_text(manual[:CHARACTERS], encoding="utf-8")
        values = NEEDS.get(graph, {}) | ({} if graph == "thoughts" else {"inputs": "manual.txt"})
        if graph in ("poem", "roleplay", "rounds"):
            values |= {"limit": "1000"}
        for name in ("ATK_BASE_URL", "ATK_MODEL", "ATK_API_KEY", "OPENAI_API_KEY"):
            os.environ.pop(name, None)  # nobody's endpoint is asked, and paid, for this
        program = runtime.load(graph, values=values, root=root)
        options = runtime.Options(root=root, store=root / "store.duckdb", out=root)
        summary = asyncio.run(runtime.execute(program, options, lambda event: None))
        ended = {name: node.state for name, node in summary.progress.items()}
        if {"failed", "stopped"} & set(ended.values()):  # rows that failed were asked for like the others
            raise SystemExit(f"{graph} did not run to its end: {ended}")
        with open_reader(root / "store.duckdb") as reader:
            calls, tokens_in, tokens_out = reader.sql(
                "SELECT count(*), sum(tokens_in), sum(tokens_out) FROM calls"
            ).rows[0]
    size = (HOUSE / "graphs/conversations/chats.jsonl").stat().st_size if graph == "thoughts" else CHARACTERS
    scale = 1_000_000 / size
    return (
        f"`{graph}`",
        f"{calls * scale:,.0f}",
        f"{tokens_in * scale / 1_000:,.0f} k",
        f"{tokens_out * scale / 1_000:,.0f} k",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/graphs.md")
    made = table(("graph", "calls", "tokens in", "tokens out"), [measured(graph) for graph in GRAPHS])
    print(made)
    if parser.parse_args().write:
        page = HOUSE / "docs/graphs.md"
        page.write_text(renewed(page.read_text(encoding="utf-8"), {"costs": lambda: made}), encoding="utf-8")


if __name__ == "__main__":
    main()
