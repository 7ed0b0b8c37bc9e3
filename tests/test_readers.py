"""What `source` makes of files: documents, rows, and what cannot be read."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.files import NotText, decode
from engine.data.readers import pretty
from engine.kinds.base import KindError, Known
from engine.language.types import BOOL, FLOAT, INT, STR, Field, Literal, Many, Optional, Record, Type
from tests.amount import amount
from tests.workbench import DOCUMENT, QA, Bench, Problem, bench, rows_of


def source(root: Path, path: str = "inputs", type_: Record = DOCUMENT, **more: Any) -> Bench:
    return bench("source", root, {"path": path, **more}, name="documents", result=rows_of(type_))


def write(root: Path, files: dict[str, str | bytes]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_a_folder_of_documents(tmp_path: Path) -> None:
    write(
        tmp_path / "inputs",
        {
            "b.md": "# Clouds\n\nThey are white.",
            "a_first-try.txt": "x" * 300,
            "deep/c.TXT": "Rain\n\nIt falls.\r\nYes.",
            ".hidden.txt": "no",
            ".git/d.txt": "no",
            "e.odt": "no",
            "f.xyz": "no",
            "g": "no",
        },
    )
    made = source(tmp_path)
    found = made.read()
    assert [one.own["path"] for one in found] == ["a_first-try.txt", "b.md", "deep/c.TXT"]
    assert [one.own["title"] for one in found] == ["A first try", "Clouds", "Rain"]
    assert found[2].own["text"] == "Rain\n\nIt falls.\nYes."
    assert [one.identity for one in found] == [one.own["path"] for one in found]
    (note,) = made.notes
    assert "3 files were left out (1 .odt, 1 .xyz, 1 without an extension)" in note


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("inputs/a.txt", ["a.txt"]),
        ("inputs/*.txt", ["a.txt", "b.txt"]),
        ("inputs/**/*.txt", ["a.txt", "b.txt", "in/c.txt"]),
        ("inputs/i*", ["in/c.txt", "in/d.md"]),
        ("./inputs/", ["a.txt", "b.txt", "in/c.txt", "in/d.md"]),
        ("inputs/../inputs/[b]*", ["b.txt"]),
    ],
)
def test_paths_folders_and_patterns(tmp_path: Path, path: str, names: list[str]) -> None:
    write(
        tmp_path / "inputs", {"a.txt": "a", "b.txt": "b", "in/c.txt": "c", "in/d.md": "d", "in/.e.txt": "e"}
    )
    assert [one.own["path"] for one in source(tmp_path, path).read()] == names


def test_a_path_that_is_set_to_nothing_has_no_rows(tmp_path: Path) -> None:
    found = bench("source", tmp_path, {"path": None}, name="documents", result=rows_of(DOCUMENT))
    assert list(found.read()) == []
    with pytest.raises(Problem, match="needs `path`"):
        bench("source", tmp_path, {}, name="documents", result=rows_of(DOCUMENT))


def test_beside_the_graph_comes_after_where_the_command_runs(tmp_path: Path) -> None:
    graph = tmp_path / "graphs"
    write(graph, {"inputs/a.txt": "beside the graph"})
    made = source(graph)
    made.root = tmp_path
    assert [one.own["text"] for one in made.read()] == ["beside the graph"]
    write(tmp_path, {"inputs/a.txt": "where the command runs"})
    assert [one.own["text"] for one in made.read()] == ["where the command runs"]


def test_a_folder_linked_into_itself_is_read_once(tmp_path: Path) -> None:
    write(tmp_path / "inputs", {"a.txt": "a"})
    (tmp_path / "inputs" / "again").symlink_to(tmp_path / "inputs", target_is_directory=True)
    assert len(source(tmp_path).read()) == 1


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "nothing to read at .*inputs"),
        ({"inputs/a.odt": "x"}, r"inputs \(only 1 \.odt\)"),
        ({"inputs/.a.txt": "x"}, r"inputs \(empty\)"),
    ],
)
def test_nothing_to_read_names_the_place_and_what_would_be_read(
    tmp_path: Path, files: dict[str, str | bytes], said: str
) -> None:
    write(tmp_path, files)
    made = source(tmp_path)
    for do in (made.read, lambda: made.kind.signature(made)):
        with pytest.raises(KindError, match=said) as error:
            do()
        assert "jsonl" in str(error.value.help)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfcaf\xc3\xa9", "café"),
        ("café".encode("utf-16"), "café"),
        ("café".encode("utf-16-be"), None),
        (b"\xfe\xff" + "café".encode("utf-16-be"), "café"),
        ("café".encode("utf-32"), "café"),
        (b"", ""),
    ],
)
def test_byte_order_marks(data: bytes, text: str | None) -> None:
    if text is None:
        with pytest.raises(NotText, match="binary"):
            decode(data)
    else:
        assert decode(data) == text


def test_what_is_not_utf8_is_set_aside_with_the_mend(tmp_path: Path) -> None:
    write(
        tmp_path / "inputs",
        {
            "a.txt": "Café".encode("latin-1"),
            "b.txt": bytes(range(256)) * 4,
            "c.txt": "good",
            "d.txt": b"a\0b",
        },
    )
    found = {one.identity: one for one in source(tmp_path).read()}
    assert found["a.txt"].fate == "failed"
    assert "a.txt: not UTF-8 at byte 3 (looks like latin-1?); convert it" in str(found["a.txt"].reason)
    assert found["a.txt"].own == {"path": "a.txt"}
    assert "binary" in str(found["b.txt"].reason)
    assert "NUL" in str(found["d.txt"].reason)
    assert found["c.txt"].fate == "ok"


def test_a_file_that_cannot_be_opened_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    write(tmp_path / "inputs", {"b.txt": "b"})
    made = source(tmp_path)
    found = made.kind.found(made)
    (tmp_path / "inputs" / "b.txt").unlink()
    item = next(iter(_reading(made).all(found.files)))
    assert (item.fate, item.reason) == ("failed", "b.txt: cannot be read: No such file or directory")


def _reading(made: Bench) -> Any:
    from engine.kinds.source_reading import Reading

    return Reading("documents", DOCUMENT, "eng")


LABEL = Record(
    (
        Field("text", STR),
        Field("count", INT),
        Field("score", Optional(FLOAT)),
        Field("good", BOOL),
        Field("label", Literal(("a", "b"))),
        Field("tags", Optional(Many(STR))),
    )
)
LABELS: list[dict[str, Any]] = [
    {"text": "one", "count": 1, "score": 0.5, "good": True, "label": "a", "tags": ["x", "y"]},
    {
        "text": 'two, with "quotes"\nand a line',
        "count": -2,
        "score": None,
        "good": False,
        "label": "b",
        "tags": None,
    },
]


def labels(root: Path, format: str) -> Path:
    path = root / f"rows.{format}"
    match format:
        case "jsonl":
            path.write_text("".join(json.dumps(one) + "\n" for one in LABELS))
        case "json":
            path.write_text(json.dumps(LABELS))
        case "csv" | "tsv":
            with path.open("w", newline="") as handle:
                writer = csv.writer(handle, delimiter="\t" if format == "tsv" else ",")
                writer.writerow(LABELS[0])
                for one in LABELS:
                    tags = "" if one["tags"] is None else json.dumps(one["tags"])
                    score = "" if one["score"] is None else one["score"]
                    writer.writerow(
                        [one["text"], one["count"], score, str(one["good"]).lower(), one["label"], tags]
                    )
        case _:
            pq.write_table(pa.Table.from_pylist(LABELS), path)
    return path


@pytest.mark.parametrize("format", ["jsonl", "json", "csv", "tsv", "parquet"])
def test_rows_of_every_format_are_the_same(tmp_path: Path, format: str) -> None:
    labels(tmp_path, format)
    found = source(tmp_path, f"rows.{format}", LABEL).read()
    assert [one.fate for one in found] == ["ok", "ok"], [one.reason for one in found]
    assert [one.own for one in found] == LABELS


def test_semicolons_in_a_csv(tmp_path: Path) -> None:
    write(tmp_path, {"a.csv": "question;answer\nWhy, then?;So\n"})
    (made,) = source(tmp_path, "a.csv", QA).read()
    assert made.own == {"question": "Why, then?", "answer": "So"}


def test_bad_lines_are_set_aside_one_by_one(tmp_path: Path) -> None:
    good = '{"question": "Q", "answer": "A"}'
    lines = [good, "{", '["Q"]', '{"question": "Q"}', '{"question": 1.5, "answer": ["A"]}', "", "null", good]
    write(tmp_path, {"a.jsonl": "\n".join(lines).encode() + b'\n{"question": "caf\xe9", "answer": "A"}'})
    found = source(tmp_path, "a.jsonl", QA).read()
    assert [one.fate for one in found] == [
        "ok",
        "failed",
        "failed",
        "failed",
        "failed",
        "failed",
        "ok",
        "failed",
    ]
    reasons = [str(one.reason) for one in found]
    assert reasons[1].startswith("a.jsonl, line 2: no JSON")
    assert reasons[2] == "a.jsonl, line 3: a list, not an object with fields"
    assert reasons[3].startswith("a.jsonl, line 4: `answer` is missing")
    assert "answer" in reasons[4]
    assert reasons[5] == "a.jsonl, line 7: null, not an object with fields"
    assert reasons[7].startswith("a.jsonl, line 9: not UTF-8 at byte")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "{broken", "a.json: no JSON"),
        ("a.parquet", "PAR1", "a.parquet: no parquet file"),
        ("a.csv", 'question,answer\nx,y\n"open,z', "a.csv: no CSV from line 3 on"),
        (
            "b.csv",
            "question,answer\nx,y\nx\nx,y,z\n",
            "b.csv, line 3: 1 cells, but the header names 2 columns",
        ),
        ("c.csv", b"question,answer\nx,y\ncaf\xe9,y\n", "c.csv, line 3: not UTF-8 in `question`"),
    ],
)
def test_files_that_are_broken(tmp_path: Path, name: str, text: str | bytes, said: str) -> None:
    write(tmp_path, {name: text})
    reasons = [str(one.reason) for one in source(tmp_path, name, QA).read() if one.fate == "failed"]
    assert reasons
    assert reasons[0].startswith(said)


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("count", [3, 500])
def test_a_column_that_all_rows_lack_is_one_error(tmp_path: Path, format: str, count: int) -> None:
    rows = [{"question": f"Q{number}", "reply": "A"} for number in range(count)]
    path = tmp_path / f"a.{format}"
    if format == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif format == "csv":
        path.write_text("question,reply\n" + "".join(f"{one['question']},A\n" for one in rows))
    else:
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    with pytest.raises(
        KindError, match=r"a\.\w+ has no column `answer`; its rows have `question`, `reply`"
    ) as error:
        source(tmp_path, path.name, QA).read()
    assert "`answer: str?`" in str(error.value.help)


def test_a_row_without_a_path_has_that_of_its_file(tmp_path: Path) -> None:
    write(tmp_path / "inputs", {"a.jsonl": '{"text": "T"}\n{"text": "U", "path": "mine"}', "b.txt": "B"})
    assert [one.own["path"] for one in source(tmp_path).read()] == ["a.jsonl", "mine", "b.txt"]


def test_documents_lack_what_only_rows_can_have(tmp_path: Path) -> None:
    write(tmp_path / "inputs", {"a.txt": "A"})
    with pytest.raises(KindError, match="the type also wants `question`"):
        source(tmp_path, type_=QA).read()


def test_identities_are_of_content_and_never_of_the_place(tmp_path: Path) -> None:
    def identities(*rows: dict[str, str]) -> list[str]:
        write(tmp_path, {"a.jsonl": "\n".join(json.dumps(one) for one in rows)})
        return [str(one.identity) for one in source(tmp_path, "a.jsonl", QA).read()]

    one, two = {"question": "1", "answer": "A"}, {"answer": "B", "question": "2"}
    first = identities(one, two)
    assert len(set(first)) == 2
    assert identities(two, one) == first[::-1]
    assert identities({"question": "0", "answer": "new"}, one, two)[1:] == first
    again = identities(one, one, two)
    assert len(set(again)) == 3
    assert {again[0], again[2]} == set(first)


def test_a_limit_takes_the_same_ones_whatever_is_added(tmp_path: Path) -> None:
    write(tmp_path / "inputs", {f"{number:03}.txt": f"text {number}" for number in range(60)})
    chosen = [str(one.identity) for one in source(tmp_path, limit=20).read()]
    assert len(chosen) == 20
    assert chosen == sorted(chosen)
    assert chosen != [f"{number:03}.txt" for number in range(20)]
    write(tmp_path / "inputs", {f"new {number}.txt": "more" for number in range(6)})
    after = {str(one.identity) for one in source(tmp_path, limit=20).read()}
    assert len(after & set(chosen)) >= 14
    assert set(chosen[:5]) | after >= {str(one.identity) for one in source(tmp_path, limit=5).read()}


def test_a_limit_over_rows_keeps_what_failed(tmp_path: Path) -> None:
    lines = [json.dumps({"question": f"Q{number}", "answer": "A"}) for number in range(50)]
    write(tmp_path, {"a.jsonl": "\n".join([*lines[:25], "{", *lines[25:]])})
    found = source(tmp_path, "a.jsonl", QA, limit=10).read()
    assert [one.fate for one in found].count("ok") == 10
    assert [one.fate for one in found].count("failed") == 1


def test_format_overrides_the_extension(tmp_path: Path) -> None:
    write(tmp_path, {"a.data": '{"question": "Q", "answer": "A"}\n'})
    assert source(tmp_path, "a.data", QA, format="jsonl").read()[0].own["answer"] == "A"


def test_the_signature_is_cheap_and_sees_every_change(tmp_path: Path) -> None:
    write(tmp_path / "inputs", {"a.txt": "a", "b.txt": "b", "c.odt": "c"})
    made = source(tmp_path)
    before = made.kind.signature(made)
    assert [entry[0] for entry in before] == ["a.txt", "b.txt"]
    assert json.loads(json.dumps(before)) == made.kind.signature(made)
    write(tmp_path / "inputs", {"b.txt": "changed"})
    assert made.kind.signature(made) != before


def test_reading_a_long_file_takes_little_memory(tmp_path: Path) -> None:
    with (tmp_path / "a.jsonl").open("w") as handle:
        for number in range(3_000):
            handle.write(json.dumps({"question": f"{number} " + "long " * 800, "answer": "A"}) + "\n")
    made = source(tmp_path, "a.jsonl", QA)
    tracemalloc.start()
    count = sum(1 for _ in made.kind.read(made, Known()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3_000
    assert peak < 4_000_000  # of a file of 12 MB


@given(st.lists(st.fixed_dictionaries({"question": st.text(), "answer": st.text()}), max_size=20))
@settings(max_examples=amount(40, 15), deadline=None)
def test_any_text_comes_through_jsonl(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    (folder / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    found = source(folder, "a.jsonl", QA).read()
    assert [one.own for one in found] == rows
    assert len({one.identity for one in found}) == len(rows)


@pytest.mark.parametrize(
    ("settings_", "type_", "said"),
    [
        ({"hub": "a/b", "path": "x"}, Many(DOCUMENT), "from `path` or from `hub`"),
        ({"path": "x", "split": "test"}, Many(DOCUMENT), "`split` is for a data set of the hub"),
        ({}, Many(DOCUMENT), "needs `path`"),
        ({"path": "x"}, DOCUMENT, r"-> T\[\]"),
        ({"path": "x"}, Many(STR), r"-> T\[\]"),
    ],
)
def test_what_is_wrong_before_anything_runs(
    tmp_path: Path, settings_: dict[str, Any], type_: Type, said: str
) -> None:
    with pytest.raises(Problem, match=said):
        bench("source", tmp_path, settings_, result=type_)


@pytest.mark.parametrize(
    ("stem", "title"),
    [
        ("fm-7-0-training", "Fm 7-0 training"),
        ("a_b  c", "A b c"),
        ("army-training", "Army training"),
        ("_", "_"),
        ("x", "X"),
    ],
)
def test_titles_made_of_names(stem: str, title: str) -> None:
    assert pretty(stem) == title
