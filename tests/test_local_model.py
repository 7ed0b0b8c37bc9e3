"""Models of this process: a graph asks the model that it has just trained."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from engine.language.program import ModelSpec
from engine.models import open_model
from engine.models.base import Halted, Request
from engine.models.vectors import unpacked
from engine.runtime import load
from engine.training.encoding import UNTRAINED, of_messages
from engine.training.tokenizer import Tokenizer
from tests.test_train import DOCS, Training
from tests.tiny import tiny_model, tiny_tokenizer

TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who built it?"}]
STUDENT = """
model student { provider = "transformers", start = knows, max_tokens = 6 }
source exam -> { question: str }[] { path = "talks.jsonl", limit = 5 }
prompt answers from exam -> { said: str } {
  template = "exam"
  model    = student
  reply    = "text"
  retries  = 0
}
"""
COPIES = """
import shutil
start = json.loads(Path("job.json").read_text())["start"]
shutil.copytree(start, "model", dirs_exist_ok=True)
shutil.copy("data/chat_template.jinja", "model")
open("done.json", "w").write('{"steps": 6, "loss": 0.5, "seconds": 1.0}')
sys.exit()
"""


def spec(start: Path | None, **settings: Any) -> ModelSpec:
    return ModelSpec(
        "student", "transformers", "m", None, None, settings, {}, {}, 64, 60.0, "auto", None, None, None,
        start=None if start is None else str(start),
    )  # fmt: skip


def ask(model: Any, *requests: Request) -> list[Any]:
    async def all_() -> list[Any]:
        try:
            return list(await asyncio.gather(*map(model.call, requests)))
        finally:
            await model.close()

    return asyncio.run(all_())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    made = Training(tmp_path, monkeypatch)
    made.write("prompts/exam.md", "user:\n{{ question }}\n")
    made.pretender(COPIES)
    made.graph_of(more=STUDENT)
    return made


def test_a_node_waits_for_the_model_that_it_asks(project: Training) -> None:
    project.base()
    program = project.load()
    assert program.nodes["answers"].waits == ("knows",)
    order = list(program.nodes)
    assert order.index("knows") < order.index("answers")
    assert ("knows", "answers") in program.dag.edges
    plan = {node.name: node for node in project.plan().nodes}
    assert (plan["answers"].to_call, plan["answers"].cost) == (5, 0.0)
    assert "knows" in (plan["answers"].model or "")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ('model student { provider = "transformers" }', "the model `student` needs `start`"),
        ("model student { start = exam }", "no `train` node named `exam`"),
        ('model student { provider = "openai", start = knows }', "`start` is for models of this process"),
    ],
)
def test_models_without_a_start(project: Training, model: str, said: str) -> None:
    project.base()
    lines = STUDENT.strip().splitlines()
    project.graph_of(more="\n".join([model, *lines[1:]]))
    found = [one.message for one in load("graph.atk", root=project.root).diagnostics]
    assert len(found) == 1
    assert said in found[0]


def test_the_weights_are_in_the_key(tmp_path: Path) -> None:
    request = Request(TALK)
    folder = tiny_tokenizer(tmp_path / "a", DOCS)
    one = open_model(spec(folder), {}).key(request)
    assert one == open_model(spec(folder), {}).key(request)
    (folder / "model.safetensors").write_bytes(b"others")
    others = open_model(spec(folder), {}).key(request)
    assert len({one, others, open_model(spec(None), {}).key(request)}) == 3
    assert open_model(spec(folder), {}).key(Request(TALK, sample=1)) != others


def test_what_keeps_it_from_answering(tmp_path: Path) -> None:
    (reply,) = ask(open_model(spec(tmp_path, presence_penalty=1.0), {}), Request(TALK))
    assert (reply.status, reply.fault) == ("error", "request")
    assert reply.error == "a model of this process knows no `presence_penalty`"
    model = open_model(spec(tmp_path), {})
    model.halt()
    with pytest.raises(Halted):
        ask(model, Request(TALK))


@pytest.mark.slow
def test_a_graph_asks_what_it_trained(project: Training) -> None:
    tiny_model(project.root / "base", DOCS * 5)
    summary = project.run()
    assert summary.errors == []
    assert summary.progress["answers"].calls == 5
    # Nobody taught it to stop: what it says is cut off, and is an answer all the same.
    assert project.rows("SELECT DISTINCT model, endpoint, status, tokens_in > 0, tokens_out FROM calls") == [
        ("knows", "transformers", "cut", True, 6)
    ]
    assert project.run().calls == 0
    tiny_model(project.root / "base", DOCS * 5, seed=1)  # other weights: another model to ask
    again = project.run()
    assert (again.calls, project.started()) == (5, 2)
    assert project.rows("SELECT count(DISTINCT key) FROM calls") == [(10,)]


@pytest.mark.slow
def test_models_are_loaded_one_after_another(tmp_path: Path) -> None:
    """The library cannot load two at once."""
    folders = [tiny_model(tmp_path / str(seed), DOCS * 5, seed=seed) for seed in range(3)]
    for folder in folders:
        (folder / "chat_template.jinja").write_text("{{ messages[0].content }}")

    async def all_() -> list[Any]:
        models = [open_model(spec(folder, max_tokens=2), {}) for folder in folders]
        replies = await asyncio.gather(*(model.call(Request(TALK)) for model in models for _ in range(2)))
        await asyncio.gather(*(model.close() for model in models))
        return list(replies)

    assert {one.error for one in asyncio.run(all_())} == {None}


@pytest.mark.slow
@pytest.mark.parametrize("chatml", [False, True])
def test_what_is_served_is_what_was_trained(tmp_path: Path, chatml: bool) -> None:
    """Byte for byte and token for token: the prompt, and the mark that ends the answer."""
    folder = tiny_model(tmp_path / "base", DOCS * 5, chatml=chatml)
    tokenizer = Tokenizer.load(folder)
    stop = tokenizer.stop()
    assert stop is not None
    (folder / "chat_template.jinja").write_text(tokenizer.chat.source)  # as the trainer's script leaves them
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [stop[1]]}))
    answer = {"role": "assistant", "content": "The guild."}
    trained = of_messages(tokenizer, [*TALK, answer], "assistant", 1_000)
    first = next(at for at, label in enumerate(trained.labels) if label != UNTRAINED)
    model: Any = open_model(spec(folder, max_tokens=4), {})
    shown = model.shown(Request(TALK))
    assert shown.encode() == tokenizer.chat.render(TALK, prompt=True).encode()
    assert shown.encode() == tokenizer.decode(trained.tokens[:first]).encode()
    assert model._load().tokens(TALK) == trained.tokens[:first]
    assert trained.tokens[-1] in model._load().ends
    short, long = Request(TALK), Request([TALK[0], {"role": "user", "content": DOCS[0] * 3}])
    alone = [ask(open_model(spec(folder, max_tokens=4), {}), one)[0] for one in (short, long)]
    together = ask(open_model(spec(folder, max_tokens=4), {}), short, long)
    assert [one.text for one in together] == [one.text for one in alone]  # a batch changes nothing
    assert {one.status for one in together} <= {"ok", "cut"}
    assert [one.tokens_in for one in together] == [one.tokens_in for one in alone]
    drawn = open_model(spec(folder, max_tokens=8, temperature=1.5), {})
    replies = ask(drawn, *(Request(TALK, sample=number) for number in range(3)))
    assert len({one.text for one in replies}) > 1
    (folder / "chat_template.jinja").unlink()
    (mute,) = ask(open_model(spec(folder), {}), Request(TALK))
    assert (mute.status, mute.fault) == ("error", "model")
    assert "has no chat template" in (mute.error or "")
    json.loads(model.body(Request(TALK)))


@pytest.mark.slow
def test_vectors_of_texts_do_not_depend_on_who_asks_beside(tmp_path: Path) -> None:
    start = tiny_model(tmp_path / "tiny", DOCS * 5)
    texts = ["Who built it?", "Who built the tower on the hill, and when was that?", "Be brief."]
    requests = [Request([{"role": "user", "content": text}], reply="vector") for text in texts]
    together = ask(open_model(spec(start), {}), *requests)
    alone = [ask(open_model(spec(start), {}), request)[0] for request in requests]
    chatting = tiny_model(tmp_path / "chatting", DOCS * 5, chatml=True)
    (chatting / "chat_template.jinja").write_text(Tokenizer.load(chatting).chat.source)
    talk = ask(open_model(spec(chatting, max_tokens=2), {}), Request(TALK), requests[0])
    vectors = [unpacked(reply.text) for reply in together]
    for vector, reply in zip(vectors, alone, strict=True):
        assert vector is not None
        assert sum(number * number for number in vector) == pytest.approx(1, abs=1e-4)
        assert unpacked(reply.text) == pytest.approx(vector, abs=1e-4)
    assert vectors[0] != pytest.approx(vectors[1], abs=1e-3)
    assert len(unpacked(talk[1].text) or ()) == len(vectors[0] or ())
    assert talk[0].status in ("ok", "cut")
    assert unpacked(talk[0].text) is None
    assert together[0].tokens_in > 0
    assert together[0].tokens_out == 0


@pytest.mark.slow
@pytest.mark.parametrize("stop", [[], ["e"]])
def test_a_stream_is_the_reply_in_pieces(tmp_path: Path, stop: list[str]) -> None:
    folder = tiny_model(tmp_path / "chatting", DOCS * 5, chatml=True)
    (folder / "chat_template.jinja").write_text(Tokenizer.load(folder).chat.source)
    asked = spec(folder, max_tokens=40, temperature=1.0, **({"stop": stop} if stop else {}))
    request = Request(TALK, reply="text")
    (usual,) = ask(open_model(asked, {}), request)

    async def streamed() -> tuple[Any, list[str]]:
        model, heard = open_model(asked, {}), list[str]()
        try:
            return await model.stream(request, heard.append), heard
        finally:
            await model.close()

    reply, heard = asyncio.run(streamed())
    assert (reply.text, reply.status, reply.tokens_out) == (usual.text, usual.status, usual.tokens_out)
    assert "".join(heard) == usual.text
    assert len(heard) > 1


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_says_so_when_it_streams(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    async def one() -> Any:
        model = open_model(spec(tmp_path), {})
        return await model.stream(Request(TALK, reply="text"), print)

    reply = asyncio.run(one())
    assert (reply.status, reply.fault) == ("error", "model")
    assert "cannot be asked" in reply.error
