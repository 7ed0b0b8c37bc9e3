"""`evaluate`: public tasks asked of a model, and of the one that it came of: what was forgotten.

lm-evaluation-harness asks them, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import Field

from engine.kinds.base import Context, KindError, Made, Row, Settings, TableKind, read_from
from engine.language.kind import Role, Shape
from engine.language.program import Node

if TYPE_CHECKING:
    from engine.training.evaluating import Questions, Score

OWN = {
    "task": "VARCHAR",
    "metric": "VARCHAR",
    "value": "DOUBLE",
    "stderr": "DOUBLE",
    "base_value": "DOUBLE",
    "base_stderr": "DOUBLE",
    "change": "DOUBLE",
    "better": "BOOLEAN",
    "samples": "BIGINT",
}


class EvaluateSettings(Settings):
    """Settings of `evaluate`."""

    using: Annotated[str, Role.START] = Field(
        description="The model that is asked: a `train` node, a folder, or a name at the hub."
    )
    base: Annotated[str | None, Role.START] = Field(
        None, description="Another that is asked the same, to hold it against: what the first came of."
    )
    tasks: list[str] = Field(min_length=1, description='Names of its tasks: `["hellaswag", "arc_easy"]`.')
    folder: str | None = Field(
        None, description="A folder with tasks of your own, as the harness reads them."
    )
    limit: int | None = Field(None, gt=0, description="Documents of each task; all if absent.")
    shots: int | None = Field(
        None, ge=0, description="Examples before each question; the task's own if absent."
    )
    chat: bool = Field(False, description="Whether questions go through the chat template.")
    batch: int = Field(8, gt=0, description="Requests at once in memory.")
    seed: int = Field(0, description="Of the harness: which examples stand before a question.")
    device: Literal["auto", "cpu"] = Field("auto", description="`cpu` even where there is a graphics card.")
    python: str | None = Field(
        None, description="The interpreter that has lm-eval; `ATK_LM_EVAL_PYTHON`, or atk's own, if absent."
    )


class Evaluate(TableKind):
    """See the module's docstring."""

    name = "evaluate"
    settings = EvaluateSettings
    inputs = (0, 0)
    keeps = False
    pure = False

    def own(self, shape: Shape) -> Mapping[str, str]:
        """Of each metric of a task: what both models came to, and the change."""
        return OWN

    def static(self, node: Node) -> dict[str, Any]:
        """Besides the settings: what is in the folders, unless it is trained here, and the version."""
        from engine.kinds.train import digest_of
        from engine.training.evaluating import interpreter, version
        from engine.training.faults import NotTrained

        settings = cast(EvaluateSettings, node.settings)
        found = super().static(node)
        for name in ("python", "device", "batch"):
            found["settings"].pop(name)
        for name in ("using", "base"):
            given = getattr(settings, name)
            found[name] = None if given is None or given in node.waits else digest_of(given, node)
        try:
            found["version"] = version(interpreter(settings.python))
        except NotTrained:
            found["version"] = None
        return found

    def ready(self, context: Context, fetch: bool) -> None:
        """Whether there is a harness that has the tasks, and models that are not trained here."""
        from engine.training import evaluating, folders
        from engine.training.faults import NotTrained

        settings = cast(EvaluateSettings, context.node.settings)
        try:
            python = evaluating.interpreter(settings.python)
            evaluating.version(python)
            for model in (settings.using, settings.base):
                if model is not None and model not in context.node.waits:
                    folders.find(model, read_from(context), fetch)
            if fetch:
                evaluating.known(python, tuple(settings.tasks), own_tasks(context))
        except NotTrained as error:
            raise KindError(error.message, error.help) from error

    def foretell(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> None:
        """What is asked, of which."""
        settings = cast(EvaluateSettings, context.node.settings)
        of = settings.using if settings.base is None else f"{settings.using} and {settings.base}"
        many = f", {settings.limit} documents each" if settings.limit else ""
        context.say(f"asks {', '.join(settings.tasks)} of {of}{many}, by lm-eval")

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """A row for each metric of each task."""
        from engine.training.faults import NotTrained

        settings = cast(EvaluateSettings, context.node.settings)
        try:
            asked = questions(context)
            found = scored(context, settings.using, asked)
            before = scored(context, settings.base, asked) if settings.base else []
        except NotTrained as error:
            raise KindError(f"`{context.node.name}`: {error.message}", error.help) from error
        against = {(one.task, one.metric): one for one in before}
        return [made(one, against.get((one.task, one.metric))) for one in found]


def own_tasks(context: Context) -> Path | None:
    """The folder of the author's own tasks. Raises `NotTrained`."""
    from engine.training.faults import NotTrained

    given = cast(EvaluateSettings, context.node.settings).folder
    if given is None:
        return None
    for place in read_from(context):
        if (place / given).is_dir():
            return (place / given).resolve()
    raise NotTrained(f"there is no folder {given}", "`folder` holds tasks of your own")


def questions(context: Context) -> Questions:
    from engine.training.evaluating import Questions

    given = cast(EvaluateSettings, context.node.settings)
    return Questions(
        tuple(given.tasks),
        own_tasks(context),
        given.limit,
        given.shots,
        given.chat,
        given.batch,
        given.device,
        given.seed,
    )


def scored(context: Context, model: str, asked: Questions) -> list[Score]:
    """The scores of a model that is trained here, or lies somewhere. Raises `NotTrained`."""
    from engine.kinds.train import secrets_of
    from engine.training import evaluating, folders
    from engine.training.faults import NotTrained

    python = evaluating.interpreter(cast(EvaluateSettings, context.node.settings).python)
    if model in context.node.waits:
        trained = context.trained(model)
        if trained is None:
            raise NotTrained(f"`{model}` is not trained")
        folder = folders.find(str(trained["folder"]), [context.root])
    else:
        folder = folders.find(model, read_from(context), fetch=True)
    return evaluating.evaluate(folder, asked, python, context.heed, secrets_of(context.program))


def made(score: Score, before: Score | None) -> Made:
    """A row; `better` where the change is towards better, null where that cannot be told."""
    change = None if before is None else score.value - before.value
    towards = None if change is None or score.higher is None or not change else (change > 0) is score.higher
    own = {
        "task": score.task,
        "metric": score.metric,
        "value": score.value,
        "stderr": score.stderr,
        "base_value": before.value if before else None,
        "base_stderr": before.stderr if before else None,
        "change": change,
        "better": towards,
        "samples": score.samples,
    }
    return Made(own, identity=f"{score.task} {score.metric}")
