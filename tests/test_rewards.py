"""Rewards: who judges the replies of a model in training, what becomes of a judge that fails, and the tables.

Most of it is seen with a trainer that only pretends: it sends replies and writes down what it gets for them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from engine.training.rewarding import Asked, Judged, record, recorded
from tests.test_train import ROOT, Training, weights
from tests.tiny import tiny_model, tiny_tokenizer

GRAPH = """
param wanted: str = "as"
param inputs: path = "questions.jsonl"
model judge from default {{ temperature = 0 }}
source questions -> {{ prompt: str, sorts: str[] }}[] {{ path = inputs }}

graph liking(replies: {{ reply: str }}[], wanted: str) -> {{ reward: float }}[] {{
  prompt marked from replies -> {{ marks: int }} {{
    template = "mark"
    model    = judge
    retries  = 0
    check marks <= 10 else "too many"
  }}
  sql weighed {{ query = "SELECT *, marks / 10.0 AS reward FROM marked" }}
  return weighed
}}
graph brief(replies: {{ reply: str }}[]) -> {{ reward: float }}[] {{
  python measured from replies -> {{ reward: float }} {{ call = "lib/brief.py:brief", each = true }}
  return measured
}}
train actor from questions {{
  method = "grpo"
  start  = "base"
  reward = {{ liking: 1.0, brief: 0.5 }}
  steps  = 2
  batch  = 4
  replies = 2
  {more}
}}
sql best {{ query = "SELECT actor_rewarded_id, reply, reward FROM actor.rewarded WHERE reward > 0.6" }}
"""
SENDS = """
r, w = (int(end) for end in os.environ["ATK_REWARDS"].split(","))
answers, questions = os.fdopen(r), os.fdopen(w, "w")
for step, replies in enumerate({batches!r}):
    print(json.dumps({{"step": step, "replies": replies}}), file=questions, flush=True)
    line = answers.readline()
    if not line:
        sys.exit(130)
    open("got.txt", "a").write(line)
