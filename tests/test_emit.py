"""Data sets on disk: forms, splits that keep documents apart, cards, and nothing half written."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.splitting import apportion, assign
from engine.kinds.base import KindError, Row
from engine.language.program import ModelSpec
from tests.workbench import Bench, Problem, bench, row, row_id

MESSAGES = 'STRUCT("role" VARCHAR, "content" VARCHAR)[]'
COLUMNS = {
    "talks": {
        "question": "VARCHAR",
        "answer": "VARCHAR",
        "text": "VARCHAR",
        "messages": MESSAGES,
        "count": "BIGINT",
    }
}
ABOVE = {"passages": {"text": "VARCHAR"}, "documents": {"text": "VARCHAR"}}
KINDS = {"documents": "source", "passages": "chunk"}


def emit(root: Path, path: str = "out/sft.jsonl", **more: Any) -> Bench:
    return bench("emit", root, {"path": path, **more}, name="sft", inputs=COLUMNS, above=ABOVE, kinds=KINDS)


def talks(count: int, documents: int = 4, **columns: Any) -> list[Row]:
    found = []
    for number in range(count):
        ids = {"documents": row_id("d", number % documents), "passages": row_id("p", number // 2)}
        given = {
            "question": f"Q{number}?",
            "answer": f"A{number}.",
            "text": f"T{number}",
            "count": number,
            "messages": [
                {"role": "system", "content": "S"},
                {"role": "user", "content": f"Q{number}?"},
                {"role": "assistant", "content": f"A{number}."},
            ],
        } | columns
        found.append(row("talks", number, ids, **given))
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("settings_", "expected"),
    [
        ({}, {"messages": talks(1)[0].columns["messages"]}),
        (
            {"format": "sharegpt"},
            {
                "conversations": [
                    {"from": "system", "value": "S"},
                    {"from": "human", "value": "Q0?"},
                    {"from": "gpt", "value": "A0."},
                ]
            },
        ),
        ({"format": "text"}, {"text": "T0"}),
        ({"format": "text", "column": "answer"}, {"text": "A0."}),
        (
            {"format": "prompt_completion"},
            {
                "prompt": talks(1)[0].columns["messages"][:2],
                "completion": talks(1)[0].columns["messages"][2:],
            },
        ),
        (
            {"format": "prompt_completion", "columns": ["question", "answer"]},
            {"prompt": "Q0?", "completion": "A0."},
        ),
        ({"format": "columns", "columns": ["count", "question"]}, {"count": 0, "question": "Q0?"}),
        ({"format": "columns"}, talks(1)[0].columns),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_forms(tmp_path: Path, settings_: dict[str, Any], expected: dict[str, Any], suffix: str) -> None:
    made = emit(tmp_path, f"out/sft.{suffix}", **settings_)
    made.emit(talks(3))
    path = tmp_path / "out" / f"sft.{suffix}"
    rows = lines(path) if suffix == "jsonl" else pq.read_table(path).to_pylist()
    assert rows[0] == expected
    assert len(rows) == 3
    assert made.written == {path: 3}


def test_trained_messages_keep_their_marks(tmp_path: Path) -> None:
    marked = {"talks": {"messages": 'STRUCT("role" VARCHAR, "content" VARCHAR, "train" BOOLEAN)[]'}}
    messages = [
        {"role": "user", "content": "Q", "train": False},
        {"role": "assistant", "content": "A", "train": True},
    ]
    for format, key in (("messages", "messages"), ("sharegpt", "conversations")):
        for suffix in ("jsonl", "parquet"):
            made = bench(
                "emit",
                tmp_path,
                {"path": f"o/{format}.{suffix}", "format": format},
                name="sft",
                inputs=marked,
            )
            made.emit([row("talks", 1, messages=messages)])
            path = tmp_path / "o" / f"{format}.{suffix}"
            (found,) = lines(path) if suffix == "jsonl" else pq.read_table(path).to_pylist()
            assert [message["train"] for message in found[key]] == [False, True]


def test_lineage_as_meta(tmp_path: Path) -> None:
    emit(tmp_path, format="text", lineage=True).emit(talks(1))
    (found,) = lines(tmp_path / "out" / "sft.jsonl")
    assert sorted(json.loads(found["meta"])) == ["documents_id", "passages_id", "talks_id"]


@pytest.mark.parametrize(
    ("settings_", "columns", "reason"),
    [
        ({}, {"messages": None}, "`messages` is empty"),
        ({}, {"messages": []}, "`messages` is empty"),
        ({}, {"messages": [{"role": "user", "content": "Q"}]}, "`messages`: the last message is the user's"),
        ({"format": "text"}, {"text": " "}, "`text` is empty"),
        (
            {"format": "prompt_completion", "columns": ["question", "answer"]},
            {"answer": ""},
            "`answer` is empty",
        ),
    ],
)
def test_rows_that_do_not_fit_have_failed(
    tmp_path: Path, settings_: dict[str, Any], columns: dict[str, Any], reason: str
) -> None:
    bad = talks(3, **columns)[2]
    made = emit(tmp_path, **settings_).emit([*talks(2), bad])
    assert [one.fate for one in made] == ["ok", "ok", "failed"]
    assert str(made[2].reason).startswith(reason)
    assert len(lines(tmp_path / "out" / "sft.jsonl")) == 2


# -- splits ----------------------------------------------------------------------------------------


def test_no_document_is_on_both_sides(tmp_path: Path) -> None:
    made = emit(tmp_path, split={"train": 0.8, "test": 0.2})
    rows = talks(200, documents=20)
    sides = [(one.parent.ids["documents"], one.own["split"]) for one in made.emit(rows) if one.parent]
    assert len({document for document, _ in sides}) == len(set(sides)) == 20
    assert Counter(side for _, side in sides) == {"train": 160, "test": 40}
    assert len(lines(tmp_path / "out" / "sft" / "train.jsonl")) == 160
    assert len(lines(tmp_path / "out" / "sft" / "test.jsonl")) == 40
    assert made.notes == []


def test_a_split_by_a_nearer_ancestor_is_finer(tmp_path: Path) -> None:
    few = emit(tmp_path, split={"train": 0.9, "test": 0.1})
    few.emit(talks(60, documents=3))
    said = (
        "split by 3 rows of `documents`, train has 67% of the rows (wished 90%), "
        "test has 33% of the rows (wished 10%); `by = …` with a nearer ancestor splits finer"
    )
    assert few.notes == [said]
    finer = emit(tmp_path, "out/b.jsonl", split={"train": 0.9, "test": 0.1}, by="passages")
    finer.emit(talks(60, documents=3))
    assert finer.notes == []
    assert len(lines(tmp_path / "out" / "b" / "test.jsonl")) == 6


def test_rows_without_a_document_stand_for_themselves(tmp_path: Path) -> None:
    made = emit(tmp_path, split={"train": 0.5, "test": 0.5})
    rows = [Row(one.id, one.rev, one.columns, {"talks": one.id}) for one in talks(10)]
    assert Counter(one.own["split"] for one in made.emit(rows)) == {"train": 5, "test": 5}


@pytest.mark.parametrize("written", [uuid.UUID, str])
def test_what_rests_on_documents_of_both_sides_is_left_out(tmp_path: Path, written: Any) -> None:
    """Otherwise a test question would tell of a document that was trained on, or the other way round."""
    inputs = {"talks": COLUMNS["talks"] | {"cited": "UUID[]" if written is uuid.UUID else "VARCHAR[]"}}
    settings_ = {"path": "out/sft.jsonl", "split": {"train": 0.6, "test": 0.4}, "rests_on": "cited"}
    made = bench("emit", tmp_path, settings_, name="sft", inputs=inputs, above=ABOVE, kinds=KINDS)
    given = talks(100, documents=10, cited=None)
    for number, one in enumerate(given[:50]):
        one.columns["cited"] = [
            written(str(uuid.UUID(bytes=row_id("d", each)))) for each in (number % 10, number % 7, number % 3)
        ]
    found = made.emit(given)
    side = {one.parent.ids["documents"]: one.own["split"] for one in found if one.parent and one.fate == "ok"}
    assert Counter(side.values()) == {"train": 6, "test": 4}
    fates = Counter(one.fate for one in found)
    assert fates["rejected"] > 10
    assert fates["ok"] > 50
    for number, one in enumerate(found):
        rests = {number % 10, *((number % 7, number % 3) if number < 50 else ())}
        sides = {side[row_id("d", each)] for each in rests}
        assert (one.fate == "rejected") == (len(sides) == 2)
        if one.fate == "rejected":
            assert one.reason == "rests on rows of `documents` of test and train"
        else:
            assert {one.own["split"]} == sides
    assert sum(made.written.values()) == fates["ok"]
    left = fates["rejected"]
    told = f"{left} rows rest on rows of `documents` of several sides of the split: see rejected.sft"
    assert made.notes[-1] == told


def test_ids_of_another_table_are_told(tmp_path: Path) -> None:
    inputs = {"talks": COLUMNS["talks"] | {"cited": "VARCHAR[]"}}
    settings_ = {"path": "out/sft.jsonl", "rests_on": "cited"}
    made = bench("emit", tmp_path, settings_, name="sft", inputs=inputs, above=ABOVE, kinds=KINDS)
    made.emit(talks(4, cited=[str(uuid.UUID(bytes=row_id("p", 1))), "no id"]))
    assert made.notes == ["no id in `cited` is of rows of `documents` that the others come from"]


GROUPS = st.sets(st.binary(min_size=16, max_size=16), max_size=60)
SHARES = st.dictionaries(st.sampled_from(["train", "test", "val"]), st.floats(0.01, 1), min_size=1)


@given(GROUPS, SHARES, st.integers(-3, 3))
@settings(max_examples=100, deadline=None)
def test_any_split(groups: set[bytes], shares: dict[str, float], seed: int) -> None:
    sides = assign(groups, shares, seed)
    assert set(sides) == groups
    counts = Counter(sides.values())
    if len(groups) >= len(shares):
        assert set(counts) == set(shares)
    whole = sum(shares.values())
    assert all(
        abs(counts[name] - len(groups) * share / whole) < len(shares) + 1 for name, share in shares.items()
    )
    more = assign({*groups, b"new"}, shares, seed)
    assert sum(more[group] != sides[group] for group in groups) <= 2 * len(shares)


@pytest.mark.parametrize(
    ("total", "shares", "counts"),
    [
        (3, {"train": 0.9, "test": 0.1}, {"train": 2, "test": 1}),
        (1, {"train": 0.9, "test": 0.1}, {"train": 1, "test": 0}),
        (100, {"train": 0.98, "test": 0.02}, {"train": 98, "test": 2}),
        (0, {"a": 1.0}, {"a": 0}),
        (2, {"a": 0.98, "b": 0.01, "c": 0.01}, {"a": 2, "b": 0, "c": 0}),
        (3, {"a": 0.98, "b": 0.01, "c": 0.01}, {"a": 1, "b": 1, "c": 1}),
    ],
)
def test_apportion(total: int, shares: dict[str, float], counts: dict[str, int]) -> None:
    assert apportion(total, shares) == counts


# -- files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "split", "files", "card"),
    [
        ("out/sft.jsonl", None, ["out/sft.jsonl"], "out/README.md"),
        (
            "out/sft.jsonl",
            {"train": 0.5, "test": 0.5},
            ["out/sft/train.jsonl", "out/sft/test.jsonl"],
            "out/sft/README.md",
        ),
        (
            "out/sft.parquet",
            {"a": 0.5, "b": 0.5},
            ["out/sft/a.parquet", "out/sft/b.parquet"],
            "out/sft/README.md",
        ),
        ("out/sft/", None, ["out/sft/train.jsonl"], "out/sft/README.md"),
        ("out/sft", {"a": 1.0}, ["out/sft/a.jsonl"], "out/sft/README.md"),
        ("sft.jsonl", None, ["sft.jsonl"], "sft.card.md"),
    ],
)
def test_where_files_lie(tmp_path: Path, path: str, split: Any, files: list[str], card: str) -> None:
    made = emit(tmp_path, path, split=split)
    made.emit(talks(8))
    assert list(made.written) == [tmp_path / name for name in files]
    found = sorted(one.relative_to(tmp_path).as_posix() for one in tmp_path.rglob("*") if one.is_file())
    assert found == sorted([*files, card])


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for suffix in ("jsonl", "parquet"):
        for folder in ("a", "b"):
            emit(tmp_path, f"{folder}/sft.{suffix}", split={"train": 0.5, "test": 0.5}).emit(talks(50))
        for one in (tmp_path / "a" / "sft").iterdir():
            assert one.read_bytes() == (tmp_path / "b" / "sft" / one.name).read_bytes()


def test_files_of_a_split_that_is_no_more_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "sft"
    emit(tmp_path, split={"train": 0.5, "test": 0.25, "val": 0.25}).emit(talks(8))
    (folder / "own.jsonl").write_text("someone's own")
    emit(tmp_path, split={"train": 0.5, "test": 0.5}).emit(talks(8))
    assert sorted(one.name for one in folder.iterdir()) == [
        "README.md",
        "own.jsonl",
        "test.jsonl",
        "train.jsonl",
    ]


def test_a_stranger_s_readme_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("mine")
    emit(tmp_path).emit(talks(2))
    assert (tmp_path / "out" / "README.md").read_text() == "mine"
    assert "# sft" in (tmp_path / "out" / "sft.card.md").read_text()


def test_without_a_card(tmp_path: Path) -> None:
    emit(tmp_path, card=False).emit(talks(2))
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["sft.jsonl"]


FULL = """
import resource, sys
from pathlib import Path
from tests.test_emit import emit, talks
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from engine.kinds.base import KindError
try:
    emit(Path(sys.argv[1]), sys.argv[2]).emit(talks(3_000))
