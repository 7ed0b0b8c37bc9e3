"""What a model has forgotten, by public tasks: a harness that pretends, and what is made of its words."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from engine.training import evaluating
from engine.training.evaluating import Questions, command, scores
from tests.project import Project
from tests.tiny import tiny_tokenizer

GRAPH = """
evaluate forgotten {{
  using = "pupil"
  base  = "base"
  tasks = ["towers", "rivers"]
  {more}
}}
sql worse {{ query = "SELECT task FROM forgotten WHERE NOT better" }}
"""
HARNESS = """\
#!{python}
import json, os, sys
from pathlib import Path
if sys.argv[1] == "-c":
    print(json.dumps({{"python": "3", "lm_eval": "0.4.13"}}))
    sys.exit()
words = sys.argv[4:]
given = dict(zip(words, words[1:]))
print(" ".join(sys.argv[1:]), file=open({asked!r}, "a"))
print(json.dumps(dict(os.environ)), file=open({seen!r}, "w"))
if sys.argv[3] == "validate":
    if "mountains" in given["--tasks"]:
        print("Tasks not found: mountains")
        sys.exit(1)
    sys.exit()
{does}
base = Path(given["--model_args"].removeprefix("pretrained=")).name == "base"
results = {{"towers": {{"alias": "towers", "sample_len": 6, "acc,none": 0.5 if base else 0.25,
                      "acc_stderr,none": 0.1, "ppl,none": 4.0 if base else 3.0, "ppl_stderr,none": "N/A"}},
           "rivers": {{"em,strict": 0.1}}}}
out = Path(given["--output_path"], "model")
out.mkdir(parents=True)
told = {{"towers": {{"acc": True, "ppl": False}}}}
kept = {{"results": results, "higher_is_better": told, "n-samples": {{"towers": {{"effective": 4}}}}}}
(out / "results_1.json").write_text(json.dumps(kept))
"""


class Evaluation(Project):
    """A project with two models and a harness that pretends."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        super().__init__(root, monkeypatch)
        for name in ("base", "pupil"):
            tiny_tokenizer(root / name, ["The tower was built by the guild."] * 9)
        self.asked, self.seen = root / "asked.txt", root / "seen.json"
        self.monkeypatch = monkeypatch
        self.harness()
        self.of()

    def of(self, more: str = "") -> None:
        self.graph(text=GRAPH.format(more=more))

    def harness(self, does: str = "") -> None:
        told = {"python": sys.executable, "asked": str(self.asked), "seen": str(self.seen)}
        path = self.write("harness", HARNESS.format(**told, does=textwrap.dedent(does)))
        path.chmod(0o755)
        self.monkeypatch.setenv("ATK_LM_EVAL_PYTHON", str(path))
        evaluating.version.cache_clear()
        evaluating.known.cache_clear()

    def runs(self) -> int:
        lines = self.asked.read_text().splitlines() if self.asked.is_file() else []
        return sum(line.startswith("-m lm_eval run") for line in lines)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluation:
    return Evaluation(tmp_path, monkeypatch)


def test_both_models_are_asked_and_held_against_each_other(project: Evaluation) -> None:
    assert project.run().status == "done"
    columns = "task, metric, value, base_value, round(change, 3), better, samples, stderr"
    assert project.rows(f"SELECT {columns} FROM forgotten ORDER BY ALL") == [
        ("rivers", "em (strict)", 0.1, 0.1, 0.0, None, None, None),
        ("towers", "acc", 0.25, 0.5, -0.25, False, 4, 0.1),
        ("towers", "ppl", 3.0, 4.0, -1.0, True, 4, None),
    ]
    assert project.rows("FROM worse SELECT task") == [("towers",)]


def test_it_is_remembered_by_what_is_in_the_folders(project: Evaluation) -> None:
    project.run()
    assert project.runs() == 2
    project.run()
    assert project.runs() == 2
    (project.root / "pupil" / "model.safetensors").write_bytes(b"other weights")
    assert project.run().status == "done"
    assert project.runs() == 4


def test_no_key_is_told(project: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATK_API_KEY", "sk-0123456789")
    project.run()
    seen = json.loads(project.seen.read_text())
    assert "ATK_API_KEY" not in seen
    assert seen["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("more", "does", "says"),
    [
        ('python = "/nowhere/python"', "", "cannot be run"),
        ('folder = "nowhere"', "", "there is no folder nowhere"),
        ("", "print('\\x1b[31mCUDA out of memory\\x1b[0m'); sys.exit(3)", "exit code 3: CUDA out of memory"),
        ("", "sys.exit()", "it said nothing"),
    ],
)
def test_what_goes_wrong_is_told(project: Evaluation, more: str, does: str, says: str) -> None:
    project.harness(does)
    project.of(more)
    summary = project.run()
    assert summary.status == "failed"
    assert any(says in message for message, _ in summary.errors), summary.errors


def test_a_task_that_is_not_known_is_told_before_anything_is_asked(project: Evaluation) -> None:
    project.graph(text=GRAPH.format(more="").replace('"rivers"', '"mountains"'))
    summary = project.run()
    assert summary.status == "failed"
    assert any("mountains" in message for message, _ in summary.errors)
    assert project.runs() == 0


def test_an_interpreter_without_the_harness(project: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    without = project.write("without", "#!/bin/sh\necho '{}'\n")
    without.chmod(0o755)
    monkeypatch.setenv("ATK_LM_EVAL_PYTHON", str(without))
    summary = project.run()
    assert any("has no lm-eval" in message for message, _ in summary.errors)


@pytest.mark.parametrize(
    ("asked", "holds", "lacks"),
    [
        (Questions(("a", "b")), "--tasks a,b", "--limit"),
        (Questions(("a",), limit=5, shots=0), "--limit 5", "--apply_chat_template"),
        (Questions(("a",), shots=0), "--num_fewshot 0", "--device"),
        (Questions(("a",), chat=True, device="cpu"), "--apply_chat_template --device cpu", "--include_path"),
        (Questions(("a",), Path("/mine")), "--include_path /mine", "--limit"),
    ],
)
def test_the_command_line(tmp_path: Path, asked: Questions, holds: str, lacks: str) -> None:
    line = " ".join(command(tmp_path, asked, "python", tmp_path / "out"))
    assert holds in line
    assert lacks not in line


def test_an_adapter_is_asked_on_its_base(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "/models/base"}')
    told = command(tmp_path, Questions(("a",)), "python", tmp_path)
    assert told[told.index("--model_args") + 1 :][:2] == ["pretrained=/models/base", f"peft={tmp_path}"]


@pytest.mark.parametrize(
    "results", [{"results": {}}, {"results": {"a": {"alias": "a", "acc_stderr,none": 1}}}]
)
def test_results_without_a_score(results: dict[str, Any]) -> None:
    assert scores(results) == []
