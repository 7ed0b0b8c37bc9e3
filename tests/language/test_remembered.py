"""What is kept of DuckDB's answers is what DuckDB would answer, and nothing breaks without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.language.binding import Binder, Unbound

COLUMNS = {"n": "BIGINT", "t": "VARCHAR", "parts": "STRUCT(a VARCHAR, b BIGINT)[]"}
QUERY = "WITH x AS (FROM cards) SELECT n + $more AS more, upper(t) AS t, count(*) OVER () AS c FROM x"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "atk"


def answers(binder: Binder) -> list[Any]:
    found = [
        binder.type_of("n + 1", COLUMNS),
        binder.type_of("n + 1", {**COLUMNS, "n": "DOUBLE"}),
        binder.type_and_rows("count(*) > 1", COLUMNS),
        binder.type_and_rows("n > 1", COLUMNS),
        binder.value("'a' || 'b'"),
        binder.value("NULL"),
        binder.value("[1, 2]"),
        binder.mentions(QUERY),
        binder.describe(QUERY, {("cards",): COLUMNS}, {"more": 1}),
        binder.describe(QUERY, {("cards",): COLUMNS}, {"more": 1.5}),
    ]
    binder.remembered.keep()
    return found


def test_answers_are_the_same_from_memory(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = answers(Binder())
    (file,) = kept.glob("bindings-*.json")
    assert "upper" not in file.read_text()  # a question is kept as a hash, an answer has names at most

    from engine.language import binding

    asked: list[str] = []
    fetch = Binder._fetch

    def counted(self: Binder, sql: str, *arguments: Any, **more: Any) -> list[Any]:
        asked.append(sql)
        return fetch(self, sql, *arguments, **more)

    monkeypatch.setattr(binding.Binder, "_fetch", counted)
    assert answers(Binder()) == first
    assert asked == ["SELECT [1, 2]"]  # a list may hold what JSON cannot: it is asked again


def test_mistakes_and_what_changes_are_asked_anew(kept: Path) -> None:
    for _ in range(2):
        binder = Binder()
        with pytest.raises(Unbound, match="no column named `m`"):
            binder.type_of("m + 1", COLUMNS)
        binder.remembered.keep()
    assert not list(kept.glob("bindings-*.json"))
    binder = Binder()
    assert binder.value("random()") != binder.value("random()")
    assert binder.value("current_date::VARCHAR") is not None
    assert not binder.remembered.new


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": ', "null"])
def test_a_damaged_file_is_none(kept: Path, content: str) -> None:
    first = answers(Binder())
    (file,) = kept.glob("bindings-*.json")
    file.write_text(content)
    assert answers(Binder()) == first
    assert json.loads(file.read_text())


def test_without_a_folder_all_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    binder = Binder()
    assert binder.remembered.path is None
    assert answers(binder)[0] == "BIGINT"


def test_what_a_prompt_reads_is_remembered_until_one_of_its_files_changes(kept: Path, tmp_path: Path) -> None:
    from engine.language import templates

    def read() -> templates.Template:
        templates._loaded.clear()
        templates._memory.cache_clear()
        found = templates.load("ask", [tmp_path])
        templates.keep()
        return found

    ask, rules = tmp_path / "ask.md", tmp_path / "rules.md"
    ask.write_text(
        "---\ndescription: d\nstop: [a]\n---\nuser:\n{% include 'rules.md' %} {{ text }}\n{{ schema }}\n"
    )
    rules.write_text("About {{ domain }}.\n")
    first, again = read(), read()
    assert list(kept.glob("prompts-*.json"))
    for name in ("description", "sampling", "digest", "reads", "places", "shows_schema", "files"):
        assert getattr(again, name) == getattr(first, name), name
    assert (again.reads, again.shows_schema, again.sampling) == ({"text", "domain"}, True, {"stop": ["a"]})
    given = {"text": "t", "domain": "bees"}
    assert again.render(given) == first.render(given) == [{"role": "user", "content": "About bees. t"}]

    rules.write_text("About {{ subject }}.\n")
    assert read().reads == {"text", "subject"}
    rules.unlink()
    with pytest.raises(templates.TemplateProblem, match=r"rules\.md"):
        read()
    rules.write_text("About {{ domain }}.\n")
    assert read().digest == first.digest
    ask.write_text("user:\n{{ other }}\n")
    assert read().reads == {"other"}
