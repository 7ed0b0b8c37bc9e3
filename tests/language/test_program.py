"""What a sound graph becomes: nodes, columns, lineage, params, models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.language.program import Program
from engine.language.types import STR, Optional
from tests.language.support import HERE, checked, codes, program, told

WORKED = HERE / "graphs" / "worked.atk"
HEAD = """
model large from default { temperature = 0.7 }
type Verdict { why: str, ok: bool }
type QA { question: str, answer: str }
source documents -> { path: str, title: str?, text: str }[] { path = "inputs" }
"""


@pytest.fixture(scope="module")
def worked() -> Program:
    found = checked(WORKED, values={"domain": "clouds"})
    assert not found.diagnostics, told(found)
    return found


def sound(text: str, **given: object) -> Program:
    found = program(text, **given)
    assert not found.diagnostics, told(found)
    return found


# -- the worked example ---------------------------------------------------------------------------


def test_nodes_in_an_order_that_can_run(worked: Program) -> None:
    assert list(worked.nodes) == [
        "documents", "passages.cut", "passages", "worthy", "drafted", "checked", "unique_pairs", "turns",
        "conversations", "single_turn", "blend", "sft",
    ]  # fmt: skip
    assert worked.name == "worked"
    assert worked.ok
    assert list(worked.dag.predecessors("blend")) == ["conversations", "single_turn"]
    assert worked.dag.nodes["sft"] == {"kind": "emit"}
    names = {path.name for path in worked.files}
    assert {"worked.atk", "text.atk", "chat.atk", "judge.md", "repair.md"} <= names


def test_a_call_is_its_returned_node(worked: Program) -> None:
    assert worked.aliases == {"passages.sampled": "passages", "single_turn.built": "single_turn"}
    passages = worked.nodes["passages"]
    assert passages.kind == "sql"
    assert passages.tables == {"cut": "passages.cut"}
    assert passages.values == {"limit": None}
    assert passages.folder == HERE / "graphs" / "lib"
    [expect] = passages.of("expect")
    assert expect.otherwise == "no passages"
    assert expect.aggregate
    single = worked.nodes["single_turn"]
    assert single.inputs == ("unique_pairs",)
    assert single.tables == {"pairs": "unique_pairs"}
    assert single.values == {"system": "You are an expert in clouds."}
    assert single.own["messages"].startswith("STRUCT(")


def test_columns_and_who_stores_them(worked: Program) -> None:
    checked_ = worked.nodes["checked"]
    assert checked_.own == {"why": "VARCHAR", "ok": "BOOLEAN", "question": "VARCHAR", "answer": "VARCHAR"}
    assert {name: column.owner for name, column in checked_.columns.items()} == {
        "path": "passages", "title": "passages", "text": "passages", "drafted_index": "drafted",
        "why": "checked", "ok": "checked", "question": "checked", "answer": "checked",
    }  # fmt: skip
    assert worked.nodes["drafted"].columns["drafted_index"].type == "BIGINT"
    turns = worked.nodes["turns"]
    assert turns.own == {"title": "VARCHAR", "turns": "STRUCT(question VARCHAR, answer VARCHAR)[]"}


def test_lineage(worked: Program) -> None:
    assert worked.nodes["documents"].ancestors == ()
    assert worked.nodes["checked"].ancestors == ("drafted", "worthy", "passages", "passages.cut", "documents")
    assert worked.nodes["turns"].ancestors == ("passages",)  # the query hands on this id and no other
    assert worked.nodes["passages.cut"].id_column == "passages_cut_id"
    assert set(worked.nodes["blend"].ancestors) >= {"conversations", "single_turn", "turns", "documents"}


def test_clauses(worked: Program) -> None:
    drafted = worked.nodes["drafted"]
    let, ends, mentions = drafted.clauses
    assert (let.word, let.name, let.reads) == ("let", "audience", frozenset())
    assert let.sql == "(CASE WHEN ('plain' = 'socratic') THEN 'a curious student' ELSE 'a practitioner' END)"
    assert (ends.sql, ends.reads) == ("ends_with(\"question\", '?')", {"question"})
    assert mentions.otherwise == "mentions the passage"
    assert mentions.text == 'not regexp_matches(answer, "(?i)according to the (text|passage)")'
    conversations = worked.nodes["conversations"]
    assert conversations.expressions["system"].sql == "('About ' || \"title\")"
    assert conversations.expressions["system"].reads == {"title"}


def test_settings_are_evaluated(worked: Program) -> None:
    blend, checked_, sft = (worked.nodes[name].settings for name in ("blend", "checked", "sft"))
    assert blend.share == {"conversations": 0.4, "single_turn": 0.6}  # type: ignore[attr-defined]
    assert (checked_.votes, checked_.model) == (3, "small")  # type: ignore[attr-defined]
    assert sft.split == {"train": 0.98, "test": 0.02}  # type: ignore[attr-defined]
    repair = worked.nodes["checked"].sections["repair"]
    assert repair.settings.rounds == 2  # type: ignore[attr-defined]
    assert repair.template is not None
    assert repair.template.name == "qa/repair"


def test_models(worked: Program) -> None:
    small, large = worked.models["small"], worked.models["large"]
    assert small.base_url == "https://api.deepinfra.com/v1/openai"
    assert (small.secret, large.secret) == ("DEEPINFRA_KEY", "DEEPINFRA_KEY")
    assert large.model == "deepseek-ai/DeepSeek-V3.2"
    assert (small.sampling, large.sampling) == ({"temperature": 0.2}, {"temperature": 0.7})
    assert large.price == {"input": 0.26, "output": 0.39}
    assert (large.parallel, large.timeout, large.structured) == (64, 300.0, "auto")
    assert "a key for tests" not in repr(worked)


def test_params(worked: Program) -> None:
    limit, domain = worked.params["limit"], worked.params["domain"]
    assert (limit.value, limit.given) == (None, False)
    assert isinstance(limit.type, Optional)
    assert (domain.value, domain.given, domain.type) == ("clouds", True, STR)
    assert domain.doc == "What the documents are about."


# -- options -----------------------------------------------------------------------------------


def test_the_command_line_wins_over_the_profile_and_it_over_the_file() -> None:
    given = {"values": {"domain": "x", "votes": "5"}, "profile": "dev"}
    found = checked(WORKED, **given)
    assert not found.diagnostics, told(found)
    assert {
        name: (one.value, one.given) for name, one in found.params.items() if name in ("votes", "limit")
    } == {
        "votes": (5, True),
        "limit": (20, True),
    }
    assert found.models["large"].model == "Qwen/Qwen3-14B"
    assert found.nodes["drafted"].settings.model == "large"  # type: ignore[attr-defined]
    back = checked(WORKED, **given, models={"large": "large"})
    assert back.models["large"].model == "deepseek-ai/DeepSeek-V3.2"


def test_another_model_needs_no_secret_of_the_first() -> None:
    given = {"values": {"domain": "x"}, "environment": {}}
    assert codes(checked(WORKED, **given)) == ["ATK180"]
    found = checked(WORKED, **given, models={"small": "default", "large": "default"})
    assert not found.diagnostics, told(found)
    assert {one.provider for one in found.models.values()} == {"offline"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, ("offline", None, None)),
        ({"ATK_BASE_URL": "http://h/v1/", "ATK_MODEL": "m"}, ("openai", "http://h/v1", None)),
        (
            {"ATK_BASE_URL": "http://h/v1", "ATK_MODEL": "m", "OPENAI_API_KEY": "k"},
            ("openai", "http://h/v1", "OPENAI_API_KEY"),
        ),
        (
            {"ATK_BASE_URL": "http://h/v1", "ATK_MODEL": "m", "OPENAI_API_KEY": "k", "ATK_API_KEY": "k"},
            ("openai", "http://h/v1", "ATK_API_KEY"),
        ),
    ],
)
def test_the_model_default(environment: dict[str, str], wanted: tuple[str, str | None, str | None]) -> None:
    found = sound(
        HEAD
        + """
        prompt a from documents -> Verdict {
          template = "qa/check"
          model = large
          let question = text
          let answer = text
        }
        """,
        environment=environment,
    )
    large = found.models["large"]
    assert (large.provider, large.base_url, large.secret) == wanted
    assert large.sampling == {"temperature": 0.7}


def test_values_of_the_environment_have_the_declared_type() -> None:
    found = sound('param n: int = env("N", 3)\nparam m: int = env("M", 4)\n', environment={"N": "7"})
    assert [one.value for one in found.params.values()] == [7, 4]
    assert codes(program('param n: int = env("N", 3)', environment={"N": "x"})) == ["ATK111"]
    assert codes(program('param n: int = env("N")', environment={})) == ["ATK180"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("-5", -5),
        ("7 % 4", 3),
        ("if(1 < 2, 10, 20)", 10),
        ('length("four")', 4),
        ("[1, 2, 3][2]", 2),
        ("{ a: 5 }.a", 5),
        ("2_000", 2000),
        ("base * 2", 8),
    ],
)
def test_constants(written: str, value: int) -> None:
    assert sound(f"param base: int = 4\nparam x: int = {written}").params["x"].value == value


@pytest.mark.parametrize(
    ("type_", "written", "value"),
    [
        ("float", "1", 1),
        ("float", "0.5 + 0.25", 0.75),
        ("float", "1e-3", 0.001),
        ("bool", "not false and 1 in [1, 2]", True),
        ("bool", '"a" not in ("b", "c")', True),
        ("bool", "null == null", True),
        ("str", '"a" || "b" || upper("c")', "abC"),
        ("str", '"it\'s \\"so\\""', 'it\'s "so"'),
        ("str[]", '["a", "b" || "c"]', ["a", "bc"]),
        ("{ a: int, b: str? }", '{ a: 1 + 1, "b": null }', {"a": 2, "b": None}),
        ('"x" | "y"', '"y"', "y"),
        ("int?", "null", None),
        ('("x" | "y")[]', '["x"]', ["x"]),
    ],
)
def test_constants_of_every_type(type_: str, written: str, value: object) -> None:
    assert sound(f"param x: {type_} = {written}").params["x"].value == value


# -- skipped nodes --------------------------------------------------------------------------------


def test_a_skipped_node_adds_nothing() -> None:
    found = checked(WORKED, values={"domain": "x", "verify": "false"})
    assert not found.diagnostics, told(found)
    node = found.nodes["checked"]
    assert node.skipped
    assert node.own == {}
    assert node.columns == found.nodes["drafted"].columns
    assert found.nodes["unique_pairs"].columns["question"].owner == "drafted"


# -- queries --------------------------------------------------------------------------------------


def test_a_query_sees_ids_and_hands_them_on() -> None:
    found = sound(
        HEAD
        + """
        sql one { query = "SELECT documents_id, upper(text) AS text FROM documents" }
        sql two { query = "SELECT a.*, b.title FROM one a JOIN documents b USING (documents_id)" }
        sql three { query = "SELECT count(*) AS n FROM two" }
        sql four {
          query = """
        + '"""'
        + """
            WITH t AS (FROM two), two AS (FROM t)
            SELECT one_id, text FROM two WHERE text IN (SELECT text FROM documents)
          """
        + '"""'
        + """
        }
        sql five { query = "SELECT reason, text FROM rejected.one" }
        """
    )
    assert found.nodes["one"].own == {"text": "VARCHAR"}
    assert found.nodes["one"].ancestors == ("documents",)
    assert found.nodes["two"].inputs == ("one", "documents")
    assert found.nodes["two"].ancestors == ("one", "documents")
    assert found.nodes["three"].ancestors == ()
    assert found.nodes["four"].inputs == ("two", "documents")
    assert found.nodes["four"].ancestors == ("one",)
    assert found.nodes["five"].inputs == ("one",)
    assert found.nodes["five"].tables == {"rejected.one": "rejected.one"}


