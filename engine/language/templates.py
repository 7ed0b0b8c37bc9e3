"""Prompt files: front matter, roles, Jinja2 in between; what one reads, and rendering it.

A prompt file is Markdown-like text. Optional YAML front matter holds a description and
sampling defaults; then come role lines (`system:`, `user:`, `assistant:`, alone on a line, the
convention of Prompty) with a Jinja2 template after each. The roles are split in the source,
before anything is rendered, so no value can forge one, and each message is a template of its
own: what one sets, another does not see. A line `messages: turns` splices a column that holds
messages. Includes are read when the template is loaded; rendering touches no file.

No call, no column and no graph is known here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.frozen import dataclass
from engine.language.remembered import Remembered, version_of
from engine.language.template_source import (
    Message,
    Source,
    Splice,
    TemplateProblem,
    locate,
    read_text,
    split_source,
)

if TYPE_CHECKING:
    from engine.language.template_text import Prompt

__all__ = ["Template", "TemplateProblem", "load"]

_ROLES = ("system", "developer", "user", "assistant", "tool")
_Stamp = tuple[str, int, int]
_loaded: dict[tuple[str, tuple[Path, ...]], tuple[dict[str, _Stamp], Template]] = {}


@dataclass(frozen=True, eq=False)
class Template:
    """A prompt file, parsed and compiled.

    `reads` are the names that must be given to `render`; `places` says where in the file each
    is first used, as (line, column) from 1. `digest` is hex over everything that can change a
    request: sampling, roles, bodies and included files, but not the description.
    """

    name: str
    path: Path
    description: str | None
    sampling: Mapping[str, Any]
    digest: str
    reads: frozenset[str]
    places: Mapping[str, tuple[int, int]]
    shows_schema: bool
    shows_failure: bool
    files: tuple[Path, ...]  # the prompt file and all that it includes
    _inside: Callable[[], tuple[Source, Prompt]] = field(repr=False)  # for rendering; a check needs none

    def render(self, values: Mapping[str, Any], schema: str = "", failure: str = "") -> list[dict[str, str]]:
        """The messages for one row: role and content, blank lines around each content removed.

        A message that comes out empty is left out. Values are text wherever they land: Jinja
        syntax or a role line in them means nothing. Raises `TemplateProblem` with the line
        where a value is missing or does not fit, and where nothing at all comes out.
        """
        given = {**values, "schema": schema, "failure": failure}
        messages: list[dict[str, str]] = []
        source, prompt = self._inside()
        for part, compiled in zip(source.parts, prompt.parts, strict=True):
            if isinstance(part, Splice):
                messages += self._spliced(part, given)
            elif content := _trimmed(compiled.render(given)):
                messages.append({"role": part.role, "content": content})
        if not messages:
            text = f"the prompt {self.name} is empty for this row: every message came out blank"
            raise TemplateProblem(text, self.path)
        return messages

    def texts(self) -> list[tuple[str, str]]:
        """The role and the Jinja2 source of each message; what is spliced in has no source."""
        return [(part.role, part.text) for part in self._inside()[0].parts if isinstance(part, Message)]

    def _spliced(self, part: Splice, given: Mapping[str, Any]) -> list[dict[str, str]]:
        def problem(text: str) -> TemplateProblem:
            return TemplateProblem(f"`messages: {part.variable}` {text}", self.path, part.line, 1)

        if part.variable not in given:
            raise problem("names a value that is not given")
        spliced: list[dict[str, str]] = []
        turns = given[part.variable]
        if not isinstance(turns, (list, tuple, type(None))):
            raise problem("needs a list of { role, content }")
        for turn in turns or ():
            if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
                raise problem("needs a list of { role, content }")
            if turn["role"] not in _ROLES:
                raise problem(f'holds a message with the unknown role "{turn["role"]}"')
            content = turn.get("content")
            if content is not None and not isinstance(content, str):
                raise problem("holds a message whose content is not text")
            if content:
                spliced.append({"role": turn["role"], "content": content})
        return spliced


def load(name: str, directories: Sequence[Path]) -> Template:
    """The prompt `name` (without `.md`) from the first of the directories that has it.

    Kept in memory until one of its files changes. Raises `TemplateProblem` where there is no
    such file or it cannot be used.
    """
    folders = tuple(Path(directory) for directory in directories)
    known = _loaded.get((name, folders))
    if known and all(_stamp(locate(key, folders)) == stamp for key, stamp in known[0].items()):
        return known[1]
    path = locate(f"{name}.md", folders)
    if path is None:
        raise _missing(name, folders)
    stamps = {f"{name}.md": _stamp(path)}
    text = read_text(path)

    @cache
    def inside() -> tuple[Source, Prompt]:
        from engine.language.template_text import compile_prompt

        source = split_source(text, path)
        return source, compile_prompt(source, f"{name}.md", folders)

    memory = _memory(os.environ.get("XDG_CACHE_HOME"))
    asked = memory.key("prompt", name, text)
    facts = memory.get(asked)
    if facts is None or any(_digest(locate(key, folders)) != digest for key, digest in facts["includes"]):
        facts = _facts(*inside())
        memory.put(asked, facts)
    included = {key: locate(key, folders) for key, _ in facts["includes"]}
    stamps |= {key: _stamp(file) for key, file in included.items()}
    places = {variable: (line, column) for variable, line, column in facts["places"]}
    template = Template(
        name=name,
        path=path,
        description=facts["description"],
        sampling=facts["sampling"],
        digest=facts["digest"],
        reads=frozenset(places),
        places=places,
        shows_schema=facts["shows_schema"],
        shows_failure=facts["shows_failure"],
        files=(path, *(file for file in included.values() if file)),
        _inside=inside,
    )
    _loaded[name, folders] = (stamps, template)
    return template


def keep() -> None:
    """Keep what was found out about prompts for the next process."""
    _memory(os.environ.get("XDG_CACHE_HOME")).keep()


@lru_cache(maxsize=4)
def _memory(folder: str | None) -> Remembered:
    """What is known of prompts; another one where the cache folder is another."""
    parts = ("templates", "template_source", "template_text")
    return Remembered("prompts", version_of(*(f"engine.language.{part}" for part in parts), "jinja2", "yaml"))


def _facts(source: Source, prompt: Prompt) -> dict[str, Any]:
    """What a check needs of a prompt, as plain JSON."""
    places: dict[str, tuple[int, int]] = {}
    for compiled in prompt.parts:
        for variable, place in compiled.reads.items():
            places[variable] = min(place, places.get(variable, place))
    shown = ("schema", "failure")
    reads = sorted((place, variable) for variable, place in places.items() if variable not in shown)
    return {
        "description": source.description,
        "sampling": dict(source.sampling),
        "digest": prompt.digest,
        "places": [[variable, line, column] for (line, column), variable in reads],
        "shows_schema": "schema" in places,
        "shows_failure": "failure" in places,
        "includes": [[key, _digest(file)] for key, file in prompt.looked_for.items()],
    }


def _digest(path: Path | None) -> str | None:
    """A hash of an included file, None where there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path is not None else None
    except OSError:
        return None


