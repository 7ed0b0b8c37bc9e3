"""A key reaches the endpoint, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.commands import main
from tests.endpoint import endpoint
from tests.project import Project

ROOT = Path(__file__).resolve().parents[1]
KEY = "sk-" + "very-secret-0123456789"


def atk(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine.commands", *arguments],
        cwd=project.root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def everything_written(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file())


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("fault", [{}, {"p500": 1.0}, {"key": "another"}, {"p429": 0.2, "retry_after": 0}])
def test_key_is_nowhere_but_at_the_endpoint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fault: dict[str, object],
) -> None:
    monkeypatch.chdir(tmp_path)
    with endpoint(echo_key=True, latency_ms=20, **fault) as server:
        Project(tmp_path, monkeypatch, server.base_url)
        monkeypatch.setenv("ATK_API_KEY", KEY)
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.commands", "exec", "graph.atk", "-p", "inputs=inputs"],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not server.stats()["calls"] and process.poll() is None:
            time.sleep(0.01)
        command_line = Path(f"/proc/{process.pid}/cmdline")
        if command_line.exists():
            assert KEY.encode() not in command_line.read_bytes()
        printed = "".join(process.communicate(timeout=60))
        assert any(KEY in str(request["authorization"]) for request in server.requests())
        for arguments in (
            ("sql", "FROM calls", "--json"),
            ("show", "worthy", "--calls"),
            ("show", "worthy", "--failed"),
            ("plan", "graph.atk"),
            ("params", "graph.atk"),
            ("sql", "FROM runs", "--json"),
            ("exec", "graph.atk", "--debug"),
        ):
            main(list(arguments))
            done = capfd.readouterr()
            assert done.out + done.err, arguments
            printed += done.out + done.err
        assert printed
        assert KEY not in printed
        # compressed columns would hide it from a search of the file, so the tables were printed above too
        assert KEY.encode() not in everything_written(tmp_path)


def test_unset_secret_is_told_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path, monkeypatch)
    text = (
        (tmp_path / "graph.atk")
        .read_text()
        .replace(
            "model asked from default { temperature = 0.5 }",
            'model asked { base_url = "http://127.0.0.1:9", name = "m", api_key = secret("MY_UNSET_KEY") }',
        )
    )
    project.graph(text=text)
    monkeypatch.delenv("MY_UNSET_KEY", raising=False)
    done = atk(project, "exec", "graph.atk")
    assert done.returncode == 2
    assert "MY_UNSET_KEY" in done.stderr
    assert "graph.atk:" in done.stderr
