"""`train`: a model trained on tables, by a trainer in a process of its own.

Its table has one row: where the model lies, and what came of the training. What goes in is made
ready in `train_data`; the job folder, the tokens and the trainer are `engine.training`'s.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from engine.kinds.base import Context, KindError, Made, Row, TableKind
from engine.kinds.train_data import Preparation, started_from
from engine.kinds.train_settings import QUESTIONS, WANTED, TrainSettings, form_of
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node, Program
from engine.language.settings import roles
from engine.store.keys import fingerprint

if TYPE_CHECKING:
    from engine.training.job import Job
    from engine.training.rewarding import Judge

ELSEWHERE = ("cpt", "sft", "dpo")
ONLY_GRPO = ("reward", "route", "replies", "reply_length")
ONLY_TOLD = ("exam", "exam_overlap")  # of which the model does not come to be another
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
            if name == settings.exam:
                if not any(columns.get(one) == "VARCHAR" for one in QUESTIONS):
                    help = "it needs a column `question`, or `text`"
                    raise Problem("ATK175", f"`{name}` has no questions", "exam", help)
                continue
            if form_of(settings, columns) is None:
                raise Problem(
                    "ATK175",
                    f"`{name}` has nothing to train on",
                    None,
                    WANTED.get(settings.method, WANTED["sft"]),
                )
        if settings.backend != "trl" and settings.method not in ELSEWHERE:
            message = f"`{settings.method}` is done by TRL"
            raise Problem("ATK175", message, "backend", f"{settings.backend} is for {', '.join(ELSEWHERE)}")
        fit_rewards(settings, shape)
        share = settings.share or {}
        trained = [name for name in shape.names if name != settings.exam]
        if any(value <= 0 for value in share.values()):
            raise Problem(
                "ATK175", "a share must be above 0", "share", "leave the table out of `from` instead"
            )
        if share and (sum(share.values()) >= 1 or len(share) == len(trained)):
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
        from engine.training.job import COMMON, SCRIPTS
        from engine.training.recipes import SCRIPT
        from engine.training.running import interpreter, versions

        settings = cast(TrainSettings, node.settings)
        found = super().static(node)
        for name in ("python", "path", "device", "micro_batch", "checkpoint", "failures", *ONLY_TOLD):
            found["settings"].pop(name)
        found["start"] = None if node.waits else digest_of(settings.start, node)
        if settings.backend != "trl":
            found["script"] = of_file(SCRIPTS.with_name("backends.py"))
            return found
        found["script"] = [of_file(SCRIPTS / name) for name in (SCRIPT[settings.method], COMMON)]
        try:
            found["versions"] = dict(versions(interpreter(settings.python)))
        except NotTrained:
            found["versions"] = {}
        return found

    def ready(self, context: Context, fetch: bool) -> None:
        """Whether there is a trainer, and a model to start from."""
        from engine.training.faults import NotTrained
        from engine.training.running import equipped, interpreter

        settings = cast(TrainSettings, context.node.settings)
        try:
            if settings.backend == "trl":
                equipped(interpreter(settings.python))
            if settings.start not in context.node.waits:
                started_from(context, fetch)
        except NotTrained as error:
            raise KindError(error.message, error.help) from error

    def foreseen(self, node: Node) -> int | None:
        """One model."""
        return 1

    def foretell(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> None:
        """What the training would come to."""
        from engine.training.faults import NotTrained

        try:
            for line in prepared(context, inputs).report.lines():
                context.say(line)
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
        from engine.training import modelfile
        from engine.training.card import card

        settings = cast(TrainSettings, context.node.settings)
        name = context.node.name
        job, done, ready = (trained if settings.backend == "trl" else elsewhere)(context, inputs)
        if done is not None:
            counts = {one.name: len(one.rows) for one in ready.inputs}
            leave_card(
                job.model, card(job, done, counts, ready.report.warnings, origin(context), spent(context))
            )
            modelfile.leave(job, ready.tokenizer)
        _point(job)
        left = done or {"steps": ready.report.steps, "loss": None, "seconds": None}
        own = {
            "folder": _shown(job.model, context.root),
            "method": settings.method,
            "rows": ready.report.rows,
            "steps": left["steps"],
            "loss": left["loss"],
            "tokens": ready.report.seen,
            "seconds": left["seconds"],
            "job": job.key,
            "data": fingerprint(job.asked["data"]).hex(),
            "weights": folders.digest(job.model) if done is not None else None,
        }
        return Made(own, identity=name)

    def finish(self, context: Context) -> None:
        """Tell of the model, or of the folder in which another trainer is to make it."""
        for row in context.rows(context.node.name):
            model = context.root / row.columns["folder"]
            context.wrote(model if row.columns["weights"] else model.parent, row.columns["rows"])


def trained(
    context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]
) -> tuple[Job, dict[str, Any], Preparation]:
    """The job, done, what came of it, and what it was made of."""
    from engine.training import running

    name, settings = context.node.name, cast(TrainSettings, context.node.settings)
    python = running.interpreter(settings.python)
    versions = running.equipped(python)
    ready = prepared(context, inputs, fetch=True)
    job = ready.job(python, versions)
    for line in ready.report.lines():
        context.say(line)
    done = job.done()
    if done is None:
        job.sound()
        ready.fit_for_exam()
        with rewarded(ready) as judge:
            running.train(
                job,
                python,
                lambda rows: context.measured(job.key, rows, ready.report.steps),
                context.heed,
                secrets_of(context.program),
                judge,
            )
        done = job.done()
    if done is None:
        raise KindError(f"`{name}`: the trainer left no model in {job.folder}", f"see {job.log}")
    return job, done, ready


def elsewhere(
    context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]
) -> tuple[Job, dict[str, Any] | None, Preparation]:
    """The same of a job that another trainer does; None for what came of it while it is not done."""
    from engine.kinds.train_elsewhere import come, handed
    from engine.training.faults import NotTrained

    ready = prepared(context, inputs, fetch=True)
    job = handed(ready)
    for line in ready.report.lines():
        context.say(line)
    if not job.model.is_dir():
        try:
            ready.fit_for_exam()
        except NotTrained:
            shutil.rmtree(job.folder)  # what lies there somebody would train on
            raise
    return job, come(context, job, ready.settings.backend, ready.report.steps), ready


def fit_rewards(settings: TrainSettings, shape: Shape) -> None:
    """Whether there are rewards where the method needs them, and only there. Raises `Problem`."""
    from engine.training.recipes import RECIPES

    if settings.method != "grpo":
        named = next((name for name in ONLY_GRPO if getattr(settings, name) is not None), None)
        if named is not None:
            raise Problem("ATK177", f"`{named}` goes with the method `grpo`", named)
        return
    if settings.reward is None:
        help = "a graph that takes the replies and gives a number `reward`: `reward = kindness`"
        raise Problem("ATK177", f"`{shape.name}` has no reward", "reward", help)
    if len([name for name in shape.names if name != settings.exam]) != 1:
        help = "put them together in a `sql` or a `mix` before"
        raise Problem("ATK170", "`grpo` takes one table", None, help)
    if settings.epochs is not None:
        raise Problem("ATK175", "`grpo` is counted in `steps`", "epochs", "300 if absent")
    batch = settings.batch or RECIPES["grpo"].batch
    replies = settings.replies or RECIPES["grpo"].replies
    if batch % replies:
        message = f"a step of {batch} replies is no whole number of prompts with {replies} replies each"
        raise Problem("ATK175", message, "batch" if settings.batch else "replies", f"batch = {8 * replies}")


def prepared(
    context: Context, inputs: Sequence[Callable[[], Iterable[Row]]], fetch: bool = False
) -> Preparation:
    """What the method makes of the inputs. Raises `NotTrained`."""
    method = cast(TrainSettings, context.node.settings).method
    if method == "classifier":
        from engine.kinds.train_classes import ClassPreparation

        return ClassPreparation(context, inputs, fetch)
    if method == "grpo":
        from engine.kinds.train_rewards import RewardPreparation

        return RewardPreparation(context, inputs, fetch)
    return Preparation(context, inputs, fetch)


@contextlib.contextmanager
def rewarded(ready: Preparation) -> Iterator[tuple[Judge, float] | None]:
    """Who judges replies, tried beforehand; None where nothing is rewarded. Raises `NotTrained`."""
    from engine.kinds.train_rewards import RewardPreparation

    if not isinstance(ready, RewardPreparation):
        yield None
        return
    try:
        for line in ready.tried():
            ready.context.say(line)
        yield ready.judge, ready.settings.failures
    finally:
        ready.judging.close()


def leave_card(model: Path, text: str) -> None:
    """Put the card into a model's folder; what `atk report --card` has put into an earlier one stays."""
    from engine.training.card import examined, result_in

    path = model / "README.md"
    result = result_in(path.read_text("utf-8")) if path.is_file() else None
    path.write_text(text if result is None else examined(text, result), "utf-8")


