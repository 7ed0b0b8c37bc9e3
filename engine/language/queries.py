"""Queries bound to empty tables: which columns one gives, and whose ids it hands on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.language import tree as ast
from engine.language.binding import Binder, Unbound, spelled
from engine.language.diagnostics import Diagnostic, Wrong, suggestion, wrong
from engine.language.link import Query

Hint = Callable[[str], str | None]


def bound(
    binder: Binder,
    query: Query,
    tables: Mapping[tuple[str, ...], Mapping[str, str]],
    values: Mapping[str, Any],
    above: Mapping[str, str],
    hint: Hint,
) -> tuple[dict[str, str], set[str]]:
    """Columns of a query, and the ancestors whose ids are among them.

    `tables` are those it reads, by the names that it uses, ids included; `above` says whose each
    id column is. Raises `Wrong`.
    """
    try:
        found = binder.describe(query.written.value, tables, values)
    except Unbound as error:
        raise Wrong(_unbound(query.written, error, tables.values(), hint)) from None
    columns: dict[str, str] = {}
    ids: set[str] = set()
    seen: set[str] = set()
    span = query.written.span
    for name, kind in found:
        if name.casefold() in seen:
            help = "call one otherwise with AS, leave one out (SELECT * EXCLUDE (…)), or name it in USING"
            raise wrong("ATK127", f"the query gives two columns named `{name}`", span, help)
        seen.add(name.casefold())
        if name not in above:
            columns[name] = kind
        elif kind == "UUID":
            ids.add(above[name])
        else:
            message = f"`{name}` is the id of `{above[name]}`, and here it is {spelled(kind)}"
            raise wrong("ATK128", message, span, "give the column another name")
    return columns, ids


def _unbound(
    written: ast.String, error: Unbound, tables: Iterable[Mapping[str, str]], hint: Hint
) -> Diagnostic:
    known = {name for columns in tables for name in columns}
    lost = error.name if error.sort == "column" else None
    if lost is None and (found := re.search(r'"(\w+_id)"', error.message)):
        lost = found[1]
    help = error.help or (hint(lost) if lost else None)
    if help is None and lost and lost.endswith("_id"):
        # Ids of an imported file's tables, and of inner ones, bear its name in front.
        ids = sorted(name for name in known if name.endswith(f"_{lost}"))
        help = f"did you mean {' or '.join(f'`{name}`' for name in ids)}?" if ids else None
    if help is None and error.sort == "column" and error.name:
        help = suggestion(error.name, known)
    span = written.span
    if error.start is not None:
        span = written.place(error.start, error.length)
    else:  # DuckDB gives no place: a word that it complains about and that stands once
        for word in re.findall(r"`(\w+)`", error.message):
            places = [found.start() for found in re.finditer(rf"\b{re.escape(word)}\b", written.value)]
            if len(places) == 1:
                span = written.place(places[0], len(word))
                break
    return Diagnostic("ATK121", error.message, span, help)
