"""The parser does what Lark would do with the same grammar: trees, places, and what it expected."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import lark
import pytest

from engine import paths
from engine.language.grammar import parser
from engine.language.parsing import Token, Tree, UnexpectedCharacter, UnexpectedToken
from tests.language.support import HERE

TEXTS = sorted(
    [HERE / "graphs" / "worked.atk", *paths.graphs().rglob("*.atk"), *(HERE / "errors").glob("*.atk")]
)


@pytest.fixture(scope="module")
def reference() -> lark.Lark:
    return lark.Lark(
        paths.grammar().read_text(),
        parser="lalr",
        lexer="basic",
        propagate_positions=True,
        maybe_placeholders=True,
    )


def plain(node: Any) -> Any:
    """A tree of either parser as lists."""
    match node:
        case Token() | lark.Token():
            return [node.type, str(node), node.start_pos, node.end_pos]
        case Tree() | lark.Tree():
            place = None if node.meta.empty else (node.meta.start_pos, node.meta.end_pos)
            return [str(node.data), place, [plain(child) for child in node.children]]
    return node


def ours(text: str) -> Any:
    try:
        return plain(parser().parse(text))
    except UnexpectedCharacter as error:
        return "character", error.position
    except UnexpectedToken as error:
        return "token", error.token.type, error.token.start_pos, str(error.token), set(error.accepts)


def theirs(reference: lark.Lark, text: str) -> Any:
    try:
        return plain(reference.parse(text))
    except lark.exceptions.UnexpectedCharacters as error:
        return "character", error.pos_in_stream
    except lark.exceptions.UnexpectedToken as error:
        return "token", error.token.type, error.token.start_pos, str(error.token), error.accepts


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_the_same_as_lark(path: Path, reference: lark.Lark) -> None:
    text = path.read_bytes().decode(errors="replace")
    assert ours(text) == theirs(reference, text)


def test_the_same_as_lark_for_broken_texts(reference: lark.Lark) -> None:
    random_ = random.Random(7)
    text = (HERE / "graphs" / "worked.atk").read_text()
    tokens = [(token.start_pos, token.end_pos) for token in parser().lex(text)]
    for start, end in random_.sample(tokens, 40):
        broken = text[:start] + random_.choice(["", "{", "}", "=", "'", "in ", "x ", '"']) + text[end:]
        assert ours(broken) == theirs(reference, broken)
