"""How Sphinx builds the manual: `python -m sphinx -W -b html docs build/manual`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import ClassVar

from pygments.lexer import RegexLexer, bygroups, using
from pygments.lexers.sql import SqlLexer
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Text

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine import __version__

project = "atk"
author = "the atk authors"
release = __version__
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "atk"
suppress_warnings = ["misc.highlighting_failure"]  # fragments of JSON and output are no whole files


class AtkLexer(RegexLexer):  # type: ignore[misc]
    """Colours for graph files; the grammar itself is in grammar/atk.lark."""

    name = "atk"
    aliases: ClassVar[list[str]] = ["atk"]
    filenames: ClassVar[list[str]] = ["*.atk"]
    tokens: ClassVar = {
        "root": [
            (r"##[^\n]*", String.Doc),
            (r"#[^\n]*", Comment.Single),
            (r'(""")((?:.|\n)*?)(""")', bygroups(String, using(SqlLexer), String)),
            (r'"(\\[^\n]|[^"\\\n])*"', String),
            (r"\b(where|let|check|keep|expect|until|else|given)\b", Keyword),
            (r"^\s*(use|param|type|model|profile|graph|test|return)\b", Keyword.Declaration),
            (r"\b(from|as)\b", Keyword.Declaration),
            (r"\b(and|or|not|in)\b", Operator.Word),
            (r"\b(true|false|null)\b", Keyword.Constant),
            (r"\b(str|int|float|bool|path)\b", Keyword.Type),
            (r"\d[\d_]*(\.\d+)?([eE][+-]?\d+)?", Number),
            (r"->|==|!=|<=|>=|\|\||[-+*/%<>=|?]", Operator),
            (r"[{}()\[\],.:]", Punctuation),
            (r"`[^`\n]+`|[A-Za-z_]\w*", Name),
            (r"\s+", Text.Whitespace),
            (r".", Text),
        ]
    }


PAGES = (
    "quickstart tutorial graphs language clauses expressions kinds/index models training commands"
    " recipes/index testing store costs projects python editors lint errors benchmarks scale decisions/index"
).split()


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.add_lexer("atk", AtkLexer)  # type: ignore[attr-defined]
    app.connect("source-read", as_a_site)  # type: ignore[attr-defined]


def as_a_site(_app: object, page: str, source: list[str]) -> None:
    """What reads well in a folder of files, made fit for a site.

    Marks behind a fence's language are for the tests; files outside the manual are named and not
    linked; a table of contents is only of use here.
    """
    named = r"^```(\w+)(?: more)? (\S+\.\w+)$"
    text = re.sub(named, r"```{code-block} \1\n:caption: \2\n", source[0], flags=re.MULTILINE)
    text = re.sub(r"^```(\w+) [^\n]*$", r"```\1", text, flags=re.MULTILINE)
    outside = r"\.\./" * (page.count("/") + 1)
    text = re.sub(rf"\[([^\]]+)\]\({outside}[^)]*\)", r"\1", text)
    if page == "index":
        text += "\n```{toctree}\n:hidden:\n\n" + "\n".join(PAGES) + "\n```\n"
    beside = [one for one in (Path(__file__).parent / page).parent.glob("*.md") if one.stem != "index"]
    if page.endswith("/index") and beside:
        text += "\n```{toctree}\n:glob:\n\n*\n```\n"
    source[0] = text
