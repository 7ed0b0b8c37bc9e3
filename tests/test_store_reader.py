"""Looking on: SQL through a running engine's socket and from the file, and the way back of a row."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.store import QueryError, Reader, StoreBusy, StoreError, StoreMissing, connect, open_reader, wire
from engine.store.keys import fingerprint
from engine.store.lineage import why
from engine.store.records import Stored
from engine.store.store import Store
from tests.store_graph import (
    GRAPH,
    call,
    child,
    chunk,
    describe,
    document,
    fill,
    opened,
    put,
    question,
    select,
    verdict,
)

ROOT = Path(__file__).parents[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".atk" / "store.duckdb"


@pytest.fixture(params=["running", "ended"], scope="module")
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A reader of a filled store, with and without an engine that holds it."""
    path = tmp_path_factory.mktemp("reader") / "store.duckdb"
    store = opened(path)
    fill(store)
    store.log([call(fingerprint("one"))])
    store.settle()
    if request.param == "ended":
        store.close()
    with open_reader(path) as found, found.held():
        yield found
    store.close()


# -- answers -------------------------------------------------------------------------------------


def test_a_query_is_answered_alike_with_and_without_an_engine(reader: Reader) -> None:
    found = reader.sql("SELECT path, count(*) AS n FROM checked GROUP BY path ORDER BY path")
    assert found.columns == ["path", "n"]
    assert found.types == ["VARCHAR", "BIGINT"]
    assert found.rows == [("0.md", 2), ("1.md", 2)]
    assert found.dicts()[0] == {"path": "0.md", "n": 2}
    assert not found.more


TYPED = (
    "SELECT uuid '00000000-0000-0000-0000-000000000007' AS u, 2::HUGEINT ** 100 AS h, [1, NULL] AS l,"
    " {'a': 'x'} AS s, DATE '2020-02-29' AS d, 1.25 AS c, '\\x00'::BLOB AS b, map {'k': 1} AS m,"
    " INTERVAL 3 DAYS AS i, NULL AS nothing, '{}'::JSON AS j,"
    " [uuid '00000000-0000-0000-0000-000000000007'] AS ul"
)


def test_values_have_the_same_types_both_ways(path: Path) -> None:
    with opened(path):
        through_socket = open_reader(path).sql(TYPED)
    from_file = open_reader(path).sql(TYPED)
    assert through_socket == from_file
    assert [type(value) for value in through_socket.rows[0]] == [type(value) for value in from_file.rows[0]]
    assert from_file.types[:4] == ["UUID", "DOUBLE", "INTEGER[]", "STRUCT(a VARCHAR)"]


def test_a_limit_cuts_and_says_so(reader: Reader) -> None:
    query = "SELECT question FROM drafted ORDER BY drafted_id"
    assert len(reader.sql(query, 3).rows) == 3
    assert reader.sql(query, 3).more
    assert not reader.sql(query, 8).more
    assert reader.sql("SELECT range FROM range(5000) ORDER BY range DESC", 3).rows == [
        (4999,),
        (4998,),
        (4997,),
    ]
    assert reader.sql("SHOW TABLES", 2).more
    assert len(reader.sql("EXPLAIN FROM drafted", 1).rows) == 1


def test_arrow_comes_as_arrow(reader: Reader) -> None:
    table = reader.arrow("SELECT documents_id, path FROM documents ORDER BY path")
    assert str(table.schema.types[0]) == "extension<arrow.uuid>"
    assert table.column("path").to_pylist() == ["0.md", "1.md"]
    assert reader.arrow("FROM documents LIMIT 0").num_rows == 0


@pytest.mark.parametrize(
    "query",
    [
        "FROM checked",
        "SELECT 1;",
        "-- why\nSELECT 1",
        "DESCRIBE checked",
        "SHOW TABLES",
        "SUMMARIZE checked",
        "EXPLAIN SELECT * FROM checked",
        "WITH a AS (SELECT 1) FROM a",
        "VALUES (1)",
        "SELECT 1 AS a, 2 AS a",
        "FROM rejected.checked",
        "FROM failed.checked",
        'FROM "one".pairs',
        "FROM runs",
        "SELECT called_at FROM calls",
        "PIVOT (SELECT path, ok FROM checked) ON ok",
    ],
)
def test_what_reads_is_answered(reader: Reader, query: str) -> None:
    assert reader.sql(query).columns