def test_inner_tables_of_a_call_can_be_read() -> None:
    found = checked(
        WORKED,
        text=WORKED.read_text()
        + '\nsql look { query = "FROM single_turn.built JOIN passages.cut USING (documents_id)" }\n',
        values={"domain": "x"},
    )
    assert codes(found) == ["ATK127"]  # both carry `path`, `title` and `text`
    text = (
        WORKED.read_text() + '\nsql look { query = "SELECT b.* FROM single_turn.built b, passages.cut c" }\n'
    )
    found = checked(WORKED, text=text, values={"domain": "x"})
    assert not found.diagnostics, told(found)
    assert found.nodes["look"].inputs == ("single_turn", "passages.cut")
    assert found.nodes["look"].tables == {"single_turn.built": "single_turn", "passages.cut": "passages.cut"}


def test_params_in_queries_may_be_null_or_lists() -> None:
    found = sound(
        HEAD
        + """
        param limit: int?
        param only: str[] = ["a"]
        sql first_ones { query = "FROM documents WHERE title IN $only LIMIT $limit" }
        """
    )
    assert found.nodes["first_ones"].values == {"limit": None, "only": ["a"]}


# -- graphs ------------------------------------------------------------------------------------------


def test_graphs_call_graphs() -> None:
    found = sound(
        HEAD
        + """
        source pairs -> QA[] { path = "pairs.jsonl" }
        graph inner(rows: QA[], word: str) -> QA[] {
          sql kept { query = "FROM rows WHERE question != $word" }
          return kept
        }
        graph outer(rows: QA[], word: str = "a") -> QA[] {
          inner first from rows { word = word || "!" }
          inner second from first { word = "b" }
          return second
        }
        outer all_of_it from pairs { word = "z" }
        emit out from all_of_it.first { path = "x", expect count(*) > 0 }
        """
    )
    assert list(found.nodes) == ["documents", "pairs", "all_of_it.first", "all_of_it", "out"]
    assert found.nodes["all_of_it.first"].values == {"word": "z!"}
    assert found.nodes["all_of_it"].inputs == ("all_of_it.first",)
    assert found.nodes["out"].inputs == ("all_of_it.first",)
    assert found.aliases == {
        "all_of_it.first.kept": "all_of_it.first",
        "all_of_it.second.kept": "all_of_it",
        "all_of_it.second": "all_of_it",
    }


