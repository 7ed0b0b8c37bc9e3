"""Graphs and prompts that a confused or a malicious hand may write: each gets its message, and soon."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from engine.commands import main

HEAD = 'type Doc { path: str, text: str }\nsource docs -> Doc[] { path = "docs" }\n'
PATIENCE = 10.0  # seconds; most take a hundredth


def asking(prompt: str, more: str = "") -> str:
    return f'{HEAD}prompt p from docs -> {{ ok: bool }} {{ template = "{prompt}"{more} }}\n'


def query(sql: str) -> str:
    return f'{HEAD}sql s from docs {{ query = "{sql}" }}\n'


MANY = "\n".join(f'sql n{number} from docs {{ query = "SELECT * FROM docs" }}' for number in range(10_000))

GRAPHS = {
    "a brace too few": (HEAD + "prompt p from docs -> { a: str {", "`{` is unexpected here"),
    "braces too many": (HEAD + "}}}}", "`}` closes nothing"),
    "a string not closed": (HEAD + 'param s: str = "never', "this string is not closed"),
    "imports itself": ('use "graph.atk" as me\n' + HEAD, "`graph.atk` is this file itself"),
    "a graph calls itself": (
        HEAD + "graph g(rows: Doc[]) -> Doc[] { g x from rows\n return x }\ng y from docs\n",
        "`g` calls itself",
    ),
    "nodes in a circle": (
        'sql a from b { query = "FROM b" }\nsql b from a { query = "FROM a" }',
        "a cycle: a -> b -> a",
    ),
    "ten thousand nodes": (HEAD + MANY, "the graph comes to more than 1,000 nodes"),
    "a number of 5,000 digits": (HEAD + f"param n: int = {'9' * 5_000}", "this number is too long"),
    "brackets 3,000 deep": (HEAD + f"param l: int[] = {'[' * 3_000}{']' * 3_000}", "nested too deeply"),
    "types 2,000 deep": (HEAD + f"type T {'{ a: ' * 2_000}str{' }' * 2_000}", "nested too deeply"),
    "not 3,000 times": (asking("good", f", keep {'not ' * 3_000}ok"), "nested too deeply"),
    "a Cyrillic o": (HEAD.replace("source", "s\u043eurce"), "no kind named"),
    "a fullwidth p": (HEAD + "prompt \uff50 from docs -> { a: str } {}", "means nothing here"),
    "two statements": (query("SELECT * FROM docs; DROP TABLE docs"), "a query is one SELECT"),
    "ATTACH": (query("ATTACH 'x.db' AS x"), "a query is one SELECT"),
    "COPY": (query("COPY docs TO 'stolen.csv'"), "a query is one SELECT"),
    "INSTALL": (query("INSTALL httpfs"), "a query is one SELECT"),
    "PRAGMA": (query("PRAGMA database_list"), "a query is one SELECT"),
    "read_csv": (query("SELECT * FROM read_csv('/etc/passwd')"), "not files"),
    "read_text": (query("SELECT content FROM read_text('/etc/passwd')"), "not files"),
    "glob": (query("SELECT * FROM glob('/etc/*')"), "not files"),
    "a file as a table": (query("SELECT * FROM '/etc/passwd'"), "no table named `/etc/passwd`"),
    "getenv": (query("SELECT getenv('HOME') AS home FROM docs"), "no function named `getenv`"),
}

PROMPTS = {
    "includes the machine's files": ("{% include '../../../etc/passwd' %}", "to include"),
    "imports the machine's files": ("{% import '/etc/passwd' as p %}{{ p }}", "to include"),
    "reaches for globals": ("{{ cycler.__init__.__globals__ }}", "no column, `let` or param"),
    "makes words without end": ("{{ lipsum(n=100000000) }}", "no column, `let` or param"),
    "is never closed": ("{% for x in text %}", "Unexpected end of template"),
    "asks 500 times": ("{% if 1 %}" * 500 + "{% endif %}" * 500, "nested too deeply"),
    "is 2,000 deep": ("{{ " + "(" * 2_000 + "1" + ")" * 2_000 + " }}", "nested too deeply"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("Air rises.")
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "good.md").write_text("system:\n{{ schema }}\n\nuser:\n{{ text }}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("verb", ["check", "plan"])
@pytest.mark.parametrize("name", GRAPHS)
def test_graph(folder: Path, capsys: pytest.CaptureFixture[str], name: str, verb: str) -> None:
    text, message = GRAPHS[name]
    (folder / "graph.atk").write_text(text)
    assert message in said(capsys, verb)
    assert not (folder / "stolen.csv").exists()


@pytest.mark.parametrize("name", PROMPTS)
def test_prompt(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    text, message = PROMPTS[name]
    (folder / "prompts" / "bad.md").write_text(f"user:\n{text}\n")
    (folder / "graph.atk").write_text(asking("bad"))
    assert message in said(capsys, "check")


@pytest.mark.parametrize(
    "text", ["{{ 'x' * 10 ** 10 }}", "{{ 10 ** (10 ** 9) }}", "{{ 'x'.center(10 ** 11) }}"]
)
def test_check_does_not_work_out_what_is_enormous(folder: Path, text: str) -> None:
    (folder / "prompts" / "bad.md").write_text(f"user:\n{text} {{{{ text }}}}\n")
    (folder / "graph.atk").write_text(asking("bad"))
    begun = time.monotonic()
    assert main(["check", "graph.atk"]) == 0
    assert time.monotonic() - begun < PATIENCE


def said(capsys: pytest.CaptureFixture[str], verb: str) -> str:
    """What a verb has against the graph: with a place, without a traceback, and soon."""
    begun = time.monotonic()
    assert main([verb, "graph.atk"]) == 2
    assert time.monotonic() - begun < PATIENCE
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    assert "fault of atk's own" not in errors
    assert re.search(r"^error\[ATK\d{3}\]", errors, re.M)
    assert re.search(r"^ *--> (graph\.atk|prompts/bad\.md):\d+:\d+$", errors, re.M)
    return errors
