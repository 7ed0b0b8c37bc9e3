"""What is trained, token by token, in which order, and what is said of it before: no trainer is needed."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.chat_template import ChatTemplate, NoTemplate, shipped
from engine.training.encoding import (
    UNTRAINED,
    Example,
    of_messages,
    of_pair,
    of_segments,
    of_text,
    split,
)
from engine.training.order import Part, order, packed
from engine.training.recipes import recipe
from engine.training.report import overlap, report
from engine.training.tokenizer import Tokenizer
from tests.tiny import END, tiny_tokenizer

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who built the tower?"},
    {"role": "assistant", "content": "The guild of Borka."},
    {"role": "user", "content": "When?"},
    {"role": "assistant", "content": "In 1801."},
]
TEXTS = ["The tower was built by the guild of Borka in 1801. Be brief. Who built it? When? user assistant"]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "chatml"])
def tokenizer(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("base")
    return Tokenizer.load(tiny_tokenizer(folder, TEXTS * 20, chatml=request.param))


def learnt(tokenizer: Tokenizer, example: Example) -> list[str]:
    """Runs of labels, decoded."""
    runs: list[list[int]] = [[]]
    for label in example.labels:
        if label != UNTRAINED:
            runs[-1].append(label)
        elif runs[-1]:
            runs.append([])
    return [tokenizer.decode(run) for run in runs if run]


def test_a_text_is_learnt_whole_with_its_end(tokenizer: Tokenizer) -> None:
    (one,) = of_text(tokenizer, TEXTS[0], 1_000)
    assert tokenizer.decode(one.tokens) == TEXTS[0] + END
    assert one.labels == one.tokens
    assert [tokenizer.decode(each.tokens) for each in of_text(tokenizer, f"Rain.{END}", 100)] == [
        f"Rain.{END}"
    ]


def test_a_long_text_is_cut_into_pieces_and_loses_nothing(tokenizer: Tokenizer) -> None:
    pieces = list(of_text(tokenizer, TEXTS[0] * 5, 16))
    assert {len(one.tokens) for one in pieces[:-1]} == {16}
    assert tokenizer.decode([token for one in pieces for token in one.tokens]) == TEXTS[0] * 5 + END


def test_the_assistants_turns_are_learnt_with_their_end_mark(tokenizer: Tokenizer) -> None:
    stop = tokenizer.stop()
    assert stop is not None
    example = of_messages(tokenizer, TALK, "assistant", 1_000)
    assert learnt(tokenizer, example) == [f"The guild of Borka.{stop[0]}", f"In 1801.{stop[0]}"]
    assert tokenizer.decode(example.tokens).endswith(f"In 1801.{stop[0]}")


def test_what_is_asked_is_what_stood_before_the_answer(tokenizer: Tokenizer) -> None:
    """Also in tokens: what a model is asked with is the very beginning of what it learnt from."""
    example = of_messages(tokenizer, TALK, "assistant", 1_000)
    asked, _ = tokenizer.encode(tokenizer.chat.render(TALK[:4], prompt=True))
    assert example.tokens[: len(asked)] == asked
    assert example.labels[len(asked) - 1] == UNTRAINED
    assert example.labels[len(asked)] == example.tokens[len(asked)]
    assert tokenizer.chat.asks_as_trained()


def test_all_and_marked_messages(tokenizer: Tokenizer) -> None:
    whole = of_messages(tokenizer, TALK, "all", 1_000)
    assert whole.labels == whole.tokens
    stop = tokenizer.stop()
    assert stop is not None
    marked = [{**message, "train": place == 4} for place, message in enumerate(TALK)]
    assert learnt(tokenizer, of_messages(tokenizer, marked, "marked", 1_000)) == [f"In 1801.{stop[0]}"]
    asked = [{**message, "train": place == 1} for place, message in enumerate(TALK)]
    (said,) = learnt(tokenizer, of_messages(tokenizer, asked, "marked", 1_000))
    assert "Who built the tower?" in said
    assert "guild" not in said


def test_segments(tokenizer: Tokenizer) -> None:
    segments = [
        {"text": "Q: Who? ", "train": False},
        {"text": "A: Borka. ", "train": True},
        {"text": "Q: When? ", "train": False},
        {"text": "A: 1801.", "train": True},
    ]
    example = of_segments(tokenizer, segments, 1_000)
    assert tokenizer.decode(example.tokens) == "Q: Who? A: Borka. Q: When? A: 1801." + END
    assert [text.strip() for text in learnt(tokenizer, example)] == ["A: Borka.", "A: 1801." + END]


def test_segments_of_messages(tokenizer: Tokenizer) -> None:
    """Parts of one message; its end mark is learnt with its last part, and only then."""
    stop = tokenizer.stop()
    assert stop is not None
    segments = [
        {"role": "user", "text": "When? ", "train": False},
        {"role": "user", "text": "Who?", "train": False},
        {"role": "assistant", "text": "In 1701. ", "train": False},
        {"role": "assistant", "text": "No, in 1801.", "train": True},
        {"role": "user", "text": "Who built it?", "train": False},
        {"role": "assistant", "text": "The guild.", "train": True},
        {"role": "assistant", "text": " It was Borka.", "train": False},
    ]
    example = of_segments(tokenizer, segments, 1_000)
    assert [text.strip() for text in learnt(tokenizer, example)] == [f"No, in 1801.{stop[0]}", "The guild."]
    talk = [
        {"role": "user", "content": "When? Who?"},
        {"role": "assistant", "content": "In 1701. No, in 1801."},
        {"role": "user", "content": "Who built it?"},
        {"role": "assistant", "content": "The guild. It was Borka."},
    ]
    assert example.tokens == of_messages(tokenizer, talk, "all", 1_000).tokens
    shouting = ChatTemplate("{% for m in messages %}{{ m.content | upper }}\n{% endfor %}")
    with pytest.raises(NoTemplate, match="does not write a message as it is"):
        of_segments(replace(tokenizer, chat=shouting), segments, 1_000)


def test_two_answers_to_one_prompt(tokenizer: Tokenizer) -> None:
    stop = tokenizer.stop()
    assert stop is not None
    pair = of_pair(tokenizer, TALK[:2], "The guild.", [{"role": "assistant", "content": "Who knows?"}], 1_000)
    assert pair.rejected is not None
    chosen, rejected = split(pair), split(pair.rejected)
    assert chosen[0] == rejected[0] == tokenizer.encode(tokenizer.chat.render(TALK[:2], prompt=True))[0]
    assert tokenizer.decode(chosen[1]) == f"The guild.{stop[0]}"
    assert tokenizer.decode(rejected[1]) == f"Who knows?{stop[0]}"
    assert pair.size == sum(map(len, (*chosen, *rejected)))
    bare = of_pair(tokenizer, "When?", "In 1801.", "In 1701.", 1_000)
    assert tokenizer.decode(split(bare)[0]) == tokenizer.chat.render(
        [{"role": "user", "content": "When?"}], prompt=True
    )


def test_a_conversation_that_is_too_long_is_cut_and_counted(tokenizer: Tokenizer) -> None:
    whole = of_messages(tokenizer, TALK, "assistant", 1_000)
    cut = of_messages(tokenizer, TALK, "assistant", len(whole.tokens) - 3)
    assert (cut.cut, len(cut.tokens)) == (3, len(whole.tokens) - 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["chatml", "plain"])
def test_templates_render_as_transformers_does(name: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(tiny_tokenizer(tmp_path, TEXTS, chatml=True))
    ours = shipped(name, {"eos_token": END, "pad_token": "<|pad|>"})
    theirs.chat_template = ours.source
    for talk, prompt in ((TALK, False), (TALK[:2], True), (TALK[1:3], False)):
        assert ours.render(talk, prompt) == theirs.apply_chat_template(
            talk, tokenize=False, add_generation_prompt=prompt
        )


def test_a_template_that_changes_what_it_wrote_is_refused() -> None:
    source = "{% for m in messages %}{{ m.content if loop.last else '…' }}\n{% endfor %}"
    with pytest.raises(NoTemplate, match="writes message 1 otherwise once others follow"):
        ChatTemplate(source).parts(TALK)
    with pytest.raises(NoTemplate, match="cannot be read"):
        ChatTemplate("{% for %}").render(TALK)
    with pytest.raises(NoTemplate, match="no system prompt"):
        ChatTemplate("{{ raise_exception('no system prompt') }}").render(TALK)


# -- order -----------------------------------------------------------------------------------------

LENGTHS = st.lists(st.integers(1, 30), min_size=1, max_size=60)


@given(LENGTHS, st.integers(30, 100))
@settings(max_examples=60)
def test_packing_keeps_every_example_once_and_within_the_length(lengths: list[int], most: int) -> None:
    groups = packed(range(len(lengths)), lengths, most)
    assert sorted(one for group in groups for one in group) == list(range(len(lengths)))
    assert all(sum(lengths[one] for one in group) <= most for group in groups)
    assert len(groups) <= 2 * sum(lengths) / most + 1


@given(LENGTHS, st.integers(1, 4), st.integers(0, 5))
@settings(max_examples=60)
def test_every_epoch_has_every_example_in_another_order(lengths: list[int], epochs: int, seed: int) -> None:
    made = order(lengths, {"a": Part(range(len(lengths)))}, epochs, seed)
    flat = [one for (one,) in made]
    count = len(lengths)
    for epoch in range(epochs):
        assert sorted(flat[epoch * count : (epoch + 1) * count]) == list(range(count))
    assert made == order(lengths, {"a": Part(range(count))}, epochs, seed)


def test_a_share_is_drawn_anew_in_each_epoch() -> None:
    lengths = [10] * 100 + [20] * 400
    parts = {"own": Part(range(100)), "replay": Part(range(100, 500), 0.2)}
    made = order(lengths, parts, 4, seed=1)
    size = len(made) // 4
    drawn = [{one for (one,) in made[at * size : (at + 1) * size] if one >= 100} for at in range(4)]
    for epoch in drawn:  # 250 tokens of 1,250
        assert sum(lengths[one] for one in epoch) == pytest.approx(250, abs=20)
    assert len(set.union(*drawn)) == sum(map(len, drawn))  # no one twice while others wait


def test_steps_end_it() -> None:
    assert len(order([5] * 10, {"a": Part(range(10))}, 1, 0, sequences=64)) == 64
    assert order([], {"a": Part([])}, 3, 0, sequences=10) == []


# -- the report ------------------------------------------------------------------------------------


def test_the_report_counts_and_warns(tokenizer: Tokenizer) -> None:
    made = recipe("sft", {"length": 12, "batch": 4, "epochs": 2}, None)
    examples = [of_messages(tokenizer, TALK, "assistant", 12) for _ in range(6)]
    found = report(tokenizer, made, 6, examples, [[one] for one in range(6)] * 2, False, [])
    assert (found.steps, found.cut_rows, found.tokens, found.seen) == (3, 6, 72, 144)
    warned = "\n".join(found.warnings)
    assert "6 rows are longer than 12 tokens" in warned
    assert "3 steps are few for facts to stick" in warned
    assert "the model will not learn to stop" in warned  # cut off before the first end mark
    assert "⟦" in found.learnt[0]


def test_two_end_marks_are_told(tokenizer: Tokenizer) -> None:
    made = recipe("cpt", {"length": 1_000}, None)
    examples = [one for text in (f"Rain.{END}\n", "Wind.") for one in of_text(tokenizer, text, 1_000)]
    found = report(tokenizer, made, 2, examples, [[0], [1]], False, [])
    assert any(one.startswith("1 rows end in two end marks") for one in found.warnings)


def test_overlap_with_what_is_held_out() -> None:
    words = [str(random.Random(seed).random()) for seed in range(60)]
    texts = [" ".join(words[:30]), "Who built the tower of Borka?"]
    held_out = [" ".join(words[10:25]), " ".join(words[25:45]), "who built the tower of borka?", "Who is it?"]
    assert overlap(texts, held_out) == (2, 4)
    assert overlap(texts, []) == (0, 0)
