"""The card of a trained model: a `README.md` in its folder, for people and for the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.training.job import Job

BEGIN, END = "<!-- exam -->", "<!-- end of exam -->"
METHODS = {
    "cpt": "continued pretraining on texts",
    "sft": "fine-tuning on conversations",
    "classifier": "classification of texts",
    "grpo": "reinforcement by rewards that graphs give",
    "dpo": "preference optimization on pairs of answers",
}


def card(
    job: Job,
    done: Mapping[str, Any],
    inputs: Mapping[str, int],
    warnings: Sequence[str],
    made: Sequence[str] = (),
    spent: Sequence[tuple[str, int, float]] = (),
) -> str:
    """What was done, on what, and what it came to. `inputs` are rows by table, `made` lines on how those
    came to be: the graph, its prompts, the models that were asked; `spent` are calls and USD by what they
    were for."""
    asked, rate = job.asked, job.asked["trainer"]
    loss = "not measured" if done["loss"] is None else f"{done['loss']:.4g}"
    rows = [
        ("method", METHODS[asked["method"]]),
        ("started from", f"`{asked['start']}` ({asked['start_digest'][:12]})"),
        ("weights", _weights(asked)),
        ("steps", f"{done['steps']:,}"),
        ("learning rate", f"{rate['learning_rate']:g}, {rate['lr_scheduler_type']}"),
        ("final loss", loss),
        ("job", f"`{job.key}`"),
        (
            "with",
            asked.get("backend") or ", ".join(f"{n} {version}" for n, version in asked["versions"].items()),
        ),
    ]
    rows[-2:-2] = [(f"{what} cost", f"${cost:,.2f} in {calls:,} calls") for what, calls, cost in spent]
    stops = done.get("stops")
    if stops:
        rows.insert(-2, ("replies that end", f"{stops['ended']} of {stops['tried']} tried"))
        if stops["ended"] < stops["tried"]:
            rest = "it does not always stop: train for more steps, or on whole replies"
            rows.insert(-2, ("warning", rest))
    parts = ["---\nlibrary_name: transformers\ntags: [atk]\n---\n", f"# {asked['node']}\n"]
    parts.append("| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows) + "\n")
    parts.append("Trained on\n")
    parts.append("\n".join(f"- `{name}`: {count:,} rows" for name, count in inputs.items()) + "\n")
    if made:
        parts.append("Made by\n")
        parts.append("\n".join(f"- {line}" for line in made) + "\n")
    if warnings:
        parts.append("Said beforehand\n")
        parts.append("\n".join(f"- {line}" for line in warnings) + "\n")
    parts.append("License: unknown. It follows from the model it started from and from the data.\n")
    return "\n".join(parts)


def examined(card: str, result: str) -> str:
    """The card with the result of an exam, in place of an earlier one."""
    before, _, rest = card.partition(BEGIN)
    after = rest.partition(END)[2] if rest else ""
    return f"{before.rstrip()}\n\n{BEGIN}\n{result.strip()}\n{END}\n{after.lstrip()}"


def result_in(card: str) -> str | None:
    """The result of an exam that stands in a card."""
    found = card.partition(BEGIN)[2].partition(END)[0].strip()
    return found or None


def _weights(asked: Mapping[str, Any]) -> str:
    if not asked["lora"]:
        return "all were trained"
    kind = f"LoRA, r {asked['lora']['r']}"
    return f"{kind}, merged" if asked["merge"] else f"{kind}: an adapter, which needs what it started from"
