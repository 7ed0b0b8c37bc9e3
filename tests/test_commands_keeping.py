"""`clean`, `export`, `import`: what a store gives up, what it hands on, and that nothing paid for is lost."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.commands import main
from engine.store import StoreError, carrying, cleaning, open_reader
from tests.endpoint import Endpoint, endpoint
from tests.project import Project
from tests.test_killed_runs import ROOT

TABLES = ("documents", "passages", "worthy", "drafted", "out")
EMIT = 'emit out from drafted { path = "out.jsonl", format = "prompt_completion" }'


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with endpoint(p_true=1.0) as started:
        yield started


VERSION = "Version {} of a text on clouds, which is long enough to ask."


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory, server: Endpoint) -> Path:
    """The store of four runs, each of which replaced rows of the one before."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        made = Project(tmp_path_factory.mktemp("edited"), monkeypatch, server.base_url)
        made.graph(EMIT)
        for number in range(4):
            made.write("inputs/clouds.txt", VERSION.format(number))
            assert made.run().status == "done"
        return made.options.store


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint, edited: Path) -> Project:
    root = tmp_path / "here"
    root.mkdir()
    monkeypatch.chdir(root)
    made = Project(root, monkeypatch, server.base_url)
    made.graph(EMIT)
    made.write("inputs/clouds.txt", VERSION.format(3))
    made.options.store.parent.mkdir()
    shutil.copy(edited, made.options.store)
    server.reset()
    return made


def content(project: Project) -> dict[str, list[str]]:
    return {name: sorted(map(repr, project.rows(f"FROM {name}"))) for name in TABLES}


def replaced(project: Project) -> int:
    return sum(cleaning.look(project.options.store, 1, False).rows.values())


# -- clean ------------------------------------------------------------------------------------


