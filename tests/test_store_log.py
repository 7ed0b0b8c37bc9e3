"""A damaged write-ahead log is told of and kept; what stands before the damage is kept too, and used."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.store import StoreError, log, open_reader
from engine.store.errors import QueryError
from engine.store.store import Store
from tests.store_graph import describe, opened
from tests.test_store_durability import BATCH, child

WHOLE = (
    "SELECT split_part(path, '-', 2)::INT AS number, count(*) FROM documents"
    " WHERE path LIKE '1-%' GROUP BY ALL ORDER BY ALL"
)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose writer was killed: most of it stands in the log."""
    path = tmp_path_factory.mktemp("killed") / "store.duckdb"
    process = child("writes_for_ever", path)
    assert process.stdout is not None
    for _ in range(40):  # of what it tells: a log of some size, whatever the machine does beside
        process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert log.log_of(path).read_bytes().count(log.COMMIT) > 5
    return path


def batches(path: Path) -> list[tuple[Any, ...]]:
    """Number and rows of each batch; none where the graph itself was only told of in the log."""
    try:
        return [tuple(row) for row in open_reader(path).sql(WHOLE).rows]
    except QueryError:
        return []


def with_log(killed: Path, folder: Path, content: bytes) -> Path:
    folder.mkdir()
    path = folder / "store.duckdb"
    shutil.copy(killed, path)
    log.log_of(path).write_bytes(content)
    return path


def flipped(at: Callable[[bytes], int]) -> Callable[[bytes], bytes]:
    def damaged(content: bytes) -> bytes:
        changed = bytearray(content)
        changed[at(content)] ^= 1
        return bytes(changed)

    return damaged


def entry(share: float) -> Callable[[bytes], int]:
    """Where the entry begins that follows the commit at that share of the log."""
    return lambda content: content.index(log.COMMIT, int(len(content) * share)) + len(log.COMMIT)


def first(content: bytes) -> int:
    """Where the first entry begins: its head is this long."""
    return content.index(b"\xff\xff", 8) + 2


