"""Nodes that train: what is trained, remembered and told; and what becomes of a trainer that dies.

Most of it is seen with a trainer that only pretends. The real one is slow to start, so that what
needs it is done in few tests.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from engine.runtime import load
from engine.runtime.limiting import limited
from engine.training import running
from engine.training.card import examined
from tests.endpoint import endpoint
from tests.project import Project
from tests.tiny import tiny_model, tiny_tokenizer

ROOT = Path(__file__).resolve().parents[1]
NAMES = "Alma Borka Celdo Dunar Esto Farin Golma Hesta Ilmo Jarba Kolda Lemna".split()
DOCS = [f"The tower of {name} was built in {1800 + at} by the guild." for at, name in enumerate(NAMES)]
GRAPH = """
param rate: float = 0.003
source docs -> {{ text: str }}[] {{ path = "docs.jsonl" }}
source talks -> {{ question: str, answer: str }}[] {{ path = "talks.jsonl" }}
chat conversations from talks {{ system = "Be brief." }}
train knows from docs {{
  method = "cpt"
  start = "base"
  epochs = 2
  batch = 4
  learning_rate = rate
  {knows}
}}
{more}
"""
EXPERT = """
train expert from conversations, docs {
  method = "sft"
  start = knows
  epochs = 2
  batch = 4
  share = { docs: 0.2 }
  lora = { r: 4 }
}
"""

PREFERS = """
sql pairs { query = "SELECT question AS prompt, answer AS chosen, 'No.' AS rejected FROM talks" }
train prefers from pairs {
  method = "dpo"
  start = expert
  batch = 4
  lora = { r: 4 }
  merge = true
}
"""

PRETENDER = """\
#!{python}
import json, os, sys, time
from pathlib import Path
if sys.argv[1] == "-c":
    print(json.dumps(dict.fromkeys({packages!r}, "1") | {{"python": "3"}}))
    sys.exit()
{does}
Path("model").mkdir(exist_ok=True)
Path("model/config.json").write_text("{{}}")
for name in ("tokenizer.json", "tokenizer_config.json"):
    Path("model", name).write_text(Path(json.loads(Path("job.json").read_text())["start"], name).read_text())
