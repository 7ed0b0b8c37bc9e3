"""Pictures of graphs: Mermaid text, the layered layout, and the page."""

from __future__ import annotations

from html.parser import HTMLParser
from itertools import combinations
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.commands import _picture


def node(name, kind="sql", inputs=(), doc=None, clauses=()):
    return SimpleNamespace(
        name=name, kind=kind, inputs=tuple(inputs), doc=doc, clauses=clauses, template=None, skipped=False
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
    assert _picture.mermaid_text(DEMO).splitlines() == [
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


class Balance(HTMLParser):
    """Counts open elements and what is fetched from elsewhere."""

    void = frozenset({"meta", "br"})

    def __init__(self):
        super().__init__()
        self.open, self.fetched = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.void and tag not in ("path", "rect"):
            self.open.append(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        if tag not in ("path", "rect"):
            assert self.open.pop() == tag


def test_page_stands_alone_and_escapes():
    text = _picture.page(DEMO, {"checked": (12, 3, 0)})
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    assert parser.fetched == []
    assert "<every>" not in text
    assert "&lt;every&gt;" in text
    assert "keep ok and n &lt; 3" in text
    assert "12 rows" in text
    assert "<p>What it does.</p>" in text


@st.composite
def programs(draw):
    count = draw(st.integers(min_value=1, max_value=14))
    nodes = []
    for index in range(count):
        inputs = draw(st.lists(st.sampled_from(range(index)), max_size=3, unique=True)) if index else []
        nodes.append(node(f"n{index}", inputs=[f"n{place}" for place in inputs]))
    return program(*nodes)


@given(programs())
def test_layout_points_down_and_overlaps_nothing(graph):
    drawing = _picture.arrange(graph)
    for start, end in _picture.edges(graph):
        assert drawing.at[start][1] < drawing.at[end][1]
    boxes = [place for place in drawing.at if isinstance(place, str)]
    for one, other in combinations(boxes, 2):
        (x, y), (to_x, to_y) = drawing.at[one], drawing.at[other]
        assert abs(x - to_x) >= _picture.BOX_WIDTH or abs(y - to_y) >= _picture.BOX_HEIGHT
    for x, y in drawing.at.values():
        assert 0 <= x <= drawing.width
        assert 0 <= y <= drawing.height


def test_an_edge_that_skips_layers_is_led_around_boxes():
    drawing = _picture.arrange(DEMO)
    way = next(places for places in drawing.ways if (places[0], places[-1]) == ("documents", "sft"))
    lanes = way[1:-1]
    assert len(lanes) == 3
    for lane in lanes:
        x, y = drawing.at[lane]
        for box in (place for place in drawing.at if isinstance(place, str)):
            box_x, box_y = drawing.at[box]
            assert y != box_y or abs(x - box_x) > _picture.BOX_WIDTH / 2


@pytest.mark.parametrize("name", ['a"b', "a<b"])
def test_mermaid_escapes(name):
    text = _picture.mermaid_text(program(node(name)))
    assert name not in text
