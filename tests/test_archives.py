"""A zip archive is read as a folder is, whatever it says of itself."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engine.data import archives
from engine.kinds.base import KindError, Known
from engine.language.types import STR, Field, Record
from tests import paper
from tests.test_readers import source
from tests.workbench import DOCUMENT

HASHED = Record((Field("path", STR), Field("text", STR), Field("sha256", STR)))


def archive(path: Path, members: dict[str, str | bytes], **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **more) as made:
        for name, content in members.items():
            made.writestr(name, content)


def read(root: Path, path: str = "inputs", type_: Record = HASHED, **settings: Any) -> dict[str, Any]:
    return {one.own["path"]: one for one in source(root, path, type_, **settings).read()}


def test_an_archive_in_a_folder_is_a_folder(tmp_path: Path) -> None:
    paper.pdf(tmp_path / "a.pdf", ["Bees fly."])
    archive(
        tmp_path / "inputs" / "b.zip",
        {
            "two_words.md": "Rain.\r\n",
            "inner/one.txt": "Snow.",
            "inner/paper.pdf": (tmp_path / "a.pdf").read_bytes(),
            "inner/.hidden.md": "no",
            "__MACOSX/one.txt": "no",
            "empty/": "",
            "strange.xyz": "no",
        },
    )
    (tmp_path / "inputs" / "a.md").write_text("First.")
    (tmp_path / "inputs" / "c.md").write_text("Last.")
    made = source(tmp_path, type_=HASHED)
    found = made.read()
    names = ["a.md", "b.zip/inner/one.txt", "b.zip/inner/paper.pdf", "b.zip/two_words.md", "c.md"]
    assert [one.own["path"] for one in found] == [one.identity for one in found] == names
    assert [one.own["text"] for one in found] == ["First.", "Snow.", "Bees fly.\n", "Rain.\n", "Last."]
    assert found[3].own["sha256"] == hashlib.sha256(b"Rain.\r\n").hexdigest()
    assert made.notes[0].startswith("1 file was left out (1 .xyz); ")
    assert not [one for one in Path(tempfile.gettempdir()).glob("atk-*") if (one / "member.md").exists()]


@pytest.mark.parametrize("path", ["inputs/b.zip", "inputs/*.zip", "inputs"])
def test_an_archive_is_named_as_files_are(path: str, tmp_path: Path) -> None:
    archive(tmp_path / "inputs" / "b.zip", {"one.txt": "Snow.", "two.md": "Rain."})
    assert list(read(tmp_path, path)) == ["b.zip/one.txt", "b.zip/two.md"]
    titles = [one.own["title"] for one in source(tmp_path, path, DOCUMENT).read()]
    assert titles == ["One", "Two"]


def test_rows_in_an_archive(tmp_path: Path) -> None:
    archive(
        tmp_path / "rows.zip",
        {"a.jsonl": '{"label": "x", "line": "1"}\n{"label": "y"}\n', "b.csv": "label,line\nz,3\n"},
    )
    record = Record((Field("label", STR), Field("line", STR)))
    found = source(tmp_path, "rows.zip", record).read()
    assert [one.own.get("label") for one in found] == ["x", None, "z"]
    assert found[1].reason == "rows.zip/a.jsonl, line 2: `line` is missing"


def test_how_the_members_are_read_can_be_said(tmp_path: Path) -> None:
    archive(tmp_path / "b.zip", {"README": "Snow."})
    assert read(tmp_path, "b.zip", format="md")["b.zip/README"].own["text"] == "Snow."


def encrypted(path: Path, members: dict[str, str]) -> None:
    """An archive that says its members are encrypted."""
    archive(path, members)
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = -1
        while (place := content.find(mark, place + 1)) >= 0:
            content[place + at] |= 1
    path.write_bytes(bytes(content))


def test_what_is_wrong_with_a_member_is_told_and_the_others_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "inputs"
    outside = "its name leads out of the archive"
    archive(
        folder / "a.zip",
        {
            "good.md": "Bees.",
            "../up.md": "no",
            "in/../../up.md": "no",
            "/etc/passwd.txt": "no",
            "C:/windows.txt": "no",
            "..\\up.txt": "no",
            "more.zip": b"PK",
            "noise.md": b"\xff\xfe\xfd",
        },
    )
    encrypted(folder / "b.zip", {"secret.md": "no"})
    (folder / "c.zip").write_bytes(b"no archive")
    (folder / "d.zip").write_bytes(b"")
    archive(folder / "e.zip", {})
    found = read(tmp_path)
    assert [name for name, one in found.items() if one.fate == "ok"] == ["a.zip/good.md"]
    reasons = {name: one.reason.removeprefix(f"{name}: ") for name, one in found.items() if one.reason}
    assert reasons.pop("a.zip/noise.md").startswith("not UTF-16")
    assert reasons == {
        "a.zip/../up.md": outside,
        "a.zip/in/../../up.md": outside,
        "a.zip//etc/passwd.txt": outside,
        "a.zip/C:/windows.txt": outside,
        "a.zip/..\\up.txt": outside,
        "a.zip/more.zip": "an archive within an archive is not read: unpack it",
        "b.zip/secret.md": "it is encrypted: unpack it, or save the archive without a password",
        "c.zip": "no zip archive that can be read: file is not a zip file",
        "d.zip": "no zip archive that can be read: file is not a zip file",
    }


def test_a_member_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both where it says so and where it does not."""
    monkeypatch.setattr(archives, "MODEST", 1 << 20)
    archive(tmp_path / "a.zip", {"big.md": b"0" * (3 << 20), "small.md": "Bees."})
    lying = bytearray((tmp_path / "a.zip").read_bytes())
    at = lying.find(b"PK\x01\x02")
    lying[at + 24 : at + 28] = (5).to_bytes(4, "little")
    (tmp_path / "b.zip").write_bytes(bytes(lying))
    told = "it unpacks to more than 1 MB, packed it has 2 kB: if it is to be trusted, unpack it"
    found = read(tmp_path, "*.zip")
    assert found["a.zip/big.md"].reason == f"a.zip/big.md: {told}"
    assert found["b.zip/big.md"].fate == "failed"
    assert [found[f"{name}.zip/small.md"].own["text"] for name in "ab"] == ["Bees."] * 2


