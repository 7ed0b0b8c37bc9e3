"""The outside of a prompt file: where it lies, its front matter, its role lines.

What stands between the role lines is text here; Jinja2 is known in `template_text` alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.frozen import dataclass

_ROLE = re.compile(r"^(system|user|assistant):[ \t]*$")
_SPLICE = re.compile(r"^messages:[ \t]*([A-Za-z_]\w*)[ \t]*$")
_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)


class TemplateProblem(Exception):
    """A prompt file that cannot be used, or a row that it cannot be rendered for.

    `line` and `column` count from 1 in the file at `path`.
    """

    def __init__(
        self,
        message: str,
        path: Path | None = None,
        line: int | None = None,
        column: int | None = None,
        help: str | None = None,
    ):
        super().__init__(message)
        self.message, self.path, self.line, self.column, self.help = message, path, line, column, help

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)
        return f"{place}: {self.message}" if place else self.message


@dataclass(frozen=True)
class Message:
    """One role and the Jinja2 text after it; `line` is that of the text's first line."""

    role: str
    text: str
    line: int


@dataclass(frozen=True)
class Splice:
    """`messages: turns`: the messages in a column stand here."""

    variable: str
    line: int
    column: int


@dataclass(frozen=True)
class Source:
    """A prompt file, taken apart."""

    description: str | None
    sampling: Mapping[str, Any]
    parts: tuple[Message | Splice, ...]
    path: Path


def locate(key: str, folders: Sequence[Path]) -> Path | None:
    """The file `key` (posix, with its ending) in the first folder that has it; None where none has.

    Never a file outside the folders, whatever `..` or links say.
    """
    if not key or key.startswith("/") or "\\" in key or "\0" in key or ".." in key.split("/"):
        return None
    for folder in folders:
        file = folder / key
        # `realpath` and not `resolve`, which takes three times as long: a check asks some hundred times.
        beneath = os.path.realpath(folder).rstrip(os.sep) + os.sep
        if file.is_file() and os.path.realpath(file).startswith(beneath):
            return file
    return None


