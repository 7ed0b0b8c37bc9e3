"""Renaming what a graph declares, wherever it is named: in queries, in other files, in ids.

What would break something is not done: the changed texts are checked before anything is handed
to the editor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from engine.editor.analysis import Analysis, index_of
from engine.editor.index import Mention, Symbol
from engine.frozen import dataclass
from engine.language.diagnostics import Diagnostic, Span

SORTS = frozenset({"node", "graph", "param", "slot", "let", "type", "model", "profile", "alias"})
NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
MOST_FILES = 500


class NotRenamed(Exception):
    """Why a word stays as it is, for the person who asked."""


@dataclass(frozen=True)
class Edit:
    """A word to replace, in one file."""

    path: Path
    span: Span


def renamable(analysis: Analysis, mention: Mention) -> None:
    """Raises `NotRenamed` where a word is not the project's own to name."""
    symbol = mention.symbol
    if symbol.sort not in SORTS or symbol.file is None:
        raise NotRenamed(f"`{symbol.name}` is not declared in a graph, so it cannot be renamed here")


def edits(
    analysis: Analysis, mention: Mention, name: str, texts: Mapping[Path, str], root: Path
) -> list[Edit]:
    """Every place that names what `mention` names. `texts` are those open in the editor.

    Raises `NotRenamed`.
    """
    renamable(analysis, mention)
    if not NAME.fullmatch(name):
        raise NotRenamed(f"`{name}` cannot be a name: letters, digits and underscores, a letter first")
    symbol = mention.symbol
    found: list[Edit] = []
    for path in dict.fromkeys([analysis.file.path, *project(root, symbol)]):
        index = analysis.index if path == analysis.file.path else index_of(path, texts, root)
        places = dict.fromkeys(
            (one.span.line, one.span.column, one.span.width) for one in index.mentions if one.symbol == symbol
        )
        spans = {(one.span.line, one.span.column, one.span.width): one.span for one in index.mentions}
        found += [Edit(path, spans[place]) for place in places]
    return found


def project(root: Path, symbol: Symbol) -> list[Path]:
    """Graph files that may name a symbol: those of the project, the one that declares it first."""
    assert symbol.file is not None
    if symbol.sort in ("let", "slot", "profile", "alias") or (symbol.sort == "node" and symbol.within):
        return [symbol.file]
    hidden = {".venv", ".git", "node_modules", ".atk"}
    found = [
        path.resolve()
        for path in sorted(root.rglob("*.atk"))[:MOST_FILES]
        if not hidden & set(path.relative_to(root).parts)
    ]
    return [symbol.file, *found]


def applied(text: str, spans: list[Span], name: str) -> str:
    """A text with a word put in at each place."""
    lines = text.split("\n")
    for span in sorted(spans, key=lambda one: (one.line, one.column), reverse=True):
        line = lines[span.line - 1]
        lines[span.line - 1] = line[: span.column - 1] + name + line[span.column - 1 + span.width :]
    return "\n".join(lines)


def renamed(
    analysis: Analysis, mention: Mention, name: str, texts: Mapping[Path, str], root: Path
) -> dict[Path, list[Span]]:
    """The places to change, by file, after a look at what the changed files would mean.

    Raises `NotRenamed`, also where a graph would have an error that it does not have now.
    """
    places: dict[Path, list[Span]] = {}
    for one in edits(analysis, mention, name, texts, root):
        places.setdefault(one.path, []).append(one.span)
    after = dict(texts)
    for path, spans in places.items():
        text = texts.get(path)
        after[path] = applied(path.read_text(encoding="utf-8") if text is None else text, spans, name)
    for path in places:
        wrong = newly_wrong(
            Analysis.of(path, texts, root).program.diagnostics,
            Analysis.of(path, after, root).program.diagnostics,
        )
        if wrong is not None:
            where = f"{wrong.span.path}:{wrong.span.line}"
            raise NotRenamed(f"`{name}` would break something: {wrong.message} ({where})")
    return places


def newly_wrong(before: list[Diagnostic], after: list[Diagnostic]) -> Diagnostic | None:
    """The first error that was not there before."""
    known = {(one.code, one.span.path, one.span.line) for one in before}
    for one in after:
        if one.severity == "error" and (one.code, one.span.path, one.span.line) not in known:
            return one
    return None
