"""`emit`: a table written as a data set: files, a split that keeps documents apart, and a card.

Its own table says for each row on which side it is; the files are written when that table is
whole and holds what `expect` says. Forms, files and cards are `engine.data`'s.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field

from engine.data import formats
from engine.data.columns import record_fields
from engine.data.splitting import assign
from engine.frozen import dataclass
from engine.kinds.base import Context, KindError, Made, Row, Settings, TableKind
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node, Program

SPLIT_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "sharegpt": ("messages",),
    "text": ("text",),
    "prompt_completion": ("question", "answer"),
    "preference": ("prompt", "chosen", "rejected"),
    "segments": ("segments",),
    "columns": (),
}
IDS = ("VARCHAR[]", "UUID[]")
UNEVEN = 0.05  # a split whose share of the rows is further off is told
BATCH = 500


class EmitSettings(Settings):
    """Settings of `emit`."""

    path: Annotated[str, Role.OUTPUT_PATH] = Field(
        description="Where to write: `out/sft.jsonl`, `out/sft.parquet`, or a folder `out/sft/`. With a "
        "split, `out/sft.jsonl` stands for `out/sft/train.jsonl` and so on."
    )
    format: formats.Format = Field(
        "messages", description="The form of an example; `columns` writes rows as they are."
    )
    column: Annotated[str | None, Role.COLUMN] = Field(
        None,
        description="What examples are made of; `messages`, `segments` or `text` if absent, by the format.",
    )
    columns: Annotated[list[str] | None, Role.COLUMN] = Field(
        None,
        description="For `columns` those that are written (all if absent); for `prompt_completion` two; for "
        "`preference` three: what was asked, the better reply, the worse.",
    )
    split: dict[str, float] | None = Field(
        None, description="Shares by name: `{ train: 0.98, test: 0.02 }`; without it all is `train`."
    )
    by: Annotated[str | None, Role.TABLE] = Field(
        None, description="The ancestor whose rows are kept on one side; the source document if absent."
    )
    rests_on: Annotated[str | None, Role.COLUMN] = Field(
        None,
        description="A column with the ids of more rows of `by` that a row tells of, a list. What rests on "
        "rows of several sides is rejected.",
    )
    seed: int = Field(0, description="Of the split: another seed divides otherwise.")
    lineage: bool = Field(
        False, description="True: a column `meta` with the ids of a row's ancestors, as JSON."
    )
    card: bool = Field(True, description="Whether a `README.md` about the data is written.")


class Emit(TableKind):
    """See the module's docstring."""

    name = "emit"
    settings = EmitSettings
    pure = False

    def own(self, shape: Shape) -> Mapping[str, str]:
        """`split`: the side of the row."""
        settings = cast(EmitSettings, shape.settings)
        before = shape.inputs[0] if shape.inputs else {}
        _check_path(settings)
        _check_split(settings)
        if settings.by is not None and shape.ancestors and settings.by not in shape.ancestors:
            known = ", ".join(f"`{name}`" for name in shape.ancestors)
            raise Problem(
                "ATK103", f"`{settings.by}` is no ancestor of the input", "by", f"its rows come from {known}"
            )
        _check_columns(settings, before)
        if settings.rests_on is not None and before.get(settings.rests_on) not in IDS:
            raise Problem(
                "ATK161",
                f"`{settings.rests_on}` is no list of ids",
                "rests_on",
                "it is a list of texts or of UUIDs, such as `[documents_id]`",
            )
        return {"split": "VARCHAR"}

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """Every input row with its side; one that does not fit the format has failed."""
        node = context.node
        settings = cast(EmitSettings, node.settings)
        _check_alone(context.program, node)
        shares = settings.split or {"train": 1.0}
        groups = groups_of(context.program, node)
        # Most rows rest on one group alone, so what is kept of a row is seldom more than its id.
        rests = [resting(row, groups, settings.rests_on) for row in inputs[0]()]
        known = {one[0] for one in rests}
        further = {each for one in rests for each in one[1:]}
        sides = assign(known | further, shares, settings.seed)
        counts: Counter[str] = Counter()
        left = 0
        for one in rests:
            fall = {sides[each] for each in one}
            if len(fall) == 1:
                counts.update(fall)
            else:
                left += 1
        self.tell(context, shares, counts, len(sides))
        what = f"rows of `{groups[0]}`" if groups else "rows"
        if further and not further & known:
            context.say(f"no id in `{settings.rests_on}` is of {what} that the others come from")
        if left:
            were = "1 row rests" if left == 1 else f"{left} rows rest"
            context.say(f"{were} on {what} of several sides of the split: see rejected.{node.name}")
        return self.made(node, inputs[0](), groups, sides)

    def made(
        self, node: Node, rows: Iterable[Row], groups: Sequence[str], sides: Mapping[bytes, str]
    ) -> Iterator[Made]:
        settings = cast(EmitSettings, node.settings)
        columns: Sequence[str] | None = None
        for row in rows:
            fall = sorted({sides[each] for each in resting(row, groups, settings.rests_on)})
            if len(fall) > 1:
                what = f"rows of `{groups[0]}`" if groups else "rows"
                yield Made({}, "rejected", f"rests on {what} of {' and '.join(fall)}", parent=row)
                continue
            columns = columns or used(settings, row.columns)
            try:
                formats.example(row.columns, settings.format, columns)
            except formats.Unfit as error:
                yield Made({}, "failed", str(error), parent=row)
                continue
            yield Made({"split": fall[0]}, parent=row)

    def tell(self, context: Context, shares: Mapping[str, float], rows: Counter[str], groups: int) -> None:
        """What the split came to, where it is far from the wish or a side is empty."""
        total = rows.total()
        if not total or len(shares) < 2:
            return
        far = [name for name, share in shares.items() if abs(rows[name] / total - share) > UNEVEN]
        if far or any(not rows[name] for name in shares):
            came = ", ".join(
                f"{name} has {rows[name] / total:.0%} of the rows (wished {share:.0%})"
                for name, share in shares.items()
            )
            by = groups_of(context.program, context.node)
            what = f"rows of `{by[0]}`" if by else "rows"
            finer = "; `by = …` with a nearer ancestor splits finer" if by else ""
            context.say(f"split by {groups} {what}, {came}{finer}")

    def finish(self, context: Context) -> None:
        """Write the files, all or none, then the card."""
        from engine.data.writers import Files, NotWritten
        from engine.kinds import emit_card

        node = context.node
        settings = cast(EmitSettings, node.settings)
        place = Place.of(settings, context.out)
        types = {name: column.type for name, column in node.columns.items() if name != "split"}
        columns = used(settings, types)
        features = formats.column_types(settings.format, columns, types)
        if settings.lineage:
            features = features | {"meta": "VARCHAR"}
        counts: Counter[str] = Counter()
        try:
            with Files() as files:
                writers = {name: files.rows(path, features) for name, path in place.files.items()}
                for row in context.rows(node.name):
                    side = row.columns["split"]
                    example = formats.example(row.columns, settings.format, columns)
                    if settings.lineage:
                        example["meta"] = _meta(row)
                    writers[side].write([example])
                    counts[side] += 1
            if settings.card:
                emit_card.write(context, place, features, counts)
        except NotWritten as error:
            raise KindError(f"`{node.name}`: {error.message}", error.help) from error
        for name, path in place.files.items():
            context.wrote(path, counts[name])


