"""The graph of a test that is about a `graph`: a call of it over tables that only the test gives."""

from __future__ import annotations

from collections.abc import Mapping

from engine.language import tree as ast


def called(
    graph: ast.GraphDeclaration, settings: Mapping[str, ast.Setting], text: ast.Text
) -> dict[str, ast.NodeDeclaration]:
    """The call, under the graph's own name, and a source for each slot that takes a table.

    The sources are never read: the test gives their rows.
    """
    path = ast.String(span=graph.name.span, text='""', value="given", offsets=(), source=text)
    nodes: dict[str, ast.NodeDeclaration] = {}
    tables: list[ast.Path] = []
    for slot in graph.slots:
        if isinstance(slot.type, ast.TypeMany):
            block = ast.Block((ast.Setting(ast.Word("path", slot.name.span), path),))
            kind = ast.Path((ast.Word("source", slot.name.span),), slot.name.span)
            nodes[slot.name.text] = ast.NodeDeclaration(kind, slot.name, (), slot.type, block, slot.doc)
            tables.append(ast.Path((slot.name,), slot.name.span))
    kind = ast.Path((graph.name,), graph.name.span)
    block = ast.Block(tuple(settings.values()))
    nodes[graph.name.text] = ast.NodeDeclaration(kind, graph.name, tuple(tables), None, block, graph.doc)
    return nodes
