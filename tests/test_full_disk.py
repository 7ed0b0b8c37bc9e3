"""A disk that fills up in the middle of a run: it stops, says so once, and nothing is paid for twice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from engine.store import StoreError
from engine.store import journal as module
from engine.store.journal import HEAD, Journal, files_of, waiting
from engine.store.keys import fingerprint
from engine.store.store import Store
from tests.endpoint import Endpoint, endpoint
from tests.project import Project
from tests.store_graph import call, describe, opened
from tests.test_killed_runs import ROOT, prepared, tables, written

LIMITED = """
import resource, sys
if {limit}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from engine.commands import main
sys.exit(main())
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with endpoint(latency_ms=50, p_true=0.8) as started:
        yield started


def project(root: Path, server: Endpoint) -> Project:
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = prepared(root, monkeypatch, server.base_url)
    for number in range(30, 120):
        made.write(f"inputs/{number}.txt", f"Passage {number} says that {number} is a number. " * 5)
    return made


def run(
    made: Project, server: Endpoint, verb: str = "exec", limit: int = 0
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LIMITED.format(limit=limit), verb, "graph.atk"],
        cwd=made.root,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "ATK_BASE_URL": server.base_url, "ATK_MODEL": "mock", "ATK_API_KEY": ""}
        | {"PYTHONDONTWRITEBYTECODE": "1"},  # Python keeps what it could write of a file
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def calm(server: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, int]:
    """A run that had room, and the calls that it took."""
    server.reset()
    made = project(tmp_path_factory.mktemp("calm"), server)
    done = run(made, server)
    assert done.returncode == 0, done.stderr
    return made, server.stats()["calls"]


def uncommitted(path: Path) -> set[bytes]:
    """Keys of the replies that lie only beside the store: a file may hold committed ones besides."""
    with duckdb.connect(path, read_only=True) as connection:
        committed = {key.bytes for (key,) in connection.execute("SELECT key FROM data.calls").fetchall()}
    return {call.key for _, call in waiting(path)} - committed


def assert_ends_well(made: Project, calm: tuple[Project, int], server: Endpoint, stopped: str) -> None:
    """What was paid for before is not paid for again, and all becomes as it is after a calm run."""
    asked = server.stats()["calls"]
    assert 50 < asked < calm[1]
    found = re.search(r"(\d+) replies paid for meanwhile lie in", stopped)
    assert found
    assert stopped.count("error: ") == 1
    assert "the disk is full: the store" in stopped
    assert "could not be kept" not in stopped
    assert "Traceback" not in stopped
    assert len(uncommitted(made.root / ".atk" / "store.duckdb")) == int(found[1])
    server.reset()
    done = run(made, server)
    assert done.returncode == 0, done.stderr
    assert f"that an earlier run had not committed were taken in: {found[1]}" in done.stderr
    assert asked + server.stats()["calls"] == calm[1]
    assert tables(made) == tables(calm[0])
    assert written(made) == written(calm[0])
    assert made.rows("SELECT count(*), count(DISTINCT (key, called_at)) FROM calls") == [(calm[1], calm[1])]
    assert sorted(path.name for path in (made.root / ".atk").iterdir()) == [".gitignore", "store.duckdb"]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [560_000, 700_000, 900_000])
def test_a_file_that_may_not_grow(
    limit: int, calm: tuple[Project, int], server: Endpoint, tmp_path: Path
) -> None:
    server.reset()
    made = project(tmp_path / "limited", server)
    stopped = run(made, server, limit=limit)
    assert stopped.returncode == 1
    before = server.stats()["calls"]
    assert run(made, server, "plan").returncode == 0
    assert server.stats()["calls"] == before
    assert_ends_well(made, calm, server, stopped.stderr)


@pytest.mark.slow
def test_a_disk_that_is_full(calm: tuple[Project, int], server: Endpoint, tmp_path: Path) -> None:
    server.reset()
    disk = tmp_path / "disk"
    disk.mkdir()
    size = module.RESERVE + 1_800_000
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small disk")
    try:
        made = project(disk, server)
        stopped = run(made, server)
        assert stopped.returncode == 1
        subprocess.run(["mount", "-o", f"remount,size={8 * size}", str(disk)], check=True)
        assert_ends_well(made, calm, server, stopped.stderr)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.mark.parametrize("limit", [10_000, 300_000])
