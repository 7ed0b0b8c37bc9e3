"""`atk graph --html`: one file that fetches nothing, escapes everything and works in a browser."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest

from engine.commands import main
from tests.project import Project

EVIL = "</script><script>document.title='broken'</script><img src=x onerror=alert(1)>"
GRAPH = f"""
## What it does. {EVIL}

type Document {{ path: str, title: str?, text: str }}
type Verdict {{
  why: str   ## Reasons come first. {EVIL}
  ok: bool
}}

model asked from default {{ temperature = 0.5 }}

source documents -> Document[] {{ path = "inputs" }}
graph cut(rows: Document[]) -> Document[] {{
  chunk pieces from rows {{ size = 1_000 }}
  sql kept {{ query = "FROM pieces WHERE text <> '{EVIL.replace("'", "")}'" }}
  return kept
}}
cut passages from documents
## Judged. {EVIL}
prompt checked from passages -> Verdict {{
  template = "worthy"
  model = asked
  check why != "" else "{EVIL}"
  keep ok
}}
emit written from checked {{
  path = "out/written.jsonl"
  format = "text"
}}
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    found = Project(tmp_path, monkeypatch)
    found.graph(text=GRAPH)
    prompt = f"Is {{{{ text }}}} worth it? {EVIL}"
    found.write("prompts/worthy.md", f"system:\n{prompt}\n{{{{ schema }}}}\n\nuser:\nGo on.\n")
    monkeypatch.chdir(tmp_path)
    return found


def drawn(capsys, *arguments, code=0):
    assert main(["graph", "graph.atk", "--html", *arguments]) == code
    return capsys.readouterr()


class Elements(HTMLParser):
    """Every element with its attributes; and that all are closed in order."""

    void = frozenset({"meta", "br", "input", "img"})

    def __init__(self):
        super().__init__()
        self.open, self.found = [], []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def elements(text):
    parser = Elements()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser.found


def test_it_stands_alone_and_nothing_breaks_out(project, capsys):
    drawn(capsys)
    text = Path("graph.html").read_text()
    found = elements(text)
    assert [tag for tag, _ in found].count("script") == 1
    assert not any(tag in ("img", "link", "iframe", "object") for tag, _ in found)
    links = [
        value for _, attributes in found for name, value in attributes.items() if name in ("src", "href")
    ]
    assert all(link.startswith("#node=") for link in links)
    assert not any(name.startswith("on") for _, attributes in found for name in attributes)
    assert text.count(EVIL) == 0
    assert re.findall(r"url\((?!#head\))", text) == []
    assert "&lt;/script&gt;" in text


def test_a_page_is_written_whole_or_not_at_all(project, capsys, monkeypatch):
    drawn(capsys, "one.html")
    before = Path("one.html").read_text()
    replace = Path.replace

    def full(path, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", full)
    for name in ("one.html", "two.html"):
        told = drawn(capsys, name, code=2)
        assert told.out == ""
        assert told.err.startswith(f"error: {name} cannot be written: no space left on device\nhelp: ")
    monkeypatch.setattr(Path, "replace", replace)
    assert Path("one.html").read_text() == before
    assert sorted(path.name for path in Path.cwd().glob("*.part")) == []
    assert not Path("two.html").exists()
    Path("pages").mkdir()
    assert drawn(capsys, "pages", code=2).err.startswith("error: pages is a folder\nhelp: name a file in it")
    Path("file").write_text("")
    assert drawn(capsys, "file/one.html", code=2).err.startswith("error: file/one.html cannot be written: ")


def test_without_a_run(project, capsys):
    assert drawn(capsys, "pages/one.html").out == "pages/one.html\n"
    text = Path("pages/one.html").read_text()
    assert "never run" in text
    for name in ("documents", "passages", "passages.pieces", "checked", "written"):
        assert f'<article id="node={name}"' in text
    assert "<mark>{{ text }}</mark>" in text
    assert "<b>system:</b>" in text
    assert "temperature = 0.5" in text
    assert "<code>out/written.jsonl</code>" in text
    assert "Reasons come first." in text
    assert str(project.root) not in text


def test_after_runs(project, capsys):
    project.run()
    drawn(capsys)
    text = Path("graph.html").read_text()
    assert 'class="node asks changed" href="#node=checked"' in text
    rows = project.rows("SELECT count(*) FROM checked")[0][0]
    assert f"<b>{rows}</b> rows" in text
    project.run()
    drawn(capsys)
    again = Path("graph.html").read_text()
    assert 'class="node asks unchanged" href="#node=checked"' in again
    assert "<b>0</b> calls in the last run" in again


def test_failed_rows_show(project, capsys):
    text = (project.root / "graph.atk").read_text()
    project.graph(text=text.replace('check why != ""', "check why == path"))
    project.run()
    drawn(capsys)
    assert 'class="node asks failed" href="#node=checked"' in Path("graph.html").read_text()


@pytest.mark.parametrize("fault", ["no database", "another's", "cut short", "a folder", "held"])
def test_a_store_that_cannot_be_read_does_not_keep_a_graph_from_being_drawn(
    fault, project, capsys, monkeypatch
):
    project.run()
    store = project.root / ".atk" / "store.duckdb"
    assert store.is_file()
    before = store.read_bytes()
    held = contextlib.nullcontext()
    if fault == "no database":
        store.write_bytes(b"no database at all" * 500)
    elif fault == "another's":
        store.unlink()
        with duckdb.connect(store) as other:
            other.execute("CREATE TABLE one AS SELECT 1")
    elif fault == "cut short":
        store.write_bytes(before[: len(before) // 8])
    elif fault == "a folder":
        store.unlink()
        store.mkdir()
    else:
        monkeypatch.setattr("engine.store.reader.HANDOVER", 0.1)
        held = holding(store)
    with held:
        told = drawn(capsys)
    assert told.out == "graph.html\n"
    assert told.err.startswith("warning: drawn without rows and costs: ")
    text = Path("graph.html").read_text()
    assert "5 nodes · the store could not be read" in text
    assert "never run" not in text
    assert 'class="node asks unknown" href="#node=checked"' in text
    elements(text)


@contextlib.contextmanager
def holding(store):
    """Another process that writes to the store, and is no engine."""
    code = f"import duckdb; held = duckdb.connect({str(store)!r}); print(1, flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout.readline() == "1\n"
        yield
        other.communicate("\n")


def test_a_graph_with_errors_is_not_drawn(project, capsys):
    (project.root / "graph.atk").write_text(GRAPH.replace("from documents", "from nowhere"))
    told = drawn(capsys, code=2)
    assert "nowhere" in told.err
    assert not Path("graph.html").exists()


def test_a_file_without_html(project, capsys):
    assert main(["graph", "graph.atk", "page.html"]) == 2
    assert "--html page.html" in capsys.readouterr().err


# -- colours ---------------------------------------------------------------------------------------


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_on_every_colour(scheme):
    css = (Path(__file__).parents[1] / "engine/commands/picture/page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.S)
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme == "dark"]))
    for ground in ("paper", "panel", "reads", "asks", "shapes", "writes", "trains"):
        assert contrast(colours["ink"], colours[ground]) >= 7
        assert contrast(colours["soft"], colours[ground]) >= 4.5
    for state in ("changed", "unchanged", "failed", "running", "never", "unknown"):
        assert contrast(colours[state], colours["on-state"]) >= 4.5
    for ground in ("paper", "panel"):
        assert contrast(colours["accent"], colours[ground]) >= 4.5
    for kind in ("reads", "asks", "shapes", "writes", "trains"):
        assert contrast(colours[f"{kind}-line"], colours["paper"]) >= 3


# -- in a browser -----------------------------------------------------------------------------------

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def browse(folder, url, *options):
    """Headless Chromium on one page, which it must show within a minute; gives stdout and stderr."""
    if CHROMIUM is None:
        if os.environ.get("ATK_TEST_BROWSER"):
            pytest.fail("ATK_TEST_BROWSER is set, and there is no chromium")
        pytest.skip("there is no chromium here")
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", "--enable-logging=stderr", "--window-size=1200,800",
            f"--user-data-dir={folder / 'profile'}", *options, url,
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert ":CONSOLE" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_browser_opens_the_node_that_the_address_names(project, capsys, tmp_path_factory):
    project.run()
    drawn(capsys)
    url = (project.root / "graph.html").as_uri()
    folder = tmp_path_factory.mktemp("browser")
    dom = browse(folder, url + "#node=checked", "--dump-dom")
    assert '<html lang="en" class="live">' in dom
    assert re.search(r'<article id="node=checked"[^>]* class="open"', dom)
    assert not re.search(r'<article id="overview"[^>]* class="open"', dom)
    assert re.search(r'<a class="node asks changed chosen"[^>]*data-node="checked"', dom)
    assert dom.count('class="edge near"') == 2
    assert "<title>graph · atk</title>" in dom
    browse(folder, url, f"--screenshot={folder / 'page.png'}")
    import zlib

    png = (folder / "page.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    pixels = zlib.decompress(b"".join(png[at + 8 : at + 8 + size] for at, size in idat(png)))
    assert len(set(pixels[:: len(pixels) // 200_000 or 1])) > 20


# What a person does on a page, one step a line; `said` gathers what the page shows after it.
STEPS = """
const key = (target, name) =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true, cancelable: true }));
const one = (what) => document.querySelector(what), search = one("#search"), body = document.body;
const wide = () => Math.round(one("#picture").viewBox.baseVal.width);
const open = () => [...document.querySelectorAll("article.open")].map((found) => found.id).join();
const settle = () => new Promise((done) => setTimeout(done, 100));
const look = (words) => { search.value = words; search.dispatchEvent(new Event("input")); };
addEventListener("load", async () => {
  const said = {}, whole = wide();
  key(body, "+"); said.closer = wide() < whole;
  key(body, "0"); said.whole = wide() === whole;
  key(body, "-"); said.farther = wide() > whole;
  key(body, "0");
  key(body, "/"); said.slash = document.activeElement.id;
  look("step_15"); said.found = one("#found").textContent;
  key(search, "Enter"); await settle(); said.first = open(); said.near = wide() < whole / 3;
  dispatchEvent(new Event("resize")); said.kept = wide() < whole / 3;
  key(search, "Enter"); await settle(); said.second = open();
  key(search, "Escape"); said.emptied = search.value + document.querySelectorAll(".faint").length;
  key(body, "Escape"); await settle(); said.closed = open(); said.focus = document.activeElement.dataset.node;
  key(body, "0");
  const node = one('[data-node="step_042"]');
  node.focus(); said.stops = [...document.querySelectorAll("a.node")].every((each) => each.tabIndex === 0);
  node.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true, detail: 1 })); await settle();
  said.clicked = open(); said.stays = wide() === whole;
  const shown = document.createElement("pre"); shown.id = "said";
  shown.textContent = JSON.stringify(said); body.append(shown);
});
"""
SAID = {
    "closer": True, "whole": True, "farther": True, "slash": "search", "found": "12 of 200",
    "first": "node=step_150", "near": True, "kept": True, "second": "node=step_151", "emptied": "0",
    "closed": "overview", "focus": "step_151", "stops": True, "clicked": "node=step_042", "stays": True,
}  # fmt: skip


@pytest.mark.slow
def test_two_hundred_nodes_by_key_and_by_search(project, capsys, tmp_path_factory):
    steps = [f"sql step_{n:03} {{ query = \"FROM {f'step_{n - 1:03}' if n else 'documents'}\" }}"
             for n in range(199)]  # fmt: skip
    source = 'source documents -> { path: str, text: str }[] { path = "inputs" }'
    project.graph(text="\n".join([source, *steps]))
    drawn(capsys)
    page = (project.root / "graph.html").read_text()
    (project.root / "driven.html").write_text(page.replace("</body>", f"<script>{STEPS}</script></body>"))
    url = (project.root / "driven.html").as_uri()
    folder = tmp_path_factory.mktemp("browser")
    dom = browse(folder, url, "--virtual-time-budget=8000", "--dump-dom")
    assert json.loads(unescape(re.search(r'<pre id="said">(.*?)</pre>', dom)[1])) == SAID


def idat(png):
    """Place and length of the chunks of a PNG that hold its pixels."""
    at = 8
    while at < len(png):
        size = int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] == b"IDAT":
            yield at, size
        at += 12 + size
