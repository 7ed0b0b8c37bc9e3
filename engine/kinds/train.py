"""`train`: a model trained on tables, by a trainer in a process of its own.

Its table has one row: where the model lies, and what came of the training. The job folder, the
tokens and the trainer are `engine.training`'s.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import Field

from engine.data.columns import record_fields
from engine.kinds.base import Context, KindError, Made, Row, Settings, TableKind, read_from
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node, Program

if TYPE_CHECKING:
    from engine.training.encoding import Example, Loss
    from engine.training.job import Draft, Job
    from engine.training.recipes import Recipe
    from engine.training.report import Report

WANTED = {
    "sft": "a table needs a column `text`, `messages` (as the kind `chat` makes them) or `segments`",
    "dpo": "a table needs columns `prompt`, `chosen` and `rejected`, each a text or messages",
}
PAIR = ("prompt", "chosen", "rejected")
HELD_OUT = ("test", "validation", "valid", "val", "dev", "eval", "held_out")


class LoraSettings(Settings):
    """An adapter in place of all weights."""

    r: int | None = Field(None, gt=0, description="Its rank.")
    alpha: int | None = Field(None, gt=0, description="Its weight.")
    dropout: float | None = Field(None, ge=0, lt=1, description="Share of it that is left out at each step.")


class TrainSettings(Settings):
    """Settings of `train`."""

    method: Literal["cpt", "sft", "dpo"] = Field(
        description="`cpt` goes on with pretraining, on texts; `sft` teaches answers, on conversations; "
        "`dpo` which of two answers is better, on columns `prompt`, `chosen` and `rejected`."
    )
    start: Annotated[str, Role.START] = Field(
        description="The model that is trained: a folder, a name at the hub, or an earlier `train` node."
    )
    share: Annotated[dict[str, float] | None, Role.TABLES] = Field(
        None,
        description="For inputs that are not seen whole in each epoch: the share of its tokens that is drawn "
        "of them, others each time. For replay, and for answers among texts.",
    )
    loss: Literal["assistant", "all", "marked"] | None = Field(
        None,
        description="What is learnt of a conversation: the assistant's turns, all, or what `train` marks; "
        "`marked` for `sft` where messages are, else `assistant`; `all` for `cpt`.",
    )
    epochs: int | None = Field(
        None, gt=0, description="How often all is seen; 5 for `cpt`, 3 for `sft`, 1 for `dpo`."
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
        description="Sequences at once in memory; 2 if absent.",
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="2e-5 for `cpt`, 1e-5 for `sft`, 1e-6 for `dpo`; with `lora` 1e-4, for `dpo` 1e-5.",
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
        description="Tokens of a sequence, at most; 4096 if absent. Texts are cut into pieces, "
        "conversations cut off.",
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
    python: str | None = Field(
        None,
        description="The interpreter that has TRL; `ATK_TRAINER_PYTHON`, or atk's own, if absent.",
    )
    path: Annotated[str | None, Role.OUTPUT_PATH] = Field(
        None, description="Where job folders are made; `out/models/NAME` if absent."
    )
    options: dict[str, Any] | None = Field(
        None, description="Arguments of TRL's `SFTConfig` or `DPOConfig`, as they are."
    )


OWN = {
    "folder": "VARCHAR",
    "method": "VARCHAR",
    "rows": "BIGINT",
    "steps": "BIGINT",
    "loss": "DOUBLE",
    "tokens": "BIGINT",
    "seconds": "DOUBLE",
    "job": "VARCHAR",
    "data": "VARCHAR",
    "weights": "VARCHAR",
}


class Train(TableKind):
    """See the module's docstring."""

    name = "train"
    settings = TrainSettings
    inputs = (1, None)
    keeps = False
    pure = False

    def own(self, shape: Shape) -> Mapping[str, str]:
        """Of the one row: the model's folder, steps, final loss, tokens and seconds, hashes."""
        settings = cast(TrainSettings, shape.settings)
        path = Path(settings.path or "")
        if path.is_absolute() or ".." in path.parts or (settings.path or "").startswith("~"):
            message = f"{settings.path} does not lie beneath where the command runs"
            raise Problem("ATK159", message, "path", "give a path such as `out/models/mine`")
        for name, columns in zip(shape.names, shape.inputs, strict=False):
            if form_of(settings, columns) is None:
                raise Problem(
                    "ATK175",
                    f"`{name}` has nothing to train on",
                    None,
                    WANTED.get(settings.method, WANTED["sft"]),
                )
        share = settings.share or {}
        if any(value <= 0 for value in share.values()):
            raise Problem(
                "ATK175", "a share must be above 0", "share", "leave the table out of `from` instead"
            )
        if share and (sum(share.values()) >= 1 or len(share) == len(shape.names)):
            raise Problem(
                "ATK175",
                "one input at least is seen whole: it has no share, and the others' come to less than 1",
                "share",
                "share = { generic: 0.1 }",
            )
        return OWN

    def static(self, node: Node) -> dict[str, Any]:
        """Besides the settings: what is in the folder that it starts from, and the trainer's versions."""
        from engine.models.folders import of_file
        from engine.training.faults import NotTrained
        from engine.training.job import SCRIPTS
        from engine.training.running import interpreter, versions

        settings = cast(TrainSettings, node.settings)
        found = super().static(node)
        for name in ("python", "path", "device", "micro_batch", "checkpoint"):
            found["settings"].pop(name)
        found["script"] = of_file(SCRIPTS / "train.py")
        found["start"] = None if node.waits else _digest(settings.start, node)
        try:
            found["versions"] = dict(versions(interpreter(settings.python)))
        except NotTrained:
            found["versions"] = {}
        return found

    def foretell(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> None:
        """What the training would come to, and whether there is a trainer at all."""
        from engine.training.faults import NotTrained
        from engine.training.running import equipped, interpreter

        python = interpreter(cast(TrainSettings, context.node.settings).python)
        try:
            for line in Preparation(context, inputs).report.lines():
                context.say(line)
            equipped(python)
        except NotTrained as error:
            context.say(f"{error.message}; {error.help}" if error.help else error.message)

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """The one row; a job that was done before is not done again."""
        from engine.training.faults import NotTrained

        try:
            return [self.made(context, inputs)]
        except NotTrained as error:
            raise KindError(f"`{context.node.name}`: {error.message}", error.help) from error

    def made(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Made:
        from engine.models import folders
        from engine.store.keys import fingerprint
        from engine.training import running
        from engine.training.card import card

        settings = cast(TrainSettings, context.node.settings)
        name = context.node.name
        python = running.interpreter(settings.python)
        versions = running.equipped(python)
        prepared = Preparation(context, inputs, fetch=True)
        job = prepared.job(python, versions)
        for line in prepared.report.lines():
            context.say(line)
        done = job.done()
        if done is None:
            job.sound()
            running.train(
                job,
                python,
                lambda rows: context.measured(job.key, rows, prepared.report.steps),
                context.heed,
                secrets_of(context.program),
            )
            done = job.done()
        if done is None:
            raise KindError(f"`{name}`: the trainer left no model in {job.folder}", f"see {job.log}")
        counts = {one.name: len(one.rows) for one in prepared.inputs}
        (job.model / "README.md").write_text(card(job, done, counts, prepared.report.warnings), "utf-8")
        _point(job)
        own = {
            "folder": _shown(job.model, context.root),
            "method": settings.method,
            "rows": prepared.report.rows,
            "steps": done["steps"],
            "loss": done["loss"],
            "tokens": prepared.report.seen,
            "seconds": done["seconds"],
            "job": job.key,
            "data": fingerprint(job.asked["data"]).hex(),
            "weights": folders.digest(job.model),
        }
        return Made(own, identity=name)

    def finish(self, context: Context) -> None:
        """Tell of the model."""
        for row in context.rows(context.node.name):
            context.wrote(context.root / row.columns["folder"], row.columns["rows"])


@dataclass
class Read:
    """One input as it was read: examples by number, the rows for others to read, texts by side."""

    name: str
    form: str
    examples: list[Example] = field(default_factory=list)
    held_out: list[Example] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    held_out_texts: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class Preparation:
    """All that is known of a training before it begins. Raises `NotTrained`."""

    def __init__(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]], fetch: bool = False):
        from engine.training import order
        from engine.training.faults import NotTrained
        from engine.training.report import report
        from engine.training.tokenizer import Tokenizer

        self.context = context
        self.settings = settings = cast(TrainSettings, context.node.settings)
        self.start = started_from(context, fetch)
        self.tokenizer = Tokenizer.load(self.start, _template(context, settings.template))
        self.recipe = recipe_of(settings)
        self.inputs = [
            self.read(name, rows()) for name, rows in zip(context.node.inputs, inputs, strict=True)
        ]
        self.examples = [one for each in self.inputs for one in each.examples]
        if not any(one.examples for one in self.inputs if one.name not in self.shares()):
            reasons = [reason for one in self.inputs for reason in one.refused]
            why = f": {reasons[0]}" if reasons else ""
            raise NotTrained(f"there is nothing to train on{why}", "see what is in its input tables")
        parts: dict[str, order.Part] = {}
        at = 0
        for one in self.inputs:
            parts[one.name] = order.Part(range(at, at + len(one.examples)), self.shares().get(one.name))
            at += len(one.examples)
        self.order, self.packed = self.ordered(parts)
        self.report: Report = report(
            self.tokenizer,
            self.recipe,
            sum(len(one.rows) for one in self.inputs),
            self.examples,
            self.order,
            self.packed,
            [reason for one in self.inputs for reason in one.refused],
            [text for one in self.inputs for text in one.held_out_texts],
            (text for one in self.inputs for text in one.texts),
        )

    def shares(self) -> Mapping[str, float]:
        return self.settings.share or {}

    def ordered(self, parts: Mapping[str, Any]) -> tuple[list[list[int]], bool]:
        """The sequences; packed where that is asked for, or where it leaves steps enough."""
        from engine.training import order
        from engine.training.recipes import FEW_STEPS

        lengths = [one.size for one in self.examples]
        recipe = self.recipe
        wanted = recipe.steps * recipe.batch if recipe.steps else None

        def made(pack: int | None) -> list[list[int]]:
            return order.order(lengths, parts, recipe.epochs, recipe.seed, pack, wanted)

        if recipe.packing is not False:
            packed = made(recipe.length)
            if recipe.packing or (wanted is None and len(packed) >= FEW_STEPS * recipe.batch):
                return packed, True
        return made(None), False

    def read(self, name: str, rows: Iterable[Row]) -> Read:
        """One input: its rows as examples, those of held-out splits apart."""
        from engine.data.chat_template import NoTemplate

        columns = self.context.program.nodes[name].columns
        types = {one: column.type for one, column in columns.items()}
        form, loss = form_of(self.settings, types) or "text", loss_of(self.settings, types)
        found = Read(name, form)
        for row in rows:
            held_out = row.columns.get("split") in HELD_OUT
            value: Any = row.columns.get(form)
            if form == "pair":
                value = {name: row.columns[name] for name in PAIR}
            text = _text(form, value)
            if not text.strip():
                found.refused.append("there is nothing in them")
                continue
            try:
                examples = list(self.encoded(form, value, loss))
            except NoTemplate as error:
                found.refused.append(str(error))
                continue
            if not any(one.trained for one in examples):
                found.refused.append("nothing of them is learnt")
                continue
            (found.held_out if held_out else found.examples).extend(examples)
            (found.held_out_texts if held_out else found.texts).append(text)
            if not held_out:
                found.rows.append(value if form == "pair" else {form: value})
        return found

    def encoded(self, form: str, value: Any, loss: Loss) -> Iterable[Example]:
        from engine.training import encoding

        length = self.recipe.length
        match form:
            case "messages":
                return [encoding.of_messages(self.tokenizer, value, loss, length)]
            case "pair":
                return [
                    encoding.of_pair(
                        self.tokenizer, value["prompt"], value["chosen"], value["rejected"], length
                    )
                ]
            case "segments":
                return [encoding.of_segments(self.tokenizer, value, length)]
        return encoding.of_text(self.tokenizer, value, length)

    def job(self, python: str, versions: Mapping[str, str]) -> Job:
        """The job folder, made or found."""
        from engine.models import folders
        from engine.training.job import Draft

        name, settings = self.context.node.name, self.settings
        home = self.context.out / (settings.path or f"out/models/{name}")
        home.mkdir(parents=True, exist_ok=True)
        draft = Draft(home)
        self.write(draft)
        held_out = any(one.held_out for one in self.inputs)
        stop = self.tokenizer.stop()
        stops = {one for one in (stop[1] if stop else None, self.tokenizer.end) if one is not None}
        asked = {
            "node": name,
            "method": settings.method,
            "start": str(self.start),
            "start_digest": folders.digest(self.start),
            "epochs": self.recipe.epochs,
            "packing": self.packed,
            "stop": sorted(stops),
            "lora": self.recipe.lora,
            "merge": self.recipe.merge,
            "dtype": self.recipe.dtype,
            "device": self.recipe.device,
            "trainer": self.recipe.trainer(self.report.steps, held_out, settings.options or {}),
            "python": python,
            "versions": dict(versions),
        }
        draft.text("report.md", self.report.text(name))
        return draft.finish(asked, "train.py")

    def write(self, draft: Draft) -> None:
        for one in self.inputs:
            draft.rows(f"{one.name.replace('.', '_')}.jsonl", one.rows)
        draft.examples("tokens.parquet", self.examples)
        draft.order(self.order)
        held_out = [one for each in self.inputs for one in each.held_out]
        if held_out:
            draft.examples("held_out.parquet", held_out)
        draft.text("data/chat_template.jinja", self.tokenizer.chat.source)


