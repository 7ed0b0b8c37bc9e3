"""What people write who know another language, and how it is said here: help for syntax errors."""

from __future__ import annotations

import re

_TYPE = "a shape is written: type Name { field: str }"
_USE = 'another file is brought in with: use "lib/text.atk"'
_CHOICE = "there is no `if` among statements: a node has `when = …`, an expression if(c, a, b)"
_NODE = "a step is a node: kind name from inputs -> Type { … }"
_QUERY = 'SQL stands in an `sql` node: sql name { query = """ … """ }'
_PARAM = "a value that may be set from outside is written: param name: type = value"
_STATEMENTS = {
    **dict.fromkeys(("class", "struct", "enum", "interface", "record"), _TYPE),
    **dict.fromkeys(("import", "include", "from", "require", "load"), _USE),
    **dict.fromkeys(("if", "else", "elif", "when", "match", "switch"), _CHOICE),
    **dict.fromkeys(("for", "while", "loop"), "there are no loops: a node works on every row by itself"),
    **dict.fromkeys(("def", "fn", "func", "function", "async"), _NODE),
    **dict.fromkeys(("let", "var", "const", "set"), _PARAM),
    **dict.fromkeys(
        ("select", "with", "create"), 'SQL stands in an `sql` node: sql name { query = """ … """ }'
    ),
}
_SQL = {
    "is": "what may be null is compared with `==` and `!=`: x != null",
    "like": "to look for a piece of text, write contains(text, piece)",
    "ilike": "to look for a piece of text, write contains(lower(text), piece)",
    "between": "write both sides out: 1 <= x and x <= 2",
    "when": "a choice is written if(c, a, b)",
    "xor": "write a != b",
}
_COMMENT = "comments begin with `#`"
# Behind `'`, `"` and "`" stand messages of their own.
_SIGNS = (
    ("//", _COMMENT),
    ("/*", _COMMENT),
    ("--", _COMMENT),
    ("=>", "what a call gives back stands behind `->`"),
    ("<>", "write `!=`"),
    ("&&", "write `and`"),
    ("&", "write `and`"),
    ("===", "write `==`"),
    ("!", "write `not`, or `!=` to compare"),
    (";", "statements, settings and fields end by themselves"),
    ("$", "params are named without `$` outside of queries"),
    ("{{", "there is no Jinja in a graph: a param is named as it is"),
    ("{%", "there is no Jinja in a graph"),
    ("\N{LEFT DOUBLE QUOTATION MARK}", 'strings take straight quotes: "…"'),
    ("\N{RIGHT DOUBLE QUOTATION MARK}", 'strings take straight quotes: "…"'),
    ("\N{DOUBLE LOW-9 QUOTATION MARK}", 'strings take straight quotes: "…"'),
    ("\N{LEFT SINGLE QUOTATION MARK}", 'strings take straight double quotes: "…"'),
    ("\N{RIGHT SINGLE QUOTATION MARK}", 'strings take straight double quotes: "…"'),
    ("\N{NO-BREAK SPACE}", "this looks like a space and is none"),
)
_NAMES = {
    "True": "true", "False": "false", "None": "null", "NULL": "null", "nil": "null", "TRUE": "true",
    "FALSE": "false", "undefined": "null",
}  # fmt: skip
_TYPES = {
    **dict.fromkeys(("string", "text", "varchar", "char", "String"), "`str`"),
    **dict.fromkeys(("integer", "bigint", "long", "number_int"), "`int`"),
    **dict.fromkeys(("number", "double", "real", "decimal"), "`float`, or `int` for whole numbers"),
    **dict.fromkeys(("boolean", "Bool"), "`bool`"),
    **dict.fromkeys(("list", "array", "List", "Array"), "`T[]`, such as str[]"),
    **dict.fromkeys(
        ("dict", "map", "object", "json", "Dict", "any"), "a record, its fields written out: { a: str }"
    ),
    **dict.fromkeys(("optional", "Optional"), "`T?`, such as str?"),
    **dict.fromkeys(("date", "datetime", "time", "timestamp"), "`str`: there is no type for times"),
    **dict.fromkeys(("enum", "literal", "Literal"), 'the texts written out: "a" | "b"'),
}
_WORD = re.compile(r"[A-Za-z_]\w*")
_LISTED = re.compile(r"([A-Za-z_]\w*)\s*[\[(<]\s*$")
_LAST_WORD = re.compile(r"([A-Za-z_]\w*)\s*$")


def of_statement(text: str) -> tuple[str, str] | None:
    """The first word of a statement that other languages have and this one has not, and the mend."""
    word = _WORD.match(text)
    help = _STATEMENTS.get(word[0].lower()) if word else None
    return (word[0], help) if word and help else None


def of_sign(text: str, at: int) -> str | None:
    """What helps where reading stopped at `text[at]`: a sign that means something elsewhere."""
    for sign, help in _SIGNS:
        # Reading may have stopped at the second character of it: `<` is a sign here, `<>` is none.
        for begin in range(max(at - len(sign) + 1, 0), at + 1):
            if text.startswith(sign, begin):
                return help
    return None


def of_words(before: str) -> str | None:
    """What helps where reading stopped behind these words: `is`, `like` and others of SQL."""
    if (listed := _LISTED.search(before)) and listed[1].lower() in _TYPES:
        return f"write {_TYPES[listed[1].lower()]}"
    if before.endswith("f") and not _WORD.search(before[-2:-1]):
        return "texts are joined with `||`, a param by its name"
    word = _LAST_WORD.search(before)
    return _SQL.get(word[1].lower()) if word else None


def name(written: str) -> str | None:
    """The word of the language for a constant of another one."""
    meant = _NAMES.get(written)
    return f"write `{meant}`" if meant else None


def type_name(written: str) -> str | None:
    """What stands here for a type of another language."""
    meant = _TYPES.get(written) or _TYPES.get(written.lower())
    return f"write {meant}" if meant else None