def spent(context: Context) -> list[tuple[str, int, float]]:
    """Calls and USD: of the data as it stands, whoever paid for it, and of the judges of replies."""
    program, name = context.program, context.node.name
    below = [one for one in program.nodes if one.startswith(f"{name}.")]
    paid = [("its data", *context.cost_of_rows(above_of(context))), ("its rewards", *context.paid(below))]
    return [(what, calls, cost) for what, calls, cost in paid if calls]


def origin(context: Context) -> list[str]:
    """How what is trained on came to be: the graph, the prompts above the node by hash, the models asked."""
    program, name = context.program, context.node.name
    above = [program.nodes[one] for one in sorted(above_of(context))]
    prompts = {one.name: one.digest for node in above for one in node.templates}
    blocks = [node.settings for node in above]
    blocks += [one.settings for node in above for one in node.sections.values()]
    named = {getattr(one, "model", None) for one in blocks}
    models = sorted({spec.model for one in named if one and (spec := program.models.get(one))})
    mark = fingerprint(program.text).hex()[:12]
    lines = [f"the graph `{program.name}` ({mark}), its node `{name}`"]
    lines += [f"the prompt `{one}` ({digest[:12]})" for one, digest in sorted(prompts.items())]
    return lines + [f"the model `{one}`, which was asked" for one in models]


