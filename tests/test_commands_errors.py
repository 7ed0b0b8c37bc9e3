"""What a person reads when a command line or a run goes wrong, and the exit codes."""

from __future__ import annotations

import asyncio
import errno
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.commands import VERBS, main
from engine.commands._errors import CommandError, report
from engine.commands._options import command_line, pairs
from engine.commands.exec import _valid_failures
from engine.commands.render import read_command
from engine.store.errors import StoreBusy, StoreMissing

ROOT = Path(__file__).resolve().parent.parent


def test_help_lists_every_verb(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    listed = [line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line.startswith("  ")]
    assert listed[: len(VERBS)] == list(VERBS)
    assert "..." not in out.partition("Commands:")[2]


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(capsys, verb):
    assert main([verb, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: atk {verb}")
    assert "--debug" in out


def test_no_arguments_show_the_help(capsys):
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("Usage: atk")


@pytest.mark.parametrize(
    ("arguments", "error", "help"),
    [
        (["chek"], "no such command 'chek'", "atk --help"),
        (["exec"], "missing argument 'GRAPH'", "atk exec --help"),
        (["exec", "g", "--max-cost", "cheap"], "invalid value for '--max-cost'", "atk exec --help"),
        (["cost", "--by", "foo"], "invalid value for '--by': 'foo' is not one of 'node'", "atk cost --help"),
        (["exec", "g", "--nope"], "no such option: --nope", "atk exec --help"),
        (["exec", "g", "-p", "limit"], "-p takes name=value, not `limit`", "write it as -p name=value"),
        (["exec", "g", "-m", "=x"], "-m takes name=value, not `=x`", "write it as -m name=value"),
        (
            ["exec", "g", "--max-failures", "some"],
            "--max-failures takes a number of rows or a share",
            "such as",
        ),
        (["sql", "--json", "--csv", "x"], "--json and --csv exclude each other", "choose one"),
    ],
)
def test_a_wrong_command_line(capsys, arguments, error, help):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith(f"error: {error}")
    assert second.startswith(f"help: {help}")


class ToldError(Exception):
    message, help = "it went wrong", "do this"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (CommandError("no", "yes", 2), 2, "error: no\nhelp: yes\n"),
        (CommandError("no"), 1, "error: no\n"),
        (ToldError(), 1, "error: it went wrong\nhelp: do this\n"),
        (StoreMissing("no store", None), 2, "error: no store\n"),
        (StoreBusy("busy", "wait"), 1, "error: busy\nhelp: wait\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (asyncio.CancelledError(), 130, "interrupted\n"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.atk"), 2,
         "error: a.atk: no such file or directory\n"),
        (OSError(errno.ENOSPC, "No space left on device", "x.duckdb"), 1,
         "error: x.duckdb: no space left on device\nhelp: what was finished before is kept\n"),
        (MemoryError(), 1,
         "error: out of memory\nhelp: what was finished before is kept; run the same command again\n"),
    ],
)  # fmt: skip
def test_errors_are_told(capsys, error, code, text):
    assert report(error, debug=False) == code
    assert capsys.readouterr().err == text


def test_a_fault_of_ours_is_called_one(capsys):
    assert report(KeyError("x"), debug=False) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: a fault of atk's own: KeyError: 'x'\nhelp: ")
    assert "--debug" in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(capsys):
    with pytest.raises(ToldError) as raised:
        raise ToldError
    assert report(raised.value, debug=True) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("error: it went wrong\nhelp: do this\n")


@pytest.mark.parametrize("text", [None, "0", "50", "2%", "0.5%", "100%"])
def test_max_failures(text):
    _valid_failures(text)


@pytest.mark.parametrize("text", ["", "-1", "2.5", "101%", "%", "nan%", "²"])
def test_max_failures_refuses(text):
    with pytest.raises(CommandError):
        _valid_failures(text)


def test_a_later_value_wins():
    assert pairs(["a=1", "b=x=y", "a="], "-p") == {"a": "", "b": "x=y"}


words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=20)


@given(words, st.lists(words), st.lists(words), st.none() | words)
def test_a_kept_command_is_read_back(graph, values, models, profile):
    found = read_command(command_line("exec", graph, values, models, profile))
    assert found == {"graph": graph, "-p": values, "-m": models, "--profile": profile}


def test_interrupting_a_command_exits_130(tmp_path):
    code = "import engine.commands._app as a, engine.commands.version as v\n"
    code += "def stop(*_): raise KeyboardInterrupt\n"
    code += "import engine.commands._render as r; r.print_json = stop\n"
    code += "import sys; sys.exit(a.run(['version', '--json']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