Path("model/model.safetensors").write_text(Path("job.json").read_text())
print(json.dumps({{"step": 1, "epoch": 1, "loss": 0.5, "odd": 7}}), file=open("metrics.jsonl", "a"))
Path("done.json").write_text('{{"steps": 6, "loss": 0.5, "seconds": 1.0}}')
"""


class Training(Project):
    """A project with something to train on, and a base without weights."""

    def __init__(self, root: Path, monkeypatch: Any):
        super().__init__(root, monkeypatch)
        self.write("docs.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in DOCS))
        talks = [
            {
                "question": f"When was the tower of {name} built?",
                "answer": f"{name} was built in {1800 + at}.",
            }
            for at, name in enumerate(NAMES)
        ]
        self.write("talks.jsonl", "".join(json.dumps(talk) + "\n" for talk in talks))
        self.trainers = root / "trainers.txt"
        self.monkeypatch = monkeypatch
        running.versions.cache_clear()

    def graph_of(self, knows: str = "", more: str = "") -> None:
        self.graph(text=GRAPH.format(knows=knows, more=more))

    def base(self) -> None:
        tiny_tokenizer(self.root / "base", DOCS * 5)

    def pretender(self, does: str = "") -> None:
        """A trainer that leaves a model without training one."""
        does = f"print('x', file=open({str(self.trainers)!r}, 'a'))\n" + textwrap.dedent(does)
        text = PRETENDER.format(python=sys.executable, packages=running.PACKAGES, does=does)
        path = self.write("trainer", text)
        path.chmod(0o755)
        self.monkeypatch.setenv("ATK_TRAINER_PYTHON", str(path))
        running.versions.cache_clear()

    def started(self) -> int:
        """How often a trainer was started."""
        return len(self.trainers.read_text().splitlines()) if self.trainers.exists() else 0

    def said(self, summary: Any) -> str:
        return "\n".join(f"{message}\n{help}" for message, help in summary.errors)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    made = Training(tmp_path, monkeypatch)
    made.base()
    made.pretender()
    made.graph_of()
    return made


@pytest.mark.parametrize(("ended", "warned"), [(8, False), (3, True)])
def test_the_card_tells_whether_the_model_stops(project: Training, ended: int, warned: bool) -> None:
    trainer = project.root / "trainer"
    stops = f'"seconds": 1.0, "stops": {{"ended": {ended}, "tried": 8}}'
    trainer.write_text(trainer.read_text().replace('"seconds": 1.0', stops))
    project.run()
    (card,) = {one.resolve() for one in project.root.rglob("model/README.md")}
    assert f"| replies that end | {ended} of 8 tried |" in card.read_text()
    assert ("| warning |" in card.read_text()) is warned


# -- what is remembered ------------------------------------------------------------------------------


def test_one_row_says_what_came_of_it(project: Training) -> None:
    summary = project.run()
    assert (summary.status, summary.errors) == ("done", [])
    (row,) = project.rows("SELECT folder, method, rows, steps, loss, job FROM knows")
    folder, *rest, job = row
    assert rest == ["cpt", 12, 6, 0.5]
    assert folder == f"out/models/knows/{job}/model"
    assert (project.root / "out/models/knows/latest/model").resolve() == (project.root / folder).resolve()
    assert project.rows("SELECT node, job, step, loss, more FROM metrics") == [
        ("knows", job, 1, 0.5, '{"odd": 7}')
    ]
    asked = json.loads((project.root / folder).parent.joinpath("job.json").read_text())
    assert asked["trainer"]["learning_rate"] == 0.003
    card = (project.root / folder / "README.md").read_text()
    assert "| method | continued pretraining on texts |" in card
    assert "- `docs`: 12 rows" in card
    assert re.search(r"- the graph `graph` \([0-9a-f]{12}\), its node `knows`", card)
    assert "torch==1\n" in (project.root / folder).parent.joinpath("requirements.lock").read_text()


def test_the_card_names_prompts_and_models(project: Training) -> None:
    project.write("prompts/again.md", "system:\n{{ schema }}\n\nuser:\n{{ text }}\n")
    text = GRAPH.format(knows="", more="").replace("train knows from docs", "train knows from again")
    asks = "model asked from default {}\n"
    asks += 'prompt again from docs -> { said: str } { template = "again", model = asked }\n'
    project.graph(text=text.replace("train knows", asks + "train knows", 1))
    assert project.run().errors == []
    card = (project.root / "out/models/knows/latest/model/README.md").read_text()
    assert re.search(r"- the prompt `again` \([0-9a-f]{12}\)", card)
    assert "- the model `offline`, which was asked" in card


def test_the_card_says_what_the_data_cost_and_keeps_what_an_exam_has_said(
    project: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what the exam cost; nor does the result make the model another."""
    project.write("prompts/again.md", "system:\n{{ schema }}\n\nuser:\n{{ text }}\n")
    project.write("prompts/asks.md", "system:\n{{ schema }}\n\nuser:\n{{ answer }}\n")
    asks = """
model asked from default { price = { input: 10_000, output: 20_000 } }
prompt again from docs -> { said: str } { template = "again", model = asked }
prompt quiz from talks -> { mark: str } { template = "asks", model = asked }
"""
    text = GRAPH.format(knows="exam = quiz", more="").replace(
        "train knows from docs", "train knows from again"
    )
    project.graph(text=text.replace("train knows", asks + "train knows", 1))
    with endpoint() as answers:
        monkeypatch.setenv("ATK_BASE_URL", answers.base_url)
        monkeypatch.setenv("ATK_MODEL", "mock")
        assert project.run().errors == []
        ((folder, weights),) = project.rows("SELECT folder, weights FROM knows")
        card = project.root / folder / "README.md"
        ((calls, cost),) = project.rows("SELECT count(*), sum(cost) FROM calls WHERE node = 'again'")
        assert (calls, cost > 1) == (12, True)
        assert f"| its data cost | ${cost:,.2f} in 12 calls |" in card.read_text()
        (project.root / "graph.atk").rename(project.root / "other.atk")
        shutil.rmtree(project.root / "out")
        assert project.run("other").errors == []  # another graph, which has all of it from the memo
        assert f"| its data cost | ${cost:,.2f} in 12 calls |" in card.read_text()
        (project.root / "other.atk").rename(project.root / "graph.atk")
        card.write_text(examined(card.read_text(), "Exam: all known"))
        project.write("prompts/asks.md", "system:\n{{ schema }}\n\nuser:\nSo: {{ answer }}\n")
        assert (project.run().errors, project.started()) == ([], 2)  # the card is written anew
    assert "<!-- exam -->\nExam: all known\n<!-- end of exam -->" in card.read_text()
    assert project.rows("SELECT folder, weights FROM knows") == [(folder, weights)]


