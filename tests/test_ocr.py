"""PDF pages that are pictures: read by Tesseract where it is installed, else told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.data import extraction, recognition
from engine.data.pages import Page
from engine.data.recognition import INSTALL, Unrecognised, completed
from engine.kinds.base import Known
from engine.language.types import INT, STR, Field, Many, Record
from tests import paper
from tests.test_documents import own_reader
from tests.test_readers import source
from tests.workbench import Bench

PAGES = Many(Record((Field("page", INT), Field("start", INT))))
PAGED = Record((Field("path", STR), Field("text", STR), Field("pages", PAGES)))
SWARM = ("A swarm leaves the hive in May.", "It looks for a hollow place to live in.")
WINTER = ("Winter is the time of hunger.", "Most colonies starve in March before the flowers come.")
QUEEN = ("The queen lays eggs from February on.", "Nobody feeds the drones any more.")

__all__ = ["own_reader"]  # a fixture

needs_tesseract = pytest.mark.skipif(shutil.which("tesseract") is None, reason="Tesseract is not installed")


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    folder = tmp_path / "inputs"
    folder.mkdir()
    return folder


def documents(root: Path, **settings: Any) -> Bench:
    return source(root, type_=PAGED, **settings)


def read(made: Bench) -> dict[str, Any]:
    return {one.own["path"]: one for one in made.read()}


def flat(text: str) -> str:
    return " ".join(text.replace("|", " ").replace("-", " ").split())


def without_tesseract(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "nothing").mkdir()
    monkeypatch.setenv("PATH", str(folder / "nothing"))


def pretend(monkeypatch: pytest.MonkeyPatch, folder: Path, *languages: str) -> None:
    """A program of that name which has these languages and reads nothing."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "tesseract"
    lines = "\n".join(languages)
    program.write_text(f"#!/bin/sh\necho 'List of available languages in \"{folder}/\" (9):\n{lines}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder / "bin"))


@needs_tesseract
def test_a_scan_is_read_page_by_page(tmp_path: Path, inputs: Path) -> None:
    paper.pdf(inputs / "scan.pdf", paper.Scan(SWARM), paper.Scan(WINTER))
    made = documents(tmp_path)
    own = read(made)["scan.pdf"].own
    first, second = own["pages"]
    assert (first, second["page"]) == ({"page": 1, "start": 0}, 2)
    assert flat(own["text"][: second["start"]]) == " ".join(SWARM)
    assert flat(own["text"][second["start"] :]) == " ".join(WINTER)
    assert made.notes == []


@needs_tesseract
def test_a_page_that_is_a_picture_stands_between_its_neighbours(tmp_path: Path, inputs: Path) -> None:
    paper.pdf(inputs / "mixed.pdf", SWARM, paper.Scan(WINTER), (), QUEEN)
    own = read(documents(tmp_path))["mixed.pdf"].own
    assert [one["page"] for one in own["pages"]] == [1, 2, 4]
    places = [own["text"].index(words) for words in ("swarm", "hunger", "queen")]
    assert places == sorted(places)
    starts = [one["start"] for one in own["pages"]]
    assert starts[1] < places[1] < starts[2] < places[2]
    assert own["text"].count("queen") == 1


@needs_tesseract
def test_what_needs_no_tesseract_is_the_same_with_it(
    tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper.pdf(inputs / "text.pdf", SWARM, (), QUEEN, ("12",))
    with_it = read(documents(tmp_path))["text.pdf"]
    without_tesseract(monkeypatch, tmp_path)
    made = documents(tmp_path)
    assert read(made)["text.pdf"].own == with_it.own
    assert made.notes == []


def test_without_tesseract_it_is_told_what_to_install(
    tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper.pdf(inputs / "scan.pdf", paper.Scan(SWARM))
    paper.pdf(inputs / "mixed.pdf", SWARM, paper.Scan(WINTER), (), QUEEN, paper.Scan(WINTER))
    paper.pdf(inputs / "blank.pdf", ())
    without_tesseract(monkeypatch, tmp_path)
    made = documents(tmp_path)
    found = read(made)
    assert found["scan.pdf"].reason == (
        f"scan.pdf: there is no text in it, its pages are pictures: {INSTALL}"
    )
    assert found["blank.pdf"].reason == "blank.pdf: there is no text in it"
    assert flat(found["mixed.pdf"].own["text"]) == " ".join((*SWARM, *QUEEN))
    assert made.notes == [f"pages that are pictures were left out (mixed.pdf: 2, 5): {INSTALL}"]


def test_a_language_that_tesseract_does_not_have(
    tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper.pdf(inputs / "scan.pdf", paper.Scan(SWARM))
    pretend(monkeypatch, tmp_path, "eng", "osd")
    assert read(documents(tmp_path, ocr_language="deu+eng"))["scan.pdf"].reason == (
        "scan.pdf: there is no text in it, its pages are pictures: "
        "Tesseract has eng, not `deu`: install it (apt-get install tesseract-ocr-deu)"
    )


def test_a_tesseract_that_cannot_read(tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it has a language whose data are not there."""
    paper.pdf(inputs / "mixed.pdf", SWARM, paper.Scan(WINTER))
    pretend(monkeypatch, tmp_path, "eng")
    made = documents(tmp_path)
    assert flat(read(made)["mixed.pdf"].own["text"]) == " ".join(SWARM)
    (note,) = made.notes
    assert note.startswith("pages that are pictures were left out (mixed.pdf: 2): Tesseract cannot read it: ")


@pytest.mark.usefixtures("own_reader")
def test_a_page_that_takes_too_long_is_left_and_the_others_are_read(
    tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "program.py").write_text(
        "import json, sys, time\n"
        "for line in sys.stdin:\n"
        "    request = json.loads(line)\n"
        "    if request.get('page') == 2: time.sleep(60)\n"
        "    said = {'text': f\"Page {request['page']}.\"} if 'page' in request else "
        "{'text': '', 'title': None, 'pages': [[1, ''], [2, ''], [3, '']], 'pictures': [1, 2, 3]}\n"
        "    print(json.dumps(said), flush=True)\n"
    )
    pretend(monkeypatch, tmp_path, "eng")
    monkeypatch.setattr(extraction, "PROGRAM", tmp_path / "program.py")
    monkeypatch.setattr(recognition, "SECONDS", 1)
    paper.pdf(inputs / "scan.pdf", ())
    made = documents(tmp_path)
    assert read(made)["scan.pdf"].own["text"] == "Page 1.\n\nPage 3.\n"
    assert made.notes == [
        "pages that are pictures were left out (scan.pdf: 2): reading it takes more than 1 s"
    ]


WHOLE = "The bees fly out.\n\n## They come home at night."
TEXTS = [(1, "The bees fly out."), (2, ""), (3, "They come home at night."), (4, "")]


@pytest.mark.parametrize(
    ("pictures", "text", "pages"),
    [
        ([], WHOLE, [(1, 0), (3, 19)]),
        ([2], "The bees fly out.\n\n<2>\n\n## They come home at night.", [(1, 0), (2, 19), (3, 24)]),
        ([4], f"{WHOLE}\n\n<4>", [(1, 0), (3, 19), (4, 48)]),
        (
            [2, 4],
            "The bees fly out.\n\n<2>\n\n## They come home at night.\n\n<4>",
            [(1, 0), (2, 19), (3, 24), (4, 53)],
        ),
    ],
)
def test_where_pages_that_were_read_are_put(
    pictures: list[int],
    text: str,
    pages: list[tuple[int, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, tmp_path, "eng")
    found = completed(WHOLE, TEXTS, pictures, "eng", lambda number: f"<{number}>\n")
    assert (found.text, found.pages) == (text, [Page(*page) for page in pages])
    assert all(found.text[page.start :][:1] in "T<#" for page in found.pages)


def test_a_picture_without_a_word_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, tmp_path, "eng")

    def fails(number: int) -> str:
        raise Unrecognised("it is torn")

    assert completed(WHOLE, TEXTS, [2, 4], "eng", lambda _: " \n").text == WHOLE
    assert completed(WHOLE, TEXTS, [2, 4], "eng", fails).left == {"it is torn": [2, 4]}


def test_what_was_read_well_is_not_read_again(
    tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading a scan takes minutes: another file in the folder is no cause to read it anew."""
    paper.pdf(inputs / "scan.pdf", SWARM, paper.Scan(WINTER))
    paper.pdf(inputs / "text.pdf", SWARM)
    without_tesseract(monkeypatch, tmp_path)
    made = documents(tmp_path)
    first = {one.own["path"]: one for one in made.kind.read(made, Known())}
    assert first["scan.pdf"].stretch is None  # one of its pages is still to be read
    mark = first["text.pdf"].stretch.mark
    known = Known({mark: 1})
    assert [one.own["path"] for one in made.kind.read(made, known)] == ["scan.pdf"]
    assert known.kept == {mark}
    paper.pdf(inputs / "text.pdf", QUEEN)
    assert len(list(made.kind.read(made, Known({mark: 1})))) == 2


def test_once_tesseract_is_installed_the_files_are_read_again(
    tmp_path: Path, inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper.pdf(inputs / "scan.pdf", paper.Scan(SWARM))
    made = documents(tmp_path)
    with monkeypatch.context() as patch:
        without_tesseract(patch, tmp_path)
        before = made.kind.signature(made)
        assert made.kind.signature(made) == before
    pretend(monkeypatch, tmp_path, "eng")
    assert made.kind.signature(made) != before
