"""`atk report`: what came of an exam, as a table, as a page and in a model's card."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from engine.commands import main
from engine.commands.result.figures import Mark, lines, mcnemar, wilson
from engine.models.folders import digest
from tests.project import Project
from tests.test_commands_page import browse, elements
from tests.test_train import Training

EVIL = "</details><script>document.title='broken'</script><img src=x onerror=alert(1)>"
MARKS = (
    "{ subject: str, questions_id: str, question: str, answer: str, reply: str, why: str, verdict: str,"
    " invented: bool, asked: bool? }[]"
)
SUBJECTS = ("after_sft", "base", EVIL)  # the base is first in the report, wherever it is in the table
KNOWN = {"after_sft": 9, "base": 2, EVIL: 0}
"""Of twelve facts, the first so many are known; of the two things that do not exist, base makes both up."""


def exam() -> list[dict[str, object]]:
    found = []
    for number in range(14):
        for subject in SUBJECTS:
            invented = number >= 12
            right = subject != "base" if invented else number < KNOWN[subject]
            wrong = "not_attempted" if number == 11 else "incorrect"
            found.append(
                {
                    "subject": subject,
                    "questions_id": f"q{number}",
                    "question": "What is it?" if number < 2 else f"What is number {number}? {EVIL}",
                    "answer": f"It is {number}.",
                    "reply": "" if wrong == "not_attempted" and not right else f"I say {number}.",
                    "why": "the words",
                    "verdict": "correct" if right else wrong,
                    "invented": invented,
                    "asked": None if invented else number % 2 == 0,
                }
            )
    return found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return made


def sat(project: Project, rows: list[dict[str, object]], type_: str = MARKS, name: str = "marks") -> None:
    project.write("marks.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    project.graph(text=f'source {name} -> {type_} {{ path = "marks.jsonl" }}\n')
    assert project.run().status == "done"


# -- figures ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 5, 0.0, 0.4345), (5, 5, 0.5655, 1.0), (50, 100, 0.4038, 0.5962)],
)
def test_intervals(count: int, n: int, low: float, high: float) -> None:
    assert [round(one, 4) for one in wilson(count, n)] == [low, high]


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(5, 0, 0.0625), (0, 5, 0.0625), (0, 0, 1.0), (3, 3, 1.0), (10, 2, 0.0386), (900, 100, 0.0)],
)
def test_what_only_one_of_two_knew(gained: int, lost: int, p: float) -> None:
    assert round(mcnemar(gained, lost), 4) == p


def test_subjects_are_compared_on_the_questions_that_both_were_asked() -> None:
    marks = [Mark("base", n, "q", "incorrect") for n in range(4)] + [Mark("base", 9, "q", "correct")]
    marks += [Mark("tuned", n, "q", "correct") for n in (0, 1, 2, 3, 20, 21)]
    base, tuned = lines(marks, "base")
    assert (base.n, base.p, base.difference) == (5, None, None)
    assert (tuned.n, tuned.gained, tuned.lost, tuned.difference, tuned.p) == (6, 4, 0, 1.0, 0.125)


# -- the table ------------------------------------------------------------------------------


def test_the_table(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    sat(project, [row for row in exam() if row["subject"] != EVIL])
    capsys.readouterr()
    assert main(["report"]) == 0
    shown = [re.split(r"  +", line.strip()) for line in capsys.readouterr().out.splitlines()]
    assert shown[0] == "part|subject|n|correct|incorrect|no answer|share|95 %|to base|p".split("|")
    assert shown[1:9] == [
        ["all facts", "base", "12", "2", "9", "1", "16.7 %", "4.7 to 44.8"],
        ["all facts", "after_sft", "12", "9", "2", "1", "75.0 %", "46.8 to 91.1", "+58.3", "0.0156"],
        ["asked", "base", "6", "1", "5", "0", "16.7 %", "3.0 to 56.4"],
        ["asked", "after_sft", "6", "5", "1", "0", "83.3 %", "43.6 to 97.0", "+66.7", "0.1250"],
        ["unasked", "base", "6", "1", "4", "1", "16.7 %", "3.0 to 56.4"],
        ["unasked", "after_sft", "6", "4", "1", "1", "66.7 %", "30.0 to 90.3", "+50.0", "0.2500"],
        ["invented", "base", "2", "0", "2", "0", "100.0 %", "34.2 to 100.0"],
        ["invented", "after_sft", "2", "2", "0", "0", "0.0 %", "0.0 to 65.8", "-100.0", "0.5000"],
    ]


def test_only_what_is_there_is_told(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Three columns are enough; a question that is asked twice is two."""
    rows = [
        {"subject": subject, "question": "Who?", "verdict": verdict}
        for subject, verdict in [("a", "correct"), ("a", "incorrect"), ("b", "correct"), ("b", "correct")]
    ]
    sat(project, rows, "{ subject: str, question: str, verdict: str }[]", "graded")
    capsys.readouterr()
    assert main(["report", "graded", "--against", "b", "--html", "pages/exam.html"]) == 0
    told = capsys.readouterr()
    assert [line.split()[2] for line in told.out.splitlines()[1:3]] == ["b", "a"]
    assert "-50.0  1.0000" in told.out
    assert "which facts the training asked about is not known" in told.out
    assert told.err == "wrote pages/exam.html\n"
    elements(Path("pages/exam.html").read_text())


