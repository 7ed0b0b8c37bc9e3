"""A value written as a reply: the inverse of `replies.parse`, for models that are rules."""

from __future__ import annotations

from typing import Any

import orjson

from engine.language.types import Many, Optional, Record, Type, text_field, wrapping


def reply_text(value: Any, wanted: Type, form: str = "json") -> str:
    """The reply that says `value`, in the form asked for: "json", "text" or "tags".

    Texts that hold tags themselves cannot be told from tags in the form "tags".
    """
    if form == "text":
        return "null" if value is None else str(value[text_field(wanted)])
    if form == "tags":
        return "null" if value is None else _tags(value, wanted)
    key = wrapping(wanted)
    return orjson.dumps(value if key is None else {key: value}).decode()


def _tags(value: Any, wanted: Type) -> str:
    inner = wanted.of if isinstance(wanted, Optional) else wanted
    if isinstance(inner, Record):
        return "\n".join(_tag(f.name, value[f.name], f.type) for f in inner)
    if isinstance(inner, Many):
        return "\n".join(_tag("item", each, inner.of) for each in value) or "<items></items>"
    return _tag("item", value, inner)


def _tag(name: str, value: Any, wanted: Type) -> str:
    inner = wanted.of if isinstance(wanted, Optional) else wanted
    if value is None:
        return f"<{name}></{name}>"
    if isinstance(inner, Record):
        return f"<{name}>\n{_tags(value, inner)}\n</{name}>"
    if isinstance(inner, Many):
        return f"<{name}>{''.join(_tag('item', each, inner.of) for each in value)}</{name}>"
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return f"<{name}>{text}</{name}>"
