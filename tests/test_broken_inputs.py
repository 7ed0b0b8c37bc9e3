"""Bad input and bad luck, through the command line: what is said, and that nothing is lost by it.

Each case is a way to break a small project, the exit code, and the last lines that are said. After
each, the same project, mended, must run to its end.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.commands import main
from engine.store.errors import StoreError
from engine.store.reader import open_reader
from tests.endpoint import endpoint

HOUSE = Path(__file__).parents[1]
GRAPH = """\
param inputs: path = "inputs"

type Document { path: str, title: str?, text: str }
type Card { question: str, answer: str }

source documents -> Document[] { path = inputs }
prompt cards from documents -> Card[] { template = "cards" }
emit cards_file from cards { path = "out/cards.jsonl", format = "prompt_completion" }
"""
PROMPT = "---\ndescription: Cards.\n---\nuser:\n{{ text }}\n{{ schema }}\n"
TEXT = "Bees\n\nA colony does not sleep in winter. It draws together into a ball.\n"
KEY = "sk-a-key-that-must-not-be-seen"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ATK_BASE_URL", "ATK_MODEL", "ATK_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    make_whole(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_whole(folder: Path) -> None:
    """The project as it should be. Its store stays where it can be read: what was paid for is in it."""
    sound = readable(folder / ".atk" / "store.duckdb")
    for there in folder.iterdir():
        if there.name != ".atk" or not sound:
            shutil.rmtree(there) if there.is_dir() else there.unlink()
    for name, text in (("inputs/bees.txt", TEXT), ("prompts/cards.md", PROMPT), ("graph.atk", GRAPH)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


def readable(store: Path) -> bool:
    try:
        with contextlib.closing(open_reader(store)) as reader:
            reader.sql("FROM calls")
    except (StoreError, OSError):
        return False
    return True


def data(name: str, content: bytes, type_: str = "{ text: str }") -> Callable[[Path], None]:
    """A project that reads rows from a file."""

    def make(folder: Path) -> None:
        (folder / name).write_bytes(content)
        graph = folder / "graph.atk"
        text = graph.read_text().replace('path = "inputs"', f'path = "{name}"')
        graph.write_text(text.replace("-> Document[] { path", f"-> {type_}[] {{ path"))

    return make


def put(name: str, content: bytes) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)

    return make


def emptied(folder: Path) -> None:
    shutil.rmtree(folder / "inputs")
    (folder / "inputs").mkdir()


def folder_in_the_way(folder: Path) -> None:
    (folder / "out" / "cards.jsonl").mkdir(parents=True)


def cut_short(folder: Path) -> None:
    assert main(["exec", "graph.atk"]) == 0
    store = folder / ".atk" / "store.duckdb"
    store.write_bytes(store.read_bytes()[:3000])


SEEN = "a file, a folder or a pattern such as"
CASES: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "empty folder": (emptied, 1, "nothing to read at {folder}/inputs (empty)"),
    "no such folder": (
        lambda folder: (folder / "inputs").rename(folder / "elsewhere") and None,
        1,
        f"nothing to read at {{folder}}/inputs\nhelp: {SEEN}",
    ),
    "not UTF-8": (
        put("inputs/other.txt", b"abc\xff\xfe d"),
        1,
        "error: 1 row of `documents` failed: other.txt: not UTF-8 at byte 3",
    ),
    "a line that is no JSON": (
        data("rows.jsonl", b'{"text": "a"}\n{"text": \n{"text": "c"}\n'),
        1,
        "rows.jsonl, line 2: ",
    ),
    "a row of another shape": (
        data("rows.jsonl", b'{"text": "a"}\n{"words": "b"}\n'),
        1,
        "rows.jsonl, line 2: `text` is missing",
    ),
    "no parquet": (data("rows.parquet", b"this is no parquet"), 1, "rows.parquet"),
    "JSON that is no list": (data("rows.json", b'"text"'), 1, "rows.json"),
    "a ragged row": (data("rows.csv", b"text,more\na,b\nc\n"), 1, "rows.csv, line 3"),
    "a folder where the file goes": (
        folder_in_the_way,
        1,
        "error: `cards_file`: {folder}/out/cards.jsonl cannot be written: Is a directory\nhelp:",
    ),
    "a file where the folder goes": (
        put("out", b"hi"),
        1,
        "cannot be written: {folder}/out is a file where a folder must be\nhelp:",
    ),
    "a file where the store's folder goes": (
        put(".atk", b"hi"),
        1,
        "error: cannot make the folder {folder}/.atk: File exists\nhelp:",
    ),
    "a store that is none": (
        put(".atk/store.duckdb", b"not a store"),
        1,
        "error: {folder}/.atk/store.duckdb is not a DuckDB database\nhelp: move it away",
    ),
    "a store that was cut short": (
        cut_short,
        1,
        "error: the store {folder}/.atk/store.duckdb is damaged: it was cut short or changed from outside",
    ),
    "a graph that is a folder": (
        lambda folder: (folder / "graph.atk").unlink() or (folder / "graph.atk").mkdir(),
        2,
        "error: graph.atk is a folder, not a graph",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_said(folder: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, code, said = CASES[case]
    make(folder)
    capsys.readouterr()
    assert main(["exec", "graph.atk"]) == code
    told = capsys.readouterr()
    whole = told.out + told.err
    assert said.format(folder=folder) in whole
    assert "Traceback" not in whole
    assert "fault of atk's own" not in whole
    make_whole(folder)
    assert main(["exec", "graph.atk"]) == 0
    assert (folder / "out" / "cards.jsonl").read_text(encoding="utf-8")


def shortened(part: int) -> Callable[[bytes], bytes]:
    return lambda content: content[: len(content) // part]


def flipped(content: bytes) -> bytes:
    """A bit of every few thousand bytes changed, the heads of the file left as they are."""
    changed = bytearray(content)
    for place in range(3 * 4096 + 8, len(changed), 5_000):
        changed[place] ^= 1
    return bytes(changed)


DAMAGE = {"half": shortened(2), "a quarter": shortened(4), "an eighth": shortened(8), "flipped": flipped}


@pytest.mark.parametrize("damage", DAMAGE)
def test_every_command_says_that_a_store_is_damaged(
    folder: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Damage may show only when a table is read, behind a sound head of the file."""
    assert main(["exec", "graph.atk"]) == 0
    store = folder / ".atk" / "store.duckdb"
    store.write_bytes(DAMAGE[damage](store.read_bytes()))
    for command in (["sql", "FROM cards"], ["show", "cards"], ["runs"], ["plan", "graph.atk"]):
        capsys.readouterr()
        assert main(command) == 1
        told = capsys.readouterr().err
        assert told.startswith("error: the store "), command
        assert "is damaged: it was cut short or changed from outside" in told, command


