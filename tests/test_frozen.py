"""Data classes that mypy keeps from being changed: at run time as quick as those that may be."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from engine.frozen import dataclass

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Point:
    x: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slotted:
    x: int


@dataclass(frozen=True, eq=False)
class Itself:
    x: int


@dataclass
class Open:
    x: int


def test_equal_ones_are_one_in_a_set() -> None:
    assert {Point(1, ("a",)), Point(1, ("a",)), Point(2)} == {Point(1, ("a",)), Point(2)}
    assert len({Slotted(1), Slotted(1)}) == 1
    assert len({Itself(1), Itself(1)}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(Open(1))


@pytest.mark.parametrize("one", [Point(1, ("a",)), Slotted(1)])
def test_they_are_data_classes(one: Point | Slotted) -> None:
    assert pickle.loads(pickle.dumps(one)) == one
    assert dataclasses.replace(one, x=5).x == 5
    assert dataclasses.asdict(one)["x"] == 1


def test_mypy_refuses_to_change_one(tmp_path: Path) -> None:
    (tmp_path / "changing.py").write_text(
        "from engine.frozen import dataclass\n@dataclass(frozen=True)\nclass One:\n    x: int\nOne(1).x = 2\n"
    )
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--follow-imports=silent",
            "--cache-dir",
            str(tmp_path),
            "changing.py",
        ],
        cwd=tmp_path,
        env={"MYPYPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 'changing.py:5: error: Property "x" defined in "One" is read-only' in said.stdout, said


def test_all_frozen_ones_of_the_engine_are_these() -> None:
    """The one of the standard library is 0.25 ms more for each class at every start."""
    for path in (ROOT / "engine").rglob("*.py"):
        text = path.read_text()
        if "dataclass(frozen" in text:
            assert "from engine.frozen import dataclass" in text or path.name == "frozen.py", path