def test_without_room_for_a_store_nothing_is_asked(limit: int, server: Endpoint, tmp_path: Path) -> None:
    server.reset()
    made = project(tmp_path / "limited", server)
    stopped = run(made, server, limit=limit)
    assert stopped.returncode == 1
    assert "the disk is full: the store" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert server.stats()["calls"] == 0
    assert not (made.root / ".atk" / "store.duckdb").exists()


# -- the file beside the store -----------------------------------------------------------

CALLS = [call(fingerprint("kept", number), reply=f"answer {number} “ü”\n") for number in range(3)]


def with_replies(tmp_path: Path) -> Path:
    path = tmp_path / "store.duckdb"
    journal = Journal(path)
    journal.keep(CALLS[:2], 1)
    journal.keep(CALLS[2:], 2)
    journal.close()
    assert (journal.kept, journal.lost) == (3, 0)
    return path


def test_replies_come_back_as_they_were(tmp_path: Path) -> None:
    path = with_replies(tmp_path)
    assert waiting(path) == [(1, CALLS[0]), (1, CALLS[1]), (2, CALLS[2])]
    with opened(path) as store:
        assert store.notices == ["replies that an earlier run had not committed were taken in: 3"]
        assert not files_of(path)[0].exists()
        found = store.known([one.key for one in CALLS])
        assert [found[one.key].reply for one in CALLS] == [one.reply for one in CALLS]
    with opened(path) as store:
        assert store.notices == []


def test_a_plan_knows_them_and_leaves_them(tmp_path: Path) -> None:
    path = with_replies(tmp_path)
    files_of(path)[0].rename(tmp_path / "aside")
    with opened(path):
        pass
    (tmp_path / "aside").rename(files_of(path)[0])
    with Store.open(path, "plan") as store:
        describe(store)
        assert store.may_know(CALLS[0].key)
        assert store.known([CALLS[0].key])[CALLS[0].key].reply == CALLS[0].reply
    assert len(waiting(path)) == 3


def test_taken_in_twice_they_stand_once(tmp_path: Path) -> None:
    """A process may die between the commit and the end of the file."""
    path = with_replies(tmp_path)
    content = files_of(path)[0].read_bytes()
    with opened(path):
        pass
    files_of(path)[0].write_bytes(content)
    with opened(path) as store:
        assert store.notices == []
        store.settle()
        assert store.cursor().execute("SELECT count(*) FROM store.data.calls").fetchall() == [(3,)]


def test_a_last_line_that_was_cut_is_left_out(tmp_path: Path) -> None:
    path = with_replies(tmp_path)
    files_of(path)[0].write_bytes(files_of(path)[0].read_bytes()[:-30])
    assert [run for run, _ in waiting(path)] == [1, 1]


def test_anothers_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    files_of(path)[0].write_text("shopping list\n")
    with pytest.raises(StoreError, match="holds no replies of atk's"):
        opened(path)
    assert files_of(path)[0].read_text() == "shopping list\n"


def test_what_cannot_be_kept_either_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "store.duckdb")
    journal.keep(CALLS[:1], 1)
    whole = files_of(tmp_path / "store.duckdb")[0].read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:10]))
    journal.rescue(CALLS[1:], 1)
    monkeypatch.undo()
    journal.close()
    assert (journal.kept, journal.lost) == (1, 2)
    assert files_of(tmp_path / "store.duckdb")[0].read_bytes() == whole  # no half line
    told = journal.told(StoreError("the disk is full", "free some space"))
    assert told.message == "the disk is full; 2 replies paid for could not be kept"
    assert told.help
    first = files_of(tmp_path / "store.duckdb")[0]
    assert told.help == (
        f"free some space; 1 reply paid for meanwhile lie in {first}: the next run takes them in"
    )