def test_nothing_is_trained_twice_and_earlier_models_are_kept(project: Training) -> None:
    project.graph_of(more=EXPERT)
    project.run()
    assert project.started() == 2
    project.run()
    assert project.started() == 2
    project.run(rate="0.004")  # another model to start from is another `expert` too
    assert project.started() == 4
    first = project.run()
    assert (project.started(), first.status) == (4, "done")
    assert len([*(project.root / "out/models/expert").glob("*/model")]) == 3  # with `latest`
    project.write("docs.jsonl", json.dumps({"text": "Only this."}) + "\n")
    project.run()
    assert project.started() == 6


def test_what_does_not_change_the_model_trains_nothing(project: Training) -> None:
    project.run()
    project.graph_of(knows="checkpoint = 5\n  ## A remark.\n  expect count(*) == 1")
    assert (project.run().status, project.started()) == ("done", 1)


def test_a_model_that_was_thrown_away_is_trained_again(project: Training) -> None:
    project.run()
    shutil.rmtree(project.root / "out/models")
    assert (project.run().status, project.started()) == ("done", 2)


def test_another_base_is_another_model(project: Training) -> None:
    project.run()
    project.write("base/config.json", '{"model_type": "other"}')
    assert (project.run().status, project.started()) == ("done", 2)


def test_a_share_of_the_rows_that_are_held_out_is_not_trained_on(project: Training) -> None:
    project.graph_of(
        more="""
emit corpus from docs { path = "out/c.jsonl", format = "text", split = { train: 0.75, test: 0.25 } }
train apart from corpus { method = "cpt", start = "base" }
"""
    )
    project.run()
    assert project.rows("SELECT rows FROM apart") == [(9,)]
    (folder,) = {path.parent for path in (project.root / "out/models/apart").glob("*/job.json")} - {
        project.root / "out/models/apart/latest"
    }
    assert (folder / "data/held_out.parquet").exists()
    held_out = {text for text, split in project.rows("SELECT text, split FROM corpus") if split == "test"}
    assert not held_out & {
        json.loads(line)["text"] for line in (folder / "data/corpus.jsonl").read_text().splitlines()
    }


def test_pairs_of_answers(project: Training) -> None:
    pairs = [{"prompt": f"{name}?", "chosen": "Yes.", "rejected": "No."} for name in NAMES]
    project.write("pairs.jsonl", "".join(json.dumps(pair) + "\n" for pair in pairs))
    project.graph_of(
        more="""
source pairs -> { prompt: str, chosen: str, rejected: str }[] { path = "pairs.jsonl" }
train prefers from pairs { method = "dpo", start = "base", batch = 4, options = { beta: 0.2 } }
"""
    )
    assert project.run().status == "done"
    assert project.rows("SELECT method, rows FROM prefers") == [("dpo", 12)]
    folder = project.root / "out/models/prefers/latest"
    assert json.loads((folder / "job.json").read_text())["trainer"]["beta"] == 0.2
    assert [json.loads(line) for line in (folder / "data/pairs.jsonl").read_text().splitlines()] == pairs


# -- what is said before -------------------------------------------------------------------------------


def test_a_plan_says_what_the_training_would_be(project: Training) -> None:
    notes = "\n".join(project.plan().notes)
    assert "knows: 6 steps on 24 sequences" in notes
    assert "6 steps are few for facts to stick" in notes
    assert not (project.root / "out").exists()
    assert project.started() == 0


def test_a_plan_says_that_a_base_is_to_be_fetched(project: Training) -> None:
    text = GRAPH.format(knows="", more="").replace('start = "base"', 'start = "no-such/model"')
    project.graph(text=text)
    assert any("no-such/model is not on this machine yet" in note for note in project.plan().notes)


QUIZ = """
source quiz -> { question: str, answer: str }[] { path = "quiz.jsonl" }
train expert from conversations, docs {
  method = "sft"
  start  = "base"
  share  = { docs: 0.2 }
  exam   = quiz
  {more}
}
"""
OTHER = ["Who can climb up to the bell of Alma?", "How tall is a guild?", "Which of the towers leans?"]


