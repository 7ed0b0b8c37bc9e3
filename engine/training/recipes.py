"""Defaults, by method, and what they come to for a trainer. Why they are so: `docs/training.md`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Literal

from engine.frozen import dataclass
from engine.training.encoding import Loss

Method = Literal["cpt", "sft", "dpo", "grpo", "classifier"]

FEW_STEPS = 300
"""Steps of the optimizer below which facts hardly stick, and below which nothing is packed."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. `batch` is sequences a step; `warmup` a share of the steps."""

    method: Method
    epochs: int
    learning_rate: float
    schedule: str
    warmup: float
    length: int
    batch: int
    micro_batch: int
    packing: bool | None  # None: where it leaves steps enough
    loss: Loss
    neftune: float
    weight_decay: float
    seed: int
    steps: int | None = None
    checkpoint: int | None = None  # steps from one to the next; an epoch's if None
    lora: Mapping[str, Any] | None = None
    merge: bool = False
    dtype: str = "auto"
    device: str = "auto"
    replies: int = 1  # of `grpo`: replies to one prompt, which are held against each other
    reply_length: int = 0  # tokens of such a reply, at most

    def plain(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    def trainer(self, steps: int, held_out: bool, options: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the trainer's configuration; `options` over them, as they are."""
        an_epoch = max(math.ceil(steps / max(self.epochs, 1)), 1)
        return {
            "learning_rate": self.learning_rate,
            "lr_scheduler_type": self.schedule,
            "warmup_steps": math.ceil(self.warmup * steps),
            "per_device_train_batch_size": self.micro_batch,
            "per_device_eval_batch_size": self.micro_batch,
            "gradient_accumulation_steps": self.batch // self.micro_batch,
            "weight_decay": self.weight_decay,
            **({"neftune_noise_alpha": self.neftune or None} if self.method in ("cpt", "sft", "dpo") else {}),
            "seed": self.seed,
            "data_seed": self.seed,
            "logging_steps": max(1, min(10, steps // 50)),
            "save_strategy": "steps",
            "save_steps": self.checkpoint or an_epoch,
            "save_total_limit": 2,
            "eval_strategy": "steps" if held_out else "no",
            **({"eval_steps": an_epoch} if held_out else {}),
            **self.of_replies(steps),
            **options,
        }

    def of_replies(self, steps: int) -> dict[str, Any]:
        """What a training with rewards has besides."""
        if self.method != "grpo":
            return {}
        return {
            "max_steps": steps,
            "num_generations": self.replies,
            "max_completion_length": self.reply_length,
            "shuffle_dataset": False,
        }


CPT = Recipe(
    method="cpt", epochs=5, learning_rate=2e-5, schedule="cosine", warmup=0.05, length=4_096, batch=16,
    micro_batch=2, packing=None, loss="all", neftune=0.0, weight_decay=0.0, seed=0,
)  # fmt: skip
SFT = replace(CPT, method="sft", epochs=3, learning_rate=1e-5, packing=False, loss="assistant", neftune=5.0)
DPO = replace(SFT, method="dpo", epochs=1, learning_rate=1e-6, length=2_048, neftune=0.0)
CLASSIFIER = replace(SFT, method="classifier", learning_rate=2e-5, length=512, micro_batch=16, neftune=0.0)
GRPO = replace(
    DPO, method="grpo", schedule="constant", warmup=0.03, batch=64, micro_batch=8, steps=300, checkpoint=50,
    replies=8, reply_length=512,
)  # fmt: skip
RECIPES: Mapping[str, Recipe] = {"cpt": CPT, "sft": SFT, "dpo": DPO, "grpo": GRPO, "classifier": CLASSIFIER}
SCRIPT: Mapping[str, str] = {
    "cpt": "train.py",
    "sft": "train.py",
    "dpo": "train.py",
    "grpo": "reward.py",
    "classifier": "classify.py",
}
"""The script that does it, beside this file in `scripts/`."""
LORA_RATE: Mapping[str, float] = {"cpt": 1e-4, "sft": 1e-4, "dpo": 1e-5, "grpo": 1e-5, "classifier": 1e-4}
LORA: Mapping[str, Mapping[str, Any]] = {
    "cpt": {"r": 256, "lora_alpha": 32, "target_modules": "all-linear"},
    "sft": {"r": 64, "lora_alpha": 32, "target_modules": "all-linear"},
    "dpo": {"r": 32, "lora_alpha": 32, "target_modules": "all-linear"},
    "grpo": {"r": 64, "lora_alpha": 64, "target_modules": "all-linear"},
    "classifier": {"r": 16, "lora_alpha": 32, "target_modules": "all-linear"},
}


def recipe(method: Method, given: Mapping[str, Any], lora: Mapping[str, Any] | None) -> Recipe:
    """The method's defaults with what is given over them; `lora` is whatever of it is given."""
    made = RECIPES[method]
    if lora is not None:
        made = replace(made, lora={**LORA[method], **lora}, learning_rate=LORA_RATE[method])
    made = replace(made, **{name: value for name, value in given.items() if value is not None})
    return replace(made, micro_batch=math.gcd(made.batch, made.micro_batch))