def test_the_file_that_holds_them_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    journal = Journal(path)
    journal.turn()
    journal.keep(CALLS[:1], 1)
    told = journal.told(StoreError("the disk is full", "free some space"))
    assert told.help
    assert f"lie in {files_of(path)[1]}: " in told.help
    journal.turn()
    journal.keep(CALLS[1:], 1)
    told = journal.told(StoreError("the disk is full", "free some space"))
    assert told.help
    assert "3 replies paid for meanwhile lie in " + " and ".join(map(str, files_of(path))) in told.help
    journal.close()


def test_the_reserve_is_held_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with opened(path):
        reserve = tmp_path / "store.duckdb.reserve"
        assert reserve.stat().st_blocks * 512 >= module.RESERVE
    assert not reserve.exists()


def test_where_there_is_too_little_room_none_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int, *_: int) -> None:
        os.write(handle, bytes(1000))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with opened(tmp_path / "store.duckdb"):
        assert not (tmp_path / "store.duckdb.reserve").exists()


def test_the_time_of_a_call_is_kept(tmp_path: Path) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    journal = Journal(tmp_path / "store.duckdb")
    journal.keep([call(b"k" * 16, at=at)], 1)
    journal.close()
    assert waiting(tmp_path / "store.duckdb")[0][1].at == at


# -- the files take turns ----------------------------------------------------------------


def lying(path: Path) -> list[list[bytes]]:
    """The keys in each file."""
    content = [file.read_bytes().split(b"\n")[1:-1] for file in files_of(path) if file.exists()]
    return [
        [bytes.fromhex(re.findall(rb'"key":"(\w+)"', line)[0].decode()) for line in part] for part in content
    ]


def test_what_is_committed_is_forgotten(tmp_path: Path) -> None:
    path, keys = tmp_path / "store.duckdb", [one.key for one in CALLS]
    journal = Journal(path)
    first = journal.keep(CALLS[:1], 1)
    journal.turn()
    second = journal.keep(CALLS[1:2], 1)
    assert (first, second) == (0, 1)
    assert lying(path) == [[keys[0]], [keys[1]]]
    journal.settle(0, 1)
    assert lying(path) == [[], [keys[1]]]
    journal.turn()
    assert journal.keep(CALLS[2:], 1) == 0
    journal.settle(1, 1)
    assert lying(path) == [[keys[2]], []]
    journal.turn()
    journal.settle(0, 1)
    journal.close()
    assert [file.exists() for file in files_of(path)] == [False, False]


def test_a_part_that_is_not_committed_whole_stays(tmp_path: Path) -> None:
    """A commit takes so many rows and no more: what is left of a file waits for the next."""
    path, keys = tmp_path / "store.duckdb", [one.key for one in CALLS]
    journal = Journal(path)
    journal.keep(CALLS[:1], 1)
    journal.keep(CALLS[1:2], 1)
    journal.turn()
    journal.settle(0, 1)
    journal.turn()
    assert journal.keep(CALLS[2:], 1) == 1
    assert lying(path) == [keys[:2], [keys[2]]]
    journal.close()
    assert [call.key for _, call in waiting(path)] == keys


def test_a_run_empties_them_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with opened(path) as store:
        for number in range(50):
            store.log([call(fingerprint("on its way", number), reply="x" * 1000)])
            store.settle()
        assert sum(file.stat().st_size for file in files_of(path) if file.exists()) < 3_000
    assert not any(file.exists() for file in files_of(path))


def test_half_a_line_of_a_killed_run_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    files_of(path)[1].write_bytes(HEAD + b'{"run": 1, "ke')
    files_of(path)[0].write_bytes(HEAD[:5])
    with opened(path) as store:
        assert store.notices == []
        assert not any(file.exists() for file in files_of(path))


def test_text_that_is_no_unicode_is_kept_as_the_store_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    journal = Journal(path)
    assert journal.keep([call(b"k" * 16, reply="half \ud83d", request=b'{"a": "\xff"}')], 1) == 0
    journal.close()
    with opened(path) as store:
        assert store.known([b"k" * 16])[b"k" * 16].reply == "half ?"