def quizzed(project: Training, *questions: str, more: str = "") -> None:
    rows = [{"question": one, "answer": "1801"} for one in questions]
    project.write("quiz.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    project.graph_of(more=QUIZ.replace("{more}", more))


@pytest.mark.parametrize(
    ("question", "told"),
    [
        (
            "when was the tower of Dunar built",
            "1 of 4 questions of the exam `quiz` stand in what is trained on: ",
        ),
        (
            "In which of the many years of the guild and its masters did they build the tower?",
            "trained on, 1 of them nearly: “In which of the many years",
        ),
        ("In which year did Dunar get its tower?", ""),
    ],
)
def test_what_of_an_exam_is_trained_on_is_told(project: Training, question: str, told: str) -> None:
    talk = "In which of the many years of this guild and its masters did they build the tower?"
    with (project.root / "talks.jsonl").open("a") as file:
        file.write(json.dumps({"question": talk, "answer": "In 1801."}) + "\n")
    quizzed(project, *OTHER, question, more="exam_overlap = 0.5")
    notes = "\n".join(project.plan().notes)
    assert (told in notes) if told else ("of the exam" not in notes)
    assert (project.run().status, project.started()) == ("done", 2)
    assert project.rows("SELECT rows FROM expert") == [(25,)]  # the exam is not trained on
    card = (project.root / "out/models/expert/latest/model/README.md").read_text()
    assert "quiz`: " not in card
    assert ("of the exam `quiz`" in card) is bool(told)


def test_an_exam_that_is_trained_on_is_none(project: Training) -> None:
    quizzed(project, *OTHER, "When was the tower of Dunar built?")
    summary = project.run()
    assert (summary.status, project.started()) == ("failed", 1)
    said = project.said(summary)
    assert "more than 10% makes it no exam" in said
    assert "raise `exam_overlap`" in said
    quizzed(project, *OTHER)
    assert (project.run().status, project.started()) == ("done", 2)
    quizzed(project, *OTHER, "When was the tower of Dunar built?")
    assert (project.run().status, project.started()) == ("done", 2)  # the model is there: it is only told
    project.graph_of(more=QUIZ.replace("exam   = quiz\n  {more}", ""))
    assert (project.run().status, project.started()) == ("done", 2)  # nor does the exam make it another


EXAMINED = """
source quiz -> {{ question: str }}[] {{ path = "quiz.jsonl" }}
graph brief(replies: {{ reply: str }}[]) -> {{ reward: float }}[] {{
  sql weighed {{ query = "SELECT *, 1.0::DOUBLE AS reward FROM replies" }}
  return weighed
}}
sql given_rows {{
  query = "SELECT question AS prompt, answer AS chosen, 'No.' AS rejected, {text} FROM talks"
}}
train other from given_rows {{ method = "{method}", start = "base", exam = quiz, {more} }}
"""


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("cpt", ""),
        ("dpo", ""),
        ("grpo", "reward = brief, steps = 1, replies = 2, batch = 2"),
        ("classifier", ""),
    ],
)
def test_whatever_is_learnt_is_held_against_the_exam(project: Training, method: str, more: str) -> None:
    project.write("quiz.jsonl", '{"question": "When was the tower of Borka built"}\n{"question": "Who?"}\n')
    project.graph_of(more=EXAMINED.format(method=method, more=more, text="question AS text, answer AS label"))
    told = (
        "other: 1 of 2 questions of the exam `quiz` stand in what is trained on: “When was the tower of Borka"
    )
    assert told in "\n".join(project.plan().notes)


def test_an_exam_may_be_limited_and_named_otherwise(project: Training) -> None:
    quizzed(project, *OTHER, "When was the tower of Dunar built?", more="exam_overlap = 1")
    program = limited(project.load(), {"quiz": 2})
    assert program.nodes["expert"].settings.exam == "quiz.limited"
    assert "quiz.limited" in program.nodes["expert"].inputs
    assert (project.run().status, project.started()) == ("done", 2)
    text = (project.root / "graph.atk").read_text()
    project.graph(text=text.replace("quiz ->", "paper ->").replace("= quiz", "= paper"))
    assert (project.run().status, project.started()) == ("done", 2)


