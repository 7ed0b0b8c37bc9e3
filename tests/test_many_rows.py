"""More rows than fit one batch: none is lost, none comes twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.project import Project

ROWS = 6_500

GRAPH = """
type Line {{ number: int, text: str }}
source lines -> Line[] {{ path = "lines.jsonl" }}
chat talks from lines {{ user = text, assistant = text }}
sql odd {{ query = "SELECT lines_id, number FROM lines WHERE number % 2 = 1" }}
{more}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path, monkeypatch)
    project.graph(text=GRAPH.format(more=""))
    write(project, {number: f"line {number}" for number in range(ROWS)})
    return project


def write(project: Project, lines: dict[int, str]) -> None:
    project.write(
        "lines.jsonl", "".join(json.dumps({"number": n, "text": t}) + "\n" for n, t in lines.items())
    )


def test_every_row_arrives_once(project: Project) -> None:
    assert project.run().status == "done"
    for table, expected in (("lines", ROWS), ("talks", ROWS), ("odd", ROWS // 2)):
        assert project.rows(f"SELECT count(*), count(DISTINCT number) FROM {table}") == [
            (expected, expected)
        ], table


def test_edit_of_some_lines_touches_those_alone(project: Project) -> None:
    project.run()
    before = set(project.rows("SELECT talks_id::VARCHAR, text FROM talks"))
    lines = {number: f"line {number}" for number in range(1, ROWS + 1)}  # one gone, one new
    lines[4_000] = "another text"
    write(project, lines)
    assert project.run().status == "done"
    after = set(project.rows("SELECT talks_id::VARCHAR, text FROM talks"))
    assert {text for _, text in before - after} == {"line 0", "line 4000"}
    assert {text for _, text in after - before} == {f"line {ROWS}", "another text"}
    assert project.rows("SELECT count(*) FROM talks") == [(ROWS,)]


def test_equal_lines_are_rows_of_their_own(project: Project) -> None:
    project.write("lines.jsonl", (json.dumps({"number": 1, "text": "the same"}) + "\n") * 5_000)
    assert project.run().status == "done"
    assert project.rows("SELECT count(*), count(DISTINCT lines_id) FROM lines") == [(5_000, 5_000)]


def test_sample_by_number_and_by_share_is_steady(project: Project) -> None:
    more = """
type Answer { answer: str }
prompt hundred from lines -> Answer { template = "worthy", model = default, sample = 100, reply = "text" }
prompt share from lines -> Answer { template = "worthy", model = default, sample = 0.02, reply = "text" }
"""
    project.graph(text=GRAPH.format(more=more))
    assert project.run().status == "done"
    some = {number for (number,) in project.rows("SELECT number FROM hundred")}
    share = {number for (number,) in project.rows("SELECT number FROM share")}
    assert len(some) == 100
    assert 0.01 * ROWS < len(share) < 0.03 * ROWS
    write(project, {number: f"line {number}" for number in range(ROWS + 500)})
    project.run()
    now = {number for (number,) in project.rows("SELECT number FROM hundred")}
    assert len(now) == 100
    assert len(some & now) > 80
    assert share <= {number for (number,) in project.rows("SELECT number FROM share")}


def test_times_with_a_zone_reach_what_follows(project: Project) -> None:
    """DuckDB makes Python values of them with a package of its own choosing, which must be there."""
    more = """
sql dated {
  query = "SELECT lines_id, TIMESTAMPTZ '2026-01-02 03:04:05+00' AS read FROM lines WHERE number < 3"
}
chat said from dated { user = strftime(read, "%Y") || "?", assistant = "Yes." }
"""
    project.graph(text=GRAPH.format(more=more))
    write(project, {number: f"line {number}" for number in range(5)})
    assert project.run().status == "done"
    assert project.rows("SELECT messages[1].content FROM said LIMIT 1") == [("2026?",)]
