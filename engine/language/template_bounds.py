"""What a prompt may not work out: texts and numbers so large that a machine ends on them.

A prompt may come from somebody else. `{{ "x" * 10 ** 10 }}` is short, and would be worked out as soon
as the file is read. Loops are bounded by what they go over, and `range` by Jinja itself.
"""

from __future__ import annotations

import re
from typing import Any

from jinja2.exceptions import SecurityError

LONGEST = 10_000_000
"""Characters, or elements, that one operation may make."""
OPERATORS = frozenset({"*", "**", "%"})
WIDENING = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs"})
_DIGITS = 10_000  # of a power
_WIDTH = re.compile(r"\d{8,}")


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
