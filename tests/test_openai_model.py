"""OpenAI-compatible models against a real HTTP server on the loopback."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from engine.language.program import ModelSpec
from engine.language.types import BOOL, INT, STR, Field, Literal, Many, Optional, Record, Type
from engine.models import faults, limits, open_model, prices, tokens
from engine.models.base import Reply, Request
from engine.models.endpoint import Endpoint as Connections
from engine.models.endpoint import normalised, proxy_of, raise_file_limit
from engine.models.openai import OpenAI
from engine.models.wire import Wire, model_names
from tests.endpoint import Endpoint, endpoint
from tests.endpoint.config import Config

VERDICT = Record((Field("why", STR, "One sentence."), Field("ok", BOOL)), "Verdict")
KEY = "sk-test-0123456789abcdefghij"
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def started() -> Iterator[Endpoint]:
    with endpoint() as server:
        yield server


@pytest.fixture
def server(started: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.01)
    defaults = Config()
    started.reset(**{name: getattr(defaults, name) for name in vars(defaults) if name != "record"})
    return started


def spec_of(base_url: str = "http://127.0.0.1:9/v1", **settings: Any) -> ModelSpec:
    fields: dict[str, Any] = {
        "name": "small",
        "provider": "openai",
        "model": "mock",
        "base_url": base_url,
        "secret": None,
        "sampling": {},
        "options": {},
        "price": {},
        "parallel": 64,
        "timeout": 10.0,
        "structured": "auto",
        "rpm": None,
        "tpm": None,
        "span": None,
    }
    return ModelSpec(**(fields | settings))


def asking(
    work: Callable[[OpenAI], Awaitable[Any]],
    server: Endpoint | str,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Any:
    """What `work` makes of an open model; closed afterwards."""
    base_url = server if isinstance(server, str) else server.base_url

    async def main() -> Any:
        model = OpenAI(spec_of(base_url, **settings), environment or {})
        try:
            return await work(model)
        finally:
            await model.close()

    return asyncio.run(main())


def one(
    server: Endpoint | str,
    request: Request | None = None,
    environment: Mapping[str, str] | None = None,
    **settings: Any,
) -> Reply:
    reply: Reply = asking(
        lambda model: model.call(request or Request(HELLO)), server, environment, **settings
    )
    return reply


def completion(message: Any, finish: str | None = "stop", **more: Any) -> str:
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}]} | more)


def bodies(server: Endpoint) -> list[dict[str, Any]]:
    return [entry["body"] for entry in server.requests()]


# -- requests ------------------------------------------------------------------------------


def test_a_call_sends_messages_sampling_options_and_key(server: Endpoint) -> None:
    server.config(key=KEY)
    request = Request(HELLO, sampling={"temperature": 0.5, "top_p": None})
    reply = one(
        server,
        request,
        {"A_KEY": f" {KEY}\n"},
        secret="A_KEY",
        sampling={"temperature": 0.1, "top_p": 0.9, "max_tokens": 50},
        options={"reasoning": {"effort": "low"}},
    )
    assert reply.status == "ok"
    assert reply.text
    assert reply.attempts == 1
    assert reply.ms > 0
    (sent,) = server.requests()
    assert sent["authorization"] == f"Bearer {KEY}"
    assert sent["body"] == {
        "model": "mock",
        "messages": HELLO,
        "temperature": 0.5,
        "max_tokens": 50,
        "reasoning": {"effort": "low"},
    }


def test_the_body_that_is_kept_is_what_was_sent(server: Endpoint) -> None:
    request = Request(HELLO, VERDICT)

    async def work(model: OpenAI) -> bytes:
        body = model.body(request)
        await model.call(request)
        assert model.body(request) == body
        return body

    body = asking(work, server, {"A_KEY": KEY}, secret="A_KEY")
    assert json.loads(body) == bodies(server)[0]
    assert KEY.encode() not in body


def test_the_schema_goes_to_the_endpoint_in_the_order_of_its_fields(server: Endpoint) -> None:
    reply = one(server, Request(HELLO, VERDICT))
    assert list(json.loads(reply.text)) == ["why", "ok"]
    (body,) = bodies(server)
    form = body["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["name"] == "reply"
    assert form["json_schema"]["strict"] is True
    assert list(form["json_schema"]["schema"]["properties"]) == ["why", "ok"]
    assert body["messages"] == HELLO


@pytest.mark.parametrize(
    ("structured", "form", "in_words"),
    [("schema", "json_schema", False), ("object", "json_object", True), ("prompt", None, True)],
)
def test_how_the_shape_is_asked_for(
    server: Endpoint, structured: str, form: str | None, in_words: bool
) -> None:
    one(server, Request(HELLO, VERDICT), structured=structured)
    (body,) = bodies(server)
    assert (body.get("response_format") or {}).get("type") == form
    assert (len(body["messages"]) == 2) is in_words
    if in_words:
        assert body["messages"][0]["role"] == "system"
        assert '"ok"' in body["messages"][0]["content"]


def test_the_shape_in_words_joins_the_system_message_and_is_not_said_twice(server: Endpoint) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *HELLO]
    one(server, Request(messages, VERDICT), structured="prompt")
    one(server, Request(messages, VERDICT, shows_schema=True), structured="prompt")
    first, second = bodies(server)
    assert first["messages"][0]["content"].startswith("Be brief.\n\n")
    assert len(first["messages"]) == 2
    assert second["messages"] == messages


@pytest.mark.parametrize("reply", ["text", "tags"])
def test_no_schema_is_sent_for_replies_that_are_not_json(server: Endpoint, reply: Any) -> None:
    one(server, Request(HELLO, VERDICT, reply))
    assert "response_format" not in bodies(server)[0]


def test_votes_with_a_seed_get_a_seed_each(server: Endpoint) -> None:
    for sample in range(3):
        one(server, Request(HELLO, sample=sample), sampling={"seed": 7})
    assert [body["seed"] for body in bodies(server)] == [7, 8, 9]


@pytest.mark.parametrize("status", [400, 404, 422, 501])
def test_an_endpoint_that_takes_no_schema_is_told_in_words_from_then_on(
    server: Endpoint, status: int
) -> None:
    server.config(response_format="none", schema_status=status)

    async def work(model: OpenAI) -> list[Reply]:
        return [await model.call(Request([{"role": "user", "content": str(n)}], VERDICT)) for n in range(3)]

    replies = asking(work, server)
    assert [reply.status for reply in replies] == ["ok"] * 3
    assert [reply.attempts for reply in replies] == [2, 1, 1]
    assert server.stats()["statuses"] == {"200": 3, str(status): 1}
    assert ["response_format" in body for body in bodies(server)] == [True, False, False, False]
    assert '"why"' in bodies(server)[-1]["messages"][0]["content"]


def test_many_at_once_find_out_together_that_no_schema_is_taken(server: Endpoint) -> None:
    server.config(response_format="none", latency_ms=5)

    async def work(model: OpenAI) -> list[Reply]:
        requests = [Request([{"role": "user", "content": str(n)}], VERDICT) for n in range(40)]
        return await asyncio.gather(*(model.call(request) for request in requests))

    replies = asking(work, server, parallel=8)
    assert {reply.status for reply in replies} == {"ok"}
    assert server.stats()["statuses"]["400"] <= 8


def test_one_schema_that_is_refused_leaves_the_others_alone(server: Endpoint) -> None:
    other = Record((Field("odd", INT),))
    server.config(
        rules=[
            {
                "contains": '"odd"',
                "where": "body",
                "status": 400,
                "message": "Invalid schema: odd",
                "times": 1,
            }
        ]
    )

    async def work(model: OpenAI) -> list[Reply]:
        return [await model.call(Request(HELLO, wanted)) for wanted in (VERDICT, other, other, VERDICT)]

    assert [reply.status for reply in asking(work, server)] == ["ok"] * 4
    assert ["response_format" in body for body in bodies(server)] == [True, True, False, False, True]


def test_with_structured_schema_a_refusal_is_an_error_that_says_so(server: Endpoint) -> None:
    server.config(response_format="none")
    reply = one(server, Request(HELLO, VERDICT), structured="schema")
    assert (reply.status, reply.fault) == ("error", "request")
    assert "response_format of type json_schema is not supported" in (reply.error or "")
    assert 'structured = "prompt"' in (reply.error or "")


# -- keys ----------------------------------------------------------------------------------

BASE = Request(HELLO, VERDICT)


def key_of(request: Request = BASE, base_url: str = "http://h/v1", **settings: Any) -> bytes:
    return OpenAI(spec_of(base_url, **settings), {}).key(request)


def other(**change: Any) -> Request:
    return dataclasses.replace(BASE, **change)


@pytest.mark.parametrize(
    "different",
    [
        key_of(other(messages=[{"role": "user", "content": "Hello!"}])),
        key_of(other(messages=[{"role": "system", "content": "Hello"}])),
        key_of(other(wanted=Record((Field("ok", BOOL), Field("why", STR, "One sentence."))))),
        key_of(other(wanted=Optional(VERDICT))),
        key_of(other(reply="text")),
        key_of(other(reply="tags")),
        key_of(other(shows_schema=True)),
        key_of(other(sample=1)),
        key_of(other(sampling={"temperature": 0.3})),
        key_of(sampling={"temperature": 0.3, "top_p": 1}),
        key_of(model="larger"),
        key_of(base_url="http://h/v2"),
        key_of(base_url="http://other/v1"),
        key_of(options={"top_k": 5}),
        key_of(structured="prompt"),
    ],
)
def test_what_can_change_a_reply_changes_its_key(different: bytes) -> None:
    assert len(different) == 16
    assert different != key_of()


@pytest.mark.parametrize(
    "same",
    [
        key_of(name="large"),
        key_of(price={"input": 3.0}),
        key_of(parallel=1, timeout=5.0, rpm=10.0, tpm=10.0),
        key_of(secret="A_KEY"),
        key_of(base_url="HTTP://H:80/v1/"),
        key_of(base_url="http://h/v1/chat/completions"),
        key_of(base_url="http://me:secret@h/v1"),
        key_of(other(wanted=Record((Field("why", STR, "One sentence."), Field("ok", BOOL)), "Renamed"))),
        key_of(other(values={"a": 1})),
        key_of(other(sampling={})),
        key_of(other(sampling={"temperature": None})),
    ],
)
def test_what_cannot_change_a_reply_leaves_its_key(same: bytes) -> None:
    assert same == key_of()


def test_a_key_is_the_same_in_every_version_of_the_engine() -> None:
    """Whoever changes this makes every stored reply of every project unknown: raise no key lightly."""
    request = Request(HELLO, None, "text", sampling={"temperature": 0.5}, sample=2)
    logical = (
        b'{"address":"http://h/v1","model":"mock","options":{},"provider":"openai","reply":"text",'
        b'"sampling":{"temperature":0.5},"schema":null,"structured":null,"words":false}'
        b'2:[{"content":"Hello","role":"user"}]'
    )
    assert key_of(request) == hashlib.sha256(logical).digest()[:16]


# -- replies -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status", "text", "thoughts"),
    [
        (completion({"content": "Yes"}), "ok", "Yes", None),
        (completion({"content": ""}), "ok", "", None),
        (completion({"content": "Yes"}, None), "ok", "Yes", None),
        (completion({"content": "Ye"}, "length"), "cut", "Ye", None),
        (completion({"content": None}, "length"), "cut", "", None),
        (completion({"content": ""}, "content_filter"), "refused", "", None),
        (completion({"content": None, "refusal": "I cannot."}), "refused", "I cannot.", None),
        (completion({"content": "Yes", "reasoning": "Hm"}), "ok", "Yes", "Hm"),
        (completion({"content": "Yes", "reasoning_content": "Hm"}), "ok", "Yes", "Hm"),
        (completion({"content": None, "reasoning_content": "Hm"}, "length"), "cut", "", "Hm"),
        (completion({"content": "<think>Hm</think>\nYes"}), "ok", "Yes", "Hm"),
        (completion({"content": '{"why": "a </think> tag"}'}), "ok", '{"why": "a </think> tag"}', None),
        (
            completion({"content": [{"type": "text", "text": "Ye"}, {"type": "text", "text": "s"}]}),
            "ok",
            "Yes",
            None,
        ),
    ],
)
def test_replies_are_read(server: Endpoint, raw: str, status: str, text: str, thoughts: str | None) -> None:
    server.config(rules=[{"contains": "", "raw": raw}])
    reply = one(server)
    assert (reply.status, reply.text.strip(), reply.thoughts and reply.thoughts.strip()) == (
        status,
        text,
        thoughts,
    )


@pytest.mark.parametrize(
    ("raw", "fault", "says"),
    [
        ("{}", "server", "without a choice"),
        ('{"choices": []}', "server", "without a choice"),
        ('{"choices": [{"message": null}]}', "server", "without a choice"),
        (completion({"content": None}), "server", "without any text"),
        (completion({"content": None, "tool_calls": [{"id": 1}]}), "server", "tool call"),
        ("[1]", "server", "no completion"),
        ("oops", "server", "not JSON"),
        ("<!doctype html><html>", "model", "web page"),
        ('data: {"choices": []}', "request", "stream"),
        ('{"error": {"message": "upstream is busy", "code": 502}}', "server", "upstream is busy"),
        ('{"error": {"message": "bad prompt", "code": 400}}', "request", "bad prompt"),
    ],
)
def test_answers_without_a_reply_are_errors(server: Endpoint, raw: str, fault: str, says: str) -> None:
    server.config(rules=[{"contains": "", "raw": raw}])
    reply = one(server)
    assert (reply.status, reply.fault) == ("error", fault)
    assert says in (reply.error or "")


WORDS = (
    "choices message content finish_reason error code detail loc msg usage prompt_tokens text "
    "prompt_tokens_details refusal reasoning tool_calls data id"
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(WORDS.split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(JSON, st.sampled_from([200, 302, 400, 401, 404, 422, 429, 500]))
def test_no_answer_whatever_is_more_than_an_error(value: Any, status: int) -> None:
    spec = spec_of("http://h/v1")
    wire = Wire(spec, "http://h/v1")
    for payload in (value, {"choices": [value]}, {"choices": [{"message": value, "finish_reason": value}]}):
        raw = json.dumps(payload).encode()
        if status == 200:
            assert isinstance(wire.read(raw, Request(HELLO), "h"), Reply | faults.Failure)
        else:
            assert faults.from_answer(status, {}, raw, spec, "h").message
        assert isinstance(model_names(raw), list)


def test_tokens_and_cost_are_the_endpoint_s_own(server: Endpoint) -> None:
    usage = {
        "prompt_tokens": 1_000,
        "completion_tokens": 200,
        "prompt_tokens_details": {"cached_tokens": 600},
        "completion_tokens_details": {"reasoning_tokens": 150},
    }
    server.config(rules=[{"contains": "", "raw": completion({"content": "Yes"}, usage=usage)}])
    reply = one(server, price={"input": 1.0, "output": 10.0, "cached": 0.1})
    assert (reply.tokens_in, reply.tokens_out, reply.tokens_cached, reply.tokens_thought) == (
        1_000,
        200,
        600,
        150,
    )
    assert reply.cost == pytest.approx((400 * 1.0 + 600 * 0.1 + 200 * 10.0) / 1e6)


@pytest.mark.parametrize(
    "usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens_details": None, "prompt_tokens": 9}]
)
def test_missing_figures_do_no_harm(server: Endpoint, usage: Any) -> None:
    server.config(rules=[{"contains": "", "raw": completion({"content": "Yes " * 20}, usage=usage)}])
    reply = one(server, price={"input": 1.0, "output": 1.0})
    assert reply.status == "ok"
    assert reply.tokens_in > 0
    assert reply.cost > 0


@pytest.mark.parametrize(
    ("price", "told", "dollars"),
    [
        (None, 0.0025, 0.0025),
        ({"input": 1.0, "output": 1.0}, 0.0025, 0.0012),  # what the author wrote stands
        (None, None, 0.0),
        (None, "much", 0.0),
        (None, True, 0.0),
        (None, -1, 0.0),
    ],
)
def test_without_a_price_what_the_endpoint_says_it_cost(
    server: Endpoint, price: dict[str, float] | None, told: Any, dollars: float
) -> None:
    usage = {"prompt_tokens": 1_000, "completion_tokens": 200, "cost": told}
    server.config(rules=[{"contains": "", "raw": completion({"content": "Yes"}, usage=usage)}])
    reply = one(server, **({"price": price} if price else {}))
    assert reply.cost == pytest.approx(dollars)
    assert reply.cost_reported == (told if dollars else None)


@pytest.mark.parametrize(
    ("price", "counts", "dollars"),
    [
        ({}, (10, 10, 0), 0.0),
        ({"input": 2.0, "output": 4.0}, (1_000_000, 500_000, 0), 4.0),
        ({"input": 2.0, "output": 4.0}, (1_000_000, 0, 1_000_000), 2.0),
        ({"input": 2.0, "cached": 0.5}, (1_000_000, 7, 1_000_000), 0.5),
        ({"input": 2.0, "cached": 0.0}, (1_000_000, 7, 5_000_000), 0.0),
        ({"input": 0.0, "output": 4.0}, (0, 1_000_000, 0, 250_000), 4.0),
        ({"input": 0.0, "output": 4.0, "thought": 2.0}, (0, 1_000_000, 0, 250_000), 3.5),
        ({"input": 0.0, "output": 4.0, "thought": 2.0}, (0, 1_000_000, 0, 9_000_000), 2.0),
    ],
)
def test_prices(price: dict[str, float], counts: tuple[int, ...], dollars: float) -> None:
    assert prices.cost(price, *counts) == pytest.approx(dollars)


# -- estimates -----------------------------------------------------------------------------


def test_tokens_are_estimated_from_bytes() -> None:
    assert tokens.count("") == 0
    assert tokens.count("a") == 1
    assert tokens.count("word " * 100) == 125
    assert tokens.count("日本語") == 3
    assert tokens.count("\ud800") > 0
    assert tokens.of_messages(HELLO) == 2 + tokens.PER_MESSAGE


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [(BOOL, STR), (STR, VERDICT), (VERDICT, Many(VERDICT)), (Literal(("a", "b")), VERDICT), (INT, Many(INT))],
)
def test_larger_types_take_longer_replies(smaller: Type, larger: Type) -> None:
    assert 0 < tokens.of_reply(smaller) < tokens.of_reply(larger)
    assert tokens.of_reply(Optional(larger)) == tokens.of_reply(larger)


def test_an_estimate_keeps_to_the_limit_of_tokens() -> None:
    model = OpenAI(spec_of(sampling={"max_tokens": 20}), {})
    assert model.estimate(Request(HELLO, Many(VERDICT)))[1] == 20
    assert model.estimate(Request(HELLO, Many(VERDICT), sampling={"max_tokens": 30}))[1] == 30
    assert model.estimate(Request(HELLO, BOOL))[1] < 20


# -- faults --------------------------------------------------------------------------------

OPENAI_404 = {"error": {"message": "The model `mock` does not exist", "code": "model_not_found"}}


@pytest.mark.parametrize(
    ("status", "payload", "fault", "retry", "says"),
    [
        (
            401,
            {"error": {"message": "Incorrect API key provided: sk-ab***yz."}},
            "authentication",
            False,
            "A_KEY",
        ),
        (403, {"error": "forbidden"}, "authentication", False, "forbidden"),
        (402, {"error": {"message": "Payment required"}}, "authentication", False, "no credit"),
        (
            429,
            {"error": {"message": "quota", "code": "insufficient_quota"}},
            "authentication",
            False,
            "no credit",
        ),
        (429, {"error": {"message": "slow down"}}, "limited", True, "too many requests (429): slow down"),
        (404, OPENAI_404, "model", False, 'no model "mock"'),
        (
            400,
            {"error": {"message": "mock is not a valid model ID: invalid model"}},
            "model",
            False,
            "no model",
        ),
        (404, {"detail": "Not Found"}, "model", False, "Should base_url end in /v1?"),
        (404, b"<html>nginx</html>", "model", False, "Should base_url end in /v1?"),
        (405, {"detail": "Method Not Allowed"}, "model", False, "base_url"),
        (308, b"", "model", False, "redirects to https://h/other"),
        (400, {"error": {"message": "temperature must be at most 2"}}, "request", False, "at most 2"),
        (
            400,
            {"message": "This model's maximum context length is 4096 tokens"},
            "request",
            False,
            "longer than",
        ),
        (413, {"error": {"message": "Request too large"}}, "request", False, "longer than"),
        (
            422,
            {"detail": [{"loc": ["body", "top_p"], "msg": "too big"}]},
            "request",
            False,
            "body.top_p: too big",
        ),
        (429, {"error": {"message": "Request too large for mock"}}, "request", False, "rate allows"),
        (429, {"error": {"message": "too many tokens this minute"}}, "limited", True, "too many tokens"),
        (418, {"error": {"message": "teapot"}}, "request", False, "refused the request (418): teapot"),
        (408, b"", "server", True, "408"),
        (409, {"error": {"message": "conflict"}}, "server", True, "conflict"),
        (500, b"Internal Server Error", "server", True, "Internal Server Error"),
        (502, b"<html>bad gateway</html>", "server", True, "failed with 502"),
        (503, {"error": {"message": "overloaded"}}, "server", True, "overloaded"),
        (529, {"type": "error", "error": {"message": "overloaded"}}, "server", True, "overloaded"),
        (501, b"", "request", False, "501"),
        (500, b"\xff\xfe\n\n many\n lines", "server", True, "many lines"),
        (500, [{"error": {"message": "in a list"}}], "server", True, "in a list"),
        (400, {"error": {"message": "x" * 5_000}}, "request", False, "…"),
    ],
)
def test_what_answers_mean(status: int, payload: Any, fault: str, retry: bool, says: str) -> None:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    spec = spec_of("https://h/api", secret="A_KEY")
    failure = faults.from_answer(status, {"Location": "https://h/other"}, raw, spec, "h")
    assert (failure.fault, failure.retry) == (fault, retry)
    assert says in failure.message
    assert "\n" not in failure.message
    assert len(failure.message) < 500
    assert "<" not in failure.message


def test_a_prompt_that_a_filter_declines_is_refused(server: Endpoint) -> None:
    raw = json.dumps({"error": {"message": "The prompt was filtered", "code": "content_filter"}})
    server.config(rules=[{"contains": "", "status": 400, "raw": raw}])
    reply = one(server)
    assert (reply.status, reply.finish, reply.attempts) == ("refused", "content_filter", 1)
    assert "filtered" in (reply.error or "")


def test_a_wait_of_hours_is_not_waited_for() -> None:
    failure = faults.from_answer(429, {"Retry-After": "7200"}, b"", spec_of(), "h")
    assert not failure.retry
    assert "asks to wait 2 h 0 min" in failure.message


@pytest.mark.parametrize("status", [500, 502, 503, 408, 429])
def test_passing_faults_are_tried_again(server: Endpoint, status: int) -> None:
    server.config(statuses=[status, status], retry_after=0.01)
    reply = one(server)
    assert (reply.status, reply.attempts) == ("ok", 3)


@pytest.mark.parametrize("fault", ["drop", "truncate"])
def test_broken_connections_are_tried_again(server: Endpoint, fault: str) -> None:
    server.config(**{fault: 0.5})

    async def work(model: OpenAI) -> list[Reply]:
        return await asyncio.gather(
            *(model.call(Request([{"role": "user", "content": f"{fault} {n}"}])) for n in range(20))
        )

    replies = asking(work, server)
    assert sum(reply.status == "ok" for reply in replies) >= 17
    assert sum(reply.attempts for reply in replies) > 24
    assert {reply.fault for reply in replies if reply.status == "error"} <= {"transport"}


def test_after_the_last_try_the_fault_is_told(server: Endpoint) -> None:
    server.config(p500=1.0)
    reply = one(server)
    assert (reply.status, reply.fault, reply.attempts) == ("error", "server", 5)
    assert (reply.error or "").endswith("failed with 500: by chance (tried 5 times)")


def test_a_call_that_hangs_is_given_up(server: Endpoint) -> None:
    server.config(hang=1.0)
    started = time.perf_counter()
    reply = one(server, timeout=0.1)
    assert (reply.fault, reply.attempts) == ("timeout", 3)
    assert "no answer within 0.1 s" in (reply.error or "")
    assert time.perf_counter() - started < 2


def test_being_limited_costs_no_tries_and_the_wait_is_kept(server: Endpoint) -> None:
    server.config(statuses=[429] * 7, retry_after=0.05)
    started = time.perf_counter()
    reply = one(server)
    assert (reply.status, reply.attempts) == ("ok", 8)
    assert time.perf_counter() - started >= 0.3


def test_a_cap_of_the_endpoint_is_lived_with(server: Endpoint) -> None:
    server.config(cap=10, latency_ms=10, retry_after=0.05)

    async def work(model: OpenAI) -> list[Reply]:
        requests = (Request([{"role": "user", "content": str(n)}]) for n in range(200))
        return await asyncio.gather(*(model.call(request) for request in requests))

    assert {reply.status for reply in asking(work, server, parallel=64)} == {"ok"}
    stats = server.stats()
    assert stats["ok"] == 200
    assert stats["statuses"].get("429", 0) < 200


def test_an_unknown_model_is_told_with_those_that_come_near(server: Endpoint) -> None:
    server.config(models=["qwen3-14b", "qwen3-32b", "llama"])
    reply = one(server, model="qwen3-14")
    assert reply.fault == "model"
    assert reply.attempts == 1
    assert 'no model "qwen3-14"' in (reply.error or "")
    assert (reply.error or "").endswith("It has: qwen3-14b, qwen3-32b.")


def test_a_wrong_path_says_what_base_url_should_be(server: Endpoint) -> None:
    reply = one(server.address)
    assert reply.fault == "model"
    assert (reply.error or "").endswith("Should base_url end in /v1?")


def test_a_dead_endpoint_fails_clearly_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = [faults.FIRST_PAUSE * 2**tries for tries in range(faults.TRIES["transport"] - 1)]
    assert sum(pauses) < 4
    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.05)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can come to listen there
        port = held.getsockname()[1]

        async def work(model: OpenAI) -> list[Reply]:
            return await asyncio.gather(*(model.call(Request(HELLO, sample=n)) for n in range(500)))

        started = time.perf_counter()
        replies = asking(work, f"http://127.0.0.1:{port}/v1", parallel=16)
        assert time.perf_counter() - started < 4
    assert {(reply.status, reply.fault) for reply in replies} == {("error", "transport")}
    assert f"cannot connect to 127.0.0.1:{port}: connection refused" in (replies[0].error or "")
    assert sum(reply.attempts for reply in replies) <= (16 + limits.BREAKS_AFTER) * faults.TRIES["transport"]


def test_a_wrong_key_costs_one_answer_for_each_call_under_way(server: Endpoint) -> None:
    server.config(key=KEY)

    async def work(model: OpenAI) -> list[Reply]:
        return await asyncio.gather(*(model.call(Request(HELLO, sample=n)) for n in range(300)))

    replies = asking(work, server, {"A_KEY": "not the right one"}, secret="A_KEY", parallel=10)
    assert {reply.fault for reply in replies} == {"authentication"}
    assert server.stats()["calls"] < 10 + 2 * limits.BREAKS_AFTER
    assert "does not accept the key in A_KEY (401)" in (replies[-1].error or "")


@pytest.mark.parametrize(
    ("secret", "environment", "says"),
    [
        (
            None,
            {},
            "wants a key (401): Incorrect API key provided. Model small has none: add api_key",
        ),
        ("A_KEY", {}, "A_KEY is not set in the environment"),
        ("A_KEY", {"A_KEY": "  "}, "A_KEY is not set in the environment"),
        ("A_KEY", {"A_KEY": "one\ntwo"}, "the key in A_KEY has characters"),
        ("A_KEY", {"A_KEY": "schlüssel"}, "the key in A_KEY has characters"),
    ],
)
def test_missing_and_broken_keys_are_told(
    server: Endpoint, secret: str | None, environment: dict[str, str], says: str
) -> None:
    server.config(key=KEY)
    reply = one(server, None, environment, secret=secret)
    assert reply.fault == "authentication"
    assert says in (reply.error or "")


@pytest.mark.parametrize("base_url", ["", "localhost:8000/v1", "not an address", "http://", "ftp://h/v1"])
def test_a_base_url_that_is_none_is_told(base_url: str) -> None:
    reply = one(base_url)
    assert (reply.status, reply.fault) == ("error", "model")
    assert "base_url of model small is no address" in (reply.error or "")


def test_a_name_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    reply = one("http://no-such-host.invalid/v1")
    assert reply.fault == "transport"
    assert "the name no-such-host.invalid is not known" in (reply.error or "")


def test_tls_to_a_server_without_it_is_told(server: Endpoint) -> None:
    reply = one(server.base_url.replace("http:", "https:"), timeout=0.3)
    assert reply.fault in ("transport", "timeout")


# -- secrets -------------------------------------------------------------------------------


def test_an_echoed_key_is_blanked_out(server: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.config(key="another", echo_key=True)

    async def work(model: OpenAI) -> list[str]:
        reply = await model.call(Request(HELLO))
        return [
            str(reply),
            repr(model),
            repr(model.endpoint),
            repr(vars(model)),
            model.body(Request(HELLO)).decode(),
        ]

    texts = asking(work, server, {"A_KEY": KEY}, secret="A_KEY")
    assert "Bearer ***" in texts[0]
    assert all(KEY not in text for text in [*texts, caplog.text])


def test_a_long_key_is_blanked_out_of_replies_and_a_short_word_is_not(server: Endpoint) -> None:
    server.config(rules=[{"contains": "", "reply": f"The key is {KEY}; the glass is EMPTY."}])
    assert one(server, None, {"A_KEY": KEY}, secret="A_KEY").text == "The key is ***; the glass is EMPTY."
    assert "EMPTY" in one(server, None, {"A_KEY": "EMPTY"}, secret="A_KEY").text


def test_credentials_in_an_address_are_sent_and_not_shown(server: Endpoint) -> None:
    async def work(model: OpenAI) -> str:
        assert (await model.call(Request(HELLO))).status == "ok"
        return f"{model} {model.spec} {model.endpoint}"

    shown = asking(work, server.base_url.replace("//", "//me:hush-hush@"))
    assert "hush" not in shown
    assert server.requests()[0]["authorization"].startswith("Basic ")


# -- cancellation, sharing, the environment ------------------------------------------------


def test_a_cancelled_call_gives_its_place_back(server: Endpoint) -> None:
    server.config(latency_ms=5_000)

    async def work(model: OpenAI) -> None:
        tasks = [asyncio.create_task(model.call(Request(HELLO, sample=n))) for n in range(5)]
        await asyncio.sleep(0.1)
        assert model.limits.in_flight == 2
        assert model.limits.waiting == 3
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert model.limits.in_flight == 0
        assert model.limits.waiting == 0
        server.config(latency_ms=0)
        assert (await model.call(Request(HELLO))).status == "ok"

    asking(work, server, parallel=2)


def test_models_of_one_endpoint_share_its_places(server: Endpoint) -> None:
    async def main() -> None:
        shared: dict[Any, Any] = {}
        small, large, other = (
            open_model(spec_of(server.base_url, name=name, model=model, parallel=3), {}, shared)
            for name, model in [("small", "mock"), ("large", "mock"), ("other", "else")]
        )
        assert isinstance(small, OpenAI)
        assert isinstance(large, OpenAI)
        assert isinstance(other, OpenAI)
        assert small.endpoint is large.endpoint
        assert other.endpoint is not small.endpoint
        await asyncio.gather(*(model.call(Request(HELLO)) for model in (small, large, other) * 10))
        await small.close()
        assert (await large.call(Request(HELLO))).status == "ok"
        await large.close()
        await other.close()

    asyncio.run(main())
    assert server.stats()["max_in_flight"] <= 6


def test_a_provider_that_is_none_is_told() -> None:
    with pytest.raises(ValueError, match='provider "elsewhere" of model small'):
        open_model(spec_of(provider="elsewhere"), {})


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("https://API.example.com/v1/", "https://api.example.com/v1"),
        ("https://api.example.com:443/v1", "https://api.example.com/v1"),
        ("https://api.example.com/v1/chat/completions", "https://api.example.com/v1"),
        ("https://me:pass@api.example.com/v1", "https://api.example.com/v1"),
        (" http://localhost:8000/v1 ", "http://localhost:8000/v1"),
        ("https://h/openai/deployments/x?api-version=1", "https://h/openai/deployments/x?api-version=1"),
    ],
)
def test_addresses_are_normalised(given: str, address: str) -> None:
    assert str(normalised(given)) == address


def test_a_query_in_the_address_stays_behind_the_path() -> None:
    connections = Connections(spec_of("https://h/x?api-version=1"), {})
    assert str(connections.chat) == "https://h/x/chat/completions?api-version=1"


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://h/v1", {}, None),
        ("https://h/v1", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://h/v1", {"https_proxy": "p:1"}, "http://p:1"),
        ("https://h/v1", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://h/v1", {"http_proxy": "http://p:1"}, "http://p:1"),
        ("https://h.example.com/v1", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, None),
        ("http://127.0.0.1:8000/v1", {"HTTP_PROXY": "http://p:1"}, None),
        ("http://localhost/v1", {"HTTP_PROXY": "http://p:1"}, None),
    ],
)
def test_proxies_of_the_environment(url: str, environment: dict[str, str], proxy: str | None) -> None:
    assert proxy_of(URL(url), environment) == proxy


def test_the_limit_of_open_files_is_raised_and_never_lowered() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
        raise_file_limit(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(256, hard)
        raise_file_limit(1_000_000)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