"""
BATCHES = [
    [[0, "aaaa", True], [0, "bbbb", True], [1, "ab", True], [1, "a long reply without it", False]],
    [[1, "aaaa", True], [1, "aab", True], [0, "bbbb", True], [0, "b", True]],
]


class Judge(BaseHTTPRequestHandler):
    """An endpoint that marks a reply by its share of the letter a, and notes what it was asked."""

    asked: list[str]
    fails: str = "never"
    more: dict[str, Any] = {}  # noqa: RUF012 - a class is made for each test

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        reply = re.search(r"<reply>(.*)</reply>", body["messages"][-1]["content"], re.S)
        assert reply is not None
        said = reply[1].strip()
        self.asked.append(said)
        marks = round(10 * said.count("a") / max(len(said), 1))
        text = "no marks today" if re.search(self.fails, said) else json.dumps({**self.more, "marks": marks})
        answer = {
            "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        }
        payload = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass


class Rewarded(Training):
    """A project whose model is judged by an endpoint."""

    judge: type[Judge]

    def questions(self, rows: list[dict[str, Any]] | None = None) -> None:
        rows = rows or [{"prompt": f"Say {what}.", "sorts": ["liking", "brief"]} for what in ("yes", "no")]
        self.write("questions.jsonl", "".join(json.dumps(row) + "\n" for row in rows))

    def graph_with(self, more: str = "") -> None:
        self.graph(text=GRAPH.format(more=more))

    def sends(self, batches: list[Any]) -> None:
        self.pretender(SENDS.format(batches=batches))

    def got(self) -> list[dict[str, Any]]:
        path = self.root / "out/models/actor/latest/got.txt"
        return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rewarded]:
    handler = type("Handler", (Judge,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    made = Rewarded(tmp_path, monkeypatch)
    monkeypatch.setenv("ATK_BASE_URL", f"http://127.0.0.1:{server.server_address[1]}/v1")
    monkeypatch.setenv("ATK_MODEL", "judge")
    made.judge = handler
    monkeypatch.setenv("ATK_API_KEY", "k")
    tiny_tokenizer(made.root / "base", ["Say yes. Say no. aaaa bbbb"] * 20)
    made.write(
        "prompts/mark.md",
        "system:\nWanted: {{ wanted }}\n{{ schema }}\n\nuser:\n<reply>{{ reply }}</reply>\n",
    )
    made.write(
        "lib/brief.py", "def brief(row):\n    return {'reward': 1.0 if len(row['reply']) < 5 else 0.0}\n"
    )
    made.questions()
    made.graph_with()
    made.sends(BATCHES)
    yield made
    server.shutdown()
    server.server_close()


def test_judges_reward_what_is_replied_and_their_tables_are_those_of_the_graph(project: Rewarded) -> None:
    summary = project.run()
    assert (summary.status, summary.errors) == ("done", [])
    assert project.got() == [
        {"liking": [1.0, 0.0, 0.5, 0.0], "brief": [1.0, 1.0, 1.0, 0.0]},
        {"liking": [1.0, 0.7, 0.0, 0.0], "brief": [1.0, 1.0, 1.0, 1.0]},
    ]
    rows = project.rows(
        "SELECT step, prompt, reply, finished, reward FROM actor.rewarded ORDER BY step, reward, reply"
    )
    assert rows == [
        (0, "Say no.", "a long reply without it", False, pytest.approx(0.0)),
        (0, "Say yes.", "bbbb", True, pytest.approx(0.5)),
        (0, "Say no.", "ab", True, pytest.approx(1.0)),
        (0, "Say yes.", "aaaa", True, pytest.approx(1.5)),
        (1, "Say yes.", "b", True, pytest.approx(0.5)),
        (1, "Say yes.", "bbbb", True, pytest.approx(0.5)),
        (1, "Say no.", "aab", True, pytest.approx(1.2)),
        (1, "Say no.", "aaaa", True, pytest.approx(1.5)),
    ]
    parts = project.rows("SELECT rewards FROM actor.rewarded WHERE reply = 'ab'")
    assert parts == [([{"name": "liking", "reward": 0.5}, {"name": "brief", "reward": 1.0}],)]
    lineage = (
        "SELECT count(actor_liking_marked_id), count(actor_brief_id), count(questions_id) FROM actor.rewarded"
    )
    assert project.rows(lineage) == [(8, 8, 8)]  # `atk why` leads from a reward to the judge and the question
    assert sorted(project.rows("SELECT reply FROM best")) == [("aaaa",), ("aaaa",), ("aab",), ("ab",)]


def test_a_reply_is_judged_once_for_the_training_and_for_the_tables(project: Rewarded) -> None:
    summary = project.run()
    tried = ["", "I do not know."]  # and an echo, see `tried`
    asked = project.judge.asked
    assert sorted(one for one in asked if one not in tried and "Say" not in one) == sorted(
        {reply for batch in BATCHES for _, reply, _ in batch}
    )
    assert len(asked) == len(set(asked)) == summary.progress["actor.liking.marked"].calls
    assert project.rows("SELECT DISTINCT node FROM calls") == [("actor.liking.marked",)]
    again = project.run()
    assert (again.calls, project.started(), len(project.judge.asked)) == (0, 1, len(asked))
    assert again.progress["actor"].state == "unchanged"


def test_another_reward_is_another_model_and_another_weight_too(project: Rewarded) -> None:
    project.run()
    project.graph_with("seed = 0")
    assert (project.run().status, project.started()) == ("done", 1)
    project.run(wanted="many as")
    assert project.started() == 2
    project.graph(text=GRAPH.format(more="").replace("brief: 0.5", "brief: 0.4"))
    project.run(wanted="many as")
    assert project.started() == 3


def test_a_judge_that_fails_gives_no_reward_rather_than_a_wrong_one(project: Rewarded) -> None:
    project.judge.fails = "^ab$"
    project.graph_with("failures = 0.5")
    summary = project.run()
    assert project.got()[0] == {"liking": [1.0, 0.0, None, 0.0], "brief": [1.0, 1.0, None, 0.0]}
    assert project.rows("SELECT reward FROM actor.rewarded WHERE reply = 'ab'") == [(None,)]
    assert [note.text for note in summary.notes if "tried on" in note.text]


def test_a_training_stops_when_too_many_replies_go_without(project: Rewarded) -> None:
    project.judge.fails = "b"
    summary = project.run()
    assert summary.status == "failed"
    assert "2 of the last 4 replies got no reward: `actor.liking.marked`" in project.said(summary)
    assert "goes on from the last checkpoint" in project.said(summary)
    project.judge.fails = "never"
    assert project.run().status == "failed"  # what the judge said is remembered: it is to be mended
    assert project.run(wanted="as, and marks").status == "done"


def test_judges_that_reward_nothing_are_told_before_the_training(project: Rewarded) -> None:
    project.judge.fails = ""
    summary = project.run()
    assert "the judges reward none of 3 replies: `actor.liking.marked`" in project.said(summary)
    assert project.started() == 0


@pytest.mark.usefixtures("short_pauses")
def test_an_endpoint_that_is_dead_is_told_before_the_training(
    project: Rewarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty reply needs no judge here, so that not all of the three fail."""
    monkeypatch.setenv("ATK_BASE_URL", "http://127.0.0.1:9/v1")
    text = GRAPH.format(more="").replace("    check marks", "    where length(reply) > 0\n    check marks")
    text = text.replace(
        "marks / 10.0 AS reward FROM marked",
        "marks / 10.0 AS reward FROM marked UNION ALL BY NAME "
        "SELECT *, 0.0 AS reward FROM replies WHERE reply = ''",
    )
    project.graph(text=text)
    summary = project.run()
    assert "the judges reward 1 of 3 replies: " in project.said(summary)
    assert project.started() == 0