@dataclass(frozen=True)
class Place:
    """Where the files of a set lie, by split, and in which folder its card."""

    out: Path
    files: Mapping[str, Path]
    folder: Path
    card: str
    name: str
    suffix: str

    @classmethod
    def of(cls, settings: EmitSettings, out: Path) -> Place:
        """A folder holds `train.jsonl`; a file is itself, or with a split a folder of its name.

        A file right beneath where the command runs gets a card of its own name, so that nobody's
        README is written over.
        """
        path = out / settings.path
        suffix = path.suffix if path.suffix in (".jsonl", ".parquet") else ""
        if suffix and settings.split is None:
            card = "README.md" if path.parent != out else f"{path.stem}.card.md"
            return cls(out, {"train": path}, path.parent, card, path.stem, suffix)
        folder = path.with_suffix("") if suffix else path
        suffix = suffix or ".jsonl"
        files = {name: folder / f"{name}{suffix}" for name in settings.split or {"train": 1.0}}
        return cls(out, files, folder, "README.md", folder.name, suffix)


def used(settings: EmitSettings, columns: Iterable[str]) -> list[str]:
    """The columns that examples are made of."""
    there = [name for name in columns if name != "split"]
    if settings.columns is not None:
        return list(settings.columns)
    if settings.column is not None:
        return [settings.column]
    if settings.format == "columns":
        return there
    without = {"prompt_completion": True, "segments": "segments" not in there}
    if without.get(settings.format) and "messages" in there:
        return ["messages"]
    return list(DEFAULTS[settings.format])


def group_of(row: Row, groups: Sequence[str]) -> bytes:
    """What keeps a row together with others: its document, or the row itself if it came of none."""
    return next((row.ids[name] for name in groups if name in row.ids), row.id)


def resting(row: Row, groups: Sequence[str], column: str | None) -> tuple[bytes, ...]:
    """What a row rests on: the group that it is of, first, and those that a column of it names.

    An id that is none (it was made by hand) is one of a group nobody else is of.
    """
    own = group_of(row, groups)
    if column is None or not row.columns[column]:
        return (own,)
    return (own, *{_id(one) for one in row.columns[column] if one is not None} - {own})


def _id(written: Any) -> bytes:
    import uuid

    try:
        return uuid.UUID(str(written)).bytes
    except ValueError:
        return str(written).encode()


