"""What of a node is not as it was, in words: `template draft: 3 lines changed`, `param size: 600 -> 800`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import takewhile
from typing import Any

Parts = Mapping[str, str]  # part -> its fingerprint, as `statics.parts_of` gives them
LONGEST = 40  # characters of a value that are shown
CONTEXT = 12  # of them before the first difference, where that stands further back
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
    if name == "expressions":
        keys = [key for key in dict.fromkeys([*old, *new]) if _sql(old.get(key)) != _sql(new.get(key))]
        return [_edited(f"{key}:", old.get(key), new.get(key)) for key in keys]
    if isinstance(old, dict) and isinstance(new, dict):
        before, after = dict(_leaves(old)), dict(_leaves(new))
        keys = [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]
        own, colon = (f"{name}: ", "") if sort in ("model", "sections") else ("", ":")
        return [f"{own}{key}{colon} {_change(before.get(key), after.get(key))}" for key in keys]
    return [f"{name}: {_change(old, new)}"]


def _lines_changed(old: list[str], new: list[str]) -> int:
    moves = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return sum(max(b - a, d - c) for tag, a, b, c, d in moves if tag != "equal")


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            # The sampling of a model is known by its own names, as it is written.
            yield from _leaves(inner, "" if key in ("sampling", "options", "settings") else f"{prefix}{key}.")
        else:
            yield prefix + key, inner


# -- expressions: as `kinds.static.written` gives them ----------------------------------------------
#
# One is [SQL, text, params]; a gate has its word, name and `else` around the SQL. The account of an
# older store has no text: then the SQL is all there is to show.


def _gates(old: Sequence[list[Any]], new: Sequence[list[Any]]) -> Iterator[str]:
    """Clauses that came and went; one of each, of the same word, is one that was edited."""
    gone = [gate for gate in old if gate[:4] not in [one[:4] for one in new]]
    come = [gate for gate in new if gate[:4] not in [one[:4] for one in old]]
    if not gone and not come:
        yield "the order of gates changed"
    for gate in come:
        before = next((one for one in gone if one[:2] == gate[:2]), None)
        if before is None:
            yield f"{_named(gate)} {_short(_text(_expression(gate)))} added"
            continue
        gone.remove(before)
        if before[2] != gate[2]:
            yield _edited(_named(gate), _expression(before), _expression(gate))
        else:
            yield f"{_named(gate)}, its else: {_change(before[3], gate[3], quoted=False)}"
    for gate in gone:
        yield f"{_named(gate)} {_short(_text(_expression(gate)))} removed"


def _named(gate: Sequence[Any]) -> str:
    word, name = gate[:2]
    return f"{word} {name}" if name else str(word)


def _expression(gate: Sequence[Any]) -> list[Any]:
    return [gate[2], *gate[4:]]


def _edited(told: str, old: Any, new: Any) -> str:
    """An expression before and after; where only params in it were set otherwise, these."""
    before, after = _text(old), _text(new)
    params = [
        f"{name} {_change(_params(old)[name], value)}"
        for name, value in _params(new).items()
        if name in _params(old) and _params(old)[name] != value
    ]
    if before != after:
        return f"{told} {_change(before, after, quoted=False)}" + (
            f" ({', '.join(params)})" if params else ""
        )
    if params:
        return f"{told} {_short(after or '')}: {', '.join(params)}"
    return f"{told} {_change(_sql(old), _sql(new), quoted=False)}"


def _sql(written: Any) -> str | None:
    found = written[0] if isinstance(written, list) else written
    return None if found is None else str(found)


def _text(written: Any) -> str | None:
    return str(written[1]) if isinstance(written, list) and len(written) > 1 else _sql(written)


def _params(written: Any) -> Mapping[str, Any]:
    return written[2] if isinstance(written, list) and len(written) > 2 else {}


# -- values -------------------------------------------------------------------------------------------


def _change(old: Any, new: Any, quoted: bool = True) -> str:
    """`600 -> 800`. Of long ones, what stands about the first difference."""
    if isinstance(old, str) and isinstance(new, str) and old.split() != new.split():
        old, new = " ".join(old.split()), " ".join(new.split())
    before, after = _plain(old, quoted), _plain(new, quoted)
    if max(len(before), len(after)) > LONGEST:
        alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, after, strict=False)))
        start = max(alike - CONTEXT, 0)
        start = before.rfind(" ", 0, start) + 1 or start
        if start:
            before, after = "…" + before[start:], "…" + after[start:]
    return f"{_short(before)} -> {_short(after)}"


def _plain(value: Any, quoted: bool) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) and not quoted else json.dumps(value, ensure_ascii=False)


def _short(text: str | None) -> str:
    text = " ".join((text or "none").split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
