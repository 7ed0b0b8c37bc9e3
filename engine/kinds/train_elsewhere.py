"""A training that another trainer does: handed over as a folder, and its model taken up when it is there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.kinds.base import Context, KindError
from engine.training.backends import COMMANDS, Handover, handed_over

if TYPE_CHECKING:
    from engine.kinds.train_data import Preparation
    from engine.training.job import Job

WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "adapter_model*.bin")


def handed(ready: Preparation) -> Job:
    """The job folder, with what the trainer takes."""
    backend = ready.settings.backend
    draws = bool(ready.shares())
    examples = (
        [ready.examples[at] for sequence in ready.order for at in sequence] if draws else ready.examples
    )
    given = Handover(
        ready.recipe,
        ready.start,
        ready.report.steps,
        ready.packed,
        1 if draws else ready.recipe.epochs,
        examples,
        [one for each in ready.inputs for one in each.held_out],
        [row for each in ready.inputs for row in each.rows] if ready.settings.method == "dpo" else [],
        ready.tokenizer.chat.source,
        ready.settings.options or {},
    )
    made = ready.draft()
    config = handed_over(backend, given, made.folder)
    for one in ready.inputs:
        made.rows(f"{one.name.replace('.', '_')}.jsonl", one.rows)
    made.text("data/chat_template.jinja", given.template)
    made.text("report.md", ready.report.text(ready.context.node.name))
    # Where the model lies that it starts from is no part of what comes of it.
    told = {name: value for name, value in config.items() if value != str(ready.start)}
    return made.finish({**ready.asked(), "backend": backend, "config": told, "versions": {}}, None)


def come(context: Context, job: Job, backend: str, steps: int) -> dict[str, Any] | None:
    """What the trainer left: steps (as planned, where it does not say), loss, seconds; None where there is
    no model yet.

    Raises `KindError` where a node needs it. What the trainer does not know is set right: the chat
    template that the data was made by, and the tokens that end a reply.
    """
    if not any(any(job.model.glob(pattern)) for pattern in WEIGHTS):
        needing = [one.name for one in context.program.nodes.values() if context.node.name in one.waits]
        where = f"run `{COMMANDS[backend]}` in {job.folder}"
        if needing:
            message = f"`{context.node.name}` is trained by {backend}, and `{needing[0]}` needs its model"
            raise KindError(message, f"{where}, then this again")
        context.say(f"handed over: {where}")
        return None
    template = (job.folder / "data" / "chat_template.jinja").read_text("utf-8")
    (job.model / "chat_template.jinja").write_text(template, "utf-8")
    if (job.model / "config.json").is_file():
        path = job.model / "generation_config.json"
        path.write_text(json.dumps(_json(path) | {"eos_token_id": job.asked["stop"]}, indent=2), "utf-8")
    state = _json(job.model / "trainer_state.json")
    losses = [one["loss"] for one in state.get("log_history", []) if "loss" in one]
    seconds = [one["train_runtime"] for one in state.get("log_history", []) if "train_runtime" in one]
    return {
        "steps": state.get("global_step", steps),
        "loss": losses[-1] if losses else None,
        "seconds": seconds[-1] if seconds else None,
    }


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return dict(found) if isinstance(found, Mapping) else {}
