"""What a prompt may not work out: texts and numbers so large, and loops so long, that a machine ends on them.

A prompt may come from somebody else. `{{ "x" * 10 ** 10 }}` is short, and would be worked out as soon
as the file is read. One loop is bounded by what it goes over, and `range` by Jinja itself; a loop in a
loop is not, nor is a macro that calls itself twice: the steps of one rendering are counted, since nothing
else can happen in this process while it lasts, an interruption neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

from jinja2 import nodes
from jinja2.exceptions import SecurityError

LONGEST = 10_000_000
"""Characters, or elements, that one operation may make."""
STEPS = 1_000_000
"""Turns of loops that one message may take: some seconds of it."""
CALL = 10
"""A call, which takes longer, counts as so many."""
COUNTED = "_counted"
"""The filter that is put behind what a loop goes over."""
OPERATORS = frozenset({"*", "**", "%"})
WIDENING = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs"})
_DIGITS = 10_000  # of a power
_WIDTH = re.compile(r"\d{8,}")
_taken: ContextVar[list[int]] = ContextVar("taken")


def begin() -> None:
    """A message is rendered: its steps are counted from here."""
    _taken.set([0])


def step(weight: int = 1) -> None:
    """Raises `SecurityError` where there were too many."""
    taken = _taken.get([0])
    taken[0] += weight
    if taken[0] > STEPS:
        raise SecurityError(f"it takes more than {STEPS:,} turns of loops and calls.")


def counted(values: Iterable[Any]) -> Iterator[Any]:
    """The same values, each of which is a step."""
    for value in values:
        step()
        yield value


def count_loops(tree: nodes.Template) -> None:
    """Have the turns of every loop of a template counted."""
    for loop in [*tree.find_all(nodes.For)]:
        if not (isinstance(loop.iter, nodes.Filter) and loop.iter.name == COUNTED):
            loop.iter = nodes.Filter(
                loop.iter, COUNTED, [], [], None, None, lineno=loop.iter.lineno, environment=loop.environment
            )


def bound_length(parts: Iterable[str]) -> str:
    """One text. Raises `SecurityError` where it would be longer than `LONGEST`."""
    kept: list[str] = []
    length = 0
    for part in parts:
        length += len(part)
        _bound(length)
        kept.append(part)
    return "".join(kept)


def bound_operator(operator: str, left: Any, right: Any) -> None:
    """Raises `SecurityError` where `left operator right` would come to more than `LONGEST`."""
    if operator == "*":
        for one, other in ((left, right), (right, left)):
            if isinstance(one, str | list | tuple | bytes) and isinstance(other, int):
                _bound(len(one) * other)
    elif operator == "**":
        if isinstance(left, int) and isinstance(right, int):
            _bound(left.bit_length() * right if abs(left) > 1 else 0, 4 * _DIGITS)
    elif isinstance(left, str):
        widths = right if isinstance(right, tuple) else (right,)
        _bound(LONGEST + 1 if _WIDTH.search(left) else 0)
        if "*" in left:
            _bound(max((one for one in widths if isinstance(one, int)), default=0))


def bound_call(function: Any, arguments: tuple[Any, ...]) -> None:
    """Raises `SecurityError` where a text would be made wider than `LONGEST`."""
    if isinstance(getattr(function, "__self__", None), str) and function.__name__ in WIDENING:
        _bound(max((one for one in arguments if isinstance(one, int)), default=0))


def _bound(size: int, most: int = LONGEST) -> None:
    if size > most:
        raise SecurityError("it would come to a text or a number of enormous length.")
