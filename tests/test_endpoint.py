"""The endpoint of the tests: deterministic, faulty on demand, counting, quick to start."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import RemoteDisconnected
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.endpoint import Endpoint, endpoint
from tests.endpoint.answers import FOREIGN, Dice, fit
from tests.endpoint.client import DIRECT
from tests.endpoint.config import Config

SCHEMA = {
    "type": "object",
    "properties": {
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "question": {"type": "string"},
                    "level": {"type": "string", "enum": ["easy", "hard"]},
                    "score": {"type": "integer"},
                    "share": {"type": "number"},
                    "ok": {"type": "boolean"},
                    "note": {"type": ["string", "null"]},
                    "more": {
                        "anyOf": [
                            {"type": "object", "properties": {"a": {"type": "string"}}},
                            {"type": "null"},
                        ]
                    },
                },
            },
        }
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with endpoint() as started:
        yield started


@pytest.fixture
def fresh(server: Endpoint) -> Endpoint:
    defaults = Config()
    names = [name for name in vars(defaults) if name != "record"]
    server.reset(**{name: getattr(defaults, name) for name in names})
    return server


def ask(server: Endpoint, prompt: str = "Hello", key: str | None = None, **more: Any) -> tuple[int, Any]:
    body = {"model": "mock", "messages": [{"role": "user", "content": prompt}]} | more
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(
        f"{server.base_url}/chat/completions", data=json.dumps(body).encode(), headers=headers
    )
    try:
        with DIRECT.open(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as problem:
        with problem:
            return problem.code, json.load(problem) | {"headers": dict(problem.headers)}


def said(server: Endpoint, prompt: str = "Hello", **more: Any) -> str:
    status, data = ask(server, prompt, **more)
    assert status == 200, data
    return str(data["choices"][0]["message"]["content"])


def schema_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}


def test_it_starts_at_once() -> None:
    started = time.perf_counter()
    with endpoint() as server:
        assert time.perf_counter() - started < 1.0  # 0.15 s on a quiet machine
        assert server.stats()["calls"] == 0


def test_the_same_request_is_answered_the_same_in_every_process(fresh: Endpoint) -> None:
    with endpoint() as other:
        for prompt in ("one", "two"):
            assert ask(fresh, prompt) == ask(other, prompt) == ask(fresh, prompt)
        assert said(fresh, "one") != said(fresh, "two")


def test_another_seed_says_other_things(fresh: Endpoint) -> None:
    before = said(fresh)
    fresh.config(seed=1)
    assert said(fresh) != before


def test_a_schema_is_answered_with_a_document_that_fits(fresh: Endpoint) -> None:
    document = json.loads(said(fresh, response_format=schema_format(SCHEMA)))
    assert 2 <= len(document["items"]) <= 4
    questions = {item["question"] for item in document["items"]}
    assert len(questions) == len(document["items"])
    for item in document["items"]:
        assert list(item) == ["question", "level", "score", "share", "ok", "note", "more"]
        assert item["question"].endswith("?")
        assert item["level"] in ("easy", "hard")
        assert isinstance(item["score"], int)
        assert isinstance(item["ok"], bool)
        assert isinstance(item["more"]["a"], str)


SCHEMAS = st.recursive(
    st.sampled_from(
        [
            {"type": "string"},
            {"type": "integer", "minimum": 3, "maximum": 5},
            {"type": "boolean"},
            {"enum": ["a", "b"]},
        ]
    ),
    lambda inner: (
        st.builds(lambda items: {"type": "array", "items": items}, inner)
        | st.builds(
            lambda parts: {"type": "object", "properties": parts},
            st.dictionaries(st.sampled_from(["x", "y", "question", "role"]), inner, max_size=3),
        )
    ),
    max_leaves=6,
)


def fits(value: Any, schema: dict[str, Any]) -> bool:
    match schema:
        case {"type": "string"}:
            return isinstance(value, str)
        case {"type": "integer"}:
            return isinstance(value, int) and 3 <= value <= 5
        case {"type": "boolean"}:
            return isinstance(value, bool)
        case {"enum": choices}:
            return value in choices
        case {"type": "array", "items": items}:
            return 2 <= len(value) <= 4 and all(fits(part, items) for part in value)
        case {"properties": parts}:
            return list(value) == list(parts) and all(fits(value[name], part) for name, part in parts.items())
    raise AssertionError(schema)


@settings(max_examples=100, deadline=None)
@given(SCHEMAS, st.binary(max_size=8))
def test_any_schema_gets_a_document_that_fits(schema: dict[str, Any], seed: bytes) -> None:
    document = fit(schema, Dice(seed))
    assert fits(document, schema)
    assert document == fit(schema, Dice(seed))


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.5, 400, 600), (1.0, 1_000, 1_000)])
def test_booleans_are_true_in_the_share_that_is_set(share: float, low: int, high: int) -> None:
    count = sum(fit({"type": "boolean"}, Dice(b"%d" % n), share) for n in range(1_000))
    assert low <= count <= high


def test_a_prompt_without_a_schema_can_be_answered_in_json(fresh: Endpoint) -> None:
    fresh.config(answer_json_schema=SCHEMA)
    assert json.loads(said(fresh))["items"]


def test_rules_say_what_a_prompt_is_answered(fresh: Endpoint) -> None:
    fresh.config(
        rules=[
            {"contains": "twice", "reply": "only twice", "times": 2},
            {"contains": r"capital of (?P<land>\w+)", "reply": {"q": "${land}", "all": ["${0}", "${9}"]}},
            {"contains": "fits", "schema": {"type": "object", "properties": {"ok": {"type": "boolean"}}}},
            {"contains": '"temperature":0.5', "where": "body", "reply": "warm"},
        ]
    )
    assert [said(fresh, "say twice")[:10] for _ in range(3)].count("only twice") == 2
    assert json.loads(said(fresh, "the capital of Peru")) == {"q": "Peru", "all": ["capital of Peru", "${9}"]}
    assert isinstance(json.loads(said(fresh, "what fits"))["ok"], bool)
    assert said(fresh, "else", temperature=0.5) != "warm"  # json.dumps writes a space there
    fresh.config(rules=[{"contains": '"temperature": 0.5', "where": "body", "reply": "warm"}])
    assert said(fresh, "else", temperature=0.5) == "warm"


def test_a_rule_can_answer_with_an_error_or_anything(fresh: Endpoint) -> None:
    fresh.config(
        rules=[
            {"contains": "teapot", "status": 418, "message": "short and stout", "headers": {"X-A": "b"}},
            {"contains": "raw", "raw": '{"choices": []}'},
            {"contains": "stop", "reply": "half", "finish": "length"},
        ]
    )
    status, data = ask(fresh, "teapot")
    assert (status, data["error"]["message"], data["headers"]["X-A"]) == (418, "short and stout", "b")
    assert ask(fresh, "raw") == (200, {"choices": []})
    assert ask(fresh, "stop")[1]["choices"][0]["finish_reason"] == "length"


def test_faults_hit_their_share_and_the_same_requests_each_time(fresh: Endpoint) -> None:
    fresh.config(p429=0.2, p500=0.2, retry_after=3)
    first = [ask(fresh, f"row {row}") for row in range(100)]
    statuses = [status for status, _ in first]
    assert 8 <= statuses.count(429) <= 35
    assert 8 <= statuses.count(500) <= 35
    assert {data["headers"]["Retry-After"] for status, data in first if status == 429} == {"3"}
    again = [ask(fresh, f"row {row}")[0] for row in range(100)]
    assert again != statuses  # a request that is sent again meets another fate
    fresh.reset()
    assert [ask(fresh, f"row {row}")[0] for row in range(100)] == statuses
    assert fresh.stats()["statuses"] == {str(code): statuses.count(code) for code in sorted(set(statuses))}


@pytest.mark.parametrize(
    ("fault", "finish", "start"),
    [
        ("cut", "length", "{"),
        ("prose", "stop", "Sure"),
        ("fence", "stop", "```json"),
        ("broken", "stop", "{"),
        ("wrong", "stop", "{"),
        ("foreign", "stop", "{"),
        ("empty", "stop", "{"),
        ("filtered", "content_filter", ""),
        ("think", "stop", "<think>"),
    ],
)
def test_faults_in_replies(fresh: Endpoint, fault: str, finish: str, start: str) -> None:
    fresh.config(**{fault: 1.0})
    choice = ask(fresh, response_format=schema_format(SCHEMA))[1]["choices"][0]
    assert choice["finish_reason"] == finish
    assert choice["message"]["content"].startswith(start)
    if fault in ("cut", "broken"):
        with pytest.raises(json.JSONDecodeError):
            json.loads(choice["message"]["content"])
    if fault == "wrong":
        assert json.loads(choice["message"]["content"]) != {}
    if fault == "foreign":
        assert FOREIGN in choice["message"]["content"]
    if fault == "empty":
        assert [] in json.loads(choice["message"]["content"]).values()


def test_refusals_and_thoughts_have_fields_of_their_own(fresh: Endpoint) -> None:
    fresh.config(refuse=1.0)
    assert ask(fresh)[1]["choices"][0]["message"]["refusal"]
    fresh.config(refuse=0.0, reasoning=1.0)
    assert ask(fresh)[1]["choices"][0]["message"]["reasoning_content"]


def test_a_connection_can_be_dropped_or_break_off(fresh: Endpoint) -> None:
    fresh.config(drop=1.0)
    with pytest.raises((RemoteDisconnected, ConnectionError, urllib.error.URLError)):
        ask(fresh)
    fresh.config(drop=0.0, truncate=1.0)
    with pytest.raises(Exception, match=r"IncompleteRead|bytes"):
        ask(fresh)


def test_who_is_let_in(fresh: Endpoint) -> None:
    fresh.config(key="right", echo_key=True, models=["small", "large"])
    status, data = ask(fresh, key="wrong")
    assert status == 401
    assert "Bearer wrong" in data["error"]["message"]
    assert ask(fresh, key="right")[0] == 404
    assert ask(fresh, key="right", model="small")[0] == 200


@pytest.mark.parametrize(
    ("takes", "schema", "plain"), [("schema", 200, 200), ("object", 400, 200), ("none", 400, 400)]
)
def test_response_formats_that_it_takes(fresh: Endpoint, takes: str, schema: int, plain: int) -> None:
    fresh.config(response_format=takes)
    assert ask(fresh, response_format=schema_format(SCHEMA))[0] == schema
    assert ask(fresh, response_format={"type": "json_object"})[0] == plain


def test_limits_on_calls_at_a_time_and_a_minute(fresh: Endpoint) -> None:
    fresh.config(cap=2, latency_ms=150)
    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(lambda row: ask(fresh, f"{row}")[0], range(8)))
    assert statuses.count(200) >= 2
    assert statuses.count(429) >= 1
    fresh.reset(cap=0, latency_ms=0, rpm=60)
    assert [ask(fresh)[0] for _ in range(3)] == [200, 429, 429]


def test_latency_is_fixed_or_spread(fresh: Endpoint) -> None:
    fresh.config(latency_ms=60)
    started = time.perf_counter()
    ask(fresh)
    assert 0.055 <= time.perf_counter() - started < 0.5
    fresh.config(latency_ms=10, sigma=0.8)
    times = []
    for row in range(20):
        started = time.perf_counter()
        ask(fresh, str(row))
        times.append(time.perf_counter() - started)
    assert max(times) > 1.5 * min(times)


def test_counters(fresh: Endpoint) -> None:
    for prompt in ("[node:worthy] a", "[node:worthy] b", "[node:a.b] a", "[node:worthy] a"):
        ask(fresh, prompt)
    stats = fresh.stats()
    assert (stats["calls"], stats["ok"], stats["distinct"], stats["repeated"]) == (4, 4, 3, 1)
    assert stats["by_node"] == {"worthy": 3, "a.b": 1}
    assert stats["by_model"] == {"mock": 4}
    assert [entry["body"]["messages"][0]["content"][-1] for entry in fresh.requests()] == ["a", "b", "a", "a"]
    fresh.reset()
    assert fresh.stats()["calls"] == 0
    assert fresh.requests() == []


def test_statuses_in_the_order_of_arrival(fresh: Endpoint) -> None:
    fresh.config(statuses=[500, 429, 200, 503])
    assert [ask(fresh)[0] for _ in range(5)] == [500, 429, 200, 503, 200]


def test_bad_settings_and_requests_are_told(fresh: Endpoint) -> None:
    with pytest.raises(ValueError, match="latency"):
        fresh.config(latency=1)
    with pytest.raises(ValueError, match="setting"):
        fresh.config(rules=[{"contains": "("}])
    assert ask(fresh, messages="no list")[0] == 400
    with DIRECT.open(f"{fresh.base_url}/models", timeout=5) as answer:
        assert json.load(answer)["data"][0]["id"] == "mock"


def test_it_does_not_outlive_whoever_started_it() -> None:
    with endpoint() as server:
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(5) == 0


def test_a_connection_is_closed_where_the_client_says_so() -> None:
    with endpoint(record=0) as server, socket.create_connection(("127.0.0.1", server.port), 5) as link:
        body = b'{"messages": []}'
        head = b"POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        link.sendall(head % len(body) + body)
        said = b""
        while more := link.recv(65_536):  # until the end
            said += more
        assert said.startswith(b"HTTP/1.1 200")
