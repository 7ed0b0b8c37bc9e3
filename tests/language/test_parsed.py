"""Trees that are kept between processes are the trees that would be made, and nothing breaks without them."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest

from engine import paths
from engine.language import parsed as module
from engine.language.syntax import parse

GRAPHS = sorted(paths.graphs().rglob("*.atk"))
TEXT = 'type A { text: str }\nsource a -> A[] { path = "in" }\n'


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "atk"


def told(tree: Any) -> Any:
    """All that a tree says, as plain data."""
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        named = {field.name: told(getattr(tree, field.name)) for field in dataclasses.fields(tree)}
        return type(tree).__name__, named
    if isinstance(tree, tuple | list):
        return [told(part) for part in tree]
    return vars(tree) if hasattr(tree, "starts") else tree


def parsed(text: str, path: str = "a.atk") -> Any:
    """As another process would read it."""
    module._parsed.cache_clear()
    return module.parsed(text, path)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were parsed, not read back."""
    texts: list[str] = []

    def counted(text: str, path: str) -> Any:
        texts.append(text)
        return parse(text, path)

    monkeypatch.setattr("engine.language.syntax.parse", counted)
    return texts


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda path: path.stem)
def test_a_tree_read_back_says_the_same(graph: Path, cache: Path, made: list[str]) -> None:
    text = graph.read_text()
    first, second = parsed(text), parsed(text)
    assert made == [text]
    assert first is not second
    assert told(first) == told(second) == told(parse(text, "a.atk"))


def test_another_text_or_path_is_another_tree(cache: Path, made: list[str]) -> None:
    parsed(TEXT)
    assert parsed(TEXT + "# more\n").text.text.endswith("more\n")
    assert parsed(TEXT, "b.atk").text.path == "b.atk"
    assert len(made) == 3


def test_a_file_with_a_mistake_is_read_anew(cache: Path, made: list[str]) -> None:
    for _ in range(2):
        assert parsed(TEXT + "source {").errors
    assert len(made) == 2
    assert not list(cache.glob("tree-*"))


@pytest.mark.parametrize(
    "damage", [b"", b"no pickle", pickle.dumps("a text"), pickle.dumps(parse(TEXT))[:-40]]
)
def test_a_damaged_tree_is_made_again(damage: bytes, cache: Path, made: list[str]) -> None:
    parsed(TEXT)
    (kept,) = cache.glob("tree-*")
    kept.write_bytes(damage)
    assert told(parsed(TEXT)) == told(parse(TEXT, "a.atk"))
    parsed(TEXT)
    assert made == [TEXT, TEXT]


def test_another_engine_makes_its_own(cache: Path, made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parsed(TEXT)
    monkeypatch.setattr(module, "_version", lambda _: "another")
    parsed(TEXT)
    assert made == [TEXT, TEXT]


def test_only_so_many_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    for number in range(6):
        parsed(f"{TEXT}# {number}\n")
    assert len(list(cache.glob("tree-*"))) == 3


def test_what_nests_deeply_is_still_read(cache: Path) -> None:
    deep = "param a: int = " + "(" * 100 + "1" + ")" * 100 + "\n"
    assert told(parsed(deep)) == told(parsed(deep)) == told(parse(deep, "a.atk"))


def test_a_folder_open_to_others_is_not_used(cache: Path, made: list[str]) -> None:
    cache.mkdir()
    cache.chmod(0o777)
    for _ in range(2):
        parsed(TEXT)
    assert len(made) == 2
    assert not list(cache.iterdir())
