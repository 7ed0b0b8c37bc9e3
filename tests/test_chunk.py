"""Passages tile their document, keep to the budget, and end where a reader would end them."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.data.blocks import blocks, title
from engine.data.chunking import SMALLEST, chunk
from engine.data.sentences import beginnings
from engine.data.tokens import Estimator, FileTokenizer, TokenizerProblem, estimate, tokenizer
from tests.project import Project
from tests.tiny import tiny_tokenizer
from tests.workbench import Problem, bench, row

MANUALS = sorted((Path(__file__).parent / "data" / "manuals").glob("*.txt"))
DOCUMENTS = {"documents": {"path": "VARCHAR", "title": "VARCHAR", "text": "VARCHAR"}}

MARKDOWN = st.lists(
    st.sampled_from(
        [
            "# Clouds\n",
            "## Rain and snow\n\n",
            "A cumulus forms when warm air rises. It cools, and drops form. ",
            "Dr. Smith (U.S. Army) wrote FM 7-0, e.g. on p. 3.5 of it. ",
            "\n\n",
            "\n",
            "- one item\n- another\n",
            "| a | b |\n|---|---|\n| 1 | 2 |\n",
            "```python\nx = 1\n\ny = 2\n```\n",
            "1. first\n2. second\n\n",
            "雨は降る。雪も降る。",
            "Ein Satz über Äpfel! Noch einer? ",
            "word " * 40,
            "x" * 90,
            "." * 60,
            "\t \u00a0",
            "🌧️",
            "\r\n",
            "  nested\n",
            "***\n",
            "---\n",
        ]
    ),
    max_size=60,
).map("".join)


def check_tiling(text: str, size: int, overlap: int) -> None:
    passages = chunk(text, size, overlap)
    assert "".join(text[one.fresh : one.stop] for one in passages) == text
    at = 0
    for one in passages:
        assert one.fresh == at
        assert one.start <= one.fresh < one.stop
        assert one.tokens == estimate(text[one.start : one.stop]) <= size
        assert estimate(text[one.start : one.fresh]) <= overlap
        at = one.stop
    assert passages == chunk(text, size, overlap)


@given(MARKDOWN | st.text(), st.integers(SMALLEST, 120), st.integers(0, 60))
@settings(max_examples=100, deadline=None)
@example("", 16, 0)
@example(" " * 5_000, 16, 8)
@example("\n" * 500, 16, 0)
@example("a" * 3_000, 16, 8)
@example("A. B. C. D. " * 60, 20, 10)
@example("\ud800\udfff" * 40, 16, 0)
def test_any_text_is_tiled_within_the_budget(text: str, size: int, overlap: int) -> None:
    check_tiling(text, size, min(overlap, size // 2))


@pytest.mark.parametrize("path", MANUALS, ids=lambda path: path.stem)
@pytest.mark.parametrize(("size", "overlap"), [(2_000, 0), (600, 0), (300, 60)])
def test_manuals_on_one_line_are_tiled(path: Path, size: int, overlap: int) -> None:
    check_tiling(path.read_text(), size, overlap)


def test_passages_of_prose_are_full_and_end_with_a_sentence() -> None:
    text = MANUALS[-1].read_text()
    passages = chunk(text, 600)
    assert sum(one.tokens for one in passages) / len(passages) > 0.9 * 600
    ends = [text[one.start : one.stop].rstrip()[-1] for one in passages]
    assert sum(end in ".!?)”’" for end in ends) > 0.85 * len(ends)


def test_a_long_chapter_on_one_line_takes_linear_time() -> None:
    text = (MANUALS[-1].read_text() * 2).replace("\n", " ")
    started = time.process_time()
    chunk(text[:250_000], 600)
    first = time.process_time() - started
    started = time.process_time()
    chunk(text[:500_000], 600)
    second = time.process_time() - started
    assert first < 1.0  # about 0.15 s on a quiet machine
    assert second < 4 * first + 0.2


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One. ", "Two! ", "Three? ", "Four"]),
        ("Dr. Smith met Mr. J. R. Brown. They spoke.", ["Dr. Smith met Mr. J. R. Brown. ", "They spoke."]),
        ("See FM 7-0. It says so.", ["See FM 7-0. ", "It says so."]),
        (
            "3-12. The commander decides. 3-13. The staff plans.",
            ["3-12. The commander decides. ", "3-13. The staff plans."],
        ),
        ("It grew by 3.5 percent. Then it fell.", ["It grew by 3.5 percent. ", "Then it fell."]),
        ("Use aids, e.g. Maps and i.e. Charts. Done.", ["Use aids, e.g. Maps and i.e. Charts. ", "Done."]),
        (
            "The U.S. Army is in the U.S. The unit moved.",
            ["The U.S. Army is in the U.S. ", "The unit moved."],
        ),
        (
            "Shown before.[12] Later work agrees [3, 4]. Yes.",
            ["Shown before.[12] ", "Later work agrees [3, 4]. ", "Yes."],
        ),
        ("(See ADP 6-22 for more.) Next one.", ["(See ADP 6-22 for more.) ", "Next one."]),
        ("See No. 5 and fig. 3. No. That is wrong.", ["See No. 5 and fig. 3. ", "No. ", "That is wrong."]),
        ("“Stop!” he said. “Why?”", ["“Stop!” he said. ", "“Why?”"]),
        ("Contents .......... 3 Index .......... 9", ["Contents .......... 3 Index .......... 9"]),
        ("Units are— \uf0b7 First. \uf0b7 Second.", ["Units are— ", "\uf0b7 First. ", "\uf0b7 Second."]),
        ("雨は降る。雪も降る。", ["雨は降る。", "雪も降る。"]),
        ("Wait... what? Well.", ["Wait... what? ", "Well."]),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    cuts = [0, *beginnings(text), len(text)]
    assert [text[a:b] for a, b in itertools.pairwise(cuts) if b > a] == sentences


def test_blocks_lie_side_by_side() -> None:
    text = "\n# One\nIntro\nmore\n\n- a\n  b\n\n- c\n\n| x |\n| - |\n\n```\n# no heading\n```\nTwo\n===\nlast"
    found = blocks(text)
    assert [(one.sort, one.title) for one in found] == [
        ("heading", "One"),
        ("paragraph", ""),
        ("list", ""),
        ("table", ""),
        ("code", ""),
        ("heading", "Two"),
        ("paragraph", ""),
    ]
    assert "".join(text[one.start : one.stop] for one in found) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# Clouds #\n\ntext", "Clouds"),
        ("intro\n\n## Rain\n", "Rain"),
        ("Training the force\n\nIt is ...", "Training the force"),
        ("---\ntitle: 'Snow'\n---\nbody", "Snow"),
        ("A sentence that ends.\n\nMore", None),
        ("x" * 5_000, None),
        ("", None),
        ("CHAPTER I. Looking-Glass house\n\nOne thing was certain", "CHAPTER I. Looking-Glass house"),
        ("first line\nof a paragraph\n", None),
        ("***\n\ntext", None),
    ],
)
def test_title(text: str, expected: str | None) -> None:
    assert title(text) == expected


def test_a_table_list_or_code_that_fits_stays_whole() -> None:
    prose = "The air cools as it rises. " * 12
    for block in ("```\n" + "x = 1\n" * 20 + "```\n", "- item\n" * 30, "| a | b |\n" * 12):
        text = f"{prose}\n\n{block}\n{prose}"
        passages = [text[one.start : one.stop] for one in chunk(text, 150)]
        assert any(block in one for one in passages), block


def test_headings_start_passages_and_name_them() -> None:
    body = "Warm air rises and cools. " * 14
    text = f"# Clouds\n\n{body}\n\n## Rain\n\n{body}\n\n## Snow\n\n{body}\n\n# Wind\n\n{body}"
    passages = chunk(text, 100)
    assert [one.heading for one in passages] == ["Clouds", "Clouds > Rain", "Clouds > Snow", "Wind"]
    assert all(text[one.start :].startswith("#") for one in passages)


def test_overlap_repeats_whole_sentences_but_crosses_no_heading() -> None:
    body = "".join(f"Sentence number {number} stands here. " for number in range(60))
    text = f"{body}\n\n# Next\n\n{body}"
    passages = chunk(text, 100, 30)
    repeated = [one for one in passages if one.start < one.fresh]
    assert len(repeated) > 3
    for one in repeated:
        assert text[one.start : one.fresh].startswith("Sentence number")
    beginning = next(one for one in passages if text[one.fresh :].startswith("# Next"))
    assert beginning.start == beginning.fresh


def test_no_scrap_is_left_at_the_end() -> None:
    text = "Warm air rises and cools down. " * 61
    size = estimate(text) * 10 // 19  # two passages and a little
    tokens = [one.tokens for one in chunk(text, size)]
    assert len(tokens) == 2
    assert min(tokens) > 0.4 * size


def test_a_tokenizer_file_counts_exactly(tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    text = MANUALS[0].read_text()[:40_000] + " Äpfel 🌧️ 雨。"
    library = Tokenizer(BPE())
    library.pre_tokenizer = ByteLevel(add_prefix_space=True)
    library.train_from_iterator([text], BpeTrainer(vocab_size=600, initial_alphabet=ByteLevel.alphabet()))
    library.save(str(tmp_path / "tokenizer.json"))
    counter = tokenizer(tmp_path / "tokenizer.json")
    assert isinstance(counter, FileTokenizer)
    passages = chunk(text, 200, 40, counter)
    assert "".join(text[one.fresh : one.stop] for one in passages) == text
    assert all(one.tokens == counter.count(text[one.start : one.stop]) <= 200 for one in passages)
    assert sum(one.tokens for one in passages) / len(passages) > 150


def in_the_cache(cache: Path, name: str, words: int = 300) -> None:
    """A model whose tokenizer the hub's cache has."""
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("a" * 40)
    tiny_tokenizer(folder / "snapshots" / ("a" * 40), [TEXT], words=words)


