"""What a store survives: being killed at any moment, a full disk, a second writer."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.store import StoreBusy, StoreError, open_reader
from engine.store.keys import fingerprint
from engine.store.store import Store
from tests.amount import amount
from tests.store_graph import describe, document, fill, opened, put

ROOT = Path(__file__).parents[1]
BATCH = 20


def writes_for_ever(path: Path) -> None:
    """Batches of documents, each with its chunks; tells each commit on stdout as it is done."""
    import itertools

    from tests.store_graph import call, chunk

    store = opened(path)
    for number in itertools.count():
        docs = [document(f"{store.run}-{number}-{place}", "text " * 200) for place in range(BATCH)]
        store.replace("documents", (), docs, fresh=True)
        store.replace("chunks", [docs[0].id], [chunk(docs[0], place) for place in range(3)], fresh=True)
        store.log([call(fingerprint(store.run, number), reply="answer " * 50)])
        print(f"paid {store.run} {number}\n", end="", flush=True)  # in one piece, however it is buffered
        if number % 3 == 0:
            store.settle()
            print(f"done {store.run} {number}\n", end="", flush=True)


def writes_much(path: Path, most: int) -> None:
    """Until the disk is full; tells how many rows are committed, then what went wrong."""
    import resource

    if most:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    store = opened(path)
    done = 0
    try:
        while True:
            docs = [document(f"{done + place}", os.urandom(3_000).hex()) for place in range(100)]
            put(store, "documents", docs)
            store.settle()
            done += len(docs)
    except StoreError as error:
        print(f"{done}\n{error.message}\n{error.help}", flush=True)
    try:
        put(store, "documents", [document("one more")])
        store.settle()
        print("went on")
    except StoreError:
        print("stopped")
    store.close()


def child(function: str, *arguments: object) -> subprocess.Popen[str]:
    given = ", ".join(repr(str(a)) if isinstance(a, Path) else repr(a) for a in arguments)
    code = (
        "from pathlib import Path; from tests.test_store_durability import *;"
        f"{function}(*[Path(a) if isinstance(a, str) else a for a in ({given},)])"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_killed_at_any_moment_nothing_committed_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    chance = random.Random(7)
    committed: dict[int, int] = {}
    paid: set[tuple[int, int]] = set()
    rounds = amount(5, 2)
    for _ in range(rounds):
        process = child("writes_for_ever", path)
        assert process.stdout is not None
        told = [process.stdout.readline(), process.stdout.readline()]  # the first is paid for, and committed
        time.sleep(chance.uniform(0.0, 0.6))
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()  # `communicate` would leave out what is read ahead
        if not told[-1].endswith("\n"):
            told.pop()  # it was killed while it told
        process.communicate()
        for line in told:
            what, run, number = line.split()
            if what == "paid":
                paid.add((int(run), int(number)))
            else:
                committed[int(run)] = int(number)
        reader = open_reader(path)
        whole = (
            "SELECT split_part(path, '-', 1)::INT AS run, split_part(path, '-', 2)::INT AS number, count(*)"
        )
        found = reader.sql(f"{whole} FROM documents GROUP BY ALL").rows
        assert {count for _, _, count in found} == {BATCH}, "half a batch"
        kept = {(run, number) for run, number, _ in found}
        for run, last in committed.items():
            assert {(run, number) for number in range(last + 1)} <= kept, "a commit was lost"
        assert reader.sql("SELECT count(*) FROM chunks").rows[0][0] == 3 * len(kept)
    with opened(path) as store:
        assert store.run == rounds + 1
        assert len(store.known([fingerprint(*call) for call in paid])) == len(paid), "paid for, and gone"
        written = store.cursor().execute("SELECT key FROM store.data.calls").fetchall()
        assert len(set(written)) == len(written) <= len(paid) + rounds  # killed before it told
        assert store.counts("documents")["ok"] == BATCH * len(kept)


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of a few megabytes."""
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("only root may mount a small disk")
    return mount


@pytest.fixture(autouse=True)
def _unmount(tmp_path: Path) -> object:
    yield
    if (tmp_path / "disk").is_mount():
        subprocess.run(["umount", "-l", str(tmp_path / "disk")], check=False)


def assert_ended_well(path: Path, process: subprocess.Popen[str]) -> None:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err == ""
    done, message, help, end = out.splitlines()
    assert message == f"the disk is full: the store {path} cannot grow"
    assert "all that was committed is kept" in help
    assert end == "stopped"
    assert int(done) >= 100
    assert open_reader(path).sql("SELECT count(*) FROM documents").rows == [(int(done),)]


def test_a_full_disk_is_one_message_and_loses_nothing(small_disk: Path) -> None:
    path = small_disk / "store.duckdb"
    assert_ended_well(path, child("writes_much", path, 0))
    other = small_disk.parent / "larger.duckdb"
    other.write_bytes(path.read_bytes())
    wal = path.with_name("store.duckdb.wal")
    if wal.exists():
        other.with_name("larger.duckdb.wal").write_bytes(wal.read_bytes())
    with opened(other) as store:  # room again: the next run goes on
        before = store.counts("documents")["ok"]
        put(store, "documents", [document("one more")])
        store.settle()
        assert store.counts("documents")["ok"] == before + 1


def test_a_file_that_may_not_grow_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    assert_ended_well(path, child("writes_much", path, 5_000_000))
    with opened(path) as store:
        put(store, "documents", [document("one more")])
        store.settle()


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    process = child("writes_for_ever", path)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        for mode in ("write", "plan"):
            with pytest.raises(StoreBusy, match=f"process {process.pid} is writing to the store") as caught:
                Store.open(path, mode)  # type: ignore[arg-type]
            assert "wait until it has ended" in (caught.value.help or "")
        assert open_reader(path).sql("SELECT count(*) > 0 FROM documents").rows == [(True,)]
    finally:
        process.kill()
        process.communicate()
    with opened(path) as store:
        assert store.counts("documents")["ok"] > 0


def test_a_reader_goes_on_when_the_engine_ends_or_dies(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    process = child("writes_for_ever", path)
    assert process.stdout is not None
    process.stdout.readline()
    reader = open_reader(path)
    counts = []
    for step in range(12):
        counts.append(reader.sql("SELECT count(*) FROM documents").rows[0][0])
        if step == 5:
            process.kill()
            process.communicate()
    assert counts == sorted(counts)
    store = opened(path)
    fill(store)
    assert reader.sql("SELECT count(*) FROM checked").rows == [(4,)]
    store.close()
    assert reader.sql("SELECT count(*) FROM checked").rows == [(4,)]


def test_a_short_look_does_not_keep_a_run_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    with opened(path) as store:
        fill(store)
    code = (
        "import time; from engine.store import open_reader; from pathlib import Path;"
        f"reader = open_reader(Path({str(path)!r})); held = reader.held(); held.__enter__();"
        "print('held', flush=True); time.sleep(0.7); held.__exit__(None, None, None)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    process.stdout.readline()
    with Store.open(path) as store:
        describe(store)
        assert store.counts("documents")["ok"] == 2
    process.communicate()
    assert process.returncode == 0
