"""`classify`: the class of each text, told by a classifier that was trained here or lies in a folder.

It runs in this process, in batches, on a card if there is one; nothing is paid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, cast

from pydantic import Field

from engine.kinds.base import Context, KindError, Made, Row, Settings, TableKind, read_from
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node

DEFAULT = "text"
TOLD = {"score": "DOUBLE", "scores": "STRUCT(label VARCHAR, score DOUBLE)[]"}


class ClassifySettings(Settings):
    """Settings of `classify`."""

    using: Annotated[str, Role.START] = Field(
        description='A `train` node with `method = "classifier"`, or the folder or hub name of a classifier.'
    )
    column: Annotated[str | None, Role.COLUMN] = Field(
        None, description="The text whose class is told; `text` if absent."
    )
    into: str = Field("predicted", description="The column that holds the likeliest class.")


class Classify(TableKind):
    """See the module's docstring."""

    name = "classify"
    settings = ClassifySettings
    inputs = (1, 1)
    keeps = True
    pure = False

    def own(self, shape: Shape) -> Mapping[str, str]:
        """The likeliest class, how sure of it the classifier is, and the scores of all, likeliest first."""
        settings = cast(ClassifySettings, shape.settings)
        before = shape.inputs[0] if shape.inputs else {}
        column = settings.column or DEFAULT
        if column not in before:
            known = ", ".join(f"`{name}`" for name in before)
            setting = "column" if settings.column else None
            raise Problem("ATK122", f"no column named `{column}`", setting, f"it has {known}: set `column`")
        if before[column] != "VARCHAR":
            raise Problem("ATK153", f"`{column}` is no text", "column", "a classifier tells classes of texts")
        own = {settings.into: "VARCHAR", **TOLD}
        taken = next((name for name in own if name in before), None)
        if taken is not None:
            help = "set `into`" if taken == settings.into else "rename it in a `sql` before"
            raise Problem("ATK102", f"the input has a column `{taken}` already", None, help)
        return own

    def static(self, node: Node) -> dict[str, Any]:
        """Besides the settings: what is in the classifier's folder, unless it is trained here."""
        from engine.kinds.train import digest_of

        found = super().static(node)
        using = cast(ClassifySettings, node.settings).using
        found["using"] = None if node.waits else digest_of(using, node)
        return found

    def reads(self, node: Node) -> frozenset[str] | None:
        """The text alone."""
        return frozenset({cast(ClassifySettings, node.settings).column or DEFAULT})

    def ready(self, context: Context, fetch: bool) -> None:
        """Whether the classifier of a folder or of a name at the hub is there."""
        from engine.training import folders
        from engine.training.faults import NotTrained

        using = cast(ClassifySettings, context.node.settings).using
        if using not in context.node.waits:
            try:
                folders.find(using, read_from(context), fetch)
            except NotTrained as error:
                raise KindError(error.message, error.help) from error

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """Every row with its class; one without a text has failed."""
        from engine.models.classifying import BATCH, Classifier, NoClassifier
        from engine.training import folders
        from engine.training.faults import NotTrained

        settings = cast(ClassifySettings, context.node.settings)
        column = settings.column or DEFAULT
        try:
            if settings.using in context.node.waits:
                made = context.trained(settings.using)
                if made is None:
                    raise KindError(f"`{context.node.name}`: `{settings.using}` is not trained")
                folder = folders.find(str(made["folder"]), [context.root])
            else:
                folder = folders.find(settings.using, read_from(context), fetch=True)
            classifier = Classifier(str(folder))
        except (NotTrained, NoClassifier) as error:
            raise KindError(f"`{context.node.name}`: {error.message}", error.help) from error
        try:
            for batch in batches(inputs[0](), column, BATCH):
                context.heed()
                texts = [text for row in batch if (text := said(row, column)) is not None]
                scored = iter(classifier.scores(texts))
                for row in batch:
                    if said(row, column) is None:
                        yield Made({}, "failed", "there is no text to tell the class of", parent=row)
                        continue
                    scores = [{"label": label, "score": score} for label, score in next(scored)]
                    best = scores[0]
                    own = {settings.into: best["label"], "score": best["score"], "scores": scores}
                    yield Made(own, parent=row)
        except NoClassifier as error:
            raise KindError(f"`{context.node.name}`: {error.message}", error.help) from error


def said(row: Row, column: str) -> str | None:
    """The text of a row, if it has one."""
    text = row.columns.get(column)
    return text if text and text.strip() else None


def batches(rows: Iterable[Row], column: str, size: int) -> Iterable[list[Row]]:
    """Rows in their order, so many at once that a classifier has several batches to sort by length."""
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == 16 * size:
            yield batch
            batch = []
    if batch:
        yield batch