ANSWERS: dict[str, tuple[dict[str, object], str]] = {
    "a wrong key": ({"key": "another", "echo_key": True}, "does not accept the key in ATK_API_KEY (401)"),
    "another model": ({"models": ["mock-large"]}, 'has no model "mock" (404)'),
    "no credit": (
        {"rules": [{"contains": "", "status": 429, "message": "You exceeded your current quota"}]},
        "the account has no credit left (429)",
    ),
    "too long": (
        {"rules": [{"contains": "", "status": 400, "message": "maximum context length is 8192 tokens"}]},
        "the prompt is longer than the model's context",
    ),
    "an HTML page": (
        {"rules": [{"contains": "", "raw": "<html><body>Welcome</body></html>"}]},
        "answered with a web page instead of JSON: is base_url the address of its API?",
    ),
    "no choices": ({"rules": [{"contains": "", "raw": '{"choices": []}'}]}, "answered without a choice"),
    "nothing": ({"rules": [{"contains": "", "raw": ""}]}, "answered with something that is not JSON"),
    "a redirect": (
        {"rules": [{"contains": "", "status": 307, "headers": {"Location": "http://elsewhere.invalid/"}}]},
        "redirects to http://elsewhere.invalid/ (307)",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
@pytest.mark.usefixtures("short_pauses")
def test_what_an_endpoint_may_answer(
    folder: Path, case: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, said = ANSWERS[case]
    with endpoint(**config) as server:
        monkeypatch.setenv("ATK_BASE_URL", server.base_url)
        monkeypatch.setenv("ATK_MODEL", "mock")
        monkeypatch.setenv("ATK_API_KEY", KEY)
        assert main(["exec", "graph.atk"]) == 1
        told = capsys.readouterr()
        whole = told.out + told.err
        assert said in whole
        assert "Traceback" not in whole
        server.config(rules=[], models=[], key="")
        assert main(["exec", "graph.atk"]) == 0  # nothing of it is remembered as an answer
    told = capsys.readouterr()
    assert KEY not in whole + told.out + told.err
    for path in (folder / ".atk").rglob("*"):
        assert KEY.encode() not in (path.read_bytes() if path.is_file() else b"")


def test_a_full_disk_loses_nothing_that_was_committed(folder: Path) -> None:
    """The store may not grow beyond a size, as on a disk that is full; then it may."""
    manual = (HOUSE / "tests/data/manuals/fm-3-55-information-collection.txt").read_text(encoding="utf-8")
    for number in range(6):  # texts that differ, so that nothing is known already
        (folder / "inputs" / f"{number}.txt").write_text(f"{number}\n\n{manual}", encoding="utf-8")
    graph = (folder / "graph.atk").read_text()
    graph = graph.replace("prompt cards from documents", "chunk passages from documents { size = 1_000 }\n"
                          "prompt cards from passages")  # fmt: skip
    (folder / "graph.atk").write_text(graph)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    command = [sys.executable, "-m", "engine.commands"]
    settings = {**os.environ, "PYTHONPATH": str(HOUSE)}
    done = subprocess.run(
        [*command, "exec", "graph.atk"], cwd=folder, env=settings, capture_output=True, text=True,
        check=False, preexec_fn=limited,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"error: the disk is full: the store {folder}/.atk/store.duckdb cannot grow" in done.stderr
    assert "help: free some space and run again" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "out").exists()
    assert main(["exec", "graph.atk"]) == 0
    assert (folder / "out" / "cards.jsonl").stat().st_size > 0


@pytest.mark.parametrize("command", ["show cards -n 500", "sql 'FROM cards'", "params graph.atk"])
def test_a_reader_that_goes_is_no_error(folder: Path, command: str) -> None:
    assert main(["exec", "graph.atk"]) == 0
    settings = {**os.environ, "PYTHONPATH": str(HOUSE)}
    script = f"set -o pipefail; {sys.executable} -m engine.commands {command} | true"
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=settings, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


def test_a_terminal_of_few_letters_and_columns(folder: Path) -> None:
    (folder / "inputs" / "größe.txt").write_text("Größe – «Maß»: 5 µm.", encoding="utf-8")
    plain = {"PATH": os.environ["PATH"], "PYTHONPATH": str(HOUSE), "LC_ALL": "C", "COLUMNS": "20"}
    for command in (
        "exec graph.atk",
        "show documents",
        "plan graph.atk",
        "check graph.atk",
        "sql 'FROM cards'",
    ):
        done = subprocess.run(
            ["sh", "-c", f"{sys.executable} -X utf8=0 -m engine.commands {command}"],
            cwd=folder, env=plain, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert b"Error" not in done.stderr