def test_judges_that_tell_nothing_apart_are_warned_of(project: Rewarded) -> None:
    graph = GRAPH.format(more="").replace("{ liking: 1.0, brief: 0.5 }", "flat")
    flat = """
graph flat(replies: { reply: str }[]) -> { reward: float }[] {
  sql same { query = "SELECT *, 1.0::DOUBLE AS reward FROM replies" }
  return same
}
"""
    project.graph(text=graph.replace("train actor", flat + "train actor"))
    summary = project.run()
    notes = "\n".join(note.text for note in summary.notes)
    assert "the judges give every one of these the same" in notes


def test_a_column_says_which_rewards_a_row_has(project: Rewarded) -> None:
    project.questions(
        [{"prompt": "Say yes.", "sorts": ["liking"]}, {"prompt": "Say no.", "sorts": ["brief"]}]
    )
    project.graph_with("route = sorts")
    summary = project.run()
    assert (summary.status, summary.errors) == ("done", [])
    assert project.got()[0] == {"liking": [1.0, 0.0, None, None], "brief": [None, None, 1.0, 0.0]}
    assert "ab" not in project.judge.asked
    assert project.rows("SELECT reward FROM actor.rewarded WHERE step = 0 ORDER BY reply") == [
        (0.0,), (1.0,), (0.5,), (0.0,),
    ]  # fmt: skip


def test_what_cannot_be_asked_is_left_out_and_said(project: Rewarded) -> None:
    ask = [{"role": "user", "content": "Say yes."}]
    rows = [
        {"messages": ask},
        {"messages": [*ask, {"role": "assistant", "content": "yes"}]},
        {"messages": []},
    ]
    project.questions([{**row, "sorts": []} for row in rows])
    text = GRAPH.format(more="").replace(
        "prompt: str, sorts", "messages: { role: str, content: str }[], sorts"
    )
    project.graph(text=text)
    project.sends([[[0, "aaaa", True], [0, "b", True]]])
    summary = project.run()
    assert (summary.status, summary.errors) == ("done", [])
    notes = "\n".join(note.text for note in summary.notes)
    assert "8 replies to 1 prompts" in notes
    assert "2 rows are left out: " in notes


