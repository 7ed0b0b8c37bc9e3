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


BOUND = """param subject: str = "weather"
model one from default { temperature = 0.1 }
model other from default { temperature = 0.2 }
profile cheap { one = other }
use "base.atk" as factual { domain = "the " || subject, verify = false, asked = one }
sql pairs { query = "FROM factual.unique_pairs" }
"""


def test_a_use_binds_params_and_models(project: Project) -> None:
    project.graph(text=BOUND)
    program = load("graph.atk", root=project.root)
    assert [one.message for one in program.diagnostics] == []
    assert program.params["factual.domain"].value == "the weather"
    assert program.params["factual.verify"].value is False
    assert program.models["factual.asked"].sampling == {"temperature": 0.1}
    assert project.run().status == "done"

    given = load("graph.atk", root=project.root, values={"subject": "sea", "factual.verify": "true"})
    assert given.params["factual.domain"].value == "the sea"
    assert given.params["factual.verify"].value is True
    cheap = load("graph.atk", root=project.root, profile="cheap")
    assert cheap.models["factual.asked"].sampling == {"temperature": 0.2}
    set_by_hand = load("graph.atk", root=project.root, models={"factual.asked": "default"})
    assert set_by_hand.models["factual.asked"].sampling == {}


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("domain = subjct", "no param named `subjct`"),
        ("domain = 5", "`domain` must be text (str), not 5"),
        ("domian = subject", "`factual` has no param or model named `domian`"),
        ("domain = subject, asked = nobody", "no model named `nobody`"),
        ("domain = subject, domain = subject", "`domain` is set twice"),
        ("domain = subject, where true", "a `use` takes no `where`"),
    ],
)
def test_what_a_use_cannot_bind(project: Project, block: str, message: str) -> None:
    project.graph(text=BOUND.replace('domain = "the " || subject, verify = false, asked = one', block))
    found = load("graph.atk", root=project.root)
    assert message in [one.message for one in found.diagnostics]


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


OWN = """
type Pair { question: str, answer: str }
source pairs -> Pair[] { path = "pairs.jsonl" }
dedupe unique_pairs from pairs {
  column = question
  method = "exact"
  expect count(unique_pairs_id) == count(pairs_id)
}
sql joined { query = "SELECT u.*, p.answer AS said FROM unique_pairs u JOIN pairs p USING (pairs_id)" }
python sized from unique_pairs -> { size: int }[] { call = "sizes.py:sized" }
graph short(rows: { question: str }[]) -> { question: str }[] {
  sql few { query = "FROM rows", expect count(few_id) == count(rows_id) }
  sql named { query = "SELECT few_id, rows_id, question FROM few", expect count(named_id) == count(few_id) }
  return named
}
short cut from unique_pairs { expect count(cut_id) == count(unique_pairs_id) }
short twice from cut { expect count(cut_id) == 2 }
"""
SIZES = """
def sized(rows):
    return [{"unique_pairs_id": row["unique_pairs_id"], "size": len(row["pairs_id"])} for row in rows]
"""
FROM_ABOVE = """
use "own.atk" as mine
sql again { query = "SELECT mine_pairs_id, mine_unique_pairs_id, size FROM mine.sized" }
sql inner_ids { query = "SELECT mine_twice_few_id, question FROM mine.twice" }
dedupe last from mine.joined { column = said, method = "exact", expect count(mine_pairs_id) == 2 }
"""


def test_code_names_ids_as_its_own_file_names_tables(project: Project) -> None:
    """Queries, functions and expectations mean the same where their file is used and their graph called."""
    project.write("pairs.jsonl", '{"question": "q", "answer": "a"}\n{"question": "r", "answer": "b"}\n')
    project.write("sizes.py", SIZES)
    project.graph(text=OWN, name="own")
    project.graph(text=FROM_ABOVE)
    for name in ("own", "graph"):
        summary = project.run(name)
        assert (summary.status, summary.errors) == ("done", []), name
    for table, above in (("again", "mine_pairs"), ("inner_ids", "mine_twice_few"), ("last", "mine_joined")):
        assert project.rows(f"SELECT count(DISTINCT {above}_id) FROM {table}") == [(2,)]
    assert project.rows('SELECT count(*) FROM "mine.sized" JOIN mine.pairs USING (mine_pairs_id)') == [(2,)]
    assert {node.mark for node in project.plan().nodes} == {"="}


WRONG_IDS = [
    ("SELECT pairs_id FROM mine.pairs", "no column named `pairs_id`", "did you mean `mine_pairs_id`?"),
    ("SELECT few_id FROM mine.cut", "no column named `few_id`", "did you mean `mine_cut_few_id`?"),
]


@pytest.mark.parametrize(("query", "message", "help"), WRONG_IDS)
def test_an_id_by_the_name_of_another_scope(project: Project, query: str, message: str, help: str) -> None:
    project.graph(text=OWN, name="own")
    project.graph(text=f'use "own.atk" as mine\nsql a {{ query = "{query}" }}\n')
    project.write("sizes.py", SIZES)
    found = load("graph.atk", root=project.root).diagnostics
    assert [(one.message, one.help) for one in found] == [(message, help)]


def test_a_column_with_the_name_of_an_id_stays_a_column(project: Project) -> None:
    project.write("pairs.jsonl", '{"rows_id": 7, "question": "q"}\n')
    project.graph(
        text="""
source pairs -> { rows_id: int, question: str }[] { path = "pairs.jsonl" }
graph plain(rows: { rows_id: int }[]) -> { rows_id: int }[] {
  sql few { query = "SELECT rows_id, pairs_id FROM rows" }
  return few
}
plain out from pairs
"""
    )
    assert project.run().status == "done"
    assert project.rows('SELECT rows_id FROM "out"') == [(7,)]
