"""Trains the model of this job: `python train.py`. Goes on from the last checkpoint, if there is one.

Reads job.json, data/tokens.parquet (examples, or pairs of answers) and data/order.parquet (which of
them make up each sequence, in their order); writes metrics.jsonl, checkpoints/ and model/.
"""

import json
import os
import threading
import time
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pyarrow.parquet as parquet
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

HERE = Path(__file__).resolve().parent
JOB = json.loads((HERE / "job.json").read_text("utf-8"))
GPU = torch.cuda.is_available() and JOB["device"] != "cpu"
STARTED = time.time()

if os.environ.get("ATK_TRAINER_WATCHED"):  # who started us holds our stdin: we end when they do
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(130)), daemon=True).start()


class Pairs(DPOTrainer):
    """Takes pairs of answers that are tokens already."""

    def _prepare_dataset(self, dataset, *_):
        return dataset


class Metrics(TrainerCallback):
    """One line a measurement, for whoever follows."""

    def on_log(self, args, state, control, logs=None, **_):
        epoch = round(state.global_step / max(state.max_steps, 1) * JOB["epochs"], 4)
        line = {**(logs or {}), "step": state.global_step, "epoch": epoch, "seconds": time.time() - STARTED}
        with (HERE / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def load(folder):
    """The model that is started from; an adapter is merged into the model beneath it."""
    dtype = JOB["dtype"] if JOB["dtype"] != "auto" else "bfloat16" if GPU else "float32"
    # Several texts in one sequence are kept apart by their positions; this does it fastest on a card.
    fast = "flash_attention_2" if GPU and JOB["packing"] and find_spec("flash_attn") else None
    if not (Path(folder) / "adapter_config.json").exists():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=fast)
    below = json.loads((Path(folder) / "adapter_config.json").read_text())["base_model_name_or_path"]
    return PeftModel.from_pretrained(load(below), folder).merge_and_unload()


def sequences(order, tokens):
    """The sequences as a data set: each joined of its examples when it is its turn."""

    def join(batch):
        parts = [tokens[rows] for rows in batch["rows"]]
        joined = {name: [[*chain(*one[name])] for one in parts] for name in ("input_ids", "labels")}
        return joined | {"seq_lengths": [[len(ids) for ids in one["input_ids"]] for one in parts]}

    order.set_transform(join)
    return order


def read(name):
    path = HERE / "data" / name
    return Dataset(parquet.read_table(path)) if path.exists() else None


tokenizer = AutoTokenizer.from_pretrained(JOB["start"])
tokenizer.chat_template = (HERE / "data" / "chat_template.jinja").read_text("utf-8")
model = load(JOB["start"])
model.generation_config.eos_token_id = JOB["stop"] or model.generation_config.eos_token_id
settings = {
    "output_dir": str(HERE / "checkpoints"),
    "num_train_epochs": 1,  # all epochs are one after another in data/order.parquet
    "train_sampling_strategy": "sequential",
    "max_length": None,
    "remove_unused_columns": False,
    "bf16": GPU,
    "use_cpu": not GPU,
    "gradient_checkpointing": GPU,
    "report_to": "none",
    "disable_tqdm": True,
    **JOB["trainer"],
}
order, examples = read("order.parquet"), read("tokens.parquet")
if JOB["method"] == "dpo":
    sort, config = Pairs, DPOConfig(**settings)
    data = examples.select([*chain(*order["rows"])])
else:
    more = {"padding_free": JOB["packing"], "dataset_kwargs": {"skip_prepare_dataset": True}}
    sort, config = SFTTrainer, SFTConfig(**{**more, **settings})
    data = sequences(order, examples)
trainer = sort(
    model=model,
    args=config,
    train_dataset=data,
    eval_dataset=read("held_out.parquet"),
    processing_class=tokenizer,
    peft_config=LoraConfig(task_type="CAUSAL_LM", **JOB["lora"]) if JOB["lora"] else None,
    callbacks=[Metrics()],
)
whole = [one for one in (HERE / "checkpoints").glob("checkpoint-*") if (one / "trainer_state.json").exists()]
last = max(whole, key=lambda one: int(one.name.rpartition("-")[2]), default=None)
result = trainer.train(resume_from_checkpoint=str(last) if last else None)
trained = trainer.model
if JOB["lora"] and JOB["merge"]:
    trained = trained.merge_and_unload()
trained.save_pretrained(HERE / "model")
tokenizer.save_pretrained(HERE / "model")
model.generation_config.save_pretrained(HERE / "model")  # an adapter's too: it knows where to stop
losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
done = {"steps": result.global_step, "loss": losses[-1] if losses else None, "seconds": time.time() - STARTED}
(HERE / "done.json").write_text(json.dumps(done))
