"""Replies as they come, for a person who waits for them: what `atk chat` prints.

A run never streams: a reply counts when it is whole. So a stream is put together again to the answer
that the same request would have got at once, and is read as every other.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any

import orjson

Heard = Callable[[str], None]  # gets each piece of the text, in order
DATA = b"data:"


def streamed(body: bytes, with_usage: bool) -> bytes:
    """A request for a completion, asked for in pieces."""
    more: dict[str, Any] = {"stream": True}
    if with_usage:
        more["stream_options"] = {"include_usage": True}
    return orjson.dumps(orjson.loads(body) | more)


async def whole(lines: AsyncIterable[bytes], heard: Heard) -> bytes:
    """The completion that the events of a stream make, as JSON; its text is told as it comes.

    The events are those of OpenAI's chat completions: each has what is to be added to the message,
    the last ones the finish reason and the tokens. What is no event is passed over.
    """
    texts: dict[str, list[str]] = {}
    found: dict[str, Any] = {}
    finish: Any = None
    begun = False
    async for line in lines:
        event = _event(line)
        if event is None:
            continue
        if event.get("error"):
            return orjson.dumps({"error": event["error"]})
        if event.get("usage"):
            found["usage"] = event["usage"]
        for choice in event.get("choices") or ():
            begun = True
            finish = choice.get("finish_reason") or finish
            for name, text in (choice.get("delta") or {}).items():
                if name != "role" and isinstance(text, str):
                    texts.setdefault(name, []).append(text)
                    if name == "content" and text:
                        heard(text)
    if begun:
        message: dict[str, Any] = {name: "".join(parts) for name, parts in texts.items()}
        found["choices"] = [{"message": message, "finish_reason": finish}]
    return orjson.dumps(found)


def _event(line: bytes) -> Mapping[str, Any] | None:
    if not line.startswith(DATA):
        return None
    try:
        event = orjson.loads(line[len(DATA) :])
    except orjson.JSONDecodeError:  # `[DONE]`, for one
        return None
    return event if isinstance(event, dict) else None


class UpToStop:
    """Passes pieces on, but nothing from the first of some texts on; holds back what may begin one."""

    def __init__(self, heard: Heard, stops: list[str]):
        self._heard, self._stops = heard, stops
        self._held = ""
        self._ended = False

    def __call__(self, piece: str) -> None:
        if self._ended:
            return
        self._held += piece
        begins = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if begins:
            self._ended = True
            self._tell(min(begins))
        else:
            longest = max(map(len, self._stops), default=1)
            self._tell(len(self._held) - longest + 1)

    def end(self) -> None:
        """What was held back begins no stop."""
        if not self._ended:
            self._tell(len(self._held))

    def _tell(self, count: int) -> None:
        if count > 0:
            self._heard(self._held[:count])
            self._held = self._held[count:]


def streamer(tokenizer: Any, heard: Heard, stops: list[str]) -> Any:
    """What `generate` of the library `transformers` tells its tokens to."""
    from transformers import TextStreamer

    passed = UpToStop(heard, stops)

    class Streamer(TextStreamer):  # type: ignore[misc, no-any-unimported, unused-ignore]
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            passed(text)
            if stream_end:
                passed.end()

    return Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
