"""What could be written where the cursor stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from engine.editor.analysis import Analysis
from engine.editor.context import Context
from engine.editor.hover import described, settings_of
from engine.frozen import dataclass
from engine.language.binding import spelled
from engine.language.columns import id_column
from engine.language.kind import Role
from engine.language.program import Node
from engine.language.settings import role_of
from engine.language.types import SCALARS

STATEMENTS = {
    "use": "what another file declares",
    "param": "what can be set from outside",
    "type": "a shape with a name",
    "model": "an endpoint and its parameters",
    "profile": "other values for params and models",
    "graph": "a part of a graph, used like a kind",
    "test": "rows and replies to try a node with",
}
CLAUSES = {
    "where": "rows to send",
    "let": "a name for a value",
    "check": "a reply must satisfy this, or is asked again",
    "keep": "a row that does not is set aside",
    "expect": "the table must satisfy this",
    "until": "ends the rounds",
    "given": "a table to test with",
}
FUNCTIONS = (
    "abs avg coalesce contains count ends_with greatest if least len length list_contains lower max median"
    " min regexp_matches replace round split starts_with string_agg substring sum trim upper"
).split()


@dataclass(frozen=True)
class Proposal:
    """A word to put in: `sort` is what it stands for, `detail` a few words about it."""

    word: str
    sort: str
    detail: str = ""


def proposals(analysis: Analysis, at: Context) -> list[Proposal]:
    """What fits, best first; what the editor's user has typed of it already is not looked at."""
    if at.comment:
        return []
    if at.string is not None:
        return list(in_string(analysis, at))
    block = at.block
    if block is None:
        return list(header(analysis, at)) if at.item else list(beginnings(analysis, STATEMENTS))
    return list(in_block(analysis, at, block.head))


# -- statements and heads ---------------------------------------------------------------------------


def beginnings(analysis: Analysis, words: dict[str, str]) -> Iterator[Proposal]:
    """What a statement can begin with: the language's words, kinds, graphs."""
    yield from (Proposal(word, "word", text) for word, text in words.items())
    yield from kinds(analysis)


def kinds(analysis: Analysis) -> Iterator[Proposal]:
    yield from (Proposal(name, "kind") for name in analysis.kinds)
    yield from (Proposal(name, "graph", one.doc or "") for name, one in analysis.file.graphs.items())
    for alias, other in analysis.file.imports.items():
        for name, one in other.graphs.items():
            yield Proposal(f"{alias}.{name}", "graph", one.doc or "")


def header(analysis: Analysis, at: Context) -> Iterator[Proposal]:
    """In the head of a statement or a node."""
    item = at.item
    if item[-1] in ("->", ":") or (item[0] in ("param", "type") and item[-1] in ("=", "|", ":")):
        if not (item[0] == "param" and item[-1] == "="):
            yield from types(analysis)
    elif item[0] == "model" and item[-1] == "from":
        yield from models(analysis)
    elif item == ["test"] or (item[0] not in STATEMENTS and "from" in item and item[-1] in ("from", ",")):
        yield from tables(analysis, at)
    elif item[0] not in STATEMENTS and len(item) >= 2 and "from" not in item and "->" not in item:
        yield Proposal("from", "word", "the tables that it takes")
    elif item[0] == "use" and item[-1] != "use":
        yield Proposal("as", "word", "another name for the file")


def types(analysis: Analysis) -> Iterator[Proposal]:
    yield from (Proposal(name, "type") for name in analysis.file.types)
    for alias, other in analysis.file.imports.items():
        yield from (Proposal(f"{alias}.{name}", "type") for name in other.types)
    yield from (Proposal(name, "type") for name in SCALARS)


def models(analysis: Analysis) -> Iterator[Proposal]:
    yield from (Proposal(name, "model") for name in analysis.file.models)
    yield Proposal("default", "model", "ATK_BASE_URL and ATK_MODEL, else the offline stand-in")


def tables(analysis: Analysis, at: Context) -> Iterator[Proposal]:
    """Tables that can be named here: nodes of the file, or the slots and nodes of a graph."""
    graph = graph_around(at)
    declared = analysis.file.graphs.get(graph) if graph else None
    if declared is not None:
        yield from (Proposal(slot.name.text, "table") for slot in declared.slots)
        yield from (Proposal(one.name.text, "table", one.doc or "") for one in declared.nodes)
        return
    for name, one in analysis.file.nodes.items():
        yield Proposal(name, "table", one.doc or one.kind.dotted)
    yield from (Proposal(alias, "table") for alias in analysis.program.aliases)
    yield from (Proposal(name, "table") for name in analysis.nodes if "." in name)


