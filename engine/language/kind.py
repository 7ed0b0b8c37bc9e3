"""What the language must know of a node kind to check a node of it.

The kinds themselves live in `engine.kinds`, which this package does not import: a registry
of them is handed to `check`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import BaseModel

from engine.frozen import dataclass
from engine.language.types import Type

if TYPE_CHECKING:
    from engine.language.program import Node


class Role(Enum):
    """What a setting's value means, where it is more than a constant.

    Written as `Annotated[str, Role.COLUMN]` in a kind's settings model. A setting without a
    role is a constant expression, evaluated when the graph is planned.
    """

    COLUMN = "the name of a column of the input, bare or as a string"
    TABLE = "the name of a table among the ancestors of the input"
    TABLES = "an object whose keys are names of inputs"
    BESIDE = "the name of a table that is read beside the inputs"
    MODEL = "the name of a model in scope"
    TEMPLATE = "the name of a prompt file, without `.md`"
    TEMPLATES = "prompt files to choose from: a list of names, or a folder of prompts"
    QUERY = "a DuckDB query; its tables become inputs"
    FUNCTION = "a Python function, as `file.py:name`, beside the graph"
    INPUT_PATH = "a path that is read, looked for beside where the command runs, then beside the graph"
    OUTPUT_PATH = "a path that is written, beneath where the command runs or `--out`"
    SECRET = 'the environment variable that holds a password, as `secret("NAME")`; not part of any key'
    START = "a model's folder, its name at the hub, or a `train` node, which is then waited for"
    REWARD = "a graph that judges replies, or an object of such graphs with weights"
    ROW = "an expression over a row; kept as a clause in `Node.expressions`"
    WHEN = "a constant; where it is false the node lets its rows pass untouched"


@dataclass(frozen=True)
class Shape:
    """What is known of a node's surroundings when its columns are worked out."""

    name: str
    inputs: Sequence[Mapping[str, str]]  # columns of each input -> DuckDB type, ids left out
    names: Sequence[str]  # of the inputs
    result: Type | None
    settings: BaseModel
    sections: Mapping[str, Type | None]  # section name -> its result type
    query: Mapping[str, str] | None  # columns that the bound query gives, for Role.QUERY
    ancestors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Columns of the first input and of each of its ancestors, nearest first -> DuckDB type."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """The kind of each table in `ancestors`."""
    folder: Path | None = None  # of the file that the node is written in, for Role.FUNCTION
    lineage: Sequence[Sequence[str]] = ()
    """Of each input: the tables whose ids travel with its rows."""


class Problem(Exception):
    """A kind's objection to a node; the resolver turns it into a diagnostic with a place."""

    def __init__(self, code: str, message: str, setting: str | None = None, help: str | None = None):
        super().__init__(message)
        self.code, self.message, self.setting, self.help = code, message, setting, help


class KindSpec(Protocol):
    """The part of a kind that the language reads."""

    name: ClassVar[str]
    settings: ClassVar[type[BaseModel]]  # extra = "forbid" unless it hands settings on
    clauses: ClassVar[frozenset[str]]  # the words it takes
    sections: ClassVar[Mapping[str, type[BaseModel]]]  # blocks it takes, with their settings
    inputs: ClassVar[tuple[int, int | None]]  # fewest and most tables after `from`
    result: ClassVar[Literal["required", "optional", "forbidden"]]
    keeps: ClassVar[bool]  # its rows keep their input's columns and add to them
    either: ClassVar[bool]  # its rows are those of one of its inputs
    unwritten: ClassVar[bool]  # no graph names it: it comes of `rounds` or of `reward`

    def own(self, shape: Shape) -> Mapping[str, str]:
        """The columns that the kind adds, with their DuckDB types. Raises `Problem`."""
        ...

    def base(self, settings: BaseModel) -> str | None:
        """The ancestor whose rows its rows stand for, and whose columns they keep: for `gather`.

        None: the first input, where `keeps` holds. Where it is a name, the node's columns are
        that ancestor's and `own`, and its ancestors are that one and its ancestors.
        """
        ...

    def keeping(self, settings: BaseModel) -> bool:
        """Whether rows of a node with these settings keep their input's columns; mostly `keeps`."""
        ...

    def scopes(self, shape: Shape) -> Mapping[str, Mapping[str, Any]]:
        """For each clause word, the extra columns in scope beyond the input's (name -> DuckDB type)."""
        ...

    def reads(self, node: Node) -> frozenset[str] | None:
        """The input columns that the outcome of a row depends on; None where that cannot be said."""
        ...
