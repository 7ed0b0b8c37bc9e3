"""Conversations as lists of messages: made of questions and answers, checked, read in other forms.

A message is `{"role": "system" | "user" | "assistant", "content": str}`. The system's comes
first if at all, then user and assistant take turns, the assistant has the last word. Rows,
files and chat templates are others' affair.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Message = dict[str, Any]
Trained = Literal["assistant", "all", "last"]

ASKING = ("question", "user", "prompt", "instruction", "input", "human")
ANSWERING = ("answer", "assistant", "completion", "response", "reply", "output")
ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant"}


class NoConversation(Exception):
    """Turns that make no conversation; the message says why."""


def pair_names(fields: Sequence[str]) -> tuple[str, str] | None:
    """Which fields of a record are the question and the answer, by their names."""
    asking = next((name for name in ASKING if name in fields), None)
    answering = next((name for name in ANSWERING if name in fields), None)
    return (asking, answering) if asking and answering else None


def conversation(turns: Sequence[Mapping[str, Any]], system: str | None = None) -> list[Message]:
    """Messages of turns, which are question/answer records or messages. Raises `NoConversation`.

    A system prompt that is given takes the place of one that is there.
    """
    messages: list[Message] = []
    for number, turn in enumerate(turns, 1):
        if turn is None:
            raise NoConversation(f"turn {number} is nothing")
        if "content" in turn:
            role = str(turn.get("role") or "")
            message = {"role": ROLES.get(role, role), "content": turn["content"]}
            messages.append(message | ({"train": turn["train"]} if "train" in turn else {}))
            continue
        names = pair_names(list(turn))
        if names is None:
            raise NoConversation(f"turn {number} has neither role and content nor question and answer")
        messages.append({"role": "user", "content": turn[names[0]]})
        messages.append({"role": "assistant", "content": turn[names[1]]})
    if system is not None and system.strip():
        rest = messages[1:] if messages and messages[0]["role"] == "system" else messages
        flag = {"train": False} if any("train" in message for message in rest) else {}
        messages = [{"role": "system", "content": system, **flag}, *rest]
    check(messages)
    return messages


def check(messages: Sequence[Mapping[str, Any]]) -> None:
    """Whether these are a conversation. Raises `NoConversation`."""
    turns = messages[1:] if messages and messages[0]["role"] == "system" else messages
    if not turns:
        raise NoConversation("there are no turns")
    for place, message in enumerate(messages, 1):
        if not isinstance(message["content"], str) or not message["content"].strip():
            raise NoConversation(f"message {place} ({message['role'] or 'no role'}) is empty")
    for place, message in enumerate(turns):
        wanted = "user" if place % 2 == 0 else "assistant"
        if message["role"] != wanted:
            number = place + 1 + len(messages) - len(turns)
            raise NoConversation(f"message {number} is {_whose(message)}; it must be the {wanted}'s")
    if turns[-1]["role"] != "assistant":
        raise NoConversation("the last message is the user's; the assistant must have the last word")


def _whose(message: Mapping[str, Any]) -> str:
    return f"the {message['role']}'s" if message["role"] else "nobody's"


def marked(messages: Sequence[Message], train: Trained) -> list[Message]:
    """The messages with a `train` flag: which of them a model learns to write."""
    last = len(messages) - 1

    def learnt(place: int, message: Message) -> bool:
        match train:
            case "all":
                return True
            case "last":
                return place == last
        return bool(message["role"] == "assistant")

    return [{**message, "train": learnt(place, message)} for place, message in enumerate(messages)]


THOUGHTS = re.compile(r"<think>.*?</think>\s*", re.DOTALL)


def without_thoughts(messages: Sequence[Message]) -> list[Message]:
    """The messages with what the assistant thinks before it speaks taken out."""
    return [
        {**message, "content": THOUGHTS.sub("", message["content"])}
        if message["role"] == "assistant"
        else message
        for message in messages
    ]


def text_of(messages: Sequence[Mapping[str, Any]]) -> str:
    """All that is said, to count its tokens."""
    return "\n".join(str(message.get("content") or "") for message in messages)
