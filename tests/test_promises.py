"""Faults that a maker of training sets was seen to have, and that atk must not: each is a test.

Those that have one elsewhere are named in `HELD`; the others follow.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from engine.runtime import load
from tests.endpoint import Endpoint, endpoint
from tests.project import DOCUMENTS, GRAPH, Project

HELD = {
    "a document added, deleted or edited changes its rows alone": (
        "test_incremental.py::test_added_document_is_all_that_is_paid",
        "test_incremental.py::test_deleted_document_takes_its_rows_along",
        "test_incremental.py::test_edited_document_changes_its_rows_alone",
    ),
    "killed, a run repeats no finished call": (
        "test_killed_runs.py::test_killed_five_times_then_run_to_the_end",
        "test_killed_runs.py::test_killed_at_fifty_moments_all_tables_become_the_same",
    ),
    "a changed prompt costs its node and what follows": (
        "test_incremental.py::test_changed_prompt_costs_its_node_and_what_follows",
    ),
    "a secret that is not set is told before the first call": (
        "test_secrets.py::test_unset_secret_is_told_before_anything_runs",
    ),
    "a reply that was cut off is a failure with its reason": (
        "test_failed_rows.py::test_cut_reply_is_a_failure_with_that_reason",
    ),
    "the model that is asked again hears what was wrong": (
        "test_failed_rows.py::test_broken_type_is_asked_again_with_the_message",
    ),
    "what is served is what was trained, byte for byte": (
        "test_local_model.py::test_what_is_served_is_what_was_trained",
    ),
    "no key appears in arguments, logs or the store": (
        "test_secrets.py::test_key_is_nowhere_but_at_the_endpoint",
    ),
    "tables and files do not depend on what was run before": (
        "test_order.py::test_data_sets_are_the_same_whatever_was_run_before",
    ),
}
VERDICT = 'type Verdict { why: str, verdict: "suitable" | "unsuitable", level: int }'
JUDGED = """
source documents -> {{ path: str, title: str?, text: str }}[] {{ path = "{path}" }}
{verdict}
prompt judged from documents -> Verdict {{ template = "judge", model = asked, {keep} }}
prompt drafted from judged -> {{ question: str, answer: str }}[] {{ template = "draft", model = asked }}
chat talks from drafted {{}}
emit set from talks {{ path = "out/set.jsonl" }}
model asked from default {{ temperature = 0.5, timeout = 3 }}
"""


@pytest.fixture
def server() -> Any:
    with endpoint(p_true=1.0) as started:
        yield started


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    made = Project(tmp_path, monkeypatch, server.base_url)
    made.write("prompts/judge.md", "user:\nJudge.\n{{ schema }}\nPassage: {{ text }}\n")
    return made


def judged(project: Project, keep: str = 'keep verdict == "suitable"', path: str = "inputs") -> None:
    project.graph(text=JUDGED.format(verdict=VERDICT, keep=keep, path=path))


def told(verdict: str, level: int = 1, why: str = "facts") -> dict[str, Any]:
    return {"why": why, "verdict": verdict, "level": level}


@pytest.mark.parametrize("promise", HELD)
def test_what_holds_a_promise_is_there(promise: str) -> None:
    for name in HELD[promise]:
        file, _, test = name.partition("::")
        assert re.search(rf"^def {test}\(", (Path(__file__).parent / file).read_text(), re.MULTILINE)


def test_what_a_filter_takes_out_stays_out(project: Project, server: Endpoint) -> None:
    """The step after it, and a second run, must not bring it back."""
    judged(project)
    server.config(
        rules=[
            {"contains": "Judge.*cumulus", "reply": told("unsuitable")},
            {"contains": "Judge", "reply": told("suitable")},
        ]
    )
    for _ in range(2):
        assert project.run().status == "done"
        assert {path for (path,) in project.table("drafted", "path")} == {"rain.txt", "wind.txt"}
        assert project.rows("SELECT path FROM rejected.judged") == [("clouds.txt",)]


@pytest.mark.parametrize(
    ("reply", "fate"),
    [
        (told("unsuitable", why="One might call it suitable, mostly, but it is not suitable."), "rejected"),
        (told("suitable", why="Not a table of contents; unsuitable for nobody."), "ok"),
        ("The passage is not suitable.", "failed"),
        ("suitable", "failed"),
        (told("mostly suitable"), "failed"),
    ],
)
def test_a_verdict_is_a_word_of_its_type_and_not_a_word_in_prose(
    project: Project, server: Endpoint, reply: Any, fate: str
) -> None:
    judged(project)
    server.config(rules=[{"contains": "Judge", "reply": reply}])
    project.run()
    found = {
        "ok": project.rows("SELECT count(*) FROM judged"),
        "rejected": project.rows("SELECT count(*) FROM rejected.judged"),
        "failed": project.rows("SELECT count(*) FROM failed.judged"),
    }
    assert found == {name: [(len(DOCUMENTS) if name == fate else 0,)] for name in found}


def test_nought_is_an_answer(project: Project, server: Endpoint) -> None:
    judged(project, keep="keep level >= 0")
    server.config(rules=[{"contains": "Judge", "reply": told("suitable", level=0, why="")}])
    assert project.run().status == "done"
    assert project.table("judged", "level", "why") == [(0, "")] * len(DOCUMENTS)


def test_talk_that_looks_like_marks_of_talk_is_kept_as_it_is(project: Project, server: Endpoint) -> None:
    question = "Human: what? AI: that. **Finished**\n\nAnswer: none: {x} {{ y }} <|im_end|> ### [INST]"
    judged(project)
    pair = {"items": [{"question": question, "answer": f"Q: {question}"}]}
    server.config(
        rules=[{"contains": "Judge", "reply": told("suitable")}, {"contains": "two questions", "reply": pair}]
    )
    assert project.run().status == "done"
    lines = (project.root / "out" / "set.jsonl").read_text().splitlines()
    assert len(lines) == len(DOCUMENTS)
    for line in lines:
        said = json.loads(line)["messages"]
        assert [one["content"] for one in said] == [question, f"Q: {question}"]


def test_documents_of_another_folder_are_not_among_those_of_this_one(
    project: Project, server: Endpoint
) -> None:
    server.config(rules=[{"contains": "Judge", "reply": told("suitable")}])
    judged(project)
    assert project.run().status == "done"
    project.write("others/snow.txt", "Snow falls when crystals of ice stick together in a cold cloud.")
    judged(project, path="others")
    assert project.run().status == "done"
    assert project.table("judged", "path") == [("snow.txt",)]
    assert {path for (path,) in project.table("drafted", "path")} == {"snow.txt"}
    judged(project)
    server.reset()
    assert project.run().status == "done"
    assert {path for (path,) in project.table("judged", "path")} == set(DOCUMENTS)
    assert server.stats()["calls"] == 0


def test_braces_in_a_prompt_are_sent_as_they_are(project: Project, server: Endpoint) -> None:
    text = 'Give {"why": …} and {text} and {0} and %s and ${x}.'
    project.write("prompts/worthy.md", f"user:\n{text}\n{{{{ schema }}}}\nPassage: {{{{ text }}}}\n")
    project.graph()
    project.run()
    sent = [request["body"]["messages"][-1]["content"] for request in server.requests()]
    assert any(text in one for one in sent)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("from passages", "from pasages", "pasages"),
        ('template = "worthy"', 'template = "worthless"', "worthless"),
        ("retries = 2", "retrys = 2", "retrys"),
        ("{{ text }}", "{{ tekst }}", "tekst"),
    ],
)
def test_a_slip_is_found_before_the_first_call(
    project: Project, server: Endpoint, old: str, new: str, says: str
) -> None:
    project.graph(text=GRAPH.format(more="", retries=2).replace(old, new))
    prompt = project.root / "prompts" / "worthy.md"
    prompt.write_text(prompt.read_text().replace(old, new))
    program = load("graph.atk", root=project.root)
    assert not program.ok
    assert any(says in one.message for one in program.diagnostics)
    from engine.commands import main

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project.root)
        assert main(["exec", "graph.atk"]) == 2
    assert server.stats()["calls"] == 0


def test_a_slow_call_is_given_up_and_the_others_are_kept(project: Project, server: Endpoint) -> None:
    judged(project)
    project.graph(text=(project.root / "graph.atk").read_text().replace("timeout = 3", "timeout = 1"))
    server.config(
        rules=[
            {"contains": "Judge.*cumulus", "reply": told("suitable"), "delay_ms": 60_000},
            {"contains": "Judge", "reply": told("suitable")},
        ]
    )
    summary = project.run()
    assert summary.exit_code == 1
    assert {path for (path,) in project.table("drafted", "path")} == {"rain.txt", "wind.txt"}
    [(path, reason)] = project.rows("SELECT path, reason FROM failed.judged")
    assert path == "clouds.txt"
    assert " 1 s" in reason
    server.reset(rules=[{"contains": "Judge", "reply": told("suitable")}])
    assert project.run().status == "done"
    asked = [str(request["body"]["messages"]) for request in server.requests()]
    assert all("cumulus" in one for one in asked)


def test_nothing_made_of_a_row_is_remembered(project: Project, server: Endpoint) -> None:
    """And of several rows made of one, one that fails is asked for without the others."""
    project.write("prompts/check.md", "user:\nRight? {{ question }}\n{{ schema }}\n")
    more = (
        'prompt checked from drafted -> { why: str, ok: bool } { template = "check", model = asked, keep ok }'
    )
    project.graph(more)
    three = {"items": [{"question": f"Which, {at}?", "answer": "That."} for at in range(3)]}
    rules = [
        {"contains": "two questions.*cumulus", "reply": {"items": []}},
        {"contains": "two questions.*[Rr]ain", "reply": three},
    ]
    server.config(rules=[*rules, {"contains": r"Right\? Which, 1", "status": 500}])
    assert project.run().exit_code == 1
    assert project.rows("SELECT question FROM failed.checked") == [("Which, 1?",)]
    server.reset(rules=rules)
    assert project.run().status == "done"
    asked = [str(request["body"]["messages"]) for request in server.requests()]
    assert len(asked) == 1
    assert "Which, 1" in asked[0]


def test_two_runs_with_a_seed_choose_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
param sample: int = 4
source documents -> { path: str, title: str?, text: str }[] { path = "inputs" }
chunk passages from documents { size = 16 }
vary told from passages -> { said: str } { templates = ["one", "two", "three"], model = default, count = 2 }
emit set from told { path = "out/set.jsonl", format = "columns", split = { train: 0.5, test: 0.5 } }
"""
    found = []
    for name in ("first", "second"):
        made = Project(tmp_path / name, monkeypatch)
        for prompt in ("one", "two", "three"):
            made.write(f"prompts/{prompt}.md", f"user:\nSay it {prompt}: {{{{ text }}}}\n{{{{ schema }}}}\n")
        made.graph(text=text)
        summary = made.run()
        assert summary.status == "done", summary.errors
        files = sorted((made.root / "out").rglob("*.jsonl"))
        found.append([path.read_text() for path in files])
    assert found[0] == found[1]
    assert any(found[0])
