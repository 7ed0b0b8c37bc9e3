"""Rows, prompts and replies laid out for reading in 80 columns; used by show, why and render."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from engine.commands._render import cell, duration, harmless, money, number, shorten

if TYPE_CHECKING:
    from rich.console import Console

TEXT_LIMIT = 480  # characters of one value or message, unless all is asked for
NAME_WIDTH = 16


def heading(console: Console, text: str) -> None:
    """A line across with a title: a new row, a new step."""
    from rich.rule import Rule
    from rich.text import Text

    console.print(Rule(Text(text, style="bold"), align="left", characters="─" if _unicode(console) else "-"))


def fields(console: Console, values: Mapping[str, Any], limit: int | None = TEXT_LIMIT) -> None:
    """Names and values below each other; long texts are cut and say how much was."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(width=min(max(map(len, values), default=0), NAME_WIDTH), overflow="fold", style="dim")
    grid.add_column(overflow="fold")
    for name, value in values.items():
        grid.add_row(Text(name), Text(body(value, limit)))
    console.print(grid)


def message(console: Console, role: str, text: str, limit: int | None = TEXT_LIMIT) -> None:
    """One message of a prompt, or a reply, under its role."""
    from rich.padding import Padding
    from rich.text import Text

    console.print(Text(f"{role}:", style="bold"))
    console.print(Padding(Text(body(text, limit)), (0, 0, 0, 2)))


def request(console: Console, sent: str | bytes | None, limit: int | None = TEXT_LIMIT) -> None:
    """The messages of a request body as it was sent."""
    for role, text in messages(sent):
        message(console, role, text, limit)


def messages(sent: str | bytes | None) -> list[tuple[str, str]]:
    """Role and content pairs of a stored request; a body without messages is shown as it is."""
    if not sent:
        return []
    text = sent.decode("utf-8", "replace") if isinstance(sent, bytes) else sent
    try:
        found = json.loads(text)["messages"]
        return [(str(item["role"]), _content(item.get("content"))) for item in found]
    except (ValueError, KeyError, TypeError, AttributeError):
        return [("request", text)]


def reply(console: Console, call: Mapping[str, Any], limit: int | None = TEXT_LIMIT) -> None:
    """What came back, the model's thoughts apart, and what it took."""
    if call.get("thoughts"):
        message(console, "thoughts", call["thoughts"], limit)
    if call.get("reply") is not None:
        message(console, "reply", call["reply"], limit)
    if call.get("error"):
        message(console, "error", call["error"], limit)


def body(value: Any, limit: int | None) -> str:
    """A value as text of several lines, cut to `limit` characters."""
    if isinstance(value, Mapping | list | tuple):
        text = cell(value)
        if len(text) > 60 or "\\n" in text:
            text = "\n".join(outline(value))
    else:
        text = harmless(value) if isinstance(value, str) else "none" if value is None else cell(value)
    return text if limit is None else shorten(text, limit)


def outline(value: Any) -> list[str]:
    """Lists and records as an indented list, without the quotes and escapes of JSON."""
    if isinstance(value, Mapping):
        pairs = [(f"{name}:", item) for name, item in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [("-", item) for item in value]
    else:
        return (harmless(value) if isinstance(value, str) else cell(value)).split("\n")
    lines: list[str] = []
    for mark, item in pairs:
        first, *rest = outline(item) or [""]
        if mark == "-" or not isinstance(item, Mapping | list | tuple):
            lines += [f"{mark} {first}", *(f"  {line}" for line in rest)]
        else:
            lines += [mark, *(f"  {line}" for line in (first, *rest))]
    return lines


def took(call: Mapping[str, Any]) -> str:
    """Who answered a call and what it took: model, status, tokens, cost, time."""
    parts = (
        call["model"],
        call["status"],
        _tokens(call),
        money(call["cost"]),
        duration((call["ms"] or 0) / 1000),
    )
    return " · ".join(str(part) for part in parts if part)


def _tokens(call: Mapping[str, Any]) -> str:
    """`1 204 tokens in (300 cached), 56 out`."""
    cached = f" ({number(call['tokens_cached'])} cached)" if call.get("tokens_cached") else ""
    return (
        f"{number(call.get('tokens_in') or 0)} tokens in{cached}, {number(call.get('tokens_out') or 0)} out"
    )


def brief_id(value: Any) -> str:
    """The beginning of an id: enough to name the row."""
    return str(value)[:8]


def _content(content: Any) -> str:
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)


def _unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")
