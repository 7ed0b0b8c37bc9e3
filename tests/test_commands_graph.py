"""Pictures of graphs: Mermaid text, and where boxes and edges stand."""

from __future__ import annotations

import time
from itertools import combinations, pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.commands.picture.layout import arrange
from engine.commands.picture.mermaid import edges, mermaid_text


def node(name, kind="sql", inputs=(), doc=None, clauses=()):
    return SimpleNamespace(
        name=name,
        kind=kind,
        inputs=tuple(inputs),
        waits=(),
        doc=doc,
        clauses=clauses,
        template=None,
        skipped=False,
    )


def program(*nodes):
    return SimpleNamespace(
        name="demo", doc="What it does.\n\nMore.", nodes={found.name: found for found in nodes}
    )


DEMO = program(
    node("documents", "source"),
    node("passages.cut", "chunk", ["documents"]),
    node("passages", "sql", ["passages.cut"]),
    node("checked", "prompt", ["passages"], doc='Judges <every> "passage".',
         clauses=[SimpleNamespace(word="keep", text="ok and n < 3")]),
    node("sft", "emit", ["checked", "documents"]),
)  # fmt: skip


def test_mermaid():
    assert mermaid_text(DEMO).splitlines() == [
        "flowchart TD",
        '  n0_documents[("documents<br/><small>source</small>")]',
        '  subgraph g1["passages"]',
        '    n1_passages_cut["passages.cut<br/><small>chunk</small>"]',
        '    n2_passages["passages<br/><small>sql</small>"]',
        "  end",
        '  n3_checked(["checked<br/><small>prompt</small>"])',
        '  n4_sft[/"sft<br/><small>emit</small>"/]',
        "  n0_documents --> n1_passages_cut",
        "  n1_passages_cut --> n2_passages",
        "  n2_passages --> n3_checked",
        "  n3_checked --> n4_sft",
        "  n0_documents --> n4_sft",
    ]


def assert_clean(graph):
    """No two boxes meet, frames hold what is theirs alone, and edges run down from box to box."""
    drawing = arrange(graph.nodes, edges(graph))
    assert set(drawing.boxes) == set(graph.nodes)
    for one, other in combinations(drawing.boxes.values(), 2):
        assert apart(one, other)
    for call, frame in drawing.frames.items():
        for name, box in drawing.boxes.items():
            inside = name == call or name.startswith(call + ".")
            assert within(box, frame) if inside else apart(box, frame)
    for (start, end), points in drawing.ways.items():
        upper, lower = drawing.boxes[start], drawing.boxes[end]
        assert points[0][1] == pytest.approx(upper.y + upper.height)
        assert points[-1][1] == pytest.approx(lower.y)
        assert upper.x < points[0][0] < upper.x + upper.width
        assert lower.x < points[-1][0] < lower.x + lower.width
        assert all(a[1] <= b[1] + 1e-6 for a, b in pairwise(points))
        for (x, top), (_, bottom) in zip(points[::2], points[1::2], strict=False):
            for name, box in drawing.boxes.items():
                if name not in (start, end) and box.x < x < box.x + box.width:
                    assert bottom <= box.y + 1e-6 or top >= box.y + box.height - 1e-6
    for box in drawing.boxes.values():
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= drawing.width
        assert box.y + box.height <= drawing.height
    return drawing


def apart(one, other):
    slack = 1e-6
    return (
        one.x + one.width <= other.x + slack
        or other.x + other.width <= one.x + slack
        or one.y + one.height <= other.y + slack
        or other.y + other.height <= one.y + slack
    )


def within(box, frame):
    return (
        frame.x < box.x
        and frame.y < box.y
        and box.x + box.width < frame.x + frame.width
        and box.y + box.height < frame.y + frame.height
    )


CALLS = ("", "one.", "one.two.", "", "three.", "")


@st.composite
def programs(draw):
    """Nodes in the order of a run; a called graph's stand together, as they do in a real one."""
    count = draw(st.integers(min_value=1, max_value=18))
    names = [f"{CALLS[place * len(CALLS) // count]}n{place}" for place in range(count)]
    nodes = []
    for place, name in enumerate(names):
        inputs = draw(st.lists(st.sampled_from(names[:place]), max_size=3, unique=True)) if place else []
        nodes.append(node(name, inputs=inputs))
    return program(*nodes)


@settings(deadline=None)
@given(programs())
def test_layout_points_down_and_overlaps_nothing(graph):
    assert_clean(graph)


def test_a_called_graph_is_a_frame():
    drawing = assert_clean(DEMO)
    assert list(drawing.frames) == ["passages"]


def test_frames_that_feed_each_other_are_not_drawn():
    graph = program(
        node("a.x"), node("b.x", inputs=["a.x"]), node("a.y", inputs=["b.x"]), node("b.y", inputs=["a.x"])
    )
    assert assert_clean(graph).frames == {}


def test_the_same_graph_is_drawn_the_same():
    assert arrange(DEMO.nodes, edges(DEMO)) == arrange(DEMO.nodes, edges(DEMO))


def test_two_hundred_nodes():
    names = [f"{'inner.' if 60 < place < 90 else ''}n{place}" for place in range(200)]
    graph = program(
        *(
            node(name, inputs={names[max(0, place - step)] for step in (1, 3 + place % 7)} - {name})
            for place, name in enumerate(names)
        )
    )
    begun = time.monotonic()
    arrange(graph.nodes, edges(graph))
    assert time.monotonic() - begun < 3
    assert_clean(graph)


@pytest.mark.parametrize("name", ['a"b', "a<b"])
def test_mermaid_escapes(name):
    text = mermaid_text(program(node(name)))
    assert name not in text
