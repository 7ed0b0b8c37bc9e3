"""Trains the model of this job by rewards (GRPO). Goes on from the last checkpoint, if there is one.

Reads job.json, data/prompts.parquet (prompts as text and tokens) and data/order.parquet (which of them
when); replies are judged by the engine that started this, through a pipe; `atk exec` does that. Writes
metrics.jsonl, checkpoints/ and model/.
"""

import json
import os
import sys
from itertools import chain
from pathlib import Path

from following import DTYPE, GPU, HERE, JOB, Metrics, done, last_checkpoint, read, settings
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

if "ATK_REWARDS" not in os.environ:
    sys.exit("the judges of this job are asked by `atk exec`: run the graph, not this script alone")
answers, questions = (int(end) for end in os.environ["ATK_REWARDS"].split(","))
ANSWERS, QUESTIONS = os.fdopen(answers, encoding="utf-8"), os.fdopen(questions, "w", encoding="utf-8")
PROMPTS = read("prompts.parquet")
TOKENS = dict(zip(PROMPTS["prompt"], PROMPTS["input_ids"], strict=True))


class Asking(GRPOTrainer):
    """Takes prompts that are tokens already."""

    def _tokenize_prompts(self, prompts):
        return [list(TOKENS[prompt]) for prompt in prompts], None, {}


class Rewards:
    """All rewards of a batch, asked for once and handed out one after another."""

    batch, found = None, None

    def of(self, name):
        def reward(completions, completion_ids, place, trainer_state, **_):
            batch = (trainer_state.global_step, tuple(map(tuple, completion_ids)))
            if batch != self.batch:
                ended = [bool(ids) and ids[-1] in JOB["stop"] for ids in completion_ids]
                rows = list(zip(place, completions, ended, strict=True))
                print(
                    json.dumps({"step": trainer_state.global_step, "replies": rows}),
                    file=QUESTIONS,
                    flush=True,
                )
                line = ANSWERS.readline()
                if not line:  # whoever judges has stopped, and says why
                    os._exit(130)
                self.batch, self.found = batch, json.loads(line)
            return self.found.get(name) or [None] * len(completions)

        reward.__name__ = name
        return reward


def load(folder):
    """The model that is started from; an adapter is merged into the model beneath it."""
    if not (Path(folder) / "adapter_config.json").exists():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPE)
    below = json.loads((Path(folder) / "adapter_config.json").read_text())["base_model_name_or_path"]
    return PeftModel.from_pretrained(load(below), folder).merge_and_unload()


tokenizer = AutoTokenizer.from_pretrained(JOB["start"])
tokenizer.chat_template = (HERE / "data" / "chat_template.jinja").read_text("utf-8")
model = load(JOB["start"])
model.generation_config.eos_token_id = JOB["stop"] or model.generation_config.eos_token_id
rewards = Rewards()
trainer = Asking(
    model=model,
    reward_funcs=[rewards.of(name) for name in JOB["rewards"]],
    args=GRPOConfig(
        **{
            "reward_weights": list(JOB["rewards"].values()),
            "gradient_checkpointing": GPU,
            **settings(),
        }
    ),
    train_dataset=PROMPTS.remove_columns("input_ids").select([*chain(*read("order.parquet")["rows"])]),
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
done(trainer, result)