def graph_around(at: Context) -> str | None:
    """The graph in whose body the cursor stands."""
    for block in at.blocks:
        if block.head[:1] == ["graph"] and block.bracket == "{":
            return block.head[1] if len(block.head) > 1 else None
    return None


# -- blocks ---------------------------------------------------------------------------------------------


def in_block(analysis: Analysis, at: Context, head: list[str]) -> Iterator[Proposal]:
    if head[:1] == ["graph"]:
        if at.item:
            yield from header(analysis, at)
        else:
            yield from beginnings(analysis, {"return": "the table that the graph gives"})
    elif head[:1] in (["type"], ["param"]) or head[-1:] == ["->"]:
        if at.item[-1:] == [":"]:
            yield from types(analysis)
    elif head[:1] == ["profile"]:
        yield from profile(analysis, at)
    elif not at.item and not at.nested:
        yield from items(analysis, at, head)
    else:
        yield from values(analysis, at, head)


def profile(analysis: Analysis, at: Context) -> Iterator[Proposal]:
    if not at.item:
        yield from (Proposal(name, "param", one.doc or "") for name, one in analysis.file.params.items())
        yield from (Proposal(name, "model") for name in analysis.file.models)
    elif at.item[0] in analysis.file.models:
        yield from models(analysis)


def items(analysis: Analysis, at: Context, head: list[str]) -> Iterator[Proposal]:
    """Settings, clauses and sections that a block does not have yet."""
    if head[:1] == ["test"]:
        yield from (Proposal(word, "word", CLAUSES[word]) for word in ("given", "expect"))
        yield Proposal("reply", "setting", "canned replies")
        return
    what = owner(analysis, at, head)
    model = settings_of(analysis, what)
    if model is not None:
        for name, text in described(model).items():
            if name not in at.settings:
                yield Proposal(name, "setting", text)
    kind = analysis.kinds.get(what)
    if kind is not None:
        yield from (Proposal(word, "word", CLAUSES.get(word, "")) for word in sorted(kind.clauses))
        yield from (Proposal(name, "section") for name in kind.sections if name not in at.settings)
    for slot in called_slots(analysis, head):
        if slot.name.text not in at.settings:
            yield Proposal(slot.name.text, "setting", slot.doc or "")


def called_slots(analysis: Analysis, head: list[str]) -> Iterable[Any]:
    """The slots of one's own graph at a call of it."""
    alias, dot, rest = (head[0] if head else "").rpartition(".")
    file = analysis.file.imports.get(alias) if dot else analysis.file
    graph = file.graphs.get(rest) if file else None
    return graph.slots if graph else ()


def owner(analysis: Analysis, at: Context, head: list[str]) -> str:
    """Whose settings a block holds: `prompt`, `prompt.repair`, `model`."""
    if head[:1] == ["model"]:
        return "model"
    first = head[0] if head else ""
    outer = [block for block in at.blocks if block.bracket == "{"][:-1]
    if first not in analysis.kinds and outer and outer[-1].head[:1] and outer[-1].head[0] in analysis.kinds:
        return f"{outer[-1].head[0]}.{first}"
    return first


def values(analysis: Analysis, at: Context, head: list[str]) -> Iterator[Proposal]:
    """Behind a setting's `=`, or in a clause."""
    item = at.item if not at.nested else outer_item(at)
    word = item[0] if item else ""
    if word in CLAUSES:
        yield from row_words(analysis, at, head)
        return
    model = settings_of(analysis, owner(analysis, at, head))
    info = model.model_fields.get(word) if model else None
    role = role_of(info) if info else None
    if role is Role.MODEL:
        yield from models(analysis)
    elif role in (Role.TABLE, Role.TABLES, Role.BESIDE):
        yield from tables(analysis, at)
    elif role in (Role.COLUMN, Role.ROW):
        yield from row_words(analysis, at, head)
    else:
        if info is not None:
            yield from (Proposal(f'"{choice}"', "value") for choice in choices(info.annotation))
            if bool in (info.annotation, *get_args(info.annotation)):
                yield from (Proposal(value, "value") for value in ("true", "false"))
        yield from params(analysis, at)


def outer_item(at: Context) -> list[str]:
    """The item that holds the brackets in which the cursor stands."""
    for block in at.blocks:
        if (len(block.head) > 1 and block.head[1] == "=") or (block.head and block.head[0] in CLAUSES):
            return block.head
    return at.item


def choices(annotation: Any) -> list[str]:
    """The texts of a `Literal`, wherever in a type it stands."""
    if get_origin(annotation) is Literal:
        return [value for value in get_args(annotation) if isinstance(value, str)]
    return [value for inner in get_args(annotation) for value in choices(inner)]


