"""Every mistake beside the exact message that it gives.

`errors/*.atk` are graphs with mistakes, `errors/*.txt` what is said of them. To record the
messages anew after a deliberate change: `ATK_RECORD=1 bin/test tests/language/test_errors.py`,
then read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from engine.language import check
from engine.language.explain import CODES, page
from engine.language.lint import RULES
from engine.language.program import Program
from tests.language.kinds import registry
from tests.language.support import HERE, checked, codes, options, told

ROOT = HERE.parent.parent
FIXTURES = sorted((HERE / "errors").glob("*.atk"))
CODE = re.compile(r"\bATK\d{3}\b")


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_message(path: Path) -> None:
    found = checked(path, **options(path.read_bytes().decode(errors="replace")))
    said = told(found) + "\n"
    recorded = path.with_suffix(".txt")
    if os.environ.get("ATK_RECORD"):
        recorded.write_text(said)
    assert said == recorded.read_text()
    assert found.diagnostics


def test_same_input_same_output() -> None:
    path = HERE / "errors" / "declared_twice.atk"
    assert told(checked(path)) == told(checked(path))


def test_every_code_of_the_source_is_explained() -> None:
    used = {code for file in (ROOT / "engine").rglob("*.py") for code in CODE.findall(file.read_text())}
    assert used == {*CODES, *(rule.code for rule in RULES)}
    for entry in CODES.values():
        assert entry.title
        assert len(entry.text) > 40


def test_every_code_of_the_language_has_an_example() -> None:
    ours = {
        code
        for file in (ROOT / "engine" / "language").glob("*.py")
        if file.name != "explain.py"
        for code in CODE.findall(file.read_text())
    }
    recorded = {code for path in FIXTURES for code in CODE.findall(path.with_suffix(".txt").read_text())}
    assert not ours - recorded


def test_the_page_of_errors_is_the_table() -> None:
    assert (ROOT / "docs" / "errors.md").read_text() == page()


def test_no_message_repeats_a_key() -> None:
    path = HERE / "errors" / "written_key.atk"
    said = told(checked(path))
    assert "sk-very-secret" in path.read_text()
    assert "sk-very-secret" not in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.atk", b"", None),
        ("comment.atk", b"# nothing\n", None),
        ("nul.atk", b"param a: str\0\n", "`U+0000` means nothing here"),
        ("bom.atk", b"\xef\xbb\xbfparam a: str = 5\n", "`a` must be text (str), not 5"),
        ("crlf.atk", b'param a: str = "x"\r\nparam b: str = 5\r\n', "`b` must be text (str), not 5"),
        ("old_mac.atk", b'param a: str = "x"\rparam b: str = 5', "`b` must be text (str), not 5"),
        ("latin.atk", b"# Gr\xf6\xdfe\n", "latin.atk is not UTF-8: the byte at 4 does not fit"),
        ("wide.atk", "param a: str\n".encode("utf-16"), "wide.atk is not UTF-8 but UTF-16"),
        ("control.atk", b"param a: str = \x1b[31m\n", "`U+001B` means nothing here"),
        ("folder.atk", None, "folder.atk is a folder, not a graph file"),
    ],
)
def test_files_of_all_sorts(tmp_path: Path, name: str, content: bytes | None, message: str | None) -> None:
    path = tmp_path / name
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    found = _in(tmp_path, path)
    assert [diagnostic.message for diagnostic in found.diagnostics] == ([message] if message else [])
    assert found.ok == (message is None)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    found = _in(tmp_path, tmp_path / "none.atk")
    assert codes(found) == ["ATK005"]
    assert found.diagnostics[0].message == "there is no file none.atk"


def _in(root: Path, path: Path) -> Program:
    return check(path, registry(), root=root, environment={}, tests=True)
