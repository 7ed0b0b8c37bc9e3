"""An LALR(1) parser over tables: tokens, trees, and what was expected where reading stopped.

The tables are plain data, made from the grammar by `grammar`. Tokens and trees have the shape
that Lark gives them, so that the grammar alone decides what a tree looks like. Importing Lark
and loading its own parser would take a fifth of a whole check; it makes the tables and is then
not needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

END = "$END"


class Token(str):
    """A piece of the text: its terminal's name, and where it stands in characters."""

    __slots__ = ("end_pos", "start_pos", "type")

    type: str
    start_pos: int
    end_pos: int

    @staticmethod
    def of(type_: str, text: str, start: int) -> Token:
        token = Token(text)
        token.type, token.start_pos, token.end_pos = type_, start, start + len(text)
        return token


class Meta:
    """Where a tree stands; `empty` where nothing was read for it."""

    __slots__ = ("empty", "end_pos", "start_pos")

    def __init__(self, place: tuple[int, int] | None):
        self.empty = place is None
        self.start_pos, self.end_pos = place or (0, 0)


class Tree:
    """What a rule of the grammar read: trees, tokens, and None for what is left out."""

    __slots__ = ("children", "data", "meta")

    def __init__(self, data: str, children: list[Any], meta: Meta):
        self.data, self.children, self.meta = data, children, meta

    def iter_subtrees(self) -> Iterator[Tree]:
        """The tree and all inside it. No recursion, since a text may nest as deep as it likes."""
        waiting = [self]
        while waiting:
            tree = waiting.pop()
            yield tree
            waiting += [child for child in reversed(tree.children) if isinstance(child, Tree)]


class Unreadable(Exception):
    """The text is none of the language."""


class UnexpectedCharacter(Unreadable):
    """No terminal begins at `position`."""

    def __init__(self, position: int):
        super().__init__(f"no terminal at {position}")
        self.position = position


class UnexpectedToken(Unreadable):
    """`token` cannot stand where it does; its type is `END` where the text ends too early.

    `accepts` are the terminals that could have stood there.
    """

    def __init__(self, token: Token, accepts: frozenset[str]):
        super().__init__(f"unexpected {token.type}")
        self.token, self.accepts = token, accepts


class Rule(NamedTuple):
    """How one alternative of a rule becomes a node.

    `kept` says which of the `size` things read become children: how many empty places come before
    it, its index, and whether its own children stand in for it. `after` are the empty places at
    the end. A `thin` rule with one child is that child.
    """

    origin: str
    name: str
    size: int
    kept: list[tuple[int, int, bool]]
    after: int
    thin: bool


class Tables(NamedTuple):
    """A grammar, ready to parse with. All of it is JSON.

    `states[n]` maps a terminal, or the rule that was just read, to what follows: the next state
    where it is not negative, else `-1 - index` of a rule that ends here.
    """

    pattern: str  # of all terminals, each a named group
    words: dict[str, dict[str, str]]  # terminal -> texts of it that are terminals of their own
    ignored: list[str]
    rules: list[Rule]
    states: list[dict[str, int]]
    start: int
    end: int


class Parser:
    """Reads texts of one grammar."""

    def __init__(self, tables: Tables):
        self.tables = tables
        self.pattern = re.compile(tables.pattern)
        self.ignored = frozenset(tables.ignored)

    def lex(self, text: str) -> Iterator[Token]:
        """The tokens of a text. Raises `UnexpectedCharacter`."""
        match, words, ignored, of = self.pattern.match, self.tables.words, self.ignored, Token.of
        at = 0
        while at < len(text):
            found = match(text, at)
            if found is None:
                raise UnexpectedCharacter(at)
            type_, value = found.lastgroup or "", found[0]
            if type_ not in ignored:
                yield of(words[type_].get(value, type_) if type_ in words else type_, value, at)
            at = found.end()

    def parse(self, text: str) -> Tree:
        """The tree of a whole text. Raises `Unreadable`."""
        rules, table, end = self.tables.rules, self.tables.states, self.tables.end
        states: list[int] = [self.tables.start]
        values: list[Any] = []
        places: list[tuple[int, int] | None] = []
        last = Token.of(END, "", 0)
        for token in self._to_the_end(text):
            closing = token.type == END
            if closing:
                token.start_pos, token.end_pos = last.start_pos, last.end_pos
            while True:
                action = table[states[-1]].get(token.type)
                if action is None:
                    raise UnexpectedToken(token, self._accepts(states))
                if action >= 0:
                    states.append(action)
                    values.append(token)
                    places.append((token.start_pos, token.end_pos))
                    break
                rule = rules[-1 - action]
                _reduce(rule, states, values, places)
                states.append(table[states[-1]][rule.origin])
                if closing and states[-1] == end:
                    tree: Tree = values[-1]
                    return tree
            last = token
        raise AssertionError("the end of a text is read or unexpected")

    def _to_the_end(self, text: str) -> Iterator[Token]:
        yield from self.lex(text)
        yield Token.of(END, "", len(text))

    def _accepts(self, states: list[int]) -> frozenset[str]:
        """The terminals that can follow in a state of the parser."""
        return frozenset(name for name in self.tables.states[states[-1]] if self._takes(list(states), name))

    def _takes(self, states: list[int], name: str) -> bool:
        if not (name.isupper() or name == END):
            return False
        while (action := self.tables.states[states[-1]].get(name)) is not None and action < 0:
            rule = self.tables.rules[-1 - action]
            if rule.size:
                del states[-rule.size :]
            states.append(self.tables.states[states[-1]][rule.origin])
            if name == END and states[-1] == self.tables.end:
                return True
        return action is not None


def _reduce(rule: Rule, states: list[int], values: list[Any], places: list[tuple[int, int] | None]) -> None:
    """What a rule has read, taken from the stacks, becomes one value with its place."""
    place = None
    read: list[Any] = []
    if rule.size:
        read = values[-rule.size :]
        known = [one for one in places[-rule.size :] if one is not None]
        place = (known[0][0], known[-1][1]) if known else None
        del states[-rule.size :], values[-rule.size :], places[-rule.size :]
    children: list[Any] = []
    for empty, index, opened in rule.kept:
        if empty:
            children += [None] * empty
        if opened:
            children += read[index].children
        else:
            children.append(read[index])
    if rule.after:
        children += [None] * rule.after
    thin = rule.thin and len(children) == 1
    values.append(children[0] if thin else Tree(rule.name, children, Meta(place)))
    places.append(place)