def groups_of(program: Program, node: Node) -> list[str]:
    """The ancestors to split by: the one named, or the sources, farthest first."""
    by = cast(EmitSettings, node.settings).by
    if by is not None:
        return [by if by in node.ancestors else node.tables.get(by, by)]
    return [name for name in reversed(node.ancestors) if program.nodes[name].kind == "source"]


def _meta(row: Row) -> str:
    import uuid

    import orjson

    ids = {name.replace(".", "_") + "_id": str(uuid.UUID(bytes=each)) for name, each in row.ids.items()}
    return orjson.dumps(ids, option=orjson.OPT_SORT_KEYS).decode()


# -- what can be said before anything runs ------------------------------------------------------


def _check_path(settings: EmitSettings) -> None:
    path = Path(settings.path)
    if path.is_absolute() or ".." in path.parts or settings.path.startswith("~"):
        raise Problem(
            "ATK159",
            f"{settings.path} does not lie beneath where the command runs",
            "path",
            "give a path such as `out/sft.jsonl`; --out writes it elsewhere",
        )
    if path.suffix not in ("", ".jsonl", ".parquet"):
        raise Problem(
            "ATK159",
            f"no data set is written as {path.suffix}",
            "path",
            "end the path in .jsonl or .parquet, or in / for a folder",
        )
    if not path.name:
        raise Problem("ATK159", "`path` names no file", "path")


def _check_split(settings: EmitSettings) -> None:
    if settings.split is None:
        return
    for name, share in settings.split.items():
        if not SPLIT_NAME.fullmatch(name):
            raise Problem(
                "ATK160", f"`{name}` cannot be the name of a split", "split", "letters, digits and _"
            )
        if share <= 0:
            raise Problem("ATK160", f"the share of `{name}` must be above 0", "split")
    total = sum(settings.split.values())
    if not 0.999 <= total <= 1.001:
        parts = ", ".join(f"{name}: {share / total:.3g}" for name, share in settings.split.items())
        raise Problem("ATK160", f"the shares come to {total:.4g}, not to 1", "split", f"write {{ {parts} }}")


def _check_columns(settings: EmitSettings, before: Mapping[str, str]) -> None:
    columns = used(settings, before)
    setting = (
        "columns" if settings.columns is not None else "column" if settings.column is not None else "format"
    )
    if settings.column is not None and settings.columns is not None:
        raise Problem("ATK161", "give `column` or `columns`, not both", "column")
    for name in columns:
        if name not in before:
            known = ", ".join(f"`{each}`" for each in before)
            raise Problem("ATK122", f"no column named `{name}`", setting, f"the input has {known}")
    wanted = {"columns": None, "prompt_completion": (1, 2), "preference": (3, 3)}.get(settings.format, (1, 1))
    if wanted and not wanted[0] <= len(columns) <= wanted[1]:
        most = "3 columns" if wanted[0] == 3 else f"{wanted[1]} columns at most"
        raise Problem("ATK161", f'format = "{settings.format}" takes {most}', "columns")
    if settings.format in ("preference", "segments"):
        _check_records(settings, columns, before, setting)
        return
    chats = settings.format in ("messages", "sharegpt") or (
        settings.format == "prompt_completion" and len(columns) == 1
    )
    if chats and not {"role", "content"} <= {*(record_fields(before[columns[0]]) or ())}:
        raise Problem(
            "ATK161",
            f"`{columns[0]}` is no list of messages",
            setting,
            "messages have `role` and `content`; the kind `chat` makes them",
        )
    if not chats and settings.format != "columns":
        for name in columns:
            if before[name] != "VARCHAR":
                raise Problem("ATK161", f"`{name}` is no text", setting)


def _check_records(
    settings: EmitSettings, columns: Sequence[str], before: Mapping[str, str], setting: str
) -> None:
    """Preference pairs are texts or lists of messages; segments have a text and say whether it is learnt."""
    for name in columns:
        fields = {*(record_fields(before[name]) or ())}
        if {"role", "content"} <= fields:
            continue
        if settings.format == "preference" and before[name] == "VARCHAR":
            continue
        if settings.format == "segments" and {"text", "train"} <= fields:
            continue
        what = "a text nor a list of messages" if settings.format == "preference" else "messages nor segments"
        raise Problem("ATK161", f"`{name}` is neither {what}", setting, "the kind `chat` makes them")


def _check_alone(program: Program, node: Node) -> None:
    """No other node may write the same files. Raises `KindError`."""
    mine = set(Place.of(cast(EmitSettings, node.settings), Path()).files.values())
    for other in program.nodes.values():
        if other.kind != "emit" or other.name == node.name:
            continue
        theirs = set(Place.of(cast(EmitSettings, other.settings), Path()).files.values())
        if mine & theirs:
            raise KindError(
                f"`{node.name}` and `{other.name}` both write {min(map(str, mine & theirs))}",
                "give one of them another `path`",
            )
