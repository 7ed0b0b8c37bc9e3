"""Rows of a table or a query that a server keeps."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine.commands import main
from engine.data import servers
from engine.kinds.base import KindError, Known
from engine.kinds.train import secrets_of
from engine.language.types import BOOL, FLOAT, INT, STR, Field, Many, Optional, Record
from tests.endpoint import endpoint
from tests.project import Project
from tests.servers import PASSWORD, free_port, mysql, postgres
from tests.test_readers import source
from tests.test_secrets import everything_written
from tests.workbench import Bench, Problem

ROOT = Path(__file__).resolve().parents[1]
FACT = Record((Field("name", STR), Field("legs", INT), Field("weight", Optional(FLOAT))))
FACTS = [{"name": "bee", "legs": 6, "weight": 0.1}, {"name": "öre", "legs": 8, "weight": None}]
SECRET = "FACTS_PASSWORD"
WRITTEN = "a password is not written into an address"


@dataclass
class Kept:
    """A server with a table, a view of it and another table."""

    address: str
    execute: Any

    @property
    def sort(self) -> str:
        return servers.server(self.address, None).sort

    @property
    def name(self) -> str:
        return servers.server(self.address, None).name

    def source(self, root: Path, type_: Record = FACT, **settings: Any) -> Bench:
        return source(root, type_=type_, **{"path": self.address, "password": SECRET} | settings)

    def read(self, root: Path, type_: Record = FACT, **settings: Any) -> list[dict[str, Any]]:
        return [one.own for one in self.source(root, type_, **settings).read()]

    def refused(self, root: Path, **settings: Any) -> tuple[str, str]:
        with pytest.raises(KindError) as error:
            self.source(root, **settings).read()
        told = f"{error.value.message} {error.value.help}"
        assert PASSWORD not in told
        assert "\n" not in told
        return error.value.message, str(error.value.help)


@pytest.fixture(scope="module", params=["postgres", "mysql"])
def kept(request: pytest.FixtureRequest) -> Iterator[Kept]:
    with (postgres if request.param == "postgres" else mysql)() as (address, execute):
        quote, number = ('"', "float8") if request.param == "postgres" else ("`", "DOUBLE")
        execute(
            f"CREATE TABLE facts (name VARCHAR(20), legs BIGINT, weight {number}, more VARCHAR(20))",
            "INSERT INTO facts VALUES ('bee', 6, 0.1, 'x'), ('öre', 8, NULL, 'y')",
            "CREATE VIEW heavy AS SELECT name, legs, weight FROM facts WHERE legs > 6",
            f"CREATE TABLE {quote}odd name{quote} (name VARCHAR(20), legs BIGINT)",
        )
        yield Kept(address, execute)


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPASSWORD", "MYSQL_PWD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    monkeypatch.setenv(SECRET, PASSWORD)


def test_the_rows_of_a_table_of_a_view_and_of_a_query(kept: Kept, tmp_path: Path) -> None:
    assert kept.read(tmp_path, table="facts") == FACTS
    assert kept.read(tmp_path, table="FACTS") == FACTS
    assert kept.read(tmp_path, table="heavy") == FACTS[1:]
    assert kept.read(tmp_path, table="odd name") == []
    query = "SELECT concat(name, '!') AS name, legs FROM facts ORDER BY legs DESC -- the heavy ones first"
    assert kept.read(tmp_path, query=query) == [
        {"name": "öre!", "legs": 8, "weight": None},
        {"name": "bee!", "legs": 6, "weight": None},
    ]
    assert len(kept.read(tmp_path, query="SELECT * FROM facts;\n")) == 2


def test_what_is_not_there(kept: Kept, tmp_path: Path) -> None:
    assert kept.refused(tmp_path, table="fact") == (
        f"`documents`: {kept.name} has no table `fact`",
        "it has `facts`, `heavy`, `odd name`",
    )
    wings = Record((Field("wings", INT),))
    assert kept.refused(tmp_path, type_=wings, table="facts")[0] == (
        f"`documents`: {kept.name} has no column `wings`; its rows have `legs`, `more`, `name`, `weight`"
    )


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT wings FROM facts", "wings"),
        ("SELEC 1", "syntax"),
        ("DELETE FROM facts", ""),
        ("UPDATE facts SET legs = 0", ""),
        ("INSERT INTO facts (name) VALUES ('ant') RETURNING name", ""),
        ("CREATE TABLE more (name INT)", ""),
        ("DROP TABLE facts", ""),
        ("SELECT 1 AS name; DELETE FROM facts", ""),
        ("SELECT name, name FROM facts", "name"),
        ("SELECT name INTO OUTFILE '/tmp/atk-facts' FROM facts", ""),
        ("SELECT name INTO more FROM facts", ""),
        ("", "empty"),
    ],
)
def test_nothing_but_a_query_is_done(query: str, said: str, kept: Kept, tmp_path: Path) -> None:
    message, _ = kept.refused(tmp_path, query=query)
    assert message.startswith(f"`documents`: the query of {kept.name} ")
    assert said in message
    assert kept.read(tmp_path, table="facts") == FACTS
    assert kept.refused(tmp_path, table="more")[0].endswith("no table `more`")
    assert not Path("/tmp/atk-facts").exists()


def test_a_function_that_writes_is_refused_too(kept: Kept, tmp_path: Path) -> None:
    if kept.sort == "postgres":
        kept.execute(
            "CREATE OR REPLACE FUNCTION emptied() RETURNS text LANGUAGE sql AS "
            "$$ DELETE FROM facts RETURNING name $$"
        )
    else:
        kept.execute(
            "CREATE OR REPLACE FUNCTION emptied() RETURNS INT MODIFIES SQL DATA "
            "BEGIN DELETE FROM facts; RETURN 1; END"
        )
    message, _ = kept.refused(tmp_path, query="SELECT emptied() AS name")
    assert "read" in message.lower()
    assert kept.read(tmp_path, table="facts") == FACTS


def test_values_of_postgres(kept: Kept, tmp_path: Path) -> None:
    if kept.sort != "postgres":
        pytest.skip("Postgres' own types")
    query = """
        SELECT 1.50::numeric AS cost, 0.1::real AS part, 12345678901234567890::numeric AS many, true AS yes,
            '2020-01-02'::date AS born, '2020-01-02 10:00+02'::timestamptz AS seen, 'infinity'::date AS never,
            '10.0.0.1'::inet AS host, '1 day 2h'::interval AS long, '{"a": [1]}'::json AS json,
            '6b1f2c3e-0000-4000-8000-000000000001'::uuid AS key, ARRAY['a', NULL] AS words,
            ARRAY[1.5, 2] AS costs, 'abc'::bytea AS raw, 'NaN'::numeric AS odd, '3.50'::money AS paid
    """
    names = "born seen never host long json key raw paid".split()
    record = Record(
        (
            *(Field(name, STR) for name in names),
            *(Field(name, FLOAT) for name in ("cost", "part")),
            *(Field(name, Many(FLOAT)) for name in ("costs",)),
            Field("yes", BOOL),
            Field("words", Many(Optional(STR))),
        )
    )
    (row,) = kept.read(tmp_path, record, query=query)
    assert row == {
        "born": "2020-01-02",
        "seen": "2020-01-02T08:00:00+00:00",
        "never": "infinity",
        "host": "10.0.0.1",
        "long": "1 day 02:00:00",
        "json": '{"a": [1]}',
        "key": "6b1f2c3e-0000-4000-8000-000000000001",
        "raw": "abc",
        "paid": "$3.50",
        "cost": 1.5,
        "part": 0.1,
        "costs": [1.5, 2],
        "yes": True,
        "words": ["a", None],
    }


def test_values_of_mysql(kept: Kept, tmp_path: Path) -> None:
    if kept.sort != "mysql":
        pytest.skip("MySQL's own types")
    kept.execute(
        "CREATE OR REPLACE TABLE kinds (cost DECIMAL(10, 2), yes TINYINT(1), flag BIT(1), born DATE, "
        "seen DATETIME, clock TIME, words JSON, raw BLOB, set_ SET('a', 'b'))",
        "INSERT INTO kinds VALUES (1.5, 1, 1, '2020-01-02', '2020-01-02 10:00:00', '12:30:00', '[\"a\"]', "
        "'abc', 'a,b')",
    )
    texts = [Field(name, STR) for name in ("born", "seen", "clock", "raw", "set_")]
    record = Record(
        (Field("cost", FLOAT), Field("yes", BOOL), Field("flag", BOOL), Field("words", Many(STR)), *texts)
    )
    assert kept.read(tmp_path, record, table="kinds") == [
        {
            "cost": 1.5,
            "yes": True,
            "flag": True,
            "words": ["a"],
            "born": "2020-01-02",
            "seen": "2020-01-02T10:00:00",
            "clock": "12:30:00",
            "raw": "abc",
            "set_": "a,b",
        }
    ]
    kept.execute("DROP TABLE kinds")


def test_who_is_not_let_in(kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET, "wrong-" + "one")
    message, mend = kept.refused(tmp_path, table="facts")
    assert message.startswith(f"`documents`: {kept.name} does not let us in: ")
    assert mend == f"set {SECRET} to the password that is valid there, and see to the user's name"
    message, mend = kept.refused(tmp_path, table="facts", password=None)
    assert message.startswith(f"`documents`: {kept.name} does not let us in: ")
    assert mend == 'put the password into an environment variable and write password = secret("NAME")'
    own = "PGPASSWORD" if kept.sort == "postgres" else "MYSQL_PWD"
    monkeypatch.setenv(own, PASSWORD)
    assert kept.read(tmp_path, table="facts", password=None) == FACTS


def test_nobody_there(kept: Kept, tmp_path: Path) -> None:
    scheme = kept.address.partition(":")[0]
    nobody = Kept(f"{scheme}://reader@127.0.0.1:{free_port()}/facts", None)
    message, mend = nobody.refused(tmp_path, table="facts")
    assert message.startswith(f"`documents`: {nobody.name} cannot be reached: ")
    assert mend == "is the address right, and does the server run?"
    elsewhere = Kept(kept.address.rpartition("/")[0] + "/nowhere", None)
    assert "nowhere" in elsewhere.refused(tmp_path, table="facts")[0]


def test_rows_come_as_they_are_asked_for(kept: Kept, tmp_path: Path) -> None:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) "
    if kept.sort == "mysql":
        kept.execute("SET max_recursive_iterations = 1000000")
        kept.execute(f"CREATE TABLE many AS {numbers} SELECT concat('bee', i) AS name, i AS legs FROM n")
    else:
        kept.execute(f"CREATE TABLE many AS {numbers} SELECT 'bee' || i AS name, i AS legs FROM n")
    bench = kept.source(tmp_path, table="many")
    rows = bench.kind.read(bench, Known())
    next(rows)
    tracemalloc.start()
    for _ in range(5_000):
        next(rows)
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()
    rows.close()
    gc.collect()
    kept.execute("DROP TABLE many")  # which would wait for a reader that is still there


GRAPH = """
type Fact {{ name: str, legs: int }}
type Said {{ question: str, answer: str }}
source facts -> Fact[] {{ path = "{address}", table = "animals", password = secret("FACTS_PASSWORD") }}
prompt asked from facts -> Said {{ template = "ask" }}
"""


def test_a_row_that_changed_is_paid_for_and_no_other(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.execute("CREATE TABLE animals (name VARCHAR(20), legs BIGINT)")
    kept.execute("INSERT INTO animals VALUES ('bee', 6), ('spider', 8), ('bird', 2)")
    with endpoint() as server:
        project = Project(tmp_path, monkeypatch, server.base_url)
        project.write("prompts/ask.md", "user:\nHow many legs has a {{ name }}? {{ legs }}\n{{ schema }}\n")
        project.graph(text=GRAPH.format(address=kept.address))
        calls = []
        for change in (
            None,
            None,
            "UPDATE animals SET legs = 3 WHERE name = 'bird'",
            "DELETE FROM animals WHERE legs = 8",
        ):
            if change:
                kept.execute(change)
            before = server.stats()["calls"]
            summary = project.run()
            assert summary.exit_code == 0
            calls.append((server.stats()["calls"] - before, summary.calls))
        assert calls == [(3, 3), (0, 0), (1, 1), (0, 0)]
        assert sorted(project.rows("SELECT name, legs FROM asked")) == [("bee", 6), ("bird", 3)]
        kept.execute("DROP TABLE animals")
        told = f"`facts`: {kept.name} has no table `animals`"
        with pytest.raises(KindError) as error:
            project.plan()
        assert error.value.message == told
        summary = project.run()
        assert (summary.exit_code, [message for message, _ in summary.errors]) == (1, [told])
        assert sorted(project.rows("SELECT name FROM facts")) == [("bee",), ("bird",)]


def test_the_password_is_nowhere_but_at_the_server(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path, monkeypatch)
    project.write("prompts/ask.md", "user:\nHow many legs has a {{ name }}? {{ legs }}\n{{ schema }}\n")
    text = GRAPH.format(address=kept.address)
    project.graph(text=text.replace('"animals"', '"facts"'))
    printed = ""
    codes = []
    commands = [
        ["exec", "graph.atk", "--debug"],
        ["sql", "FROM runs", "--json"],
        ["show", "facts", "--json"],
    ]
    for arguments in commands:
        done = subprocess.run(
            [sys.executable, "-m", "engine.commands", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        codes.append(done.returncode)
        printed += done.stdout + done.stderr
    assert codes == [0] * len(commands), printed
    assert "öre" in printed
    assert PASSWORD not in printed
    assert json.dumps(PASSWORD)[1:-1] not in printed
    assert PASSWORD.encode() not in everything_written(tmp_path)


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"path": "postgresql://u:hidden@h/db", "table": "a"}, "ATK182", WRITTEN),
        ({"path": "postgresql://u:hi/d@den@h/db", "table": "a"}, "ATK182", WRITTEN),
        ({"path": "mysql://h/db?password=hidden", "table": "a"}, "ATK182", WRITTEN),
        ({"path": "mysql://[h/db", "table": "a"}, "ATK182", "`path` is no address of a database"),
        ({"path": "postgres://u@h:1/db"}, "ATK105", "of postgres://h:1/db nothing is named"),
        (
            {"path": "a.db", "table": "a", "password": SECRET},
            "ATK150",
            "`password` is for a database of a server",
        ),
    ],
)
def test_addresses_that_are_refused(settings: dict[str, Any], code: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(Problem) as problem:
        source(tmp_path, type_=FACT, **settings)
    assert (problem.value.code, problem.value.message) == (code, said)
    assert "hidden" not in f"{problem.value.message} {problem.value.help}"


def test_before_anything_is_paid_what_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = source(tmp_path, "postgresql://u@h/db", FACT, table="a", password="ATK_NO_SUCH_SECRET")
    with pytest.raises(KindError) as error:
        bench.kind.ready(bench, True)
    assert error.value.message == "the secret ATK_NO_SUCH_SECRET is not set"
    monkeypatch.setitem(servers.NEEDED, "mysql", "no_such_package")
    bench = source(tmp_path, "mysql://u@h/db", FACT, table="a")
    with pytest.raises(KindError) as error:
        bench.kind.ready(bench, True)
    assert error.value.help == "pip install 'atk[mysql]'"


def test_an_address_with_a_password_is_shown_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever it comes from: a file that is refused, a variable that a param reads, a command line."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACTS_ADDRESS", "postgresql://reader:hid/d@en@127.0.0.1:1/facts?sslpassword=hidden")
    head = 'type Fact { name: str }\nsource facts -> Fact[] { path = place, table = "facts" }\n'
    (tmp_path / "graph.atk").write_text('param place: path = env("FACTS_ADDRESS")\n' + head)
    assert main(["exec", "graph.atk"]) != 0
    for arguments in (["--json"], [], ["-p", "place=mysql://reader:hidden@127.0.0.1/facts"]):
        main(["params", "graph.atk", *arguments])
    said = "".join(capsys.readouterr())
    assert "ATK182" in said
    assert "127.0.0.1" in said
    assert "hid" not in said
    assert not list(tmp_path.rglob("store.duckdb"))


def test_an_unset_secret_is_told_once_and_nothing_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("adbc_driver_postgresql")
    monkeypatch.delenv(SECRET)
    project = Project(tmp_path, monkeypatch)
    project.write("prompts/ask.md", "user:\nHow many legs has a {{ name }}? {{ legs }}\n{{ schema }}\n")
    project.graph(text=GRAPH.format(address=f"postgresql://reader@127.0.0.1:{free_port()}/facts"))
    told = (f"`facts`: the secret {SECRET} is not set", f"export {SECRET}=…")
    with pytest.raises(KindError) as error:
        project.plan()
    assert (error.value.message, error.value.help) == told
    summary = project.run()
    assert (summary.exit_code, summary.errors) == (1, [told])


def test_a_trainer_does_not_see_the_password(tmp_path: Path) -> None:
    bench = source(tmp_path, "mysql://u@h/db", FACT, table="a", password=SECRET)
    assert {SECRET, "PGPASSWORD", "MYSQL_PWD"} <= set(secrets_of(bench.program))
