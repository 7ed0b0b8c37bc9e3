"""What a training is made of: the rows of its inputs as examples, their order, the report, the job folder.

It is worked out by a plan too; only `job` writes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from engine.kinds.base import Context, Row, read_from
from engine.kinds.train_settings import HELD_OUT, PAIR, QUESTIONS, TrainSettings, form_of, loss_of, recipe_of

if TYPE_CHECKING:
    from engine.training.encoding import Example, Loss
    from engine.training.job import Draft, Job
    from engine.training.leaks import Leaked
    from engine.training.report import Report


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
    turns: list[str] = field(default_factory=list)  # what is asked in them, a user's message each
    labels: list[str] = field(default_factory=list)  # of a classifier: the class of each example
    held_out_labels: list[str] = field(default_factory=list)


class Preparation:
    """All that is known of a training before it begins. Raises `NotTrained`."""

    def __init__(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]], fetch: bool = False):
        from engine.training import order
        from engine.training.faults import NotTrained
        from engine.training.tokenizer import Tokenizer

        self.context = context
        self.settings = settings = cast(TrainSettings, context.node.settings)
        self.start = started_from(context, fetch)
        self.tokenizer = Tokenizer.load(self.start, self.template())
        self.recipe = recipe_of(settings)
        named = dict(zip(context.node.inputs, inputs, strict=True))
        exam = named.pop(settings.exam, None) if settings.exam else None
        self.inputs = [self.read(name, rows()) for name, rows in named.items()]
        self.made_whole()
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
        self.report: Report = self.reported()
        self.leaked = self.held_against(exam) if exam else None
        if self.leaked:
            self.report.warnings.append(self.leaked.told())

    def held_against(self, exam: Callable[[], Iterable[Row]]) -> Leaked | None:
        """What of the exam stands in what is trained on; None where nothing does."""
        from engine.training.leaks import leaked

        questions = [
            next((str(row.columns[one]) for one in QUESTIONS if row.columns.get(one)), "") for row in exam()
        ]
        texts = (text for one in self.inputs for text in one.texts)
        turns = (turn for one in self.inputs for turn in one.turns)
        return leaked(str(self.settings.exam), questions, texts, turns)

    def fit_for_exam(self) -> None:
        """Raises `NotTrained` where so much of the exam is trained on that it would measure nothing."""
        from engine.training.faults import NotTrained

        if self.leaked and self.leaked.share > self.settings.exam_overlap:
            raise NotTrained(
                f"{self.leaked.told()}; more than {self.settings.exam_overlap:.0%} makes it no exam",
                "take them out of the data or of the exam, or raise `exam_overlap`",
            )

    def template(self) -> str | None:
        """The chat template in place of the model's own."""
        return _template(self.context, self.settings.template)

    def made_whole(self) -> None:
        """What can be done only once all inputs are read."""

    @property
    def script(self) -> str:
        """The name of the script that does it."""
        from engine.training.recipes import SCRIPT

        return SCRIPT[self.settings.method]

    def reported(self) -> Report:
        """What can be said of it before it begins."""
        from engine.training.report import report

        return report(
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
                if self.settings.exam:
                    found.turns += _turns(form, value)
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
        draft = self.draft()
        self.write(draft)
        draft.text("report.md", self.report.text(self.context.node.name))
        return draft.finish({**self.asked(), "python": python, "versions": dict(versions)}, self.script)

    def draft(self) -> Draft:
        """A job folder to be filled."""
        from engine.training.job import Draft

        home = self.context.out / (self.settings.path or f"out/models/{self.context.node.name}")
        home.mkdir(parents=True, exist_ok=True)
        return Draft(home)

    def asked(self) -> dict[str, Any]:
        """What the trainer is told, JSON-able."""
        from engine.models import folders

        held_out = any(one.held_out for one in self.inputs)
        stop = self.tokenizer.stop()
        stops = {one for one in (stop[1] if stop else None, self.tokenizer.end) if one is not None}
        return {
            "node": self.context.node.name,
            "method": self.settings.method,
            "start": str(self.start),
            "start_digest": folders.digest(self.start),
            "epochs": self.recipe.epochs,
            "packing": self.packed,
            "stop": sorted(stops),
            "lora": self.recipe.lora,
            "merge": self.recipe.merge,
            "dtype": self.recipe.dtype,
            "device": self.recipe.device,
            "trainer": self.recipe.trainer(self.report.steps, held_out, self.settings.options or {}),
        }

    def write(self, draft: Draft) -> None:
        """What the job's data folder holds."""
        self.write_examples(draft)
        draft.text("data/chat_template.jinja", self.tokenizer.chat.source)

    def write_examples(self, draft: Draft) -> None:
        for one in self.inputs:
            draft.rows(f"{one.name.replace('.', '_')}.jsonl", one.rows)
        draft.examples("tokens.parquet", self.examples)
        draft.order(self.order)
        held_out = [one for each in self.inputs for one in each.held_out]
        if held_out:
            draft.examples("held_out.parquet", held_out)


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


def _turns(form: str, value: Any) -> list[str]:
    """What a user says in a row."""
    if form == "pair":
        value = value["prompt"]
    if isinstance(value, str):
        return [] if form == "text" else [value]
    said = "text" if form == "segments" else "content"
    return [str(one[said]) for one in value or [] if one.get("role") == "user" and one[said]]
