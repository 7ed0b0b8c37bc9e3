"""Files with tables that another file imports: names, params, models, what runs and what is paid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.runtime import load
from tests.endpoint import Endpoint, endpoint
from tests.project import DOCUMENTS, Project

COUNT = len(DOCUMENTS)
BASE = """
use "lib/chat.atk" as chat
param domain: str                     ## What it is about.
param verify: bool = true
model asked from default { temperature = 0.5 }
type Document { path: str, title: str?, text: str }
type QA { question: str, answer: str }
type Verdict { why: str, ok: bool }
source documents -> Document[] { path = "inputs" }
prompt drafted from documents -> QA { template = "write", model = asked }
prompt checked from drafted -> Verdict { template = "check", model = asked, when = verify, keep ok }
dedupe unique_pairs from checked { column = question, method = "exact" }
chat.dialogue single_turn from unique_pairs { system = "An expert in " || domain }
prompt unused from documents -> QA { template = "check", model = asked }
emit out from unique_pairs { path = "out/base.jsonl", format = "prompt_completion" }
"""
TOP = """
use "base.atk" as factual
type Rating { score: int }
sql grounded {
  query = \"\"\"
    SELECT q.*, p.text AS source
    FROM factual.unique_pairs q JOIN factual.documents p USING (factual_documents_id)
  \"\"\"
}
sql set_aside {
  query = \"\"\"FROM rejected."factual.checked" UNION ALL BY NAME FROM failed."factual.drafted" \"\"\"
}
sql lost { query = "FROM rejected.again" }
dedupe again from factual.unique_pairs { column = question, method = "exact" }
dedupe within from factual.single_turn { column = question, method = "exact" }
sql quoted { query = \"\"\"FROM "factual.single_turn" \"\"\" }
prompt rated from grounded -> Rating { template = "rate", model = factual.asked }
emit rag from rated { path = "out/rag.jsonl", format = "prompt_completion" }
"""


@pytest.fixture
def server() -> Any:
    with endpoint(p_true=1.0) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    project = Project(tmp_path, monkeypatch, server.base_url)
    project.write("prompts/write.md", "user:\nOn {{ domain }}: {{ text }}\n")
    project.write("prompts/check.md", "user:\nCheck {{ text }}\n")
    project.write("prompts/rate.md", "user:\nRate {{ question }} {{ source }}\n")
    project.graph(text=BASE, name="base")
    project.graph(text=TOP)
    return project


GIVEN = {"factual.domain": "weather"}


def test_a_file_becomes_part_of_another(server: Endpoint, project: Project) -> None:
    summary = project.run(**GIVEN)
    assert (summary.status, summary.errors) == ("done", [])
    assert summary.calls == 3 * COUNT  # nothing is asked for `unused`
    assert {"factual.unused", "factual.out"} & summary.progress.keys() == set()
    assert not (project.root / "out/base.jsonl").exists()
    assert (project.root / "out/rag.jsonl").exists()
    for table in (
        "grounded",
        "rated",
        "again",
        "within",
        "quoted",
        "factual.unique_pairs",
        '"factual.single_turn"',
    ):
        assert project.rows(f"SELECT count(*) FROM {table}") == [(COUNT,)], table
    assert project.rows("SELECT DISTINCT system.content FROM (SELECT messages[1] AS system FROM within)") == [
        ("An expert in weather",)
    ]


def test_what_the_file_itself_paid_is_not_paid_again(server: Endpoint, project: Project) -> None:
    project.run("base", domain="weather")
    server.reset()
    assert project.run(**GIVEN).calls == COUNT  # the ratings
    assert project.run("base", domain="weather").calls == 0
    assert project.run(**GIVEN).calls == 0


def test_params_of_the_file(project: Project) -> None:
    def told(**values: str) -> list[tuple[str, str | None]]:
        found = load("graph.atk", values=values, root=project.root)
        return [(one.message, one.help) for one in found.diagnostics]

    assert told() == [
        ("`factual.domain` has no value: What it is about.", "give it one: -p factual.domain=…")
    ]
    assert told(**GIVEN) == []
    assert told(**GIVEN, **{"factual.verify": "perhaps"}) == [
        ('`factual.verify` must be true or false (bool), not "perhaps"', None)
    ]
    assert told(**GIVEN, **{"factual.verfy": "true"}) == [
        ("no param named `factual.verfy`", "did you mean `factual.verify`?")
    ]
    program = load("graph.atk", values=GIVEN, root=project.root)
    assert {name: one.value for name, one in program.params.items()} == {
        "factual.domain": "weather",
        "factual.verify": True,
    }
    assert project.run(**GIVEN, **{"factual.verify": "false"}).status == "done"


def test_a_model_needs_no_more_of_its_file_than_it_reads(project: Project) -> None:
    project.graph(
        text='use "base.atk" as factual\nsource d -> factual.Document[] { path = "inputs" }\n'
        'prompt p from d -> factual.QA { template = "check", model = factual.asked }\n'
    )
    assert load("graph.atk", root=project.root).diagnostics == []


def test_a_model_of_the_file_is_rebound_by_its_name(project: Project) -> None:
    program = load("graph.atk", values=GIVEN, models={"factual.asked": "default"}, root=project.root)
    assert program.ok
    assert program.models["factual.asked"].sampling == {}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": 'use "a.atk" as b'}, "`a.atk` is this file itself"),
        (
            {"a": 'use "b.atk"', "b": 'use "c.atk"', "c": 'use "a.atk"'},
            "files import each other: a.atk -> b.atk -> c.atk -> a.atk",
        ),
        (
            {"a": 'use "b.atk"', "b": 'use "c.atk"', "c": 'use "b.atk"'},
            "files import each other: b.atk -> c.atk -> b.atk",
        ),
    ],
)
def test_files_do_not_import_each_other(project: Project, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        project.graph(text=text, name=name)
    found = load("a.atk", root=project.root)
    assert message in [one.message for one in found.diagnostics]
    assert not found.ok


def test_an_emit_of_the_file_is_no_input(project: Project) -> None:
    project.graph(text='use "base.atk" as f\ndedupe d from f.out { column = question }')
    messages = [
        one.message for one in load("graph.atk", values={"f.domain": "x"}, root=project.root).diagnostics
    ]
    assert messages == ["`f.out` writes files: nothing can be made from it"]


def test_an_id_is_named_after_the_import(project: Project) -> None:
    """The column of an imported table's id bears the import's name; the message says so."""
    project.graph(text=TOP.replace("USING (factual_documents_id)", "USING (documents_id)"))
    (found,) = load("graph.atk", values=GIVEN, root=project.root).diagnostics
    assert found.help == "did you mean `factual_documents_id`?"


def test_tables_within_a_call_are_read_by_nodes_and_queries(project: Project) -> None:
    project.graph(
        text="""
graph longer(rows: { text: str }[], least: int) -> { text: str }[] {
  sql sized { query = "SELECT *, length(text) AS size FROM rows" }
  sql kept { query = "FROM sized WHERE size > $least" }
  return kept
}
source documents -> { path: str, title: str?, text: str }[] { path = "inputs" }
longer long from documents { least = 10 }
dedupe d from long.sized { column = text, method = "exact" }
sql s { query = "SELECT size FROM long.sized" }
sql q { query = \"\"\"SELECT size FROM "long.sized" \"\"\" }
gather g from long.sized { by = documents, columns = [size] }
"""
    )
    assert project.run().status == "done"
    for table in ("d", "s", "q", "g", "long.sized", "long.kept"):
        assert project.rows(f"SELECT count(*) FROM {table}") == [(COUNT,)], table