NOISE = random.Random(5)
TORN: dict[str, Callable[[bytes], bytes]] = {
    "whole": lambda content: content,
    "a byte less": lambda content: content[:-1],
    "64 bytes less": lambda content: content[:-64],
    "4096 bytes less": lambda content: content[:-4096],
    "half": lambda content: content[: len(content) // 2],
    "the last bytes are others": lambda content: content[:-64] + NOISE.randbytes(64),
    "bytes behind the end": lambda content: content + NOISE.randbytes(64),
    "zeros at the end": lambda content: content[:-4096] + bytes(4096),
    "only the head": lambda content: content[: first(content)],
    "half of the head": lambda content: content[:10],
}
DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "the first byte": flipped(lambda _: 0),
    "what the log says it is": flipped(lambda _: 2),
    "the form": flipped(lambda _: 5),
    "whose log it is": flipped(lambda _: 12),
    "which checkpoint": flipped(lambda content: first(content) - 4),
    "the size of the first entry": flipped(first),
    "the checksum of the first entry": flipped(lambda content: first(content) + 9),
    "the size of an entry": flipped(entry(0.3)),
    "the high size of an entry": flipped(lambda content: entry(0.5)(content) + 6),
    "the checksum of an entry": flipped(lambda content: entry(0.7)(content) + 8),
    "an entry": flipped(lambda content: entry(0.6)(content) + 40),
    "the last entry but one": flipped(lambda content: content.rindex(log.COMMIT) - 9),
    "a piece is gone": lambda content: content[: len(content) // 3] + content[len(content) // 2 :],
    "a piece is zeros": lambda content: content[:9000] + bytes(512) + content[9512:],
}


def before(content: bytes, damaged: bytes) -> bytes:
    """The log up to the last commit that stands before the first byte that differs."""
    pairs = enumerate(zip(content, damaged, strict=False))
    differs = next((place for place, (a, b) in pairs if a != b), len(damaged))
    if differs < first(content) + 16:
        return b""
    return content[: content.rindex(log.COMMIT, 0, differs) + len(log.COMMIT)]


@pytest.mark.parametrize("how", TORN)
def test_an_end_that_was_cut_is_no_damage(how: str, killed: Path, tmp_path: Path) -> None:
    content = log.log_of(killed).read_bytes()
    torn = TORN[how](content)
    expected = batches(with_log(killed, tmp_path / "oracle", before(content, torn)))
    path = with_log(killed, tmp_path / "torn", torn)
    if how in ("the last bytes are others", "zeros at the end"):
        # DuckDB does not read on, and who only reads cannot cut it.
        with pytest.raises(StoreError, match="a crash cut its log short"):
            batches(path)
    else:
        assert batches(path) == expected
    with opened(path) as store:
        assert not store.notices
    assert batches(path) == expected
    assert sorted(file.name for file in path.parent.glob("*.wal*")) == []


@pytest.mark.parametrize("how", DAMAGED)
def test_damage_is_told_and_what_stands_before_it_is_kept(how: str, killed: Path, tmp_path: Path) -> None:
    content = log.log_of(killed).read_bytes()
    damaged = DAMAGED[how](content)
    kept = before(content, damaged)
    path = with_log(killed, tmp_path / "damaged", damaged)
    with pytest.raises(StoreError) as refused:
        open_reader(path)
    lost = f"of {len(damaged):,} bytes the last {len(damaged) - len(kept):,} cannot be read"
    assert lost in str(refused.value)
    assert refused.value.help
    assert "keeps a copy" in refused.value.help
    assert log.log_of(path).read_bytes() == damaged  # reading changes nothing
    with opened(path) as store:
        assert store.notices
        assert lost in store.notices[0]
        copy = path.with_name("store.duckdb.wal.damaged")
        assert str(copy) in store.notices[0]
    assert copy.read_bytes() == damaged
    found = batches(path)
    assert found == batches(with_log(killed, tmp_path / "oracle", kept))
    assert [count for _, count in found] == [BATCH] * len(found)
    with opened(path) as store:
        assert not store.notices


def test_a_second_damage_keeps_a_second_copy(killed: Path, tmp_path: Path) -> None:
    damaged = DAMAGED["an entry"](log.log_of(killed).read_bytes())
    path = with_log(killed, tmp_path / "damaged", damaged)
    path.with_name("store.duckdb.wal.damaged").write_bytes(b"of another day")
    with opened(path) as store:
        assert store.notices
        assert store.notices[0].endswith("store.duckdb.wal.damaged.2")
    assert path.with_name("store.duckdb.wal.damaged").read_bytes() == b"of another day"


def test_nothing_is_cut_where_no_copy_can_be_kept(
    killed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = DAMAGED["an entry"](log.log_of(killed).read_bytes())
    path = with_log(killed, tmp_path / "damaged", damaged)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StoreError, match="a copy of it cannot be kept: No space left"):
        Store.open(path)
    assert log.log_of(path).read_bytes() == damaged
    assert not list(path.parent.glob("*.damaged*"))


def test_a_log_that_somebody_writes_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "store.duckdb"
    process = child("writes_for_ever", path)
    assert process.stdout is not None
    process.stdout.readline()
    monkeypatch.setattr(log, "survey", lambda store: log.Broken(log.log_of(store), 0, 1, lost=True))
    try:
        assert log.mend(path) is None
    finally:
        process.kill()
        process.communicate()
    assert not list(tmp_path.glob("*.damaged*"))


def test_a_log_of_another_form_is_left_to_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with opened(path) as store:
        describe(store)
    log.log_of(path).write_bytes(NOISE.randbytes(5000))
    assert log.mend(path) is None
    assert log.log_of(path).stat().st_size == 5000