def test_replaced_rows_go_and_what_is_shown_stays(
    project: Project, server: Endpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    before, ledger = content(project), project.rows("SELECT count(*), sum(cost) FROM calls")
    assert main(["clean", "--dry-run", "--keep-runs", "1"]) == 0
    said = capsys.readouterr().out
    assert "2 rows of worthy (graph) that were replaced" in said
    assert replaced(project) > 0
    assert main(["clean", "--keep-runs", "1", "--yes"]) == 0
    assert "store.duckdb: " in capsys.readouterr().out
    assert replaced(project) == 0
    assert content(project) == before
    assert project.rows("SELECT count(*), sum(cost) FROM calls") == ledger
    assert project.run().status == "done"
    project.write("inputs/clouds.txt", "Version 1 of a text on clouds, which is long enough to ask.")
    assert project.run().status == "done"
    assert server.stats()["calls"] == 0  # the replies of that version are still known
    assert main(["diff", "-2", "-1"]) == 0


def test_the_last_runs_keep_what_they_replaced(project: Project) -> None:
    least = sum(cleaning.look(project.options.store, 1, False).rows.values())
    assert sum(cleaning.look(project.options.store, 2, False).rows.values()) < least
    assert sum(cleaning.look(project.options.store, 9, False).rows.values()) == 0


def test_replies_go_only_where_that_is_asked_for(project: Project, server: Endpoint) -> None:
    ledger = project.rows("SELECT count(*), sum(tokens_in), sum(cost) FROM calls")
    unused = cleaning.look(project.options.store, 1, True)
    assert unused.replies == 4  # two for each version that is gone
    assert main(["clean", "--keep-runs", "1", "--replies", "--yes"]) == 0
    assert project.rows("SELECT count(*), sum(tokens_in), sum(cost) FROM calls") == ledger
    assert project.rows("SELECT count(*) FROM calls WHERE request = ''") == [(4,)]
    assert project.run().status == "done"
    assert server.stats()["calls"] == 0
    project.write("inputs/clouds.txt", "Version 1 of a text on clouds, which is long enough to ask.")
    assert project.run().status == "done"
    assert server.stats()["calls"] == 2


def test_tables_of_nodes_that_are_gone_go(project: Project) -> None:
    project.graph()
    project.run()
    unused = cleaning.look(project.options.store, 1, False)
    assert unused.tables == ("graph.out",)
    assert main(["clean", "--yes"]) == 0
    assert cleaning.look(project.options.store, 1, False).tables == ()
    project.graph(EMIT)
    assert project.run().status == "done"
    assert len(project.rows("FROM out")) > 0


def test_the_file_becomes_smaller(project: Project) -> None:
    project.graph(EMIT + '\nsource large -> { text: str }[] { path = "large.jsonl" }')
    for rows in (1_000, 1, 1):
        lines = (json.dumps({"text": os.urandom(3_000).hex()}) for _ in range(rows))
        project.write("large.jsonl", "\n".join(lines))
        project.run()
    before = project.options.store.stat().st_size
    shown = content(project)
    assert main(["clean", "--keep-runs", "1", "--replies", "--yes"]) == 0
    assert project.options.store.stat().st_size < 0.7 * before
    assert content(project) == shown


def test_nobody_who_did_not_agree_loses_anything(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    before = project.options.store.read_bytes()
    assert main(["clean", "--keep-runs", "1"]) == 1
    assert "nobody agreed to it" in capsys.readouterr().err
    assert project.options.store.read_bytes() == before


def test_with_nothing_to_remove_it_says_so(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "--keep-runs", "9"]) == 0
    assert "nothing to remove" in capsys.readouterr().out
    assert main(["clean", "--store", "none.duckdb"]) == 2


def test_without_room_for_the_copy_the_store_stays(project: Project) -> None:
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, 900_000));"
        "import sys; from engine.commands import main; sys.exit(main())"
    )
    before = content(project)
    done = subprocess.run(
        [sys.executable, "-c", code, "clean", "--keep-runs", "1", "--yes"],
        cwd=project.root,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert content(project) == before
    assert not list(project.options.store.parent.glob("*.clean*"))


@pytest.mark.slow
def test_killed_at_any_moment_the_store_is_whole(project: Project, tmp_path: Path) -> None:
    before = content(project)
    kept = tmp_path / "kept.duckdb"
    shutil.copy(project.options.store, kept)
    chance = random.Random(3)
    for _ in range(12):
        shutil.copy(kept, project.options.store)
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.commands", "clean", "--keep-runs", "1", "--yes"],
            cwd=project.root,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )
        time.sleep(0.3 + chance.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert content(project) == before
    assert main(["clean", "--keep-runs", "1", "--yes"]) == 0
    assert content(project) == before


# -- export and import -----------------------------------------------------------------------


@pytest.fixture
def elsewhere(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Endpoint) -> Project:
    """The same project in another folder, its replies in a file, with no store yet."""
    assert main(["export", str(tmp_path / "replies.parquet")]) == 0
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    made = Project(tmp_path / "there", monkeypatch, server.base_url)
    made.graph(EMIT)
    made.write("inputs/clouds.txt", (project.root / "inputs" / "clouds.txt").read_text())
    return made


def test_what_was_paid_for_elsewhere_is_not_paid_for(
    project: Project,
    elsewhere: Project,
    server: Endpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["import", str(tmp_path / "replies.parquet")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == ".atk/store.duckdb: 12 replies added"
    assert elsewhere.run().status == "done"
    assert server.stats()["calls"] == 0
    assert content(elsewhere) == content(project)
    assert main(["import", str(tmp_path / "replies.parquet")]) == 0
    assert capsys.readouterr().out.endswith("0 replies added, 12 known already\n")
    assert elsewhere.rows("SELECT count(*), count(DISTINCT key), max(run) FROM calls") == [(12, 12, 0)]
    main(["cost"])
    assert "worthy" not in capsys.readouterr().out  # somebody else paid


def test_what_is_known_here_stands(
    elsewhere: Project, server: Endpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.config(rules=[{"contains": "worth", "reply": {"why": "said here", "ok": True}}])
    elsewhere.run()
    server.config(rules=[])
    before = elsewhere.rows("SELECT key, reply FROM calls ORDER BY key")
    assert main(["import", str(tmp_path / "replies.parquet")]) == 0
    keys = {key for key, _ in before}
    after = elsewhere.rows("SELECT key, reply FROM calls ORDER BY key")
    assert [one for one in after if one[0] in keys] == before


FOREIGN = {
    "text": b"no parquet at all",
    "empty": b"",
    "cut": None,
    "another table": "SELECT 1 AS a",
    "no mark": "SELECT 1 AS run",
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_file_that_holds_no_replies_is_refused(
    what: str, elsewhere: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import duckdb

    path = tmp_path / "foreign.parquet"
    made = FOREIGN[what]
    if made is None:
        path.write_bytes((tmp_path / "replies.parquet").read_bytes()[:-500])
    elif isinstance(made, bytes):
        path.write_bytes(made)
    else:
        mark = ", KV_METADATA {atk_replies: '1'}" if what == "another table" else ""
        duckdb.sql(f"COPY ({made}) TO '{path}' (FORMAT parquet{mark})")
    assert main(["import", str(path)]) == 1
    assert f"{path} holds no replies of atk's" in capsys.readouterr().err
    if elsewhere.options.store.exists():
        assert open_reader(elsewhere.options.store).sql("SELECT count(*) FROM calls").rows == [(0,)]


def test_a_damaged_file_changes_nothing(elsewhere: Project, tmp_path: Path) -> None:
    content = bytearray((tmp_path / "replies.parquet").read_bytes())
    content[200:400] = bytes(200)
    path = tmp_path / "damaged.parquet"
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError):
        carrying.take(elsewhere.options.store, path)
    assert open_reader(elsewhere.options.store).sql("SELECT count(*) FROM calls").rows == [(0,)]


def test_a_file_of_another_form_says_so(elsewhere: Project, tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "newer.parquet"
    duckdb.sql(
        f"COPY (FROM '{tmp_path / 'replies.parquet'}') TO '{path}'"
        " (FORMAT parquet, KV_METADATA {atk_replies: '9'})"
    )
    with pytest.raises(StoreError, match="written by another atk"):
        carrying.take(elsewhere.options.store, path)


def test_a_file_that_is_there_is_not_written_over(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.parquet"
    path.write_text("mine")
    assert main(["export", str(path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main(["export", str(path), "--force"]) == 0
    assert path.read_bytes()[:4] == b"PAR1"
    assert main(["export", str(tmp_path / "nowhere" / "x.parquet")]) == 1
    assert not list(tmp_path.glob("*.part"))


def test_what_is_exported_holds_no_key(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    monkeypatch.setenv("ATK_API_KEY", "sk-of-mine")
    project.write("inputs/clouds.txt", "Another version of a text on clouds, long enough to ask about.")
    project.run()
    assert main(["export", str(tmp_path / "replies.parquet")]) == 0
    rows = duckdb.sql(f"FROM '{tmp_path / 'replies.parquet'}'").fetchall()
    assert rows
    assert "sk-of-mine" not in repr(rows)