def read_text(path: Path) -> str:
    """The text of a prompt file, with `\\n` at line ends."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TemplateProblem(
            f"not UTF-8 text (byte {error.start})", path, help="save the file as UTF-8"
        ) from None
    except OSError as error:
        raise TemplateProblem(f"cannot be read: {error.strerror}", path) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def split_source(text: str, path: Path) -> Source:
    """Front matter and parts of a prompt. Raises `TemplateProblem` with the place."""
    lines = text.split("\n")
    body = _front_matter_end(lines, path)
    description, sampling = _front_matter("\n".join(lines[1 : body - 1]), path) if body else (None, {})
    parts = _parts(lines, body, path)
    if not parts:
        raise TemplateProblem("the prompt is empty", path)
    return Source(description, sampling, tuple(parts), path)


def has_roles(text: str) -> bool:
    """Whether a role line or a splice stands in the text."""
    return any(_ROLE.match(line) or _SPLICE.match(line) for line in text.split("\n"))


def _parts(lines: Sequence[str], body: int, path: Path) -> list[Message | Splice]:
    marks = [
        (number, match)
        for number, line in enumerate(lines[body:], body)
        if (match := _ROLE.match(line) or _SPLICE.match(line))
    ]
    if not marks:
        text = "\n".join(lines[body:])
        return [Message("user", text, body + 1)] if text.strip() else []
    _blank(lines, body, marks[0][0], path, "before the first role line")
    ends = [number for number, _ in marks[1:]] + [len(lines)]
    parts: list[Message | Splice] = []
    for (number, match), end in zip(marks, ends, strict=True):
        if match.re is _ROLE:
            parts.append(Message(match[1], "\n".join(lines[number + 1 : end]), number + 2))
        else:
            parts.append(Splice(match[1], number + 1, match.start(1) + 1))
            _blank(lines, number + 1, end, path, "after `messages:`")
    return parts


def _blank(lines: Sequence[str], start: int, end: int, path: Path, where: str) -> None:
    """Nothing but comments may stand where no role is in force: it would be lost in silence."""
    if not _COMMENT.sub("", "\n".join(lines[start:end])).strip():
        return
    first = next(number for number in range(start, end) if lines[number].strip())
    mend = "put a line `system:`, `user:` or `assistant:` above it"
    raise TemplateProblem(f"text {where} belongs to no message", path, first + 1, 1, mend)


# -- front matter ------------------------------------------------------------------------


def _front_matter_end(lines: Sequence[str], path: Path) -> int:
    """The index of the first line after the front matter; 0 where there is none."""
    if lines[0].rstrip() != "---":
        return 0
    for number, line in enumerate(lines[1:], 1):
        if line.rstrip() == "---":
            return number + 1
    raise TemplateProblem("the front matter has no end", path, 1, 1, "close it with a line `---`")


def _front_matter(text: str, path: Path) -> tuple[str | None, dict[str, Any]]:
    import yaml

    try:
        try:
            root, values = _yaml(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        except yaml.YAMLError:  # said by the loader that is everywhere, so that it reads the same everywhere
            root, values = _yaml(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = (mark.line + 2, mark.column + 1) if mark else (1, 1)
        raise TemplateProblem(f"the front matter is not YAML: {error.problem}", path, *place) from None
    except yaml.YAMLError:
        raise TemplateProblem("the front matter is not YAML", path, 1, 1) from None
    except RecursionError:
        raise TemplateProblem("the front matter is nested too deeply", path, 1, 1) from None
    except (ArithmeticError, AttributeError, TypeError, ValueError):  # the loader's: a 13th month, !!int x
        raise TemplateProblem("a value of the front matter cannot be read", path, 2, 1) from None
    if root is None:
        return None, {}
    if not isinstance(root, yaml.MappingNode):
        raise TemplateProblem("the front matter must be `name: value` lines", path, 2, 1)
    seen: set[Any] = set()
    for key, _ in root.value:
        _check_setting(key.value, values, seen, path, key.start_mark.line + 2, key.start_mark.column + 1)
        seen.add(key.value)
    description = values.pop("description", None)
    return description, values


def _yaml(text: str, loader: Any) -> tuple[Any, Any]:
    """The node at the root of a text, and its value."""
    reading = loader(text)
    try:
        root = reading.get_single_node()
        return root, reading.construct_document(root) if root is not None else None
    finally:
        reading.dispose()


def _check_setting(key: Any, values: Any, seen: set[Any], path: Path, line: int, column: int) -> None:
    if key in seen:
        raise TemplateProblem(f"`{key}` is set twice", path, line, column)
    if key not in _SETTINGS:
        close = get_close_matches(str(key), _SETTINGS, 1)
        names = ", ".join(name for name in _SETTINGS if name != "description")
        raise TemplateProblem(
            f"`{key}` is not a setting of a prompt file",
            path,
            line,
            column,
            f"did you mean `{close[0]}`?" if close else f"there are a description and {names}",
        )
    wanted, fits = _SETTINGS[key]
    if not fits(values[key]):
        raise TemplateProblem(f"`{key}` must be {wanted}, not {values[key]!r}", path, line, column)


def _number(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
    )


def _whole(low: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= low


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _stops(value: Any) -> bool:
    stops = value if isinstance(value, list) else [value]
    return bool(stops) and all(isinstance(stop, str) and stop for stop in stops)


_SETTINGS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "description": ("text", lambda value: value is None or isinstance(value, str)),
    "temperature": ("a number of 0 or more", _number(0, float("inf"))),
    "top_p": ("a number from 0 to 1", _number(0, 1)),
    "max_tokens": ("a whole number above 0", _whole(1)),
    "stop": ("a text or a list of texts", _stops),
    "seed": ("a whole number", _whole(-(2**63))),
    "presence_penalty": ("a number from -2 to 2", _number(-2, 2)),
    "frequency_penalty": ("a number from -2 to 2", _number(-2, 2)),
    "reasoning_effort": ("a word such as low, medium or high", _text),
}
