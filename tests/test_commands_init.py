"""`atk init`: what it writes runs at once, and it never overwrites."""

from __future__ import annotations

import pytest

from engine.commands import main


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    for name in ("ATK_BASE_URL", "ATK_MODEL", "ATK_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_project_checks_is_laid_out_and_runs(tmp_path, monkeypatch, capsys):
    assert main(["init", "my-notes"]) == 0
    told = capsys.readouterr().out
    assert "cd my-notes\n  atk exec my_notes.atk\n" in told
    monkeypatch.chdir(tmp_path / "my-notes")
    assert main(["check", "my_notes.atk"]) == 0
    assert main(["fmt", "--check", "my_notes.atk"]) == 0
    assert main(["lint", "my_notes.atk"]) == 0
    assert "finding" not in capsys.readouterr().out
    assert main(["test", "my_notes.atk"]) == 0
    assert main(["exec", "my_notes.atk"]) == 0
    assert (tmp_path / "my-notes/out/sft.jsonl").stat().st_size
    written = [path for path in (tmp_path / "my-notes").rglob("*") if path.is_file()]
    assert {".gitignore", "atk.yml", "bread.md"} <= {path.name for path in written}
    texts = [path.read_text() for path in written if path.suffix in (".atk", ".md", ".yml")]
    assert not any("{name}" in text for text in texts)


def test_in_the_folder_one_is_in(tmp_path, monkeypatch):
    (tmp_path / "here/.git").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert main(["init"]) == 0
    assert (tmp_path / "here/here.atk").is_file()


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/README.md").write_text("mine")
    assert main(["init", "taken"]) == 2
    assert "README.md" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["README.md"]
    assert (tmp_path / "taken/README.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["a/b", "..", "", "9lives", "a b"])
def test_names_that_do_not_fit(tmp_path, name, capsys):
    assert main(["init", name]) == 2
    assert "atk init notes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
