"""OpenAI's chat form: requests to JSON, JSON to replies.

No sending, no limits and no key: what goes in and comes out is plain data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from engine.language.program import ModelSpec
from engine.language.types import Type, json_schema, schema_text
from engine.models import tokens, vectors
from engine.models.base import Reply, Request
from engine.models.faults import Failure, from_error
from engine.models.prices import cost
from engine.models.replies import split_thoughts

SHAPES_KEPT = 1_000
CUT = {"length", "max_tokens", "model_length"}
REFUSED = {"content_filter", "safety", "refusal"}


@dataclass(slots=True)
class Shape:
    """A wanted type, compiled. `schema` is JSON; `refused` when the endpoint did not take it."""

    type: Type
    schema: bytes
    form: dict[str, Any]
    refused: bool = False


@dataclass(slots=True)
class Form:
    """What the requests of one prompt share. `logical` is its part of a key, JSON."""

    wanted: Type | None
    sampling: Mapping[str, Any] | None
    shape: Shape | None
    logical: bytes
    merged: dict[str, Any]  # sampling, over the model's own


class Wire:
    """How one model of a graph is asked."""

    def __init__(self, spec: ModelSpec, address: str):
        self.spec = spec
        self.address = address
        self._shapes: dict[int, Shape] = {}
        self._forms: dict[tuple[int, int, str, bool], Form] = {}

    def shape(self, request: Request) -> Shape | None:
        """The shape that the request wants as JSON; None where the reply is not JSON."""
        wanted = request.wanted
        if wanted is None or request.reply != "json":
            return None
        # By identity, since hashing a nested type costs more than all the rest of a key.
        shape = self._shapes.get(id(wanted))
        if shape is None or shape.type is not wanted:
            if len(self._shapes) >= SHAPES_KEPT:
                self._shapes.clear()
            schema = orjson.dumps(json_schema(wanted))
            fragment = {"name": "reply", "strict": True, "schema": orjson.Fragment(schema)}
            shape = Shape(wanted, schema, {"type": "json_schema", "json_schema": fragment})
            self._shapes[id(wanted)] = shape
        return shape

    def key(self, request: Request) -> bytes:
        """16 bytes of SHA-256 over the logical request: what can change the reply, nothing else.

        Whether the endpoint takes the schema or is told of it in words is found out while
        running, so that it cannot be a part of the key; what the graph says of it is.
        """
        form = self._form(request)
        messages = orjson.dumps(
            self._messages(request, in_words=form.shape is None), option=orjson.OPT_SORT_KEYS
        )
        return hashlib.sha256(b"%b%d:%b" % (form.logical, request.sample, messages)).digest()[:16]

    def _form(self, request: Request) -> Form:
        """What the requests of one prompt share."""
        # By identity, since hashing a nested type costs more than all the rest of a key.
        place = (id(request.wanted), id(request.sampling), request.reply, request.shows_schema)
        form = self._forms.get(place)
        if form is None or form.wanted is not request.wanted or form.sampling is not request.sampling:
            if len(self._forms) >= SHAPES_KEPT:
                self._forms.clear()
            form = self._forms[place] = self._made_form(request)
        return form

    def _made_form(self, request: Request) -> Form:
        shape = self.shape(request)
        sampling = {} if request.reply == "vector" else self._sampling(request)
        logical = {
            "provider": self.spec.provider,
            "address": self.address,
            "model": self.spec.model,
            "sampling": sampling,
            "options": dict(self.spec.options),
            "reply": request.reply,
            "structured": self.spec.structured if shape else None,
            # Kept in its own order: fields are generated in the order of the schema.
            "schema": orjson.Fragment(shape.schema) if shape else None,
            "words": shape is not None and not request.shows_schema,
        }
        packed = orjson.dumps(logical, option=orjson.OPT_SORT_KEYS)
        return Form(request.wanted, request.sampling, shape, packed, sampling)

    def sends_schema(self, request: Request, endpoint_takes: bool | None) -> bool:
        """Whether the schema goes into `response_format`, after what is known of the endpoint."""
        structured = self.spec.structured
        if structured not in ("auto", "schema") or "response_format" in self.spec.options:
            return False
        shape = self._form(request).shape
        if shape is None:
            return False
        return structured == "schema" or not (shape.refused or endpoint_takes is False)

    def body(self, request: Request, with_schema: bool) -> bytes:
        """The request as it is sent."""
        if request.reply == "vector":
            text = request.messages[0]["content"]
            return orjson.dumps({"model": self.spec.model, "input": text, **self.spec.options})
        form = self._form(request)
        body: dict[str, Any] = {
            "model": self.spec.model,
            "messages": self._messages(request, in_words=not with_schema),
            **form.merged,
        }
        # Votes ask one thing several times: with one seed for all they would all say the same.
        if request.sample and isinstance(body.get("seed"), int):
            body["seed"] += request.sample
        if with_schema and form.shape is not None:
            body["response_format"] = form.shape.form
        elif self.spec.structured == "object" and request.reply == "json" and request.wanted is not None:
            body["response_format"] = {"type": "json_object"}
        body.update(self.spec.options)
        return orjson.dumps(body)

    def read(self, payload: bytes, request: Request, host: str) -> Reply | Failure:
        """The reply in an answer of 200, with its tokens and its cost."""
        try:
            data = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return _not_json(payload, host)
        if not isinstance(data, dict):
            return Failure("server", f"{host} answered with something that is no completion", retry=True)
        if data.get("error"):
            return from_error(data["error"], self.spec, host)
        if request.reply == "vector":
            return self._vector(data, request, host)
        try:
            choice = data["choices"][0]
            message = choice["message"]
            content, finish = message.get("content"), choice.get("finish_reason")
        except (KeyError, IndexError, TypeError, AttributeError):
            return Failure("server", f"{host} answered without a choice: there is no reply in it", retry=True)
        finish = finish if isinstance(finish, str) else None
        text = content if isinstance(content, str) else _parts(content)
        # A reply that is JSON from its start may well speak of such tags in a string.
        thoughts, text = (None, text) if text.lstrip()[:1] in ("{", "[") else split_thoughts(text)
        fields = message.get("reasoning") or message.get("reasoning_content")
        if isinstance(fields, str) and fields:
            thoughts = fields if thoughts is None else f"{fields}\n{thoughts}"
        refusal = message.get("refusal")
        reply = Reply("ok", text, thoughts, finish)
        if isinstance(refusal, str) and refusal:
            reply.status, reply.text = "refused", text or refusal
        elif finish in REFUSED:
            reply.status = "refused"
            reply.error = f"{host} withheld the reply: {finish}"
        elif finish in CUT:
            reply.status = "cut"
        elif content is None and thoughts is None:
            return _no_text(message, finish, host)
        self._count(reply, data.get("usage"), request)
        return reply

    def _vector(self, data: Mapping[str, Any], request: Request, host: str) -> Reply | Failure:
        try:
            text = vectors.told(data["data"][0]["embedding"])
        except (KeyError, IndexError, TypeError):
            text = None
        if text is None:
            return Failure("server", f"{host} answered without a vector", retry=True)
        reply = Reply("ok", text, finish="stop")
        usage = data.get("usage")
        told = dict(usage) if isinstance(usage, dict) else {}
        if not isinstance(told.get("prompt_tokens"), int):
            # A vector is no text: where tokens are not told, those of what was sent are estimated.
            told["prompt_tokens"] = tokens.of_messages(request.messages)
        self._count(reply, told, request)
        return reply

    def _messages(self, request: Request, in_words: bool) -> Sequence[Mapping[str, str]]:
        """The messages; with the wanted shape told in words where nothing else tells it."""
        if not in_words or request.shows_schema or request.wanted is None or request.reply == "text":
            return request.messages
        messages = list(request.messages)
        words = schema_text(request.wanted, request.reply)
        if messages and messages[0]["role"] in ("system", "developer"):
            first = messages[0]
            messages[0] = {**first, "content": f"{first['content']}\n\n{words}"}
        else:
            messages.insert(0, {"role": "system", "content": words})
        return messages

    def _sampling(self, request: Request) -> dict[str, Any]:
        merged = {**self.spec.sampling, **request.sampling} if request.sampling else self.spec.sampling
        return {name: value for name, value in merged.items() if value is not None}

    def _count(self, reply: Reply, usage: Any, request: Request) -> None:
        """Tokens and cost: the endpoint's own figures, or estimates where it gives none."""
        if isinstance(usage, dict) and isinstance(usage.get("prompt_tokens"), int):
            reply.tokens_in = usage["prompt_tokens"]
            reply.tokens_out = _integer(usage.get("completion_tokens"))
            reply.tokens_cached = _detail(usage, "prompt_tokens_details", "cached_tokens")
            reply.tokens_thought = _detail(usage, "completion_tokens_details", "reasoning_tokens")
        else:
            reply.tokens_in = tokens.of_messages(request.messages)
            reply.tokens_thought = tokens.count(reply.thoughts or "")
            reply.tokens_out = tokens.count(reply.text) + reply.tokens_thought
        reply.cost = cost(
            self.spec.price, reply.tokens_in, reply.tokens_out, reply.tokens_cached, reply.tokens_thought
        )
        if isinstance(usage, dict) and "cost" in usage:
            reply.cost_reported = _dollars(usage["cost"])
            if not self.spec.price:
                reply.cost = reply.cost_reported or 0.0


