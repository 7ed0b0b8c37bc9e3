"""`atk lint` on files and folders: what it says, what it takes out, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine import paths
from engine.commands import main

CLEAN = 'source documents -> { text: str }[] { path = "documents" }\n'
NEEDLESS = "param size: int = 3                      ## Tokens.\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "documents").mkdir()
    return tmp_path


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_a_clean_graph(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(here / "a.atk", CLEAN)
    assert main(["lint", "a.atk"]) == 0
    assert capsys.readouterr() == ("", "1 file, no findings\n")


def test_findings(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here / "graphs" / "a.atk", NEEDLESS + CLEAN)
    written(here / "b.atk", CLEAN)
    assert main(["lint"]) == 1
    told = capsys.readouterr()
    assert told.out.startswith("warning[ATK502]: nothing uses the param `size` (unused-param)\n")
    assert "graphs/a.atk:1:7" in told.out
    assert told.err == "2 files, 1 finding, --fix takes out 1, `atk explain ATK502` says more\n"
    assert path.read_text() == NEEDLESS + CLEAN


def test_fix(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here / "a.atk", "param a: int = 1\nparam b: int = a\n" + NEEDLESS + CLEAN)
    assert main(["lint", "--fix"]) == 0
    assert path.read_text() == CLEAN
    assert capsys.readouterr().err == "mended a.atk: 3 things taken out\n1 file, no findings\n"


def test_fix_leaves_what_is_not_safe(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "param a: int = 1                         # why?\n" + CLEAN
    path = written(here / "a.atk", text)
    assert main(["lint", "--fix"]) == 1
    assert path.read_text() == text
    assert "warning[ATK502]" in capsys.readouterr().out


def test_fix_takes_out_what_was_chosen(here: Path) -> None:
    use = 'use "lib/text.atk"\n'
    path = written(here / "a.atk", use + NEEDLESS + CLEAN)
    assert main(["lint", "--fix", "--select", "unused-import"]) == 0
    assert path.read_text() == NEEDLESS + CLEAN


def test_fix_keeps_line_ends(here: Path) -> None:
    path = written(here / "a.atk", (NEEDLESS + CLEAN).replace("\n", "\r\n"))
    assert main(["lint", "--fix"]) == 0
    assert path.read_bytes() == CLEAN.replace("\n", "\r\n").encode()


def test_a_read_only_file_stays(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here / "a.atk", NEEDLESS + CLEAN)
    path.chmod(0o444)
    assert main(["lint", "--fix"]) == 2
    assert path.read_text() == NEEDLESS + CLEAN
    assert "error: a.atk is read-only" in capsys.readouterr().err


def test_a_graph_that_is_wrong(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(here / "a.atk", NEEDLESS + "sql b { query = 1 }\n")
    written(here / "b.atk", NEEDLESS + CLEAN)
    assert main(["lint", "--fix", "a.atk", "b.atk"]) == 2
    told = capsys.readouterr()
    assert "error[ATK120]" in told.err
    assert "1 with errors" in told.err
    assert path.read_text().startswith(NEEDLESS)
    assert (here / "b.atk").read_text() == CLEAN


def test_rules_are_chosen(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(here / "a.atk", NEEDLESS + 'use "lib/text.atk"\n' + CLEAN)

    def codes(*arguments: str) -> list[str]:
        main(["lint", "--json", *arguments])
        return [one["code"] for one in json.loads(capsys.readouterr().out)]

    assert codes() == ["ATK502", "ATK503"]
    assert codes("--select", "ATK503") == ["ATK503"]
    assert codes("--select", "unused-param,unused-import") == ["ATK502", "ATK503"]
    assert codes("--ignore", "502") == ["ATK503"]
    assert codes("--select", "502", "--ignore", "502") == []


def test_an_ignore_for_a_rule_that_does_not_run_is_not_idle(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(here / "a.atk", "param a: int = 1                         # atk: ignore unused-param\n" + CLEAN)
    assert main(["lint"]) == 0
    assert main(["lint", "--ignore", "unused-param"]) == 0
    assert main(["lint", "--select", "ATK500"]) == 0


@pytest.mark.parametrize(
    ("word", "help"),
    [
        ("unused-parm", "did you mean unused-param?"),
        ("nonsense", "atk explain lists the rules, from ATK500 on"),
    ],
)
def test_a_rule_that_is_not_there(
    here: Path, capsys: pytest.CaptureFixture[str], word: str, help: str
) -> None:
    written(here / "a.atk", CLEAN)
    assert main(["lint", "--select", word]) == 2
    assert capsys.readouterr().err == f"error: --select: there is no rule {word}\nhelp: {help}\n"


def test_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(here / "a.atk", NEEDLESS + "param b: int = 1                         # why?\n" + CLEAN)
    assert main(["lint", "--json"]) == 1
    first, second = json.loads(capsys.readouterr().out)
    assert first["rule"] == "unused-param"
    assert (first["line"], first["column"], first["severity"]) == (1, 7, "warning")
    assert (first["fixable"], second["fixable"]) == (True, False)


@pytest.mark.parametrize("word", ["ATK511", "511", "verdict-before-reason"])
def test_explain(capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert main(["explain", word]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "ATK511: A verdict that is written before its reason (verdict-before-reason)\n\n## What it does\n"
    )


def test_the_shipped_graphs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", str(paths.graphs())]) == 0
