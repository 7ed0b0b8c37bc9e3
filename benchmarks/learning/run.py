"""What variations of documents are worth, measured: a small model learns invented facts.

    python benchmarks/learning/run.py                   # three seeds, some minutes; the base is made once
    python benchmarks/learning/run.py --seeds 1 --count 10
    python benchmarks/learning/run.py --check           # exit 1 where it is not as claimed

A base model grows up in a world of its own (`base.atk`). Two models start from it and read of another
world, one 30 copies of each document, one 30 variations of it (`learning.atk`); both are shown how half
of the facts are asked for, and examined on the other half, which no question was ever trained for. With
`--firms`, `--size`, `--layers` and `--count` it grows; what is asked for in the graphs is set by `-p`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

from world import HELD_OUT, KNOWN, Fact, Maker, document, variation  # noqa: E402

END, PAD = "<|im_end|>", "<|pad|>"
ARMS = ("base", "copies", "variations")
MARKS = "SELECT arm, phrasing, right_share FROM marks"


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def world_a(folder: Path, firms: int, seed: int = 1) -> Maker:
    """Texts and conversations that the base model grows up with."""
    maker, draw = Maker(seed), random.Random(seed)
    made = maker.firms(firms)
    texts = [variation(facts, draw) for facts in made for _ in range(5)]
    talks = [
        (fact.asked(form), fact.answer)
        for facts in made
        for fact in facts
        for form in draw.sample(range(4), 3)
    ]
    write(folder / "a/texts.jsonl", ({"text": text} for text in texts))
    write(folder / "a/talks.jsonl", ({"question": asked, "answer": answer} for asked, answer in talks))
    return maker


def world_b(folder: Path, maker: Maker, firms: int, seed: int) -> None:
    """Documents of new firms, questions for half of their facts, and an exam on the other half."""
    maker.random = random.Random(f"b {seed}")
    made = maker.firms(firms)
    facts = [fact for firm in made for fact in firm]
    maker.random.shuffle(facts)
    shown, asked = facts[: len(facts) // 2], facts[len(facts) // 2 :]
    write(folder / "b/documents.jsonl", ({"text": document(firm)} for firm in made))
    write(
        folder / "b/talks.jsonl",
        ({"question": fact.asked(form), "answer": fact.answer} for fact in shown for form in KNOWN),
    )
    write(folder / "b/exam.jsonl", (question(fact, form) for fact in asked for form in (*KNOWN, *HELD_OUT)))


def question(fact: Fact, form: int) -> dict[str, str]:
    phrasing = "known" if form in KNOWN else "held out"
    return {
        "question": fact.asked(form),
        "value": fact.value,
        "relation": fact.relation,
        "phrasing": phrasing,
    }


def untrained(folder: Path, size: int, layers: int, words: int) -> None:
    """A Llama with random weights and a tokenizer of world A's words."""
    import torch
    from tokenizers import AddedToken, ByteLevelBPETokenizer
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

    texts = [line for path in sorted((folder / "a").iterdir()) for line in path.read_text().splitlines()]
    learnt = ByteLevelBPETokenizer()
    learnt.train_from_iterator(texts, vocab_size=words, show_progress=False)
    marks = [END, PAD, "<|im_start|>"]
    learnt.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=learnt._tokenizer, eos_token=END, pad_token=PAD)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=size, intermediate_size=4 * size, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512, tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(folder / "untrained")
    tokenizer.save_pretrained(folder / "untrained")


def run(graph: str, folder: Path, values: Mapping[str, str]) -> None:
    """One graph in one folder, as `atk exec` does it."""
    from engine import runtime
    from engine.runtime.engine import Options

    program = runtime.load(str(HERE / graph), values=values, root=folder)
    if not program.ok:
        raise SystemExit("\n".join(one.message for one in program.diagnostics))
    options = Options(root=folder, store=folder / ".atk" / "store.duckdb", out=folder)
    summary = asyncio.run(runtime.execute(program, options))
    if summary.errors:  # a question that got no whole answer is a row that failed, and no error
        raise SystemExit(f"{graph}: {summary.errors or summary.status}")


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    from engine.store import connect

    connection = connect(folder / ".atk" / "store.duckdb")
    try:
        return connection.sql(query).fetchall()
    finally:
        connection.close()


