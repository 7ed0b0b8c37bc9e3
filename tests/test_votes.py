"""What votes come to: fields of every kind, ties, and when no more are asked for."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from engine.kinds.choices import narrowed
from engine.kinds.votes import Count, Vote
from engine.language.types import BOOL, FLOAT, INT, STR, Field, Literal, Many, Optional, Record, Type
from tests.endpoint import endpoint
from tests.project import Project

Reply = Mapping[str, Any] | None


def record(**fields: Type) -> Record:
    return Record(tuple(Field(name, type_) for name, type_ in fields.items()))


VERDICT = record(why=STR, ok=BOOL)
LABEL = record(why=STR, label=Literal(("a", "b", "c")))
SCORE = record(why=STR, score=INT)
MIXED = record(
    label=Optional(Literal(("a", "b"))), score=Optional(FLOAT), tags=Many(STR), more=record(n=INT, s=STR)
)


def ok(reply: Reply) -> str | None:
    return None if reply and reply["ok"] else "not ok"


def seven(reply: Reply) -> str | None:
    return None if reply and reply["score"] >= 7 else "below 7"


def counted(
    type_: Type,
    replies: Sequence[Reply],
    total: int,
    quorum: float = 0.5,
    keep: Callable[[Reply], str | None] | None = None,
) -> Count:
    """Ask as the engine does, of replies that are known beforehand."""
    count = Count(type_, total, quorum, keep is not None)
    waiting = iter(replies)
    asked = 0
    while asked < total and not count.settled(total - asked):
        more = count.next(total - asked)
        assert 1 <= more <= total - asked
        for reply in itertools.islice(waiting, more):
            declined = "the model declined" if reply is None else None
            count.votes.append(Vote(reply, declined or (keep(reply) if keep else None)))
        asked += more
    return count


def whys(value: Any, name: str = "ok") -> list[dict[str, Any]]:
    """Replies with these values and texts that tell them apart: w0, w1 …"""
    return [{"why": f"w{place}", name: one} for place, one in enumerate(value)]


T, F = True, False
KEEP = [  # votes, quorum, replies, asked, fate, the text that goes with it
    (3, 0.5, [T, T, F], 2, True, "w0"),
    (3, 0.5, [T, F, T], 3, True, "w0"),
    (3, 0.5, [F, T, T], 3, True, "w1"),
    (3, 0.5, [F, F, T], 2, False, "w0"),
    (3, 0.5, [T, F, F], 3, False, "w1"),
    (4, 0.5, [T, T, F, F], 4, False, "w2"),  # two of four are not more than half
    (4, 0.5, [F, F, T, T], 2, False, "w0"),
    (5, 0.8, [F, T, T, T, T], 1, False, "w0"),  # all five would have to keep it
    (5, 1.0, [T, T, T, T, T], 5, True, "w0"),
    (5, 0.0, [F, F, F, F, T], 5, True, "w4"),
    (5, 0.5, [T, T, F, T, F], 4, True, "w0"),
    (1, 0.5, [F], 1, False, "w0"),
]


@pytest.mark.parametrize(("votes", "quorum", "replies", "asked", "kept", "text"), KEEP)
def test_keep_decides(
    votes: int, quorum: float, replies: list[bool], asked: int, kept: bool, text: str
) -> None:
    count = counted(VERDICT, whys(replies), votes, quorum, ok)
    reply, reason = count.outcome()
    assert (len(count.votes), count.fate(0), reply["why"]) == (asked, kept, text)
    assert (reason is None) == kept


CHOICES = [  # replies, asked, the choice, the text that goes with it
    ("aab", 2, "a", "w0"),
    ("bab", 3, "b", "w0"),
    ("baa", 3, "a", "w1"),
    ("abc", 3, "a", "w0"),  # as many of each: the one that was given first
    ("cba", 3, "c", "w0"),
    ("abbca", 5, "a", "w0"),
    ("abbcb", 5, "b", "w1"),
    ("aabab", 4, "a", "w0"),
    ("bbbaa", 3, "b", "w0"),
]


@pytest.mark.parametrize(("replies", "asked", "label", "text"), CHOICES)
def test_the_commonest_choice(replies: str, asked: int, label: str, text: str) -> None:
    count = counted(LABEL, whys(replies, "label"), len(replies))
    assert (len(count.votes), *count.outcome()) == (asked, {"why": text, "label": label}, None)


NUMBERS = [  # replies, asked, the number, the text that goes with it
    ([7, 7, 9], 2, 7, "w0"),
    ([7, 9, 8], 3, 8, "w2"),
    ([1, 9, 9], 3, 9, "w1"),
    ([5, 5, 5, 1, 1], 3, 5, "w0"),
    ([5, 6, 7, 8, 1], 5, 6, "w1"),
    ([4, 2], 2, 2, "w1"),  # of two in the middle the smaller, one that was given
]


@pytest.mark.parametrize(("replies", "asked", "score", "text"), NUMBERS)
def test_the_middle_number(replies: list[int], asked: int, score: int, text: str) -> None:
    count = counted(SCORE, whys(replies, "score"), len(replies))
    assert (len(count.votes), *count.outcome()) == (asked, {"why": text, "score": score}, None)


def test_the_middle_of_those_that_keep() -> None:
    count = counted(SCORE, whys([9, 3, 7], "score"), 3, 0.5, seven)
    assert count.outcome() == ({"why": "w2", "score": 7}, None)
    refused = counted(SCORE, whys([9, 3, 2], "score"), 3, 0.5, seven)
    assert refused.outcome() == ({"why": "w1", "score": 3}, "below 7 (1 of 3 votes kept it)")


def test_texts_alone_are_not_voted_on() -> None:
    count = counted(record(text=STR, parts=Many(STR)), [{"text": "x", "parts": ["y"]}], 5)
    assert (len(count.votes), count.outcome()) == (1, ({"text": "x", "parts": ["y"]}, None))


def reply(label: str | None, score: float | None, n: int) -> dict[str, Any]:
    return {"label": label, "score": score, "tags": [f"{label}{n}"], "more": {"n": n, "s": f"{n}"}}


def test_each_field_by_its_kind() -> None:
    replies = [
        reply("b", 1.0, 1),
        reply("a", None, 2),
        reply("a", 3.0, 3),
        reply("a", 2.0, 2),
        reply(None, None, 9),
    ]
    found, reason = counted(MIXED, replies, 5).outcome()
    # the fourth agrees with the choice and both numbers but one: lists and texts come of it
    assert (found, reason) == ({"label": "a", "score": 2.0, "tags": ["a2"], "more": {"n": 2, "s": "2"}}, None)


@pytest.mark.parametrize(
    ("scores", "score"),
    [([None, None, 3.0], None), ([None, 3.0, 4.0], 3.0), ([None, 1.0], None), ([1.0, None], 1.0)],
)
def test_null_is_a_vote_for_no_number(scores: list[float | None], score: float | None) -> None:
    replies = [reply("a", one, 1) for one in scores]
    assert counted(MIXED, replies, len(replies)).outcome()[0]["score"] == score


@pytest.mark.parametrize(
    ("replies", "declined", "asked"),
    [
        ("xx.", True, 2),
        ("x..", False, 3),
        ("x.x", True, 3),
        ("x.", True, 2),
        (".x", False, 2),
        ("..x", False, 2),
    ],
)
def test_declining_is_a_vote(replies: str, declined: bool, asked: int) -> None:
    given = [None if one == "x" else {"why": "w", "ok": True} for one in replies]
    count = counted(Optional(VERDICT), given, len(given))
    assert len(count.votes) == asked
    assert (count.outcome()[1] is not None) == declined


def test_stopping_changes_nothing() -> None:
    """However the rest would have come: what was settled early is what all votes come to."""
    types: list[tuple[Type, list[Reply], Callable[[Reply], str | None] | None]] = [
        (VERDICT, [{"why": "", "ok": True}, {"why": "", "ok": False}], ok),
        (LABEL, [{"why": "", "label": one} for one in "abc"], None),
        (SCORE, [{"why": "", "score": one} for one in (6, 7, 8)], None),
        (SCORE, [{"why": "", "score": one} for one in (6, 7, 8)], seven),
        (Optional(VERDICT), [None, {"why": "", "ok": True}, {"why": "", "ok": False}], None),
    ]
    for type_, domain, keep in types:
        for total, quorum in ((3, 0.5), (4, 0.5), (4, 0.25), (5, 0.5)):
            for replies in itertools.product(domain, repeat=total):
                early = counted(type_, replies, total, quorum, keep)
                whole = Count(type_, total, quorum, keep is not None)
                whole.votes = [
                    Vote(one, "the model declined" if one is None else keep(one) if keep else None)
                    for one in replies
                ]
                assert early.fate(0) == whole.fate(0)
                if early.fate(0):
                    assert early.outcome() == whole.outcome()


# -- checks as choices ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("type_", "wanted"),
    [
        (record(label=STR), record(label=Literal(("a", "b")))),
        (Many(record(label=STR, n=INT)), Many(record(label=Literal(("a", "b")), n=INT))),
        (Optional(record(label=Optional(STR))), Optional(record(label=Literal(("a", "b"))))),
        (record(label=Literal(("b", "z"))), record(label=Literal(("b",)))),
        (
            record(label=Literal(("y", "z"))),
            record(label=Literal(("y", "z"))),
        ),  # the check says what is wrong
        (record(label=INT), record(label=INT)),
        (record(other=STR), record(other=STR)),
    ],
)
def test_a_check_narrows_a_text(type_: Type, wanted: Type) -> None:
    assert narrowed(type_, {"label": ("a", "b", "a")}) == wanted


GRAPH = """
param classes: str[] = ["rain", "wind"]
type Label { why: str, label: str }
source documents -> { path: str, title: str?, text: str }[] { path = "inputs" }
prompt labels from documents -> Label {
  template = "label", model = default, votes = 3
  check label in classes else "not one of the classes"
}
"""


def test_the_endpoint_sees_the_classes(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that a check names is the schema's enum, and votes are counted for it."""
    with endpoint() as server:
        project = Project(tmp_path, monkeypatch, server.base_url)
        project.write("prompts/label.md", "user:\n{{ schema }}\n{{ text }}\n")
        project.graph(text=GRAPH)
        assert project.run().status == "done"
        sent = [entry["body"] for entry in server.requests()]
        schema = sent[0]["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["label"]["enum"] == ["rain", "wind"]
        assert '"rain" or "wind"' in sent[0]["messages"][0]["content"]
        for label, votes in project.rows("SELECT label, [vote.label for vote in labels_votes] FROM labels"):
            assert votes.count(label) * 2 > len(votes)
        assert project.run(classes="rain,snow").status == "done"
        assert {label for (label,) in project.rows("SELECT label FROM labels")} <= {"rain", "snow"}
