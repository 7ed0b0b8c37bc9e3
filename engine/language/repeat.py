"""Calls that are repeated: `rounds = n` at the call of a graph writes the call out n times.

`grow labelled from seeds, passages { rounds = 2 }` becomes what could be written by hand:

    grow round_1 from seeds, passages
    grow round_2 from round_1, passages
    repeat labelled from round_1, round_2        # the rows of the last round that ran

This module makes these declarations, as the body of a graph with the slots of the one that is
called; `expand` writes them out like any other. `until` goes to the table of each round.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.language import tree as ast
from engine.language.columns import lacking
from engine.language.diagnostics import Diagnostic, Wrong, wrong
from engine.language.files import GraphFile, Loader, record_of, table_slot
from engine.language.types import duckdb_type

ROUNDS = "rounds"
ROUND = re.compile(r"round_\d+", re.IGNORECASE)


def rounds(declaration: ast.NodeDeclaration) -> ast.Setting | None:
    """The setting that makes a call a repeated one."""
    return next((one for one in declaration.block.settings if one.name.text == ROUNDS), None)


def hindered(loader: Loader, file: GraphFile, graph: ast.GraphDeclaration, setting: ast.Setting) -> None:
    """Whether what a graph gives can be handed into it again. Raises `Wrong` where it cannot."""
    slots = [(slot, loader.type(file, slot.type)) for slot in graph.slots]
    tables = [(slot, type_) for slot, type_ in slots if table_slot(type_)]
    name = graph.name.text
    if not tables:
        help = "a graph that is repeated takes a table, and gives its next version"
        raise wrong("ATK170", f"`{name}` takes no table to hand from round to round", setting.name.span, help)
    taken = [slot.name for slot, _ in tables if ROUND.fullmatch(slot.name.text)]
    if taken:
        raise wrong("ATK102", f"`{taken[0].text}` is what the table of a round is called", taken[0].span)
    first, wanted = tables[0]
    result = loader.type(file, graph.result)
    given = {one.name: duckdb_type(one.type) for one in record_of(result) or ()}
    faults = lacking(given, wanted)
    if faults:
        at = ((graph.result.span, "what it gives"), (first.type.span, "what it takes"))
        raise Wrong(
            *(
                Diagnostic(
                    "ATK117",
                    f"`{name}` cannot be repeated: what it gives {fault}, which its first table needs",
                    setting.name.span,
                    related=at,
                )
                for fault in faults
            )
        )


def written_out(
    declaration: ast.NodeDeclaration,
    graph: ast.GraphDeclaration,
    setting: ast.Setting,
    count: int,
    tables: Sequence[str],
) -> ast.GraphDeclaration:
    """The rounds of a call as the body of a graph; `tables` are the slots that take one."""
    at = declaration.name.span
    untils = tuple(clause for clause in declaration.block.clauses if clause.word.text == "until")
    handed = tuple(
        ast.Setting(slot.name, ast.Name(span=at, text=slot.name.text, name=slot.name.text))
        for slot in graph.slots
        if slot.name.text not in tables
    )

    def path(name: str) -> ast.Path:
        return ast.Path((ast.Word(name, setting.name.span),), setting.name.span)

    counted = ast.Constant(span=setting.value.span, text=str(count), value=count)
    names = [f"round_{number}" for number in range(1, count + 1)]
    nodes = [
        ast.NodeDeclaration(
            ast.Path((ast.Word(graph.name.text, declaration.kind.span),), declaration.kind.span),
            ast.Word(name, at),
            tuple(path(one) for one in (before, *tables[1:])),
            None,
            ast.Block(settings=handed, clauses=untils),
            declaration.doc,
        )
        for before, name in zip([tables[0], *names], names, strict=False)
    ]
    last = ast.NodeDeclaration(
        path("repeat"),
        ast.Word(ROUNDS, at),
        tuple(path(name) for name in names),
        None,
        ast.Block(settings=(ast.Setting(setting.name, counted),)),
        declaration.doc,
    )
    return ast.GraphDeclaration(
        graph.name, graph.slots, graph.result, (*nodes, last), path(ROUNDS), graph.doc
    )
