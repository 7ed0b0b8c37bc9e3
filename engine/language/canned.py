"""Replies that a test gives in a model's place: `reply = [first row, (one call, the next), …]`.

A list has one entry for each row that asks, in the order of the rows. An entry is one reply, or
several in parentheses where the row is asked more than once. A reply is a value of the node's type,
a text that is taken as the model's own words, or `cut("…")` and `refused("…")`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from engine.frozen import dataclass
from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Span, Wrong, suggestion, wrong
from engine.language.kind import Role
from engine.language.program import Node
from engine.language.settings import roles
from engine.language.types import Record, Type, accepts, describe

if TYPE_CHECKING:
    from engine.language.trying import TestCheck

STATES: Mapping[str, Literal["cut", "refused"]] = {"cut": "cut", "refused": "refused"}


@dataclass(frozen=True)
class Canned:
    """One reply: a `value` to be written as the node's type asks, or the very `text` of a reply."""

    status: Literal["ok", "cut", "refused"]
    text: str | None
    value: Any
    span: Span


def asks(check: TestCheck, node: Node) -> bool:
    """Whether rows of a node are put to a model."""
    kind = check.checking.given.kinds[node.kind]
    return Role.MODEL in roles(kind.settings).values() and not node.skipped


def replies(
    check: TestCheck, tested: str, path: Sequence[str]
) -> dict[str, tuple[tuple[Canned, ...], ...]] | None:
    """The replies of each node that asks; None where something is wrong, which is reported."""
    asking = [name for name in path if asks(check, check.node(name))]
    found = [one for one in check.declaration.block.settings if one.name.text == "reply"]
    for again in found[1:]:
        check.report_here(Diagnostic("ATK102", "`reply` is set twice", again.name.span))
    made: dict[str, tuple[tuple[Canned, ...], ...]] = {}
    good = len(found) < 2
    for name, written in (_lists(check, tested, asking, found[0].value) if found else {}).items():
        try:
            made[name] = _rows(check, check.node(name), written)
        except Wrong as error:
            check.tell(error)
            good = False
    if found and not made and not (isinstance(found[0].value, ast.Object) and not found[0].value.pairs):
        good = False
    if asking and not found:
        name = asking[-1]
        list_of = "[{ … }]"
        example = f"reply = {list_of}" if name == tested else f"reply = {{ {key(name)}: {list_of} }}"
        message = f"`{name}` asks a model, and the test has no reply"
        at = check.declaration.node.span
        check.report_here(Diagnostic("ATK207", message, at, f"one for each row: {example}"))
        good = False
    return made if good else None


def _lists(
    check: TestCheck, tested: str, asking: Sequence[str], written: ast.Expression
) -> dict[str, ast.Expression]:
    """The list for each node. What is wrong is reported."""
    if not isinstance(written, ast.Object):
        if tested in asking:
            return {tested: written}
        check.report_here(_unasked(check, tested, asking, written.span))
        return {}
    made: dict[str, ast.Expression] = {}
    for key, value in written.pairs:
        try:
            name = check.table(key.text, key.span)
        except Wrong:
            check.report_here(
                Diagnostic(
                    "ATK209",
                    f"no node that asks is named `{key.text}`",
                    key.span,
                    suggestion(key.text, asking)
                    if tested not in asking or len(asking) > 1
                    else "replies stand in a list: reply = [{ … }]",
                )
            )
            continue
        if name in made:
            check.report_here(Diagnostic("ATK102", f"`{key.text}` is given twice", key.span))
        elif name not in asking:
            check.report_here(_unasked(check, name, asking, key.span))
        else:
            made[name] = value
    return made


def key(name: str) -> str:
    """A node's name as the key of an object."""
    return f'"{name}"' if "." in name else name


def _unasked(check: TestCheck, name: str, asking: Sequence[str], span: Span) -> Diagnostic:
    help = (
        "name the node that asks: reply = { " + ", ".join(f"{key(one)}: [{{ … }}]" for one in asking) + " }"
        if asking
        else "leave `reply` out"
    )
    return Diagnostic("ATK209", f"`{name}` asks no model in this test", span, help)


def _rows(check: TestCheck, node: Node, written: ast.Expression) -> tuple[tuple[Canned, ...], ...]:
    if not isinstance(written, ast.Sequence) or written.bracket != "[":
        raise wrong(
            "ATK208", "replies stand in a list, one for each row that asks", written.span, "[{ … }, { … }]"
        )
    made: list[tuple[Canned, ...]] = []
    told: list[Diagnostic] = []
    failed = False
    for entry in written.items:
        several = isinstance(entry, ast.Sequence) and entry.bracket == "("
        calls: list[Canned] = []
        for item in entry.parts if several else (entry,):
            try:
                calls.append(_reply(check, node, item))
            except Wrong as error:
                failed = True
                told += error.diagnostics
        made.append(tuple(calls))
    if failed:
        raise Wrong(*told)
    return tuple(made)


def _reply(check: TestCheck, node: Node, item: ast.Expression) -> Canned:
    expressions, scope = check.expressions, check.checking.top.scope()
    if isinstance(item, ast.Call) and item.name is not None and item.name in STATES:
        inner = [value for _, value in item.arguments]
        text = expressions.constant(inner[0], scope) if len(inner) == 1 else None
        if not isinstance(text, str):
            raise wrong("ATK208", f'`{item.name}` takes what was said: {item.name}("…")', item.span)
        return Canned(STATES[item.name], text, None, item.span)
    value = expressions.constant(item, scope)
    if isinstance(value, str):
        return Canned("ok", value, None, item.span)
    _fits(node, value, item)
    return Canned("ok", None, value, item.span)


def _fits(node: Node, value: Any, item: ast.Expression) -> None:
    """A value is of the node's type, or of that of its repair. Raises `Wrong` at the part at fault."""
    types: list[Type] = [
        one for one in (node.result, *(part.result for part in node.sections.values())) if one is not None
    ]
    refusals = [refused for type_ in types if (refused := accepts(type_, value))]
    if len(refusals) < len(types):
        return
    meant = max(types, key=lambda one: (_shared(one, value), one is types[0]))
    refused = refusals[types.index(meant)]
    what = refused if refused.startswith("`") else f"the reply {refused}"
    raise wrong(
        "ATK208",
        f"no reply of `{node.name}`: {what}",
        item.span,
        f"it gives {describe(meant, expand=True)}; a text is taken as the model's own words",
    )


def _shared(type_: Type, value: Any) -> int:
    while not isinstance(type_, Record) and hasattr(type_, "of"):
        type_ = type_.of
    if isinstance(value, list):
        value = value[0] if value else None
    fields = {one.name for one in type_} if isinstance(type_, Record) else set()
    return len(fields & value.keys()) if isinstance(value, dict) else 0
