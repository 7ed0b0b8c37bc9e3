"""A store of every version that there was is read, brought up to date, and paid for nothing anew.

What lies in `stores/` was written by the code of its time; `stores/make.py` adds the next.
"""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.commands import main
from engine.store import StoreError, connect, open_reader
from engine.store.attach import attach, detach
from engine.store.schema import CATALOG, MIGRATIONS, SCHEMA, quote
from tests.project import Project

STORES = Path(__file__).parent / "stores"
VERSIONS = range(1, len(MIGRATIONS) + 1)
NODES = ("documents", "passages", "worthy", "drafted")
CALLS = 'SELECT node, "row", role, attempt, sample, reply, status, cost FROM calls'


class Kept(Project):
    """The project of `stores/`, with a store of some version where one is given."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, version: int | None = None):
        super().__init__(root, monkeypatch)
        for name in ("inputs", "prompts"):
            shutil.rmtree(root / name)
            shutil.copytree(STORES / name, root / name)
        shutil.copy(STORES / "graph.atk", root / "graph.atk")
        if version is not None:
            self.options.store.parent.mkdir()
            content = (STORES / f"version-{version}.duckdb.gz").read_bytes()
            self.options.store.write_bytes(gzip.decompress(content))

    def content(self) -> dict[str, list[str]]:
        asked = {name: f"FROM {name}" for name in NODES} | {"calls": CALLS}
        return {name: sorted(map(repr, self.rows(query))) for name, query in asked.items()}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        project = Kept(tmp_path_factory.mktemp("fresh"), monkeypatch)
        assert project.run().status == "done"
        return project.content()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_of_each_version_is_kept(version: int) -> None:
    assert (STORES / f"version-{version}.duckdb.gz").exists(), "run tests/stores/make.py"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_goes_on_from_it(
    version: int, fresh: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Kept(tmp_path, monkeypatch, version)
    summary = project.run()
    assert summary.status == "done"
    assert sum(one.calls for one in summary.progress.values()) == 0
    assert project.content() == fresh
    assert len(project.rows("FROM runs")) == 2


READING: list[tuple[str, ...]] = [
    ("sql", "FROM drafted ORDER BY ALL", "--json"),
    ("sql", "SELECT count(*) FROM rejected.worthy JOIN documents USING (documents_id)", "--json"),
    ("sql", "FROM calls ORDER BY ALL", "--json"),
    ("sql", "SELECT count(*), sum(cost_reported) FROM calls", "--json"),
    ("sql", "FROM runs", "--json"),
    ("sql", "FROM metrics", "--json"),
    ("sql", "SHOW TABLES", "--json"),
    ("sql", "SELECT graph, node, run FROM store.data.snapshots ORDER BY ALL", "--csv"),
    ("show", "drafted"),
    ("show", "worthy", "--rejected"),
    ("show", "worthy", "--failed"),
    ("show", "drafted", "--calls", "-n", "2", "--json"),
    ("why", "drafted", "ROW"),
    ("render", "drafted", "ROW"),
    ("runs", "--json"),
    ("cost", "--json"),
    ("cost", "--by", "model"),
    ("plan", "graph.atk", "--json"),
    ("plan", "graph.atk", "--against", "last"),
    ("plan", "graph.atk", "--select", "state:changed+", "--json"),
    ("retry", "graph.atk", "--dry-run"),
    ("graph", "graph.atk", "--html", "page.html"),
    ("clean", "--dry-run"),
    ("export", "replies.parquet"),
    ("diff", "1", "1"),
]
"""Commands that change no store; `ROW` is the first row of `drafted`."""
REFUSED = {1: ["run 1 kept no account of its nodes"], 4: ["the last run does not say which graph it ran"]}
"""What is not in a store that was kept, brought up to date or not."""


@pytest.fixture(scope="module")
def up_to_date(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """By version, a folder whose store is brought up to date and otherwise as it was kept."""
    found = {}
    for version in VERSIONS[:-1]:
        with pytest.MonkeyPatch.context() as monkeypatch:
            project = Kept(tmp_path_factory.mktemp("migrated"), monkeypatch, version)
        detach(attach(project.options.store, "write", sandbox=False), project.options.store)
        found[version] = project.root
    return found


OLDEST_FIRST = [1, *(pytest.param(one, marks=pytest.mark.slow) for one in VERSIONS[1:-1])]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
@pytest.mark.parametrize("version", OLDEST_FIRST)
def test_who_only_reads_sees_it_as_if_it_were_up_to_date(
    version: int,
    arguments: tuple[str, ...],
    up_to_date: dict[int, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = Kept(tmp_path, monkeypatch, version)
    before = project.options.store.read_bytes()

    def told(folder: Path) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        (folder / "inputs" / "new.txt").write_text(
            "Cirrus is high and thin."
        )  # so that there is work to plan
        if "ROW" in arguments:
            main(["sql", "--csv", "SELECT drafted_id FROM drafted ORDER BY 1 LIMIT 1"])
            row = capsys.readouterr().out.split()[1]
        else:
            row = ""
        code = main([row if one == "ROW" else one for one in arguments])
        said = capsys.readouterr()
        return code, said.out.replace(str(folder), "FOLDER"), said.err.replace(str(folder), "FOLDER")

    expected = told(up_to_date[version])
    assert told(project.root) == expected
    assert expected[0] == 0 or any(one in expected[2] for one in REFUSED.get(version, ())), expected
    assert any(expected[1:]), expected
    assert project.options.store.read_bytes() == before


@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_a_notebook_reads_it_and_changes_nothing(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    project = Kept(tmp_path, monkeypatch, version)
    before = project.options.store.read_bytes()
    connection = connect(project.options.store)
    assert connection.sql("SELECT count(*) FROM drafted").fetchall()[0][0] > 0
    for change in ("DELETE FROM store.data.calls", "INSERT INTO store.data.runs (run) VALUES (9)"):
        with pytest.raises(duckdb.Error):
            connection.execute(change)
    connection.close()
    assert project.options.store.read_bytes() == before
    assert open_reader(project.options.store).description.graph == "graph"


def test_a_migration_adds_and_changes_no_row() -> None:
    """What `older` relies on, seen of a store with something in every table."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(f"ATTACH ':memory:' AS {CATALOG}")
        connection.execute(f"CREATE SCHEMA {SCHEMA}")
        filled: dict[str, list[tuple[Any, ...]]] = {}
        for step in MIGRATIONS:
            step(connection)
            for table, columns in filled.items():
                names = ", ".join(quote(name) for name in columns[0])
                rows = connection.execute(f"SELECT {names} FROM {SCHEMA}.{quote(table)}").fetchall()
                assert rows == columns[1:], f"{step.__name__} changes {table}"
            tables = connection.execute(
                f"SELECT table_name FROM duckdb_tables() WHERE database_name = '{CATALOG}'"
            ).fetchall()
            for (table,) in tables:
                if table in filled:
                    continue
                shape = connection.execute(f"DESCRIBE {SCHEMA}.{quote(table)}").fetchall()
                values = [VALUES.get(kind, "7") for _, kind, *_ in shape]
                connection.execute(f"INSERT INTO {SCHEMA}.{quote(table)} VALUES ({', '.join(values)})")
                row = connection.execute(f"FROM {SCHEMA}.{quote(table)}").fetchall()
                filled[table] = [tuple(name for name, *_ in shape), *row]


VALUES = {
    "VARCHAR": "'x'",
    "JSON": "'{}'",
    "UUID": "uuid()",
    "UUID[]": "[uuid()]",
    "BOOLEAN": "true",
    "TIMESTAMP": "TIMESTAMP '2024-01-02 03:04:05'",
}


def test_a_newer_one_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    project = Kept(tmp_path, monkeypatch, VERSIONS[-1])
    with duckdb.connect(str(project.options.store)) as connection:
        connection.execute("INSERT INTO data.versions VALUES (99, now())")
    before = project.options.store.read_bytes()
    with pytest.raises(StoreError, match="written by a newer atk"):
        project.run()
    assert project.options.store.read_bytes() == before


def test_one_that_was_never_finished_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import duckdb

    project = Kept(tmp_path, monkeypatch)
    project.options.store.parent.mkdir()
    duckdb.connect(str(project.options.store)).close()
    with pytest.raises(StoreError, match="died before anything was in it") as told:
        open_reader(project.options.store)
    assert told.value.help == "`atk exec` makes it anew"
    assert project.run().status == "done"
