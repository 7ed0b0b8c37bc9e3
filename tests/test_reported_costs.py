"""What an endpoint reports that a call cost, beside what the graph's price makes of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from engine.commands import main
from engine.runtime import execute
from engine.runtime.loop import run
from tests.endpoint import endpoint
from tests.project import Project

PRICE = "price = { input: 1.0, output: 1.0 }"
EACH = 0.25  # USD that the endpoint reports for a call


def prepared(
    root: Path, monkeypatch: pytest.MonkeyPatch, base_url: str, price: str = PRICE, **more: str
) -> Project:
    project = Project(root, monkeypatch, base_url)
    text = (root / "graph.atk").read_text().replace("temperature = 0.5", f"temperature = 0.5, {price}")
    project.graph(text=text)
    monkeypatch.chdir(root)
    return project


def test_both_are_kept_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with endpoint(p_true=1.0, cost=EACH) as server:
        project = prepared(tmp_path, monkeypatch, server.base_url)
        summary = project.run()
        assert summary.status == "done"
        by_price, reported = project.rows("SELECT sum(cost), sum(cost_reported) FROM calls")[0]
        assert 0 < by_price < reported == summary.calls * EACH
        assert summary.cost == pytest.approx(by_price)
        said = f"the endpoint reports {reported:.4f} USD for what `price` puts at {by_price:.4f} USD"
        assert [note.text for note in summary.notes] == [f"{said}; `atk cost` shows both"]
        assert main(["cost", "--by", "run"]) == 0
        head, first, whole = capsys.readouterr().out.splitlines()
        assert head.split()[-3:] == ["cost", "reported", "difference"]
        assert first.split()[-2:] == [f"${reported:,.2f}", f"+${reported - by_price:,.2f}"]
        assert whole.split()[1:] == first.split()[1:]
        assert main(["cost", "--by", "run", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)[0]
        assert told["cost_reported"] == reported
        assert told["difference"] == pytest.approx(reported - by_price)


def test_where_some_report_and_some_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    with endpoint(p_true=1.0) as server:
        project = prepared(tmp_path, monkeypatch, server.base_url)
        silent = project.run()
        assert not silent.notes
        assert main(["cost"]) == 0
        assert "reported" not in capsys.readouterr().out
        server.config(cost=0.0)
        project.write("inputs/snow.txt", "Snow falls when crystals of ice stick together in a cold cloud.")
        project.run()
        assert main(["cost", "--by", "run"]) == 0
        _, first, second, whole = capsys.readouterr().out.splitlines()
        assert first.split()[-2:] == ["-", "-"]
        assert second.split()[-2:] == ["$0", f"-{second.split()[-3]}"]  # all that `price` makes of it
        assert whole.split()[-2:] == second.split()[-2:]


def test_without_a_price_it_costs_what_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    with endpoint(p_true=1.0, cost=EACH) as server:
        project = prepared(tmp_path, monkeypatch, server.base_url, "top_p = 1.0")
        summary = project.run()
        assert summary.cost == summary.calls * EACH
        assert not summary.notes
        assert main(["cost", "--by", "run"]) == 0
        assert capsys.readouterr().out.splitlines()[1].split()[-3:] == [
            *[f"${summary.cost:,.2f}"] * 2,
            "$0",
        ]


@pytest.mark.parametrize(
    ("price", "reported", "said"),
    [
        (PRICE, 5.0, "5.0000 USD spent as the endpoint counts, 0.0001 by `price`"),
        ("price = { input: 100_000.0, output: 0.0 }", 0.0001, "USD spent"),
        ("top_p = 1.0", 5.0, "5.0000 USD spent"),
    ],
)
def test_a_cap_counts_the_larger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, price: str, reported: float, said: str
) -> None:
    with endpoint(p_true=1.0, cost=reported) as server:
        project = prepared(tmp_path, monkeypatch, server.base_url, f"{price}, parallel = 1")
        options = dataclasses.replace(project.options, max_cost=2.0)
        summary = run(execute(project.load(), options))
        assert summary.status == "failed"
        assert summary.calls == server.stats()["calls"] == 1
        assert summary.notes[0].text.startswith("--max-cost reached: ")
        assert summary.notes[0].text.endswith(said)


def test_replies_are_carried_with_it_and_those_of_before_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import duckdb

    with endpoint(p_true=1.0, cost=EACH) as server:
        for name in ("here", "there", "older"):
            (tmp_path / name).mkdir()
        here = prepared(tmp_path / "here", monkeypatch, server.base_url)
        calls = here.run().calls
        file, older = tmp_path / "replies.parquet", tmp_path / "older.parquet"
        assert main(["export", str(file)]) == 0
        duckdb.sql(
            f"COPY (SELECT * EXCLUDE cost_reported FROM '{file}') TO '{older}'"
            " (FORMAT parquet, KV_METADATA {atk_replies: '1'})"
        )
        for name, source, reported in (("there", file, calls), ("older", older, 0)):
            project = prepared(tmp_path / name, monkeypatch, server.base_url)
            assert main(["import", str(source)]) == 0
            assert project.run().calls == 0
            assert project.rows("SELECT count(*), count(cost_reported) FROM calls") == [(calls, reported)]
