"""Rows to tokens and labels: exactly what a model is trained on, before it is.

A label is the token where it is learnt and `UNTRAINED` where it is only read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from engine.data.chat_template import NoTemplate
from engine.training.tokenizer import Tokenizer

UNTRAINED = -100
Loss = Literal["assistant", "all", "marked"]


@dataclass(slots=True)
class Example:
    """One piece that is trained on. `cut` counts tokens of its row that no example holds."""

    tokens: list[int]
    labels: list[int]
    cut: int = 0
    rejected: Example | None = None  # of a pair: the same with the answer that is not to be given

    @property
    def size(self) -> int:
        """Tokens that go through the model."""
        return len(self.tokens) + (len(self.rejected.tokens) if self.rejected else 0)

    @property
    def trained(self) -> int:
        """How many tokens are learnt. The first of a sequence never is: nothing stands before it."""
        return sum(label != UNTRAINED for label in self.labels[1:])


def of_text(tokenizer: Tokenizer, text: str, length: int) -> Iterator[Example]:
    """A text, learnt whole, with its end; in pieces where it is longer than `length` tokens."""
    tokens, _ = tokenizer.encode(text)
    tokens = [*tokenizer.begin(), *tokens]
    if tokenizer.end is not None and tokens[-1:] != [tokenizer.end]:
        tokens.append(tokenizer.end)
    for start in range(0, len(tokens), length):
        piece = tokens[start : start + length]
        yield Example(piece, list(piece))


def of_messages(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], loss: Loss, length: int
) -> Example:
    """A conversation; what is learnt of it is the assistant's, all, or what `train` marks.

    Raises `NoTemplate`.
    """
    if loss == "all":
        text = tokenizer.chat.render(messages).rstrip()
        return _spans(tokenizer, text, [(0, len(text))], length)
    text, parts = tokenizer.chat.parts(messages)
    stop = tokenizer.stop()
    spans: list[tuple[int, int]] = []
    for message, part in zip(messages, parts, strict=True):
        learnt = message["role"] == "assistant" if loss == "assistant" else bool(message.get("train"))
        if learnt:
            spans.append((part.said, _end(text, part.said, part.end, stop[0] if stop else None)))
    last = max((end for _, end in spans), default=len(text))
    return _spans(tokenizer, text[: max(last, len(text.rstrip()))], spans, length)


def of_pair(tokenizer: Tokenizer, prompt: Any, chosen: Any, rejected: Any, length: int) -> Example:
    """Two answers to one prompt, each a text or a list of messages. Raises `NoTemplate`."""
    asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    both: list[Example] = []
    for answer in (chosen, rejected):
        said = answer if isinstance(answer, str) else answer[-1]["content"]
        talk = [
            *({**one, "train": False} for one in asked),
            {"role": "assistant", "content": said, "train": True},
        ]
        both.append(of_messages(tokenizer, talk, "marked", length))
    both[0].rejected, both[0].cut = both[1], both[0].cut + both[1].cut
    return both[0]


def split(example: Example) -> tuple[list[int], list[int]]:
    """What is read of an example, and what is learnt after it."""
    first = next((at for at, label in enumerate(example.labels) if label != UNTRAINED), len(example.labels))
    return example.tokens[:first], example.tokens[first:]


def of_segments(tokenizer: Tokenizer, segments: Sequence[Mapping[str, Any]], length: int) -> Example:
    """Pieces, each learnt or not: of the messages of a conversation where they have roles, else of a text.

    The mark that ends a message, or the text, is learnt with its last piece. Raises `NoTemplate`.
    """
    if segments and segments[0].get("role") is not None:
        return _of_parts(tokenizer, segments, length)
    text, spans = "", []
    for segment in segments:
        start, text = len(text), text + str(segment["text"])
        if segment["train"]:
            spans.append((start, len(text)))
    example = _spans(tokenizer, text, spans, length)
    end = tokenizer.end
    if spans and spans[-1][1] == len(text) and end is not None and example.tokens[-1:] != [end]:
        if len(example.tokens) < length:
            example.tokens.append(end)
            example.labels.append(end)
        else:
            example.cut += 1
    return example


def _of_parts(tokenizer: Tokenizer, segments: Sequence[Mapping[str, Any]], length: int) -> Example:
    """Segments of one role that follow one another are one message; each is found in what is rendered."""
    grouped = [(role, list(parts)) for role, parts in groupby(segments, key=lambda one: one["role"])]
    messages = [{"role": role, "content": "".join(one["text"] for one in parts)} for role, parts in grouped]
    text, places = tokenizer.chat.parts(messages)
    stop = tokenizer.stop()
    spans: list[tuple[int, int]] = []
    for message, (_, parts), place in zip(messages, grouped, places, strict=True):
        start = text.find(message["content"], place.said, place.end)
        if start < 0:
            raise NoTemplate(
                "the chat template does not write a message as it is, so that no part of it is found"
            )
        for part in parts:
            end = start + len(part["text"])
            if part["train"]:
                whole = part is parts[-1]
                spans.append((start, _end(text, end, place.end, stop[0] if stop else None) if whole else end))
            start = end
    last = max((end for _, end in spans), default=len(text))
    return _spans(tokenizer, text[: max(last, len(text.rstrip()))], spans, length)


def _end(text: str, start: int, end: int, stop: str | None) -> int:
    """Where what is learnt of a message ends: with the mark that ends the turn, without what follows it."""
    at = -1 if stop is None else text.rfind(stop, start, end)
    return end if at < 0 or text[at + len(stop or "") : end].strip() else at + len(stop or "")


def _spans(tokenizer: Tokenizer, text: str, spans: Sequence[tuple[int, int]], length: int) -> Example:
    """The tokens of a text; those that begin within a span are learnt."""
    found, places = tokenizer.encode(text)
    begin = tokenizer.begin()
    tokens = found if found[: len(begin)] == begin else [*begin, *found]
    labels = [UNTRAINED] * (len(tokens) - len(found))
    waiting = iter(spans)
    start, end = next(waiting, (len(text), len(text)))
    for token, (at, _) in zip(found, places, strict=True):
        while at >= end and start < len(text):
            start, end = next(waiting, (len(text), len(text)))
        labels.append(token if start <= at < end else UNTRAINED)
    return Example(tokens[:length], labels[:length], max(len(tokens) - length, 0))
