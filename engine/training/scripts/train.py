"""Trains the model of this job: `python train.py`. Goes on from the last checkpoint, if there is one.

Reads job.json, data/tokens.parquet (examples, or pairs of answers) and data/order.parquet (which of
them make up each sequence, in their order); writes metrics.jsonl, checkpoints/ and model/.
"""

import json
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from following import DTYPE, GPU, HERE, JOB, Metrics, done, last_checkpoint, read, settings, stopping
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer


class Pairs(DPOTrainer):
    """Takes pairs of answers that are tokens already."""

    def _prepare_dataset(self, dataset, *_):
        return dataset


def load(folder):
    """The model that is started from; an adapter is merged into the model beneath it."""
    # Several texts in one sequence are kept apart by their positions; this does it fastest on a card.
    fast = "flash_attention_2" if GPU and JOB["packing"] and find_spec("flash_attn") else None
    if not (Path(folder) / "adapter_config.json").exists():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPE, attn_implementation=fast)
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


tokenizer = AutoTokenizer.from_pretrained(JOB["start"])
tokenizer.chat_template = (HERE / "data" / "chat_template.jinja").read_text("utf-8")
model = load(JOB["start"])
model.generation_config.eos_token_id = JOB["stop"] or model.generation_config.eos_token_id
common = {
    "train_sampling_strategy": "sequential",
    "max_length": None,
    "gradient_checkpointing": GPU,
    **settings(),
}
order, examples = read("order.parquet"), read("tokens.parquet")
if JOB["method"] == "dpo":
    sort, config = Pairs, DPOConfig(**common)
    data = examples.select([*chain(*order["rows"])])
else:
    more = {"padding_free": JOB["packing"], "dataset_kwargs": {"skip_prepare_dataset": True}}
    sort, config = SFTTrainer, SFTConfig(**{**more, **common})
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
result = trainer.train(resume_from_checkpoint=last_checkpoint())
trained = trainer.model
if JOB["lora"] and JOB["merge"]:
    trained = trained.merge_and_unload()
trained.save_pretrained(HERE / "model")
tokenizer.save_pretrained(HERE / "model")
model.generation_config.save_pretrained(HERE / "model")  # an adapter's too: it knows where to stop
stops = None
if JOB["method"] == "sft":
    try:
        stops = stopping(trained, examples)
    except RuntimeError as error:  # a card without room to generate: the model is there all the same
        print(f"whether replies end was not tried: {error}")
done(trainer, result, stops)
