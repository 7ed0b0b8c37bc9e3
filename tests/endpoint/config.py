"""What the endpoint does when it is asked: every knob, with its default.

The same names serve as command-line options (`latency_ms` is `--latency-ms`), as keyword
arguments of `endpoint()` and as keys of `POST /config`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass
class Rule:
    """What to answer to prompts in which `contains` (a regular expression) is found.

    `reply` is text, or any other JSON value, sent as JSON; `${0}`, `${1}`, `${name}` in its
    strings stand for what the expression found. `schema` gives a made-up document instead.
    `times` is how often the rule holds, None for ever. The rest overrides what would be sent.
    """

    contains: str
    reply: Any = None
    times: int | None = None
    schema: dict[str, Any] | None = None
    status: int | None = None
    message: str | None = None  # of an error
    headers: dict[str, str] = field(default_factory=dict)
    finish: str | None = None
    raw: str | None = None  # the whole body, as it is
    delay_ms: float | None = None
    where: str = "prompt"  # or "body": the request as it was sent
    pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.pattern = re.compile(self.contains, re.DOTALL)


@dataclass
class Config:
    """Shares are between 0 and 1; which requests they hit follows from the request and `seed`."""

    seed: int = 0
    # time
    latency_ms: float = 0.0  # of every answer; the median where `sigma` is set
    jitter_ms: float = 0.0  # added, uniform
    sigma: float = 0.0  # of a log-normal latency
    # limits
    cap: int = 0  # more in flight than this: 429
    rpm: float = 0.0  # more a minute than this: 429
    retry_after: float | None = 1.0  # seconds, told with a 429; None leaves the header away
    # faults in HTTP
    statuses: list[int] = field(default_factory=list)  # for the next requests, in order of arrival
    p429: float = 0.0
    p500: float = 0.0
    p503: float = 0.0
    hang: float = 0.0  # never answered
    drop: float = 0.0  # closed without an answer
    truncate: float = 0.0  # closed in the middle of an answer
    # faults in replies
    cut: float = 0.0  # finish_reason: length
    prose: float = 0.0  # words around JSON
    fence: float = 0.0  # a fenced block
    broken: float = 0.0  # JSON that is none
    wrong: float = 0.0  # values of other types
    foreign: float = 0.0  # texts in another language
    empty: float = 0.0  # lists with nothing in them
    refuse: float = 0.0
    filtered: float = 0.0  # finish_reason: content_filter
    reasoning: float = 0.0  # thoughts in a field
    think: float = 0.0  # thoughts in the reply
    usage: bool = True
    streams: bool = True  # an endpoint that does not gives the whole at once
    stream_options: bool = True  # whether it knows how to be asked for the tokens of a stream
    cost: float | None = None  # USD of a call, told in its usage
    # what it takes
    key: str = ""  # 401 for any other
    echo_key: bool = False  # tells the Authorization header in errors
    models: list[str] = field(default_factory=list)  # 404 for any other; empty takes all
    response_format: str = "schema"  # what it takes: "schema", "object", "none"
    schema_status: int = 400  # what it answers where it does not take it
    # what it says
    rules: list[Rule] = field(default_factory=list)
    answer_json_schema: dict[str, Any] | None = None  # for requests without a schema
    p_true: float = 0.9  # of booleans
    words: int = 24  # of a reply that is not JSON
    marker: str = r"\[node:([\w.]+)\]"  # names the node in a prompt, for the counters
    record: int = 1_000  # requests that `GET /requests` remembers

    def change(self, values: dict[str, Any]) -> None:
        """Set some of them. Raises `KeyError` for one that is not there."""
        known = {entry.name for entry in fields(self)}
        for name, value in values.items():
            if name not in known:
                raise KeyError(name)
            setattr(self, name, [rule_of(entry) for entry in value] if name == "rules" else value)


def rule_of(value: Any) -> Rule:
    """A rule from its JSON."""
    return value if isinstance(value, Rule) else Rule(**value)
