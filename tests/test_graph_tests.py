"""`atk test`: graphs with tests in them, what becomes of each, and what is said of those that fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.commands import main
from engine.runtime import load
from engine.runtime.testing import Outcome, Runner

HOUSE = Path(__file__).parents[1]
GRAPH = """
param domain: str
param longest: int = 100
param sure: bool = true
model asked from default { temperature = 0.5 }
model paid { base_url = "https://nowhere.invalid/v1", name = "m", api_key = secret("NOBODY_HAS_THIS") }
type Document { path: str, title: str?, text: str }
type Verdict { why: str, ok: bool }
type QA { question: str, answer: str }
type Word { word: str }

source documents -> Document[] { path = "nowhere" }
prompt worthy from documents -> Verdict {
  template = "judge"
  model = paid
  retries = 1
  where length(text) > 3
  check why != "" else "say why"
  keep ok else "not worth it"
  expect count(*) > 100 else "too few for a run"
}
prompt drafted from worthy -> QA[] { template = "write", model = asked, retries = 1 }
prompt checked from drafted -> Verdict {
  template = "check"
  model = asked
  votes = 3
  when = sure
  keep ok
  repair -> QA { template = "repair", model = asked }
}
dedupe distinct_ones from checked { column = question, method = "exact" }
gather turns from distinct_ones { by = documents, columns = [question, answer], min = 2 }
sql short { query = "SELECT documents_id, text FROM documents WHERE length(text) <= $longest ORDER BY text" }
sql put_aside { query = "SELECT why, reason FROM rejected.worthy" }
chat talks from turns { system = "About " || domain, turns = turns }
chat alone from distinct_ones { user = question, assistant = answer }
mix blend from talks, alone { share = { talks: 0.5, alone: 0.5 } }
prompt named from documents -> Word? { template = "name", model = asked, reply = "text" }
python shouted from documents -> { loud: str } { call = "lib.py:shout", each = true }
python counted from documents -> { number: int }[] { call = "lib.py:count" }
emit kept from alone { path = "out/kept.jsonl", format = "messages" }

## A graph of its own, that nothing calls.
graph good(rows: Document[], most: int = 10) -> Verdict[] {
  sql few { query = "FROM rows WHERE length(text) <= $most" }
  prompt judged from few -> Verdict { template = "plain", model = default, keep ok }
  return judged
}
"""
PROMPTS = {
    "judge": "system:\nAbout {{ domain }}.\n{{ schema }}\nuser:\n{{ text }}\n",
    "write": "user:\n{{ text }}\n{{ schema }}\n",
    "check": "user:\n{{ question }} {{ answer }} {{ schema }}\n",
    "repair": "user:\n{{ question }} {{ why }} {{ schema }}\n",
    "name": "user:\n{{ text }}\n",
    "plain": "user:\n{{ text }}\n{{ schema }}\n",
}
FUNCTIONS = """
def shout(row):
    print("heard")
    return {"loud": row["text"].upper()}

def count(rows):
    return [{"number": len(list(rows))}]
"""
OK, NO = '{ why: "w", ok: true }', '{ why: "w", ok: false }'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tests")
    (made / "prompts").mkdir()
    for name, text in PROMPTS.items():
        (made / "prompts" / f"{name}.md").write_text(text)
    (made / "lib.py").write_text(FUNCTIONS)
    return made


def program(folder: Path, tests: str, name: str = "graph") -> Any:
    (folder / f"{name}.atk").write_text(GRAPH + tests)
    found = load(f"{name}.atk", root=folder, complete=False, tests=True)
    wrong = [one for one in found.diagnostics if one.code != "ATK180"]
    assert wrong == []
    return found


def outcomes(folder: Path, tests: str) -> list[Outcome]:
    with Runner(folder) as runner:
        return [runner.run(test) for test in program(folder, tests).tests]


def said(outcome: Outcome) -> list[str]:
    return [failure.message for failure in outcome.failures]


# Each of these passes: the body of a test, by what it shows.
PASSING = {
    "replies answer rows in order, and ids are texts": """
test worthy "x" {
  domain = "clouds"
  given documents = [{ documents_id: "a", text: "first" }, { documents_id: "b", text: "second" }]
  reply = [{ why: "one", ok: true }, { why: "two", ok: false }]
  expect list(documents_id) == ["a"]
  expect why == "one"
  rejected { expect documents_id == "b" and reason == "not worth it" and why == "two" }
  failed { expect count(*) == 0 }
}""",
    "what `where` leaves out asks nobody": f"""