REFUSED = [
    ("", "the query is empty"),
    ("-- nothing", "the query is empty"),
    ("SELECT 1; SELECT 2", "one query at a time"),
    ("DELETE FROM store.data.calls", "DELETE is not answered"),
    ("drop table x", "DROP is not answered"),
    ("SET memory_limit = '1GB'", "SET is not answered"),
    ("COPY calls TO '/tmp/x'", "COPY is not answered"),
    ("CALL force_checkpoint('store')", "CALL is not answered"),
    ("EXPLAIN ANALYZE DELETE FROM store.data.calls", "read with SQL, not changed"),
    ("WITH x AS (INSERT INTO store.data.runs (run) VALUES (9) RETURNING run) FROM x", ""),
    ("FROM read_text('/etc/hostname')", "reads the store's tables and nothing else"),
    ("FROM '/etc/hostname.csv'", ""),
    ("FROM nowhere", "there is no table 'nowhere'"),
    ("SELECT qestion FROM drafted", 'Referenced column "qestion" not found'),
    ("SELEC 1", "syntax error"),
    ("SELECT 'a'::INTEGER", "Could not convert string 'a'"),
    ("SELECT error('boo') FROM checked", "boo"),
]


@pytest.mark.parametrize(("query", "message"), REFUSED)
def test_what_is_wrong_or_would_write_is_told(reader: Reader, query: str, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        reader.sql(query)
    assert message in caught.value.message
    assert "atk:" not in caught.value.message
    assert not caught.value.message.startswith(("Binder", "Catalog", "Parser", "Invalid"))
    untouched = reader.sql("SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM calls)")
    assert untouched.rows == [(1, 1)]


def test_a_missing_table_is_told_with_those_there_are(reader: Reader) -> None:
    with pytest.raises(QueryError) as caught:
        reader.sql("FROM cheked")
    assert "checked" in (caught.value.help or "")
    assert "drafted" in (caught.value.help or "")


def test_the_last_run_says_which_graph_is_shown(path: Path) -> None:
    with opened(path) as store:
        fill(store)
    with Store.open(path) as store:
        describe(store, "other")
        store.begin("other", {}, "exec")
        both = [open_reader(path), open_reader(path, GRAPH), open_reader(path, "other")]
        assert [reader.sql("SELECT count(*) FROM documents").rows[0][0] for reader in both] == [0, 2, 0]
        assert both[0].description.graph == "other"
    assert [reader.sql("SELECT count(*) FROM documents").rows[0][0] for reader in both] == [0, 2, 0]
    for _ in range(2):
        with pytest.raises(StoreError, match="knows no graph 'third'") as caught:
            open_reader(path, "third")
        assert caught.value.help == "it knows factual, other"


def test_a_store_without_a_graph_still_shows_runs_and_calls(path: Path) -> None:
    Store.open(path).close()
    reader = open_reader(path)
    assert reader.sql("SELECT count(*) FROM calls").rows == [(0,)]
    with pytest.raises(StoreError, match="nothing has been run"):
        _ = reader.description


def test_no_store_is_told(path: Path) -> None:
    for look in (open_reader, connect):
        with pytest.raises(StoreMissing, match="there is no store at"):
            look(path)
    assert not path.parent.exists()


def test_a_reader_leaves_the_file_to_a_run_between_queries(path: Path) -> None:
    with opened(path) as store:
        fill(store)
    reader = open_reader(path)
    assert reader.sql("SELECT count(*) FROM documents").rows == [(2,)]
    with opened(path) as store:
        put(store, "documents", [document("more.md")])
        store.settle()
        assert reader.sql("SELECT count(*) FROM documents").rows == [(3,)]
    with reader.held():
        assert reader.sql("SELECT count(*) FROM documents").rows == [(3,)]
    assert reader.sql("SELECT count(*) FROM documents").rows == [(3,)]


# -- a connection for notebooks ---------------------------------------------------------------------


def test_a_connection_shows_the_graphs_tables_and_changes_nothing(path: Path) -> None:
    import duckdb

    with opened(path) as store:
        fill(store)
        with pytest.raises(StoreBusy):
            connect(path)
    connection = connect(path)
    assert connection.sql("SELECT count(*) FROM checked").fetchall() == [(4,)]
    assert connection.sql("FROM checked SELECT path").to_arrow_table().num_rows == 4
    assert len(connection.sql("FROM rejected.checked").fetchall()) == 4
    with pytest.raises(duckdb.Error):
        connection.execute("DELETE FROM store.data.calls")
    with pytest.raises(StoreBusy, match="this process already has"):
        Store.open(path)
    connection.close()
    with opened(path) as store:
        assert store.counts("documents")["ok"] == 2


def test_a_connection_keeps_its_lock_when_another_in_the_process_closes(path: Path) -> None:
    with opened(path) as store:
        fill(store)
    connection = connect(path)
    open_reader(path).sql("FROM checked")
    with opened(path, "plan"):
        pass
    code = f"from engine.store.store import Store; Store.open({str(path)!r})"
    tried = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert f"process {os.getpid()} has the store" in tried.stderr
    connection.close()
    open_reader(path).sql("FROM checked")
    tried = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert tried.returncode == 0, tried.stderr


# -- the socket ----------------------------------------------------------------------------------


def test_the_socket_is_private_and_goes_with_the_engine(path: Path) -> None:
    beside = path.with_name("store.sock")
    with opened(path):
        assert stat.S_IMODE(beside.stat().st_mode) == 0o600
    assert not beside.exists()


def test_a_socket_that_was_left_behind_is_no_hindrance(path: Path) -> None:
    with opened(path) as store:
        fill(store)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path.with_name("store.sock")))
    dead.close()
    assert open_reader(path).sql("SELECT count(*) FROM checked").rows == [(4,)]
    with opened(path):
        assert open_reader(path).sql("SELECT count(*) FROM checked").rows == [(4,)]


