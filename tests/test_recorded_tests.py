"""`atk test --record`: tests made of what a run left, and texts of all sorts written into a graph."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.commands import main
from engine.language import tree as ast
from engine.language.formatting import format_text
from engine.language.lexing import normalized
from engine.language.syntax import parse
from engine.language.writing import Unwritable, written
from engine.runtime import load
from engine.runtime.recording import joined
from engine.runtime.testing import Runner
from tests.amount import amount
from tests.endpoint import endpoint
from tests.project import Project

# -- values as text ------------------------------------------------------------------------------


def read_back(value: Any, before: str = "") -> Any:
    """A value after it was written into a test, laid out, added to a file and read."""
    test = format_text(f'test a "b" {{\n  given a = [\n    {written({"value": value}, 4)},\n  ]\n}}\n')
    assert format_text(test) == test
    source = parse(normalized(joined(before, test)), "graph.atk")
    assert not source.errors, source.errors
    (given_,) = source.statements[-1].block.clauses  # type: ignore[union-attr]
    return constant(given_.value)[0]["value"]


def constant(node: Any) -> Any:
    match node:
        case ast.Object(pairs=pairs):
            return {word.text: constant(inner) for word, inner in pairs}
        case ast.Sequence(items=items):
            return [constant(inner) for inner in items]
        case ast.Unary(operator="-", of=inner):
            return -constant(inner)
    return node.value


TEXTS = [
    "", " ", "\\", '"', '"""', 'ends with "', "\\n", "\\u0041", "a\nb", "\n", "\n\n", "a\r\nb\r", "\0",
    "tab\there", "# no comment", "{{ x }}", "`", "\ufeff", "\u2028", "\u202e", "\U000e0001", "\x85", "\x1c",
    "first line of a text that is long enough\n  indented\n\nlast line of a text that is long enough",
    "  all lines are indented here, and so is the next\n  one, which is of no less length than that",
    "a long text whose lines end in spaces,   \nas this one does, though nobody would see it   \nend",
    "a long text with three quotes in it \"\"\" and\nlines of which the second is as long as the first",
    "a long text with a backslash \\ and \\n in it\nand a \"quote\" in a line of its own, and one \"",
    "\nbegins with a blank line, and is otherwise long enough to be written\nas several lines",
    "ends with a blank line, and is otherwise long enough to be written\nas several lines\n",
    "\ttabs come first in this line of a long text\nand here not, but it is long enough\n\t\tand here two",
    "a hard\u00a0space and an \u00e9, in a text that is long enough\n\u00a0\nto be of several lines",
    "line one of a text that is long enough for three quotes\rline two\nline three",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("before", ["", "# comment", "param a: str\r\n"])
def test_text_reads_back(text: str, before: str) -> None:
    assert read_back(text, before) == text


@given(st.text())
@example("\ud7ff")
def test_any_text_reads_back(text: str) -> None:
    assert read_back(text) == text


LINES = st.lists(st.text(alphabet=' \t"\\ab#{}\u00a0\r', max_size=40), min_size=2, max_size=8)


@given(LINES.map("\n".join))
@settings(max_examples=amount(300, 60))
def test_any_lines_read_back(text: str) -> None:
    padded = text + "x" * 60
    assert read_back(padded) == padded
    assert read_back(text) == text


SCALARS = st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.text(max_size=80)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@example({"where": 1, "graph": -0.5, "a b": [], "`": {}, "": [[None]]})
def test_any_value_reads_back(value: Any) -> None:
    assert read_back(value) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**63, b"bytes", {1: 2}, "\ud800"])
def test_what_has_no_written_form(value: Any) -> None:
    with pytest.raises(Unwritable):
        written(value)


# -- a run, and tests of it ------------------------------------------------------------------------

