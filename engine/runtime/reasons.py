"""What of a node is not as it was, in words: `template draft: 3 lines changed`, `param size: 600 -> 800`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import SequenceMatcher
from typing import Any

Parts = Mapping[str, str]  # part -> its fingerprint, as `statics.parts_of` gives them
LONGEST = 40  # characters of a value that are shown
_RENAMED = ("template", "model")  # count by content: one of another name is the same


def reasons(before: Parts, after: Parts, contents: Mapping[str, Any]) -> list[str]:
    """Each part that differs, and how. `contents` are what is behind fingerprints, where that is known."""
    said: list[str] = []
    same = set(before.values()) & set(after.values())
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new or (name.split(" ", 1)[0] in _RENAMED and {old, new} & same):
            continue
        if old is None or new is None:
            if name.split(" ", 1)[0] in ("template", "model", "param"):
                said.append(f"{name} {'removed' if new is None else 'added'}")
            else:
                said.append(f"{name} changed")
        elif old in contents and new in contents:
            said += _difference(name, contents[old], contents[new]) or [f"{name} changed"]
        else:
            said.append(f"{name} changed")
    return said


def _difference(name: str, old: Any, new: Any) -> list[str]:
    sort = name.split(" ", 1)[0]
    if sort == "template" and isinstance(old, str) and isinstance(new, str):
        count = _lines_changed(old.splitlines(), new.splitlines())
        return [f"{name}: {count} line{'s' * (count != 1)} changed"] if count else []
    if name == "gates":
        return list(_gates(old, new))
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = dict(_leaves(old)), dict(_leaves(new))
        keys = [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]
        own, colon = (f"{name}: ", "") if sort in ("model", "sections") else ("", ":")
        return [f"{own}{key}{colon} {_shown(before.get(key))} -> {_shown(after.get(key))}" for key in keys]
    return [f"{name}: {_shown(old)} -> {_shown(new)}"]


def _lines_changed(old: list[str], new: list[str]) -> int:
    moves = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum(max(b - a, d - c) for tag, a, b, c, d in moves if tag != "equal")


def _gates(old: list[list[Any]], new: list[list[Any]]) -> Iterator[str]:
    """Clauses that came and went; one of each, of the same word, is one that was edited."""
    gone = [clause for clause in old if clause not in new]
    come = [clause for clause in new if clause not in old]
    for clause in come:
        word, name, sql, _ = clause
        told = f"{word} {name}" if name else word
        before = next((one for one in gone if one[:2] == [word, name]), None)
        if before is None:
            yield f"{told} {_shown(sql, quoted=False)} added"
            continue
        gone.remove(before)
        at = 2 if before[2] != sql else 3
        what = told if at == 2 else f"{told}, its else:"
        yield f"{what} {_shown(before[at], quoted=False)} -> {_shown(clause[at], quoted=False)}"
    for word, name, sql, _ in gone:
        yield f"{f'{word} {name}' if name else word} {_shown(sql, quoted=False)} removed"
    if not gone and not come:
        yield "the order of gates changed"


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            # The sampling of a model is known by its own names, as it is written.
            yield from _leaves(inner, "" if key in ("sampling", "options", "settings") else f"{prefix}{key}.")
        else:
            yield prefix + key, inner


def _shown(value: Any, quoted: bool = True) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) and not quoted else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
