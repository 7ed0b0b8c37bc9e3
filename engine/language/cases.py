"""What `when` could be: every case in which other nodes are left out than in the one at hand.

A node that `when` leaves out takes its columns along, so what reads them is wrong as soon as
somebody sets the param. Each case is checked as the graph is, and what is wrong in it is told with
the case. A param with few values (bool, a choice) is tried with all of them; for any other the
`when` itself is taken as true and as false.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from itertools import combinations, product

from engine.frozen import dataclass
from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Wrong
from engine.language.expand import Expansion
from engine.language.given import Given
from engine.language.instances import Flat, Instance
from engine.language.kind import Role
from engine.language.settings import roles
from engine.language.types import SCALARS, Literal, Optional, Type

MOST = 64
"""Cases that are looked at for one node; where there are more, every two of its params together."""
ELSEWHERE = frozenset({"ATK112", "ATK180", "ATK181", "ATK182", "ATK184", "ATK186", "ATK190"})
"""Not told of a case: what a model needs, or a param, is asked for where it is used."""


@dataclass(frozen=True)
class Case:
    """Params by their name on the command line with a value as text, and `when`s by node."""

    values: tuple[tuple[str, str], ...] = ()
    whens: tuple[tuple[str, bool], ...] = ()
    said: str = ""

    def given(self, given: Given) -> Given:
        """What a check of this case is given."""
        return replace(given, values={**given.values, **dict(self.values)})


Choice = tuple[str, str | bool]
"""A param with one of its values as text; or a `when` that no param with few values decides, taken so."""
Assignment = tuple[Choice, ...]


@dataclass
class Sources:
    """What decides the `when`s of a graph: params with their values, and `when`s that none decides."""

    choices: dict[tuple[str, bool], tuple[Choice, ...]] = field(default_factory=dict)
    opaque: dict[str, list[str]] = field(default_factory=dict)  # expression -> nodes
    of: dict[str, frozenset[tuple[str, bool]]] = field(default_factory=dict)  # node -> those of its `when`


@dataclass(frozen=True)
class Unchecked:
    """A node above which there are more combinations than are looked at one by one."""

    node: str
    names: tuple[str, ...]
    count: int


def when(flat: Flat) -> ast.Expression | None:
    """The expression that may leave a node out."""
    with_role = roles(flat.kind.settings)
    settings = flat.declaration.block.settings
    return next((one.value for one in settings if with_role.get(one.name.text) is Role.WHEN), None)


def left_out(expansion: Expansion, flat: Flat) -> bool:
    """Whether `when` is false. What is wrong with it is told with the other settings."""
    written = when(flat)
    try:
        return written is not None and (expansion.expressions.constant(written, flat.home.scope()) is False)
    except Wrong:
        return False


def cases(expansion: Expansion, sources: Mapping[str, Sequence[str]]) -> tuple[list[Case], list[Unchecked]]:
    """The other cases, in no order, and nodes for which there are too many to look at all.

    Whether a node is right is decided by its own `when` and those above it, so what these can be in
    is looked at together, whatever the rest of the graph is. `sources` are the tables that a node reads.
    """
    found = _sources(expansion)
    made: dict[Assignment, None] = {}
    unchecked: list[Unchecked] = []
    for node, keys in _above(found.of, sources).items():
        turns = [found.choices[key] for key in sorted(keys)]
        count = math.prod(map(len, turns))
        if count <= MOST:
            made |= dict.fromkeys(product(*turns))
        else:
            unchecked.append(Unchecked(node, tuple(key for key, _ in sorted(keys)), count))
            made |= {pair: None for two in combinations(turns, 2) for pair in product(*two)}
    return [_case(chosen, found) for chosen in made], unchecked


def _sources(expansion: Expansion) -> Sources:
    found = Sources()
    for flat in expansion.flat.values():
        written = when(flat)
        if written is None:
            continue
        names = list(dict.fromkeys(_params(expansion, flat.home, written)))
        if any(name is None for name, _ in names):
            text = _resolved(flat.home, written)
            found.opaque.setdefault(text, []).append(flat.name)
            keys: dict[tuple[str, bool], tuple[Choice, ...]] = {(text, True): ((text, False), (text, True))}
        else:
            keys = {
                (str(name), False): tuple((str(name), value) for value in values) for name, values in names
            }
        found.choices |= keys
        found.of[flat.name] = frozenset(keys)
    return found


def _above(
    own: Mapping[str, frozenset[tuple[str, bool]]], sources: Mapping[str, Sequence[str]]
) -> dict[str, frozenset[tuple[str, bool]]]:
    """By node what decides it and all above it; of nodes that one says all of, only that one."""
    found = {name: own.get(name, frozenset()) for name in {**sources, **own}}
    growing = True
    while growing:
        growing = False
        for name, above in sources.items():
            grown = found[name].union(*(found.get(one, frozenset()) for one in above))
            growing |= grown != found[name]
            found[name] = grown
    largest = {keys: name for name, keys in found.items() if keys}
    return {name: keys for keys, name in largest.items() if not any(keys < other for other in largest)}


def _case(chosen: Assignment, found: Sources) -> Case:
    values = tuple((name, value) for name, value in chosen if isinstance(value, str))
    whens = [(text, value) for text, value in chosen if isinstance(value, bool)]
    forced = tuple((node, value) for text, value in whens for node in found.opaque[text])
    return Case(values, forced)


def at_hand(expansion: Expansion) -> Case:
    """The case that the graph is in: every param that has a value of a few."""
    values = {
        home.prefix + name: one.value
        for home in expansion.instances
        if home.graph is None
        for name, one in home.known.items()
    }
    words = {True: "true", False: "false", None: ""}
    return Case(
        tuple(
            (name, value if isinstance(value, str) else words[value])
            for name, value in values.items()
            if value is None or isinstance(value, bool | str)
        )
    )


def described(case: Case, now: Case, expansion: Expansion) -> Case:
    """The case with what is other in it than in the one at hand, in words."""
    before = dict(now.values)
    said = [f"`{name} = {value or 'null'}`" for name, value in case.values if before.get(name) != value]
    forced: dict[str, bool] = {}
    for node, value in case.whens:
        flat = expansion.flat[node]
        written = when(flat)
        if written is not None and value == left_out(expansion, flat):
            call = flat.home.call
            forced[f"`{written.text}`" + (f" of `{call.name.text}`" if call else "")] = value
    said += [f"{text} {'true' if value else 'false'}" for text, value in forced.items()]
    return replace(case, said=" and ".join(said))


def too_many(one: Unchecked, expansion: Expansion) -> Diagnostic:
    """The warning that a node was not looked at in every case."""
    names = ", ".join(f"`{name}`" for name in one.names)
    return Diagnostic(
        "ATK191",
        f"{one.count} cases of `when` decide `{one.node}`, and not all are checked: {names}",
        expansion.flat[one.node].declaration.name.span,
        "every two of them are tried together; one param with a few names would be checked whole",
        severity="warning",
    )


def told(diagnostic: Diagnostic, case: Case) -> Diagnostic:
    """What is wrong in a case, with the case."""
    return replace(diagnostic, message=f"with {case.said}: {diagnostic.message}")


def _params(
    expansion: Expansion, home: Instance, written: ast.Expression
) -> Iterator[tuple[str | None, tuple[str, ...]]]:
    """The params that an expression depends on, through slots and defaults; None for what is unknown."""
    for name in (node.name for node in ast.walk(written) if isinstance(node, ast.Name)):
        if home.graph is not None:
            yield from _slot(expansion, home, name)
        elif name in home.file.params:
            values = domain(home.known[name].type) if name in home.known else None
            yield (home.prefix + name, values) if values else (None, ())


def _resolved(home: Instance, written: ast.Expression) -> str:
    """An expression with what its slots are set to: alike where it is the same at several calls."""
    if home.graph is None or home.call is None or home.parent is None:
        return home.prefix + written.text
    names = {node.name for node in ast.walk(written) if isinstance(node, ast.Name)}
    given = [one for one in home.call.block.settings if one.name.text in names]
    values = [f"{one.name.text} = {_resolved(home.parent, one.value)}" for one in given]
    return ", ".join([written.text, *values])


def _slot(expansion: Expansion, home: Instance, name: str) -> Iterator[tuple[str | None, tuple[str, ...]]]:
    assert home.graph is not None
    if home.call is None or home.parent is None:
        yield None, ()
        return
    set_ = next((one for one in home.call.block.settings if one.name.text == name), None)
    if set_ is not None:
        yield from _params(expansion, home.parent, set_.value)
        return
    slot = next((one for one in home.graph.slots if one.name.text == name), None)
    if slot is not None and slot.default is not None:
        yield from _params(expansion, home, slot.default)


def domain(type_: Type) -> tuple[str, ...] | None:
    """All values of a type as the command line gives them; None where there is no end of them."""
    match type_:
        case Literal(values):
            return values
        case Optional(inner):
            some = domain(inner)
            return (*some, "") if some is not None else None
    return ("true", "false") if type_ == SCALARS["bool"] else None
