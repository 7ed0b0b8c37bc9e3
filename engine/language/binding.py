"""DuckDB as a checker: what an expression or a query is, over tables that are empty.

One connection in memory, opened when first needed; nothing outside can be read through it.
Errors come back as `Unbound` with the place that DuckDB gives, in characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.frozen import dataclass
from engine.language.comparisons import nonsense
from engine.language.remembered import Remembered, version_of
from engine.language.sqltext import identifier, text

if TYPE_CHECKING:
    import duckdb

_CONFINED = {
    "errors_as_json": "true",
    "python_enable_replacements": "false",
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
# The type of what is always null, which no table can have; DuckDB itself then takes INTEGER.
_NULL = re.compile(r'"NULL"(?=[\[\],)]|$)')
_NO_MATCH = re.compile(
    r"(?:No function matches the given name and argument types|"
    r"Could not choose a best candidate function for the function call) ['\"](.+?)\((.*?)\)['\"]\."
)
_COMPARE = re.compile(
    r"Cannot (?:compare|mix) values of type (.+?) and (?:type )?(.+?)(?: in (.+?))? - an explicit"
)
_INTEGERS = re.compile(r"\b(HUGEINT|BIGINT|INTEGER|SMALLINT|TINYINT|UBIGINT|UINTEGER)(_LITERAL)?\b")
_FLOATS = re.compile(r"\b(DOUBLE|FLOAT|DECIMAL)(\(\d+,\d+\))?")
# What DuckDB takes for a BIGINT or a DOUBLE without a word.
_WIDENED = frozenset({"INTEGER", "SMALLINT", "TINYINT", "UINTEGER", "FLOAT", "DECIMAL"})
_SPELLED = (
    (re.compile(r"\b(VARCHAR|STRING_LITERAL)\b"), "str"),
    (_INTEGERS, "int"),
    (_FLOATS, "float"),
    (re.compile(r"\bBOOLEAN\b"), "bool"),
    (re.compile(r'"?\bNULL\b"?'), "null"),
)


# What these give depends on more than what is written.
_VOLATILE = re.compile(
    r"(?i)\b(now|today|current_\w+|get_current_\w+|\w*timestamp|random|setseed|\w*uuid\w*|nextval|getvariable"
    r"|txid_current|version|age)\b"
)


def spelled(type_: str, kept: frozenset[str] = frozenset()) -> str:
    """A DuckDB type in the words of the language, where it has them; types of `kept` as DuckDB calls them."""
    for pattern, word in _SPELLED:
        if kept:
            for found in {one[0] for one in pattern.finditer(type_)} - kept:
                type_ = re.sub(rf"(?<!\w){re.escape(found)}(?!\w)", word, type_)
        else:
            type_ = pattern.sub(word, type_)
    return type_


class Unbound(Exception):
    """What DuckDB has against an expression or a query.

    `sort` is "column", "function", "table", "syntax" or None; `name` what is unknown; `start`
    and `length` say where in the query, in characters, or `start` is None.
    """

    def __init__(
        self,
        message: str,
        help: str | None = None,
        sort: str | None = None,
        name: str | None = None,
        start: int | None = None,
        length: int = 1,
    ):
        super().__init__(message)
        self.message, self.help, self.sort, self.name = message, help, sort, name
        self.start, self.length = start, length


@dataclass(frozen=True)
class Mention:
    """A table or a parameter in a query: its name's parts, and where it stands."""

    parts: tuple[str, ...]
    start: int
    length: int


