"""What the scripts of all jobs have in common: the job, where it got to, and what it tells of itself."""

import json
import os
import threading
import time
from pathlib import Path

import pyarrow.parquet as parquet
import torch
from datasets import Dataset
from transformers import TrainerCallback

HERE = Path(__file__).resolve().parent
JOB = json.loads((HERE / "job.json").read_text("utf-8"))
GPU = torch.cuda.is_available() and JOB["device"] != "cpu"
DTYPE = JOB["dtype"] if JOB["dtype"] != "auto" else "bfloat16" if GPU else "float32"
STARTED = time.time()

if os.environ.get("ATK_TRAINER_WATCHED"):  # who started us holds our stdin: we end when they do
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(130)), daemon=True).start()


class Metrics(TrainerCallback):
    """One line a measurement, for whoever follows."""

    def on_log(self, args, state, control, logs=None, **_):
        epoch = round(state.global_step / max(state.max_steps, 1) * JOB["epochs"], 4)
        line = {**(logs or {}), "step": state.global_step, "epoch": epoch, "seconds": time.time() - STARTED}
        with (HERE / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def settings():
    """Arguments of the trainer that are the same for all methods, and those that the job sets."""
    return {
        "output_dir": str(HERE / "checkpoints"),
        "num_train_epochs": 1,  # all epochs are one after another in data/order.parquet
        "remove_unused_columns": False,
        "bf16": GPU,
        "use_cpu": not GPU,
        "report_to": "none",
        "disable_tqdm": True,
        **JOB["trainer"],
    }


def read(name):
    """A table of the job's data; None where there is none of that name."""
    path = HERE / "data" / name
    return Dataset(parquet.read_table(path)) if path.exists() else None


def last_checkpoint():
    """The folder that a training which was stopped goes on from."""
    found = [
        one for one in (HERE / "checkpoints").glob("checkpoint-*") if (one / "trainer_state.json").exists()
    ]
    last = max(found, key=lambda one: int(one.name.rpartition("-")[2]), default=None)
    return str(last) if last else None


@torch.no_grad()
def stopping(model, examples, tries=8, room=32):
    """Of a few prompts that were trained on, how many replies end by a mark: `{"ended", "tried"}`.

    A reply may be `room` tokens longer than the longest that was trained on those prompts. None where
    nothing is answered: no prompts, or no mark to end by.
    """
    prompts, longest = [], 0
    for one in examples:
        begin = next((at for at, label in enumerate(one["labels"]) if label != -100), 0)
        if begin:
            prompts.append(one["input_ids"][:begin])
            reply = (label == -100 for label in one["labels"][begin:])
            longest = max(
                longest, next((at for at, out in enumerate(reply) if out), len(one["labels"]) - begin)
            )
        if len(prompts) == tries:
            break
    if not prompts or not JOB["stop"]:
        return None
    model.eval()
    model.config.use_cache = True
    ended = 0
    for prompt in prompts:
        ids = torch.tensor([prompt], device=model.device)
        made = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=longest + room,
            eos_token_id=JOB["stop"],
            pad_token_id=JOB["stop"][0],
        )
        ended += int(made[0, -1]) in JOB["stop"]
    return {"ended": ended, "tried": len(prompts)}


def done(trainer, result, stops=None):
    """The last thing that is written: from then on the job is not begun again."""
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    told = {
        "steps": result.global_step,
        "loss": losses[-1] if losses else None,
        "seconds": time.time() - STARTED,
        "stops": stops,
    }
    (HERE / "done.json").write_text(json.dumps(told))
