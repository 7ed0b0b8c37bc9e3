"""Runs that end badly: nothing committed is lost, and what was paid is not paid again."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.commands import main
from engine.store import open_reader
from tests.endpoint import endpoint
from tests.project import Project

ROOT = Path(__file__).resolve().parents[1]
MORE = """
prompt checked from drafted -> Verdict {{ template = "check", model = asked, votes = 3, keep ok }}
dedupe unique_pairs from checked {{ column = question, method = "exact" }}
gather turns from unique_pairs {{ by = passages, columns = [question, answer] }}
emit sft from unique_pairs {{
  path = "out/sft.jsonl", format = "prompt_completion", split = {{ train: 0.8, test: 0.2 }} }}
"""
TABLES = {
    "documents": "documents_id, path, text",
    "passages": "passages_id, documents_id, text",
    "worthy": "worthy_id, passages_id, why, ok",
    "drafted": "drafted_id, worthy_id, question, answer",
    "checked": "checked_id, question, ok, len(checked_votes)",
    "unique_pairs": "unique_pairs_id, question",
    "turns": "turns_id, passages_id, turns::VARCHAR",
    "sft": "sft_id, split, question",
    "rejected.checked": "checked_id, question, reason",
    "rejected.unique_pairs": "question, reason",
}
IN_FLIGHT = 16
LATENCY_MS = 60


def exec_command(project: Project) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "engine.commands", "exec", "graph.atk", "--json"]
    return subprocess.Popen(
        command,
        cwd=project.root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ends(process: subprocess.Popen[bytes]) -> int:
    """Its exit code, with all read that it says."""
    process.communicate()
    return process.returncode


def prepared(root: Path, monkeypatch: pytest.MonkeyPatch, base_url: str) -> Project:
    root.mkdir(exist_ok=True)
    project = Project(root, monkeypatch, base_url)
    project.write("prompts/check.md", "system:\nRight?\n{{ schema }}\n\nuser:\n{{ question }} {{ answer }}\n")
    for number in range(30):
        project.write(
            f"inputs/{number}.txt",
            f"Passage {number} says that {number} is a number. It is one of {number + 1}.",
        )
    project.graph(MORE.replace("{{", "{").replace("}}", "}"))
    text = (
        (root / "graph.atk")
        .read_text()
        .replace("temperature = 0.5", f"temperature = 0.5, parallel = {IN_FLIGHT}")
    )
    project.graph(text=text)
    return project


def tables(project: Project) -> dict[str, list[Any]]:
    return {
        name: sorted(map(repr, project.rows(f"SELECT {columns} FROM {name}")))
        for name, columns in TABLES.items()
    }


def written(project: Project) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((project.root / "out" / "sft").glob("*"))}


@pytest.mark.slow
def test_killed_five_times_then_run_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(latency_ms=LATENCY_MS, p_true=0.8) as server:
        calm = prepared(tmp_path / "calm", monkeypatch, server.base_url)
        assert ends(exec_command(calm)) == 0
        needed = server.stats()["calls"]
        server.reset()
        project = prepared(tmp_path / "killed", monkeypatch, server.base_url)
        chance = random.Random(7)
        kills = 0
        while kills < 5:
            process = exec_command(project)
            before = server.stats()["calls"]
            while server.stats()["calls"] < before + 3 and process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.uniform(0.05, 0.25))
            if process.poll() is not None:
                process.communicate()
                break
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
        assert ends(exec_command(project)) == 0
        assert kills >= 3
        assert server.stats()["ok"] - needed <= kills * IN_FLIGHT
        assert tables(project) == tables(calm)
        assert written(project) == written(calm)
        server.reset()
        assert ends(exec_command(project)) == 0
        assert server.stats()["calls"] == 0


def test_interrupt_finishes_what_is_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(latency_ms=200) as server:
        project = prepared(tmp_path / "one", monkeypatch, server.base_url)
        process = exec_command(project)
        while server.stats()["calls"] < 20:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 130
        assert b"Traceback" not in errors
        stats = server.stats()
        assert stats["aborted"] == 0
        assert project.rows("SELECT count(*) FROM calls") == [(stats["ok"],)]
        assert project.rows("SELECT status FROM runs") == [("interrupted",)]
        server.config(latency_ms=0)
        assert project.run().status == "done"
        assert project.rows("SELECT count(*), count(DISTINCT key) FROM calls") == [
            (server.stats()["calls"],) * 2
        ]


def test_sql_answers_while_a_run_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with endpoint(latency_ms=1_500) as server:
        project = prepared(tmp_path / "one", monkeypatch, server.base_url)
        monkeypatch.chdir(project.root)
        process = exec_command(project)
        while server.stats()["calls"] < 40:
            time.sleep(0.02)

        def atk(*arguments: str) -> str:
            assert main(list(arguments)) == 0
            return capsys.readouterr().out

        seen = atk("sql", "SELECT count(*) AS n FROM worthy", "--csv")
        shown = atk("show", "worthy", "-n", "1")
        calls = atk("sql", "SELECT count(*) AS n FROM calls", "--csv")
        assert process.poll() is None, "the run ended before it was looked at"
        assert int(seen.split()[-1]) > 0
        assert int(calls.split()[-1]) > 0
        assert "passage" in shown.lower()
        assert main(["exec", "graph.atk"]) == 1
        told = capsys.readouterr().err
        assert str(process.pid) in told
        assert "Traceback" not in told
        server.config(latency_ms=0)
        process.communicate()
        assert process.returncode == 0


def test_second_interrupt_stops_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with endpoint(latency_ms=30_000) as server:
        project = prepared(tmp_path / "one", monkeypatch, server.base_url)
        process = exec_command(project)
        while server.stats()["calls"] < 10:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
        assert process.returncode == 130
        assert b"Traceback" not in errors


# -- nearly all kinds ---------------------------------------------------------------------------

KILLS = 50


def offline_command(root: Path) -> subprocess.Popen[bytes]:
    """The largest shipped graph, answered by the stand-in: it has sources, prompts and pools of prompts,
    votes, queries, gathering, deduplication, retrieval, conversations, mixes and files."""
    hidden = ("ATK_BASE_URL", "ATK_MODEL", "ATK_API_KEY", "OPENAI_API_KEY")
    return subprocess.Popen(
        [sys.executable, "-m", "engine.commands", "exec", "complete", "-q", "--profile", "dev"],
        cwd=root,
        env={name: value for name, value in os.environ.items() if name not in hidden}
        | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def everything(root: Path) -> dict[str, list[str]]:
    """All rows of all tables, and all files."""
    found: dict[str, list[str]] = {}
    reader = open_reader(root / ".atk" / "store.duckdb")
    with reader.held():  # its hundreds of views are made once
        shown = reader.sql(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema IN ('main', 'rejected', 'failed')"
        ).rows
        for schema, name in shown:
            if (schema, name) not in {("main", "runs"), ("main", "calls"), ("main", "metrics")}:
                found[f"{schema}.{name}"] = sorted(map(repr, reader.sql(f'FROM {schema}."{name}"').rows))
    for path in sorted((root / "out").rglob("*.*")):
        if path.suffix != ".md":  # a card says when it was written
            found[str(path.relative_to(root))] = [hashlib.sha256(path.read_bytes()).hexdigest()]
    return found


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_fifty_moments_all_tables_become_the_same(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    for root in (calm, killed):
        root.mkdir()
    started = time.monotonic()
    done = offline_command(calm)
    _, said = done.communicate()
    assert done.returncode == 0, said
    took = time.monotonic() - started
    chance, kills = random.Random(11), 0
    while kills < KILLS:
        process = offline_command(killed)
        time.sleep(chance.uniform(0.1, 0.4) * took)
        if process.poll() is not None:  # it came to its end: begin anew, there are moments left
            process.communicate()
            shutil.rmtree(killed)
            killed.mkdir()
            continue
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    last = offline_command(killed)
    _, said = last.communicate()
    assert last.returncode == 0, said
    expected = everything(calm)
    assert len(expected) > 60
    assert everything(killed) == expected
    asked = open_reader(killed / ".atk" / "store.duckdb").sql("SELECT count(DISTINCT key) FROM calls").rows
    assert asked == open_reader(calm / ".atk" / "store.duckdb").sql("SELECT count(*) FROM calls").rows
