"""A table that is not as it was expected to be: where the run says to look."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project import Project

HEAD = """
type Word {{ word: str, length: int }}
source words -> Word[] {{ path = "words.jsonl" }}
type Verdict {{ why: str }}
sql doubled {{ query = "SELECT word || word AS pair FROM words" }}
{more}
"""

EMPTY = 'prompt long from words -> Verdict { template = "long", expect count(*) > 0 }'

# What a table was, and the command that shows why.
LOOKS = [
    (
        'sql short { query = "SELECT * FROM words WHERE length < 3", expect count(*) == 0 }',
        'look into it with `atk sql "FROM short"`',
    ),
    (
        'sql none { query = "SELECT * FROM doubled WHERE false", expect count(*) > 0 }',
        'it is empty: look at `doubled` with `atk sql "FROM doubled"`',
    ),
    (
        """
prompt long from words -> Verdict {
  template = "long", keep length > 100 else "short", expect count(*) > 0
}
        """,
        "it is empty: look at the rejected rows with `atk show long --rejected`",
    ),
    (
        """
prompt long from words -> Verdict { template = "long", keep length > 100 else "short" }
sql pairs { query = "SELECT word FROM long" }
sql further { query = "FROM pairs", expect count(*) > 0 }
        """,
        "it is empty: look at the rejected rows with `atk show long --rejected`",
    ),
]


@pytest.mark.parametrize(("more", "help"), LOOKS)
def test_the_help_shows_rows(more: str, help: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path, monkeypatch)
    project.write("prompts/long.md", "user:\nIs {{ word }} long?\n{{ schema }}\n")
    project.write("words.jsonl", '{"word": "it", "length": 2}\n{"word": "cloud", "length": 5}\n')
    project.graph(text=HEAD.format(more=more))
    for _ in range(2):  # the second time what lies before stands unchanged
        summary = project.run()
        assert summary.status == "expectation"
        assert [said for _, said in summary.errors] == [help]
    assert summary.exit_code == 3


def test_nothing_was_there_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path, monkeypatch)
    project.write("prompts/long.md", "user:\nIs {{ word }} long?\n{{ schema }}\n")
    project.write("words.jsonl", "")
    project.graph(text=HEAD.format(more=EMPTY))
    summary = project.run()
    assert [said for _, said in summary.errors] == ['look into it with `atk sql "FROM long"`']


@pytest.mark.timeout(60)
def test_each_table_before_it_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty tables, each of the one before it by two ways: there are a thousand million ways back."""
    project = Project(tmp_path, monkeypatch)
    project.write("words.jsonl", "")
    more = ['sql t0 { query = "SELECT word FROM words" }']
    for number in range(1, 31):
        left, right, last = f"l{number}", f"r{number}", f"t{number - 1}"
        more += [f'sql {side} {{ query = "FROM {last}" }}' for side in (left, right)]
        expected = "expect count(*) > 0" if number == 30 else ""
        more.append(f'sql t{number} {{ query = "FROM {left} UNION ALL FROM {right}", {expected} }}')
    project.graph(text=HEAD.format(more="\n".join(more)))
    summary = project.run()
    assert [said for _, said in summary.errors] == ['look into it with `atk sql "FROM t30"`']
