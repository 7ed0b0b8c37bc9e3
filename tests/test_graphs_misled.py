"""The shipped graphs against an endpoint that misbehaves: what it spoils is told and kept apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.commands import main
from tests.endpoint import endpoint
from tests.test_graphs import GRAPHS, TRAINING, VALUES, of_graphs, profiles

FAULTS = {
    "prose": 0.1,
    "fence": 0.1,
    "broken": 0.1,
    "cut": 0.1,
    "refuse": 0.1,
    "wrong": 0.05,
    "think": 0.05,
    "foreign": 0.05,
    "empty": 0.05,
}
STRAY = ("```", "I cannot help", "Let me see what was asked")
"""What the endpoint puts around, or in place of, a reply."""


def exec_options(stem: str, profile: str | None) -> list[str]:
    values = [f"{name}={value}" for name, value in VALUES.get(stem, {}).items()]
    return [part for value in values for part in ("-p", value)] + (["--profile", profile] if profile else [])


@of_graphs(but=TRAINING)
def test_what_is_spoilt_is_kept_apart(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    profile = "dev" if "dev" in profiles(path) else None
    with endpoint(**FAULTS, seed=3) as asked:
        monkeypatch.setenv("ATK_BASE_URL", asked.base_url)
        monkeypatch.setenv("ATK_MODEL", "m")
        code = main(["exec", str(GRAPHS / path.name), *exec_options(path.stem, profile)])
        assert asked.stats()["calls"] > 0
    said = capsys.readouterr()
    assert code in (0, 1, 3), said.err
    assert "Traceback" not in said.err
    for file in (tmp_path / "out").rglob("*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if path.stem == "exam":  # what somebody says who sits it is marked, and kept, as it is said
                row.pop("reply", None)
                if str(row.get("why")).startswith("no reply came: "):  # with a refusal as it was worded
                    row.pop("why")
            written = json.dumps(row, ensure_ascii=False)
            assert not any(stray in written for stray in STRAY), (file.name, written[:400])