def test_a_path_that_is_too_long_for_a_socket_is_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / ("long" * 30) / "store.duckdb"
    with opened(path) as store:
        fill(store)
        assert wire.socket_path(path).exists()
        assert open_reader(path).sql("SELECT count(*) FROM checked").rows == [(4,)]
        assert stat.S_IMODE(wire.socket_path(path).parent.stat().st_mode) == 0o700
    assert not wire.socket_path(path).exists()


def linked(path: Path) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.connect(str(wire.socket_path(path)))
    return link


def ask(link: socket.socket, sql: str) -> None:
    wire.send(link, wire.QUERY, json.dumps({"sql": sql}).encode())


def rude_hangs_up(link: socket.socket) -> None:
    link.close()


def rude_hangs_up_in_a_word(link: socket.socket) -> None:
    link.sendall(b"Q\0")
    link.close()


def rude_sends_rubbish(link: socket.socket) -> None:
    link.sendall(os.urandom(4096))
    link.close()


def rude_sends_no_json(link: socket.socket) -> None:
    wire.send(link, wire.QUERY, b"\xff[")
    assert wire.receive(link)[0] == wire.ERROR
    link.close()


def rude_leaves_while_answered(link: socket.socket) -> None:
    ask(link, "SELECT repeat('x', 1000) FROM range(1000000)")
    assert wire.receive(link)[0] == wire.HEAD
    link.close()


def rude_leaves_a_long_query(link: socket.socket) -> None:
    ask(link, "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range % 7 = b.range % 5")
    time.sleep(0.1)
    link.close()


RUDE: list[Callable[[socket.socket], None]] = [
    rude_hangs_up,
    rude_hangs_up_in_a_word,
    rude_sends_rubbish,
    rude_sends_no_json,
    rude_leaves_while_answered,
    rude_leaves_a_long_query,
]