def base(cache: Path, options: argparse.Namespace, values: Mapping[str, str]) -> tuple[Path, Maker]:
    """The base model's folder, made once for each size and set of values."""
    name = f"base-{options.size}-{options.layers}-{options.words}-{options.grown}"
    folder = cache / name
    maker = world_a(folder, options.grown)
    if not (folder / "untrained" / "config.json").exists():
        untrained(folder, options.size, options.layers, options.words)
    run("base.atk", folder, values)
    return folder, maker


def measured(
    seed: int, home: Path, options: argparse.Namespace, values: Mapping[str, str]
) -> dict[tuple[str, str], float]:
    """One seed: the shares of right answers, by arm and phrasing."""
    folder = options.cache / f"{home.name}-{options.firms}-seed-{seed}"
    shutil.copytree(home / "a", folder / "a", dirs_exist_ok=True)
    shutil.copytree(home / "out/models/base/latest/model", folder / "base", dirs_exist_ok=True)
    world_b(folder, world_a(folder, options.grown), options.firms, seed)
    run("learning.atk", folder, {"seed": str(seed), "count": str(options.count), **values})
    return {(arm, phrasing): right for arm, phrasing, right in rows(folder, MARKS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--count", type=int, default=30, help="texts for each document")
    parser.add_argument("--firms", type=int, default=13, help="of world B, four facts each")
    parser.add_argument("--grown", type=int, default=200, help="firms of world A")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--words", type=int, default=2_000)
    parser.add_argument("-p", action="append", default=[], metavar="NAME=VALUE", help="for learning.atk")
    parser.add_argument("--base", action="append", default=[], metavar="NAME=VALUE", help="for base.atk")
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "atk" / "learning"
    parser.add_argument("--cache", type=Path, default=default, help="where models are kept")
    parser.add_argument("--check", action="store_true", help="exit 1 where it is not as claimed")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("ATK_TRAINERS", str(min(os.cpu_count() or 1, 2)))
    os.environ["HF_HUB_OFFLINE"] = "1"
    options.cache = options.cache.resolve()
    began = time.monotonic()
    home, _ = base(options.cache, options, dict(one.split("=", 1) for one in options.base))
    print(f"base model: {time.monotonic() - began:.0f} s")
    found, began = [], time.monotonic()
    print(f"{'':12} " + " ".join(f"{arm:>21}" for arm in ARMS))
    print(f"{'seed':12} " + " ".join(f"{'known':>10} {'held out':>10}" for _ in ARMS) + "   seconds")
    for seed in range(1, options.seeds + 1):
        started = time.monotonic()
        found.append(measured(seed, home, options, dict(one.split("=", 1) for one in options.p)))
        print(f"{seed:<12} " + shown(found[-1]) + f"   {time.monotonic() - started:7.0f}", flush=True)
    mean = {key: statistics.mean(one[key] for one in found) for key in found[0]}
    print(f"{'mean':12} " + shown(mean) + f"   {time.monotonic() - began:7.0f} in all")
    both = {arm: (mean[arm, "known"] + mean[arm, "held out"]) / 2 for arm in ARMS}
    print("facts never asked for: " + ", ".join(f"{arm} {share:.0%}" for arm, share in both.items()))
    if options.check and not (both["variations"] >= 0.5 and both["copies"] < 0.1 and both["base"] == 0):
        raise SystemExit("not as claimed: variations 50 % and more, copies below 10 %, the base nothing")


def shown(found: Mapping[tuple[str, str], float]) -> str:
    return " ".join(f"{found[arm, 'known']:>10.0%} {found[arm, 'held out']:>10.0%}" for arm in ARMS)


if __name__ == "__main__":
    main()