def above_of(context: Context) -> set[str]:
    """The nodes that what is trained on came from; those of its exam are not among them."""
    import networkx

    program, node = context.program, context.node
    exam = cast(TrainSettings, node.settings).exam
    read = [one for one in (*node.inputs, *node.waits) if one != exam]
    return {*read, *(above for one in read for above in networkx.ancestors(program.dag, one))}


def secrets_of(program: Program) -> list[str]:
    """Variables that hold keys and passwords, which are none of a trainer's business."""
    from engine.data.servers import OWN

    models = [(model.secret, *(key for _, key in model.others)) for model in program.models.values()]
    named = [key for keys in models for key in keys]
    for node in program.nodes.values():
        secret = [name for name, role in roles(type(node.settings)).items() if role is Role.SECRET]
        named += [getattr(node.settings, name) for name in secret]
    return [*filter(None, named), "ATK_API_KEY", "OPENAI_API_KEY", *OWN.values()]


def digest_of(start: str, node: Node) -> str:
    """What tells the model of a folder, or of a name at the hub, from another."""
    from engine.models.folders import digest
    from engine.training.faults import NotTrained
    from engine.training.folders import find

    try:
        near = [Path.cwd(), *([node.folder] if node.folder else [])]
        return digest(find(start, near))
    except (NotTrained, OSError):
        return "missing"


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
