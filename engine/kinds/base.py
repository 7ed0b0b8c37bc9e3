"""What every kind is: settings, the columns it adds, and what it does to rows.

A kind is one file. It knows the store and the models only through the protocols here; who
calls it, when, and what is kept of it is the runtime's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from engine.frozen import dataclass
from engine.language.kind import Shape
from engine.language.program import Clause, Node, Program

if TYPE_CHECKING:
    import pyarrow as pa

Flow = Literal["source", "row", "group", "table"]
Fate = Literal["ok", "rejected", "failed", "skipped", "empty"]


class Settings(BaseModel):
    """Base of every kind's settings: an unknown setting is an error with a suggestion."""

    # Built when first used: a graph uses a few of the kinds, and a check should not wait for the others.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


@dataclass(slots=True)
class Row:
    """One row as it flows: all the columns that its table shows, and the ids of its ancestors.

    `id` is 16 bytes, a hash of the parent's id and the place among siblings; `rev` 16 bytes
    over the content, that of the ancestors included. `ids` maps node names to ids.
    """

    id: bytes
    rev: bytes
    columns: dict[str, Any]
    ids: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where a source read a row: its mark, and how many rows stood unread before it."""

    mark: bytes
    skipped: int


@dataclass(slots=True)
class Made:
    """One row that a kind made of another: its own columns and what became of it.

    `parent` names the input row where a whole-table kind (dedupe, mix) keeps lineage; `ids`
    (node -> id) the ancestors where there is no one row that it came of (sql).
    `identity` replaces the place among siblings in the row's id where a source or a
    whole-table kind has something steadier (the path of a document, the content of a line).
    `stretch` says where a source read it, if that is to be remembered.
    """

    own: dict[str, Any]
    fate: Fate = "ok"
    reason: str | None = None
    parent: Row | None = None
    identity: str | None = None
    ids: dict[str, bytes] | None = None
    stretch: Stretch | None = None


@dataclass(slots=True)
class Outcome:
    """What one input row came to: its rows, the calls it took, and whether to try again next run."""

    made: list[Made] = field(default_factory=list)
    calls: list[bytes] = field(default_factory=list)
    retry: bool = False  # a fault of the moment (transport): never remembered as the answer
    asked: int = 0  # replies asked for, against the budget of `retries`


class Judging(Protocol):
    """The graphs that `reward` names, asked batch by batch."""

    @property
    def identity(self) -> str:
        """A hash of all that decides what is rewarded."""
        ...

    def rewards(self, rows: Sequence[Row]) -> list[tuple[dict[str, float | None], str | None]]:
        """By row of replies: its rewards by name, and why one that it should have is missing. Blocking."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class Context(Protocol):
    """What a kind may ask of the engine while it works on one node."""

    node: Node
    program: Program
    root: Path  # where the command runs
    out: Path  # beneath which files are written
    seed: int

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Rows of a query over the tables that the node may name (`Node.tables`). Blocking.

        `parameters` are what the query's `$name`s stand for, and nothing else.
        """
        ...

    def rows(self, name: str) -> Iterable[Row]:
        """Finished rows of a node's table, its own included, in lineage order. Blocking."""
        ...

    def paid(self, names: Iterable[str]) -> tuple[int, float]:
        """How many calls these nodes have made so far, over all runs, and their cost in USD. Blocking."""
        ...

    def cost_of_rows(self, names: Iterable[str]) -> tuple[int, float]:
        """On how many calls rows of these nodes stand, whoever paid, and their cost in USD. Blocking."""
        ...

    def counts(self, name: str) -> Mapping[str, int]:
        """How many rows of a node's table are "ok", "rejected" and "failed". Blocking."""
        ...

    def ran(self, name: str) -> bool:
        """Whether a node had its turn in this run; one of a round that was not needed had not."""
        ...

    def wrote(self, path: Path, rows: int) -> None:
        """Tell the run's summary of a file that was written."""
        ...

    def say(self, text: str) -> None:
        """A line for the run's summary: something the author should know, not an error."""
        ...

    def heed(self) -> None:
        """Raise when the run winds down: for work that takes long."""
        ...

    def trained(self, name: str) -> Mapping[str, Any] | None:
        """The row of a `train` node that this one waits for (`Node.waits`); None if there is none yet."""
        ...

    def judge(self) -> Judging:
        """Who rewards the replies of this `train` node while it is trained. To be closed."""
        ...

    def measured(self, job: str, rows: Sequence[Mapping[str, Any]], steps: int) -> None:
        """Keep what the training of a job has measured at some of its steps: rows of the table `metrics`."""
        ...


class RowContext(Context, Protocol):
    """What a row-wise kind may ask besides."""

    prepared: Any  # what the kind's `prepare` gave for the node

    async def evaluate(self, clauses: Sequence[Clause], row: Row) -> list[Any]:
        """What expressions (`Node.expressions`) come to over a row; an exception in place of a value."""
        ...


