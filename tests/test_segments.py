"""Which words are learnt: messages cut into segments, and the data sets made of them."""

from __future__ import annotations

from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.conversations import NoConversation, without_thoughts
from engine.data.formats import Unfit, column_types, example
from engine.data.segments import flagged, segments
from tests.project import Project
from tests.test_chat import PAIRS, chat, decided

WORDS = st.text("ab \n.", min_size=1, max_size=12).filter(str.strip)


@st.composite
def conversations(draw: Any) -> list[dict[str, Any]]:
    """System or not, then user and assistant in turn; some messages say whether they are learnt."""
    turns = draw(st.integers(1, 4))
    roles = [*draw(st.sampled_from([[], ["system"]])), *["user", "assistant"] * turns]
    flag = st.sampled_from([{}, {"train": True}, {"train": False}, {"train": None}])
    return [{"role": role, "content": draw(WORDS), **draw(flag)} for role in roles]


@given(conversations(), st.data())
def test_segments_say_the_conversation_to_the_letter(talk: list[dict[str, Any]], data: st.DataObject) -> None:
    whole = "".join(message["content"] for message in talk)
    start = data.draw(st.integers(0, len(whole) - 1))
    part = whole[start : data.draw(st.integers(start + 1, len(whole)))]
    try:
        cut = segments(talk, [part])
    except NoConversation:  # it stands there twice, or across messages, or in what is not learnt
        cut = segments(talk)
    grouped = [
        (role, "".join(one["text"] for one in ones)) for role, ones in groupby(cut, lambda s: s["role"])
    ]
    assert grouped == [(message["role"], message["content"]) for message in talk]
    assert all(one["text"] for one in cut)
    assert all((a["role"], a["train"]) != (b["role"], b["train"]) for a, b in pairwise(cut))


@given(conversations(), st.data())
def test_what_is_cut_out_is_not_learnt_and_nothing_else_changes(
    talk: list[dict[str, Any]], data: st.DataObject
) -> None:
    before = segments(talk)
    learnt = [one for one in before if one["train"]]
    if not learnt:
        return
    text = data.draw(st.sampled_from(learnt))["text"]
    start = data.draw(st.integers(0, len(text) - 1))
    part = text[start : data.draw(st.integers(start + 1, len(text)))]
    try:
        after = segments(talk, [part])
    except NoConversation:  # it stands there twice
        assert "".join(one["text"] for one in learnt).count(part) != 1 or len(learnt) > 1
        return
    assert sum(len(one["text"]) for one in before if one["train"]) - len(part) == sum(
        len(one["text"]) for one in after if one["train"]
    )
    assert part in "".join(one["text"] for one in after if not one["train"])


@given(conversations())
def test_a_message_is_flagged_where_any_part_of_it_is_learnt(talk: list[dict[str, Any]]) -> None:
    cut = segments(talk)
    learnt = {one["role"] for one in cut if one["train"]}
    assert learnt == {message["role"] for message in flagged(talk, cut) if message["train"]}


def test_a_part_that_stands_twice_is_refused() -> None:
    talk = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "No. No."}]
    with pytest.raises(NoConversation, match=r'stands there 2 times: "No\."'):
        segments(talk, ["No."])
    with pytest.raises(NoConversation, match="stands there 0 times"):
        segments(talk, ["Q?"])  # the user's words are not learnt anyhow


def test_chat_tells_a_part_apart(tmp_path: Path) -> None:
    made = chat(tmp_path, PAIRS, {"untrained": "title"})
    one = decided(made, question="Q?", answer="In January. No: in March.", title="In January. ")
    assert one.own["segments"] == [
        {"role": "user", "text": "Q?", "train": False},
        {"role": "assistant", "text": "In January. ", "train": False},
        {"role": "assistant", "text": "No: in March.", "train": True},
    ]
    assert [message["train"] for message in one.own["messages"]] == [False, True]
    lost = decided(made, question="Q?", answer="In March.", title="In January. ")
    assert (lost.fate, lost.reason) == (
        "failed",
        'the part that is not to be learnt stands there 0 times: "In January. "',
    )


