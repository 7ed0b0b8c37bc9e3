"""What `when` could be: every case in which other nodes are left out than in the one at hand.

A node that `when` leaves out takes its columns along, so what reads them is wrong as soon as
somebody sets the param. Each case is checked as the graph is, and what is wrong in it is told with
the case. A param with few values (bool, a choice) is tried with all of them; for any other the
`when` itself is taken as true and as false.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product

from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Wrong
from engine.language.expand import Expansion
from engine.language.given import Given
from engine.language.instances import Flat, Instance
from engine.language.kind import Role
from engine.language.settings import roles
from engine.language.types import SCALARS, Literal, Optional, Type

MOST = 64
"""Cases that are looked at; where there are more, each param is turned on its own."""
ELSEWHERE = frozenset({"ATK112", "ATK119", "ATK180", "ATK181", "ATK182", "ATK184", "ATK186", "ATK190"})
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


@dataclass
class Sources:
    """What decides the `when`s of a graph: params with their values, and `when`s that none decides."""

    params: dict[str, tuple[str, ...]] = field(default_factory=dict)
    opaque: dict[str, list[str]] = field(default_factory=dict)  # expression -> nodes


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


def cases(expansion: Expansion) -> list[Case]:
    """The other cases, in no order."""
    found = Sources()
    for flat in expansion.flat.values():
        written = when(flat)
        if written is None:
            continue
        names = list(dict.fromkeys(_params(expansion, flat.home, written)))
        if any(name is None for name, _ in names):
            found.opaque.setdefault(written.text, []).append(flat.name)
        else:
            found.params |= {str(name): values for name, values in names}
    turns: list[list[tuple[str, str | bool]]] = [
        [(name, value) for value in values] for name, values in found.params.items()
    ]
    whens: list[list[tuple[str, str | bool]]] = [[(text, False), (text, True)] for text in found.opaque]
    count = 1
    for choices in (*turns, *whens):
        count *= len(choices)
    if count == 1:
        return []
    alone = ((one,) for choices in (*turns, *whens) for one in choices)
    made: Iterable[tuple[tuple[str, str | bool], ...]] = product(*turns, *whens) if count <= MOST else alone
    return [_case(chosen, found) for chosen in made]


def _case(chosen: tuple[tuple[str, str | bool], ...], found: Sources) -> Case:
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
        written = when(expansion.flat[node])
        if written is not None and value == left_out(expansion, expansion.flat[node]):
            forced[written.text] = value
    said += [f"`{text}` {'true' if value else 'false'}" for text, value in forced.items()]
    return replace(case, said=" and ".join(said))


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