class Binder:
    """One checking session."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, ...], str] = {}  # tables by name, with their columns
        self.remembered = Remembered("bindings", version_of("_duckdb") or version_of("duckdb"))

    @cached_property
    def connection(self) -> duckdb.DuckDBPyConnection:
        connection: duckdb.DuckDBPyConnection = _library().connect(config={"threads": 1})
        for setting, value in _CONFINED.items():
            connection.execute(f"SET {setting} = {value}")
        return connection

    # -- expressions ---------------------------------------------------------------------

    def type_of(self, sql: str, columns: Mapping[str, str]) -> str:
        """The type of an expression over one row with these columns. Raises `Unbound`."""
        key = self.remembered.key("type", sql, list(columns.items()))
        if (known := self.remembered.get(key)) is not None:
            return str(known)
        found = str(self._fetch(f"DESCRIBE SELECT {sql} AS it {_row(columns)}")[0][1])
        self.remembered.put(key, found)
        return found

    def type_and_rows(self, sql: str, columns: Mapping[str, str]) -> tuple[str, bool]:
        """The type of an expression, and whether it is over many rows. Raises `Unbound`."""
        key = self.remembered.key("type and rows", sql, list(columns.items()))
        if (known := self.remembered.get(key)) is not None:
            return str(known[0]), bool(known[1])
        found = self._type_and_rows(sql, columns)
        self.remembered.put(key, found)
        return found

    def _type_and_rows(self, sql: str, columns: Mapping[str, str]) -> tuple[str, bool]:
        row = _row(columns) or "FROM (SELECT 1)"
        try:  # what is over many rows cannot stand in a WHERE
            found = self._fetch(f"DESCRIBE SELECT {sql} AS it {row} WHERE ({sql}) IS NULL")
            return str(found[0][1]), False
        except Unbound as error:
            many = "aggregate" in error.message.lower()
        return self.type_of(sql, columns), many

    def value(self, sql: str) -> Any:
        """The value of a constant expression. Raises `Unbound`."""
        if _VOLATILE.search(sql):
            return self._fetch(f"SELECT {sql}")[0][0]
        key = self.remembered.key("value", sql)
        if (known := self.remembered.get(key)) is not None:
            return known[0]
        found = self._fetch(f"SELECT {sql}")[0][0]
        if found is None or isinstance(found, (str, bool, int, float)):
            self.remembered.put(key, [found])
        return found

    # -- queries -----------------------------------------------------------------------------

    def mentions(self, query: str) -> tuple[list[Mention], list[Mention]]:
        """The tables that a query reads, in order, and the parameters that it names.

        Common table expressions are not among the tables. Raises `Unbound`.
        """
        key = self.remembered.key("mentions", query)
        if (known := self.remembered.get(key)) is not None:
            tables, parameters = ([Mention(tuple(parts), *place) for parts, *place in part] for part in known)
            return tables, parameters
        found = self._mentions(query)
        self.remembered.put(key, [[[one.parts, one.start, one.length] for one in part] for part in found])
        return found

    def _mentions(self, query: str) -> tuple[list[Mention], list[Mention]]:
        found = _Mentions(query)
        found.walk(self._parsed(query), frozenset())
        return found.tables, found.parameters

    def most_rows(self, query: str, values: Mapping[str, Any]) -> int | None:
        """The most rows that a query can give, by the LIMIT at its end; None where none is told."""
        number, parameter = _limit(self._parsed(query))
        found = values.get(parameter) if parameter else number
        return int(found) if isinstance(found, int) else None

    def _parsed(self, query: str) -> dict[str, Any]:
        """DuckDB's own parse tree of a query. Raises `Unbound`."""
        parsed = json.loads(self._fetch(f"SELECT json_serialize_sql({text(query)})")[0][0])
        if parsed.get("error"):
            raise _unparsed(parsed, query)
        statements = parsed["statements"]
        if len(statements) != 1:
            raise Unbound("a query is one SELECT" if statements else "this query is empty")
        tree: dict[str, Any] = statements[0]["node"]
        return tree

    def describe(
        self, query: str, tables: Mapping[tuple[str, ...], Mapping[str, str]], values: Mapping[str, Any]
    ) -> list[tuple[str, str]]:
        """Names and types of the columns that a query gives, over empty tables. Raises `Unbound`.

        Comparisons that DuckDB lets pass and that mean nothing are faults here too.
        """
        known_by = [(parts, list(columns.items())) for parts, columns in tables.items()]
        key = self.remembered.key("sound", query, known_by, sorted(values.items()))
        if (known := self.remembered.get(key)) is not None:
            return [(str(name), str(kind)) for name, kind in known]
        for parts, columns in tables.items():
            self._table(parts, columns)
        rows = self._fetch(f"DESCRIBE {query}", values or None, skipped=len("DESCRIBE "))
        found = [(str(row[0]), _NULL.sub("INTEGER", str(row[1]))) for row in rows]
        for fault in nonsense(self._parsed(query), tables):
            start, length = _Mentions(query).place(fault.constant)
            raise Unbound(fault.message, fault.help, start=start, length=length)
        self.remembered.put(key, found)
        return found

    def _table(self, parts: tuple[str, ...], columns: Mapping[str, str]) -> None:
        """An empty table of that name. One that is there already with these columns is left as it is.

        Tables of earlier queries stay: which tables a query may name is not asked here.
        """
        inner = ", ".join(f"{identifier(name)} {kind}" for name, kind in columns.items())
        key = tuple(part.casefold() for part in parts)
        if self.made.get(key) == inner:
            return
        if len(parts) > 1 and not any(other[0] == key[0] for other in self.made if len(other) > 1):
            self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {identifier(parts[0])}")
        name = ".".join(map(identifier, parts))
        self.connection.execute(f"CREATE OR REPLACE TABLE {name} ({inner or 'nothing INTEGER'})")
        self.made[key] = inner

    def _fetch(self, sql: str, values: Mapping[str, Any] | None = None, skipped: int = 0) -> list[Any]:
        try:
            return self.connection.execute(sql, dict(values) if values else None).fetchall()
        except _library().Error as error:
            raise _explained(error, sql, skipped) from None


