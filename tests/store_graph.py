"""A small graph as the store knows it, and rows for its tables; shared by the tests of the store.

documents -> chunks -> drafted (fans out) -> checked -> pairs (over the whole table).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.store.keys import child_id, fingerprint
from engine.store.records import CallRecord, Stored, TableSpec
from engine.store.store import Store

GRAPH = "factual"
STATIC = fingerprint("static")
QA = {"question": "VARCHAR", "answer": "VARCHAR"}


def specs(graph: str = GRAPH, skip_checked: bool = False, **own: dict[str, str]) -> list[TableSpec]:
    """The tables; `own` replaces the own columns of a node."""
    documents = own.get("documents", {"path": "VARCHAR", "body": "VARCHAR"})
    chunks = own.get("chunks", {"text": "VARCHAR", "tokens": "BIGINT"})
    drafted = own.get("drafted", QA)
    checked = own.get("checked", {"why": "VARCHAR", "ok": "BOOLEAN"})
    shown = {name: (kind, "documents") for name, kind in documents.items()}
    cut = shown | {name: (kind, "chunks") for name, kind in chunks.items()}
    asked = cut | {name: (kind, "drafted") for name, kind in drafted.items()}
    judged = asked if skip_checked else asked | {name: (kind, "checked") for name, kind in checked.items()}
    pairs = {name: judged[name] for name in ("path", "question", "answer") if name in judged}

    def spec(
        node: str, kind: str, ancestors: str, own: dict[str, str], visible: Any, inputs: str
    ) -> TableSpec:
        return TableSpec(graph, node, kind, tuple(ancestors.split()), own, visible, tuple(inputs.split()))

    return [
        spec("documents", "source", "", documents, shown, ""),
        spec("chunks", "chunk", "documents", chunks, cut, "documents"),
        spec("drafted", "prompt", "chunks documents", drafted, asked, "chunks"),
        TableSpec(
            graph,
            "checked",
            "prompt",
            ("drafted", "chunks", "documents"),
            checked,
            judged,
            ("drafted",),
            passes="drafted" if skip_checked else None,
        ),
        spec("one.pairs", "dedupe", "checked drafted chunks documents", {}, pairs, "checked"),
    ]


ALIASES = {"one": "one.pairs"}


def describe(store: Store, graph: str = GRAPH, **more: Any) -> None:
    store.describe(graph, specs(graph, **more), ALIASES)


def document(name: str, body: str = "text", rev: str = "1") -> Stored:
    return Stored(
        id=child_id(None, "documents", name),
        rev=fingerprint(name, body, rev),
        static=STATIC,
        own={"path": name, "body": body},
    )


def child(node: str, parent: Stored, parents: str, place: int = 0, **more: Any) -> Stored:
    """A row of `node` made of `parent`, a row of the first of `parents` (nearest first)."""
    nearest = parents.split()[0]
    ids = {nearest: parent.id, **parent.ids}
    own = more.pop("own", {})
    row = child_id(parent.id, node, place)
    return Stored(
        id=row,
        rev=more.pop("rev", fingerprint(parent.rev, own, more.get("status"))),
        parent=parent.id,
        parent_rev=parent.rev,
        place=place,
        static=more.pop("static", STATIC),
        ids=ids,
        own=own,
        **more,
    )


def chunk(parent: Stored, place: int, text: str = "words", **more: Any) -> Stored:
    return child("chunks", parent, "documents", place, own={"text": text, "tokens": len(text)}, **more)


def question(parent: Stored, place: int, text: str = "why?", **more: Any) -> Stored:
    return child("drafted", parent, "chunks", place, own={"question": text, "answer": "so"}, **more)


def verdict(parent: Stored, ok: bool = True, **more: Any) -> Stored:
    status = more.pop("status", "ok" if ok else "rejected")
    return child("checked", parent, "drafted", 0, own={"why": "w", "ok": ok}, status=status, **more)


def call(key: bytes, status: str = "ok", reply: str | None = "reply", **more: Any) -> CallRecord:
    return CallRecord(
        key=key,
        node=more.pop("node", "drafted"),
        graph=GRAPH,
        row=more.pop("row", None),
        role="ask",
        attempt=1,
        sample=0,
        model="tiny",
        endpoint="http://localhost/v1",
        request=more.pop("request", '{"messages": [{"role": "user", "content": "Why?"}]}'),
        status=status,
        at=more.pop("at", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        reply=reply,
        cost=0.001,
        **more,
    )


def fill(store: Store, documents: int = 2, chunks: int = 2, questions: int = 2) -> list[Stored]:
    """Everything ok but every second verdict; returns the documents."""
    docs = [document(f"{number}.md") for number in range(documents)]
    cut = [chunk(doc, place) for doc in docs for place in range(chunks)]
    asked = [question(row, place) for row in cut for place in range(questions)]
    judged = [
        verdict(row, ok=number % 2 == 0, reason=None if number % 2 == 0 else "vague")
        for number, row in enumerate(asked)
    ]
    put(store, "documents", docs)
    put(store, "chunks", cut)
    put(store, "drafted", asked)
    put(store, "checked", judged)
    good = [row for row in judged if row.status == "ok"]
    put(store, "one.pairs", [child("one.pairs", row, "checked", number) for number, row in enumerate(good)])
    store.settle()
    return docs


def put(store: Store, node: str, rows: Sequence[Stored], fresh: bool = True) -> None:
    parents = list(dict.fromkeys(row.parent for row in rows if row.parent is not None))
    store.replace(node, parents, rows, fresh=fresh)


def select(store: Store, query: str) -> list[tuple[Any, ...]]:
    cursor = store.cursor()
    try:
        return cursor.execute(query).fetchall()
    finally:
        cursor.close()


def opened(path: Path, mode: Any = "write", begin: bool = True, **more: Any) -> Store:
    store = Store.open(path, mode)
    if mode != "read" or begin:
        describe(store, **more)
    if begin and mode != "read":
        store.begin(GRAPH, {"domain": "tests"}, "exec")
    return store