def prompts_in(folder: str, directories: Sequence[Path]) -> list[str]:
    """Names of the prompts that lie in a folder, of all the directories, in alphabetical order.

    `README.md` is about them, and a file whose name begins with `_` is for including.
    """
    found = {
        f"{folder.strip('/')}/{file.stem}"
        for directory in directories
        for file in Path(directory, folder).glob("*.md")
        if file.name != "README.md" and not file.name.startswith("_")
    }
    return sorted(found)


def _missing(name: str, folders: Sequence[Path]) -> TemplateProblem:
    existing = sorted(
        {
            file.relative_to(folder).with_suffix("").as_posix()
            for folder in folders
            if folder.is_dir()
            for file in folder.rglob("*.md")
        }
    )
    plain = name.removeprefix("./").removeprefix("prompts/").removesuffix(".md")
    if plain != name and plain in existing:
        help = f'prompts are named from their folder on, without the ending: "{plain}"'
        return TemplateProblem(f'there is no prompt "{name}"', help=help)
    close = (
        get_close_matches(name, existing, 2, 0.75)
        or [other for other in existing if other.rsplit("/", 1)[-1] == name.rsplit("/", 1)[-1]][:3]
    )
    for folder in folders:
        if (there := folder / f"{name}.md").is_dir():
            message = f'the prompt "{name}" is a folder: {os.path.relpath(there)}'
            return TemplateProblem(message, help="a prompt is a text file; rename the folder")
    where = " or ".join(f"{os.path.relpath(folder)}/{name}.md" for folder in folders) or f"{name}.md"
    return TemplateProblem(
        f'there is no prompt "{name}"',
        help=f"did you mean {' or '.join(close)}?" if close else f"write it as {where}",
    )


def _stamp(path: Path | None) -> _Stamp:
    if path is None:
        return ("", 0, 0)
    status = path.stat()
    return (str(path), status.st_mtime_ns, status.st_size)


def _trimmed(text: str) -> str:
    """Without blank lines at either end; the indentation of the first line stays."""
    text = text.rstrip()
    start = 0
    while (end := text.find("\n", start)) >= 0 and not text[start:end].strip():
        start = end + 1
    return text[start:]