def _library() -> Any:
    """DuckDB. Its Python face costs more to import than the library, and a check needs none of it."""
    try:
        return import_module("_duckdb")
    except ImportError:
        return import_module("duckdb")


def _row(columns: Mapping[str, str]) -> str:
    if not columns:
        return ""
    return "FROM (SELECT " + ", ".join(
        f"NULL::{kind} AS {identifier(name)}" for name, kind in columns.items()
    ) + ") AS __row"  # fmt: skip


def _limit(tree: Mapping[str, Any]) -> tuple[int | None, str | None]:
    """The number of rows behind the LIMIT at the end of a query, or the parameter that holds it."""
    for modifier in tree.get("modifiers", []):
        if modifier["type"] == "LIMIT_MODIFIER" and modifier.get("limit_type") == "ROW_COUNT":
            of = modifier["limit"] or {}
            literal = of.get("literal") or {}
            number = int(literal["text"]) if literal.get("kind") == "INTEGER" else None
            return number, of.get("identifier") if of.get("type") == "VALUE_PARAMETER" else None
    return None, None


class _Mentions:
    """Walks DuckDB's parse tree. CTE names are known where they are defined and below."""

    def __init__(self, query: str):
        self.bytes = query.encode()
        self.tables: list[Mention] = []
        self.parameters: list[Mention] = []

    def walk(self, value: Any, defined: frozenset[str]) -> None:
        if isinstance(value, list):
            for inner in value:
                self.walk(inner, defined)
        elif isinstance(value, dict):
            common = value.get("cte_map")
            if common:
                for entry in common.get("map", []):
                    # A recursive one sees itself.
                    recursive = "RECURSIVE" in str(entry["value"].get("query_node", {}).get("type", ""))
                    own = {entry["key"].casefold()} if recursive else set()
                    self.walk(entry["value"], defined | own)
                    defined |= {entry["key"].casefold()}
            self.note(value, defined)
            for key, inner in value.items():
                if key != "cte_map":
                    self.walk(inner, defined)

    def note(self, value: dict[str, Any], defined: frozenset[str]) -> None:
        kind = value.get("type")
        if kind == "BASE_TABLE":
            parts = tuple(
                filter(None, (value.get("catalog_name"), value.get("schema_name"), value["table_name"]))
            )
            if len(parts) > 1 or parts[0].casefold() not in defined:
                start, length = self.place(value)
                self.tables.append(Mention(parts, start, length))
        elif kind == "VALUE_PARAMETER" and value.get("identifier"):
            start, length = self.place(value)
            self.parameters.append(Mention((str(value["identifier"]),), start, length))

    def place(self, value: dict[str, Any]) -> tuple[int, int]:
        start, length = value.get("query_location", 0), value.get("query_location_length", 0)
        if start > len(self.bytes):
            return 0, 0
        before = len(self.bytes[:start].decode(errors="ignore"))
        return before, max(len(self.bytes[start : start + length].decode(errors="ignore")), 1)


# -- messages --------------------------------------------------------------------------------


def _unparsed(parsed: dict[str, Any], query: str) -> Unbound:
    message = str(parsed.get("error_message", "DuckDB cannot read this query"))
    if "Only SELECT" in message and re.search(r"(?i)\bpivot\b", query):
        help = "write its values out: FROM (PIVOT t ON x IN ('a', 'b') USING sum(n))"
        return Unbound("the columns of this PIVOT follow from the rows", help)
    if "Only SELECT" in message:
        return Unbound("a query is one SELECT", "other statements have no place in a graph")
    start, length = _location(parsed.get("location"), parsed.get("position"), query, 0)
    if "end of input" in message:
        return Unbound("the query ends too early", sort="syntax", start=max(len(query.rstrip()) - 1, 0))
    near = re.search(r'syntax error at or near "(.*)"', message, re.S)
    said = f"`{near[1]}` is unexpected in this query" if near else message.split("\n")[0]
    return Unbound(said, sort="syntax", start=start, length=length)


def _location(location: Any, position: Any, query: str, skipped: int) -> tuple[int | None, int]:
    """DuckDB's place (bytes, the skipped head included) in characters of the query."""
    found = re.fullmatch(r"\[(\d+),(\d+)\]", str(location or ""))
    if not found and position is None:
        return None, 1
    begin, count = (int(found[1]), int(found[2])) if found else (int(position), 1)
    data = query.encode()
    if begin < skipped or begin - skipped > len(data):
        return None, 1
    start = len(data[: begin - skipped].decode(errors="ignore"))
    word = data[begin - skipped : begin - skipped + count].decode(errors="ignore")
    return start, max(len(word), 1)