test worthy "x" {{
  domain = "clouds"
  given documents = [{{ text: "no" }}, {{ text: "long enough" }}, {{ text: "" }}]
  reply = [{OK}]
  expect text == "long enough" and documents_id == "2"
}}""",
    "a reply that cannot be read is asked again, and the row fails when tries are spent": f"""
test worthy "x" {{
  domain = "clouds"
  given documents = [{{ text: "first" }}, {{ text: "second" }}, {{ text: "third" }}]
  reply = [("no JSON", {OK}), ("no", "nor this"), ({{ why: "", ok: true }}, {OK})]
  expect list(text) == ["first", "third"]
  failed {{ expect text == "second" and contains(reason, "asked 2 times") }}
}}""",
    "a reply may be cut or refused": """
test worthy "x" {
  domain = "clouds"
  given documents = [{ text: "first" }, { text: "second" }]
  reply = [(cut("{ \\"why"), cut("again")), refused("I would rather not")]
  expect count(*) == 0
  failed { expect contains(list(reason)[1], "cut off") and contains(list(reason)[2], "rather not") }
}""",
    "a list may be empty": """
test drafted "x" {
  given worthy = [{ text: "first" }, { text: "second" }]
  reply = [[], [{ question: "a?", answer: "b" }, { question: "c?", answer: "d" }]]
  expect list(question) == ["a?", "c?"]
  expect text == "second"
}""",
    "votes are asked as long as they decide nothing": f"""
test checked "x" {{
  given drafted = [{{ question: "a?", answer: "b" }}, {{ question: "c?", answer: "d" }}]
  reply = [({OK}, {OK}), ({OK}, {NO}, {OK})]
  expect len(checked_votes) >= 2 and checked_repairs == 0
  expect list(len(checked_votes)) == [2, 3]
}}""",
    "a repair is judged anew": f"""
test checked "x" {{
  given drafted = [{{ question: "a?", answer: "b" }}]
  reply = [({NO}, {NO}, {{ question: "A?", answer: "B" }}, {OK}, {OK})]
  expect question == "A?" and checked_repairs == 1
}}""",
    "a way of several nodes": f"""
test distinct_ones "x" {{
  domain = "clouds"
  given documents = [{{ documents_id: "a", text: "first" }}, {{ documents_id: "b", text: "second" }}]
  reply = {{
    worthy: [{OK}, {OK}],
    drafted: [
      [{{ question: "a?", answer: "1" }}],
      [{{ question: "A?", answer: "2" }}, {{ question: "b?", answer: "3" }}],
    ],
    checked: [({OK}, {OK}), ({OK}, {OK}), ({OK}, {OK})],
  }}
  expect list(answer) == ["1", "3"] and list(documents_id) == ["a", "b"]
  rejected {{ expect answer == "2" }}
}}""",
    "a setting of the test: the judge left out": """
test distinct_ones "x" {
  sure = false
  given drafted = [{ question: "a?" }, { question: "b?" }]
  expect count(*) == 2
}""",
    "groups by an ancestor that is not given": """
test turns "x" {
  given distinct_ones = [
    { documents_id: "a", question: "a?", answer: "1", text: "first" },
    { documents_id: "b", question: "b?", answer: "2", text: "second" },
    { documents_id: "a", question: "c?", answer: "3", text: "first" },
  ]
  expect documents_id == "a" and text == "first" and turns[2].question == "c?"
  rejected { expect documents_id == "b" and reason == "1 of at least 2 rows" }
}""",
    "groups by an ancestor that is given": """
test turns "x" {
  given documents = [{ documents_id: "a", text: "the whole" }]
  given distinct_ones = [
    { documents_id: "a", question: "a?", answer: "1" },
    { documents_id: "a", question: "c?", answer: "3" },
  ]
  expect text == "the whole" and len(turns) == 2
}""",
    "a query with a param": """
test short "x" {
  longest = 5
  given documents = [{ documents_id: "b", text: "short" }, { documents_id: "c", text: "too long" }]
  expect count(*) == 1 and list(documents_id) == ["b"]
}""",
    "a query over what was set aside": f"""
test put_aside "x" {{
  domain = "clouds"
  given documents = [{{ text: "first" }}, {{ text: "second" }}]
  reply = {{ worthy: [{OK}, {NO}] }}
  expect count(*) == 1 and list(reason) == ["not worth it"]
}}""",
    "a conversation": """
test talks "x" {
  domain = "clouds"
  given turns = [{ turns: [{ question: "a?", answer: "b" }] }]
  expect messages[1].content == "About clouds" and len(messages) == 3
}""",
    "a blend of two tables": """
test blend "x" {
  domain = "clouds"
  given turns = [{ turns: [{ question: "a?", answer: "b" }] }]
  given distinct_ones = [{ question: "c?", answer: "d" }]
  expect count(*) == 2 and list_sort(list(origin)) == ["alone", "talks"]
}""",
    "a text as the whole reply, and one declined": """
test named "x" {
  given documents = [{ text: "first" }, { text: "second" }]
  reply = ["cloud", null]
  expect word == "cloud"
  rejected { expect reason == "the model declined" }
}""",
    "functions of the author's": """
test shouted "x" { given documents = [{ text: "loud" }], expect loud == "LOUD" }
test counted "x" { given documents = [{ text: "a" }, { text: "b" }], expect list(number) == [2] }""",
    "a graph that nothing calls": f"""
test good "x" {{
  most = 5
  given rows = [{{ text: "short" }}, {{ text: "much too long" }}]
  reply = [{OK}]
  expect text == "short" and ok
}}
test few "y" {{ given rows = [{{ text: "short" }}], expect count(*) == 1 }}""".replace(
        "test few", "test good"
    ).replace('"y" { given', '"y" { reply = [{ why: "w", ok: true }], given'),
    "files are written elsewhere": """
test kept "x" {
  given alone = [{ messages: [{ role: "user", content: "a" }, { role: "assistant", content: "b" }] }]
  expect count(*) == 1 }""",
    "values are worked out": """
test short "x" { given documents = [{ text: repeat("ab", 50) }], expect length(text) == 100 }""",
}


@pytest.fixture(scope="module")
def ran(folder: Path) -> dict[str, list[Outcome]]:
    """All of `PASSING` as one graph, by what it shows."""
    named = {
        shows: text.replace(' "x" {', f' "{shows}" {{').replace(' "y" {', f' "{shows}: another" {{')
        for shows, text in PASSING.items()
    }
    found = outcomes(folder, "\n".join(named.values()))
    return {shows: [one for one in found if one.test.says.startswith(shows)] for shows in named}


@pytest.mark.parametrize("shows", PASSING)
def test_passes(ran: dict[str, list[Outcome]], shows: str) -> None:
    assert ran[shows]
    for outcome in ran[shows]:
        assert (outcome.status, said(outcome)) == ("passed", []), (outcome.tables, outcome.crashes)


def test_nothing_is_left_behind(ran: dict[str, list[Outcome]], folder: Path) -> None:
    assert ran
    assert not (folder / "out").exists()
    assert not (folder / ".atk").exists()


GIVEN = 'domain = "clouds", given documents = [{ text: "first" }, { text: "second" }]'
FAILING = {
    "a reply too few": (
        f"{GIVEN}, reply = [{OK}], expect ok",
        "error",
        "row 2 of those that ask `worthy` has no reply: there are 1",
    ),
    "a reply too many": (
        f"{GIVEN}, reply = [{OK}, {OK}, {OK}], expect ok",
        "error",
        "3 replies for `worthy`, and 2 rows ask",
    ),
    "asked again without a reply": (
        f'{GIVEN}, reply = ["x", {OK}], expect ok',
        "error",
        "row 1 of `worthy` is asked a second time, and has 1 reply: ",
    ),
    "a second reply that nobody asks for": (
        f"{GIVEN}, reply = [({OK}, {NO}), {OK}], expect ok",
        "error",
        "row 1 of `worthy` is asked once, and has 2 replies",
    ),
    "an aggregate": (
        f"{GIVEN}, reply = [{OK}, {OK}], expect count(*) == 1",
        "failed",
        "expect count(*) == 1",
    ),
    "rows": (
        f'{GIVEN}, reply = [{OK}, {OK}], expect text == "first"',
        "failed",
        'expect text == "first" (1 of 2 rows do not hold)',
    ),
    "words of the author's": (
        f'{GIVEN}, reply = [{OK}, {OK}], expect count(*) == 1 else "one must go"',
        "failed",
        "one must go",
    ),
    "of no row at all nothing holds": (f"{GIVEN}, reply = [{NO}, {NO}], expect ok", "failed", "expect ok"),
}


@pytest.mark.parametrize("shows", FAILING)
def test_fails(folder: Path, shows: str) -> None:
    body, status, message = FAILING[shows]
    (outcome,) = outcomes(folder, f'\ntest worthy "x" {{ {body} }}')
    assert outcome.status == status
    assert said(outcome)[0].startswith(message)
    assert outcome.failures[0].span.line >= GRAPH.count("\n")


def test_a_reply_of_the_judge_in_place_of_a_repair(folder: Path) -> None:
    (outcome,) = outcomes(
        folder,
        f"""
test checked "x" {{
  given drafted = [{{ question: "a?", answer: "b" }}]
  reply = [({NO}, {NO}, {OK})]
  expect ok
}}
""",
    )
    assert outcome.status == "error"
    assert said(outcome)[0].startswith("call 3 for row 1 of `checked` repairs it and gives { question: str")


def test_what_was_seen_is_told(folder: Path) -> None:
    one, other = outcomes(
        folder,
        f"""
test worthy "x" {{ {GIVEN}, reply = [{OK}, {NO}], expect count(*) == 2 and max(text) == "b" }}
test worthy "y" {{ {GIVEN}, reply = [{OK}, {OK}], expect text == "first" and ok }}
""",
    )
    assert one.failures[0].seen == (("count(*)", 1), ("max(text)", "first"))
    assert [row["reason"] for row in one.tables["rejected"]] == ["not worth it"]
    assert other.failures[0].rows == ({"text": "second", "ok": True},)


def test_a_function_that_breaks_is_an_error_or_a_failed_row(folder: Path) -> None:
    (folder / "lib.py").write_text(
        FUNCTIONS.replace('row["text"].upper()', "1 / 0").replace("len(", "1 / 0 * len(")
    )
    try:
        row, table = outcomes(
            folder,
            """
test shouted "x" {
  given documents = [{ text: "a" }]
  failed { expect contains(reason, "division") }
}
test counted "x" { given documents = [{ text: "a" }], expect count(*) == 0 }
""",
        )
    finally:
        (folder / "lib.py").write_text(FUNCTIONS)
    assert row.status == "passed", said(row)
    assert table.status == "error"
    assert "division" in said(table)[0]


# -- the command ------------------------------------------------------------------------------


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    for path in folder.glob("*.atk"):
        path.unlink()
    return folder


GOOD = f'test worthy "keeps" {{ {GIVEN}, reply = [{OK}, {OK}], expect count(*) == 2 }}\n'
BAD = f'test worthy "drops" {{ {GIVEN}, reply = [{OK}, {NO}], expect count(*) == 2 }}\n'


def test_command_passes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "good.atk").write_text(GRAPH + GOOD)
    (here / "plain.atk").write_text(GRAPH)
    assert main(["test"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("good.atk\n  ok    worthy: keeps\n1 test passed (")
    assert main(["test", "plain.atk"]) == 0
    assert capsys.readouterr().out == "plain.atk: no tests\n"


def test_command_fails(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "graph.atk").write_text(GRAPH + GOOD + BAD)
    line = (GRAPH + GOOD).count("\n") + 1
    assert main(["test", "graph.atk"]) == 1
    out = capsys.readouterr().out
    assert "  FAIL  worthy: drops\n" in out
    assert f"graph.atk:{line}:" in out
    assert "expect count(*) == 2\n          count(*) is 1\n" in out
    assert "rejected.worthy (1 row)" in out
    assert "not worth it" in out
    assert "1 test passed, 1 failed" in out
    assert main(["test", "-k", "KEEPS"]) == 0
    assert main(["test", "-k", "nothing like it"]) == 2
    assert "no test holds `nothing like it`" in capsys.readouterr().err


def test_command_with_a_wrong_graph(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.atk").write_text(GRAPH + GOOD.replace("text:", "txt:"))
    (here / "good.atk").write_text(GRAPH + GOOD)
    assert main(["test", "."]) == 2
    told = capsys.readouterr()
    assert "error[ATK204]: `documents` has no column `txt`" in told.err
    assert "bad.atk: 2 errors" in told.err
    assert "ok    worthy: keeps" in told.out
    assert main(["test", "nowhere.atk"]) == 2


def test_command_as_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "graph.atk").write_text(
        GRAPH + BAD + 'test shouted "x" { given documents = [{ text: "a" }], expect loud == "A" }'
    )
    assert main(["test", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)  # what the function prints is not in it
    bad, loud = found["tests"]
    assert (bad["status"], loud["status"]) == ("failed", "passed")
    assert bad["failures"][0]["seen"] == {"count(*)": 1}
    assert bad["tables"]["rejected"][0]["reason"] == "not worth it"


def test_check_looks_at_tests_and_a_run_does_not(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        GRAPH + 'test worthy "x" { domain = "x", given documents = [], reply = [], expect nobody }'
    ).replace('secret("NOBODY_HAS_THIS")', "null")
    (here / "graph.atk").write_text(text)
    assert main(["check", "graph.atk", "-p", "domain=x"]) == 2
    assert "no column named `nobody`" in capsys.readouterr().err
    assert load("graph.atk", root=here, values={"domain": "x"}).ok


def test_a_table_given_without_rows_has_its_columns(here: Path) -> None:
    (here / "graph.atk").write_text(
        GRAPH
        + 'sql marked { query = "SELECT why FROM documents LEFT JOIN worthy USING (documents_id)" }\n'
        + 'test marked "x" { given documents = [{ text: "abc" }], given worthy = [], expect count(*) == 1 }'
    )
    found = load("graph.atk", root=here, values={"domain": "x"}, tests=True)
    with Runner(here) as runner:
        outcome = runner.run(found.tests[0])
    assert (outcome.status, outcome.failures) == ("passed", ())


def test_two_nodes_below_a_given_table_show_its_columns(here: Path) -> None:
    (here / "graph.atk").write_text(
        GRAPH
        + """test checked "x" {
          given worthy = [{ path: "a", text: "abc", why: "w", ok: true }]
          reply = {
            "drafted": [[{ question: "Q?", answer: "A." }]],
            "checked": [({ why: "w", ok: true }, { why: "w", ok: true })],
          }
          expect path == "a" and question == "Q?"
        }"""
    )
    found = load("graph.atk", root=here, values={"domain": "x"}, tests=True)
    with Runner(here) as runner:
        outcome = runner.run(found.tests[0])
    assert (outcome.status, outcome.failures) == ("passed", ())


def test_ids_are_called_as_the_tested_graph_calls_its_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text = """
type Text { text: str }
graph g(rows: Text[]) -> Text[] {
  sql long { query = "SELECT rows_id, text FROM rows" }
  sql last { query = "SELECT long_id, rows_id, text FROM long" }
  return last
}
test g "from its slot" {
  given rows = [{ rows_id: "r1", text: "a" }]
  expect list(rows_id) == ["r1"]
  expect long_id != ""
}
test g "from a table within" {
  given long = [{ long_id: "l1", rows_id: "r1", text: "a" }]
  expect long_id == "l1" and rows_id == "r1"
}
"""
    (tmp_path / "graph.atk").write_text(text)
    assert main(["test", "graph.atk"]) == 0
    (tmp_path / "graph.atk").write_text(text.replace("{ long_id:", "{ g_long_id:"))
    assert main(["test", "graph.atk"]) == 2
    assert "did you mean `long_id`?" in capsys.readouterr().err


def test_tests_see_no_option(here: Path) -> None:
    """What the command line sets for a run has no part in the file's tests."""
    (here / "graph.atk").write_text(
        GRAPH + 'test short "x" { given documents = [{ text: "abc" }], expect count(*) == 1 }'
    )
    found = load("graph.atk", root=here, values={"domain": "x", "longest": "1"}, tests=True)
    with Runner(here) as runner:
        assert runner.run(found.tests[0]).status == "passed"


@pytest.mark.parametrize("path", sorted((HOUSE / "graphs").rglob("*.atk")), ids=lambda path: path.stem)
def test_shipped_graphs_pass_their_tests(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATK_BASE_URL", "http://nowhere.invalid/v1")  # half an endpoint troubles no test
    found = load(str(path), root=HOUSE, complete=False, tests=True)
    assert len(found.tests) >= 1, "a shipped graph shows how it is tested"
    with Runner(HOUSE) as runner:
        ended = [runner.run(test) for test in found.tests]
    assert [(one.test.says, said(one)) for one in ended if one.status != "passed"] == []
