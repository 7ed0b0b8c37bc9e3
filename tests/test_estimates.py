"""How many rows and calls a plan expects, before an edit is paid for, and what the run then comes to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.runtime.events import NodePlan
from tests.endpoint import Endpoint, endpoint
from tests.project import DOCUMENTS, PROMPTS, Project

MORE = """
prompt checked from drafted -> Verdict { template = "check", model = asked, keep ok }
dedupe unique_pairs from checked { column = question }
gather turns from unique_pairs { by = passages, columns = [question, answer] }
chat talks from turns { system = "x", turns = turns }
sql counted from talks { query = "SELECT count(*) AS n FROM talks" }
"""


@pytest.fixture(scope="module")
def server() -> Any:
    with endpoint(p_true=1.0) as started:
        yield started


def prepared(root: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    project = Project(root, monkeypatch, server.base_url)
    project.write("prompts/check.md", "system:\nRight?\n{{ schema }}\n\nuser:\n{{ question }} {{ answer }}\n")
    project.graph(MORE)
    return project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    return prepared(tmp_path, monkeypatch, server)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, server: Endpoint) -> Project:
    with pytest.MonkeyPatch.context() as patch:
        made = prepared(tmp_path_factory.mktemp("once"), patch, server)
        assert made.run().status == "done"
        return made


@pytest.fixture
def ran(project: Project, once: Project) -> Project:
    """After a first run."""
    project.take(once)
    return project


def lines(project: Project) -> dict[str, NodePlan]:
    return {line.name: line for line in project.plan().nodes}


def edit_first_prompt(project: Project) -> None:
    project.write("prompts/worthy.md", PROMPTS["worthy"].replace("passage", "text"))


def edit_prompt(project: Project) -> None:
    project.write("prompts/draft.md", PROMPTS["draft"].replace("two", "three"))


def edit_last_prompt(project: Project) -> None:
    project.write("prompts/check.md", "system:\nTrue?\n{{ schema }}\n\nuser:\n{{ question }} {{ answer }}\n")


def edit_document(project: Project) -> None:
    project.write("inputs/rain.txt", DOCUMENTS["rain.txt"] + " Drizzle has small drops.")


@pytest.mark.parametrize("edit", [edit_first_prompt, edit_prompt, edit_last_prompt, edit_document])
def test_rows_to_come_take_the_place_of_those_that_stand(ran: Project, edit: Any) -> None:
    """Every prompt keeps all its rows here, so after an edit there are about as many as before."""
    before = {name: line.rows for name, line in lines(ran).items()}
    edit(ran)
    assert {name: line.rows for name, line in lines(ran).items()} == before


def test_calls_are_those_of_the_rows_that_come(ran: Project) -> None:
    edit_prompt(ran)
    planned = lines(ran)
    questions = len(ran.table("drafted", "question"))
    assert planned["drafted"].to_call == len(DOCUMENTS)
    assert planned["checked"].to_call == questions
    assert ran.run().calls == pytest.approx(len(DOCUMENTS) + questions, abs=3)


def test_added_document_adds(ran: Project) -> None:
    each = len(ran.table("drafted", "question")) / len(DOCUMENTS)
    ran.write("inputs/snow.txt", "Snow falls when crystals of ice stick together in a cold cloud.")
    planned = lines(ran)
    assert planned["worthy"].rows == len(DOCUMENTS) + 1
    assert planned["drafted"].rows == round((len(DOCUMENTS) + 1) * each)
    assert planned["turns"].rows == len(DOCUMENTS) + 1


LIMITED = """
param few: int? = 2
sql best from drafted {{ query = "SELECT question, answer FROM drafted ORDER BY question LIMIT {limit}" }}
prompt checked from best -> Verdict {{ template = "check", model = asked, keep ok }}
"""


@pytest.mark.parametrize(("limit", "calls"), [("$few", 2), ("3", 3), ("1 + 1", 12), ("80%", 12)])
def test_no_more_rows_are_expected_than_a_query_lets_through(
    project: Project, limit: str, calls: int
) -> None:
    """What is reckoned, or a share, says nothing before: four rows of each passage are taken."""
    project.graph(LIMITED.format(limit=limit))
    planned = lines(project)
    assert (planned["best"].rows, planned["checked"].to_call) == (calls, calls)


def test_a_limit_that_is_null_is_none(project: Project) -> None:
    project.graph(LIMITED.format(limit="$few").replace("int? = 2", "int? = null"))
    assert lines(project)["checked"].to_call == 12


def test_rows_that_a_query_has_cut_are_as_many_after_an_edit(project: Project) -> None:
    project.graph(LIMITED.format(limit="$few"))
    project.run()
    edit_prompt(project)
    planned = lines(project)
    assert (planned["best"].rows, planned["checked"].to_call) == (2, 2)


TWICE = """
prompt worthy_too from passages -> Verdict { template = "worthy", model = asked, keep ok }
prompt drafted_too from worthy_too -> QA[] { template = "draft", model = asked, retries = 2 }
prompt worthy_otherwise from passages -> Verdict { template = "worthy", model = asked, sample = 0.5 }
"""


def test_what_two_nodes_ask_alike_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint
) -> None:
    """As it is paid for once. It is known of rows that are there, not of those that will come."""
    project = Project(tmp_path, monkeypatch, server.base_url)
    project.write("inputs/again.txt", DOCUMENTS["rain.txt"])  # the same prompt again, in one node
    project.graph(TWICE)
    planned = lines(project)
    alike = [planned[name] for name in ("worthy", "worthy_too", "worthy_otherwise")]
    expected = sum(line.to_call or 0 for line in alike)
    passages = planned["passages"].rows
    assert expected == passages - 1
    assert sum(line.cached or 0 for line in alike[:2]) >= passages
    server.reset()
    summary = project.run()
    assert summary.status == "done"
    made = sum(summary.progress[name].calls for name in ("worthy", "worthy_too", "worthy_otherwise"))
    assert made == expected