def test_an_exam_that_a_graph_uses(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """Its table is called `exam.marks`; two questions of one wording are told apart by their ids."""
    sat(project, [row for row in exam() if row["subject"] != EVIL])
    project.write("outer.atk", 'use "graph.atk" as exam {}\nsql kept { query = "FROM exam.marks" }\n')
    assert project.run("outer").status == "done"
    capsys.readouterr()
    assert main(["report", "--json"]) == 0
    used = json.loads(capsys.readouterr().out)
    assert main(["report", "--json", "--graph", "graph"]) == 0
    assert json.loads(capsys.readouterr().out) == used
    assert (used[0]["part"], used[0]["n"]) == ("all facts", 12)


def test_who_gave_no_reply_is_told(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        row | ({"reply": " ", "verdict": "not_attempted"} if row["subject"] == "base" else {})
        for row in exam()
    ]
    sat(project, rows)
    capsys.readouterr()
    assert main(["report"]) == 0
    told = "  without a reply, and counted as no answer: base 14, after_sft 1"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said", "help"),
    [
        (
            ["documents"],
            "`documents` is no result of an exam: it has no column `subject` and no `question`",
            "`verdict`",
        ),
        (["nothing"], "graph graph has no node nothing", "its nodes"),
        ([], "graph graph has no table `marks`", "atk report TABLE"),
        (
            ["drafted"],
            "`drafted` is no result of an exam: it has no column `subject` and no `verdict`",
            "`asked`",
        ),
        (["--card", "inputs"], "inputs has no card", "out/models/NAME/latest/model"),
    ],
)
def test_what_is_no_result(
    arguments: list[str], said: str, help: str, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.run()
    assert main(["report", *arguments]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"error: {said}")
    assert help in told.err
    assert told.out == ""


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        ({"verdict": "good"}, [], "error: `marks` has the verdict 'good'\nhelp: it must be one of correct, "),
        ({}, ["--against", "x"], "error: nobody is called x in `marks`\nhelp: its subjects: after_sft"),
        (None, [], "error: `marks` has no rows: nobody has sat this exam"),
    ],
)
def test_results_that_cannot_be_told(
    change: dict[str, str] | None,
    arguments: list[str],
    said: str,
    project: Project,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sat(project, [] if change is None else [exam()[0] | change])
    capsys.readouterr()
    assert main(["report", *arguments, "--html", "exam.html"]) == 2
    assert capsys.readouterr().err.startswith(said)
    assert not Path("exam.html").exists()


# -- the page -------------------------------------------------------------------------------


def test_the_page_stands_alone_and_nothing_breaks_out(project: Project) -> None:
    sat(project, exam())
    assert main(["report", "--html", "exam.html"]) == 0
    text = Path("exam.html").read_text()
    found = elements(text)
    tags = [tag for tag, _ in found]
    assert not {"script", "img", "link", "iframe", "object"} & {*tags}
    assert not any(name in ("src", "href") or name.startswith("on") for _, given in found for name in given)
    assert "url(" not in text
    assert EVIL not in text
    assert "&lt;script&gt;" in text
    assert tags.count("svg") == 4
    assert tags.count("circle") == 4 * 3
    for shown in ("(nothing)", "I say 12.", "It is 13.", "<h2 id=costs>Costs</h2>\n<p>No call was made.</p>"):
        assert shown in text


def test_the_page_names_models_that_the_graph_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Training(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    made.base()
    made.pretender()
    made.write("marks.jsonl", "".join(json.dumps(row) + "\n" for row in exam()))
    made.graph_of(more=f'source marks -> {MARKS} {{ path = "marks.jsonl" }}')
    assert made.run().status == "done"
    card = tmp_path / "out/models/knows/latest/model"
    assert main(["report", "--html", "exam.html", "--card", str(card)]) == 0
    models = Path("exam.html").read_text().partition("<h2 id=models>")[2]
    assert "<td>knows</td><td>cpt</td><td>out/models/knows/" in models
    assert "&lt;/details&gt;" in (card / "README.md").read_text()


@pytest.mark.slow
def test_a_browser_shows_the_page(project: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    sat(project, exam())
    assert main(["report", "--html", "exam.html"]) == 0
    folder = tmp_path_factory.mktemp("browser")
    url = (project.root / "exam.html").as_uri()
    dom = browse(folder, url, "--dump-dom")
    assert "<title>graph: marks · atk</title>" in dom
    assert dom.count("<details") == 3
    browse(folder, url, f"--screenshot={folder / 'page.png'}")
    assert (folder / "page.png").stat().st_size > 20_000


# -- the card ---------------------------------------------------------------------------------


def test_a_result_stands_in_the_card_once(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    sat(project, [row for row in exam() if row["subject"] != EVIL])
    card = project.write("model/README.md", "# student\n\nLicense: unknown.\n")
    project.write("model/config.json", "{}")
    before = digest(project.root / "model")
    assert main(["report", "--card", "model"]) == 0
    first = card.read_text()
    assert first.startswith(
        "# student\n\nLicense: unknown.\n\n<!-- exam -->\nExam: 14 questions, the table `marks`"
    )
    assert "| all facts | after_sft | 12 | 9 | 2 | 1 | 75.0 % | 46.8 to 91.1 | +58.3 | 0.0156 |" in first
    assert main(["report", "--card", "model"]) == 0
    assert card.read_text() == first
    assert digest(project.root / "model") == before
