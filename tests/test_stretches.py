"""An edited file of rows: only what was edited is read again, and the rows are those of a first reading."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from engine.data import readers, stretches
from engine.language.types import INT, STR, Field, Optional, Record
from engine.runtime import execute, load
from engine.runtime.engine import Options
from engine.store import connect
from engine.store.keys import row_id
from engine.store.store import Store
from tests.workbench import bench, rows_of

Rows = list[dict[str, Any]]
GRAPH = 'source rows -> { text: str, n: int? }[] { path = "rows.%s" }\n'


def jsonl(path: Path, rows: Rows) -> None:
    path.write_text("".join(row.get("raw") or json.dumps(row) + "\n" for row in rows))


def separated(path: Path, rows: Rows) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["text", "n"])
    for row in rows:
        writer.writerow([row["raw"]] if "raw" in row else [row["text"], row["n"]])
    path.write_text(text.getvalue())


def parquet(path: Path, rows: Rows) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: [row.get(name) for row in rows] for name in ("text", "n")}
    pq.write_table(pa.table(columns, pa.schema([("text", pa.string()), ("n", pa.int64())])), path)


WRITERS: dict[str, Callable[[Path, Rows], None]] = {
    "jsonl": jsonl,
    "csv": separated,
    "parquet": parquet,
}


def changed(rows: Rows) -> None:
    rows[100] = {"text": "another", "n": 1}


def added_above(rows: Rows) -> None:
    rows.insert(0, {"text": "the first", "n": 0})


def added_below(rows: Rows) -> None:
    rows.append({"text": 'the last, "quoted"\nover two lines', "n": 0})


def removed(rows: Rows) -> None:
    del rows[30:33]


def moved(rows: Rows) -> None:
    rows[20:60], rows[60:150] = rows[110:150] + rows[20:60], rows[60:110]


def doubled(rows: Rows) -> None:
    """A row that stands far away comes once more, and once more."""
    rows[170:170] = [dict(rows[12]), dict(rows[12])]


def doubled_above(rows: Rows) -> None:
    rows.insert(0, dict(rows[150]))


def first_of_two_removed(rows: Rows) -> None:
    del rows[rows.index(rows[170])]


def spoilt(rows: Rows) -> None:
    rows[140] = {"raw": '{"no text": 1}\n'}


def mended(rows: Rows) -> None:
    rows[140] = {"text": "mended", "n": 4}


def doubled_whole(rows: Rows) -> None:
    rows += [dict(row) for row in rows[:120]]


EDITS = [
    [changed],
    [added_above, added_below, removed],
    [moved],
    [doubled],
    [doubled_above, first_of_two_removed],
    [spoilt],
    [added_above],
    [mended, doubled_whole],
]


def table(root: Path, store: str) -> list[tuple[Any, ...]]:
    """All rows as a run into a store leaves them: ids, revisions, what became of them."""
    program = load("graph.atk", root=root)
    assert program.ok, program.diagnostics
    options = Options(root=root, store=root / store, out=root)
    summary = asyncio.run(execute(program, options))
    assert summary.status in ("done", "failed")
    assert not summary.errors
    connection = connect(options.store)
    try:
        return sorted(
            connection.sql("SELECT rows_id::VARCHAR, text, n, '' FROM rows").fetchall()
            + connection.sql("SELECT rows_id::VARCHAR, text, n, reason FROM failed.rows").fetchall(),
            key=str,
        )
    finally:
        connection.close()


def first_reading(root: Path, format: str) -> list[tuple[Any, ...]]:
    """The same of a reading that knows nothing of any other."""
    record = Record((Field("text", STR), Field("n", Optional(INT))))
    made = bench("source", root, {"path": f"rows.{format}"}, name="rows", result=rows_of(record)).read()
    return sorted(
        (
            (
                str(UUID(bytes=row_id(None, one.identity or ""))),
                one.own.get("text"),
                one.own.get("n"),
                one.reason or "",
            )
            for one in made
        ),
        key=str,
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "CUT", 0x7)
    monkeypatch.setattr(stretches, "MOST", 60)
    monkeypatch.setattr(readers, "BATCH", 16)


@pytest.mark.parametrize("format", WRITERS)
def test_edits_give_the_rows_of_a_first_reading(format: str, tmp_path: Path, small: None) -> None:
    (tmp_path / "graph.atk").write_text(GRAPH % format)
    rows: Rows = [{"text": f"row {number}", "n": number % 7} for number in range(200)]
    path = tmp_path / f"rows.{format}"
    WRITERS[format](path, rows)
    table(tmp_path, "store.duckdb")
    for edits in EDITS:
        for edit in edits:
            edit(rows)
        WRITERS[format](path, rows)
        again = table(tmp_path, "store.duckdb")
        assert again == first_reading(tmp_path, format), edits
        assert len(again) == len(rows), edits


@pytest.mark.parametrize("format", WRITERS)
def test_what_was_not_edited_is_not_read(
    format: str, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "graph.atk").write_text(GRAPH % format)
    rows: Rows = [{"text": f"row {number}", "n": number} for number in range(600)]
    path = tmp_path / f"rows.{format}"
    read = 0

    def counted(file: Any) -> Any:
        for stretch in cut(file):

            def items(stretch: stretches.Stretch = stretch) -> Any:
                nonlocal read
                for item in stretch.items():
                    read += 1
                    yield item

            yield dataclasses.replace(stretch, items=items)

    cut = stretches.stretches
    monkeypatch.setattr(stretches, "stretches", counted)
    for edit, most in ((None, 600), (changed, 80), (changed, 0), (added_below, 80)):
        before = read
        if edit is not None:
            edit(rows)
        WRITERS[format](path, rows)
        table(tmp_path, "store.duckdb")
        assert read - before <= most
    if format != "parquet":  # whose stretches are of even size
        added_above(rows)
        WRITERS[format](path, rows)
        before = read
        table(tmp_path, "store.duckdb")
        assert 0 < read - before <= 80


def test_another_header_is_another_reading(tmp_path: Path, small: None) -> None:
    (tmp_path / "graph.atk").write_text(GRAPH % "csv")
    path = tmp_path / "rows.csv"
    lines = [f"{number},{number + 1}" for number in range(100)]
    path.write_text("\n".join(["text,n", *lines]))
    first = table(tmp_path, "store.duckdb")
    path.write_text("\n".join(["n,text", *lines]))
    second = table(tmp_path, "store.duckdb")
    assert first != second == first_reading(tmp_path, "csv")


def test_a_reading_that_did_not_end_is_not_believed(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "graph.atk").write_text(GRAPH % "jsonl")
    path = tmp_path / "rows.jsonl"
    rows: Rows = [{"text": f"row {number}", "n": number} for number in range(200)]
    jsonl(path, rows)
    table(tmp_path, "store.duckdb")

    def broken(*given: Any) -> None:
        raise RuntimeError("the lights went out")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "save_stretches", broken)
        moved(rows)
        removed(rows)
        jsonl(path, rows)
        with pytest.raises(AssertionError):
            table(tmp_path, "store.duckdb")
    changed(rows)
    jsonl(path, rows)
    assert table(tmp_path, "store.duckdb") == first_reading(tmp_path, "jsonl")