def form_of(settings: TrainSettings, columns: Mapping[str, str]) -> str | None:
    """The column that is trained on: `segments`, `messages` or `text`.

    Segments say most exactly what is learnt; where all of a conversation is, or a whole side of it,
    they have nothing to say.
    """
    if settings.method == "dpo":
        return "pair" if all(_said(columns.get(name, "")) for name in PAIR) else None
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
        "seed checkpoint merge device dtype"
    ).split()
    lora = settings.lora
    given = None
    if lora is not None:
        pairs = {"r": lora.r, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout}
        given = {name: value for name, value in pairs.items() if value is not None}
    return recipe(settings.method, {name: getattr(settings, name) for name in names}, given)


def started_from(context: Context, fetch: bool) -> Path:
    """The folder of the model that is trained. Raises `NotTrained`."""
    from engine.training import folders
    from engine.training.faults import NotTrained

    start = cast(TrainSettings, context.node.settings).start
    if start not in context.node.waits:
        return folders.find(start, read_from(context), fetch)
    made = context.trained(start)
    if made is None:
        raise NotTrained(f"`{start}` is trained first")
    return folders.find(str(made["folder"]), [context.root])


def secrets_of(program: Program) -> list[str]:
    """Variables that hold keys, which are none of a trainer's business."""
    named = [model.secret for model in program.models.values() if model.secret]
    return [*named, "ATK_API_KEY", "OPENAI_API_KEY"]


