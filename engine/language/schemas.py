"""A type as a database and as a model see it: DuckDB type, JSON schema, the text of `{{ schema }}`.

How a reply that is not an object is wrapped into one is decided in `wrapping` and nowhere
else. No value is looked at here.
"""

from __future__ import annotations

from typing import Any

from engine.language.shapes import Field, Literal, Many, Optional, Record, Scalar, Type

_DUCKDB = {"str": "VARCHAR", "path": "VARCHAR", "int": "BIGINT", "float": "DOUBLE", "bool": "BOOLEAN"}
_JSON = {"str": "string", "path": "string", "int": "integer", "float": "number", "bool": "boolean"}
_WORDS = {
    "str": "string",
    "path": "string",
    "int": "whole number",
    "float": "number",
    "bool": "true or false",
}


def duckdb_type(type_: Type) -> str:
    """The DuckDB type of a column that holds such values. Every column may be NULL."""
    match type_:
        case Scalar(name):
            return _DUCKDB[name]
        case Literal():
            return "VARCHAR"
        case Many(inner):
            return duckdb_type(inner) + "[]"
        case Optional(inner):
            return duckdb_type(inner)
        case Record(fields):
            if not fields:
                raise ValueError("a record without fields has no DuckDB type")
            columns = ", ".join(f"{_identifier(f.name)} {duckdb_type(f.type)}" for f in fields)
            return f"STRUCT({columns})"


def wrapping(type_: Type) -> str | None:
    """The key under which a reply of this type stands, or None where it is an object itself.

    Structured output demands an object at the top (OpenAI's strict mode), so `QA[]` is asked
    for as `{"items": [...]}` and `QA?` as `{"item": {...}}` or `{"item": null}`. The schema,
    the text in the prompt and the parser of replies all ask here.
    """
    match type_:
        case Record():
            return None
        case Many():
            return "items"
        case Optional(inner):
            return wrapping(inner) or "item"
        case _:
            return "item"


def json_schema(type_: Type) -> dict[str, Any]:
    """The JSON schema of a reply, in the strict dialect of structured output.

    Every field is required, `T?` may be null, nothing else is allowed; fields keep their
    order, which is the order of generation; doc comments are descriptions.
    """
    key = wrapping(type_)
    if key is None:
        return _node(type_)
    return {
        "type": "object",
        "properties": {key: _node(type_)},
        "required": [key],
        "additionalProperties": False,
    }


def _node(type_: Type, doc: str | None = None) -> dict[str, Any]:
    match type_:
        case Scalar(name):
            node: dict[str, Any] = {"type": _JSON[name]}
        case Literal(values):
            node = {"type": "string", "enum": list(values)}
        case Many(inner):
            node = {"type": "array", "items": _node(inner)}
        case Optional(inner):
            node = _nullable(_node(inner))
        case Record(fields):
            node = {
                "type": "object",
                "properties": {f.name: _node(f.type, f.doc) for f in fields},
                "required": [f.name for f in fields],
                "additionalProperties": False,
            }
            doc = doc or type_.doc
    if doc:
        node["description"] = doc
    return node


