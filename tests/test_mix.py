"""Blends: shares, floors and totals are kept as far as the tables allow, and little moves when rows come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.data.mixing import Item, blend, targets
from engine.data.tokens import estimate
from tests.workbench import Problem, bench, row, row_id

MESSAGES = 'STRUCT("role" VARCHAR, "content" VARCHAR)[]'


def items(name: str, count: int, weight: float = 1.0) -> list[Item]:
    return [Item(row_id(name, number), weight) for number in range(count)]


@pytest.mark.parametrize(
    ("counts", "shares", "more", "expected"),
    [
        ({"a": 100, "b": 100}, {"a": 0.5, "b": 0.5}, {}, {"a": 100, "b": 100}),
        ({"a": 100, "b": 10}, {"a": 0.5, "b": 0.5}, {}, {"a": 10, "b": 10}),
        ({"a": 100, "b": 10}, {"a": 0.8, "b": 0.2}, {}, {"a": 40, "b": 10}),
        ({"a": 100, "b": 100}, {"a": 0.8, "b": 0.2}, {"total": 50}, {"a": 40, "b": 10}),
        ({"a": 100, "b": 5}, {"a": 0.5, "b": 0.5}, {"total": 50}, {"a": 25, "b": 5}),
        ({"a": 100, "b": 10}, {"a": 0.5, "b": 0.5}, {"floors": {"a": 60}}, {"a": 60, "b": 10}),
        ({"a": 100, "b": 100}, {"a": 0.9, "b": 0.1}, {"total": 50, "floors": {"b": 20}}, {"a": 30, "b": 20}),
        (
            {"a": 100, "b": 100, "c": 100},
            {"a": 0.8, "b": 0.1, "c": 0.1},
            {"total": 50, "floors": {"b": 20}},
            {"a": 27, "b": 20, "c": 3},
        ),
        ({"a": 100, "b": 3}, {"a": 0.5, "b": 0.5}, {"floors": {"b": 20}}, {"a": 3, "b": 3}),
        ({"a": 100, "b": 0}, {"a": 0.5, "b": 0.5}, {}, {"a": 0, "b": 0}),
    ],
)
def test_how_much_of_each(
    counts: dict[str, int], shares: dict[str, float], more: dict[str, Any], expected: dict[str, int]
) -> None:
    chosen = blend({name: items(name, count) for name, count in counts.items()}, shares, **more)
    assert {name: len(taken) for name, taken in chosen.taken.items()} == expected


TABLES = st.dictionaries(
    st.sampled_from("abcd"), st.lists(st.integers(0, 50), max_size=40), min_size=2, max_size=4
).map(
    lambda tables: {
        name: [Item(row_id(name, place), weight) for place, weight in enumerate(weights)]
        for name, weights in tables.items()
    }
)


@given(TABLES, st.data())
@settings(max_examples=150, deadline=None)
def test_any_blend(tables: dict[str, list[Item]], data: st.DataObject) -> None:
    raw = {name: data.draw(st.floats(0.05, 1)) for name in tables}
    shares = {name: share / sum(raw.values()) for name, share in raw.items()}
    total = data.draw(st.none() | st.integers(1, 500))
    floors = {name: float(data.draw(st.integers(0, 40))) for name in tables}
    chosen = blend(tables, shares, total, floors, seed=data.draw(st.integers(-5, 5)))
    available = {name: sum(item.weight for item in table) for name, table in tables.items()}
    wanted = targets(available, shares, total, floors)
    for name, table in tables.items():
        weights = {item.id: item.weight for item in table}
        taken = chosen.taken[name]
        assert len(set(taken)) == len(taken), "a row twice"
        assert set(taken) <= set(weights)
        assert chosen.weights[name] == pytest.approx(sum(weights[each] for each in taken))
        assert chosen.weights[name] >= min(floors[name], available[name]) - 1e-6
        heaviest = max(weights.values(), default=0)
        assert abs(chosen.weights[name] - wanted[name]) <= heaviest + 1e-6


@given(st.integers(40, 200), st.integers(40, 200), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_a_row_more_moves_hardly_any_other(a: int, b: int, seed: int) -> None:
    shares = {"a": 0.7, "b": 0.3}
    before = blend({"a": items("a", a), "b": items("b", b)}, shares, seed=seed)
    after = blend({"a": items("a", a + 1), "b": items("b", b)}, shares, seed=seed)
    moved = {*before.taken["a"]} ^ {*after.taken["a"]} | {*before.taken["b"]} ^ {*after.taken["b"]}
    assert len(moved) <= 4


def test_another_seed_takes_other_rows() -> None:
    tables = {"a": items("a", 200), "b": items("b", 20)}
    shares = {"a": 0.5, "b": 0.5}
    taken = [set(blend(tables, shares, seed=seed).taken["a"]) for seed in (1, 1, 2)]
    assert taken[0] == taken[1]
    assert taken[0] != taken[2]


@given(st.dictionaries(st.sampled_from("abc"), st.floats(0.01, 1), min_size=2), st.floats(1, 1e6))
def test_shares_are_kept_where_there_is_enough(shares: dict[str, float], total: float) -> None:
    assume(sum(shares.values()) > 0)
    found = targets(dict.fromkeys(shares, 1e9), shares, total)
    assert sum(found.values()) == pytest.approx(total)
    for name in shares:
        assert found[name] / total == pytest.approx(shares[name] / sum(shares.values()))


def tables() -> dict[str, dict[str, str]]:
    return {
        "talks": {"title": "VARCHAR", "messages": MESSAGES, "turns": "VARCHAR[]", "tokens": "BIGINT"},
        "single": {
            "messages": 'STRUCT(role VARCHAR, "content" VARCHAR)[]',
            "title": "VARCHAR",
            "turns": "BIGINT",
        },
    }


def talk(table: str, number: int, words: int) -> Any:
    messages = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "word " * words}]
    return row(
        table,
        number,
        {"documents": row_id("documents", number % 3)},
        title=f"T{number}",
        messages=messages,
        turns=[],
        tokens=0,
    )


def test_the_kind_blends_by_tokens_and_keeps_lineage(tmp_path: Path) -> None:
    settings_ = {"share": {"talks": 0.5, "single": 0.5}, "unit": "tokens"}
    mixed = bench("mix", tmp_path, settings_, name="blend", inputs=tables())
    assert dict(mixed.node.own) == {
        "title": "VARCHAR",
        "messages": MESSAGES,
        "origin": "VARCHAR",
        "tokens": "BIGINT",
    }
    talks = [talk("talks", number, 90) for number in range(20)]
    single = [talk("single", number, 10) for number in range(50)]
    made = mixed.table(talks, single)
    weights = {
        name: sum(one.own["tokens"] for one in made if one.own["origin"] == name)
        for name in ("talks", "single")
    }
    assert weights["single"] == sum(estimate("Why?\n" + "word " * 10) for _ in range(50))
    assert 0.4 < weights["talks"] / sum(weights.values()) < 0.6
    assert all(one.parent is not None and one.parent.columns["title"] == one.own["title"] for one in made)
    assert all("turns" not in one.own for one in made)


def test_missed_shares_are_told(tmp_path: Path) -> None:
    settings_ = {"share": {"talks": 0.5, "single": 0.5}, "total": 40}
    mixed = bench("mix", tmp_path, settings_, name="blend", inputs=tables())
    mixed.table([talk("talks", number, 5) for number in range(100)], [talk("single", 1, 5)])
    assert any("talks 95.2% (wished 50.0%), single 4.8% (wished 50.0%)" in note for note in mixed.notes)
    assert any("21 of 40 rows" in note for note in mixed.notes)


def test_kept_shares_are_not_told(tmp_path: Path) -> None:
    mixed = bench("mix", tmp_path, {"share": {"talks": 0.5, "single": 0.5}}, inputs=tables())
    mixed.table(
        [talk("talks", number, 5) for number in range(100)],
        [talk("single", number, 5) for number in range(60)],
    )
    assert mixed.notes == []


@pytest.mark.parametrize(
    ("settings_", "said", "help"),
    [
        ({"share": {"talks": 0.5}}, "`single` has no share", "single: 0.1"),
        ({"share": {"talks": 0.5, "single": 0.4, "x": 0.1}}, "`x` is no input", "`talks`, `single`"),
        ({"share": {"talks": 1, "single": 0.6}}, "come to 1.6, not to 1", "talks: 0.625, single: 0.375"),
        ({"share": {"talks": 1.2, "single": -0.2}}, "must be above 0", "leave the table out"),
        (
            {"share": {"talks": 0.5, "single": 0.5}, "total": 5, "floor": {"talks": 6}},
            "more than `total`",
            "",
        ),
        ({"share": {"talks": 0.5, "single": 0.5}, "floor": {"y": 6}}, "`y` is no input", "`talks`"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, settings_: dict[str, Any], said: str, help: str) -> None:
    with pytest.raises(Problem, match=said) as error:
        bench("mix", tmp_path, settings_, inputs=tables())
    assert help in str(error.value.help)


def test_tables_without_a_common_column(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no column in common") as error:
        bench(
            "mix",
            tmp_path,
            {"share": {"a": 0.5, "b": 0.5}},
            inputs={"a": {"x": "VARCHAR"}, "b": {"x": "BIGINT"}},
        )
    assert error.value.help == "`a` has x; `b` has x"
