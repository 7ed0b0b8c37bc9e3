"""`atk add`: a shared graph comes with all that it uses, and what was edited here is not overwritten."""

from __future__ import annotations

import http.server
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.commands import main
from engine.commands.vendor import sources
from engine.commands.vendor.sources import MOST_SEEN

GRAPH = """\
use "lib/shapes.atk"

source documents -> shapes.Document[] { path = "documents" }
prompt cards from documents -> shapes.Card[] { template = "cards/write" }
python counted from cards -> { question: str, words: int }[] { call = "lib/words.py:counted" }
"""
SHARED = {
    "graphs/shared.atk": GRAPH,
    "graphs/other.atk": "param x: int = 1\n",
    "graphs/lib/shapes.atk": "type Document { path: str, title: str?, text: str }\n"
    "type Card { question: str, answer: str }\n",
    "graphs/lib/words.py": "def counted(cards):\n"
    "    from splitting.spaces import parts\n"
    "    return [{'question': one['question'], 'words': len(parts(one['question']))} for one in cards]\n",
    "graphs/lib/splitting/__init__.py": "",
    "graphs/lib/splitting/spaces.py": "def parts(text):\n    return text.split()\n",
    "graphs/lib/unused.py": "",
    "graphs/lib/unused.atk": "type Unused { a: str }\n",
    "prompts/cards/write.md": "---\ndescription: c\n---\nsystem:\n{% include 'cards/rules.md' %}\n\n"
    "user:\n{{ text }}\n{{ schema }}\n",
    "prompts/cards/rules.md": "Write cards.\n",
    "prompts/cards/write.optimized.json": "{}",
    "prompts/unused.md": "user:\nno\n",
    "documents/secret.txt": "not to be taken",
}
TAKEN = {
    "shared.atk",
    "lib/shapes.atk",
    "lib/words.py",
    "lib/splitting/__init__.py",
    "lib/splitting/spaces.py",
    "prompts/cards/write.md",
    "prompts/cards/rules.md",
    "prompts/cards/write.optimized.json",
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    for name, text in SHARED.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine"


def taken(folder: Path) -> set[str]:
    return {one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file()} - {
        "vendor.json"
    }


COMMIT = "0123456789abcdef0123456789abcdef01234567"


def archive(kind: str, around: str = "repo-1.0/") -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as made:
            for name, text in SHARED.items():
                made.writestr(around + name, text)
            made.writestr("../escaped.md", "out of the folder")
    else:
        head = {"comment": COMMIT}
        with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT, pax_headers=head) as tar:
            for name, text in SHARED.items():
                info = tarfile.TarInfo(around + name)
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
            link = tarfile.TarInfo(around + "graphs/link.atk")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
            escaped = tarfile.TarInfo("../escaped.md")
            tar.addfile(escaped, io.BytesIO(b""))
    return out.getvalue()


def one(name: str, content: bytes, packing: int = zipfile.ZIP_DEFLATED) -> bytearray:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packing) as made:
        made.writestr(name, content)
    return bytearray(out.getvalue())


def damaged() -> dict[str, bytes]:
    """Archives that cannot be read, each for a reason of its own."""
    text = SHARED["graphs/other.atk"].encode()
    garbled = one("a.atk", text * 2_000)
    garbled[45:52] = b"\xff" * 7
    encrypted, unknown = one("a.atk", text, zipfile.ZIP_STORED), one("a.atk", text, zipfile.ZIP_STORED)
    listing = encrypted.find(b"PK\x01\x02")
    encrypted[6] |= 1
    encrypted[listing + 8] |= 1
    unknown[8] = unknown[listing + 10] = 97
    checksum = bytearray(archive("tar"))
    checksum[-8] ^= 0xFF
    many = io.BytesIO()
    with tarfile.open(fileobj=many, mode="w:gz", compresslevel=1) as tar:
        for name, size in (("pictures.bin", MOST_SEEN + 1), ("a.atk", 0)):
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, Zeros(size))
    return {
        "/garbled.zip": bytes(garbled),
        "/encrypted.zip": bytes(encrypted),
        "/unknown.zip": bytes(unknown),
        "/half.tar.gz": archive("tar")[:300],
        "/checksum.tar.gz": bytes(checksum),
        "/swollen.tar.gz": many.getvalue(),
        "/long.zip": bytes(one("d" * 300 + ".md", b"x")),
        "/short.zip": b"PK",
    }