@pytest.mark.parametrize("rude", RUDE)
def test_a_rude_client_harms_nobody(path: Path, rude: Callable[[socket.socket], None]) -> None:
    with opened(path) as store:
        fill(store)
        for _ in range(3):
            rude(linked(path))
        put(store, "documents", [document("after.md")])
        store.settle()
        assert open_reader(path).sql("SELECT count(*) FROM documents").rows == [(3,)]
        assert store._server is not None
        deadline = time.monotonic() + 5
        while store._server._threads and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not store._server._threads, "its query was not stopped"


def test_a_slow_client_holds_up_nobody_nor_the_end(path: Path) -> None:
    store = opened(path)
    fill(store)
    links = [linked(path) for _ in range(5)]
    for link in links:
        ask(link, "SELECT repeat('x', 1000) FROM range(1000000)")
        assert wire.receive(link)[0] == wire.HEAD
    started = time.monotonic()
    assert open_reader(path).sql("SELECT count(*) FROM checked").rows == [(4,)]
    put(store, "documents", [document("x.md")])
    store.settle()
    store.close()
    assert time.monotonic() - started < 3
    for link in links:
        link.close()
    assert open_reader(path).sql("SELECT count(*) FROM documents").rows == [(3,)]


def test_many_ask_while_the_engine_writes(path: Path) -> None:
    failures: list[BaseException] = []
    answers: list[int] = []
    stop = threading.Event()

    def look() -> None:
        reader = open_reader(path)
        try:
            while not stop.is_set():
                rows = reader.sql("SELECT count(*), count(DISTINCT documents_id) FROM documents").rows
                assert rows[0][0] == rows[0][1]
                assert rows[0][0] % 10 == 0, "half a batch is seen"
                answers.append(rows[0][0])
        except BaseException as error:
            failures.append(error)

    with opened(path) as store:
        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for number in range(20):
            put(store, "documents", [document(f"{number}-{i}") for i in range(10)])
            store.settle()
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[0]
    assert len(answers) > 8
    assert max(answers) > min(answers)


def test_another_process_reads_while_this_one_writes(path: Path) -> None:
    code = (
        "import sys; from engine.store import open_reader; from pathlib import Path;"
        f"print(open_reader(Path({str(path)!r})).sql('SELECT count(*) FROM checked').rows)"
    )
    with opened(path) as store:
        fill(store)
        out = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert out.stdout.strip() == "[(4,)]"
        assert out.stderr == ""


# -- the way back ----------------------------------------------------------------------------------


@pytest.fixture(params=["running", "ended"])
def grown(request: pytest.FixtureRequest, path: Path) -> Iterator[tuple[Reader, dict[str, Stored]]]:
    """A store with one row of each fate, and the calls it took."""
    asked, judged, repaired = fingerprint("asked"), fingerprint("judged"), fingerprint("repaired")
    doc = document("a.md")
    cut = chunk(doc, 0, "clouds")
    rows = {"doc": doc, "chunk": cut, "drafted": question(cut, 0, calls=[asked])}
    rows["ok"] = verdict(rows["drafted"], calls=[judged, repaired, judged])
    rows["failed"] = verdict(question(cut, 1), status="failed", reason="no JSON", calls=[fingerprint("lost")])
    rows["rejected"] = verdict(question(cut, 2), ok=False, reason="vague")
    store = opened(path)
    put(store, "documents", [doc])
    put(store, "chunks", [cut])
    put(store, "drafted", [rows["drafted"], question(cut, 1), question(cut, 2)])
    put(store, "checked", [rows["ok"], rows["failed"], rows["rejected"]])
    put(store, "one.pairs", [child("one.pairs", rows["ok"], "checked")])
    store.log([call(asked, reply="old"), call(asked, reply="new"), call(asked, "error", None, error="late")])
    store.log([call(judged), call(repaired, node="checked")])
    store.settle()
    if request.param == "ended":
        store.close()
    yield open_reader(path), rows
    store.close()