GRAPH = """
param domain: str
param least: int = 1
model asked from default { temperature = 0.5 }
type Document { path: str, title: str?, text: str }
type Verdict { why: str, ok: bool }
type QA { question: str, answer: str }
type Word { word: str }

source documents -> Document[] { path = "inputs" }
prompt worthy from documents -> Verdict {
  template = "judge", model = asked, retries = 1
  keep ok else "not \\"worth\\" it"
}
prompt drafted from worthy -> QA[] { template = "write", model = asked, retries = 1 }
prompt checked from drafted -> Verdict {
  template = "check", model = asked, votes = 3
  keep ok
  repair -> QA { template = "repair", model = asked }
}
dedupe distinct_ones from checked { column = answer, method = "exact" }
gather turns from distinct_ones { by = documents, columns = [question, answer], min = 2 }
chat talks from distinct_ones { user = question, assistant = answer }
prompt named from documents -> Word? { template = "name", model = asked, reply = "text" }
sql short { query = '''
  SELECT documents_id, length(d.text) AS size, count(*) AS many
  FROM documents d JOIN drafted USING (documents_id) GROUP BY ALL HAVING count(*) >= $least
''' }
sql put_aside { query = "SELECT reason FROM rejected.worthy" }
python counted from documents -> { number: int }[] { call = "lib.py:count" }
graph inner(rows: QA[]) -> QA[] {
  sql first_ones { query = "FROM rows" }
  sql rest { query = "FROM first_ones" }
  return rest
}
inner called from drafted
""".replace("'''", '"""')  # fmt: skip
PROMPTS = {
    "judge": "system:\nJudge about {{ domain }}.\nuser:\n{{ text }}\n",
    "write": "user:\nWrite on {{ text }}\n",
    "check": "user:\nCheck {{ question }} {{ answer }}\n",
    "repair": "user:\nRepair {{ question }} {{ why }}\n",
    "name": "user:\nName {{ text }}\n",
}
DOCUMENTS = {
    "a.txt": 'Clouds. "A" \\ cumulus forms\n  when warm air rises;\n\nit has a flat base. \u00e9\u2028end',
    "b.txt": "Rain falls when droplets in a cloud grow heavy, that nothing holds them.\nThat is all.",
    "c.txt": "Wind is a list of headings",
    "d.txt": "Snow cannot be judged",
    "e.txt": "Hail is refused",
}
GOOD = {"why": "facts", "ok": True}
BAD = {"why": "no facts", "ok": False}


def pairs(*questions: str) -> dict[str, Any]:
    return {"items": [{"question": one, "answer": f"{one} yes"} for one in questions]}