def _nullable(node: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in node or isinstance(node["type"], list):
        return node
    if node["type"] == "object":
        return {"anyOf": [node, {"type": "null"}]}
    node["type"] = [node["type"], "null"]
    if "enum" in node:
        node["enum"] = [*node["enum"], None]
    return node


def text_field(type_: Type) -> str | None:
    """The field that a whole reply goes into (`reply = "text"`); None where the type has no such one."""
    inner = type_.of if isinstance(type_, Optional) else type_
    if not isinstance(inner, Record) or len(inner.fields) != 1:
        return None
    field = inner.fields[0]
    kind = field.type.of if isinstance(field.type, Optional) else field.type
    return field.name if isinstance(kind, (Scalar, Literal)) else None


def schema_text(type_: Type, form: str = "json") -> str:
    """What `{{ schema }}` prints: the wanted shape in a few lines that a small model can follow.

    `form` is how the reply will be read: "json", "text" or "tags".
    """
    if form == "text":
        return _text_text(type_)
    if form == "tags":
        return _tags_text(type_)
    key, inner = wrapping(type_), type_.of if isinstance(type_, Optional) else type_
    shape = _shape(inner, "") if key is None else _shape(Record((Field(key, inner),)), "")
    lines = ["Reply with JSON only, without any other text, in this shape:", "", shape]
    if isinstance(inner, Many):
        lines += ["", f'If there is nothing to give, reply {{"{key}": []}}.']
    if isinstance(type_, Optional):
        lines += ["", f'To decline, reply {{"{key}": null}}.']
    return "\n".join(lines)


def _shape(type_: Type, indent: str) -> str:
    """An example-like sketch: JSON punctuation, with words where values go."""
    match type_:
        case Scalar(name):
            return _WORDS[name]
        case Literal(values):
            return " or ".join(f'"{value}"' for value in values)
        case Optional(inner):
            return _shape(inner, indent) + " or null"
        case Many(Record() as inner):
            return f"[\n{indent}  {_shape(inner, indent + '  ')},\n{indent}  ...\n{indent}]"
        case Many(inner):
            return f"[{_shape(inner, indent)}, ...]"
        case Record(fields):
            lines = [_line(f, indent + "  ", last=f is fields[-1]) for f in fields]
            return "{\n" + "\n".join(lines) + f"\n{indent}}}"


def _line(field: Field, indent: str, last: bool) -> str:
    shape = _shape(field.type, indent)
    comment = "  // " + " ".join(field.doc.split()) if field.doc else ""
    comma = "" if last else ","
    if "\n" in shape:  # a comment after the closing bracket would be read too late
        first, rest = shape.split("\n", 1)
        return f'{indent}"{field.name}": {first}{comment}\n{rest}{comma}'
    return f'{indent}"{field.name}": {shape}{comma}{comment}'


def _text_text(type_: Type) -> str:
    inner = type_.of if isinstance(type_, Optional) else type_
    only = inner.fields[0].type if isinstance(inner, Record) and inner.fields else Scalar("str")
    only = only.of if isinstance(only, Optional) else only
    wanted = "the text" if only in (Scalar("str"), Scalar("path")) else _shape(only, "")
    decline = " To decline, reply null." if isinstance(type_, Optional) else ""
    return f"Reply with {wanted} alone, without any other words.{decline}"


def _tags_text(type_: Type) -> str:
    inner = type_.of if isinstance(type_, Optional) else type_
    lines = ["Reply with these tags only, each filled in:", "", *_tags(inner, "")]
    if isinstance(inner, Many):
        lines += ["", "Repeat <item> for each one; if there is nothing to give, reply <items></items>."]
    if isinstance(type_, Optional):
        lines += ["", "To decline, reply null."]
    return "\n".join(lines)


def _tags(type_: Type, indent: str) -> list[str]:
    match type_:
        case Record(fields):
            return [line for f in fields for line in _tag(f, indent)]
        case Many(inner):
            return _tag(Field("item", inner), indent)
        case _:
            return _tag(Field("item", type_), indent)


def _tag(field: Field, indent: str) -> list[str]:
    name, doc = field.name, f" ({' '.join(field.doc.split())})" if field.doc else ""
    kind = field.type.of if isinstance(field.type, Optional) else field.type
    spare = ", or leave it empty" if isinstance(field.type, Optional) else ""
    match kind:
        case Record():
            return [f"{indent}<{name}>{doc}", *_tags(kind, indent + "  "), f"{indent}</{name}>"]
        case Many(Record() as inner):
            return [
                f"{indent}<{name}>{doc}",
                *_tag(Field("item", inner), indent + "  "),
                f"{indent}  ... one <item> for each",
                f"{indent}</{name}>",
            ]
        case Many(inner):
            return [f"{indent}<{name}>{_shape(inner, '')}{doc}</{name}> (repeated for each one)"]
        case _:
            return [f"{indent}<{name}>{_shape(kind, '')}{doc}{spare}</{name}>"]


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
