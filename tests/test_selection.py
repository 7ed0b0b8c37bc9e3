"""Selections of nodes: what each means, what it says when it means nothing, and what a run of it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx
import pytest

from engine.commands import main
from engine.kinds.base import KindError
from engine.runtime import execute, plan
from engine.runtime.events import Plan, Summary
from engine.runtime.selection import Selectable, SelectionError
from tests.endpoint import Endpoint, endpoint
from tests.project import DOCUMENTS, PROMPTS, Project

KINDS = {
    "documents": "source",
    "passages.cut": "chunk",
    "passages": "sql",
    "worthy": "prompt",
    "drafted": "prompt",
    "checked": "prompt",
    "corpus": "emit",
    "sft": "emit",
}
EDGES = [
    ("documents", "passages.cut"),
    ("passages.cut", "passages"),
    ("passages", "worthy"),
    ("worthy", "drafted"),
    ("drafted", "checked"),
    ("checked", "sft"),
    ("passages", "corpus"),
]
STATES = {name: {"unchanged"} for name in KINDS} | {"drafted": {"changed", "failed"}, "sft": {"new"}}


def selectable() -> Selectable:
    dag: networkx.DiGraph[str] = networkx.DiGraph()
    dag.add_nodes_from((name, {"kind": kind}) for name, kind in KINDS.items())
    dag.add_edges_from(EDGES)
    return Selectable(dag, {*KINDS.values(), "mix"}, lambda: STATES, {"passages.sampled": "passages"})


@pytest.mark.parametrize(
    ("selections", "names"),
    [
        ("drafted", "drafted"),
        ("+worthy", "documents passages.cut passages worthy"),
        ("drafted+", "drafted checked sft"),
        ("2+drafted", "passages worthy drafted"),
        ("drafted+1", "drafted checked"),
        ("1+drafted+1", "worthy drafted checked"),
        ("0+drafted", "drafted"),
        ("kind:emit", "corpus sft"),
        ("state:changed", "drafted"),
        ("state:changed+", "drafted checked sft"),
        ("1+state:failed", "worthy drafted"),
        ("passages.*", "passages.cut passages"),
        ("[dc]*ed", "drafted checked"),
        ("passages.sampled", "passages"),
        ("kind:prompt,+drafted", "worthy drafted"),
        ("kind:prompt , drafted+", "drafted checked"),
        ("worthy corpus", "worthy corpus"),
        ("kind:mix sft", "sft"),
    ],
)
def test_selection(selections: str, names: str) -> None:
    given = [selections] if " , " in selections else selections.split()
    assert selectable().select(given) == set(names.split())


@pytest.mark.parametrize(
    ("selection", "message", "help"),
    [
        ("draftd", "there is no node `draftd`", "did you mean `drafted`?"),
        ("+draftd", "there is no node `draftd`", "did you mean `drafted`?"),
        ("zzz", "there is no node `zzz`", "there are checked, corpus, "),
        ("x*", "no node has a name like `x*`", "there are checked, "),
        ("tag:x", "-s knows no `tag:`", "there are kind: and state:"),
        ("kind:promt", "there is no kind of node `promt`", "did you mean `prompt`?"),
        ("state:old", "there is no state of a node `old`", "there are changed, failed, new, "),
        ("kind:mix", "-s kind:mix selects no node", "`atk plan` without -s"),
        ("worthy,sft", "-s worthy,sft selects no node", "`atk plan` without -s"),
        ("state:unfinished", "-s state:unfinished selects no node", "`atk plan` without -s"),
        ("", "-s '' lacks a name", "such as drafted"),
        ("worthy,", "-s 'worthy,' lacks a name", "such as drafted"),
        ("++worthy", "`++worthy` in -s '++worthy' is no selection", "such as drafted"),
        ("+", "`+` in -s '+' is no selection", "such as drafted"),
    ],
)
def test_message(selection: str, message: str, help: str) -> None:
    with pytest.raises(SelectionError) as raised:
        selectable().select([selection])
    assert raised.value.message == message
    assert help in str(raised.value.help)
    assert raised.value.exit_code == 2


# -- runs of a part ------------------------------------------------------------------------------------

CHECKED = """
prompt checked from drafted -> Verdict { template = "check", model = asked, keep ok }
sql counted from checked { query = "SELECT count(*) AS n FROM checked" }
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


