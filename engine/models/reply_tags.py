"""Tagged blocks in the text of a reply: `<answer>…</answer>`, for models too small for JSON.

Gives plain values with text at the leaves; `replies` gives them their types.
"""

from __future__ import annotations

import re
from typing import Any

from engine.language.types import Literal, Many, Optional, Record, Scalar, Type

_EMPTY = frozenset({"", "null", "none"})


class Untagged(ValueError):
    """The tags that the type needs are not there, or one is never closed."""

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message


def read_tags(text: str, wanted: Type) -> Any:
    """What the blocks of a reply say, for a type that is not a `?`."""
    match wanted:
        case Record():
            return _record(_blocks(text, wanted), wanted)
        case Many(inner):
            return _top_list(text, inner)
        case _:
            blocks = _named(text, ("item",))
            return _leaf(blocks[-1][1] if blocks else text, wanted)


def _top_list(text: str, inner: Type) -> list[Any]:
    items = [content for name, content in _named(text, ("items", "item"))]
    names = [name for name, _ in _named(text, ("items", "item"))]
    if "items" in names:
        text = items[names.index("items")]
        items = [content for _, content in _named(text, ("item",))]
        if not items and not text.strip():
            return []
    if items:
        return [read_tags(item, inner) for item in items]
    if isinstance(inner, Record):
        return [_record(group, inner) for group in _groups(_blocks(text, inner))]
    raise Untagged("there is no `<item>` in the reply")


def _groups(blocks: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Records written one after the other: a field that comes again begins the next."""
    groups: list[list[tuple[str, str]]] = [[]]
    for name, content in blocks:
        if any(name == other for other, _ in groups[-1]):
            groups.append([])
        groups[-1].append((name, content))
    return groups


def _blocks(text: str, wanted: Record) -> list[tuple[str, str]]:
    blocks = _named(text, tuple(f.name for f in wanted))
    if not blocks and any(not isinstance(f.type, Optional) for f in wanted):
        names = ", ".join(f"`<{f.name}>`" for f in wanted)
        raise Untagged(f"there are no tags in the reply; it needs {names}")
    return blocks


def _record(blocks: list[tuple[str, str]], wanted: Record) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for f in wanted:
        contents = [content for name, content in blocks if name == f.name]
        if contents:
            value[f.name] = _field(contents, f.type)
    return value


def _field(contents: list[str], wanted: Type) -> Any:
    if isinstance(wanted, Optional):
        return None if contents[-1].strip().casefold() in _EMPTY else _field(contents, wanted.of)
    if isinstance(wanted, Many):
        return _nested_list(contents, wanted.of)
    if isinstance(wanted, Record):
        return read_tags(contents[-1], wanted)
    return _leaf(contents[-1], wanted)


def _nested_list(contents: list[str], inner: Type) -> list[Any]:
    values: list[Any] = []
    for content in contents:
        items = [item for _, item in _named(content, ("item",))]
        if items:
            values += [read_tags(item, inner) for item in items]
        elif isinstance(inner, Record) and content.strip():
            values += [_record(group, inner) for group in _groups(_blocks(content, inner))]
        elif content.strip():
            values.append(read_tags(content, inner))
    return values


def _leaf(text: str, wanted: Type) -> str:
    text = text.strip()
    if isinstance(wanted, Literal) or (isinstance(wanted, Scalar) and wanted.name not in ("str", "path")):
        return text.strip("`\"'*. \n\t")
    return text


def _named(text: str, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """The outermost blocks with one of the names, as (name, content), in order."""
    known = {_plain(name): name for name in names}
    pattern = "|".join(re.escape(name).replace("_", "[_ -]?") for name in names)
    opening = re.compile(rf"<({pattern})(?:\s[^<>]*)?(/?)>", re.IGNORECASE)
    blocks: list[tuple[str, str]] = []
    position = 0
    while match := opening.search(text, position):
        name, written = known[_plain(match[1])], re.escape(match[1])
        if match[2]:
            blocks.append((name, ""))
            position = match.end()
            continue
        end = _end(text, match.end(), written)
        if end is None:
            raise Untagged(f"`<{name}>` is not closed")
        blocks.append((name, text[match.end() : end[0]]))
        position = end[1]
    return blocks


def _end(text: str, start: int, written: str) -> tuple[int, int] | None:
    """Where the closing tag of a block begins and ends; blocks of the same name may nest."""
    depth = 1
    for match in re.compile(rf"<(/?){written}(?:\s[^<>]*)?>", re.IGNORECASE).finditer(text, start):
        depth += -1 if match[1] else 1
        if depth == 0:
            return match.span()
    return None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()
