"""Messages that are known to be poor, in the open. The list is meant to shrink.

`poor/*.atk` begin with `# better:` and what a good message would say; `poor/*.txt` is what is said
now. Where a message got better, its graph moves to `errors/`: this test fails until it has moved.
Record with `ATK_RECORD=1` only what is new and poor.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.language.support import HERE, checked, told

FIXTURES = sorted((HERE / "poor").glob("*.atk"))
MOST = 4  # lower it when one has moved


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.stem)
def test_still_poor(path: Path) -> None:
    assert path.read_text().startswith("# better: ")
    said = told(checked(path)) + "\n"
    recorded = path.with_suffix(".txt")
    if os.environ.get("ATK_RECORD") and not recorded.exists():
        recorded.write_text(said)
    assert said == recorded.read_text(), "it got better: move it to errors/, and lower MOST"


def test_the_list_only_shrinks() -> None:
    assert len(FIXTURES) <= MOST
