"""`atk fmt` on files, folders and the standard input."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path

import pytest

from engine import paths
from engine.commands import main

ROUGH, FINE = "param  a:str # why\n", "param a: str                             # why\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(path: Path, text: str = ROUGH) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def stdin(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))


def test_files_are_formatted_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here / "a.atk")
    assert main(["fmt", "a.atk"]) == 0
    assert path.read_text() == FINE
    assert capsys.readouterr() == ("formatted a.atk\n", "1 file formatted\n")
    before = path.stat().st_mtime_ns
    assert main(["fmt", "a.atk"]) == 0
    assert capsys.readouterr() == ("", "1 file left as it was\n")
    assert path.stat().st_mtime_ns == before


def test_folders(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("graphs/b.atk", "graphs/lib/a.atk", "c.atk", "graphs/notes.txt", ".hidden/d.atk"):
        written(here / name)
    assert main(["fmt", "graphs", "graphs/b.atk"]) == 0
    assert capsys.readouterr().out == "formatted graphs/b.atk\nformatted graphs/lib/a.atk\n"
    assert main(["fmt"]) == 0
    assert capsys.readouterr() == ("formatted c.atk\n", "1 file formatted, 2 left as they were\n")
    assert (here / "graphs/notes.txt").read_text() == ROUGH
    assert (here / ".hidden/d.atk").read_text() == ROUGH


def test_check_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here / "a.atk")
    written(here / "b.atk", FINE)
    assert main(["fmt", "--check"]) == 1
    assert capsys.readouterr() == ("a.atk\n", "1 file would change, 1 left as it was\n")
    assert path.read_text() == ROUGH
    assert main(["fmt", "--check", "b.atk"]) == 0


def test_diff_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here / "a.atk", ROUGH.rstrip())
    assert main(["fmt", "--diff"]) == 1
    out = capsys.readouterr().out
    assert out.splitlines() == [
        *("--- a.atk", "+++ a.atk (formatted)", "@@ -1 +1 @@", f"-{ROUGH.rstrip()}"),
        *("\\ No newline at end of file", f"+{FINE.rstrip()}"),
    ]
    assert path.read_text() == ROUGH.rstrip()


def test_a_file_that_does_not_parse_stays(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = written(here / "a.atk", "param  a str\n")
    good = written(here / "b.atk")
    assert main(["fmt", "a.atk", "b.atk"]) == 2
    told = capsys.readouterr()
    assert "error[ATK001]" in told.err
    assert "a.atk:1:10" in told.err
    assert told.err.endswith("1 file formatted, 1 could not be formatted\n")
    assert wrong.read_text() == "param  a str\n"
    assert good.read_text() == FINE
    assert main(["fmt", "--check", "a.atk"]) == 2


def test_names_are_not_looked_up(here: Path) -> None:
    path = written(here / "a.atk", "promt x from nowhere {}\n")
    assert main(["fmt", "a.atk"]) == 0
    assert path.read_text() == "promt x from nowhere {}\n"


@pytest.mark.parametrize("arguments", [["gone.atk"], ["-", "a.atk"], ["empty"]])
def test_what_cannot_be_meant(here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    written(here / "a.atk")
    (here / "empty").mkdir()
    assert main(["fmt", *arguments]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_mode_links_and_folder_stay(here: Path) -> None:
    path = written(here / "real" / "a.atk")
    path.chmod(0o640)
    (here / "link.atk").symlink_to(path)
    assert main(["fmt", "link.atk"]) == 0
    assert (here / "link.atk").is_symlink()
    assert path.read_text() == FINE
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [one.name for one in path.parent.iterdir()] == ["a.atk"]


def test_a_read_only_file_stays(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here / "a.atk")
    path.chmod(0o444)
    good = written(here / "b.atk")
    assert main(["fmt"]) == 2
    assert path.read_text() == ROUGH
    assert good.read_text() == FINE
    assert "error: a.atk is read-only\nhelp: allow writing it" in capsys.readouterr().err


def test_a_write_that_fails_leaves_the_file(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(here / "a.atk")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert main(["fmt", "a.atk"]) == 2
    assert path.read_text() == ROUGH
    assert [one.name for one in here.iterdir()] == ["a.atk"]
    assert "no space left on device" in capsys.readouterr().err


def test_line_ends_stay(here: Path) -> None:
    path = written(here / "a.atk", "param  a:str\r\nparam b: int\r\n")
    assert main(["fmt", "a.atk"]) == 0
    assert path.read_bytes() == b"param a: str\r\nparam b: int\r\n"
    assert main(["fmt", "--check", "a.atk"]) == 0


def test_the_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    stdin(monkeypatch, 'param  a:str="é"\r\n'.encode())
    assert main(["fmt", "-"]) == 0
    assert capsysbinary.readouterr().out == 'param a: str = "é"\r\n'.encode()


@pytest.mark.parametrize(
    ("text", "option", "code", "out"),
    [
        (ROUGH, "--check", 1, "<stdin>\n"),
        (FINE, "--check", 0, ""),
        (FINE, "--diff", 0, ""),
        ("param", "--check", 2, ""),
        ("\xff", "--check", 2, ""),
    ],
)
def test_checking_the_standard_input(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str,
    option: str,
    code: int,
    out: str,
) -> None:
    stdin(monkeypatch, text.encode("latin-1"))
    assert main(["fmt", option, "-"]) == code
    assert capsys.readouterr().out == out


def test_the_shipped_graphs_are_formatted() -> None:
    assert main(["fmt", "--check", str(paths.graphs())]) == 0