TEXT = "The tower was built by the guild of weavers. " * 40
COUNTED = """
source documents -> {{ path: str, title: str?, text: str }}[] {{ path = "inputs" }}
chunk passages from documents {{ size = 40, tokenizer = "{tokenizer}" }}
"""


def test_the_tokenizer_of_a_named_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    in_the_cache(tmp_path / "cache", "one/model")
    tiny_tokenizer(tmp_path / "base", [TEXT])
    project = Project(tmp_path, monkeypatch)
    project.write("inputs/rain.txt", TEXT)
    found = {}
    for name in ("one/model", "base", "base/tokenizer.json"):
        project.graph(text=COUNTED.format(tokenizer=name))
        summary = project.run()
        assert summary.status == "done", summary.errors
        found[name] = project.rows("SELECT start, stop, tokens FROM passages ORDER BY ALL")
    assert found["one/model"] == found["base"] == found["base/tokenizer.json"]
    assert max(tokens for _, _, tokens in found["base"]) > 30
    project.graph(text=COUNTED.format(tokenizer="one/other"))
    summary = project.run()
    [(message, help)] = summary.errors
    assert message.startswith("`passages`: the tokenizer of one/other is not to be had from the hub")
    assert "tokenizer.json" in str(help)


def test_a_wrong_tokenizer_is_told(tmp_path: Path) -> None:
    (tmp_path / "wrong.json").write_text("{}")
    with pytest.raises(TokenizerProblem, match=r"wrong\.json is no tokenizer"):
        tokenizer(tmp_path / "wrong.json")
    with pytest.raises(TokenizerProblem, match="no tokenizer at"):
        tokenizer(tmp_path / "none.json")


