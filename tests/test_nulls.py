"""Clauses over what is not known, and over what cannot be worked out: one rule for all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.store import open_reader
from tests.project import Project

HEAD = """
type Person {{ name: str?, age: int? }}
type Guess {{ why: str, score: int? }}
source people -> Person[] {{ path = "people.jsonl" }}
{more}
"""
PEOPLE: list[dict[str, Any]] = [{"name": "Ada", "age": 36}, {"name": "Bo"}, {"name": "Cy", "age": 12}]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return prepared(tmp_path, monkeypatch)


def prepared(root: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(root, monkeypatch)
    project.write("people.jsonl", "".join(json.dumps(one) + "\n" for one in PEOPLE))
    project.write("prompts/guess.md", "system:\n{{ schema }}\n\nuser:\nWho is {{ name }}? {{ more }}\n")
    return project


def names(project: Project, table: str) -> list[str]:
    return [name for (name,) in project.table(table, "name")]


def run(project: Project, more: str) -> Any:
    project.graph(text=HEAD.format(more=more))
    return project.run()


# What of Ada (36), Bo (no age) and Cy (12) passes.
PASSING = [
    ("age > 20", ["Ada"]),
    ("not age > 20", ["Cy"]),
    ("age > 20 or age == null", ["Ada", "Bo"]),
    ("age != null", ["Ada", "Cy"]),
    ("coalesce(age, 0) < 20", ["Bo", "Cy"]),
    ("age in [12, 36]", ["Ada", "Cy"]),
    ("age not in [12]", ["Ada"]),
    ("age == age", ["Ada", "Cy"]),
    ("if(age > 20, false, true)", ["Bo", "Cy"]),
]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, dict[str, list[str]]]:
    """A run of a graph with all of them, and the names in its tables."""
    ask = 'template = "guess", let more = ""'
    nodes = "".join(
        f"prompt sent_{at} from people -> Guess {{ {ask}, where {expression} }}\n"
        f'prompt kept_{at} from people -> Guess {{ {ask}, keep {expression} else "no" }}\n'
        f'prompt held_{at} from people -> Guess {{ {ask}, retries = 0, check {expression} else "no" }}\n'
        for at, (expression, _) in enumerate(PASSING)
    )
    with pytest.MonkeyPatch.context() as patch:
        project = prepared(tmp_path_factory.mktemp("asked"), patch)
        summary = run(project, nodes)
        with open_reader(project.options.store) as reader, reader.held():
            tables = {
                f"{fate}{node}_{at}": sorted(
                    str(name) for (name,) in reader.sql(f"SELECT name FROM {fate}{node}_{at}").rows
                )
                for node in ("sent", "kept", "held")
                for fate in ("", "rejected.", "failed.")
                for at in range(len(PASSING))
            }
    return summary, tables


@pytest.mark.parametrize("at", range(len(PASSING)), ids=[expression for expression, _ in PASSING])
def test_what_is_not_known_does_not_pass(asked: tuple[Any, dict[str, list[str]]], at: int) -> None:
    summary, tables = asked
    passing = PASSING[at][1]
    assert tables[f"sent_{at}"] == tables[f"kept_{at}"] == tables[f"held_{at}"] == passing
    others = sorted(str(one["name"]) for one in PEOPLE if one["name"] not in passing)
    assert tables[f"rejected.kept_{at}"] == tables[f"failed.held_{at}"] == others
    assert tables[f"rejected.sent_{at}"] == tables[f"failed.sent_{at}"] == []
    sent = summary.progress[f"sent_{at}"]
    assert sent.calls + sent.cached == len(passing)


EXPECTATIONS = [
    ("age > 0", False),  # unknown for Bo
    ("age > 0 or age == null", True),
    ("max(age) > 20", True),
    ("count(age) == 2", True),
    ("count(*) == 3", True),
]


@pytest.mark.parametrize(("expression", "held"), EXPECTATIONS)
def test_expect_over_nulls(project: Project, expression: str, held: bool) -> None:
    summary = run(project, f'sql all_of {{ query = "FROM people", expect {expression} }}')
    assert (summary.status == "done") is held


EMPTY = [
    ("score > 3", True),
    ("avg(score) > 3", False),
    ("count(*) == 0", True),
    ("max(score) == null", True),
]


@pytest.mark.parametrize(("expression", "held"), EMPTY)
def test_expect_over_no_rows(project: Project, expression: str, held: bool) -> None:
    query = "SELECT age AS score FROM people WHERE false"
    summary = run(project, f'sql nobody {{ query = "{query}", expect {expression} }}')
    assert (summary.status == "done") is held


@pytest.mark.parametrize(("expression", "ran"), [("avg(age) > 20", 3), ("count(*) == 0", 1), ("age > 20", 1)])
def test_until_over_no_rows(project: Project, expression: str, ran: int) -> None:
    """An average of nothing is not known, so the rounds go on; every row of none passes."""
    summary = run(
        project,
        """
graph fewer(rows: Person[]) -> Person[] {
  sql none_left { query = "FROM rows WHERE false" }
  return none_left
}
fewer rest from people { rounds = 3, until """
        + expression
        + " }",
    )
    rounds = [summary.progress[f"rest.round_{number}"].state for number in (1, 2, 3)]
    assert [state != "passed" for state in rounds].count(True) == ran


def test_a_let_that_is_null_is_printed_as_nothing(project: Project) -> None:
    run(project, 'prompt sent from people -> Guess { template = "guess", let more = "At " || name || age }')
    asked = {
        json.loads(text)["messages"][-1]["content"] for (text,) in project.rows("SELECT request FROM calls")
    }
    assert asked == {"Who is Ada? At Ada36", "Who is Bo?", "Who is Cy? At Cy12"}


FAULTS = [
    ('where strptime(name, "%Y") != null', "where"),
    ('let year = year(strptime(name, "%Y"))', "let year"),
]


@pytest.mark.parametrize(("clause", "said"), FAULTS)
def test_a_row_over_which_a_clause_cannot_be_worked_out_has_failed(
    project: Project, clause: str, said: str
) -> None:
    """It is not left out in silence, and the others go on."""
    project.write("people.jsonl", '{"name": "2001"}\n{"name": "Ada"}\n{"name": "1999"}\n')
    summary = run(
        project, f'prompt sent from people -> Guess {{ template = "guess", {clause}, let more = "" }}'
    )
    assert summary.status == "failed"
    assert names(project, "sent") == ["1999", "2001"]
    assert names(project, "failed.sent") == ["Ada"]
    ((reason,),) = project.rows("SELECT reason FROM failed.sent")
    assert reason.startswith(f"`{said}")
    assert "cannot be worked out: " in reason
    assert "\n" not in reason
    assert project.run().calls == 0


def test_a_let_over_one_that_cannot_be_worked_out(project: Project) -> None:
    project.write("people.jsonl", '{"name": "2001"}\n{"name": "Ada"}\n')
    lets = 'let year = year(strptime(name, "%Y")), let more = "in " || year'
    run(project, f'prompt sent from people -> Guess {{ template = "guess", {lets}, where length(more) > 0 }}')
    assert names(project, "sent") == ["2001"]
    ((reason,),) = project.rows("SELECT reason FROM failed.sent")
    assert reason.startswith("`let year`")