def _digest(start: str, node: Node) -> str:
    from engine.models.folders import digest
    from engine.training.faults import NotTrained
    from engine.training.folders import find

    try:
        near = [Path.cwd(), *([node.folder] if node.folder else [])]
        return digest(find(start, near))
    except (NotTrained, OSError):
        return "missing"


def _template(context: Context, given: str | None) -> str | None:
    """The source of a chat template, or the name of a shipped one. Raises `NotTrained`."""
    from engine.training.faults import NotTrained

    if given is None or given in ("chatml", "plain"):
        return given
    for folder in read_from(context):
        with contextlib.suppress(OSError):
            return (folder / given).read_text("utf-8")
    raise NotTrained(f"there is no chat template {given}", "`chatml`, `plain`, or a file with Jinja2")


def _text(form: str, value: Any) -> str:
    from engine.data.conversations import text_of

    if form == "messages":
        return text_of(value or [])
    if form == "pair":
        parts = value.values()
        return (
            "" if None in parts else "\n".join(one if isinstance(one, str) else text_of(one) for one in parts)
        )
    if form == "segments":
        return "".join(str(one["text"] or "") for one in value or [])
    return value or ""


def _point(job: Job) -> None:
    """`latest` beside the job folders leads to the newest one."""
    link = job.folder.parent / "latest"
    passing = link.with_name(f".latest.{os.getpid()}")
    with contextlib.suppress(OSError):  # a system without links does without
        passing.unlink(missing_ok=True)
        passing.symlink_to(job.folder.name)
        passing.replace(link)


def _shown(path: Path, root: Path) -> str:
    """Relative to where the command runs, if it lies beneath."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
