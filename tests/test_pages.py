"""On which pages of a file a passage stands."""

from __future__ import annotations

import re
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engine.data.pages import Page, covered, starts
from engine.kinds.base import KindError
from engine.language.types import INT, STR, Field, Many, Optional, Record, Type
from tests import paper
from tests.test_readers import source
from tests.workbench import bench, row

MANUALS = sorted((Path(__file__).parent / "data" / "manuals").glob("*.txt"))
PAGES = Many(Record((Field("page", INT), Field("start", INT))))
STRUCTS = 'STRUCT("page" BIGINT, "start" BIGINT)[]'


def typed(pages: Type = PAGES) -> Record:
    return Record((Field("path", STR), Field("text", STR), Field("pages", pages)))


def read(root: Path, pages: Type = PAGES) -> dict[str, Any]:
    return {one.own["path"]: one.own for one in source(root, type_=typed(pages)).read()}


# -- the search ---------------------------------------------------------------------------

ONE, TWO, SIX = "The queen lays eggs all summer.", "Drones leave in August.", "Nothing flies in the snow."
CASES: dict[str, tuple[str, list[str], list[int | None]]] = {
    "as it stands": (f"{ONE}\n\n{TWO}", [ONE, TWO], [0, 33]),
    "a heading has marks": (f"{ONE}\n\n## {TWO}", [ONE, TWO], [0, 33]),
    "running heads are gone": (f"{ONE}\n\n{TWO}", [f"Bees 1\n{ONE}", f"2 Bees\n{TWO}"], [0, 33]),
    "a page goes on in the middle of a line": (f"{ONE} **{TWO}**", [ONE, TWO], [0, 32]),
    "a parted word is joined": (
        f"{ONE} In August the drones leave the hive for good.",
        [f"{ONE} In Au-", "gust the drones leave the hive for good."],
        [0, 42],
    ),
    "an empty page": (f"{ONE}\n\n{TWO}", [ONE, "", TWO], [0, None, 33]),
    "a page that is not in the text": (f"{ONE}\n\n{TWO}", [ONE, SIX, TWO], [0, None, 33]),
    "pages that say the same": (
        f"{ONE}\n\nLeft blank.\n\nLeft blank.\n\n{TWO}",
        [ONE, "Left blank.", "Left blank.", TWO],
        [0, 33, 46, 59],
    ),
    "of two pages out of order the one with fewer words is left out": (
        f"{ONE} {SIX}\n\n{TWO}",
        [ONE, TWO, SIX],
        [0, None, 32],
    ),
    "columns read in another order": (
        f"{ONE} {TWO}\n\n{SIX} Bees sit close together then.",
        [f"{TWO} {ONE}", f"{SIX}\nBees sit close together then."],
        [0, 57],
    ),
    "no text": ("", [ONE], [None]),
    "no pages": (ONE, [], []),
}


@pytest.mark.parametrize("case", CASES)
def test_where_pages_begin(case: str) -> None:
    text, said, wanted = CASES[case]
    found = {page.page: page.start for page in starts(text, list(enumerate(said, 1)))}
    assert [found.get(number) for number, _ in enumerate(said, 1)] == wanted


def test_what_pages_a_stretch_covers() -> None:
    pages = [Page(2, 0), Page(3, 100), Page(7, 200)]
    assert covered(pages, 0, 100) == (2, 2)
    assert covered(pages, 99, 101) == (2, 3)
    assert covered(pages, 150, 900) == (3, 7)
    assert covered([Page(4, 50)], 0, 20) == (4, 4)
    assert covered([], 0, 20) is None


def test_thousands_of_pages_that_are_not_found() -> None:
    """Nothing here grows with pages times words."""
    text = "the same few words " * 40_000
    assert starts(text, [(number, f"the other words {number}") for number in range(3_000)]) == []


# -- files --------------------------------------------------------------------------------


def printed(text: str) -> list[list[str]]:
    """A text as it is set: lines of even width, pages of 40, a running head and a number on each."""
    plain = re.sub(r"[^\x20-\x7e]", " ", text)
    lines = textwrap.wrap(plain, 90)
    pages = [lines[at : at + 40] for at in range(0, len(lines), 40)]
    return [["On bees and armies", *page, f"{number}"] for number, page in enumerate(pages, 1)]


def words(text: str) -> str:
    return f" {' '.join(re.findall(r'[a-z0-9]+', text.casefold()))} "


@pytest.mark.parametrize("path", MANUALS[:1], ids=lambda path: path.stem)
def test_passages_of_a_pdf_know_their_pages(path: Path, tmp_path: Path) -> None:
    """Each passage's first and last words are looked up in what was printed on the pages."""
    pages = printed(path.read_text()[:60_000])
    (tmp_path / "inputs").mkdir()
    paper.pdf(tmp_path / "inputs" / "manual.pdf", *pages)
    document = read(tmp_path)["manual.pdf"]
    made = bench(
        "chunk", tmp_path, {"size": 200}, inputs={"documents": {"text": "VARCHAR", "pages": STRUCTS}}
    ).decide(row("documents", 1, text=document["text"], pages=document["pages"]))
    on = {number: words(" ".join(page[1:-1])) for number, page in enumerate(pages, 1)}
    right = wrong = 0
    for one in made.made:
        said = words(one.own["text"]).split()
        for column, part in (("page", said[:8]), ("last_page", said[-8:])):
            there = [number for number, page in on.items() if f" {' '.join(part)} " in page]
            if len(there) == 1:  # else it is on two pages, or in two places
                right += there[0] == one.own[column]
                wrong += there[0] != one.own[column]
    assert right > 60
    assert wrong <= right // 20