def test_order_in_the_file_does_not_matter() -> None:
    forward = sound(HEAD + 'sql a { query = "FROM documents" }\nsql b { query = "FROM a" }')
    backward = sound('sql b { query = "FROM a" }\nsql a { query = "FROM documents" }' + HEAD)
    assert list(forward.nodes) == list(backward.nodes) == ["documents", "a", "b"]


def test_gather_stands_on_its_ancestor() -> None:
    found = sound(
        HEAD
        + """
        prompt drafted from documents -> QA[] { template = "qa/write", model = large, let audience = "x" }
        gather turns from drafted { by = documents, columns = [question, answer] }
        """
    )
    turns = found.nodes["turns"]
    assert turns.ancestors == ("documents",)
    assert list(turns.columns) == ["path", "title", "text", "turns"]
    assert turns.columns["text"].owner == "documents"


def test_another_pipeline_can_be_imported(tmp_path: Path) -> None:
    (tmp_path / "base.atk").write_text(
        HEAD
        + """
        param word: str
        sql kept { query = "FROM documents WHERE text != $word" }
        emit out from kept { path = "x" }
        """
    )
    text = 'use "base.atk"\nsql mine { query = "FROM base.kept" }\n'
    (tmp_path / "mine.atk").write_text(text)
    lacking = checked(tmp_path / "mine.atk")
    assert [one.message for one in lacking.diagnostics] == ["`base.word` has no value"]
    found = checked(tmp_path / "mine.atk", values={"base.word": "x"})
    assert not found.diagnostics, told(found)
    assert list(found.nodes) == ["base.documents", "base.kept", "mine"]
    assert found.nodes["base.kept"].values == {"word": "x"}


def test_own_prompts_shadow_the_shipped_ones(tmp_path: Path) -> None:
    from engine.language import check
    from tests.language.kinds import registry

    own = tmp_path / "prompts" / "qa"
    own.mkdir(parents=True)
    (own / "check.md").write_text("user:\n{{ text }}\n")
    graph = tmp_path / "own.atk"
    graph.write_text(HEAD + 'prompt a from documents -> Verdict { template = "qa/check", model = large }')
    found = check(
        graph, registry(), root=tmp_path, prompts=[tmp_path / "prompts", HERE / "prompts"], environment={}
    )
    assert not found.diagnostics, told(found)
    assert found.nodes["a"].template is not None
    assert found.nodes["a"].template.path == own / "check.md"


def test_a_program_is_plain_data(worked: Program) -> None:
    for node in worked.nodes.values():
        json.dumps(node.settings.model_dump(mode="json"))
        json.dumps([node.own, node.ancestors, dict(node.tables), dict(node.values)])
