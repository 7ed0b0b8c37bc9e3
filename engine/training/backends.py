"""Trainers besides TRL: the job's data and settings in the form that they take.

They read the tokens and labels that our own script would, so that the same is learnt; only `axolotl`'s
preference pairs go over as texts, since it has no other form for those. Each trainer pins versions of its
own (docs/decisions/backends.md), so it is run by hand, where it is installed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from engine.frozen import dataclass
from engine.training.encoding import UNTRAINED, Example
from engine.training.recipes import Recipe

Backend = Literal["trl", "axolotl", "llamafactory"]
SET = {"axolotl": "data/axolotl/train.parquet", "llamafactory": "data/llamafactory"}
HELD_OUT = "data/axolotl/held_out.parquet"
PAIRS = "data/axolotl/pairs.jsonl"
COMMANDS = {
    "axolotl": "axolotl train axolotl.yaml",
    "llamafactory": "llamafactory-cli train llamafactory.yaml",
}
STAGES = {"cpt": "pt", "sft": "sft", "dpo": "dpo"}


@dataclass(frozen=True)
class Handover:
    """What a trainer gets. `examples` are in the order in which they are seen, `epochs` times."""

    recipe: Recipe
    start: Path
    steps: int
    packed: bool
    epochs: int
    examples: Sequence[Example]
    held_out: Sequence[Example]
    pairs: Sequence[Mapping[str, Any]]  # of `dpo`: rows with `prompt`, `chosen`, `rejected`
    template: str  # the chat template's source
    options: Mapping[str, Any]  # of the trainer, over all else

    @property
    def checkpoint(self) -> int:
        """Steps from one checkpoint to the next."""
        return self.recipe.checkpoint or max(math.ceil(self.steps / max(self.recipe.epochs, 1)), 1)


def handed_over(backend: Backend, given: Handover, folder: Path) -> dict[str, Any]:
    """Writes the data and the configuration into a job folder; gives the configuration."""
    config = axolotl(given) if backend == "axolotl" else llamafactory(given)
    if backend == "axolotl":
        _for_axolotl(given, folder)
    else:
        _saved(folder / SET[backend], given)
    config |= given.options
    (folder / f"{backend}.yaml").write_text(yaml(config), "utf-8")
    (folder / "README.md").write_text(_how(backend, given), "utf-8")
    return config


def axolotl(given: Handover) -> dict[str, Any]:
    """`axolotl.yaml`, by the keys of axolotl 0.19."""
    recipe = given.recipe
    config: dict[str, Any] = {"base_model": str(given.start), "output_dir": "model"}
    if recipe.method == "dpo":
        texts = {"field_messages": "prompt", "field_chosen": "chosen", "field_rejected": "rejected"}
        config |= {"rl": "dpo", "datasets": [{"path": PAIRS, "type": "chat_template.default", **texts}]}
    else:
        config["datasets"] = [{"path": SET["axolotl"], "ds_type": "parquet", "type": ""}]
        if given.held_out:
            held = {"path": HELD_OUT, "ds_type": "parquet", "type": "", "split": "train"}
            config |= {"test_datasets": [held], "eval_steps": given.checkpoint}
    packed = given.packed and recipe.method != "dpo"  # pairs are not packed
    if packed:
        config["attn_implementation"] = "flash_attention_2"  # what keeps packed texts apart
    config |= {
        "dataset_prepared_path": "data/prepared",
        "shuffle_merged_datasets": given.epochs == recipe.epochs,
        "sequence_len": recipe.length,
        "sample_packing": packed,
        "chat_template": "jinja",
        "chat_template_jinja": given.template,
        "num_epochs": given.epochs,
        "micro_batch_size": recipe.micro_batch,
        "gradient_accumulation_steps": recipe.batch // recipe.micro_batch,
        "optimizer": "adamw_torch",
        "learning_rate": recipe.learning_rate,
        "lr_scheduler": recipe.schedule,
        "warmup_steps": math.ceil(recipe.warmup * given.steps),
        "weight_decay": recipe.weight_decay,
        "seed": recipe.seed,
        "bf16": recipe.dtype != "float32" and ("auto" if recipe.dtype == "auto" else True),
        "logging_steps": max(1, min(10, given.steps // 50)),
        "save_steps": given.checkpoint,
        "save_total_limit": 2,
    }
    if recipe.steps:
        config["max_steps"] = recipe.steps
    if recipe.neftune:
        config["neftune_noise_alpha"] = recipe.neftune
    if recipe.lora:
        config |= {"adapter": "lora", "lora_target_linear": True, "lora_r": recipe.lora["r"]}
        config |= {
            "lora_alpha": recipe.lora["lora_alpha"],
            "lora_dropout": recipe.lora.get("lora_dropout", 0),
        }
    return config


def llamafactory(given: Handover) -> dict[str, Any]:
    """`llamafactory.yaml`, by the keys of LLaMA-Factory 0.9.5."""
    recipe = given.recipe
    config: dict[str, Any] = {
        "model_name_or_path": str(given.start),
        "stage": STAGES[recipe.method],
        "do_train": True,
        "finetuning_type": "lora" if recipe.lora else "full",
        "dataset": "trainer",
        "tokenized_path": SET["llamafactory"],
        "template": "empty",
        "cutoff_len": recipe.length,
        "output_dir": "model",
        "num_train_epochs": float(given.epochs),
        "per_device_train_batch_size": recipe.micro_batch,
        "gradient_accumulation_steps": recipe.batch // recipe.micro_batch,
        "learning_rate": recipe.learning_rate,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": math.ceil(recipe.warmup * given.steps),
        "weight_decay": recipe.weight_decay,
        "seed": recipe.seed,
        "bf16": recipe.dtype != "float32",
        "disable_shuffling": given.epochs != recipe.epochs,
        "logging_steps": max(1, min(10, given.steps // 50)),
        "save_steps": given.checkpoint,
        "save_total_limit": 2,
        "report_to": "none",
    }
    if given.held_out:
        config |= {"eval_strategy": "steps", "eval_steps": given.checkpoint}
    if recipe.steps:
        config["max_steps"] = recipe.steps
    if recipe.neftune:
        config["neftune_noise_alpha"] = recipe.neftune
    if recipe.lora:
        config |= {
            "lora_target": "all",
            "lora_rank": recipe.lora["r"],
            "lora_alpha": recipe.lora["lora_alpha"],
        }
        config["lora_dropout"] = float(recipe.lora.get("lora_dropout", 0))
    return config


def yaml(config: Mapping[str, Any]) -> str:
    """A flat configuration as YAML, each value as JSON, which YAML reads.

    But for floats: PyYAML takes `1e-05`, which has no point, for a string.
    """
    return "".join(f"{name}: {_written(value)}\n" for name, value in config.items())


def _written(value: Any) -> str:
    if isinstance(value, float):
        text = repr(value)
        return text if "." in text else text.replace("e", ".0e")
    return json.dumps(value, ensure_ascii=False)


def _columns(examples: Sequence[Example]) -> dict[str, list[list[int]]]:
    return {
        "input_ids": [one.tokens for one in examples],
        "attention_mask": [[1] * len(one.tokens) for one in examples],
        "labels": [one.labels for one in examples],
    }


def _paired(examples: Sequence[Example]) -> dict[str, list[list[int]]]:
    """Both sides of each pair, as LLaMA-Factory's own preparation leaves them."""
    pairs = [(one, one.rejected) for one in examples if one.rejected]
    found: dict[str, list[list[int]]] = {}
    for side, name in enumerate(("chosen", "rejected")):
        found |= {f"{name}_{key}": lists for key, lists in _columns([pair[side] for pair in pairs]).items()}
    return found


