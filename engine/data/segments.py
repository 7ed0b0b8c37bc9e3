"""Which words of a conversation are learnt: messages cut into segments (docs/decisions/segments.md).

A segment is `{"role": str, "text": str, "train": bool}`. Those of one message follow one another and
say it to the letter when they are put together. Tokens and chat templates are the trainer's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.data.conversations import Message, NoConversation

Segment = dict[str, Any]
TYPE = 'STRUCT("role" VARCHAR, "text" VARCHAR, "train" BOOLEAN)[]'


def segments(messages: Sequence[Mapping[str, Any]], untrained: Iterable[str] = ()) -> list[Segment]:
    """The messages as segments. Of those that are learnt, the parts in `untrained` are not.

    A message without a flag is learnt if it is the assistant's. Raises `NoConversation` where a
    part does not stand exactly once in what is learnt: what is masked must be beyond doubt.
    """
    learnt = [message for message in messages if trained(message)]
    cuts: dict[int, list[tuple[int, int]]] = {}
    for part in dict.fromkeys(untrained):
        if not part:
            raise NoConversation("a part that is not to be learnt is empty")
        found = [(message, message["content"].find(part)) for message in learnt if part in message["content"]]
        if len(found) != 1 or found[0][0]["content"].count(part) != 1:
            times = sum(message["content"].count(part) for message, _ in found)
            raise NoConversation(
                f'the part that is not to be learnt stands there {times} times: "{part[:60]}"'
            )
        message, start = found[0]
        cuts.setdefault(id(message), []).append((start, start + len(part)))
    made: list[Segment] = []
    for message in messages:
        for text, train in _parts(message, cuts.get(id(message), [])):
            same = made and (made[-1]["role"], made[-1]["train"]) == (message["role"], train)
            if same:
                made[-1] = {**made[-1], "text": made[-1]["text"] + text}
            else:
                made.append({"role": message["role"], "text": text, "train": train})
    return made


def trained(message: Mapping[str, Any]) -> bool:
    """Whether a message is learnt: by its flag, else the assistant's are."""
    flag = message.get("train")
    return bool(message["role"] == "assistant" if flag is None else flag)


def flagged(messages: Sequence[Message], cut: Sequence[Segment]) -> list[Message]:
    """The messages with one flag each: true where any part of it is learnt."""
    made: list[Message] = []
    rest = iter(cut)
    for message in messages:
        left, train = len(message["content"]), False
        while left > 0:
            segment = next(rest)
            left -= len(segment["text"])
            train |= segment["train"]
        made.append({**message, "train": train})
    return made


def _parts(message: Mapping[str, Any], cuts: list[tuple[int, int]]) -> Iterable[tuple[str, bool]]:
    """Pieces of one message, each with whether it is learnt; none is empty."""
    content, train, at = str(message["content"]), trained(message), 0
    for start, stop in sorted(cuts):
        if start < at:  # two parts that overlap: what is in both is said once
            start = at
        if start > at:
            yield content[at:start], train
        if stop > start:
            yield content[start:stop], False
        at = max(at, stop)
    if at < len(content):
        yield content[at:], train
