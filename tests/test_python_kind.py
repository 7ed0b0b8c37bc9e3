"""The author's own functions: checked before they run, held against the type, told where they fail."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from engine.kinds import functions
from engine.kinds.base import KindError, Made, Row
from engine.language.types import INT, STR, Field, Many, Optional, Record, Type
from tests.workbench import QA, Bench, Problem, bench, row

COUNTED = Record((Field("word", STR), Field("count", INT)))
COLUMNS = {"checked": {"question": "VARCHAR", "answer": "VARCHAR"}}


def python(root: Path, code: str, call: str, type_: Type, *, inputs: Any = COLUMNS, **settings: Any) -> Bench:
    (root / "lib").mkdir(exist_ok=True)
    (root / "lib" / "own.py").write_text(textwrap.dedent(code))
    return bench("python", root, {"call": f"lib/own.py:{call}", **settings}, inputs=inputs, result=type_)


def questions(*texts: str) -> list[Row]:
    ids = {"passages": b"p" * 16}
    return [
        row("checked", place, ids, question=text, answer=text.upper()) for place, text in enumerate(texts)
    ]


def one(made: Bench, text: str = "why") -> list[Made]:
    return made.decide(questions(text)[0]).made


# -- one row -----------------------------------------------------------------------------------


def test_a_function_of_a_row_adds_its_fields(tmp_path: Path) -> None:
    code = """
    def count(row, word, times=1):
        return {**row, "word": word, "count": row["question"].count(word) * times}
    """
    made = python(tmp_path, code, "count", COUNTED, each=True, word="h", times=3)
    assert made.kind.flow == "row"
    assert made.kind.keeps
    (only,) = one(made)
    assert only.own == {"word": "h", "count": 3}


def test_the_row_is_its_own_to_change(tmp_path: Path) -> None:
    code = """
    def spoil(row):
        row["turns"].append("x")
        row.clear()
        return {"word": "w", "count": 1}
    """
    made = python(tmp_path, code, "spoil", COUNTED, each=True, inputs={"talks": {"turns": "VARCHAR[]"}})
    given = row("talks", 1, turns=["a"])
    assert made.decide(given).made[0].fate == "ok"
    assert given.columns == {"turns": ["a"]}


def test_one_row_shows_its_columns_and_no_ids(tmp_path: Path) -> None:
    code = "def f(row):\n    return {'word': ','.join(row), 'count': 1}\n"
    assert one(python(tmp_path, code, "f", COUNTED, each=True))[0].own["word"] == "question,answer"


def test_async_and_generator_functions(tmp_path: Path) -> None:
    code = """
    import asyncio
    async def later(row):
        await asyncio.sleep(0)
        return {"word": row["question"], "count": 1}
    def split(row, limit: int = 9):
        for word in row["question"].split()[:limit]:
            yield {"word": word, "count": len(word)}
    """
    assert one(python(tmp_path, code, "later", COUNTED, each=True))[0].own == {"word": "why", "count": 1}
    made = python(tmp_path, code, "split", Many(COUNTED), each=True)
    assert [each.own["word"] for each in one(made, "one two three")] == ["one", "two", "three"]
    assert [each.fate for each in one(made, " ")] == ["empty"]


def test_data_classes_and_named_tuples_are_rows_too(tmp_path: Path) -> None:
    code = """
    from dataclasses import dataclass
    from typing import NamedTuple
    from pydantic import BaseModel
    @dataclass
    class A:
        word: str
        count: int
    class B(NamedTuple):
        word: str
        count: int
    class C(BaseModel):
        word: str
        count: int
    def all_three(row):
        return [A("a", 1), B("b", 2), C(word="c", count=3)]
    """
    made = one(python(tmp_path, code, "all_three", Many(COUNTED), each=True))
    assert [each.own for each in made] == [
        {"word": letter, "count": at} for at, letter in enumerate("abc", 1)
    ]


@pytest.mark.parametrize(
    ("type_", "gives", "fate", "reason"),
    [
        (Optional(COUNTED), "None", "rejected", "the function gave nothing"),
        (COUNTED, "None", "failed", "None, though the type is not optional"),
        (COUNTED, "{'word': 'w'}", "failed", "`count` is missing"),
        (COUNTED, "{'word': 'w', 'count': 'many'}", "failed", "`count`"),
        (COUNTED, "'text'", "failed", "what the function gave"),
        (Many(COUNTED), "{'word': 'w', 'count': 1}", "failed", "dict, not a list of rows"),
        (COUNTED, "1 / 0", "failed", r"ZeroDivisionError: division by zero \(own.py:2\)"),
        (COUNTED, "row['nothing']", "failed", r"KeyError: 'nothing' \(own.py:2\)"),
    ],
)
def test_what_becomes_of_what_it_gives(
    tmp_path: Path, type_: Type, gives: str, fate: str, reason: str
) -> None:
    (only,) = one(python(tmp_path, f"def f(row):\n    return {gives}\n", "f", type_, each=True))
    assert only.fate == fate
    assert only.reason is not None
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(only.reason)


# -- a table -------------------------------------------------------------------------------------


def test_a_function_of_a_table_keeps_lineage_where_it_says_so(tmp_path: Path) -> None:
    code = """
    def chosen(rows, least):
        assert isinstance(rows, list)
        kept = [row for row in rows if len(row["question"]) >= least]
        return [*kept, {"question": "new", "answer": "none"}]
    """
    made = python(tmp_path, code, "chosen", Many(QA), least=4)
    assert made.kind.flow == "table"
    assert not made.kind.keeps
    rows = questions("why", "when", "where")
    found = made.table(rows)
    assert [each.own["question"] for each in found] == ["when", "where", "new"]
    assert [each.parent.id if each.parent else None for each in found] == [rows[1].id, rows[2].id, None]
    assert found[0].parent is not None
    assert found[0].parent.ids == rows[1].ids


def test_identities_do_not_depend_on_the_order(tmp_path: Path) -> None:
    code = """
    def f(rows, back):
        found = [{"question": q, "answer": "A"} for q in "aab"]
        return found[::-1] if back else found
    """
    there = python(tmp_path, code, "f", Many(QA), back=False).table(questions("why"))
    back = python(tmp_path, code, "f", Many(QA), back=True).table(questions("why"))
    assert {each.identity for each in there} == {each.identity for each in back}
    assert len({each.identity for each in there}) == 3


def test_several_tables(tmp_path: Path) -> None:
    code = """
    def both(left, right, *, sep: str = " "):
        return [{"question": a["question"] + sep + b["question"], "answer": ""} for a in left for b in right]
    """
    made = python(
        tmp_path,
        code,
        "both",
        Many(QA),
        inputs={"checked": COLUMNS["checked"], "other": COLUMNS["checked"]},
        sep="-",
    )
    assert [each.own["question"] for each in made.table(questions("a"), questions("b", "c"))] == [
        "a-b",
        "a-c",
    ]


def test_a_table_that_breaks_says_where(tmp_path: Path) -> None:
    made = python(
        tmp_path, "def f(rows):\n    x = 1\n    raise ValueError('no good\\nat all')\n", "f", Many(QA)
    )
    with pytest.raises(KindError, match=r"`node`: ValueError: no good \(own.py:3\)"):
        made.table(questions("why"))


def test_rows_that_do_not_fit_have_failed_alone(tmp_path: Path) -> None:
    code = (
        "def f(rows):\n    yield {'question': 'Q', 'answer': 'A'}\n    yield {'question': 'Q'}\n    yield 7\n"
    )
    found = python(tmp_path, code, "f", Many(QA)).table(questions("why"))
    assert [each.fate for each in found] == ["ok", "failed", "failed"]
    assert "`answer` is missing" in str(found[1].reason)


def test_arrow_tables_are_rows(tmp_path: Path) -> None:
    code = "import pyarrow as pa\ndef f(rows):\n    return pa.table({'question': ['Q'], 'answer': ['A']})\n"
    assert python(tmp_path, code, "f", Many(QA)).table(questions("why"))[0].own == {
        "question": "Q",
        "answer": "A",
    }


# -- before it runs -------------------------------------------------------------------------------

CODE = """
from collections import Counter
import os.path as somewhere
def plain(rows, threshold: float = 0.5, name: str | None = None, top: int = 1, tags: list[str] = ()): ...
def needs(rows, word): ...
def nothing(): ...
def anything(rows, **more): ...
async def later(row): ...
raise RuntimeError("never run while a graph is checked")
"""


@pytest.mark.parametrize(
    ("call", "settings", "said"),
    [
        ("plain", {"treshold": 1}, "`plain` takes no argument `treshold`"),
        ("plain", {"threshold": "high"}, "`threshold` wants float, not str"),
        ("plain", {"threshold": True}, "`threshold` wants float, not a truth value"),
        ("plain", {"top": 1.5}, "`top` wants int, not float"),
        ("plain", {"tags": "a"}, r"`tags` wants list\[str\], not str"),
        ("needs", {}, "`needs` needs `word`"),
        ("nothing", {}, "`nothing` takes no rows"),
        ("missing", {}, "no function `missing` in own.py"),
        ("later", {}, "`later` is async"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, call: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(Problem, match=said):
        python(tmp_path, CODE, call, Many(QA), **settings)


@pytest.mark.parametrize(
    ("call", "settings"),
    [
        ("plain", {}),
        ("plain", {"threshold": 1, "name": None, "top": 3, "tags": ["a"]}),
        ("anything", {"x": 1}),
        ("needs", {"word": 1}),
        ("Counter", {}),
        ("somewhere", {"x": 1}),
        ("later", {"each": True}),
    ],
)
def test_right_settings(tmp_path: Path, call: str, settings: dict[str, Any]) -> None:
    made = python(tmp_path, CODE, call, Many(QA), **settings)
    assert dict(made.node.own) == {"question": "VARCHAR", "answer": "VARCHAR"}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("lib/none.py:f", r"no file lib/none\.py"),
        ("own.py", "names no function"),
        ("lib/broken.py:f", r"broken\.py is no Python"),
        ("lib/own:f", "names no function"),
    ],
)
def test_no_such_file(tmp_path: Path, call: str, said: str) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "broken.py").write_text("def f(:")
    with pytest.raises(Problem, match=said):
        bench("python", tmp_path, {"call": call}, inputs=COLUMNS, result=Many(QA))


@pytest.mark.parametrize(("type_", "each"), [(QA, False), (STR, True), (Many(STR), False), (None, False)])
def test_wrong_types_are_told(tmp_path: Path, type_: Type | None, each: bool) -> None:
    with pytest.raises(Problem, match="->"):
        python(tmp_path, "def f(rows): ...", "f", type_, each=each)  # type: ignore[arg-type]


def test_a_file_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    made = python(tmp_path, "import does_not_exist\ndef f(rows): ...\n", "f", Many(QA))
    with pytest.raises(
        KindError, match=r"own\.py cannot be loaded: ModuleNotFoundError: .*does_not_exist.* \(own\.py:1\)"
    ):
        made.table(questions("why"))


def test_an_edit_of_the_file_or_of_one_it_imports_counts(tmp_path: Path) -> None:
    made = python(
        tmp_path,
        "import helper\ndef f(rows):\n    return [{'question': helper.SAY, 'answer': ''}]\n",
        "f",
        Many(QA),
    )
    (tmp_path / "lib" / "unused.py").write_text("")
    helper = tmp_path / "lib" / "helper.py"
    helper.write_text("from deeper import SAY\n")
    (tmp_path / "lib" / "deeper.py").write_text("SAY = 'one'\n")
    before = made.kind.static(made.node)
    assert made.table(questions("x"))[0].own["question"] == "one"
    (tmp_path / "lib" / "unused.py").write_text("x = 1")
    assert made.kind.static(made.node) == before
    (tmp_path / "lib" / "deeper.py").write_text("SAY = 'two'\n")
    assert made.kind.static(made.node) != before
    assert made.table(questions("x"))[0].own["question"] == "two"
    assert "helper" not in sys.modules


def test_two_folders_may_have_modules_of_one_name(tmp_path: Path) -> None:
    found = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shared.py").write_text(f"SAY = '{name}'\n")
        (tmp_path / name / "own.py").write_text("from shared import SAY\ndef f(): return SAY\n")
        found.append(functions.load(tmp_path / name / "own.py", "f")())
    assert found == ["a", "b"]
