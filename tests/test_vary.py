"""`vary`: which prompts a row gets, what that costs, and what its rows look like."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kinds.vary import chosen
from engine.runtime.rendering import messages_of
from tests.endpoint import Endpoint, endpoint
from tests.project import DOCUMENTS, Project
from tests.project import GRAPH as WHOLE
from tests.test_incremental import calls

FORMS = ("list", "letter", "lesson", "riddle")
HEAD = WHOLE.partition("prompt worthy")[0].format()
GRAPH = """
vary versions from passages -> {{ version: str }} {{
  templates = {templates}
  count     = {count}
  model     = asked
  {more}
}}
"""


def node(names: list[str], count: int, seed: int = 0) -> Any:
    pool = tuple(SimpleNamespace(name=name, reads=frozenset({"text"})) for name in names)
    return SimpleNamespace(pool=pool, settings=SimpleNamespace(count=count, seed=seed), values={})


def names(of: Any, text: str) -> list[str]:
    return [template.name for template, _ in chosen(of, {"text": text})]


TWELVE = [f"forms/{number}" for number in range(12)]


@given(st.text(), st.integers(1, 30), st.integers())
def test_no_row_has_one_twice_while_another_is_left(text: str, count: int, seed: int) -> None:
    choice = chosen(node(TWELVE, count, seed), {"text": text})
    used = Counter(template.name for template, _ in choice)
    assert len(choice) == count
    assert max(used.values()) - min(used[name] for name in TWELVE) <= 1
    assert len({(template.name, turn) for template, turn in choice}) == count


@pytest.mark.parametrize(("rows", "apart"), [(100, 15), (1_000, 45)])
def test_all_are_used_about_equally_often(rows: int, apart: int) -> None:
    used = Counter(name for row in range(rows) for name in names(node(TWELVE, 4), f"row {row}"))
    assert max(used.values()) - min(used.values()) <= 2 * apart
    assert all(abs(times - rows * 4 / 12) <= apart for times in used.values())


@given(st.text(), st.integers(1, 6))
def test_another_template_changes_the_choice_only_where_it_is_chosen(text: str, count: int) -> None:
    before = names(node(TWELVE, count), text)
    after = names(node([*TWELVE, "forms/new"], count), text)
    if "forms/new" in after:
        assert [name for name in after if name != "forms/new"] == before[:-1]
    else:
        assert after == before


def test_another_seed_chooses_otherwise() -> None:
    rows = [f"row {row}" for row in range(20)]
    assert [names(node(TWELVE, 3), row) for row in rows] != [names(node(TWELVE, 3, 1), row) for row in rows]


@pytest.fixture
def server() -> Any:
    with endpoint(p_true=1.0) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    project = Project(tmp_path, monkeypatch, server.base_url)
    for form in FORMS:
        project.write(
            f"prompts/forms/{form}.md", f"system:\nAs a {form}.\n{{{{ schema }}}}\n\nuser:\n{{{{ text }}}}\n"
        )
    project.write("prompts/forms/README.md", "# forms\n")
    project.write("prompts/forms/_shared.md", "not a prompt of its own")
    vary(project)
    return project


def vary(project: Project, templates: str = '"forms"', count: int = 2, more: str = "") -> None:
    text = GRAPH.format(templates=templates, count=count, more=more)
    project.graph(text=HEAD + text)


def test_a_row_for_each_call(server: Endpoint, project: Project) -> None:
    assert calls(server, project) == 2 * len(DOCUMENTS)
    rows = project.rows("SELECT passages_id, versions_index, versions_template FROM versions")
    assert len(rows) == 2 * len(DOCUMENTS)
    assert {template for _, _, template in rows} <= set(FORMS)
    assert Counter(index for _, index, _ in rows) == {0: 3, 1: 3}
    assert len({(passage, template) for passage, _, template in rows}) == len(rows)
    assert calls(server, project) == 0


def test_the_plan_counts_every_call(project: Project) -> None:
    (planned,) = [one for one in project.plan().nodes if one.name == "versions"]
    assert planned.to_call == 2 * len(DOCUMENTS)


def test_another_document_costs_its_own_calls(server: Endpoint, project: Project) -> None:
    calls(server, project)
    before = set(project.rows("SELECT version, versions_template FROM versions"))
    project.write("inputs/snow.txt", "Snow falls when crystals of ice stick together in a cold cloud.")
    assert calls(server, project) == 2
    assert before < set(project.rows("SELECT version, versions_template FROM versions"))


def test_a_prompt_that_is_edited_is_asked_again_where_it_was_chosen(
    server: Endpoint, project: Project
) -> None:
    calls(server, project)
    had = project.rows("SELECT count(*) FROM versions WHERE versions_template = 'list'")[0][0]
    project.write("prompts/forms/list.md", "system:\nAs a long list.\n{{ schema }}\n\nuser:\n{{ text }}\n")
    assert calls(server, project) == had


def test_more_for_each_row_costs_what_is_new(server: Endpoint, project: Project) -> None:
    calls(server, project)
    vary(project, count=3)
    assert calls(server, project) == len(DOCUMENTS)
    vary(project, count=6)  # all four, and two of them once more
    assert calls(server, project) == 3 * len(DOCUMENTS)
    assert project.rows("SELECT DISTINCT count(*) FROM versions GROUP BY passages_id") == [(6,)]


def test_a_list_of_elements_for_each_call(server: Endpoint, project: Project) -> None:
    head = project.root.joinpath("graph.atk").read_text(encoding="utf-8")
    project.graph(text=head.replace("-> { version: str }", "-> { version: str }[]"))
    assert calls(server, project) == 2 * len(DOCUMENTS)
    for passage in {row[0] for row in project.rows("SELECT passages_id FROM versions")}:
        indices = project.rows(
            f"SELECT versions_index FROM versions WHERE passages_id = '{passage}' ORDER BY ALL"
        )
        assert [index for (index,) in indices] == list(range(len(indices)))


def test_one_call_that_fails_fails_alone(project: Project, server: Endpoint) -> None:
    server.config(rules=[{"contains": "As a list", "reply": "no JSON"}])
    vary(project, count=4, more="retries = 0")
    summary = project.run()
    assert summary.progress["versions"].failed == len(DOCUMENTS)
    rows = project.rows("SELECT DISTINCT versions_template FROM versions ORDER BY ALL")
    assert [name for (name,) in rows] == ["lesson", "letter", "riddle"]


def test_gates_know_which_prompt_it_was(project: Project) -> None:
    vary(project, '["forms/list", "forms/letter"]', more='keep versions_template == "list" else "no list"')
    project.run()
    assert project.rows("SELECT DISTINCT versions_template FROM versions") == [("list",)]
    rejected = project.rows("SELECT DISTINCT versions_template, reason FROM rejected.versions")
    assert rejected == [("letter", "no list")]


def test_the_messages_of_a_row_are_those_of_its_first_prompt(project: Project) -> None:
    project.run()
    row, first = project.rows(
        "SELECT versions_id::VARCHAR, versions_template FROM versions WHERE versions_index = 0"
    )[0]
    messages = messages_of(project.load(), project.options, "versions", row)
    assert messages[0]["content"].startswith(f"As a {first}.")
