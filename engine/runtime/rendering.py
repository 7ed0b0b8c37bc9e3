"""The exact messages that a row of a prompt node sends, without sending them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.kinds.base import KindError
from engine.kinds.choices import asked_for
from engine.kinds.vary import chosen
from engine.language.program import Node, Program
from engine.language.types import schema_text

if TYPE_CHECKING:
    from engine.runtime.engine import Options


def messages_of(program: Program, options: Options, name: str, row: str) -> list[dict[str, str]]:
    """Messages of the first ask; of a `vary`, with the first of the prompts that the row gets.
    `row` is an id (or its beginning) of the node's table or of its input's.

       Raises `KindError` where there is no such node or row.
    """
    from engine.runtime.gates import Expressions

    node = program.nodes.get(name)
    if node is None or not node.templates or node.result is None:
        prompts = [one.name for one in program.nodes.values() if one.templates]
        raise KindError(f"no prompt node named `{name}`", f"prompts of this graph: {', '.join(prompts)}")
    columns = _columns(program, options, node, row)
    values: dict[str, Any] = {**node.values, **columns}
    source = program.nodes[node.inputs[0]]
    types = {column: entry.type for column, entry in source.columns.items()}
    lets = node.of("let")
    expressions = Expressions() if lets else None
    for clause in lets:
        assert expressions is not None
        needed = {column: types[column] for column in sorted(clause.reads)}
        types[str(clause.name)] = expressions.type_of(clause.sql, types)
        values[str(clause.name)] = expressions.evaluate([clause.sql], [values], needed)[0][0]
    template = node.template or chosen(node, values)[0][0]
    return template.render(values, schema_text(asked_for(node), getattr(node.settings, "reply", "json")), "")


def _columns(program: Program, options: Options, node: Node, row: str) -> dict[str, Any]:
    from engine.store.reader import open_reader

    wanted = row.strip().lower()
    if len(wanted) < 4 or not set(wanted) <= set("0123456789abcdef-"):
        raise KindError(f"`{row}` is no row id", "give an id, or its first 4 characters or more")
    source = program.nodes[node.inputs[0]]
    with open_reader(options.store, program.name) as reader:
        for table, identity in ((source, source.id_column), (node, node.id_column)):
            found = reader.sql(
                f'SELECT "{source.id_column}"::VARCHAR FROM {quoted(table.name)} '
                f"WHERE \"{identity}\"::VARCHAR LIKE '{wanted}%' LIMIT 2"
            ).rows
            if len(found) > 1:
                raise KindError(f"`{row}` is the beginning of several ids", "give more of it")
            if found:
                names = ", ".join(f'"{column}"' for column in source.columns)
                result = reader.sql(
                    f"SELECT {names} FROM {quoted(source.name)} "
                    f"WHERE \"{source.id_column}\" = '{found[0][0]}'"
                )
                return dict(zip(source.columns, result.rows[0], strict=True))
    raise KindError(
        f"no row of `{node.name}` or of its input begins with `{row}`",
        f'ids are in `atk sql "SELECT {source.id_column} FROM {source.name}"`',
    )


def quoted(name: str) -> str:
    """A table's name for SQL: `checked`, or `"single_turn"."built"`."""
    return ".".join(f'"{part}"' for part in name.split("."))
