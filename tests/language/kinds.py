"""A small registry of kinds for tests of the language: settings and columns, and nothing that runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.language.kind import KindSpec, Problem, Role, Shape
from engine.language.types import Many, Record, Type, duckdb_type


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Kind:
    """What the language reads of a kind, with what most have."""

    name: ClassVar[str]
    settings: ClassVar[type[BaseModel]] = Settings
    clauses: ClassVar[frozenset[str]] = frozenset({"expect"})
    sections: ClassVar[Mapping[str, type[BaseModel]]] = {}
    inputs: ClassVar[tuple[int, int | None]] = (1, 1)
    result: ClassVar[Literal["required", "optional", "forbidden"]] = "forbidden"
    keeps: ClassVar[bool] = True
    either: ClassVar[bool] = False
    unwritten: ClassVar[bool] = False

    def own(self, shape: Shape) -> Mapping[str, str]:
        return {}

    def base(self, settings: BaseModel) -> str | None:
        return None

    def keeping(self, settings: BaseModel) -> bool:
        return self.keeps

    def scopes(self, shape: Shape) -> Mapping[str, Mapping[str, Any]]:
        return {}

    def reads(self, node: Any) -> frozenset[str] | None:
        return None


def fields(type_: Type | None) -> dict[str, str]:
    while type_ is not None and not isinstance(type_, Record):
        type_ = getattr(type_, "of", None)
    return {one.name: duckdb_type(one.type) for one in type_} if type_ else {}


class SourceSettings(Settings):
    path: Annotated[str, Role.INPUT_PATH] = Field(description="What is read.")
    limit: int | None = Field(None, gt=0)
    format: Literal["txt", "jsonl"] | None = None


class Source(Kind):
    name = "source"
    settings = SourceSettings
    inputs = (0, 0)
    result = "required"
    keeps = False

    def own(self, shape: Shape) -> Mapping[str, str]:
        return fields(shape.result)


class RepairSettings(Settings):
    template: Annotated[str, Role.TEMPLATE]
    model: Annotated[str | None, Role.MODEL] = None
    rounds: int = Field(1, ge=1)


class PromptSettings(Settings):
    template: Annotated[str, Role.TEMPLATE] = Field(description="The prompt file.")
    model: Annotated[str, Role.MODEL] = Field(description="Who is asked.")
    when: Annotated[bool, Role.WHEN] = True
    retries: int = Field(2, ge=0)
    votes: int = Field(1, ge=1)
    quorum: float = Field(0.5, ge=0, le=1)
    reply: Literal["json", "text", "tags"] = "json"
    stop: list[str] | str | None = None


class Prompt(Kind):
    name = "prompt"
    settings = PromptSettings
    clauses = frozenset({"where", "let", "check", "keep", "expect"})
    sections: ClassVar[Mapping[str, type[BaseModel]]] = {"repair": RepairSettings}
    result = "required"

    def own(self, shape: Shape) -> Mapping[str, str]:
        own = fields(shape.result)
        if not own:
            raise Problem("ATK140", "a prompt gives records")
        if isinstance(shape.result, Many):
            own[f"{shape.name.rpartition('.')[2]}_index"] = "BIGINT"
        return own | fields(shape.sections.get("repair"))

    def scopes(self, shape: Shape) -> Mapping[str, Mapping[str, Any]]:
        return {"check": fields(shape.result), "keep": fields(shape.result)}


class SqlSettings(Settings):
    query: Annotated[str, Role.QUERY]


class Sql(Kind):
    name = "sql"
    settings = SqlSettings
    inputs = (0, None)
    keeps = False

    def own(self, shape: Shape) -> Mapping[str, str]:
        return dict(shape.query or {})


class PythonSettings(Settings):
    model_config = ConfigDict(extra="allow", frozen=True)

    call: Annotated[str, Role.FUNCTION]
    each: bool = False


class Python(Kind):
    name = "python"
    settings = PythonSettings
    inputs = (1, None)
    result = "required"
    keeps = False

    def own(self, shape: Shape) -> Mapping[str, str]:
        return fields(shape.result)


class GatherSettings(Settings):
    by: Annotated[str, Role.TABLE]
    columns: Annotated[list[str] | None, Role.COLUMN] = None


class Gather(Kind):
    name = "gather"
    settings = GatherSettings

    def base(self, settings: BaseModel) -> str | None:
        return settings.by  # type: ignore[attr-defined]

    def own(self, shape: Shape) -> Mapping[str, str]:
        before = shape.inputs[0]
        names = shape.settings.columns or list(before)  # type: ignore[attr-defined]
        inner = ", ".join(f'"{name}" {before[name]}' for name in names)
        return {shape.name: f"STRUCT({inner})[]"}


class ChatSettings(Settings):
    system: Annotated[str | None, Role.ROW] = None


class Chat(Kind):
    name = "chat"
    settings = ChatSettings
    clauses = frozenset({"where", "expect"})

    def own(self, shape: Shape) -> Mapping[str, str]:
        return {"messages": 'STRUCT("role" VARCHAR, "content" VARCHAR)[]'}


class DedupeSettings(Settings):
    column: Annotated[str, Role.COLUMN]
    threshold: float = 0.85


class Dedupe(Kind):
    name = "dedupe"
    settings = DedupeSettings


class MixSettings(Settings):
    share: Annotated[dict[str, float], Role.TABLES]
    unit: Literal["rows", "tokens"] = "rows"
    seed: int = 0


class Mix(Kind):
    name = "mix"
    settings = MixSettings
    inputs = (1, None)
    keeps = False

    def own(self, shape: Shape) -> Mapping[str, str]:
        first, *others = shape.inputs
        return {name: kind for name, kind in first.items() if all(name in other for other in others)}


class EmitSettings(Settings):
    path: Annotated[str, Role.OUTPUT_PATH]
    format: Literal["messages", "text", "columns"] = "columns"
    split: dict[str, float] | None = None


class Emit(Kind):
    name = "emit"
    settings = EmitSettings

    def own(self, shape: Shape) -> Mapping[str, str]:
        return {"split": "VARCHAR"}


class RepeatSettings(Settings):
    rounds: int


class Repeat(Kind):
    name = "repeat"
    settings = RepeatSettings
    inputs = (1, None)
    either = True
    unwritten = True


class TrainSettings(Settings):
    method: str
    start: Annotated[str, Role.START]
    reward: Annotated[dict[str, float] | None, Role.REWARD] = None


class Train(Kind):
    name = "train"
    settings = TrainSettings
    keeps = False


class ClassifySettings(Settings):
    using: Annotated[str, Role.START]


class Classify(Kind):
    name = "classify"
    settings = ClassifySettings


def registry() -> dict[str, KindSpec]:
    kinds: list[KindSpec] = [
        Source(), Prompt(), Sql(), Python(), Gather(), Chat(), Dedupe(), Mix(), Emit(), Repeat(),
        Train(), Classify(),
    ]  # fmt: skip
    return {kind.name: kind for kind in kinds}