def params(analysis: Analysis, at: Context) -> Iterator[Proposal]:
    graph = graph_around(at)
    declared = analysis.file.graphs.get(graph) if graph else None
    if declared is not None:
        yield from (Proposal(slot.name.text, "param", slot.doc or "") for slot in declared.slots)
        return
    for name, one in analysis.file.params.items():
        yield Proposal(name, "param", one.doc or "")


def row_words(analysis: Analysis, at: Context, head: list[str]) -> Iterator[Proposal]:
    """Columns, `let`s, params and functions, for an expression over rows."""
    yield from columns(node_of(analysis, at, head), analysis, head)
    for item in at.block.items if at.block else []:
        if item[:1] == ["let"] and len(item) > 1:
            yield Proposal(item[1], "let")
    yield from params(analysis, at)
    yield from (Proposal(name, "function") for name in FUNCTIONS)


def node_of(analysis: Analysis, at: Context, head: list[str]) -> Node | None:
    """The node in whose block the cursor stands, as it last checked."""
    blocks = [block for block in at.blocks if block.bracket == "{" and block.head[:1] != ["graph"]]
    words = blocks[0].head if blocks else head
    return analysis.node(words[1], graph_around(at)) if len(words) > 1 else None


def columns(node: Node | None, analysis: Analysis, head: list[str]) -> Iterator[Proposal]:
    """The node's own columns and its input's; of one that never checked, those of what it names."""
    tables = [node] if node is not None else []
    if "from" in head:
        names = [word for word in head[head.index("from") + 1 :] if word not in (",", "->")]
        tables += [analysis.nodes[name] for name in names if name in analysis.nodes]
    if node is not None:
        tables += [analysis.nodes[name] for name in node.inputs if name in analysis.nodes]
    seen: set[str] = set()
    for table in tables:
        for name, one in table.columns.items():
            if name not in seen:
                seen.add(name)
                yield Proposal(name, "column", f"{spelled(one.type)}, of {one.owner}")


# -- strings --------------------------------------------------------------------------------------------


def in_string(analysis: Analysis, at: Context) -> Iterator[Proposal]:
    word = at.item[0] if at.item else ""
    if at.item[:1] == ["use"]:
        yield from files(analysis)
        return
    model = settings_of(analysis, owner(analysis, at, at.head)) if at.head else None
    info = model.model_fields.get(word) if model else None
    role = role_of(info) if info else None
    if role in (Role.TEMPLATE, Role.TEMPLATES):
        yield from templates(analysis)
    elif role is Role.QUERY:
        yield from in_query(analysis, at)
    elif info is not None:
        yield from (Proposal(choice, "value") for choice in choices(info.annotation))


def files(analysis: Analysis) -> Iterator[Proposal]:
    from engine.runtime.loading import graph_directories

    seen = set()
    for folder in graph_directories(analysis.path, Path.cwd()):
        for path in sorted([*folder.glob("*.atk"), *folder.glob("*/*.atk")]):
            name = path.relative_to(folder).as_posix()
            if name not in seen and path.resolve() != analysis.file.path:
                seen.add(name)
                yield Proposal(name, "file")


def templates(analysis: Analysis) -> Iterator[Proposal]:
    from engine.runtime.loading import prompt_directories

    seen = set()
    for folder in prompt_directories(analysis.path, Path.cwd()):
        for path in sorted(folder.rglob("*.md")):
            name = path.relative_to(folder).with_suffix("").as_posix()
            if name not in seen:
                seen.add(name)
                yield Proposal(name, "template", description(path))


def description(path: Path) -> str:
    """What a prompt's front matter says of it."""
    head = path.read_text(encoding="utf-8", errors="replace")[:500]
    found = re.search(r"^description:\s*(.+)$", head, re.M)
    return found[1].strip() if found else ""


def in_query(analysis: Analysis, at: Context) -> Iterator[Proposal]:
    """Tables, columns of those that the query names, params behind a `$`."""
    written = at.string or ""
    if re.search(r"\$\w*$", written):
        yield from params(analysis, at)
        return
    known = {one.word: one for one in tables(analysis, at)}
    if re.search(r"(?i)\b(from|join)\s+\w*$", written):
        yield from known.values()
        return
    named = [word for word in dict.fromkeys(re.findall(r"\w+(?:\.\w+)*", written)) if word in known]
    seen: set[str] = set()
    for word in named:
        node = analysis.node(word, graph_around(at))
        for name, one in (node.columns if node else {}).items():
            if name not in seen:
                seen.add(name)
                yield Proposal(name, "column", f"{spelled(one.type)}, of {one.owner}")
        yield Proposal(id_column(word), "column", "id")  # as the scope calls the table, so its ids
    yield from known.values()