def test_a_plan_says_how_many_replies_are_judged(project: Rewarded) -> None:
    plan = project.plan()
    found = {node.name: node for node in plan.nodes}
    assert (found["actor.replies"].rows, found["actor.liking.marked"].to_call) == (8, 8)
    assert project.judge.asked == []


def test_a_step_that_is_done_again_takes_the_place_of_the_first(tmp_path: Path) -> None:
    def batch(step: int, *replies: str) -> list[Asked]:
        return [Asked(0, step, at, reply, True) for at, reply in enumerate(replies)]

    for step, reply in ((0, "a"), (1, "b"), (1, "c")):
        record(tmp_path, batch(step, reply), [Judged({"x": 1.0})])
    with (tmp_path / "replies.jsonl").open("a") as file:
        file.write('{"step": 2, "replies": [[0, "cut o')
    assert [(one.step, one.reply) for one in recorded(tmp_path)] == [(0, "a"), (1, "c")]


# -- with the real trainer -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_prompt_alone_makes_a_model_do_more_of_what_it_describes(
    project: Rewarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped graph, with a judge that likes the letter a; killed on its way it ends the same."""
    import torch

    graphs = Path(__file__).parents[1] / "graphs"
    monkeypatch.delenv("ATK_TRAINER_PYTHON")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shutil.rmtree(project.root / "base")
    text = "".join(path.read_text() for path in sorted((graphs / "documents").glob("*.txt")))
    tiny_model(project.root / "base", [text[at : at + 500] for at in range(0, 60_000, 500)])
    source = (
        (graphs / "grpo.atk")
        .read_text()
        .replace("lora          = {}\n  merge         = true", "checkpoint    = 10")
    )
    project.write("own.atk", source.replace('use "lib/chat.atk"', f'use "{graphs}/lib/chat.atk"'))
    shutil.copytree(Path(__file__).parents[1] / "prompts/grpo", project.root / "prompts/grpo")
    mark = project.root / "prompts/grpo/mark.md"
    mark.write_text(mark.read_text().replace("<reply>\n{{ reply }}\n</reply>", "<reply>{{ reply }}</reply>"))
    shutil.copytree(graphs / "conversations", project.root / "conversations")
    project.judge.more = {"faults": [], "merits": "as"}
    values = {
        "base": "base", "steps": "45", "batch": "32", "reply_length": "12", "learning_rate": "0.01",
        "wanted": "as",
    }  # fmt: skip
    pairs = [part for name, value in values.items() for part in ("-p", f"{name}={value}")]
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.commands", "exec", "own.atk", *pairs],
        cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    until = time.monotonic() + 300
    while not [*project.root.glob("out/models/actor/*/checkpoints/checkpoint-20")]:
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()[0].decode()
        time.sleep(0.1)
    process.kill()
    process.communicate()
    summary = project.run("own", **values)
    assert (summary.status, summary.errors) == ("done", [])
    course = dict(project.rows("SELECT step, reward FROM course"))
    assert sorted(course) == list(range(45))
    first, last = (sum(course[step] for step in steps) / 10 for steps in (range(10), range(35, 45)))
    assert last > 2 * first
    judged = len(project.judge.asked)
    folder = (project.root / "out/models/actor/latest").resolve()
    interrupted = weights(folder / "model")
    for name in ("checkpoints", "model"):
        shutil.rmtree(folder / name)
    (folder / "done.json").unlink()
    project.write("own.atk", (project.root / "own.atk").read_text().replace("= 10\n}", "= 1000\n}", 1))
    assert project.run("own", **values).status == "done"
    assert len(project.judge.asked) == judged  # the same replies: every mark was known
    again = weights((project.root / "out/models/actor/latest").resolve() / "model")
    assert all(torch.equal(interrupted[name], again[name]) for name in interrupted)