def run(project: Project, *select: str, **values: str) -> Summary:
    import asyncio
    from dataclasses import replace

    options = replace(project.options, select=select)
    return asyncio.run(execute(project.load(**values), options))


def planned(project: Project, *select: str) -> Plan:
    from dataclasses import replace

    return plan(project.load(), replace(project.options, select=select))


def paid(server: Endpoint, project: Project, *select: str) -> int:
    """Run these nodes, and count what was paid at the endpoint."""
    server.reset()
    summary = run(project, *select)
    assert summary.status == "done", summary.errors
    assert summary.calls == server.stats()["calls"]
    return summary.calls


def test_parts_cost_what_the_whole_costs(server: Endpoint, project: Project) -> None:
    assert paid(server, project, "+worthy") == len(DOCUMENTS)
    assert paid(server, project, "drafted") == len(DOCUMENTS)
    assert paid(server, project, "checked") == len(project.table("drafted", "question"))
    assert paid(server, project) == 0
    assert project.rows("SELECT n FROM counted") == [(len(project.table("checked", "question")),)]


def test_what_comes_of_it_is_left_and_paid_later(server: Endpoint, project: Project) -> None:
    paid(server, project)
    checked = project.rows("SELECT checked_id, why FROM checked ORDER BY ALL")
    project.write("prompts/draft.md", PROMPTS["draft"].replace("two", "three"))
    assert planned(project, "drafted").calls == len(DOCUMENTS)
    assert paid(server, project, "drafted") == len(DOCUMENTS)
    assert project.rows("SELECT checked_id, why FROM checked ORDER BY ALL") == checked
    missing = paid(server, project)
    assert missing == len(project.table("drafted", "question"))
    assert paid(server, project) == 0


def test_what_it_reads_is_taken_as_it_stands(server: Endpoint, project: Project) -> None:
    """A document and a prompt above changed; neither is looked at until it is selected."""
    paid(server, project)
    worthy = project.table("worthy", "path", "why")
    project.write("inputs/snow.txt", "Snow falls when crystals of ice stick together in a cold cloud.")
    project.write("prompts/worthy.md", PROMPTS["worthy"].replace("passage", "text"))
    project.write("prompts/check.md", "system:\nTrue?\n{{ schema }}\n\nuser:\n{{ question }} {{ answer }}\n")
    assert paid(server, project, "checked") == len(project.table("drafted", "question"))
    assert project.table("worthy", "path", "why") == worthy
    assert paid(server, project, "state:changed") == len(DOCUMENTS)  # `worthy` alone is left of them
    assert paid(server, project) > 0
    assert len(project.table("worthy", "path")) == len(DOCUMENTS) + 1


def test_states(server: Endpoint, project: Project) -> None:
    names = {line.name for line in planned(project, "state:new").nodes}
    assert names == {"documents", "passages", "worthy", "drafted", "checked", "counted"}
    paid(server, project)
    project.write("prompts/draft.md", PROMPTS["draft"].replace("two", "three"))
    assert [line.name for line in planned(project, "state:changed").nodes] == ["drafted"]
    assert planned(project, "state:changed").left == 5
    assert {line.name for line in planned(project, "state:unchanged").nodes} == names - {"drafted"}
    with pytest.raises(SelectionError):
        planned(project, "state:failed")


REFUSED = [
    ("drafted", "`documents` is read by what is selected, and it has never been completed"),
    ("kind:prompt", "`documents` is read by what is selected, and it has never been completed"),
]


@pytest.mark.parametrize(("select", "message"), REFUSED)
def test_never_completed_is_not_read(project: Project, select: str, message: str) -> None:
    with pytest.raises(SelectionError) as raised:
        run(project, select)
    assert raised.value.message == message
    assert "select it too" in str(raised.value.help)
    assert project.rows("SELECT count(*) FROM runs") == [(0,)]


