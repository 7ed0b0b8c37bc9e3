"""The built-in offline model: no network, no key, no cost. It stands in; it does not think.

It makes every graph runnable and testable anywhere: replies are deterministic, always of the
wanted type, and drawn from the row's own text. It never reads the instructions. A reply depends
on the request alone (its seed is the request's key), by these rules:

The passage
    is the value named `text`, `passage`, `document`, `content`, `context`, `page` or `body`, else
    the texts of a list named `sources` or `passages`, else the longest text that is neither
    question nor answer.
Questions and answers
    A record with a question (`question`, `query`, `instruction`, `prompt`) and an answer (`answer`,
    `response`, `reply`, `completion`, `output`) is made of one sentence. The answer is the
    sentence. The question asks for what the sentence says of its subject ("What is …?", "What do …
    need?", "How many …?"), for the subject ("Who is responsible for …?"), or for a word of it
    ("Which word completes the statement …?"). A list of them has 3 to 5, or as many as a value
    `count` says, from different sentences; a passage without a usable sentence gives none.
    About one pair in twelve is spoilt on purpose, so that there is something to reject and to
    repair: its answer goes on with a sentence that is in no passage, or its question is too
    vague to name anything ("What does it mean?").
    Where it names what it has `used` of passages, `[1] …`, the answer goes on with a sentence of another one.
Verdicts (`ok`, `worthy`, `keep`, `supported` … any bool, and literals such as "yes" | "no")
    Where the row has an answer: true if the question ends with "?" and names something from the
    passage, and at least 80 % of the answer's content words stand in the passage. Else, of the
    passage: false if it is too short, a table of contents, an index, a licence or mostly headings.
    A field with a negative name (`spam`, `duplicate`) is the contrary. A `why` beside it says
    which rule decided. Lists of faults (`missing`, `invented`) are empty where the verdict is good;
    `used` are the numbers of the passages, `[1] …`, that bear the answer out.
Repairs
    `cleaned`: the passage, with divided words and broken lines joined; null for `str?` where nothing changes.
    Where a record with question and answer is wanted and the row has both, they are made anew of
    the sentence that shares most with them; a repair is never spoilt.
Conversations (lists of `role` and `content`)
    Two messages a turn, user and assistant in turn: the row's `turns`, its question and answer, or
    four pairs from the passage.
Vectors
    Of the words of the text and their beginnings (`vectors.of_words`).
The rest
    `why`: the rule of the verdict. Summaries: the first two sentences. Titles, terms, keywords, tags:
    frequent words. `thoughts`: what the text is about. Poems: sentences in short lines. Articles, stories,
    restatements: the passage's sentences, begun at another one. A label: the one that the passage uses, of
    those that a list in the row or the type offers. Numbers: within the range that the doc comment names
    ("From 0 to 1"), else 1 to 10 or 0 to 1, in the upper half if the verdict is good. `T?`: null for the
    whole reply if the verdict is not good, for a field one time in four. Any other text: a sentence of the
    passage.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from engine.language.program import ModelSpec
from engine.language.types import STR, Type, describe, text_field
from engine.models import tokens, vectors
from engine.models.base import Reply, Request
from engine.models.offline_fill import Dice, Filler
from engine.models.reply_text import reply_text

VERSION = 2  # raised whenever the same request begins to give another reply
ABOUT = "the built-in offline stand-in: replies follow simple rules, no model is asked"

_BREATH = 32  # calls between which other tasks get their turn


class Offline:
    """The offline model, as one `engine.models.base.Model`. See the module's docstring for its rules."""

    def __init__(self, spec: ModelSpec):
        self.spec = spec
        self._calls = 0

    def key(self, request: Request) -> bytes:
        """16 bytes over the version of the stand-in and all that it reads."""
        return hashlib.sha256(self.body(request)).digest()[:16]

    def body(self, request: Request) -> bytes:
        """The request as JSON: what decides the reply, nothing else."""
        return orjson.dumps(
            {
                "model": "offline",
                "version": VERSION,
                "messages": list(request.messages),
                "values": readable(request.values),
                "schema": None if request.wanted is None else describe(request.wanted, expand=True),
                "docs": None if request.wanted is None else _docs(request.wanted),
                "reply": request.reply,
                "sampling": {**self.spec.sampling, **(request.sampling or {})},
                "sample": request.sample,
            },
            option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS,
            default=str,
        )

    def estimate(self, request: Request) -> tuple[int, int]:
        """Tokens in and out, by the same rule of thumb as for endpoints."""
        out = 0 if request.reply == "vector" else tokens.of_reply(request.wanted)
        return tokens.of_messages(request.messages), out

    async def call(self, request: Request, priority: float = 0.0) -> Reply:
        """The reply, at once."""
        self._calls += 1
        if self._calls % _BREATH == 0:
            await asyncio.sleep(0)
        if request.reply == "vector":
            text = vectors.packed(vectors.of_words(request.messages[0]["content"]))
            return Reply("ok", text, finish="stop", tokens_in=tokens.of_messages(request.messages))
        text = self.reply(request)
        tokens_in = tokens.of_messages(request.messages)
        return Reply("ok", text, finish="stop", tokens_in=tokens_in, tokens_out=tokens.count(text))

    async def stream(self, request: Request, heard: Callable[[str], None]) -> Reply:
        """The reply, which is there at once."""
        reply = await self.call(request)
        heard(reply.text)
        return reply

    def reply(self, request: Request) -> str:
        """The text of the reply, in the form that was asked for."""
        wanted: Type = STR if request.wanted is None else request.wanted
        said = "\n\n".join(message["content"] for message in request.messages if message["role"] == "user")
        seed = int.from_bytes(self.key(request)[:8], "big")
        value = Filler(readable(request.values), Dice(seed), said).fill(wanted)
        if request.wanted is None:
            return str(value)
        form = request.reply
        return reply_text(value, wanted, "json" if form == "text" and text_field(wanted) is None else form)

    def halt(self) -> None:
        """Nothing waits."""

    async def close(self) -> None:
        """Nothing is held."""


def readable(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """The values that the rules read: texts, numbers, lists and records; no ids, no bytes."""
    return {
        name: value
        for name, value in (values or {}).items()
        if not name.endswith("_id") and isinstance(value, (str, int, float, bool, list, tuple, dict))
    }


def _docs(wanted: Type) -> list[str]:
    """The doc comments of a type: a range in one decides a number."""
    inner = wanted
    while hasattr(inner, "of"):
        inner = inner.of
    fields = getattr(inner, "fields", ())
    return [part for f in fields for part in (f.doc or "", *_docs(f.type))]
