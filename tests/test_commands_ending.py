"""How the process of a command ends: at once where nothing is left to put away, in full where an author's
code has run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROWS = '{"text": "a"}\n{"text": "b"}\n'
PLAIN = """
type Row { text: str }
source rows -> Row[] { path = "rows.jsonl" }
sql longer { query = "SELECT text || text AS twice FROM rows" }
"""
OWN = (
    PLAIN
    + """
python noted from rows -> { text: str } { call = "noting.py:note", each = true }
"""
)
CODE = """
import atexit
import sys
from pathlib import Path

class Held:
    def __init__(self):
        self.itself = self  # a cycle: only a search for garbage, or the interpreter's end, finds it
        self.file = open("noted.txt", "w")

held = Held()
atexit.register(lambda: Path("left.txt").write_text("left"))

def note(row):
    held.file.write(row["text"])
    return {"text": row["text"]}
"""
PROBE = """
import atexit, sys, threading, time
from pathlib import Path
from engine.commands import entry
def late():
    time.sleep(0.3)
    Path("thread.txt").write_text("a thread")
threading.Thread(target=late).start()
import engine.commands._app
run = engine.commands._app.run
def and_register(arguments):
    atexit.register(lambda: Path("after.txt").write_text("registered after"))
    return run(arguments)
engine.commands._app.run = and_register
entry()
"""


def atk(folder: Path, *arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "engine.commands"]
    return subprocess.run(
        [sys.executable, "-P", *start, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text(ROWS)
    (tmp_path / "plain.atk").write_text(PLAIN)
    (tmp_path / "own.atk").write_text(OWN)
    (tmp_path / "noting.py").write_text(CODE)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("exec", "plain.atk"), 0),
        (("check", "plain.atk"), 0),
        (("exec", "missing.atk"), 2),
        (("exec", "plain.atk", "-p", "no=1"), 2),
        (("sql", "FROM nothing"), 2),
        (("version", "--json"), 0),
        (("no-such-verb",), 2),
    ],
)
def test_the_exit_code_and_the_output_are_whole(
    folder: Path, arguments: tuple[str, ...], expected: int
) -> None:
    done = atk(folder, *arguments)
    assert done.returncode == expected, done.stderr
    assert done.stdout or done.stderr
    assert "leaked" not in done.stderr


def test_what_an_authors_code_left_open_is_closed(folder: Path) -> None:
    done = atk(folder, "exec", "own.atk", "-q")
    assert done.returncode == 0, done.stderr
    assert sorted((folder / "noted.txt").read_text()) == ["a", "b"]
    assert (folder / "left.txt").read_text() == "left"


def test_threads_and_what_is_registered_for_the_end_are_waited_for(folder: Path) -> None:
    done = atk(folder, "exec", "plain.atk", "-q", code=PROBE)
    assert done.returncode == 0, done.stderr
    assert (folder / "thread.txt").read_text() == "a thread"
    assert (folder / "after.txt").read_text() == "registered after"


def test_a_run_without_a_terminal_does_not_load_what_draws_on_one(folder: Path) -> None:
    code = "import sys\nfrom engine.commands import main\nmain()\nprint('rich.console' in sys.modules)"
    assert atk(folder, "exec", "plain.atk", "--json", code=code).stdout.endswith("False\n")
    assert atk(folder, "exec", "plain.atk", "-q", code=code).stdout.endswith("False\n")


def test_what_a_closed_pipe_does_not_take_is_no_fault(folder: Path) -> None:
    assert atk(folder, "exec", "plain.atk", "-q").returncode == 0
    command = [sys.executable, "-P", "-m", "engine.commands", "sql", "FROM rows, range(100000)", "--csv"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait() == 0