def test_messages_may_say_themselves_that_they_are_not_learnt(tmp_path: Path) -> None:
    inputs = {"talks": {"turns": 'STRUCT("role" VARCHAR, "content" VARCHAR, "train" BOOLEAN)[]'}}
    made = chat(tmp_path, inputs, turns="turns")
    said = [
        {"role": "user", "content": "Q?", "train": False},
        {"role": "assistant", "content": "Wrong.", "train": False},
        {"role": "user", "content": "Sure?", "train": False},
        {"role": "assistant", "content": "Right.", "train": True},
    ]
    assert decided(made, turns=said).own["messages"] == said


def test_one_of_several_system_prompts(tmp_path: Path) -> None:
    made = chat(tmp_path, PAIRS, {"system": "x"})
    made.values = lambda of, row: ["Be brief.", "Be kind.", "Be exact."]
    found = [decided(made, question=f"{n}?", answer="A.", title="").own["messages"][0] for n in range(60)]
    assert {one["content"] for one in found} == {"Be brief.", "Be kind.", "Be exact."}
    again = [decided(made, question=f"{n}?", answer="A.", title="").own["messages"][0] for n in range(60)]
    assert again == found


@pytest.mark.parametrize(("share", "fewest", "most"), [(0.0, 0, 0), (0.5, 30, 70), (1.0, 100, 100)])
def test_thoughts_stay_in_a_share_of_the_rows(tmp_path: Path, share: float, fewest: int, most: int) -> None:
    made = chat(tmp_path, PAIRS, thoughts=share)
    answers = [
        decided(made, question=f"{n}?", answer="<think>\nHm.\n</think>\n\nYes.", title="").own["messages"][-1]
        for n in range(100)
    ]
    assert fewest <= sum("<think>" in one["content"] for one in answers) <= most
    assert all(one["content"].endswith("Yes.") for one in answers)


def test_only_the_assistants_thoughts_are_taken_out() -> None:
    talk = [
        {"role": "user", "content": "<think>x</think>"},
        {"role": "assistant", "content": "<think>x</think>y"},
    ]
    assert [one["content"] for one in without_thoughts(talk)] == ["<think>x</think>", "y"]


def test_segments_are_made_of_messages_where_there_are_none() -> None:
    talk = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]
    assert example({"messages": talk}, "segments", ["messages"])["segments"] == [
        {"role": "user", "text": "Q?", "train": False},
        {"role": "assistant", "text": "A.", "train": True},
    ]


def test_preference_pairs() -> None:
    columns = ["question", "good", "bad"]
    row = {"question": "Q?", "good": "A.", "bad": "B."}
    assert example(row, "preference", columns) == {
        "prompt": [{"role": "user", "content": "Q?"}],
        "chosen": [{"role": "assistant", "content": "A."}],
        "rejected": [{"role": "assistant", "content": "B."}],
    }
    with pytest.raises(Unfit, match="are the same"):
        example({**row, "bad": "A."}, "preference", columns)
    with pytest.raises(Unfit, match="`good` is empty"):
        example({**row, "good": ""}, "preference", columns)
    assert set(column_types("preference", columns, {})) == {"prompt", "chosen", "rejected"}


GRAPH = """
source pairs -> {{ question: str, good: str, bad: str }}[] {{ path = "pairs.jsonl" }}
chat talks from pairs {{ user = question, assistant = bad || " " || good, untrained = bad }}
emit parts from talks {{ path = "out/parts.{ending}", format = "segments" }}
emit better from pairs {{
  path = "out/better.{ending}", format = "preference", columns = [question, good, bad]
}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_data_sets_are_read_back(ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    project = Project(tmp_path, monkeypatch)
    project.write("pairs.jsonl", '{"question": "Q?", "good": "In March.", "bad": "In January."}\n')
    project.graph(text=GRAPH.format(ending=ending))
    assert project.run().status == "done"
    form = "json" if ending == "jsonl" else "parquet"

    def read(name: str) -> Any:
        path = str(tmp_path / f"out/{name}.{ending}")
        return datasets.load_dataset(form, data_files=path, cache_dir=str(tmp_path / "cache"))["train"][0]

    assert read("parts")["segments"] == [
        {"role": "user", "text": "Q?", "train": False},
        {"role": "assistant", "text": "In January.", "train": False},
        {"role": "assistant", "text": " In March.", "train": True},
    ]
    assert read("better")["chosen"] == [{"role": "assistant", "content": "In March."}]
