"""From a request for a completion to its answer: who is let in, which fault it meets, what it says."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.endpoint.answers import SPOILT, Dice, fit, from_rule, plain
from tests.endpoint.config import Config, Rule
from tests.endpoint.counters import Counters
from tests.endpoint.faults import HTTP, REPLY, Draw, chosen, latency

Met = tuple[Rule | None, re.Match[str] | None]  # the rule that a request meets, and what it found

STATUSES = {"p429": 429, "p500": 500, "p503": 503}


@dataclass(slots=True)
class Result:
    """An answer before it is sent. `fate` is "hang", "drop" or "truncate" where it is not to arrive."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    fate: str | None = None
    request: bytes = b""
    form: str = "application/json"


def error(status: int, message: str, code: str | None = None, **headers: str) -> Result:
    """An error as endpoints tell it."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"error": {"message": message, "type": "mock_error", "code": code}}
    return Result(status, orjson.dumps(body), names)


def prompt_of(request: dict[str, Any]) -> str:
    """The texts of all messages, one after the other."""
    return "\n".join(str(message.get("content", "")) for message in request.get("messages", []))


def events(completion: bytes) -> bytes:
    """A completion as the events of a stream: its text word by word, then how it ended, then the tokens."""
    whole = orjson.loads(completion)
    usage, (choice,) = whole.pop("usage", None), whole.pop("choices")
    deltas = [({"role": "assistant", "content": ""}, None)]
    deltas += [
        ({"content": word}, None) for word in re.findall(r"\s*\S+|\s+", choice["message"]["content"] or "")
    ]
    deltas += [({}, choice["finish_reason"])]
    told = [
        whole | {"choices": [{"index": 0, "delta": delta, "finish_reason": end}]} for delta, end in deltas
    ]
    told += [whole | {"choices": [], "usage": usage}] if usage else []
    lines = [b"data: " + orjson.dumps(one) for one in told]
    return b": a comment\n\n" + b"\n\n".join([*lines, b"data: [DONE]"]) + b"\n\n"


class Completions:
    """Answers requests; keeps what counts between them: how often each came, and the rates."""

    def __init__(self, config: Config, counters: Counters):
        self.config, self.counters = config, counters
        self.level = 1.0  # of the bucket of requests a minute
        self.filled = 0.0
        self.configured()

    def configured(self) -> None:
        """The settings have changed."""
        self.marker = re.compile(self.config.marker) if self.config.marker else None

    def answer(self, body: bytes, authorization: str, now: float) -> Result:
        """The answer to one request that has just come, at `now` on a monotonic clock."""
        config, counters = self.config, self.counters
        digest = hashlib.blake2b(body, digest_size=16).digest()
        count = counters.seen[digest]
        counters.seen[digest] += 1
        try:
            request = orjson.loads(body)
            prompt = prompt_of(request)
        except (orjson.JSONDecodeError, AttributeError, TypeError):
            return self.done(error(400, "the body is not a JSON object with messages"), digest, 0.0)
        counters.asked(str(request.get("model")), prompt, self.marker)
        if config.record:
            counters.requests.append({"authorization": authorization, "body": request})
        draw = Draw(digest, count, config.seed)
        refused = self.refused(request, authorization, now) or self.fault(draw)
        if refused is not None:
            quick = refused.status == 429 or refused.status in (400, 401, 404)
            return self.done(refused, digest, 0.0 if quick else latency(config, draw.latency))
        result = self.reply(request, prompt, body, digest, draw)
        if request.get("stream") and result.status == 200 and config.streams:
            if "stream_options" in request and not config.stream_options:
                result = error(400, "Unknown parameter: 'stream_options'")
            else:
                result.body, result.form = events(result.body), "text/event-stream; charset=utf-8"
        if (fate := chosen(config, HTTP, draw.http)) in ("hang", "drop", "truncate"):
            result.fate = fate
        return self.done(result, digest, result.delay or latency(config, draw.latency))

    def done(self, result: Result, digest: bytes, delay: float) -> Result:
        result.request, result.delay = digest, delay
        return result

    def refused(self, request: dict[str, Any], authorization: str, now: float) -> Result | None:
        """Why the request is not let in, if it is not."""
        config = self.config
        if config.key and authorization != f"Bearer {config.key}":
            told = f": {authorization}" if config.echo_key else ""
            return error(401, f"Incorrect API key provided{told}", "invalid_api_key")
        if config.models and request.get("model") not in config.models:
            return error(404, f"The model `{request.get('model')}` does not exist", "model_not_found")
        form = (request.get("response_format") or {}).get("type")
        taken = {"schema": ("json_schema", "json_object"), "object": ("json_object",), "none": ()}
        if form is not None and form not in taken[config.response_format]:
            return error(config.schema_status, f"response_format of type {form} is not supported")
        if config.cap and self.counters.in_flight > config.cap:
            return self.limited("too many requests at a time")
        if config.rpm:
            rate = config.rpm / 60
            self.level = min(max(1.0, rate), self.level + (now - self.filled) * rate)
            self.filled = now
            if self.level < 1:
                return self.limited("too many requests a minute")
            self.level -= 1
        return None

    def fault(self, draw: Draw) -> Result | None:
        """The fault that the request meets in place of an answer, if any."""
        if self.config.statuses:
            status = self.config.statuses.pop(0)
            if status == 200:
                return None
            return self.limited("as told", status) if status in (429, 503) else error(status, "as told")
        name = chosen(self.config, HTTP, draw.http)
        if name == "p429":
            return self.limited("by chance")
        return error(STATUSES[name], "by chance") if name in STATUSES else None

    def limited(self, message: str, status: int = 429) -> Result:
        wait = self.config.retry_after
        headers = {} if wait is None else {"Retry_After": f"{wait:g}"}
        return error(status, f"Rate limit reached: {message}", "rate_limit_exceeded", **headers)

    def reply(self, request: dict[str, Any], prompt: str, body: bytes, digest: bytes, draw: Draw) -> Result:
        """The completion itself."""
        met = self.rule(prompt, body)
        rule, _ = met
        if rule is not None:
            if rule.status is not None and rule.status != 200:
                result = error(rule.status, rule.message or "by a rule")
                result.body = rule.raw.encode() if rule.raw is not None else result.body
                result.headers.update(rule.headers)
                result.delay = (rule.delay_ms or 0.0) / 1_000
                return result
            if rule.raw is not None:
                return Result(200, rule.raw.encode(), dict(rule.headers), (rule.delay_ms or 0.0) / 1_000)
        message, finish = self.message(request, digest, draw, met)
        content = message["content"] or ""
        completion: dict[str, Any] = {
            "id": f"chatcmpl-{digest.hex()[:24]}",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "model": request.get("model", "mock"),
            "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
        }
        if self.config.usage:
            tokens_in, tokens_out = len(prompt) // 4 + 4, len(content) // 4 + 1
            completion["usage"] = {
                "prompt_tokens": tokens_in,
                "completion_tokens": tokens_out,
                "total_tokens": tokens_in + tokens_out,
            }
            if self.config.cost is not None:
                completion["usage"]["cost"] = self.config.cost
        headers = dict(rule.headers) if rule is not None else {}
        delay = (rule.delay_ms or 0.0) / 1_000 if rule is not None else 0.0
        return Result(200, orjson.dumps(completion), headers, delay)

    def rule(self, prompt: str, body: bytes) -> Met:
        """The first rule that the request meets; it is used up by one."""
        for rule in self.config.rules:
            if rule.times == 0:
                continue
            text = body.decode("utf-8", "replace") if rule.where == "body" else prompt
            if found := rule.pattern.search(text):
                if rule.times is not None:
                    rule.times -= 1
                return rule, found
        return None, None

    def message(
        self, request: dict[str, Any], digest: bytes, draw: Draw, met: Met
    ) -> tuple[dict[str, Any], str]:
        """The assistant's message, with the fault in it that the draw brings, and the finish reason."""
        fault = chosen(self.config, REPLY, draw.reply)
        content = self.content(request, digest, met, fault)
        message: dict[str, Any] = {"role": "assistant", "content": content}
        finish = "stop"
        match fault:
            case "cut":
                message["content"], finish = content[: max(1, len(content) // 2)], "length"
            case "prose":
                message["content"] = f"Sure, here is what you asked for:\n\n{content}\n\nI hope that helps!"
            case "fence":
                message["content"] = f"```json\n{content}\n```"
            case "broken":
                message["content"] = content.replace(":", "", 1)[:-1]
            case "refuse":
                message |= {"content": None, "refusal": "I cannot help with that."}
            case "filtered":
                message["content"], finish = "", "content_filter"
            case "reasoning":
                message["reasoning_content"] = "Let me see what was asked."
            case "think":
                message["content"] = f"<think>Let me see what was asked.</think>\n{content}"
        rule, _ = met
        return message, rule.finish if rule is not None and rule.finish else finish

    def content(self, request: dict[str, Any], digest: bytes, met: Met, fault: str | None) -> str:
        """The words of the reply."""
        rule, found = met
        if rule is not None and found is not None and rule.reply is not None:
            return from_rule(rule, found)
        form = request.get("response_format") or {}
        schema = rule.schema if rule is not None else None
        if schema is None and form.get("type") == "json_schema":
            schema = form["json_schema"].get("schema", {})
        schema = schema or self.config.answer_json_schema
        dice = Dice(digest + b"%d" % self.config.seed)
        if schema is not None:
            value = fit(schema, dice, self.config.p_true)
            return orjson.dumps(SPOILT.get(fault or "", plain)(value)).decode()
        if form.get("type") == "json_object":
            return orjson.dumps({"reply": dice.sentence()}).decode()
        return " ".join(f"{dice.sentence()}." for _ in range(-(-self.config.words // 12)))
