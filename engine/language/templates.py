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

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.language.template_source import (
    Message,
    Source,
    Splice,
    TemplateProblem,
    locate,
    read_text,
    split_source,
)
from engine.language.template_text import Compiled, Prompt, compile_prompt

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
    _parts: tuple[Message | Splice, ...] = field(repr=False)
    _compiled: tuple[Compiled, ...] = field(repr=False)

    def render(self, values: Mapping[str, Any], schema: str = "", failure: str = "") -> list[dict[str, str]]:
        """The messages for one row: role and content, blank lines around each content removed.

        A message that comes out empty is left out. Values are text wherever they land: Jinja
        syntax or a role line in them means nothing. Raises `TemplateProblem` with the line
        where a value is missing or does not fit, and where nothing at all comes out.
        """
        given = {**values, "schema": schema, "failure": failure}
        messages: list[dict[str, str]] = []
        for part, compiled in zip(self._parts, self._compiled, strict=True):
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
        return [(part.role, part.text) for part in self._parts if isinstance(part, Message)]

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
    source = split_source(read_text(path), path)
    compiled = compile_prompt(source, f"{name}.md", folders)
    stamps |= {key: _stamp(file) for key, file in compiled.looked_for.items()}
    template = _assemble(name, path, source, compiled)
    _loaded[name, folders] = (stamps, template)
    return template


def _assemble(name: str, path: Path, source: Source, prompt: Prompt) -> Template:
    places: dict[str, tuple[int, int]] = {}
    for compiled in prompt.parts:
        for variable, place in compiled.reads.items():
            places[variable] = min(place, places.get(variable, place))
    shows_schema, shows_failure = "schema" in places, "failure" in places
    reads = {variable: place for variable, place in places.items() if variable not in ("schema", "failure")}
    return Template(
        name=name,
        path=path,
        description=source.description,
        sampling=source.sampling,
        digest=prompt.digest,
        reads=frozenset(reads),
        places=dict(sorted(reads.items(), key=lambda item: (item[1], item[0]))),
        shows_schema=shows_schema,
        shows_failure=shows_failure,
        files=(path, *(file for file in prompt.looked_for.values() if file)),
        _parts=source.parts,
        _compiled=prompt.parts,
    )


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
