"""A store of every version that there was is read, brought up to date, and paid for nothing anew.

What lies in `stores/` was written by the code of its time; `stores/make.py` adds the next.
"""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.store import StoreError, open_reader
from engine.store.schema import MIGRATIONS
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


@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_who_only_reads_is_told_what_to_do(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Kept(tmp_path, monkeypatch, version)
    before = project.options.store.read_bytes()
    with pytest.raises(
        StoreError, match=f"its version is {version}, this one reads {len(MIGRATIONS)}"
    ) as told:
        open_reader(project.options.store)
    assert told.value.help == "`atk exec` brings it up to date"
    assert project.options.store.read_bytes() == before


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
