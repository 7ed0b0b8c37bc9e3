"""Settings of `train`, and what follows from them: which column is learnt from, with which defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from engine.data.columns import record_fields
from engine.kinds.base import Settings
from engine.language.kind import Role

if TYPE_CHECKING:
    from engine.training.encoding import Loss
    from engine.training.recipes import Recipe

WANTED = {
    "sft": "a table needs a column `text`, `messages` (as the kind `chat` makes them) or `segments`",
    "dpo": "a table needs columns `prompt`, `chosen` and `rejected`, each a text or messages",
    "grpo": "a table needs a column `prompt` or `messages`, a text or messages that end with the user's",
    "classifier": "a table needs a column `text` and one that has its class: `label`, or what `label` names",
}
PAIR = ("prompt", "chosen", "rejected")
LABEL = "label"
QUESTIONS = ("question", "text")
ASKED = ("prompt", "messages")
HELD_OUT = ("test", "validation", "valid", "val", "dev", "eval", "held_out")


class LoraSettings(Settings):
    """An adapter in place of all weights."""

    r: int | None = Field(None, gt=0, description="Its rank.")
    alpha: int | None = Field(None, gt=0, description="Its weight.")
    dropout: float | None = Field(None, ge=0, lt=1, description="Share of it that is left out at each step.")


class TrainSettings(Settings):
    """Settings of `train`."""

    method: Literal["cpt", "sft", "dpo", "grpo", "classifier"] = Field(
        description="`cpt` goes on with pretraining, on texts; `sft` teaches answers, on conversations; "
        "`dpo` which of two answers is better, on columns `prompt`, `chosen` and `rejected`; "
        "`grpo` reinforces what graphs reward, on columns `prompt` or `messages`; "
        "`classifier` tells classes of texts, on columns `text` and `label`."
    )
    start: Annotated[str, Role.START] = Field(
        description="The model that is trained: a folder, a name at the hub, or an earlier `train` node."
    )
    share: Annotated[dict[str, float] | None, Role.TABLES] = Field(
        None,
        description="For inputs that are not seen whole in each epoch: the share of its tokens that is drawn "
        "of them, others each time. For replay, and for answers among texts.",
    )
    exam: Annotated[str | None, Role.BESIDE] = Field(
        None,
        description="A table of questions (`question`, or `text`) that the model will be asked: before it "
        "begins it says how many of them stand in what is trained on.",
    )
    exam_overlap: float = Field(
        0.1,
        ge=0,
        le=1,
        description="The share of the exam that may stand in what is trained on; with more it does not "
        "begin.",
    )
    label: Annotated[str | None, Role.COLUMN] = Field(
        None, description="For `classifier`: the column that has the class of a text; `label` if absent."
    )
    reward: Annotated[dict[str, float] | None, Role.REWARD] = Field(
        None,
        description="For `grpo`: the graph that judges a reply, or several with weights: "
        "`{ kind: 0.7, brief: 0.3 }`. It takes the replies as its table and gives a number `reward`.",
    )
    route: Annotated[str | None, Role.COLUMN] = Field(
        None,
        description="For `grpo`: the column that says, by name, which rewards a row has; all if absent.",
    )
    replies: int | None = Field(
        None,
        gt=1,
        description="For `grpo`: replies to one prompt, which are held against each other; 8 if absent.",
    )
    reply_length: int | None = Field(
        None, gt=0, description="For `grpo`: tokens of a reply, at most; 512 if absent."
    )
    failures: float = Field(
        0.2,
        ge=0,
        le=1,
        description="For `grpo`: the share of recent replies without a reward above which it stops.",
    )
    loss: Literal["assistant", "all", "marked"] | None = Field(
        None,
        description="What is learnt of a conversation: the assistant's turns, all, or what `train` marks; "
        "`marked` for `sft` where messages are, else `assistant`; `all` for `cpt`.",
    )
    epochs: int | None = Field(
        None,
        gt=0,
        description="How often all is seen; 5 for `cpt`, 3 for `sft` and `classifier`, 1 for `dpo`.",
    )
    steps: int | None = Field(
        None,
        gt=0,
        description="Steps of the optimizer, in place of `epochs`.",
    )
    batch: int | None = Field(None, gt=0, description="Sequences a step; 16 if absent.")
    micro_batch: int | None = Field(
        None,
        gt=0,
        description="Sequences at once in memory; 2 if absent, 16 for `classifier`.",
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="2e-5 for `cpt` and `classifier`, 1e-5 for `sft`, 1e-6 for `dpo`; "
        "with `lora` 1e-4, for `dpo` 1e-5.",
    )
    schedule: str | None = Field(
        None, description='How it changes: `"cosine"` if absent, `"constant"`, `"linear"`.'
    )
    warmup: float | None = Field(
        None, ge=0, lt=1, description="Share of the steps in which it rises; 0.05 if absent."
    )
    length: int | None = Field(
        None,
        gt=1,
        description="Tokens of a sequence, at most; 4096 if absent, 512 for `classifier`. Texts are cut into "
        "pieces, conversations and texts of a classifier cut off.",
    )
    packing: bool | None = Field(
        None,
        description="Several texts in a sequence, kept apart; for `cpt` where that leaves steps enough.",
    )
    neftune: float | None = Field(None, ge=0, description="Noise in what is read; 5 for `sft`.")
    weight_decay: float | None = Field(
        None, ge=0, description="Pull of the weights towards zero; none if absent."
    )
    lora: LoraSettings | None = Field(
        None, description="Trains an adapter, not all weights; `{}` for what goes with the method."
    )
    merge: bool = Field(False, description="Whether an adapter is put into the model at the end.")
    template: str | None = Field(
        None,
        description="The chat template: `chatml`, `plain` or a file; the model's own if absent, or `chatml` "
        "where it has the marks, or `plain`.",
    )
    checkpoint: int | None = Field(
        None, gt=0, description="Steps from checkpoint to checkpoint; an epoch's if absent."
    )
    seed: int = Field(0, description="Of the order and of the trainer.")
    device: Literal["auto", "cpu"] = Field("auto", description="`cpu` even where there is a graphics card.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of the weights: bfloat16 on a card and float32 without, if `auto`."
    )
    backend: Literal["trl", "axolotl", "llamafactory"] = Field(
        "trl",
        description="Who trains: TRL at once, or another trainer, for which a folder is made with data, "
        "settings and the command. For `cpt`, `sft` and `dpo`.",
    )
    python: str | None = Field(
        None,
        description="The interpreter that has TRL; `ATK_TRAINER_PYTHON`, or atk's own, if absent.",
    )
    path: Annotated[str | None, Role.OUTPUT_PATH] = Field(
        None, description="Where job folders are made; `out/models/NAME` if absent."
    )
    options: dict[str, Any] | None = Field(
        None,
        description="Arguments of TRL's `SFTConfig` or `DPOConfig` (for `classifier`, of "
        "`TrainingArguments`; for another `backend`, of its own), as they are.",
    )


def form_of(settings: TrainSettings, columns: Mapping[str, str]) -> str | None:
    """The column that is trained on: `segments`, `messages` or `text`.

    Segments say most exactly what is learnt; where all of a conversation is, or a whole side of it,
    they have nothing to say.
    """
    if settings.method == "grpo":
        return next((name for name in ASKED if _said(columns.get(name, ""))), None)
    if settings.method == "dpo":
        return "pair" if all(_said(columns.get(name, "")) for name in PAIR) else None
    if settings.method == "classifier":
        told = columns.get(settings.label or LABEL) in ("VARCHAR", "BOOLEAN")
        return "text" if told and columns.get("text") == "VARCHAR" else None
    talks = {"role", "content"} <= {*(record_fields(columns.get("messages", "")) or ())}
    if {"text", "train"} <= {*(record_fields(columns.get("segments", "")) or ())} and not (
        talks and loss_of(settings, columns) != "marked"
    ):
        return "segments"
    if talks:
        return "messages"
    return "text" if columns.get("text") == "VARCHAR" else None


def _said(type_: str) -> bool:
    """Whether a column is a text or a list of messages."""
    return type_ == "VARCHAR" or {"role", "content"} <= {*(record_fields(type_) or ())}


def loss_of(settings: TrainSettings, columns: Mapping[str, str]) -> Loss:
    """What is learnt of the conversations of an input, where the settings do not say."""
    if settings.loss is not None:
        return settings.loss
    if settings.method == "cpt":
        return "all"
    marked = "train" in (record_fields(columns.get("messages", "")) or ()) or "segments" in columns
    return "marked" if marked else "assistant"


def recipe_of(settings: TrainSettings) -> Recipe:
    """The method's defaults with the settings over them."""
    from engine.training.recipes import recipe

    names = (
        "epochs steps batch micro_batch learning_rate schedule warmup length packing neftune weight_decay "
        "seed checkpoint merge device dtype replies reply_length"
    ).split()
    lora = settings.lora
    given = None
    if lora is not None:
        pairs = {"r": lora.r, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}
        given = {name: value for name, value in pairs.items() if value is not None}
    return recipe(settings.method, {name: getattr(settings, name) for name in names}, given)