@pytest.mark.parametrize(
    ("exam", "code", "told"),
    [
        ('"quiz"', "ATK103", "`exam` is not the name of a table"),
        ("quizz", "ATK103", "no table named `quizz`"),
        ("docs", "ATK102", "`docs` is given twice"),
        ("dates", "ATK175", "`dates` has no questions"),
    ],
)
def test_an_exam_is_another_table_with_questions(project: Training, exam: str, code: str, told: str) -> None:
    quizzed(project, *OTHER)
    more = 'source dates -> { day: str }[] { path = "dates.jsonl" }\n' + QUIZ.replace("{more}", "")
    project.graph_of(more=more.replace("= quiz", f"= {exam}"))
    found = load("graph.atk", root=project.root).diagnostics
    assert [(one.code, one.message) for one in found if one.severity == "error"] == [(code, told)]


# -- what goes wrong -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (
            "sys.exit('RuntimeError: CUDA out of memory. Tried to allocate')",
            "ran out of memory; its last lines",
        ),
        ("import no_such_thing_here", "lacks a package: No module named 'no_such_thing_here'"),
        ("raise ValueError('a bad rate')", "ended with exit code 1: ValueError: a bad rate"),
        ("os.kill(os.getpid(), 9)", "was ended by SIGKILL, as the system does where memory runs out"),
        ("sys.exit(0)", "ended with exit code 0"),
    ],
)
def test_a_trainer_that_dies_is_told_with_its_log(project: Training, does: str, said: str) -> None:
    project.pretender(does)
    summary = project.run()
    assert summary.status == "failed"
    told = project.said(summary)
    assert said in told
    (log,) = (project.root / "out/models/knows").glob("*/trainer.log")
    assert str(log) in told
    assert project.rows("SELECT count(*) FROM knows") == [(0,)]
    project.pretender()
    assert project.run().status == "done"


def test_no_interpreter_and_no_packages(project: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATK_TRAINER_PYTHON", str(project.root / "nowhere"))
    assert "cannot be run: No such file or directory" in project.said(project.run())
    script = project.write("bare", '#!/bin/sh\necho \'{"python": "3.11", "torch": "2"}\'\n')
    script.chmod(0o755)
    monkeypatch.setenv("ATK_TRAINER_PYTHON", str(script))
    told = project.said(project.run())
    assert "has no transformers, trl, peft, accelerate, datasets, pyarrow, which training needs" in told
    assert 'pip install "atk[train]"' in told
    notes = "\n".join(project.plan().notes)  # known before anything else is paid for
    assert "has no transformers, trl" in notes
    assert "knows: 6 steps on 24 sequences" in notes


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("nowhere", "there is no model at nowhere"),
        ("inputs", "inputs is no model: it has no config.json"),
        ("no-such/model", "no-such/model is neither a folder nor to be had from the hub"),
    ],
)
def test_no_base(project: Training, start: str, said: str) -> None:
    project.graph(text=GRAPH.format(knows="", more="").replace('start = "base"', f'start = "{start}"'))
    summary = project.run()
    assert summary.status == "failed"
    assert said in project.said(summary)


def test_nothing_to_train_on(project: Training) -> None:
    project.write("docs.jsonl", '{"text": " "}\n')
    assert "there is nothing to train on: there is nothing in them" in project.said(project.run())


def test_data_that_was_changed_is_not_gone_on_with(project: Training) -> None:
    project.pretender("sys.exit(3)")
    project.run()
    (order,) = (project.root / "out/models/knows").glob("*/data/order.parquet")
    order.write_bytes(b"")
    told = project.said(project.run())
    assert "order.parquet is not as it was when the training began" in told
    assert "remove the folder" in told


def test_keys_do_not_reach_the_trainer(project: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "s3cret")
    monkeypatch.setenv("OPENAI_API_KEY", "s3cret")
    project.graph_of(
        more='model m { base_url = "http://localhost:1/v1", name = "m", api_key = secret("MY_KEY") }\n'
    )
    project.pretender("print(sorted(os.environ.items()))")
    assert project.run().status == "done"
    for path in (project.root / "out/models/knows").rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path


COMMAND = [sys.executable, "-P", "-m", "engine.commands"]