def test_old_outcomes_are_not_read_beside_new_texts(server: Endpoint, project: Project) -> None:
    paid(server, project)
    project.write("prompts/draft.md", PROMPTS["draft"].replace("two", "three"))
    paid(server, project, "drafted")
    with pytest.raises(SelectionError) as raised:
        run(project, "counted")
    assert raised.value.message.endswith("and `drafted` changed after it was made")
    assert paid(server, project, "1+counted") == len(project.table("drafted", "question"))


def test_what_lies_between_must_be_selected_where_it_would_change(server: Endpoint, project: Project) -> None:
    paid(server, project)
    before = project.rows("SELECT * FROM counted")
    assert paid(server, project, "drafted", "counted") == 0
    project.write("prompts/draft.md", PROMPTS["draft"].replace("two", "three"))
    with pytest.raises(KindError) as raised:
        planned(project, "drafted", "counted")
    assert raised.value.message.endswith("and `drafted` above it would change")
    summary = run(project, "drafted", "counted")
    assert summary.status == "failed"
    assert summary.errors[0][0] == (
        "`checked` is not selected and is read by what is, and `drafted` above it changed"
    )
    assert project.rows("SELECT * FROM counted") == before
    assert paid(server, project) == len(project.table("drafted", "question"))


def test_table_whose_columns_changed_is_kept_until_it_runs(server: Endpoint, project: Project) -> None:
    paid(server, project)
    project.graph(CHECKED.replace("-> Verdict", "-> Judged") + "type Judged { ok: bool, reason_given: str }")
    assert paid(server, project, "drafted") == 0
    project.graph(CHECKED)
    assert paid(server, project) == 0
    project.graph(CHECKED.replace("-> Verdict", "-> Judged") + "type Judged { ok: bool, reason_given: str }")
    from engine.store.errors import StoreError

    with pytest.raises(StoreError) as raised:
        run(project, "counted")
    assert raised.value.message.startswith("`checked` is read by what is selected, and its columns")
    project.graph(CHECKED)
    assert paid(server, project) == 0


def test_node_that_is_left_out_passes_rows(server: Endpoint, project: Project) -> None:
    project.graph(CHECKED.replace('{ template = "check"', '{ when = false, template = "check"'))
    assert paid(server, project, "+drafted") == 2 * len(DOCUMENTS)
    assert paid(server, project, "counted") == 0
    assert project.rows("SELECT n FROM counted") == [(len(project.table("drafted", "question")),)]
    with pytest.raises(SelectionError) as raised:
        run(project, "checked")
    assert raised.value.message == "nothing of what is selected runs: `when` leaves `checked` out"


def test_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """A selected round waits for what stands of the one before; rounds not needed are passed over."""
    for name in ("ATK_BASE_URL", "ATK_MODEL", "ATK_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["exec", "rounds", "-q"]) == 0
    capsys.readouterr()
    for select in ("kind:prompt", "kind:repeat", "kind:emit", "state:unchanged"):
        code = main(["exec", "rounds", "-q", "-s", select])
        told = capsys.readouterr()
        assert (code, "(0" in told.out.splitlines()[0] or "0 calls" in told.out) == (0, True), (select, told)


def test_command_line(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(project.root)
    assert main(["exec", "graph.atk", "-q", "-s", "+worthy"]) == 0
    assert "`drafted` and 2 more stand as before" in capsys.readouterr().out
    assert main(["plan", "graph.atk", "-s", "worthy"]) == 0
    assert "5 nodes not selected" in capsys.readouterr().out
    assert main(["exec", "graph.atk", "-s", "draftd"]) == 2
    assert "did you mean `drafted`?" in capsys.readouterr().err
    assert main(["graph", "graph.atk", "-s", "state:new"]) == 0
    shown = capsys.readouterr().out
    assert "drafted" in shown
    assert "passages" not in shown
    assert project.rows("SELECT command FROM runs") == [("atk exec graph.atk -s +worthy",)]
