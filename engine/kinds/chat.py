"""`chat`: rows to conversations: a system prompt, turns, and which messages are to be learnt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from engine.data import segments
from engine.data.columns import record_fields
from engine.data.conversations import (
    ANSWERING,
    ASKING,
    NoConversation,
    conversation,
    marked,
    pair_names,
    without_thoughts,
)
from engine.kinds.base import Context, Made, Outcome, Row, RowContext, RowKind, Settings
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node


class ChatSettings(Settings):
    """Settings of `chat`."""

    system: Annotated[str | None, Role.ROW] = Field(
        None,
        description="The system prompt: text, which may use columns and params; of a list of texts, one for "
        "each row. None if empty.",
    )
    user: Annotated[str | None, Role.ROW] = Field(
        None, description="What the user says; the column `question` if absent."
    )
    assistant: Annotated[str | None, Role.ROW] = Field(
        None, description="What the assistant says; the column `answer` if absent."
    )
    turns: Annotated[str | None, Role.COLUMN] = Field(
        None, description="Instead of both: a column with a list of question/answer pairs or of messages."
    )
    train: Literal["assistant", "all", "last"] | None = Field(
        None, description="Marks each message as to be learnt or not: the assistant's, all, or the last one."
    )
    untrained: Annotated[str | None, Role.ROW] = Field(
        None,
        description="A part of a message, or a list of parts, that is not to be learnt; the column "
        "`segments` says what is.",
    )
    thoughts: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Share of the rows in which the assistant's `<think>` blocks stay; in all if absent.",
    )
    seed: int = Field(0, description="Of what is chosen: a system prompt of several, whose thoughts stay.")


class Chat(RowKind):
    """See the module's docstring."""

    name = "chat"
    settings = ChatSettings
    clauses = frozenset({"where", "expect"})

    def own(self, shape: Shape) -> Mapping[str, str]:
        """`messages`: role and content, and `train` where something says it; `segments` with `untrained`."""
        settings = cast(ChatSettings, shape.settings)
        before = shape.inputs[0] if shape.inputs else {}
        known = ", ".join(f"`{name}`" for name in before)
        if settings.turns is not None:
            if settings.user is not None or settings.assistant is not None:
                raise Problem("ATK156", "`turns` stands in place of `user` and `assistant`", "turns")
            if settings.turns not in before:
                raise Problem(
                    "ATK122", f"no column named `{settings.turns}`", "turns", f"the input has {known}"
                )
            fields = record_fields(before[settings.turns])
            if fields is None or not (pair_names(fields) or {"role", "content"} <= {*fields}):
                raise Problem(
                    "ATK156",
                    f"`{settings.turns}` is no list of turns",
                    "turns",
                    "a turn has `question` and `answer`, or `role` and `content`",
                )
        else:
            for setting, names in (("user", ASKING), ("assistant", ANSWERING)):
                if getattr(settings, setting) is None and names[0] not in before:
                    raise Problem(
                        "ATK156",
                        f"`chat` needs `{setting}`: the input has no column `{names[0]}`",
                        None,
                        f"the input has {known}; or give a list of turns as `turns`",
                    )
        flagged = "train" in (record_fields(before.get(settings.turns or "", "")) or ())
        said = settings.train is not None or settings.untrained is not None or flagged
        train = ', "train" BOOLEAN' if said else ""
        own = {"messages": f'STRUCT("role" VARCHAR, "content" VARCHAR{train})[]'}
        return own | ({"segments": segments.TYPE} if settings.untrained is not None else {})

    def reads(self, node: Node) -> frozenset[str] | None:
        """The columns that the settings and a `where` name."""
        settings = cast(ChatSettings, node.settings)
        names = {name for clause in (*node.expressions.values(), *node.of("where")) for name in clause.reads}
        names |= {settings.turns} if settings.turns else {"question", "answer"}
        return frozenset(names)

    async def work(self, row: Row, context: Context) -> Outcome:
        """One conversation, or why there is none."""
        settings = cast(ChatSettings, context.node.settings)
        expressions = context.node.expressions
        found = (
            await cast(RowContext, context).evaluate(list(expressions.values()), row) if expressions else []
        )
        values: dict[str, Any] = dict(zip(expressions, found, strict=True))
        for name, value in values.items():
            if isinstance(value, Exception):
                return Outcome([Made({}, "failed", f"`{name}` cannot be worked out: {value}")])
        try:
            return Outcome([Made(_said(settings, values, row))])
        except NoConversation as error:
            return Outcome([Made({}, "failed", str(error))])


def _said(settings: ChatSettings, values: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """The columns of one conversation. Raises `NoConversation`."""
    turns = _turns(settings, values, row)
    dice = Dice(settings.seed, turns)
    messages = conversation(turns, _text(dice.one_of(values.get("system"))))
    if settings.thoughts is not None and dice.share("thoughts") >= settings.thoughts:
        messages = without_thoughts(messages)
    if settings.train is not None:
        messages = marked(messages, settings.train)
    if settings.untrained is None:
        return {"messages": messages}
    parts = values.get("untrained")
    listed = parts if isinstance(parts, list) else [] if parts is None else [parts]
    cut = segments.segments(messages, map(str, listed))
    return {"messages": segments.flagged(messages, cut), "segments": cut}


class Dice:
    """Choices for one conversation, which follow from what is said in it and from the seed."""

    def __init__(self, seed: int, turns: Any):
        self.seed, self.turns = seed, turns

    def share(self, what: str) -> float:
        """A number from 0 to 1, without 1; evenly spread over conversations."""
        said = f"{self.seed} {what} {self.turns!r}".encode()
        return int.from_bytes(hashlib.sha256(said).digest()[:6], "big") / 2**48

    def one_of(self, value: Any) -> Any:
        """Of a list one of its elements, anything else as it is."""
        if not isinstance(value, list):
            return value
        return value[int(self.share("system") * len(value))] if value else None


def _turns(settings: ChatSettings, values: Mapping[str, Any], row: Row) -> list[dict[str, Any]]:
    if settings.turns is not None:
        return row.columns[settings.turns] or []
    asked = values["user"] if "user" in values else row.columns["question"]
    answered = values["assistant"] if "assistant" in values else row.columns["answer"]
    return [{"question": _text(asked), "answer": _text(answered)}]


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)