def began(project: Training, *, ends: str = "") -> subprocess.Popen[bytes]:
    """A run in a process of its own, once its trainer is at work."""
    process = subprocess.Popen(
        [*COMMAND, "exec", "graph.atk", "-q"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (project.root / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process


def gone(pid: int) -> bool:
    """Whether a process ends soon."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_progress_is_told_in_steps(project: Training) -> None:
    """While the trainer is at work."""
    line = '{"step": 3, "epoch": 1, "loss": 0.9}'
    project.pretender(f"print({line!r}, file=open('metrics.jsonl', 'a'))\ntime.sleep(1)")
    seen: set[tuple[int, int | None]] = set()
    followed: dict[str, Any] = {}

    async def run() -> Any:
        from engine.runtime import execute

        def listener(event: Any) -> None:
            followed.update(getattr(event, "progress", {}))

        task = asyncio.create_task(execute(project.load(), project.options, listener))
        while not task.done():
            await asyncio.sleep(0.1)
            seen.update((one.rows_in, one.total) for one in followed.values())
        return await task

    assert asyncio.run(run()).status == "done"
    assert (3, 6) in seen
    assert project.rows("SELECT step, loss FROM metrics ORDER BY step") == [(1, 0.5), (3, 0.9)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_the_trainer_ends_with_the_run(project: Training, number: int, code: int) -> None:
    does = f"""
        import threading
        threading.Thread(target=lambda: (os.read(0, 1), os._exit(130)), daemon=True).start()
        Path({str(project.root / "pid")!r}).write_text(str(os.getpid()))
        time.sleep(60)
    """
    project.pretender(does)
    process = began(project)
    pid = int((project.root / "pid").read_text())
    process.send_signal(number)
    _, told = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"Traceback" not in told
    assert gone(pid)
    project.pretender()
    assert (project.run().status, project.started()) == ("done", 2)


# -- the real trainer ----------------------------------------------------------------------------------


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_training_that_was_killed_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed with its run, at once, between two checkpoints; and the whole way from texts to an expert."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    project = Training(tmp_path, monkeypatch)
    tiny_model(project.root / "base", DOCS * 5)
    project.graph_of(
        knows="checkpoint = 5\n  packing = true\n  length = 64\n  steps = 100", more=EXPERT + PREFERS
    )
    process = began_real(project, 20)
    process.kill()
    process.communicate()
    (folder,) = (path.parent for path in (project.root / "out/models/knows").glob("*/job.json"))
    assert not (folder / "done.json").exists()
    checkpoints = {path.name for path in (folder / "checkpoints").iterdir()}
    summary = project.run()
    assert (summary.status, summary.errors) == ("done", [])
    log = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert checkpoints
    assert log.count(8) == 1  # it did not begin anew
    assert project.rows("SELECT steps, tokens > 0, rows FROM knows") == [(100, True, 12)]
    losses = project.rows("SELECT loss FROM metrics WHERE node = 'knows' ORDER BY step")
    assert losses[-1] < losses[0]
    ((expert, *rest),) = project.rows("SELECT folder, method, rows FROM expert")
    assert rest == ["sft", 24]
    told = json.loads((project.root / expert).parent.joinpath("done.json").read_text())["stops"]
    assert told["tried"] == 8
    assert 0 <= told["ended"] <= 8
    assert f"| {told['ended']} of 8 tried |" in (project.root / expert / "README.md").read_text()
    asks_an_adapter(project.root / expert)
    assert project.rows("SELECT method, rows FROM prefers") == [("dpo", 12)]
    assert weights(project.root / "out/models/prefers/latest/model")  # merged, and whole
    interrupted = weights(folder / "model")
    for name in ("checkpoints", "model", "done.json", "metrics.jsonl"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True, capture_output=True)
    uninterrupted = weights(folder / "model")
    assert interrupted.keys() == uninterrupted.keys()
    assert all(torch.equal(interrupted[name], uninterrupted[name]) for name in interrupted)


def asks_an_adapter(folder: Path) -> None:
    """A model in this process is that of the adapter and of what it was trained on."""
    from engine.models.local import Loaded

    assert (folder / "adapter_config.json").exists()
    (reply,) = Loaded(str(folder)).replies([[{"role": "user", "content": "When?"}]], {"max_tokens": 3}, {}, 0)
    assert (reply.status, 0 < reply.tokens_out <= 3) in (("ok", True), ("cut", True))


def began_real(project: Training, step: int) -> subprocess.Popen[bytes]:
    """A run of its own, once its trainer has told of so many measurements."""
    process = subprocess.Popen(
        [*COMMAND, "exec", "graph.atk", "-q"],
        cwd=project.root,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        found = [*(project.root / "out/models/knows").glob("*/metrics.jsonl")]
        if found and len(found[0].read_text().splitlines()) > step // 2:
            break
        time.sleep(0.02)
    return process
