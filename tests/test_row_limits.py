"""`--limit node=N`: so many rows go on, the same ones each time; raising it pays for what is new alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.runtime import execute, plan
from engine.runtime.limiting import limited
from engine.runtime.selection import SelectionError
from tests.endpoint import Endpoint, endpoint
from tests.project import Project

ROWS = 30
MORE = """
sql counted { query = "SELECT passages_id, count(*) AS n FROM drafted GROUP BY ALL" }
gather lists from drafted { by = passages, columns = [question] }
mix blended from worthy, drafted { share = { worthy: 0.5, drafted: 0.5 } }
"""


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with endpoint(p_true=1.0) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    made = Project(tmp_path, monkeypatch, server.base_url)
    for path in (made.root / "inputs").iterdir():
        path.unlink()
    for number in range(ROWS):
        made.write(f"inputs/{number}.txt", f"Passage {number} says that {number} is a number.")
    made.graph(MORE)
    return made


def run(project: Project, select: tuple[str, ...] = (), **limits: int) -> Any:
    program = limited(project.load(), limits)
    return asyncio.run(execute(program, replace(project.options, select=select)))


def test_so_many_go_on_and_more_of_them_cost_what_is_new(project: Project, server: Endpoint) -> None:
    asked = []
    for limits in ({"worthy": 5}, {"worthy": 5}, {"worthy": 12}, {}, {"worthy": 12}):
        before = server.stats()["calls"]
        assert run(project, **limits).status == "done"
        asked.append(server.stats()["calls"] - before)
        rows = limits.get("worthy", ROWS)
        assert project.rows("SELECT count(DISTINCT worthy_id), count(worthy_id) = count(*) FROM drafted") == [
            (rows, True)
        ]
        assert project.rows("SELECT count(*) FROM worthy") == [(ROWS,)]  # all of it is there
        assert project.rows("SELECT count(*) FROM counted") == [(rows,)]
        assert project.rows("SELECT count(*) FROM lists") == [(rows,)]
    assert asked == [ROWS + 5, 0, 7, ROWS - 12, 0]


def test_the_same_rows_go_on_whatever_comes_beside_them(project: Project) -> None:
    run(project, worthy=10)
    first = set(project.rows("SELECT DISTINCT path FROM drafted"))
    project.write("inputs/one-more.txt", "One more passage says that it is one more.")
    run(project, worthy=10)
    second = set(project.rows("SELECT DISTINCT path FROM drafted"))
    assert len(first) == len(second) == 10
    assert len(first - second) <= 1


def test_a_plan_knows_of_it(project: Project) -> None:
    made = {one.name: one for one in plan(limited(project.load(), {"worthy": 4}), project.options).nodes}
    assert made["worthy"].to_call == ROWS
    assert made["worthy.limited"].rows == 4
    assert made["drafted"].to_call == 4
    run(project, worthy=4)
    made = {one.name: one for one in plan(limited(project.load(), {"worthy": 9}), project.options).nodes}
    assert made["drafted"].to_call == 5


def test_with_a_selection(project: Project, server: Endpoint) -> None:
    assert run(project, select=("+worthy",)).status == "done"
    before = server.stats()["calls"]
    assert run(project, select=("drafted+",), worthy=3).status == "done"
    assert server.stats()["calls"] - before == 3
    assert project.rows("SELECT count(DISTINCT worthy_id) FROM drafted") == [(3,)]


def test_several_limits_and_what_a_mix_says_by_name(project: Project) -> None:
    assert run(project, passages=10, drafted=6).status == "done"
    assert project.rows("SELECT count(*) FROM worthy") == [(10,)]
    assert project.rows('SELECT count(*) FROM "drafted.limited"') == [(6,)]
    assert project.rows("SELECT count(*) > 0 FROM blended") == [(True,)]


@pytest.mark.parametrize(
    ("name", "said"), [("wrthy", "there is no node `wrthy`"), ("sft", "nothing reads what `sft` writes")]
)
def test_what_cannot_be_limited(project: Project, name: str, said: str) -> None:
    project.graph('emit sft from drafted { path = "x.jsonl", format = "prompt_completion" }')
    with pytest.raises(SelectionError, match=said):
        limited(project.load(), {name: 3})


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", ""])
def test_a_limit_is_a_number_of_rows(project: Project, text: str, capsys: Any, monkeypatch: Any) -> None:
    from engine.commands import main

    monkeypatch.chdir(project.root)
    assert main(["plan", "graph.atk", "--limit", f"worthy={text}"]) == 2
    assert "--limit" in capsys.readouterr().err
