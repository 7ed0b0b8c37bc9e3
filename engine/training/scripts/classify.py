"""Trains the classifier of this job: `python train.py`. Goes on from the last checkpoint, if there is one.

Reads job.json, data/tokens.parquet (texts as tokens, each with the number of its class) and
data/order.parquet (their order, epoch after epoch); writes metrics.jsonl, checkpoints/ and model/.
"""

from itertools import chain

from following import DTYPE, HERE, JOB, Metrics, done, last_checkpoint, read, settings
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)


def examples(name):
    """Texts with the number of their class."""
    found = read(name)
    if found is None:
        return None
    return found.map(lambda one: {"labels": one["labels"][0]}, remove_columns=["labels"], keep_in_memory=True)


def right(found):
    """The share of held-out texts whose class is told."""
    return {"accuracy": float((found.predictions.argmax(-1) == found.label_ids).mean())}


set_seed(JOB["trainer"]["seed"])  # the head that tells the classes begins at random
tokenizer = AutoTokenizer.from_pretrained(JOB["start"])
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
names = JOB["classes"]
model = AutoModelForSequenceClassification.from_pretrained(
    JOB["start"],
    dtype=DTYPE,
    num_labels=len(names),
    id2label=dict(enumerate(names)),
    label2id={name: at for at, name in enumerate(names)},
    ignore_mismatched_sizes=True,  # of one that told other classes
)
model.config.pad_token_id = tokenizer.pad_token_id
adapter = None
if JOB["lora"]:
    adapter = LoraConfig(task_type="SEQ_CLS", **JOB["lora"])
    model = get_peft_model(model, adapter)
trainer = Trainer(
    model=model,
    args=TrainingArguments(**{"train_sampling_strategy": "sequential", **settings()}),
    train_dataset=examples("tokens.parquet").select([*chain(*read("order.parquet")["rows"])]),
    eval_dataset=examples("held_out.parquet"),
    data_collator=DataCollatorWithPadding(tokenizer),
    compute_metrics=right,
    callbacks=[Metrics()],
)
result = trainer.train(resume_from_checkpoint=last_checkpoint())
trained = trainer.model.merge_and_unload() if adapter else trainer.model
trained.save_pretrained(HERE / "model")
tokenizer.save_pretrained(HERE / "model")
done(trainer, result)