def _dollars(told: Any) -> float | None:
    """What the endpoint itself says that the call cost, as OpenRouter does; None where it is no price."""
    known = isinstance(told, int | float) and not isinstance(told, bool) and 0 <= told < float("inf")
    return float(told) if known else None


def model_names(payload: bytes) -> list[str]:
    """The names in an answer of `GET /models`; none where it is something else."""
    try:
        data = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return []
    entries = data.get("data", data.get("models")) if isinstance(data, dict) else data
    if not isinstance(entries, list):
        return []
    names = (entry.get("id") or entry.get("name") for entry in entries if isinstance(entry, dict))
    return [name for name in names if isinstance(name, str)]


def _parts(content: Any) -> str:
    """The text of a content that is a list of parts, as some endpoints give it."""
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))


def _no_text(message: Mapping[str, Any], finish: Any, host: str) -> Failure:
    if message.get("tool_calls") or message.get("function_call"):
        return Failure("server", f"{host} answered with a tool call instead of text", retry=True)
    return Failure("server", f"{host} answered without any text (finish_reason: {finish})", retry=True)


def _not_json(payload: bytes, host: str) -> Failure:
    start = payload[:200].lstrip()
    if start.startswith(b"<"):
        message = f"{host} answered with a web page instead of JSON: is base_url the address of its API?"
        return Failure("model", message)
    if start.startswith((b"data:", b"event:", b":")):
        return Failure("request", f"{host} streams its answer: take `stream` out of the model's options")
    return Failure("server", f"{host} answered with something that is not JSON", retry=True)


def _integer(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _detail(usage: Mapping[str, Any], group: str, name: str) -> int:
    details = usage.get(group)
    return _integer(details.get(name)) if isinstance(details, dict) else 0