def _explained(error: Exception, sql: str, skipped: int) -> Unbound:
    said = str(error)
    brace = said.find("{")
    try:
        details = json.loads(said[brace:]) if brace >= 0 else {}
    except ValueError:
        details = {}
    message = str(details.get("exception_message", said))
    name = details.get("name")
    start, length = _location(details.get("location"), details.get("position"), sql[skipped:], skipped)
    candidates = [one for one in str(details.get("candidates", "")).split(",") if one.strip()]
    subtype = details.get("error_subtype")
    if subtype == "COLUMN_NOT_FOUND" and name:
        return Unbound(f"no column named `{name}`", sort="column", name=name, start=start, length=length)
    if subtype == "MISSING_ENTRY" and "Function" in str(details.get("type", "")):
        near = _candidate(message) or (candidates[0].strip() if candidates else None)
        return Unbound(
            f"no function named `{name}`",
            f"did you mean `{near}`?" if near else None,
            "function",
            name,
            start,
            len(str(name)),
        )
    if subtype == "MISSING_ENTRY" and details.get("type") == "Table":
        return Unbound(f"no table named `{name}`", sort="table", name=name, start=start, length=length)
    readable, help = _readable(message)
    return Unbound(readable, help, start=start, length=length)


def _unlike(given: str, offered: Sequence[str]) -> frozenset[str]:
    """Number types that are one word in the language, where one was given and others are taken."""
    kept: set[str] = set()
    for family in (_INTEGERS, _FLOATS):
        there = {found[1] for found in family.finditer(given) if not found[2]}
        taken = {found[1] for line in offered for found in family.finditer(line.split(" -> ")[0])}
        if taken and there - taken - _WIDENED:
            kept |= there | taken
    return frozenset(kept)


def _signature(line: str, kept: frozenset[str] = frozenset()) -> str:
    return spelled(line.split(" -> ")[0], kept).replace(", /", "").replace('"', "")


def _candidate(message: str) -> str | None:
    found = re.search(r'Did you mean "(.+?)"', message)
    return found[1] if found else None


def _readable(message: str) -> tuple[str, str | None]:
    """DuckDB's message in one line, in the words of the language."""
    if found := _NO_MATCH.search(message):
        name = {"~~": "like", "!~~": "not like"}.get(found[1], found[1])
        offered = [line.strip() for line in message.split("\n")[2:] if line.startswith("\t\t") or "(" in line]
        kept = _unlike(found[2], offered)
        help = None
        if name.isidentifier() and 0 < len(offered) <= 4:
            help = "it takes " + " or ".join(_signature(line, kept) for line in offered)
        return f"`{name}` does not take ({spelled(found[2], kept)})", help
    if found := _COMPARE.search(message):
        within = f" in {found[3]}" if found[3] else ""
        verb = "be mixed" if found[3] else "be compared"
        return (
            f"{spelled(found[1])} and {spelled(found[2])} cannot {verb}{within}",
            "convert one of them with `cast`",
        )
    if found := re.match(r'Could not find key "(.+?)" in struct\s+Candidate Entries: (.+)', message, re.S):
        known = ", ".join(re.findall(r'"(.+?)"', found[2])[:6])
        return f"no field named `{found[1]}`", f"it has {known}"
    if found := re.match(r'Macro "(.+?)"\(\) does not support the supplied arguments', message):
        takes = re.search(r'\t"?\w+"?\((.*?)\)', message)
        return f"`{found[1]}` does not take these arguments", f"it takes ({takes[1]})" if takes else None
    if found := re.match(
        r'Table "(.+?)" does not have a column named "(.+?)"\s*(?:Candidate bindings: :?(.*))?', message, re.S
    ):
        known = ", ".join(re.findall(r'"(.+?)"', found[3] or "")[:6])
        return f"`{found[1]}` has no column `{found[2]}`", f"did you mean {known}?" if known else None
    if found := re.match(r'Referenced table "(.+?)" not found!\s*(?:Candidate tables: "(.+?)")?', message):
        return f"no table named `{found[1]}` in this query", f"did you mean `{found[2]}`?" if found[
            2
        ] else None
    if found := re.match(r'column "(.+?)" must appear in the GROUP BY', message):
        return (
            f"`{found[1]}` belongs to single rows, beside an aggregate over many",
            f"aggregate it too, as in any_value({found[1]}), or group by it",
        )
    if "Required module" in message:
        return "this is no value that a graph could hold", "a date or a time, for example; convert it to text"
    if "file system operations are disabled" in message:
        return "a query reads tables of the graph, not files", "files come in through a `source`"
    if found := re.match(r"Cannot extract field '(.+?)' from", message):
        return f"there is no field `{found[1]}`: this is no object", None
    if "exists in the" in message and (found := re.search(r'name "?(\w+)"? ', message)):
        return f"no function named `{found[1]}`", None
    first = message.split("\n")[0].strip()
    return (first[:1].lower() + first[1:] if first[1:2].islower() else first).rstrip("!."), None