def test_why_leads_back_to_the_document(grown: tuple[Reader, dict[str, Stored]]) -> None:
    reader, rows = grown
    steps = why(reader, "checked", str_id(rows["ok"]))
    assert [step.node for step in steps] == ["checked", "drafted", "chunks", "documents"]
    assert steps[0].columns == {"why": "w", "ok": True}
    assert [len(step.calls) for step in steps] == [2, 1, 0, 0]
    assert steps[1].calls[0].reply == "new"
    assert steps[1].calls[0].messages == [{"role": "user", "content": "Why?"}]
    assert steps[2].columns == {"text": "clouds", "tokens": 6}
    assert steps[3].columns["path"] == "a.md"


def test_why_steps_over_what_works_on_whole_tables(grown: tuple[Reader, dict[str, Stored]]) -> None:
    reader, rows = grown
    pair = child("one.pairs", rows["ok"], "checked")
    for name in ("one", "one.pairs"):
        nodes = [step.node for step in why(reader, name, str_id(pair)[:8])]
        assert nodes == ["one.pairs", "checked", "drafted", "chunks", "documents"]


def test_why_tells_what_became_of_a_row(grown: tuple[Reader, dict[str, Stored]]) -> None:
    reader, rows = grown
    failed = why(reader, "checked", str_id(rows["failed"])[:10].upper())
    assert (failed[0].status, failed[0].reason) == ("failed", "no JSON")
    assert failed[0].calls == []
    rejected = why(reader, "checked", rows["rejected"].id.hex()[:6])
    assert (rejected[0].status, rejected[0].reason, rejected[0].columns["ok"]) == ("rejected", "vague", False)


def test_why_says_what_is_wrong_with_a_row(grown: tuple[Reader, dict[str, Stored]]) -> None:
    reader, rows = grown
    cases: list[tuple[str, str, str]] = [
        ("checked", "zebra", "is no row id"),
        ("checked", "' OR 1=1 --", "is no row id"),
        ("checked", "abc", "too short"),
        ("checked", "0" * 33, "is no row id"),
        ("checked", str_id(rows["drafted"]), "'checked' has no row"),
        ("chekced", "abcd", "has no table 'chekced'"),
    ]
    for node, row, message in cases:
        with pytest.raises(StoreError, match=message):
            why(reader, node, row)
    with pytest.raises(StoreError) as caught:
        why(reader, "checked", str_id(rows["drafted"]))
    assert caught.value.help == "'drafted' has one"


def test_why_asks_for_more_of_an_ambiguous_id(path: Path) -> None:
    def with_id(number: int) -> Stored:
        made = document(f"{number}.md")
        made.id = bytes.fromhex("abcd") + number.to_bytes(14, "big")
        return made

    with opened(path) as store:
        put(store, "documents", [with_id(1), with_id(2)])
        store.settle()
        with pytest.raises(StoreError, match="more than one row of 'documents' begins with 'abcd'") as caught:
            why(open_reader(path), "documents", "abcd")
        assert "abcd0000-0000-0000-0000-000000000001" in (caught.value.help or "")
        assert len(why(open_reader(path), "documents", str_id(with_id(1)))) == 1


def test_why_finds_the_row_as_it_is_now(path: Path) -> None:
    doc = document("a.md", "old")
    with opened(path) as store:
        put(store, "documents", [doc])
        store.settle()
        store.replace("documents", (), [document("a.md", "new")], ids=[doc.id])
        store.settle()
        assert why(open_reader(path), "documents", str_id(doc))[0].columns["body"] == "new"
        store.kill("documents", [doc.id])
        store.settle()
        assert why(open_reader(path), "documents", str_id(doc))[0].columns["body"] == "new", (
            "even when it is gone"
        )
        assert select(store, "FROM documents") == []


def str_id(row: Any) -> str:
    import uuid

    return str(uuid.UUID(bytes=row.id))


def test_queries_are_answered_where_a_thousand_files_are_open(path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2_000:
        pytest.skip("too few descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2_000), hard))
    held: list[int] = []
    try:
        with opened(path) as store:
            fill(store)
            held.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(1_100))
            slow = "SELECT count(*) FROM range(30000000) WHERE range % 7 = 3"
            assert open_reader(path).sql(slow).rows == [(4_285_714,)]
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
