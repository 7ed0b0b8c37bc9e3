"""The manual is true: its graphs check, its commands run, and nothing that is built is left out.

Conventions. A fenced block marked `atk` is a whole graph and must check without an error; `atk more`
goes on from the blocks before it, back to the last `atk`, and is checked with them; `atk fragment`
must parse. What `check` has to say of a block marked `atk error` is, to the letter, the `text error`
block after it. A `python` block must compile, one marked `python run` is executed; one that begins
with a comment that is a path is that file, for the graphs of its page.

A block marked `sh run` is executed, the blocks of one page in order and in one folder, with the
stand-in; one marked `sh` is shown only. A `text output` block after it is what it printed, with
numbers of seconds as `…`. A mark that ends in a file's name (`atk first.atk`, `markdown
prompts/judge.md`) writes that file there; with `more`, its text is added.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.kinds import manual, registry
from engine.language import check
from engine.language.diagnostics import render
from engine.language.program import Program

HOUSE = Path(__file__).parents[1]
PAGES = [
    HOUSE / "README.md",
    *(page for page in sorted((HOUSE / "docs").rglob("*.md")) if "decisions" not in page.parts),
]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.M | re.S)


FILE = re.compile(r"(.+) ([\w/-]+\.\w+)")
SECONDS = re.compile(r"\b\d+(\.\d+)? s\b")


class Block(NamedTuple):
    page: Path
    line: int
    mark: str
    text: str
    file: str | None  # the file that it is, or is a part of

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        named = FILE.fullmatch(match[1].strip())
        mark, file = (named[1], named[2]) if named else (match[1].strip(), None)
        found.append(Block(page, text.count("\n", 0, match.start()) + 1, mark, match[2], file))
    return found


EVERY = [block for page in PAGES for block in blocks(page)]
KINDS = registry()


def marked(*marks: str) -> list[Block]:
    return [block for block in EVERY if block.mark in marks]


def whole(block: Block) -> str:
    """The graph that a block ends: itself, and for `atk more` those it goes on from."""
    if block.mark == "atk error":
        return block.text
    before = [other for other in blocks(block.page) if other.line <= block.line]
    pieces: list[str] = []
    for other in before:
        if other.mark == "atk":
            pieces = [other.text]
        elif other.mark == "atk more":
            pieces.append(other.text)
    return "\n".join(pieces)


def complaints(block: Block, folder: Path) -> list[str]:
    """What `check` has to say about a block, in a folder that holds the files of its page."""
    return [f"{found.code}: {found.message}" for found in checked(block, folder).diagnostics]


def checked(block: Block, folder: Path) -> Program:
    for other in blocks(block.page):
        if other.mark == "python" and (named := re.match(r"# (\w+/\w+\.py)\n", other.text)):
            (folder / named[1]).parent.mkdir(exist_ok=True)
            (folder / named[1]).write_text(other.text, encoding="utf-8")
        if other.file is not None and other.page == block.page:
            write(other, folder)
    path = folder / "page.atk"
    path.write_text(whole(block), encoding="utf-8")
    prompts = [folder / "prompts", HOUSE / "prompts"]
    return check(
        path, registry(), environment={}, root=folder, prompts=prompts, graphs=[HOUSE / "graphs"], tests=True
    )


def write(block: Block, folder: Path) -> None:
    """Make the file that a block is, or add to it."""
    path = folder / str(block.file)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a" if block.mark.endswith(" more") else "w", encoding="utf-8") as file:
        file.write(block.text)


# -- graphs ---------------------------------------------------------------------------


@pytest.mark.parametrize("block", marked("atk", "atk more"), ids=str)
def test_graphs_check(block: Block, tmp_path: Path) -> None:
    assert complaints(block, tmp_path) == []


@pytest.mark.parametrize("block", marked("atk fragment"), ids=str)
def test_fragments_parse(block: Block) -> None:
    from engine.language.syntax import parse

    assert parse(block.text).errors == ()


@pytest.mark.parametrize("block", marked("atk error"), ids=str)
def test_mistakes_are_told_as_shown(block: Block, tmp_path: Path) -> None:
    shown = next(other for other in blocks(block.page) if other.line > block.line)
    assert shown.mark == "text error"
    assert "\n\n".join(map(render, checked(block, tmp_path).diagnostics)) == shown.text.rstrip("\n")


def test_marks_are_known() -> None:
    known = {
        "",
        "atk",
        "atk more",
        "atk fragment",
        "atk error",
        "sh",
        "sh run",
        "python",
        "python run",
        "sql",
    }
    known |= {"text", "text error", "text output", "markdown", "mermaid"}
    assert {block.mark for block in EVERY} <= known


@pytest.mark.parametrize("block", marked("python", "python run"), ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


def test_python_uses_the_public_face() -> None:
    import atk

    used = {
        name for block in marked("python", "python run") for name in re.findall(r"\batk\.(\w+)", block.text)
    }
    assert used
    assert used <= set(atk.__all__)


# -- nothing is left out --------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_kinds_are_explained(kind: str) -> None:
    """Each has a page, with its settings and an example of its own."""
    text = (HOUSE / f"docs/kinds/{kind}.md").read_text(encoding="utf-8")
    assert f"<!-- generated: {kind} -->" in text
    assert KINDS[kind].unwritten or re.search(rf"^{kind} \w+", text, re.M), "an example is missing"


@pytest.mark.parametrize("page", [*sorted((HOUSE / "docs/kinds").glob("*.md")), HOUSE / "docs/models.md"])
def test_tables_of_settings_are_renewed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert manual.renewed(text, manual.makers()) == text, "run python -m engine.kinds.manual"


def test_the_page_of_commands_is_renewed() -> None:
    from engine.commands import VERBS, _manual

    text = (HOUSE / "docs/commands.md").read_text(encoding="utf-8")
    assert manual.renewed(text, _manual.makers()) == text, "run python -m engine.commands._manual"
    for verb in VERBS:
        said = re.search(rf"^## {verb}\n\n((?:.+\n)+)\n<!-- generated: {verb} -->", text, re.M)
        assert said, f"docs/commands.md says nothing on when to use `{verb}`"


def test_the_params_of_shipped_graphs_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.commands import _manual

    monkeypatch.chdir(HOUSE)
    text = (HOUSE / "docs/graphs.md").read_text(encoding="utf-8")
    for graph in sorted((HOUSE / "graphs").glob("*.atk")):
        assert f"<!-- generated: params of {graph.stem} -->" in text
    assert manual.renewed(text, _manual.shipped(text)) == text, "run python -m engine.commands._manual"


def test_every_page_is_listed() -> None:
    """Reached from the index, by the links that a reader follows."""
    reached, ahead = set(), [HOUSE / "docs/index.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8"))
        ahead += [path for link in links if (path := (page.parent / link).resolve()).exists()]
    assert set(PAGES[1:]) - reached == set()


def test_every_command_is_named() -> None:
    from engine.commands import VERBS

    text = (HOUSE / "docs/index.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"`atk {verb}" not in text] == []


def test_links_lead_somewhere() -> None:
    lost = []
    for page in PAGES:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        lost += [
            f"{page.name}: {target}"
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", text)
            if "://" not in target and not (page.parent / target).exists()
        ]
    assert lost == []


def test_anchors_lead_somewhere() -> None:
    lost = []
    for page in PAGES:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([\w-]+)\)", page.read_text(encoding="utf-8")):
            there = (page.parent / target if target else page).read_text(encoding="utf-8")
            titles = re.findall(r"^#+ (.+)$", there, re.M)
            if anchor not in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}:
                lost.append(f"{page.name}: {target}#{anchor}")
    assert lost == []


def test_the_picture_is_that_of_the_graph(tmp_path: Path) -> None:
    drawn = shell("bin/atk graph graphs/quickstart.atk", workplace(tmp_path)).stdout
    shown = [block.text for block in blocks(HOUSE / "README.md") if block.mark == "mermaid"]
    assert [text.strip() for text in shown] == [drawn.strip()]


@pytest.mark.slow
def test_the_manual_builds_as_a_site(tmp_path: Path) -> None:
    """Without a warning: every link leads somewhere, every page is listed."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", "-d", str(tmp_path / "trees")]
    done = subprocess.run(
        [*command, str(HOUSE / "docs"), str(tmp_path / "site")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "<span" in (tmp_path / "site" / "tutorial.html").read_text(encoding="utf-8")


# -- commands -------------------------------------------------------------------------


def workplace(folder: Path) -> Path:
    """A folder like a fresh clone, whose `bin/atk` is this interpreter's."""
    for part in ("graphs", "prompts"):
        shutil.copytree(HOUSE / part, folder / part)
    command = folder / "bin" / "atk"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m engine.commands "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return folder


def shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ATK_", "OPENAI_"))}
    return subprocess.run(
        ["sh", "-eu", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env={**kept, "PYTHONPATH": str(HOUSE), "NO_COLOR": "1", "PATH": f"{folder}/bin:{os.environ['PATH']}"},
    )  # fmt: skip


def test_the_printed_run_is_that_of_the_graph() -> None:
    """What README shows of a run lists the nodes that the graph has, in its order."""
    shown = next(block.text for block in blocks(HOUSE / "README.md") if block.mark == "text")
    table = shown.partition("  node ")[2].partition("\nwrote\n")
    program = check(
        HOUSE / "graphs/quickstart.atk", registry(), environment={}, root=HOUSE,
        prompts=[HOUSE / "prompts"], graphs=[HOUSE / "graphs"],
    )  # fmt: skip
    listed = [line.split()[0] for line in table[0].splitlines()[1:]]
    assert sorted(listed) == sorted(program.nodes)
    for node in program.nodes.values():
        if node.kind == "emit":
            assert node.settings.model_dump()["path"] in table[2]


@pytest.mark.slow
@pytest.mark.parametrize("block", marked("python run"), ids=str)
def test_python_runs(block: Block, tmp_path: Path) -> None:
    folder = workplace(tmp_path)
    (folder / "page.py").write_text(block.text, encoding="utf-8")
    done = shell(f'"{sys.executable}" page.py', folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(b.mark == "sh run" for b in blocks(page))], ids=lambda p: p.name
)
def test_commands_run(page: Path, tmp_path: Path) -> None:
    folder = workplace(tmp_path)
    said = ""
    for block in blocks(page):
        if block.file is not None:
            write(block, folder)
        elif block.mark == "text output":
            assert SECONDS.sub("… s", said) == block.text, str(block)
        elif block.mark == "sh run":
            done = shell(block.text, folder)
            said = done.stdout
            assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            assert "Traceback" not in done.stderr
            assert said.strip() or "mv " in block.text or "sed " in block.text, f"{block} says nothing"