def _for_axolotl(given: Handover, folder: Path) -> None:
    (folder / SET["axolotl"]).parent.mkdir()
    if given.recipe.method == "dpo":
        with (folder / PAIRS).open("w", encoding="utf-8") as file:
            for row in given.pairs:
                file.write(json.dumps(_as_messages(row), ensure_ascii=False) + "\n")
        return
    import pyarrow.parquet as pq

    for path, examples in ((SET["axolotl"], given.examples), (HELD_OUT, given.held_out)):
        if examples:
            pq.write_table(
                _table(_columns(examples)), folder / path, compression="zstd", row_group_size=10_000
            )


def _as_messages(row: Mapping[str, Any]) -> dict[str, Any]:
    """A pair as axolotl reads it: the messages before, and on each side the last one."""
    prompt = row["prompt"]
    made: dict[str, Any] = {
        "prompt": [_message("user", prompt)] if isinstance(prompt, str) else _plain(prompt)
    }
    for side in ("chosen", "rejected"):
        value = row[side]
        made[side] = _message("assistant", value) if isinstance(value, str) else _plain(value)[-1]
    return made


def _plain(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [_message(one["role"], one["content"]) for one in messages]


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _saved(folder: Path, given: Handover) -> None:
    """A data set as `datasets.load_from_disk` reads it, with the split `train`, and `validation` if any.

    `Sequence` is the name of a list that versions before 4.0 know too.
    """
    columns = _paired if given.recipe.method == "dpo" else _columns
    splits = {"train": given.examples, "validation": given.held_out}
    made = [name for name, examples in splits.items() if examples]
    for name in made:
        _split(folder / name, columns(splits[name]))
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": made}), "utf-8")


def _split(folder: Path, columns: Mapping[str, list[list[int]]]) -> None:
    import pyarrow as pa

    folder.mkdir(parents=True)
    name = "data-00000-of-00001.arrow"
    table = _table(columns)
    with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table, max_chunksize=1_000)
    whole = {"feature": {"dtype": "int32", "_type": "Value"}, "_type": "Sequence"}
    state: dict[str, Any] = {
        "_data_files": [{"filename": name}], "_fingerprint": "0" * 16, "_format_columns": None,
        "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False, "_split": folder.name,
    }  # fmt: skip
    (folder / "state.json").write_text(json.dumps(state), "utf-8")
    (folder / "dataset_info.json").write_text(
        json.dumps({"features": dict.fromkeys(columns, whole)}), "utf-8"
    )


def _table(columns: Mapping[str, list[list[int]]]) -> Any:
    import pyarrow as pa

    return pa.table({name: pa.array(lists, pa.list_(pa.int32())) for name, lists in columns.items()})


def _how(backend: Backend, given: Handover) -> str:
    lines = [
        f"# A training for {backend}\n",
        f"In this folder, where {backend} is installed:\n",
        f"    {COMMANDS[backend]}\n",
        "The model is then in `model/`; the next `atk exec` of the graph finds it there.\n",
    ]
    if given.recipe.lora:
        lines.append("It is an adapter, which needs the model that it started from.\n")
    if backend == "llamafactory" and given.packed:
        lines.append("Texts are not packed: LLaMA-Factory packs only what it has tokenized itself.\n")
    learnt = sum(label != UNTRAINED for one in given.examples for label in one.labels)
    lines.append(f"{len(given.examples):,} examples, {learnt:,} tokens learnt, {given.steps:,} steps.\n")
    return "\n".join(lines)
