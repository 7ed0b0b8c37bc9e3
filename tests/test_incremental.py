"""What an edit costs: counted at an endpoint, call by call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.endpoint import Endpoint, endpoint
from tests.project import DOCUMENTS, GRAPH, PROMPTS, Project

CHECKED = """
prompt checked from drafted -> Verdict { template = "check", model = asked, keep ok }
"""


@pytest.fixture
def server() -> Any:
    with endpoint(p_true=1.0) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    project = Project(tmp_path, monkeypatch, server.base_url)
    project.write("prompts/check.md", "system:\nRight?\n{{ schema }}\n\nuser:\n{{ question }} {{ answer }}\n")
    project.graph(CHECKED)
    return project


def calls(server: Endpoint, project: Project, name: str = "graph", **values: str) -> int:
    """Run, and count what was paid."""
    server.reset()
    summary = project.run(name, **values)
    assert summary.status == "done", summary.errors
    paid = server.stats()["calls"]
    assert summary.calls == paid
    return paid


def test_second_run_is_free(server: Endpoint, project: Project) -> None:
    questions = calls(server, project) - 2 * len(DOCUMENTS)
    assert questions == len(project.table("drafted", "question")) > 0
    assert calls(server, project) == 0


def test_added_document_is_all_that_is_paid(server: Endpoint, project: Project) -> None:
    calls(server, project)
    before = set(project.table("checked", "checked_id::VARCHAR", "question"))
    project.write("inputs/snow.txt", "Snow falls when crystals of ice stick together in a cold cloud.")
    paid = calls(server, project)
    after = set(project.table("checked", "checked_id::VARCHAR", "question"))
    assert before < after
    assert paid == 2 + len(after - before)


def test_edited_document_changes_its_rows_alone(server: Endpoint, project: Project) -> None:
    calls(server, project)
    query = "SELECT checked_id::VARCHAR, question FROM checked WHERE path {} 'rain.txt'"
    others, own = set(project.rows(query.format("<>"))), set(project.rows(query.format("=")))
    project.write("inputs/rain.txt", DOCUMENTS["rain.txt"] + " Drizzle has small drops.")
    paid = calls(server, project)
    assert set(project.rows(query.format("<>"))) == others
    now = set(project.rows(query.format("=")))
    assert now != own
    assert paid == 2 + len(now)


def test_deleted_document_takes_its_rows_along(server: Endpoint, project: Project) -> None:
    calls(server, project)
    (project.root / "inputs/wind.txt").unlink()
    assert calls(server, project) == 0
    for table in ("documents", "passages", "worthy", "drafted", "checked"):
        assert {path for (path,) in project.rows(f"SELECT DISTINCT path FROM {table}")} == {
            "clouds.txt",
            "rain.txt",
        }


def test_document_that_comes_back_is_free(server: Endpoint, project: Project) -> None:
    calls(server, project)
    (project.root / "inputs/wind.txt").unlink()
    calls(server, project)
    project.write("inputs/wind.txt", DOCUMENTS["wind.txt"])
    assert calls(server, project) == 0
    assert len(project.table("worthy", "path")) == len(DOCUMENTS)


def test_changed_prompt_costs_its_node_and_what_follows(server: Endpoint, project: Project) -> None:
    calls(server, project)
    worthy = project.table("worthy", "worthy_id::VARCHAR", "why")
    project.write("prompts/draft.md", PROMPTS["draft"].replace("two", "three"))
    paid = calls(server, project)
    assert project.table("worthy", "worthy_id::VARCHAR", "why") == worthy
    assert paid == len(DOCUMENTS) + len(project.table("drafted", "question"))


def test_changed_prompt_with_the_same_replies_stops_there(server: Endpoint, project: Project) -> None:
    """A verdict that comes out as before asks nothing of those who read it."""
    server.config(rules=[{"contains": "worth a question", "reply": {"why": "it states facts", "ok": True}}])
    calls(server, project)
    project.write("prompts/worthy.md", PROMPTS["worthy"].replace("passage", "text"))
    server.config(rules=[{"contains": "worth a question", "reply": {"why": "it states facts", "ok": True}}])
    assert calls(server, project) == len(DOCUMENTS)


def test_changed_last_prompt_costs_its_rows(server: Endpoint, project: Project) -> None:
    calls(server, project)
    project.write("prompts/check.md", "system:\nTrue?\n{{ schema }}\n\nuser:\n{{ question }} {{ answer }}\n")
    assert calls(server, project) == len(project.table("drafted", "question"))


def edit_comment(text: str) -> str:
    return "# what this is for\n" + text.replace("prompt worthy", "## Is it worth it?\nprompt worthy")


def edit_order(text: str) -> str:
    *head, worthy, drafted, checked = [line for line in text.splitlines() if line]
    return "\n".join([*head, checked, drafted, worthy])


def edit_names(text: str) -> str:
    return (
        text.replace("worthy from", "good from").replace("from worthy", "from good").replace("asked", "small")
    )


def edit_price(text: str) -> str:
    return text.replace("{ temperature", "{ price = { input: 1.0, output: 2.0 }, parallel = 3, temperature")


def edit_layout(text: str) -> str:
    return text.replace("{ template", "{\n\n  template").replace(", model", "\n  model")


def edit_expectation(text: str) -> str:
    return text.replace("keep ok }", "keep ok, expect count(*) > 0 }")


@pytest.mark.parametrize(
    "edit", [edit_comment, edit_order, edit_names, edit_price, edit_layout, edit_expectation]
)
def test_what_reaches_no_model_is_free(server: Endpoint, project: Project, edit: Any) -> None:
    calls(server, project)
    questions = project.table("checked", "question", "answer")
    changed = edit(GRAPH.format(more=CHECKED, retries=2))
    assert changed != GRAPH.format(more=CHECKED, retries=2)
    project.graph(text=changed)
    assert calls(server, project) == 0
    assert project.table("checked", "question", "answer") == questions


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("ok: bool }", "ok: bool  ## Whether it holds.\n}", "comments changed"),
        ("why: str,", "why: str,  ## Three words.\n", "comments changed"),
    ],
)
def test_a_comment_that_the_model_sees_is_asked_again(
    server: Endpoint, project: Project, before: str, after: str, why: str
) -> None:
    """It is part of the prompt: with the comment as it was, nothing is asked; with another, all rows are."""
    calls(server, project)
    text = GRAPH.format(more=CHECKED, retries=2)
    project.graph(text=text.replace(before, after))
    told = {node.name: node.why for node in project.plan().nodes if node.mark == "~"}
    assert told.keys() == {"worthy", "checked"}
    assert all(said.startswith(why) for said in told.values())
    assert calls(server, project) >= len(DOCUMENTS)
    assert calls(server, project) == 0
    project.graph(text=text.replace(before, after.replace(".\n", ", in short.\n")))
    (told_of,) = {node.why for node in project.plan().nodes if node.name == "worthy"}
    assert told_of.startswith("comment of ")
    assert calls(server, project) >= len(DOCUMENTS)
    project.graph(text=text)
    assert calls(server, project) == 0


def test_another_graph_that_asks_the_same_is_free(server: Endpoint, project: Project) -> None:
    calls(server, project)
    project.graph(CHECKED, name="other")
    assert calls(server, project, "other") == 0


def test_another_temperature_pays_again(server: Endpoint, project: Project) -> None:
    paid = calls(server, project)
    project.graph(text=GRAPH.format(more=CHECKED, retries=2).replace("0.5", "0.6"))
    assert calls(server, project) == paid


def test_plan_knows_before_what_run_pays(server: Endpoint, project: Project) -> None:
    plan = project.plan()
    exact = {node.name: node.to_call for node in plan.nodes if node.to_call and not node.estimated}
    assert exact == {"worthy": len(DOCUMENTS)}
    assert server.stats()["calls"] == 0
    assert not (project.root / ".atk" / "store.duckdb").exists()
    calls(server, project)
    assert project.plan().calls == 0
    assert {node.mark for node in project.plan().nodes} == {"="}
    project.write("prompts/check.md", "system:\nTrue?\n{{ schema }}\n\nuser:\n{{ question }} {{ answer }}\n")
    plan = project.plan()
    changed = {
        node.name: (node.mark, node.to_call, node.estimated) for node in plan.nodes if node.mark != "="
    }
    assert changed == {"checked": ("~", len(project.table("drafted", "question")), False)}
    assert "template check" in next(node.why for node in plan.nodes if node.name == "checked")
    assert calls(server, project) == plan.calls