RULES = [
    {"contains": "Judge.*Clouds", "reply": "no JSON at all", "times": 1},
    {"contains": "Judge.*Wind", "reply": BAD},
    {"contains": "Judge.*Snow", "reply": '{"why": "it', "finish": "length"},
    {"contains": "Judge.*Hail", "reply": "I would rather not", "finish": "content_filter"},
    {"contains": "Judge", "reply": GOOD},
    {"contains": "Write.*Clouds", "reply": pairs("What rises?", "What is flat")},
    {"contains": "Write.*Rain", "reply": pairs("What falls?", "What rises?")},
    {"contains": "Check What falls", "reply": BAD},
    {"contains": "Check What is flat", "reply": BAD, "times": 1},
    {"contains": "Check", "reply": GOOD},
    {"contains": "Repair What falls", "reply": {"question": "What grows?", "answer": "Droplets."}},
    {"contains": "Name Wind", "reply": "null"},
    {"contains": "Name", "reply": "weather"},
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose graph has run once; nobody answers any more."""
    with pytest.MonkeyPatch.context() as patch, endpoint() as server:
        made = Project(tmp_path_factory.mktemp("recorded"), patch, server.base_url)
        for path in (made.root / "inputs").iterdir():
            path.unlink()
        for name, text in DOCUMENTS.items():
            made.write(f"inputs/{name}", text)
        for name, text in PROMPTS.items():
            made.write(f"prompts/{name}.md", text)
        made.write("lib.py", "def count(rows):\n    return [{'number': len(list(rows))}]\n")
        made.graph(text=GRAPH)
        server.config(rules=RULES)
        patch.chdir(made.root)
        patch.setenv("COLUMNS", "200")
        main(["exec", "graph.atk", "-p", 'domain=the "weather"', "-p", "least=2"])
        server.config(rules=[{"contains": "", "status": 500}])
        yield made


def recorded(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["test", "--record", *words, "--stdout"]) == 0, capsys.readouterr().err
    told = capsys.readouterr()
    assert "and it passes" in told.err
    return told.out


# What stands in the test of a node, and what does not.
RECORDED = {
    "worthy": (
        ['domain = "the \\"weather\\""', "documents_id: ", 'reason) == ["not \\"worth\\" it"]', "rejected {"],
        ["path:", "title:", "least"],
    ),
    "worthy --rows 5": (
        [
            '("no JSON at all", { why: "facts", ok: true })',
            '(cut("{\\"why\\": \\"it"), cut("{\\"why\\": \\"it"))',
            'refused("I would rather not")',
            '{ why: "no facts", ok: false }',
            "Rain falls when droplets",
            "failed {",
            "expect count(*) == 2",
        ],
        [],
    ),
    "worthy --rows 1": (["expect count(*) == 1"], ["rejected", "failed"]),
    "drafted": (
        ['{ question: "What rises?", answer: "What rises? yes" }', "list(drafted_index)"],
        ["domain"],
    ),
    "checked --rows 4": (
        ['question: "What grows?"', "list(checked_repairs)", '{ why: "no facts", ok: false },\n'],
        ["text:", "path:"],
    ),
    "distinct_ones": (["rejected {", "answer: "], ["question:", "reply", "text:"]),
    "turns": (["documents_id: ", "list(len(turns))"], ["checked_id", "reply"]),
    "talks --rows 2": (["question: ", "list(len(messages)) == [2, 2]"], ["text:"]),
    "named": (['"weather"', '"null"', "declined"], ["domain"]),
    "short": (["given documents", "given drafted", "least = 2", "list(many)"], ["question:", "path:"]),
    "counted": (["expect list(number) == [3]", "path: "], ["reply"]),
}


@pytest.mark.parametrize("words", RECORDED)
def test_recorded(project: Project, capsys: pytest.CaptureFixture[str], words: str) -> None:
    text = recorded(capsys, *words.split(), "graph.atk")
    there, missing = RECORDED[words]
    assert [one for one in there if one not in text] == [], text
    assert [one for one in missing if one in text] == [], text
    project.write("other.atk", joined(GRAPH, text))
    found = load("other.atk", root=project.root, complete=False, tests=True)
    with Runner(project.root) as runner:
        (outcome,) = [runner.run(test) for test in found.tests]
    assert outcome.status == "passed", outcome.failures


@pytest.mark.parametrize("words", ["worthy", "worthy --rows 1", "distinct_ones"])
def test_always_the_same_rows(project: Project, capsys: pytest.CaptureFixture[str], words: str) -> None:
    assert recorded(capsys, *words.split()) == recorded(capsys, *words.split())


def test_recorded_test_can_fail(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """What was recorded breaks when the graph changes what comes out."""
    text = recorded(capsys, "worthy")
    project.write("other.atk", joined(GRAPH.replace("keep ok else", "keep not ok else"), text))
    found = load("other.atk", root=project.root, complete=False, tests=True)
    with Runner(project.root) as runner:
        assert runner.run(found.tests[0]).status == "failed"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_written_at_the_end_and_nothing_else_touched(
    project: Project, capsys: pytest.CaptureFixture[str], ending: str
) -> None:
    before = GRAPH.replace("\n", ending).rstrip() + "   # the end"
    path = project.root / "graph.atk"
    path.write_bytes(before.encode())
    try:
        assert main(["test", "--record", "worthy", "--rows", "5", "--says", 'a "b"']) == 0
        assert main(["test", "--record", "named", "--rows", "1"]) == 0
        assert main(["test", "--record", "named", "--rows", "1"]) == 0
        told = capsys.readouterr()
        after = path.read_bytes().decode()
    finally:
        project.graph(text=GRAPH)
    assert 'recorded `named` "as in run 1" at the end of graph.atk: 1 row of documents' in told.out
    assert after.startswith(before + ending * 2)
    assert ("\r\n" in after) == (ending == "\r\n")
    assert after.count("\r") == (after.count("\n") if ending == "\r\n" else 0)
    path.write_bytes(after.encode())
    try:
        assert main(["test", "graph.atk"]) == 0
    finally:
        project.graph(text=GRAPH)
    out = capsys.readouterr().out
    assert 'ok    worthy: a "b"\n  ok    named: as in run 1\n  ok    named: as in run 1 (2)\n' in out


REFUSED = {
    "nope": "graph has no node `nope`",
    "drfted": "did you mean drafted?",
    "documents": "`documents` reads from outside",
    "called.first_ones": "`called.first_ones` is made inside a graph that is called here",
    "put_aside": "`put_aside` reads rejected.worthy, and a test gives good rows only",
    "worthy other.atk more.atk": "a test is recorded in one graph",
    "worthy -k a": "--record goes with neither -k nor --json",
    "worthy --store none.duckdb": "there is no store at none.duckdb",
    "worthy unrun.atk": "unrun has not been run with .atk/store.duckdb",
    "worthy nowhere.atk": "no graph nowhere.atk",
}


@pytest.mark.parametrize("words", REFUSED)
def test_refused(project: Project, capsys: pytest.CaptureFixture[str], words: str) -> None:
    project.write("unrun.atk", GRAPH)
    assert main(["test", "--record", *words.split()]) == 2
    told = capsys.readouterr()
    assert REFUSED[words] in told.err
    assert told.out == ""
    assert (project.root / "graph.atk").read_text() == GRAPH


CHANGED = {
    "a node that is new": (
        ("source documents", 'sql new { query = "FROM documents" }\nsource documents'),
        "new",
        "`new` has not been run yet",
    ),
    "a prompt that asks something else": (
        ("temperature = 0.5", "temperature = 0.6"),
        "worthy",
        "the store has no reply to what `worthy` asks now",
    ),
    "a graph that is wrong": (("keep ok else", "keep okay else"), "worthy", "no column named `okay`"),
}


@pytest.mark.parametrize("shows", CHANGED)
def test_changed_since(project: Project, capsys: pytest.CaptureFixture[str], shows: str) -> None:
    (old, new), node, message = CHANGED[shows]
    project.graph(text=GRAPH.replace(old, new))
    try:
        assert main(["test", "--record", node]) == 2
        assert (project.root / "graph.atk").read_text() == GRAPH.replace(old, new)
    finally:
        project.graph(text=GRAPH)
    assert message in capsys.readouterr().err


def test_fewer_rows_than_asked(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", "--record", "worthy", "--rows", "50", "--stdout"]) == 0
    assert "note: 50 rows were asked for, and there are no more than 5" in capsys.readouterr().err


def test_says_what_another_says(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.graph(text=joined(GRAPH, recorded(capsys, "worthy")))
    try:
        assert main(["test", "--record", "worthy", "--says", "as in run 1"]) == 2
    finally:
        project.graph(text=GRAPH)
    assert '`worthy` has a test "as in run 1" already' in capsys.readouterr().err


def test_file_that_may_not_be_written(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(project.root / "graph.atk")
    path.chmod(0o444)
    try:
        assert main(["test", "--record", "worthy"]) == 2
    finally:
        path.chmod(0o644)
    assert "graph.atk is read-only" in capsys.readouterr().err
    assert path.read_text() == GRAPH
