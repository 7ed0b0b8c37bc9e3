"""Cleaning of extracted text: what a repair may change, and that nothing is lost where it is refused."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.models.offline_text import repaired
from engine.runtime import Options, execute, load
from engine.store import open_reader
from tests.endpoint import endpoint
from tests.test_graphs import ENDPOINT, HOUSE

BROKEN = HOUSE / "graphs/documents/after-action-reviews.txt"


def run(root: Path, graph: str, **values: str) -> None:
    program = load(graph, values=values, root=root)
    assert program.ok, [entry.message for entry in program.diagnostics]
    summary = asyncio.run(execute(program, Options(root=root, store=root / "store.duckdb", out=root)))
    assert summary.errors == summary.crashes == []


def rows(root: Path, query: str) -> list[tuple[Any, ...]]:
    with open_reader(root / "store.duckdb") as reader:
        return reader.sql(query).rows


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENDPOINT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def divided(tmp_path: Path) -> str:
    """A manual as a reader of pages gives it: lines of eighty letters, words divided at their ends."""
    text = BROKEN.read_text(encoding="utf-8")
    lines = [text[at : at + 80] for at in range(0, len(text), 80)]
    marked = (
        line + "-" if line[-1:].islower() and after[:1].islower() else line
        for line, after in zip(lines, [*lines[1:], ""], strict=True)
    )
    broken = "\n".join(marked)
    (tmp_path / "scan.txt").write_text(broken, encoding="utf-8")
    return broken


def test_documents_come_back_whole_and_without_divided_words(
    tmp_path: Path, offline: None, divided: str
) -> None:
    """Every letter and every number of the document is there, in its order; only the breaks are gone."""
    run(tmp_path, "clean_pdf", inputs="scan.txt")
    (written,) = (tmp_path / "out/clean_pdf/documents.jsonl").read_text(encoding="utf-8").splitlines()
    text = json.loads(written)["text"]
    letters = [c for c in divided if c.isalnum()]
    assert [c for c in text if c.isalnum()] == letters
    assert text.count("-\n") < divided.count("-\n") / 4
    assert rows(tmp_path, "SELECT count(*) FROM report WHERE fate = 'repaired'") > [(5,)]


@pytest.mark.slow
def test_a_passage_is_cleaned_once_whoever_reads_it(tmp_path: Path, offline: None, divided: str) -> None:
    """Four graphs in one, and one call for each passage; their judge sees it cleaned."""
    run(tmp_path, "complete", inputs="scan.txt", clean="all", least="1", limit="6")
    asked = "SELECT count(*), count(DISTINCT request) FROM calls WHERE node LIKE '%.mended'"
    assert rows(tmp_path, asked) == [(6, 6)]
    seen = rows(tmp_path, 'SELECT text FROM "rag.passages.cleaned"')
    assert len(seen) == 6
    assert rows(tmp_path, 'SELECT text FROM "factual.passages"') == seen


FOOTER = "14 June 2021 FM 7-0 1-3"
INVENTED = "Engineers built bridges across swollen rivers, while physicians vaccinated refugees."
TAMPERED: dict[str, Callable[[str], str]] = {
    "honest": lambda text: text,
    "number": lambda text: text.replace("1", "2"),
    "lost": lambda text: text.replace(max(text.split(". "), key=len), ""),
    "added": lambda text: f"{text} {INVENTED}",
    "worded": lambda text: re.sub(r"\b[a-m][a-z]{5}", "xyloph", text),
}


def scanned(text: str) -> str:
    """As OCR might give it: ligatures, letters misread, words divided, a footer in the middle."""
    broken = re.sub(r"(?<=[a-z]{3})l(?=[a-z])", "1", text.replace("fi", "ﬁ").replace("tm", "trn"))
    broken = re.sub(r"\b([a-z]{4})([a-z]{4,}) ", r"\1-\n\2 ", broken, count=3)
    half = broken.index(" ", len(broken) // 2)
    return f"{broken[:half]} {FOOTER}{broken[half:]}"


def test_honest_repairs_are_taken_and_others_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a real text, damaged: what a careful reader gives back is believed, and nothing else is."""
    sentences = re.split(r"(?<=[a-z]\.) (?=[A-Z])", " ".join(BROKEN.read_text(encoding="utf-8").split()))
    passages = [" ".join(sentences[at : at + 6]) for at in range(0, 72, 6)]
    rules, pages = [], []
    for kind, tamper in TAMPERED.items():
        for place, text in enumerate(passages):
            if tamper(text) == text and kind != "honest":
                continue
            name = f"page {kind} {place:02}"
            reply = {"why": "scanned", "removed": [FOOTER], "cleaned": f"{name} {tamper(text)}"}
            rules.append({"contains": name, "reply": reply})
            pages.append({"path": f"{kind}.pdf", "title": None, "text": f"{name} {scanned(text)}"})
    (tmp_path / "pages.jsonl").write_text("\n".join(map(json.dumps, pages)), encoding="utf-8")
    with endpoint(rules=rules) as asked:
        monkeypatch.setenv("ATK_BASE_URL", asked.base_url)
        monkeypatch.setenv("ATK_MODEL", "m")
        run(tmp_path, "clean_pdf", inputs="pages.jsonl", size="4_000")
    fates = rows(tmp_path, "SELECT DISTINCT path, fate FROM report")
    assert len(fates) == len(TAMPERED)
    assert dict(fates) == {f"{kind}.pdf": "repaired" if kind == "honest" else "refused" for kind in TAMPERED}
    kept = rows(
        tmp_path,
        "SELECT count(*) FROM passages JOIN pieces USING (pieces_id) JOIN report r USING"
        " (pieces_id) WHERE fate = 'refused' AND passages.text <> pieces.text",
    )
    assert kept == [(0,)]


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("The com-\nmander waits\nthere. ", "The commander waits there."),
        ("A ﬁeld is  wide", "A field is wide"),
        ("# Clouds\n\nWarm air\n\n- rises", "# Clouds\n\nWarm air\n\n- rises"),
        ("FM 7-0\n1-3", "FM 7-0\n1-3"),
    ],
)
def test_the_stand_in_joins_what_is_divided(broken: str, whole: str) -> None:
    assert repaired(broken) == whole