@given(st.text())
def test_pieces_cover_a_text_and_add_up(text: str) -> None:
    pieces = Estimator().pieces(text)
    assert pieces.starts[0] == 0
    assert pieces.starts[-1] == len(text)
    assert pieces.totals[-1] == estimate(text)
    for at, total in zip(pieces.starts, pieces.totals, strict=True):
        assert estimate(text[:at]) == total
        assert estimate(text[at:]) == pieces.totals[-1] - total


def test_the_kind_gives_passages_with_their_places(tmp_path: Path) -> None:
    cut = bench("chunk", tmp_path, {"size": 64, "overlap": 16}, name="text.cut", inputs=DOCUMENTS)
    assert list(cut.node.own) == ["text", "cut_index", "start", "stop", "heading", "tokens"]
    text = "# Clouds\n\n" + "Warm air rises, cools and turns into drops. " * 20
    made = cut.decide(row("documents", 1, path="a.md", title="Clouds", text=text)).made
    assert [one.own["cut_index"] for one in made] == list(range(len(made)))
    assert all(one.own["text"] == text[one.own["start"] : one.own["stop"]] for one in made)
    assert all(one.own["tokens"] <= 64 and one.own["heading"] == "Clouds" for one in made)


@pytest.mark.parametrize("text", [None, "", " \n\t"])
def test_a_document_without_a_word_is_rejected(tmp_path: Path, text: str | None) -> None:
    cut = bench("chunk", tmp_path, {}, inputs=DOCUMENTS)
    (made,) = cut.decide(row("documents", 1, path="a.md", title=None, text=text)).made
    assert (made.fate, made.reason) == ("rejected", "no `text` in it")


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"column": "body"}, "no column named `body`"),
        ({"size": SMALLEST - 1}, "greater than or equal to 16"),
        ({"size": 100, "overlap": 60}, "`overlap` must not be more than half of `size`"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, settings_: dict[str, object], said: str) -> None:
    with pytest.raises((Problem, ValidationError), match=said):
        bench("chunk", tmp_path, settings_, inputs=DOCUMENTS)


def test_what_decides_the_passages_is_in_the_static_part(tmp_path: Path) -> None:
    def static(**settings_: object) -> str:
        one = bench("chunk", tmp_path, settings_, inputs=DOCUMENTS)
        return json.dumps(one.kind.static(one.node), sort_keys=True)

    assert static(size=100) == static(size=100)
    assert static(size=100) != static(size=101)