def test_a_torn_member_of_rows(tmp_path: Path) -> None:
    archive(tmp_path / "a.zip", {"a.jsonl": '{"label": "x"}\n' * 50, "b.jsonl": '{"label": "y"}\n'})
    torn = bytearray((tmp_path / "a.zip").read_bytes())
    torn[40:44] = b"\x00\x01\x02\x03"
    (tmp_path / "a.zip").write_bytes(bytes(torn))
    first, second = source(tmp_path, "a.zip", Record((Field("label", STR),))).read()
    assert first.reason.startswith("a.zip/a.jsonl: it cannot be unpacked: ")
    assert second.own == {"label": "y"}


def test_nothing_but_archives_without_files(tmp_path: Path) -> None:
    archive(tmp_path / "inputs" / "a.zip", {"x.xyz": "no"})
    with pytest.raises(KindError) as error:
        source(tmp_path).read()
    assert error.value.message.endswith("/inputs (only 1 .xyz)")


def test_a_sample_of_members_and_what_is_wrong_with_others(tmp_path: Path) -> None:
    archive(tmp_path / "a.zip", {f"{number}.md": f"Bee {number}." for number in range(9)} | {"../x.md": "no"})
    found = read(tmp_path, "a.zip", limit=3)
    assert sorted(one.fate for one in found.values()) == ["failed", "ok", "ok", "ok"]


def test_a_member_that_stays_the_same_is_not_read_again(tmp_path: Path) -> None:
    paper.pdf(tmp_path / "a.pdf", ["Bees fly."])
    kept = (tmp_path / "a.pdf").read_bytes()
    archive(tmp_path / "a.zip", {"a.pdf": kept, "b.md": "One."})
    made = source(tmp_path, "a.zip", HASHED)
    (mark,) = [one.stretch.mark for one in made.kind.read(made, Known()) if one.stretch]
    archive(tmp_path / "a.zip", {"a.pdf": kept, "b.md": "Two."})
    assert [one.own["text"] for one in made.kind.read(made, Known({mark: 1}))] == ["Two."]


def test_many_members_are_read_in_one_go(tmp_path: Path) -> None:
    archive(tmp_path / "a.zip", {f"{number:05}.jsonl": '{"label": "x"}' for number in range(300)})
    assert len(source(tmp_path, "a.zip", Record((Field("label", STR),))).read()) == 300