class Kind:
    """Base of the kinds; also the `KindSpec` that the language reads."""

    name: ClassVar[str]
    settings: ClassVar[type[BaseModel]] = Settings
    clauses: ClassVar[frozenset[str]] = frozenset({"expect"})
    sections: ClassVar[Mapping[str, type[BaseModel]]] = {}
    inputs: ClassVar[tuple[int, int | None]] = (1, 1)
    result: ClassVar[Literal["required", "optional", "forbidden"]] = "forbidden"
    keeps: ClassVar[bool] = True
    either: ClassVar[bool] = False  # its rows are those of one of its inputs: what `rounds` end in
    unwritten: ClassVar[bool] = False  # no graph names it: it comes of `rounds` or of `reward`
    flow: ClassVar[Flow] = "row"
    version: ClassVar[int] = 1  # raised when the same settings begin to give other rows

    def own(self, shape: Shape) -> Mapping[str, str]:
        """Columns added, name -> DuckDB type. Raises `Problem`."""
        return {}

    def base(self, settings: BaseModel) -> str | None:
        """The ancestor whose rows its rows stand for, in place of the input's."""
        return None

    def keeping(self, settings: BaseModel) -> bool:
        """Whether rows of a node with these settings keep their input's columns."""
        return self.keeps

    def working(self, node: Node) -> Kind:
        """The kind that does the work of this node, where that is for its settings to say."""
        return self

    def scopes(self, shape: Shape) -> Mapping[str, Mapping[str, Any]]:
        """Extra columns in scope of each clause word; `expect` sees the whole table anyhow."""
        return {}

    def static(self, node: Node) -> dict[str, Any]:
        """What of the node decides its rows, JSON-able; prices, names and `expect` do not.

        The kind with its version, the result type, the settings, and every clause but `expect`.
        Templates and models are not in it: only who runs the graph knows what is behind them.
        """
        from engine.kinds.static import static

        return static(self, node)

    def reads(self, node: Node) -> frozenset[str] | None:
        """The input columns that the outcome of a row depends on; None for all of them."""
        return None

    def ready(self, context: Context, fetch: bool) -> None:
        """Before anything is paid for: whether all is there that the node will need from outside.

        `fetch` says whether what is missing may be fetched. Raises `KindError`.
        """


class Repeated(Exception):
    """The same stretch twice: its rows cannot be told from the marks."""


class Known:
    """Stretches of what a source reads, by their marks, that an earlier reading left in the store.

    `rows` has how many rows each holds; all of them were good, and none came twice.
    """

    def __init__(self, rows: Mapping[bytes, int] | None = None):
        self.rows = rows or {}
        self.kept: set[bytes] = set()
        self.skipped = 0
        self.unsure: set[bytes] = set()  # not to be relied upon the next time

    def stands(self, mark: bytes) -> bool:
        """Whether the rows of a stretch that comes now need not be read. Raises `Repeated`."""
        if mark not in self.rows:
            return False
        if mark in self.kept:
            raise Repeated
        self.kept.add(mark)
        self.skipped += self.rows[mark]
        return True


class SourceKind(Kind):
    """Reads rows from outside."""

    inputs = (0, 0)
    result = "required"
    keeps = False
    flow = "source"

    def signature(self, context: Context) -> Any:
        """Something JSON-able and cheap that changes whenever what is read may have changed.

        Raises `KindError` where there is nothing to read.
        """
        raise NotImplementedError

    def read(self, context: Context, known: Known) -> Iterable[Made]:
        """The rows, lazily. Runs in a thread. What cannot be read is `Made(fate="failed")`.

        What stands (`Known.stands`) may be left out.
        """
        raise NotImplementedError


class RowKind(Kind):
    """Works on one row at a time, in any order."""

    flow = "row"
    blocking: ClassVar[bool] = False  # True: `work_now` is called, in a thread

    def prepare(self, node: Node) -> Any:
        """What all rows of a node share, worked out once; `RowContext.prepared` hands it to `work`."""
        return None

    async def work(self, row: Row, context: Context) -> Outcome:
        """What becomes of one row. Deterministic but for calls."""
        raise NotImplementedError

    def work_now(self, row: Row, context: Context) -> Outcome:
        """The same, for what computes or waits without the event loop."""
        raise NotImplementedError


class GroupKind(Kind):
    """Makes one row of all rows that share an ancestor."""

    flow = "group"

    def by(self, node: Node) -> str:
        """The ancestor's node."""
        raise NotImplementedError

    def collect(self, ancestor: Row, rows: Sequence[Row], context: Context) -> Outcome:
        """What becomes of one group; `rows` are all of it, in lineage order, never none."""
        raise NotImplementedError


class TableKind(Kind):
    """Needs its whole input before it can give a row.

    `work` gives the rows; the runtime writes them and holds `expect` against the table; only
    then does `finish` act on the world outside (a file is written).
    """

    flow = "table"
    pure: ClassVar[bool] = True  # False: user code, or effects outside; a plan does not run it

    def work(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> Iterable[Made]:
        """All rows of the table. Runs in a thread; each input can be read more than once."""
        raise NotImplementedError

    def finish(self, context: Context) -> None:
        """What is done once the table is whole and meets its expectations. Runs in a thread."""

    def foreseen(self, node: Node) -> int | None:
        """Rows that the table will have, where the settings alone say so; for a plan."""
        return None

    def most(self, node: Node) -> int | None:
        """Rows that the table can have at most, where the settings alone say so; for a plan."""
        return None

    def foretell(self, context: Context, inputs: Sequence[Callable[[], Iterable[Row]]]) -> None:
        """In a plan, of a kind that is not pure: say what can be known before. Runs in a thread."""


def read_from(context: Context) -> list[Path]:
    """Where a relative path that is read is looked for, in order (`Role.INPUT_PATH`)."""
    beside = [context.program.path.parent, *([context.node.folder] if context.node.folder else [])]
    return [context.root, *beside]


class KindError(Exception):
    """A node cannot go on: one clear message, with cause and mend, for the person who runs it."""

    def __init__(self, message: str, help: str | None = None):
        super().__init__(message)
        self.message, self.help = message, help
