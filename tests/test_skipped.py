"""Nodes that `when = false` leaves out: rows pass, under all their names."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.runtime import execute, load
from tests.project import GRAPH, Project

FUNCTION = """
def kept(rows):
    return [{"checked_id": row["checked_id"], "size": len(row["question"])} for row in rows]

def one(row):
    return {"wide": len(row["question"])}
"""
MORE = """
param verify: bool = true
prompt checked from drafted -> Verdict { template = "check", model = asked, when = verify }
prompt again from checked -> Verdict { template = "check", model = asked, when = verify }
dedupe unique_pairs from again { column = question, method = "exact" }
chat single from again { user = question, assistant = answer }
gather per_question from again { by = checked, columns = [question] }
gather per_again from again { by = again, columns = [question] }
gather turns from single { by = passages, columns = [question, answer] }
python sizes from checked -> { size: int }[] { call = "f.py:kept" }
python wide from again -> { wide: int } { call = "f.py:one", each = true }
sql narrow { query = "SELECT checked_id, question FROM unique_pairs" }
dedupe narrow_too from narrow { column = question, method = "exact" }
sql joint { query = "FROM again UNION ALL BY NAME FROM drafted" }
mix blend from checked, drafted { share = { checked: 0.5, drafted: 0.5 } }
emit out from single { path = "out/data.jsonl", format = "messages", lineage = true }
"""
SHOWN = ("unique_pairs", "single", "narrow", "narrow_too", "wide", "sizes", "per_question", "out")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(tmp_path, monkeypatch)
    project.write(
        "prompts/check.md", "system:\nRight?\n{{ schema }}\n\nuser:\n{{ text }} {{ question }} {{ answer }}\n"
    )
    project.write("f.py", FUNCTION)
    project.graph(text=GRAPH.format(more=MORE, retries=2))
    return project


def ids(project: Project) -> dict[str, tuple[int, int]]:
    """Rows of each table, and those of them that bear the id of the skipped node."""
    query = "SELECT '{0}', count(*), count(checked_id) FROM {0}"
    found = project.rows(" UNION ALL ".join(query.format(table) for table in SHOWN))
    return {table: (rows, named) for table, rows, named in found}


@pytest.mark.parametrize("values", [("false",), ("true", "false", "true")])
def test_every_row_bears_the_id_of_what_it_passed(project: Project, values: tuple[str, ...]) -> None:
    for verify in values:
        summary = project.run(verify=verify)
        assert summary.status == "done", summary.errors
        found = ids(project)
        for table, (rows, named) in found.items():
            assert rows == named > 0, (table, verify)
        drafted = len(project.table("drafted", "question"))
        assert found["per_question"] == (drafted, drafted)
        assert len(project.table("per_again", "again_id")) == drafted
        joined = project.rows("SELECT count(*) FROM single JOIN checked USING (checked_id)")
        assert joined == [(drafted,)]
    assert project.run(verify=values[-1]).calls == 0


def test_ids_are_stored_under_the_skipped_name(project: Project) -> None:
    """Also in the narrow tables, where no view mends them."""
    import duckdb

    project.run(verify="false")
    with duckdb.connect(str(project.options.store), read_only=True) as store:
        for table in ("unique_pairs", "single", "wide", "turns"):
            columns = {
                name for (name,) in store.execute(
                    "SELECT column_name FROM duckdb_columns() WHERE table_name = ?", [f"graph.{table}"]
                ).fetchall()
            }  # fmt: skip
            if "checked_id" in columns:
                found = store.execute(
                    f'SELECT count(*), count(checked_id) FROM data."graph.{table}"'
                ).fetchone()
                assert found is not None
                assert found[0] == found[1] > 0, table


def test_a_line_of_the_data_set_names_it(project: Project) -> None:
    import json

    project.run(verify="false")
    lines = (project.root / "out/data.jsonl").read_text().splitlines()
    metas = [json.loads(json.loads(line)["meta"]) for line in lines]
    assert all(meta["checked_id"] == meta["drafted_id"] for meta in metas)


def test_why_goes_past_it(project: Project) -> None:
    from engine.store.lineage import why
    from engine.store.reader import open_reader

    project.run(verify="false")
    row = str(project.rows("SELECT single_id FROM single LIMIT 1")[0][0])
    with open_reader(project.options.store) as reader:
        steps = [step.node for step in why(reader, "single", row)]
    assert steps == ["single", "drafted", "worthy", "passages", "documents"]


def test_executing_twice_the_other_way_pays_only_the_judge(project: Project) -> None:
    project.run(verify="false")
    program = load("graph.atk", values={"verify": "true"}, root=project.root)
    summary = asyncio.run(execute(program, project.options))
    asked = {name for name, one in summary.progress.items() if one.calls}
    assert asked <= {"checked", "again"}