class Zeros(io.RawIOBase):
    """So many zeros, without having them all."""

    def __init__(self, left: int):
        self.left = left

    def read(self, size: int = -1) -> bytes:
        given = min(size, self.left)
        self.left -= given
        return bytes(given)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pages = {
        "/x.zip": archive("zip"),
        "/x.tar.gz": archive("tar"),
        "/owner/repo/archive/v2.tar.gz": archive("tar"),
        "/lone.atk": SHARED["graphs/lib/shapes.atk"].encode(),
        "/page.zip": b"<html>no archive</html>",
        "/empty.zip": b"PK\x05\x06" + b"\0" * 18,
        **damaged(),
    }
    redirects = {"/plain.zip": "http://example.invalid/x.zip", "/moved.zip": "/x.zip"}

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            found = pages.get(path)
            self.send_response(302 if path in redirects else 200 if found is not None else 404)
            if path in redirects:
                self.send_header("Location", redirects[path])
            if path == "/short.zip":
                self.send_header("Content-Length", "100000")
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as made:
        threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{made.server_address[1]}"
        made.shutdown()


def test_a_graph_comes_with_what_it_uses_and_nothing_else(
    source: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add", str(source / "graphs" / "shared.atk")]) == 0
    folder = here / "graphs" / "vendor" / "shared"
    assert taken(folder) == TAKEN
    told = capsys.readouterr().out
    assert "graphs/vendor/shared: 8 files" in told
    assert "lib/words.py  (Python code: read it before you run it)" in told
    record = json.loads((folder / "vendor.json").read_text())
    assert record["source"] == str(source / "graphs" / "shared.atk")
    assert set(record["files"]) == TAKEN
    assert main(["check", "graphs/vendor/shared/shared.atk"]) == 0
    (here / "documents").mkdir()
    (here / "documents" / "a.txt").write_text("A colony does not sleep in winter. It draws together.")
    (source / "graphs" / "lib" / "splitting" / "spaces.py").unlink()  # what runs is the copy
    assert main(["exec", "graphs/vendor/shared/shared.atk"]) == 0


@pytest.mark.parametrize(
    "named",
    [
        "{server}/x.zip//graphs/shared.atk",
        "{server}/x.tar.gz//graphs/shared.atk",
        "github:owner/repo//graphs/shared.atk@v2",
    ],
)
def test_from_an_address(named: str, server: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATK_GITHUB", server)
    assert main(["add", named.format(server=server)]) == 0
    folder = here / "graphs" / "vendor" / "shared"
    assert taken(folder) == TAKEN
    record = json.loads((folder / "vendor.json").read_text())
    assert (record["version"], record["commit"]) == (("v2", COMMIT) if "@" in named else (None, None))
    assert not list(here.parent.rglob("escaped.md"))


def test_a_single_file_and_a_shipped_graph(server: str, here: Path) -> None:
    assert main(["add", f"{server}/lone.atk"]) == 0
    assert taken(here / "graphs" / "vendor" / "lone") == {"lone.atk"}
    assert main(["add", "factual", "--as", "mine"]) == 0
    found = taken(here / "graphs" / "vendor" / "mine")
    assert {"factual.atk", "lib/text.atk", "lib/chat.atk", "prompts/factual/converse.md"} <= found
    assert "prompts/factual/pair_rules.md" in found
    assert main(["check", "graphs/vendor/mine/factual.atk"]) == 0


def test_what_was_edited_here_is_not_overwritten(
    source: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = str(source / "graphs" / "shared.atk")
    assert main(["add", shared]) == 0
    folder = here / "graphs" / "vendor" / "shared"
    rules, shapes = folder / "prompts/cards/rules.md", folder / "lib/shapes.atk"
    (folder / "notes.txt").write_text("my own")
    rules.write_text("Write good cards.\n")
    capsys.readouterr()
    assert main(["add", shared]) == 2  # theirs is as it was, mine is not
    assert "edited here since they were added: prompts/cards/rules.md" in capsys.readouterr().err
    assert rules.read_text() == "Write good cards.\n"

    (source / "graphs/lib/shapes.atk").write_text("## New.\n" + SHARED["graphs/lib/shapes.atk"])
    assert main(["add", shared, "--diff"]) == 0
    shown = capsys.readouterr().out
    assert "+## New." in shown
    assert "-Write good cards." in shown
    assert shapes.read_text() == SHARED["graphs/lib/shapes.atk"]
    assert main(["add", shared]) == 2
    assert shapes.read_text() == SHARED["graphs/lib/shapes.atk"]  # nothing half

    assert main(["add", shared, "--force"]) == 0
    assert rules.read_text() == SHARED["prompts/cards/rules.md"]
    assert shapes.read_text().startswith("## New.")
    assert (folder / "notes.txt").read_text() == "my own"
    assert main(["add", shared]) == 0
    assert "nothing new" in capsys.readouterr().out

    (source / "prompts/cards/write.optimized.json").unlink()
    assert main(["add", shared]) == 0
    assert taken(folder) == (TAKEN | {"notes.txt"}) - {"prompts/cards/write.optimized.json"}
    assert not [one for one in folder.parent.iterdir() if one.name != "shared"]


@pytest.mark.parametrize(
    ("named", "code", "said"),
    [
        ("nowhere", 2, "error: there is no nowhere\nhelp: give a path, a shipped graph (classifier, "),
        ("{source}", 2, "there are 2 graphs in {source}: which one?\nhelp: name one of graphs/other.atk"),
        ("{source}/documents", 2, "there is no graph in {source}/documents"),
        ("{source}/prompts/unused.md", 2, "{source}/prompts/unused.md is no graph"),
        ("{server}/none.zip", 1, "{server}/none.zip answered with 404"),
        ("{server}/page.zip", 2, "{server}/page.zip is no archive that can be read"),
        ("{server}/empty.zip", 2, "there is no graph in {server}/empty.zip"),
        ("{server}/x.zip//graphs/none.atk", 2, "//graphs/none.atk\nhelp: its graphs: graphs/lib/"),
        ("http://127.0.0.1:9/x.zip", 1, "http://127.0.0.1:9/x.zip cannot be fetched"),
        ("http://example.invalid/x.zip", 2, "x.zip is not fetched\nhelp: only https is"),
        ("{server}/plain.zip", 2, "http://example.invalid/x.zip is not fetched"),
        ("{server}/garbled.zip", 2, "{server}/garbled.zip is no archive that can be read"),
        ("{server}/encrypted.zip", 2, "{server}/encrypted.zip is no archive that can be read"),
        ("{server}/unknown.zip", 2, "{server}/unknown.zip is no archive that can be read"),
        ("{server}/half.tar.gz", 2, "{server}/half.tar.gz is no archive that can be read"),
        ("{server}/checksum.tar.gz", 2, "{server}/checksum.tar.gz is no archive that can be read"),
        ("{server}/swollen.tar.gz", 2, "{server}/swollen.tar.gz holds too much"),
        ("{server}/long.zip", 2, "{server}/long.zip holds ddd"),
        ("{server}/short.zip", 1, "{server}/short.zip broke off before its end"),
        ("https://me:hush@example.invalid/x.zip", 2, "https://example.invalid/x.zip is given with a name or"),
        ("https://example.invalid:x/x.zip", 2, "that is no address"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_source_that_is_none(
    named: str,
    code: int,
    said: str,
    source: Path,
    server: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["add", named.format(source=source, server=server)]) == code
    told = capsys.readouterr().err
    assert said.format(source=source, server=server) in told
    assert "hush" not in told
    assert not (here / "graphs").exists()


def test_a_folder_that_was_not_added_is_left_alone(
    source: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "graphs" / "vendor" / "shared").mkdir(parents=True)
    assert main(["add", str(source / "graphs" / "shared.atk")]) == 2
    assert "is there, and was not added" in capsys.readouterr().err


def test_what_may_be_secret_in_an_address_is_not_recorded(
    server: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["add", f"{server}/lone.atk?token=hush"]) == 0
    record = here / "graphs" / "vendor" / "lone" / "vendor.json"
    assert json.loads(record.read_text())["source"] == f"{server}/lone.atk"
    assert main(["add", f"{server}/none.atk?token=hush"]) == 1
    assert "hush" not in "".join(capsys.readouterr())


def test_a_redirect_is_followed_where_the_address_itself_might_lead(server: str, here: Path) -> None:
    assert main(["add", f"{server}/moved.zip//graphs/shared.atk"]) == 0
    assert taken(here / "graphs" / "vendor" / "shared") == TAKEN


def test_a_server_that_never_ends_is_left(
    server: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sources, "MOST_SECONDS", -1.0)
    assert main(["add", f"{server}/x.zip//graphs/shared.atk"]) == 1
    assert "/x.zip takes too long" in capsys.readouterr().err


def test_the_record_follows_what_was_edited_by_hand_to_what_came(source: Path, here: Path) -> None:
    shared = str(source / "graphs" / "shared.atk")
    assert main(["add", shared]) == 0
    for text in ("Write better cards.\n", "Write the best cards.\n"):
        (source / "prompts/cards/rules.md").write_text(text)
        if "better" in text:
            (here / "graphs/vendor/shared/prompts/cards/rules.md").write_text(text)
        assert main(["add", shared]) == 0


def test_a_record_that_names_files_outside_its_folder_is_not_followed(
    source: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = str(source / "graphs" / "shared.atk")
    assert main(["add", shared]) == 0
    record = here / "graphs/vendor/shared/vendor.json"
    record.write_text(json.dumps({"files": {"../mine.md": ""}}))
    (here / "graphs/vendor/mine.md").write_text("mine")
    assert main(["add", shared, "--force"]) == 1
    assert "it names files outside of its folder" in capsys.readouterr().err
    assert (here / "graphs/vendor/mine.md").read_text() == "mine"
