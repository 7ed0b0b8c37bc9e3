"""Why a node runs, in words that name the change, and the same against an earlier run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.commands import main
from engine.runtime import plan
from engine.runtime.events import NodePlan
from engine.runtime.reasons import reasons
from engine.store.errors import QueryError
from engine.store.snapshots import named_run
from tests.project import DOCUMENTS, GRAPH, PROMPTS, Project

CASES: list[tuple[str, Any, Any, list[str]]] = [
    ("template a", "x\ny\n", "x\nz\n", ["template a: 1 line changed"]),
    ("template a", "x\ny\n", "x\ny\nz\nw\n", ["template a: 2 lines changed"]),
    ("param size", 600, 800, ["param size: 600 -> 800"]),
    ("param domain", "rain", None, ['param domain: "rain" -> none']),
    ("settings", {"size": 600, "overlap": 0}, {"size": 800, "overlap": 0}, ["size: 600 -> 800"]),
    ("settings", {"votes": 3}, {"votes": 3, "quorum": 0.7}, ["quorum: none -> 0.7"]),
    ("model large", {"model": "a", "sampling": {"temperature": 0.7}},
     {"model": "a", "sampling": {"temperature": 0.2}}, ["model large: temperature 0.7 -> 0.2"]),
    ("gates", [["keep", None, "ok", None]], [["keep", None, "n > 1", None]], ["keep ok -> n > 1"]),
    ("gates", [], [["check", None, "n > 1", None]], ["check n > 1 added"]),
    ("gates", [["let", "a", "1", None]], [], ["let a 1 removed"]),
    ("gates", [["check", None, "b", "x"]], [["check", None, "b", "y"]], ["check, its else: x -> y"]),
    ("gates", [["check", None, "a", None], ["keep", None, "b", None]],
     [["keep", None, "b", None], ["check", None, "a", None]], ["the order of gates changed"]),
    ("gates", [["where", None, "((a > 3))", None, "a > 3", {}]],
     [["where", None, "((a >= 3))", None, "a >= 3", {}]], ["where a > 3 -> a >= 3"]),
    ("gates", [["where", None, "((a > 3))", None, "a > least", {"least": 3, "most": 9}]],
     [["where", None, "((a > 4))", None, "a > least", {"least": 4, "most": 9}]],
     ["where a > least: least 3 -> 4"]),
    ("gates", [["where", None, "((a > 3))", None, "a > least", {"least": 3}]],
     [["where", None, "((b > 4))", None, "b > least", {"least": 4}]],
     ["where a > least -> b > least (least 3 -> 4)"]),
    # An account of before texts were kept.
    ("gates", [["where", None, "((a > 3))", None]], [["where", None, "((a > 4))", None, "a > 4", {}]],
     ["where ((a > 3)) -> a > 4"]),
    ("gates", [["let", "a", '("b" + 1)', None, "b + 1", {}]], [], ["let a b + 1 removed"]),
    ("gates", [], [["keep", None, "(\"ok\")", "bad", "ok", {}]], ["keep ok added"]),
    # Laid out otherwise beside another that is gone: not a change of its own.
    ("gates", [["keep", None, "a", None, "a", {}], ["check", None, "b", None, "b", {}]],
     [["keep", None, "a", None, "(a)", {}]], ["check b removed"]),
    ("expressions", {"user": ['trim("q")', "trim(q)", {}], "system": ["x", "x", {}]},
     {"user": ['upper("q")', "upper(q)", {}], "system": ["x", "y", {}]}, ["user: trim(q) -> upper(q)"]),
    ("expressions", {"user": 'trim("q")'}, {"user": ['upper("q")', "upper(q)", {}]},
     ['user: trim("q") -> upper(q)']),
    ("expressions", {}, {"system": ["'x'", '"x"', {}]}, ['system: none -> "x"']),
    ("settings", {"query": "SELECT a FROM b"}, {"query": "SELECT a FROM b\nWHERE c"},
     ['query: "SELECT a FROM b" -> "SELECT a FROM b WHERE c"']),
    ("settings", {"query": "SELECT a FROM b WHERE a <> 'a rather long text' AND c > 1 ORDER BY a"},
     {"query": "SELECT a FROM b WHERE a <> 'a rather long text' AND c > 2 ORDER BY a"},
     ["query: …text' AND c > 1 ORDER BY a\" -> …text' AND c > 2 ORDER BY a\""]),
    ("settings", {"path": "x" * 60 + "1"}, {"path": "x" * 60 + "2"},
     [f'path: …{"x" * 12}1" -> …{"x" * 12}2"']),
    ("type", "{a: str}", "{a: int}", ['type: "{a: str}" -> "{a: int}"']),
]  # fmt: skip


@pytest.mark.parametrize(("part", "old", "new", "said"), CASES)
def test_reason(part: str, old: Any, new: Any, said: list[str]) -> None:
    assert reasons({part: "1"}, {part: "2"}, {"1": old, "2": new}) == said
    assert reasons({part: "1"}, {part: "2"}, {}) == [f"{part} changed"]
    assert reasons({part: "1"}, {part: "1"}, {}) == []


def test_other_name_of_the_same_is_no_reason() -> None:
    before = {"template a": "1", "model small": "2", "param x": "3"}
    assert reasons(before, {"template b": "1", "model large": "2"}, {}) == ["param x removed"]


RUNS = [(7, "done"), (4, "failed"), (2, "done")]


@pytest.mark.parametrize(("name", "run"), [("7", 7), ("4", 4), ("last", 7), ("-1", 7), ("-3", 2)])
def test_run_is_named(name: str, run: int) -> None:
    assert named_run(RUNS, name, "g") == run


@pytest.mark.parametrize("name", ["3", "0", "-4", "x", "", "--1", "³"])
def test_run_that_is_none(name: str) -> None:
    with pytest.raises(QueryError) as raised:
        named_run(RUNS, name, "g")
    assert "7 (done), 4 (failed), 2 (done)" in str(raised.value.help)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def lines(project: Project, against: str | None = None) -> dict[str, NodePlan]:
    return {line.name: line for line in plan(project.load(), project.options, against).nodes}


def test_plan_says_what_changed(project: Project) -> None:
    project.run()
    project.write("prompts/draft.md", PROMPTS["draft"].replace("two", "three"))
    graph = GRAPH.format(more="", retries=2).replace("size = 1_000", "size = 800")
    project.graph(text=graph.replace("temperature = 0.5", "temperature = 0.1"))
    why = {name: line.why for name, line in lines(project).items()}
    assert why == {
        "documents": "",
        "passages": "size: 1000 -> 800",
        "worthy": "model asked: temperature 0.5 -> 0.1",
        "drafted": "model asked: temperature 0.5 -> 0.1; template draft: 1 line changed",
    }


def test_against_an_earlier_run(project: Project) -> None:
    project.run()
    project.write("prompts/draft.md", PROMPTS["draft"].replace("two", "three"))
    project.run()
    assert {line.mark for line in lines(project).values()} == {"="}
    assert {line.mark for line in lines(project, "last").values()} == {"="}
    first = lines(project, "1")
    assert {name: line.mark for name, line in first.items() if line.mark != "="} == {"drafted": "~"}
    assert first["drafted"].why == "template draft: 1 line changed"
    assert first["drafted"].to_call == 0
    project.graph(
        text=GRAPH.format(more="", retries=2).replace("worthy", "good").replace('"good"', '"worthy"')
    )
    assert lines(project)["drafted"].why.startswith("its table is made anew: its columns, or names above")
    assert lines(project)["good"].why == "new; `worthy`, which is gone, was made the same way"
    now = lines(project, "2")
    assert {name: line.mark for name, line in now.items()} == {
        "documents": "=", "passages": "=", "good": "+", "drafted": ">", "worthy": "-",
    }  # fmt: skip
    assert now["good"].why == "new; `worthy`, which is gone, was made the same way"
    assert now["drafted"].why == "follows good"
    with pytest.raises(QueryError):
        lines(project, "9")


def test_edited_document_against_a_run(project: Project) -> None:
    project.run()
    project.write("inputs/rain.txt", DOCUMENTS["rain.txt"] + " Drizzle has small drops.")
    project.run()
    told = lines(project, "1")
    assert told["documents"].mark == ">"
    assert told["documents"].why == "what it reads changed in run 2"
    assert told["passages"].why == "follows documents"


def test_back_to_what_it_was(project: Project) -> None:
    project.run()
    project.write("prompts/draft.md", PROMPTS["draft"].replace("two", "three"))
    project.run()
    project.write("prompts/draft.md", PROMPTS["draft"])
    told = lines(project, "1")["drafted"]
    assert told.mark == ">"
    assert lines(project)["drafted"].why == "template draft: 1 line changed"


def test_login_in_an_address_is_not_kept(project: Project) -> None:
    """What the store keeps of a model names where it is, and not who asks."""
    from dataclasses import replace

    from engine.kinds import registry
    from engine.runtime.statics import contents_of

    program = project.load()
    address = "http://someone:hush@127.0.0.1:9/v1?key=hush"
    program.models["asked"] = replace(program.models["asked"], base_url=address)
    told = contents_of(program, program.nodes["worthy"], registry()["prompt"])
    assert "http://127.0.0.1:9/v1" in str(told)
    assert "hush" not in str(told)


def test_command(project: Project, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(project.root)
    assert main(["exec", "graph.atk", "-q"]) == 0
    project.write("prompts/draft.md", PROMPTS["draft"].replace("two", "three"))
    capsys.readouterr()
    assert main(["plan", "graph.atk", "--against", "-1"]) == 0
    assert "template draft: 1 line changed" in capsys.readouterr().out
    assert main(["plan", "graph.atk", "--against", "5"]) == 2
    assert "its latest runs: 1 (done)" in capsys.readouterr().err


def test_plan_shows_what_the_author_wrote(project: Project) -> None:
    """Of an edited gate its text, of a param in it the values: not what they are compiled to."""
    head = "param least: int = 3\n"
    graph = GRAPH.format(more="", retries=2)
    written = head + graph.replace(", keep ok }", ", where length(text) > least, keep ok }", 1)
    project.graph(text=written)
    project.run()
    project.graph(text=written.replace("int = 3", "int = 4"))
    assert lines(project)["worthy"].why == "where length(text) > least: least 3 -> 4"
    project.graph(text=written.replace("> least", ">= least + 1"))
    assert lines(project)["worthy"].why == "where length(text) > least -> length(text) >= least + 1"
