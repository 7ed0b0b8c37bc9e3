"""What the built-in kinds have against settings, beside the message that each gives.

`errors/*.atk` are graphs with mistakes, `errors/*.txt` what is said of them; record anew with
`ATK_RECORD=1`, then read the difference.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from engine.kinds import registry
from engine.language import check
from engine.language.diagnostics import render
from engine.language.explain import CODES

HERE = Path(__file__).resolve().parent
FIXTURES = sorted((HERE / "errors").glob("*.atk"))
CODE = re.compile(r"\bATK\d{3}\b")


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_message(path: Path) -> None:
    root = path.parent
    found = check(path, registry(), root=root, prompts=[root / "prompts"], environment={}, tests=True)
    said = "\n\n".join(render(diagnostic) for diagnostic in found.diagnostics) + "\n"
    recorded = path.with_suffix(".txt")
    if os.environ.get("ATK_RECORD"):
        recorded.write_text(said)
    assert said == recorded.read_text()
    assert found.diagnostics


def test_every_code_is_recorded_somewhere() -> None:
    recorded = {
        code
        for folder in (HERE / "errors", HERE / "language" / "errors")
        for path in folder.glob("*.txt")
        for code in CODE.findall(path.read_text())
    }
    assert CODES.keys() - recorded == set()