except KindError as error:
    print(error.message, "|", error.help)
"""


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_full_disk_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    emit(tmp_path, f"out/sft.{suffix}").emit(talks(2))
    path = tmp_path / "out" / f"sft.{suffix}"
    before = path.read_bytes()
    here = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), f"out/sft.{suffix}"],
        capture_output=True,
        text=True,
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(here), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert f"`sft`: no room to write {path}: File too large" in done.stdout, done.stderr
    assert "nothing half written was left" in done.stdout
    assert path.read_bytes() == before
    assert sorted(one.name for one in path.parent.iterdir()) == ["README.md", path.name]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 2_000


def test_sets_of_another_sort_have_a_card_of_their_own(tmp_path: Path) -> None:
    emit(tmp_path, "out/corpus.parquet", format="text").emit(talks(2))
    emit(tmp_path, "out/sft.jsonl").emit(talks(2))
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [
        "README.md", "corpus.parquet", "sft.card.md", "sft.jsonl",
    ]  # fmt: skip


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file where a folder should be")
    with pytest.raises(KindError, match=r"`sft`: .*out/sft.jsonl cannot be written"):
        emit(tmp_path).emit(talks(2))


def test_two_nodes_must_not_write_one_file(tmp_path: Path) -> None:
    made = emit(tmp_path, "out/./sft.jsonl")
    other = emit(tmp_path, "out/sft.jsonl").node
    made.program.nodes["again"] = type(other)(
        **{**{f: getattr(other, f) for f in other.__dataclass_fields__}, "name": "again"}
    )
    with pytest.raises(KindError, match=r"`sft` and `again` both write out/sft\.jsonl"):
        made.table(talks(2))


# -- the card ------------------------------------------------------------------------------------------


def test_the_card_is_what_the_hub_reads(tmp_path: Path) -> None:
    offline = ModelSpec(
        "large", "offline", "stand-in", None, None, {}, {}, {}, 1, 1.0, "auto", None, None, None
    )
    made = bench(
        "emit",
        tmp_path,
        {"path": "out/sft.jsonl", "split": {"train": 0.75, "test": 0.25}},
        name="sft",
        inputs=COLUMNS,
        above=ABOVE,
        kinds=KINDS,
        models={"large": offline},
        doc="Questions and answers.",
    )
    made.tables["documents"] = talks(3)
    made.emit(talks(8))
    text = (tmp_path / "out" / "sft" / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["configs"] == [
        {
            "config_name": "sft",
            "data_files": [
                {"split": "train", "path": "train.jsonl"},
                {"split": "test", "path": "test.jsonl"},
            ],
        }
    ]
    assert front["license"] == "unknown"
    for said in (
        "Questions and answers.",
        "| train | train.jsonl | 6 |",
        "Split by `documents`",
        "| `documents` | source | 3 | 0 | 0 |",
        "| `messages` |",
        "graph `graph`",
        "no model was asked",
    ):
        assert said in text


def test_two_sets_of_one_folder_share_a_card(tmp_path: Path) -> None:
    def both() -> str:
        emit(tmp_path).emit(talks(3))
        emit(tmp_path, "out/corpus.jsonl", format="text").emit(talks(2))
        return (tmp_path / "out" / "README.md").read_text()

    first = both()
    assert both() == first
    configs = yaml.safe_load(first.split("---")[1])["configs"]
    assert [(one["config_name"], one["data_files"][0]["path"]) for one in configs] == [
        ("corpus", "corpus.jsonl"),
        ("sft", "sft.jsonl"),
    ]
    assert first.index("# corpus") < first.index("# sft")
    assert "| train | sft.jsonl | 3 |" in first


# -- before anything runs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"path": "/etc/sft.jsonl"}, "does not lie beneath"),
        ({"path": "../sft.jsonl"}, "does not lie beneath"),
        ({"path": "sft.json"}, r"no data set is written as \.json"),
        ({"path": "."}, "names no file"),
        ({"split": {"train": 0.5}}, "come to 0.5, not to 1"),
        ({"split": {"train": 1.5, "test": -0.5}}, "must be above 0"),
        ({"split": {"a b": 1}}, "`a b` cannot be the name of a split"),
        ({"by": "nobody"}, "`nobody` is no ancestor"),
        ({"column": "nothing"}, "no column named `nothing`"),
        ({"column": "text"}, "`text` is no list of messages"),
        ({"format": "text", "column": "messages"}, "`messages` is no text"),
        ({"format": "text", "columns": ["text", "answer"]}, "takes 1 columns at most"),
        ({"column": "text", "columns": ["text"]}, "not both"),
        ({"rests_on": "text"}, "`text` is no list of ids"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, settings_: dict[str, Any], said: str) -> None:
    with pytest.raises(Problem, match=said):
        emit(tmp_path, **{"path": "out/sft.jsonl", **settings_})


def test_the_hub_s_own_reader_takes_it(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    emit(tmp_path, split={"train": 0.75, "test": 0.25}).emit(talks(8))
    emit(tmp_path, "out/corpus.jsonl", format="text").emit(talks(3))
    emit(tmp_path, "out/other.parquet", format="text").emit(talks(3))
    emit(tmp_path, "out/pairs.jsonl", format="prompt_completion", columns=["question", "answer"]).emit(
        talks(2)
    )
    cache = str(tmp_path / "cache")
    sft = datasets.load_dataset(str(tmp_path / "out" / "sft"), cache_dir=cache)
    assert {name: split.num_rows for name, split in sft.items()} == {"train": 6, "test": 2}
    assert sft["train"][0]["messages"][0] == {"role": "system", "content": "S"}
    corpus = datasets.load_dataset(str(tmp_path / "out"), "corpus", cache_dir=cache)
    assert {text[0] for text in corpus["train"]["text"]} == {"T"}
    pairs = datasets.load_dataset(str(tmp_path / "out"), "pairs", split="train", cache_dir=cache)
    assert pairs.column_names == ["prompt", "completion"]
