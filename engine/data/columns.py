"""What a DuckDB type, as text, says of a column: is it a list of records, and with which fields?"""

from __future__ import annotations


def record_fields(type_: str) -> list[str] | None:
    """Names of the fields of `STRUCT(…)[]`; None where it is no list of records."""
    text = type_.strip()
    if not text.endswith("[]") or not text.upper().startswith("STRUCT("):
        return None
    inner = text[len("STRUCT(") : -2].rstrip()
    if not inner.endswith(")"):
        return None
    return [_name(part) for part in _parts(inner[:-1])]


def _parts(text: str) -> list[str]:
    """A list split at its commas, those in brackets and in quotes left alone."""
    parts, depth, quoted, start = [], 0, False, 0
    for place, mark in enumerate(text):
        if mark == '"':
            quoted = not quoted
        elif not quoted and mark in "([":
            depth += 1
        elif not quoted and mark in ")]":
            depth -= 1
        elif not quoted and depth == 0 and mark == ",":
            parts.append(text[start:place])
            start = place + 1
    return [*parts, text[start:]]


def _name(part: str) -> str:
    part = part.strip()
    if part.startswith('"'):
        return part[1:].partition('" ')[0].replace('""', '"')
    return part.partition(" ")[0]
