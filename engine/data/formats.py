"""What one example looks like in a data set: messages, ShareGPT, text, prompt and completion, or columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from engine.data import segments
from engine.data.columns import record_fields
from engine.data.conversations import NoConversation, check

Format = Literal["messages", "sharegpt", "text", "prompt_completion", "preference", "segments", "columns"]

MESSAGES = 'STRUCT("role" VARCHAR, "content" VARCHAR)[]'
SPEAKERS = {"system": "system", "user": "human", "assistant": "gpt"}


class Unfit(Exception):
    """A row that cannot be written in a format; the message says why."""


def example(row: Mapping[str, Any], format: Format, columns: Sequence[str]) -> dict[str, Any]:
    """One row as an example. `columns` are those that it is made of. Raises `Unfit`."""
    match format:
        case "messages":
            return {"messages": [_message(message) for message in _messages(row, columns[0])]}
        case "sharegpt":
            return {"conversations": [_speech(message) for message in _messages(row, columns[0])]}
        case "text":
            text = row[columns[0]]
            if not text or not text.strip():
                raise Unfit(f"`{columns[0]}` is empty")
            return {"text": text}
        case "prompt_completion" if len(columns) == 2:
            prompt, completion = (row[name] for name in columns)
            for name in columns:
                if not row[name]:
                    raise Unfit(f"`{name}` is empty")
            return {"prompt": prompt, "completion": completion}
        case "prompt_completion":
            messages = [_message(message) for message in _messages(row, columns[0])]
            return {"prompt": messages[:-1], "completion": messages[-1:]}
        case "preference":
            return _preference(row, columns)
        case "segments":
            return {"segments": _segments(row, columns[0])}
    return {name: row[name] for name in columns}


def column_types(format: Format, columns: Sequence[str], types: Mapping[str, str]) -> dict[str, str]:
    """The columns of the examples and their DuckDB types."""
    match format:
        case "messages":
            return {"messages": _list_of("role", "content", types[columns[0]])}
        case "sharegpt":
            return {"conversations": _list_of("from", "value", types[columns[0]])}
        case "text":
            return {"text": "VARCHAR"}
        case "prompt_completion" if len(columns) == 2:
            return {"prompt": types[columns[0]], "completion": types[columns[1]]}
        case "prompt_completion":
            messages = _list_of("role", "content", types[columns[0]])
            return {"prompt": messages, "completion": messages}
        case "preference":
            return dict.fromkeys(("prompt", "chosen", "rejected"), MESSAGES)
        case "segments":
            return {"segments": segments.TYPE}
    return {name: types[name] for name in columns}


def _list_of(speaker: str, said: str, messages: str) -> str:
    train = ', "train" BOOLEAN' if "train" in (record_fields(messages) or ()) else ""
    return f'STRUCT("{speaker}" VARCHAR, "{said}" VARCHAR{train})[]'


def _messages(row: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    messages = row[column]
    if not messages:
        raise Unfit(f"`{column}` is empty")
    try:
        check(messages)
    except NoConversation as error:
        raise Unfit(f"`{column}`: {error}") from error
    return list(messages)


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    found = {"role": message["role"], "content": message["content"]}
    return found | {"train": message["train"]} if message.get("train") is not None else found


def _speech(message: Mapping[str, Any]) -> dict[str, Any]:
    found = {"from": SPEAKERS[message["role"]], "value": message["content"]}
    return found | {"train": message["train"]} if message.get("train") is not None else found


def _segments(row: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    """What is learnt of a row and what is not; made of messages where it has no segments."""
    if row[column] and "content" in row[column][0]:
        return segments.segments(_messages(row, column))
    found = [
        {"role": one.get("role"), "text": one["text"], "train": one["train"]} for one in row[column] or ()
    ]
    if not found or not all(one["text"] for one in found):
        raise Unfit(f"`{column}` is empty, or one of its texts is")
    return found


def _preference(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """What was asked, the better reply and the worse, as messages (TRL's conversational form)."""
    for name in columns:
        if not row[name]:
            raise Unfit(f"`{name}` is empty")
    prompt, chosen, rejected = columns
    if row[chosen] == row[rejected]:
        raise Unfit(f"`{chosen}` and `{rejected}` are the same")
    return {
        "prompt": _spoken(row[prompt], "user"),
        "chosen": _spoken(row[chosen], "assistant"),
        "rejected": _spoken(row[rejected], "assistant"),
    }


def _spoken(said: Any, role: str) -> list[dict[str, Any]]:
    if isinstance(said, str):
        return [{"role": role, "content": said}]
    return [{"role": one["role"], "content": one["content"]} for one in said]
