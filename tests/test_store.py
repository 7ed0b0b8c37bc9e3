"""The store from the engine's side: rows in, views and deltas out, the memo, plans that change nothing."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import threading
import time
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from engine.store.errors import StoreBusy, StoreError, StoreMissing
from engine.store.keys import fingerprint
from engine.store.reader import open_reader
from engine.store.records import NodeState, Stored, TableSpec
from engine.store.store import Store
from tests.store_graph import (
    GRAPH,
    STATIC,
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
    specs,
    verdict,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".atk" / "store.duckdb"


# -- views -------------------------------------------------------------------------------------


def test_views_show_ids_and_the_columns_of_ancestors(path: Path) -> None:
    with opened(path) as store:
        fill(store)
        cursor = store.cursor()
        names = [row[0] for row in cursor.execute("DESCRIBE checked").fetchall()]
        assert names == [
            *("checked_id", "drafted_id", "chunks_id", "documents_id"),
            *("path", "body", "text", "tokens", "question", "answer", "why", "ok"),
        ]
        cursor.close()
        assert select(store, "SELECT count(*), count(DISTINCT path), bool_and(ok) FROM checked") == [
            (4, 2, True)
        ]
        joined = "SELECT count(*) FROM checked JOIN chunks USING (chunks_id) WHERE checked.text = chunks.text"
        assert select(store, joined) == [(4,)]


def test_rejected_and_failed_stand_beside_with_reasons(path: Path) -> None:
    with opened(path) as store:
        docs = fill(store)
        row = question(chunk(docs[0], 0), 9)
        put(store, "drafted", [row])
        put(store, "checked", [child("checked", row, "drafted", status="failed", reason="no JSON")])
        store.settle()
        assert select(store, "SELECT ok, reason, question FROM rejected.checked LIMIT 1") == [
            (False, "vague", "why?")
        ]
        assert select(store, "SELECT ok, why, reason FROM failed.checked") == [(None, None, "no JSON")]
        assert store.counts("checked") == {"all": 9, "ever": 9, "ok": 4, "rejected": 4, "failed": 1}


def test_inner_nodes_have_their_own_names_and_aliases(path: Path) -> None:
    with opened(path) as store:
        fill(store)
        for name in ('"one.pairs"', "one.pairs", "one"):
            assert select(store, f"SELECT count(*) FROM {name}") == [(4,)]
        assert select(store, "SELECT count(*) FROM rejected.one") == [(0,)]
        ids = "SELECT count(*) FROM one WHERE checked_id IN (SELECT checked_id FROM checked)"
        assert select(store, ids) == [(4,)]
        assert select(store, f"SELECT count(*) FROM {store.view('one')}") == [(4,)]


def test_a_skipped_node_is_its_input_under_another_name(path: Path) -> None:
    with opened(path, skip_checked=True) as store:
        docs = [document("a.md")]
        cut = [chunk(docs[0], 0)]
        asked = [question(cut[0], place) for place in range(3)]
        put(store, "documents", docs)
        put(store, "chunks", cut)
        put(store, "drafted", asked)
        store.settle()
        assert select(store, "SELECT count(*), count(DISTINCT checked_id) FROM checked") == [(3, 3)]
        assert select(store, "SELECT count(*) FROM checked WHERE checked_id = drafted_id") == [(3,)]
        assert select(store, "SELECT count(*) FROM rejected.checked") == [(0,)]
        assert store.counts("checked") == {"all": 3, "ever": 3, "ok": 3}
        (batch,) = store.pending("one.pairs", "checked", STATIC, 1)
        assert {row[0] for row in batch} == {row.id for row in asked}
        assert all(row[3]["checked"] == row[3]["drafted"] == row[0] for row in batch)
        pairs = [Stored(row[0], row[1], row[0], row[1], ids=row[3], static=STATIC) for row in batch]
        put(store, "one.pairs", pairs)
        store.settle()
        assert select(store, "SELECT count(*) FROM one JOIN checked USING (checked_id)") == [(3,)]


@pytest.mark.parametrize("name", ["calls", "runs", "Calls", "rejected.x", "store.x", "main.x"])
def test_the_stores_own_names_are_refused(path: Path, name: str) -> None:
    spec = TableSpec(GRAPH, name, "source", (), {"a": "VARCHAR"}, {"a": ("VARCHAR", name)}, ())
    with Store.open(path) as store, pytest.raises(StoreError, match="cannot be a table's name"):
        store.describe(GRAPH, [spec], {})


def test_names_that_sql_cannot_tell_apart_are_refused(path: Path) -> None:
    both = [TableSpec(GRAPH, name, "source", (), {}, {}, ()) for name in ("one", "One")]
    with Store.open(path) as store:
        with pytest.raises(StoreError, match="are one name in SQL"):
            store.describe(GRAPH, both, {})
        taken = TableSpec(GRAPH, "a", "source", (), {"a_id": "VARCHAR"}, {"a_id": ("VARCHAR", "a")}, ())
        with pytest.raises(StoreError, match="has the name of an id"):
            store.describe(GRAPH, [taken], {})
        with pytest.raises(StoreError, match="not one of DuckDB's"):
            store.describe(GRAPH, [TableSpec(GRAPH, "a", "source", (), {"x": "WORDS"}, {}, ())], {})
        describe(store)  # a refusal leaves the store in order


# -- values --------------------------------------------------------------------------------------

VALUES: list[tuple[str, Any]] = [
    ("VARCHAR", "ü ☃ \0 end"),
    ("BIGINT", -(2**62)),
    ("HUGEINT", 2**100),
    ("DOUBLE", 0.1),
    ("BOOLEAN", False),
    ("DATE", dt.date(2020, 2, 29)),
    ("TIMESTAMP", dt.datetime(2020, 2, 29, 12, 30, 1, 5)),  # noqa: DTZ001
    ("DECIMAL(10,2)", Decimal("12.50")),
    ("BLOB", b"\0\xff"),
    ("VARCHAR[]", ["a", None, ""]),
    ("VARCHAR[]", []),
    ("FLOAT[]", [0.5, -1.0]),
    ("STRUCT(question VARCHAR, answer VARCHAR)[]", [{"question": "q", "answer": None}]),
    ("STRUCT(a STRUCT(b BIGINT[]))", {"a": {"b": [1, 2]}}),
    ("MAP(VARCHAR, BIGINT)", {"a": 1, "b": 2}),
    ("UUID", uuid.UUID(int=7)),
    ("ENUM('a', 'b')", "b"),
    ("JSON", '{"a":1}'),
    ("TIME", dt.time(1, 2, 3)),
    ("INTERVAL", dt.timedelta(days=3, seconds=5)),
]


def test_values_come_back_as_they_were(path: Path) -> None:
    own = {f"v{number}": kind for number, (kind, _) in enumerate(VALUES)}
    values = {f"v{number}": value for number, (_, value) in enumerate(VALUES)}
    nothing = dict.fromkeys(own)
    spec = TableSpec(GRAPH, "t", "source", (), own, {name: (kind, "t") for name, kind in own.items()}, ())
    key = fingerprint("k")
    with Store.open(path) as store:
        store.describe(GRAPH, [spec], {})
        store.replace("t", (), [Stored(fingerprint(1), fingerprint(2), key=key, own=values)], fresh=True)
        store.replace("t", (), [Stored(fingerprint(3), fingerprint(4), place=1)], fresh=True)
        store.settle()
        shown = select(store, "SELECT * EXCLUDE t_id FROM t ORDER BY v0")
        assert shown == [tuple(values.values()), tuple(nothing.values())]
        (batch,) = store.ordered("t")
        assert [row[2] for row in batch] == [values, nothing]
    with Store.open(path) as store:
        store.describe(GRAPH, [spec], {})
        assert store.outcomes("t", [key])[key][0].own == values


@pytest.mark.parametrize(
    ("kind", "value"),
    [("BIGINT", "seven"), ("VARCHAR", 7), ("VARCHAR[]", 7), ("DATE", "soon"), ("BIGINT", 2**70)],
)
def test_a_value_that_does_not_fit_is_told_with_its_column(path: Path, kind: str, value: Any) -> None:
    spec = TableSpec(GRAPH, "t", "source", (), {"v": kind}, {"v": (kind, "t")}, ())
    store = Store.open(path)
    store.describe(GRAPH, [spec], {})
    store.replace("t", (), [Stored(fingerprint(1), fingerprint(2), own={"v": value})], fresh=True)
    with pytest.raises(StoreError, match=r"t: .* does not fit column 'v'"):
        store.settle()
    with pytest.raises(StoreError, match="does not fit"):
        store.replace("t", (), [], fresh=True)
    store.close()


def test_text_that_is_not_unicode_is_kept_as_far_as_it_can_be(path: Path) -> None:
    with opened(path) as store:
        put(store, "documents", [document("a.md", "broken \ud83d pair")])
        store.log([call(fingerprint(1), reply="half \ud83d")])
        store.settle()
        assert select(store, "SELECT body FROM documents") == [("broken ? pair",)]
        assert select(store, "SELECT reply FROM calls") == [("half ?",)]


# -- writing -------------------------------------------------------------------------------------


def test_replacing_ends_the_rows_before_and_keeps_them_as_history(path: Path) -> None:
    doc = document("a.md")
    with opened(path) as store:
        put(store, "documents", [doc])
        put(store, "chunks", [chunk(doc, place) for place in range(3)])
        store.settle()
    with opened(path) as store:
        assert store.run == 2
        put(store, "chunks", [chunk(doc, 0, "other")], fresh=False)
        store.settle()
        assert select(store, "SELECT text FROM chunks") == [("other",)]
        history = f"SELECT _born, _died, count(*) FROM {store.physical('chunks')} GROUP BY ALL ORDER BY ALL"
        assert select(store, history) == [(1, 2, 3), (2, None, 1)]


def test_changes_of_one_batch_take_effect_in_their_order(path: Path) -> None:
    doc = document("a.md")
    with opened(path) as store:
        put(store, "documents", [doc])
        for text in ("one", "two", "three"):
            put(store, "chunks", [chunk(doc, 0, text), chunk(doc, 1, text)], fresh=False)
        store.kill("chunks", [chunk(doc, 1).id])
        put(store, "documents", [document("b.md")])
        store.kill("documents", [doc.id])
        store.replace("documents", (), [document("a.md", "new")], fresh=True)
        store.settle()
        assert select(store, "SELECT text FROM chunks") == [("three",)]
        assert select(store, "SELECT path, body FROM documents ORDER BY 1") == [
            ("a.md", "new"),
            ("b.md", "text"),
        ]


def test_orphans_end_with_their_parents(path: Path) -> None:
    with opened(path) as store:
        docs = fill(store, documents=3)
        store.kill("documents", [docs[0].id])
        assert store.kill_orphans("chunks", "documents").result() == 2
        assert store.kill_orphans("drafted", "chunks").result() == 4
        assert store.kill_orphans("documents").result() == 0
        assert store.counts("chunks")["ok"] == 4
        assert store.counts("drafted") == {"all": 8, "ever": 12, "ok": 8}


def test_flush_and_ready_work_from_an_event_loop(path: Path) -> None:
    async def main(store: Store) -> None:
        for number in range(30):
            put(store, "documents", [document(f"{number}-{i}") for i in range(1_000)])
            await store.ready()
        await store.flush()
        watch = asyncio.create_task(store.broken())
        await asyncio.sleep(0)
        assert not watch.done()
        watch.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watch
        put(store, "documents", [document("x", body=7)])  # type: ignore[arg-type]
        with pytest.raises(StoreError, match="does not fit"):
            await store.flush()
        assert "does not fit" in (await store.broken()).message

    with opened(path) as store:
        asyncio.run(main(store))
        assert select(store, "SELECT count(*) FROM documents") == [(30_000,)]


# -- deltas --------------------------------------------------------------------------------------


def pending(store: Store, node: str, source: str, static: bytes = STATIC) -> list[bytes]:
    found = [row[0] for batch in store.pending(node, source, static, store.run, batch=3) for row in batch]
    assert store.count_pending(node, source, static, store.run) == len(found)
    return found


def test_pending_is_exactly_what_changed(path: Path) -> None:
    with opened(path) as store:
        docs = fill(store, documents=3)
        assert pending(store, "chunks", "documents") == []
        assert pending(store, "checked", "drafted") == []
        store.replace("documents", (), [document("1.md", rev="2")], ids=[docs[1].id])
        store.replace("documents", (), [document("new.md")], fresh=True)
        store.settle()
        assert set(pending(store, "chunks", "documents")) == {docs[1].id, document("new.md").id}
        assert len(pending(store, "chunks", "documents", fingerprint("edited"))) == 4
        assert len(pending(store, "one.pairs", "checked")) == 0, "rejected rows do not flow"


def test_rows_to_be_tried_again_are_pending_in_the_next_run_only(path: Path) -> None:
    doc = document("a.md")
    with opened(path) as store:
        put(store, "documents", [doc])
        put(store, "chunks", [chunk(doc, 0, status="failed", retry=True)])
        store.settle()
        assert pending(store, "chunks", "documents") == []
    with opened(path) as store:
        assert pending(store, "chunks", "documents") == [doc.id]


def test_rows_come_in_the_order_of_the_lineage(path: Path) -> None:
    with opened(path) as store:
        docs = [document(f"{number}.md") for number in range(4)]
        cut = [chunk(doc, place) for doc in docs for place in range(12)]
        asked = [question(row, place) for row in cut for place in range(3)]
        put(store, "documents", docs[::-1])
        put(store, "chunks", cut[::-1])
        put(store, "drafted", asked[1::2] + asked[::2])
        store.settle()
        expected = [
            row.id
            for row in sorted(asked, key=lambda row: (row.ids["documents"], cut_place(cut, row), row.place))
        ]
        assert [row[0] for batch in store.ordered("drafted", batch=7) for row in batch] == expected
        within = [row[0] for batch in store.ordered("drafted", ("chunks", [cut[5].id])) for row in batch]
        assert within == [question(cut[5], place).id for place in range(3)]
        itself = [row for batch in store.ordered("documents", ("documents", [docs[2].id])) for row in batch]
        assert [row[2]["path"] for row in itself] == ["2.md"]
        assert pending(store, "checked", "drafted") == expected


def cut_place(cut: list[Stored], row: Stored) -> int:
    return next(one.place for one in cut if one.id == row.ids["chunks"])


def test_what_else_the_engine_asks(path: Path) -> None:
    with opened(path) as store:
        docs = fill(store)
        assert store.revs("documents") == {doc.id: doc.rev for doc in docs}
        standing = store.standing("documents", [docs[1].id, b"x" * 16])
        assert standing == {docs[1].id: (docs[1].rev, docs[1].place)}
        store.move("documents", {docs[1].id: 7, b"x" * 16: 8})
        store.settle()
        assert store.standing("documents", [docs[1].id]) == {docs[1].id: (docs[1].rev, 7)}
        assert store.live_ids("checked") == sorted(store.live_ids("checked"))
        assert len(store.live_ids("checked")) == 4
        assert {status for _, status in store.parents("checked").values()} == {"ok", "rejected"}
        members = store.members("drafted", "documents")
        assert set(members) == {doc.id for doc in docs}
        assert all(len(revs) == 4 for revs in members.values())
        assert store.parent_revs("chunks", STATIC) == {doc.id: doc.rev for doc in docs}
        assert store.parent_revs("chunks", fingerprint("edited")) == {}
        assert select(store, f"SELECT count(_id), count(_rev) FROM {store.internal('checked')}") == [(4, 4)]


# -- the memo ------------------------------------------------------------------------------------


def test_replies_are_known_at_once_and_in_later_runs(path: Path) -> None:
    keys = [fingerprint("call", number) for number in range(6)]
    with opened(path) as store:
        assert store.knows_keys
        assert not any(store.may_know(key) for key in keys)
        assert store.known(keys) == {}
        store.log([call(keys[0]), call(keys[1], "refused", None), call(keys[2], "error", None)])
        store.log([call(keys[3], "cut", "half")])
        assert set(store.known(keys)) == {keys[0], keys[1], keys[3]}
        store.settle()
        assert set(store.known(keys)) == {keys[0], keys[1], keys[3]}
        assert store.known(keys[:1])[keys[0]].cost == pytest.approx(0.001)
    with opened(path) as store:
        assert not store.knows_keys
        store.learn_keys()
        assert [store.may_know(key) for key in keys] == [True, True, True, True, False, False]
        known = store.known([*keys, fingerprint("never")])
        assert {key: reply.status for key, reply in known.items()} == {
            keys[0]: "ok",
            keys[1]: "refused",
            keys[3]: "cut",
        }
        store.log([call(keys[0], reply="newer"), call(keys[0], "error", None)])
        assert store.known(keys[:1])[keys[0]].reply == "newer"
        store.settle()
        assert store.known(keys[:1])[keys[0]].reply == "newer"
        at = select(store, "SELECT min(called_at), count(*), max(run) FROM calls")
        assert at == [(dt.datetime(2024, 1, 2, 3, 4, 5), 6, 2)]  # noqa: DTZ001


def test_an_outcome_is_found_by_its_row_key_whole_and_in_order(path: Path) -> None:
    key, again, never = fingerprint("key"), fingerprint("again"), fingerprint("never")
    doc, other = document("a.md"), document("b.md")
    with opened(path) as store:
        put(store, "documents", [doc, other])
        rows = [
            chunk(doc, place, f"part {place}", key=key, calls=[b"c" * 16], asked=2) for place in (2, 0, 1)
        ]
        put(store, "chunks", rows)
        put(store, "chunks", [chunk(other, 0, "same content", key=key)])
        put(store, "chunks", [chunk(other, 1, key=again, retry=True, status="failed")])
        store.settle()
        assert store.outcomes("chunks", [key]) == {}, "the table was empty when it was described"
    with opened(path) as store:
        store.kill("chunks", [chunk(other, 0).id])
        store.settle()
        found = store.outcomes("chunks", [key, again, never])
        assert set(found) == {key}
        assert [row.own["text"] for row in found[key]] == ["part 0", "part 1", "part 2"]
        assert found[key][0].calls == [b"c" * 16]
        assert found[key][0].asked == 2
        put(store, "chunks", [chunk(doc, 0, "newest", key=key)], fresh=False)
        store.settle()
        assert [row.own["text"] for row in store.outcomes("chunks", [key])[key]] == ["newest"]
        store.kill("chunks", [chunk(doc, 0).id])
        store.settle()
        assert [row.own["text"] for row in store.outcomes("chunks", [key])[key]] == ["newest"], (
            "dead, but newest"
        )


# -- what is remembered of graphs and runs ---------------------------------------------------------


def test_states_last_and_go_with_their_table(path: Path) -> None:
    state = NodeState(STATIC, complete=True, complete_run=1, changed_run=1, info={"fan_out": 2.5})
    with opened(path) as store:
        assert store.state("chunks") is None
        store.save_state("chunks", NodeState(STATIC))
        store.save_state("chunks", state)
        store.save_state("documents", state)
        store.settle()
    with opened(path) as store:
        assert store.state("chunks") == state
    with opened(path, chunks={"text": "VARCHAR"}) as store:
        assert store.state("chunks") is None
        assert store.state("documents") == state


def test_a_table_is_made_anew_only_when_its_columns_differ(path: Path) -> None:
    with opened(path) as store:
        fill(store)
    with opened(path, chunks={"tokens": "INT8", "text": "TEXT"}) as store:
        assert store.counts("chunks")["ok"] == 4, "the same types under other names, in another order"
    with opened(path, chunks={"text": "VARCHAR", "tokens": "DOUBLE"}) as store:
        assert store.counts("chunks") == {"all": 0, "ever": 0}
        assert store.counts("documents")["ok"] == 2


def test_runs_are_kept(path: Path) -> None:
    with opened(path) as store:
        store.log([call(fingerprint(1)), call(fingerprint(2))])
        store.end(1, "done", {"rows": 3})
        assert select(store, "SELECT run, graph, status, calls, cost, params->>'domain' FROM runs") == [
            (1, GRAPH, "done", 2, 0.002, "tests")
        ]
    with opened(path) as store:
        assert store.run == 2
    with opened(path) as store:
        assert select(store, "SELECT run, status FROM runs ORDER BY run") == [
            (1, "done"),
            (2, "interrupted"),
            (3, "running"),
        ]


def test_two_graphs_share_a_store_and_its_memo(path: Path) -> None:
    with opened(path) as store:
        fill(store)
        store.log([call(fingerprint(1))])
    with Store.open(path) as store:
        describe(store, "other")
        store.begin("other", {}, "exec")
        assert store.counts("documents") == {"all": 0, "ever": 0}
        assert set(store.known([fingerprint(1)])) == {fingerprint(1)}
    with opened(path) as store:
        assert store.counts("documents")["ok"] == 2


# -- plans ---------------------------------------------------------------------------------------


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_plan_writes_into_memory_only(path: Path) -> None:
    with opened(path) as store:
        docs = fill(store)
        store.log([call(fingerprint(1))])
        store.save_state("chunks", NodeState(STATIC))
        store.end(1, "done", {})
    before = digest(path)
    with opened(path, "plan") as store:
        assert store.run == 2
        store.kill("documents", [docs[0].id])
        put(store, "documents", [document("new.md")])
        store.save_state("chunks", NodeState(fingerprint("x")))
        store.log([call(fingerprint(2))])
        store.settle()
        assert set(store.known([fingerprint(1), fingerprint(2)])) == {fingerprint(1), fingerprint(2)}
        assert select(store, "SELECT path FROM documents ORDER BY 1") == [("1.md",), ("new.md",)]
        assert pending(store, "chunks", "documents") == [document("new.md").id]
        assert store.kill_orphans("chunks", "documents").result() == 2
        assert select(store, "SELECT count(*) FROM chunks") == [(2,)]
        store.end(2, "done", {})
    with opened(path, "plan", chunks={"text": "VARCHAR"}) as store:
        assert store.counts("chunks") == {"all": 0, "ever": 0}
        assert len(pending(store, "chunks", "documents")) == 2
        put(store, "chunks", [])
    assert digest(path) == before
    assert not path.with_name("store.duckdb.wal").exists()


def test_a_plan_needs_no_file_and_makes_none(path: Path) -> None:
    with opened(path, "plan") as store:
        fill(store)
        assert store.counts("checked")["ok"] == 4
        assert select(store, "SELECT count(*) FROM runs") == [(0,)]
    assert not path.parent.exists()


# -- opening -------------------------------------------------------------------------------------


def test_a_store_that_is_not_there_is_missing(path: Path) -> None:
    with pytest.raises(StoreMissing, match="there is no store at"):
        Store.open(path, "read")
    assert not path.parent.exists()


def test_a_folder_of_its_own_is_kept_out_of_version_control(path: Path) -> None:
    with opened(path):
        assert (path.parent / ".gitignore").read_text() == "*\n"
    assert sorted(entry.name for entry in path.parent.iterdir()) == [".gitignore", "store.duckdb"]


def test_a_second_opening_in_the_same_process_is_told(path: Path) -> None:
    with opened(path) as store:
        for mode in ("write", "read", "plan"):
            with pytest.raises(StoreBusy, match="this process already has"):
                Store.open(path, mode)  # type: ignore[arg-type]
        fill(store)


def test_what_is_no_store_is_told(path: Path, tmp_path: Path) -> None:
    import duckdb

    (tmp_path / "text.duckdb").write_text("this is no database " * 1000)
    with pytest.raises(StoreError, match="is not a DuckDB database"):
        Store.open(tmp_path / "text.duckdb")
    with duckdb.connect(str(tmp_path / "other.duckdb")) as other:
        other.execute("CREATE TABLE t AS SELECT 1")
    for mode in ("write", "read"):
        with pytest.raises(StoreError, match="not one that atk made"):
            Store.open(tmp_path / "other.duckdb", mode)  # type: ignore[arg-type]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make the folder"):
        Store.open(tmp_path / "file" / "store.duckdb")


def test_a_newer_store_is_refused_and_an_older_one_brought_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.store import schema

    with opened(path) as store:
        fill(store)
    monkeypatch.setattr(
        schema,
        "MIGRATIONS",
        [*schema.MIGRATIONS, lambda c: c.execute("ALTER TABLE store.data.runs ADD COLUMN host VARCHAR")],
    )
    assert open_reader(path).sql("SELECT count(*) FROM documents").rows == [(2,)]  # as it is
    with opened(path) as store:
        assert store.counts("documents")["ok"] == 2
        assert select(store, "SELECT max(version) FROM store.data.versions") == [(len(schema.MIGRATIONS),)]
        assert select(store, "SELECT count(host) FROM store.data.runs") == [(0,)]
    monkeypatch.undo()
    for mode in ("write", "read", "plan"):
        with pytest.raises(StoreError, match="written by a newer atk"):
            Store.open(path, mode)  # type: ignore[arg-type]


def test_every_migration_happens_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    from engine.store import schema

    def half(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("ALTER TABLE store.data.runs ADD COLUMN host VARCHAR")
        raise RuntimeError("stopped here")

    with opened(path):
        pass
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, half])
    with pytest.raises(RuntimeError, match="stopped here"):
        Store.open(path)
    monkeypatch.undo()
    with opened(path) as store:
        columns = [row[0] for row in select(store, "DESCRIBE store.data.runs")]
        assert "host" not in columns


def test_queries_of_a_graph_reach_nothing_but_tables(path: Path) -> None:
    import duckdb

    with opened(path) as store:
        for query in (
            "FROM read_text('/etc/hostname')",
            "COPY (SELECT 1) TO '/dev/null'",
            "ATTACH '/x' AS y",
        ):
            with pytest.raises(duckdb.PermissionException):
                select(store, query)
        leak = document("secret")
        with pytest.raises(duckdb.CatalogException):
            select(store, "FROM leak")
        assert leak.own["path"] == "secret"


def test_specs_survive_being_stored(path: Path) -> None:
    from engine.store.views import latest, load

    with opened(path) as store:
        cursor = store.cursor()
        assert latest(cursor) == GRAPH
        description = load(cursor, GRAPH)
        cursor.close()
        assert list(description.tables.values()) == specs()


def test_verdicts_of_rejected_parents_do_not_hide(path: Path) -> None:
    doc = document("a.md")
    row = question(chunk(doc, 0), 0)
    with opened(path) as store:
        put(store, "documents", [doc])
        put(store, "chunks", [chunk(doc, 0)])
        put(store, "drafted", [row])
        put(store, "checked", [verdict(row, ok=False, reason="vague")])
        store.settle()
        assert pending(store, "checked", "drafted") == [], "a rejection is an outcome"


def test_closing_stops_what_still_reads(path: Path) -> None:
    import duckdb

    store = opened(path)
    fill(store)
    met: list[BaseException] = []

    def read() -> None:
        cursor = store.cursor()
        try:
            cursor.execute(
                "SELECT count(*) FROM range(100000000) a, range(1000000) b WHERE a.range % 7 = b.range % 5"
            ).fetchall()
        except duckdb.Error as error:
            met.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.2)
    started = time.monotonic()
    store.close()
    thread.join(10)
    assert time.monotonic() - started < 5
    assert isinstance(met[0], duckdb.InterruptException | duckdb.ConnectionException)
    with opened(path) as store:
        assert store.counts("documents")["ok"] == 2