def pptx(path: Path, *slides: str) -> None:
    """A presentation with these texts, one on each slide."""
    place = "http://schemas.openxmlformats.org"
    types = "application/vnd.openxmlformats-officedocument.presentationml"
    links = f"{place}/officeDocument/2006/relationships"
    names = (
        f'xmlns:p="{place}/presentationml/2006/main" xmlns:a="{place}/drawingml/2006/main" xmlns:r="{links}"'
    )

    def related(*targets: tuple[str, str]) -> str:
        each = (
            f'<Relationship Id="r{number}" Type="{links}/{sort}" Target="{target}"/>'
            for number, (sort, target) in enumerate(targets, 1)
        )
        space = f"{place}/package/2006/relationships"
        return f'<Relationships xmlns="{space}">{"".join(each)}</Relationships>'

    numbers = range(1, len(slides) + 1)
    with zipfile.ZipFile(path, "w") as made:
        parts = "".join(
            f'<Override PartName="/ppt/slides/slide{number}.xml" ContentType="{types}.slide+xml"/>'
            for number in numbers
        )
        made.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{place}/package/2006/content-types"><Default Extension="rels" ContentType='
            '"application/vnd.openxmlformats-package.relationships+xml"/><Override '
            f'PartName="/ppt/presentation.xml" ContentType="{types}.presentation.main+xml"/>{parts}</Types>',
        )
        made.writestr("_rels/.rels", related(("officeDocument", "ppt/presentation.xml")))
        listed = "".join(f'<p:sldId id="{255 + number}" r:id="r{number}"/>' for number in numbers)
        made.writestr(
            "ppt/presentation.xml",
            f"<p:presentation {names}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>",
        )
        targets = [("slide", f"slides/slide{number}.xml") for number in numbers]
        made.writestr("ppt/_rels/presentation.xml.rels", related(*targets))
        for number, text in zip(numbers, slides, strict=True):
            made.writestr(
                f"ppt/slides/slide{number}.xml",
                f'<p:sld {names}><p:cSld><p:spTree><p:sp><p:nvSpPr><p:cNvPr id="2" name="x"/><p:cNvSpPr/>'
                f"<p:nvPr/></p:nvSpPr><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
                "</p:spTree></p:cSld></p:sld>",
            )


def test_slides_are_pages_and_other_files_have_none(tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    folder.mkdir()
    pptx(folder / "talk.pptx", ONE, TWO, SIX)
    (folder / "note.md").write_text("# Bees\n\nThey fly.")
    found = read(tmp_path, Optional(PAGES))
    assert found["note.md"]["pages"] == []
    text, pages = found["talk.pptx"]["text"], found["talk.pptx"]["pages"]
    assert [one["page"] for one in pages] == [1, 2, 3]
    ends = [*(one["start"] for one in pages[1:]), len(text)]
    shown = [text[one["start"] : end] for one, end in zip(pages, ends, strict=True)]
    assert [ONE in shown[0], TWO in shown[1], SIX in shown[2]] == [True] * 3
    untold = {one.own["path"]: one.own for one in source(tmp_path).read()}
    assert untold["talk.pptx"]["text"] == text  # the same, whether or not the slides are wanted


def test_pages_have_one_type(tmp_path: Path) -> None:
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "note.md").write_text("Bees.")
    with pytest.raises(KindError) as error:
        read(tmp_path, Optional(INT))
    assert error.value.message == "`documents`: note.md is a document, whose `pages` is no int?"
    assert error.value.help == "write `pages: { page: int, start: int }[]`"


def test_only_an_input_that_has_pages_gives_a_passage_its_pages(tmp_path: Path) -> None:
    plain = bench("chunk", tmp_path, {}, inputs={"documents": {"text": "VARCHAR"}})
    other = bench("chunk", tmp_path, {}, inputs={"documents": {"text": "VARCHAR", "pages": "BIGINT"}})
    paged = bench("chunk", tmp_path, {}, inputs={"documents": {"text": "VARCHAR", "pages": STRUCTS}})
    for made in (plain, other):
        assert "page" not in made.node.own
        assert "pages" not in made.kind.reads(made.node)
    assert paged.kind.reads(paged.node) == {"text", "pages"}
    (one,) = paged.decide(row("documents", 1, text="Bees.", pages=[])).made
    assert (one.own["page"], one.own["last_page"]) == (None, None)
    (one,) = paged.decide(row("documents", 1, text="Bees.", pages=[{"page": 9, "start": 0}])).made
    assert (one.own["page"], one.own["last_page"]) == (9, 9)
