"""What is told of the word under the cursor: its doc comment, its shape, how many rows it has."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from pydantic import BaseModel

from engine.editor.analysis import Analysis
from engine.editor.index import Mention, Symbol
from engine.language import tree as ast
from engine.language.binding import spelled
from engine.language.models import ModelSettings
from engine.language.program import Node

Counts = Callable[[str, str], Mapping[str, int] | None]
"""Graph and node to rows by fate, or None where nothing has run."""

MOST_COLUMNS = 24
LINES_OF_A_PROMPT = 30


def hover(analysis: Analysis, mention: Mention, counts: Counts) -> str | None:
    """Markdown for a mention, or None where there is nothing to say."""
    symbol = mention.symbol
    match symbol.sort:
        case "node" | "slot":
            return table(analysis, symbol, counts)
        case "kind":
            return kind(analysis, symbol.name)
        case "graph":
            return graph(analysis, symbol)
        case "param":
            return param(analysis, symbol)
        case "type":
            return type_(analysis, symbol)
        case "model":
            return model(analysis, symbol)
        case "let":
            return let(analysis, symbol)
        case "column":
            return column(analysis, symbol)
        case "setting":
            return setting(analysis, symbol)
        case "template":
            return template(analysis, symbol)
        case "file":
            return f"`{symbol.file}`" if symbol.file else None
    return None


def code(text: str) -> str:
    return f"```atk\n{text}\n```"


def paragraphs(*parts: str | None) -> str:
    return "\n\n".join(part for part in parts if part)


def table(analysis: Analysis, symbol: Symbol, counts: Counts) -> str | None:
    declaration = analysis.declaration(symbol)
    if isinstance(declaration, ast.ParamDeclaration):
        return paragraphs(code(f"{declaration.name.text}: {written(declaration.type)}"), declaration.doc)
    if not isinstance(declaration, ast.NodeDeclaration):
        return None
    sources = ", ".join(path.dotted for path in declaration.inputs)
    head = f"{declaration.kind.dotted} {symbol.name}" + (f" from {sources}" if sources else "")
    if declaration.result is not None:
        head += f" -> {written(declaration.result)}"
    node = analysis.node(symbol.name, symbol.within)
    rows = None
    if node is not None and symbol.within is None:
        rows = told_rows(counts(analysis.program.name, node.name))
    return paragraphs(code(head), declaration.doc, rows, columns(node) if node else None)


def told_rows(found: Mapping[str, int] | None) -> str | None:
    if found is None:
        return None
    fates = [f"{found[fate]} {fate}" for fate in ("rejected", "failed") if found.get(fate)]
    good = found.get("ok", 0)
    return ", ".join([f"{good} row{'' if good == 1 else 's'}", *fates])


def columns(node: Node) -> str | None:
    """The columns of a table; those that the node adds are marked."""
    lines = [
        f"| `{name}` | {spelled(one.type)} | {'' if one.owner == node.name else f'of `{one.owner}`'} |"
        for name, one in list(node.columns.items())[:MOST_COLUMNS]
    ]
    if not lines:
        return None
    more = len(node.columns) - MOST_COLUMNS
    end = [f"and {more} more"] if more > 0 else []
    return "\n".join(["| column | type | |", "|---|---|---|", *lines, *end])


def kind(analysis: Analysis, name: str) -> str | None:
    found = analysis.kinds.get(name)
    if found is None:
        return None
    module = inspect.getmodule(type(found))
    said = inspect.getdoc(module) if module is not None else None
    lines = [f"- `{key}`: {text}" for key, text in described(found.settings).items()]
    return paragraphs(code(name), first_paragraph(said), "\n".join(lines))


def described(settings: type[BaseModel]) -> dict[str, str]:
    """Setting -> its description, with its default where that says something."""
    found = {}
    for name, info in settings.model_fields.items():
        text = info.description or ""
        if info.is_required():
            text = f"{text} Required."
        elif info.default not in (None, "", ()) and isinstance(info.default, (bool, int, float, str)):
            shown = str(info.default).lower() if isinstance(info.default, bool) else repr(info.default)
            text = f"{text} Default: {shown.replace(chr(39), chr(34))}."
        found[name] = text.strip()
    return found


def setting(analysis: Analysis, symbol: Symbol) -> str | None:
    model = settings_of(analysis, symbol.within or "")
    if model is None:
        return None
    text = described(model).get(symbol.name)
    if text is not None:
        return paragraphs(code(f"{symbol.name} ="), text)
    return None


def settings_of(analysis: Analysis, what: str) -> type[BaseModel] | None:
    """The settings of a kind, of a section of one (`prompt.repair`), or of a model."""
    if what == "model":
        return ModelSettings
    name, _, section = what.partition(".")
    found = analysis.kinds.get(name)
    if found is None:
        return None
    return found.sections.get(section) if section else found.settings


def graph(analysis: Analysis, symbol: Symbol) -> str | None:
    declaration = analysis.declaration(symbol)
    if not isinstance(declaration, ast.GraphDeclaration):
        return None
    slots = [
        f"  {slot.name.text}: {written(slot.type)}" + (f" = {slot.default.text}" if slot.default else "")
        for slot in declaration.slots
    ]
    inner = "\n" + ",\n".join(slots) + "\n" if slots else ""
    return paragraphs(code(f"graph {symbol.name}({inner}) -> {written(declaration.result)}"), declaration.doc)


def param(analysis: Analysis, symbol: Symbol) -> str | None:
    declaration = analysis.declaration(symbol)
    if not isinstance(declaration, ast.ParamDeclaration):
        return None
    default = f" = {declaration.default.text}" if declaration.default else ""
    return paragraphs(code(f"param {symbol.name}: {written(declaration.type)}{default}"), declaration.doc)


def type_(analysis: Analysis, symbol: Symbol) -> str | None:
    declaration = analysis.declaration(symbol)
    if not isinstance(declaration, ast.TypeDeclaration):
        return None
    return paragraphs(code(f"type {symbol.name} {written(declaration.type)}"), declaration.doc)


def model(analysis: Analysis, symbol: Symbol) -> str | None:
    spec = analysis.program.models.get(symbol.name)
    if spec is None:
        return None
    where = f" at {spec.base_url}" if spec.base_url else ""
    sampling = ", ".join(f"{name} {value}" for name, value in spec.sampling.items())
    price = ", ".join(f"{name} ${value:g}" for name, value in spec.price.items())
    return paragraphs(
        code(f"model {symbol.name}"),
        f"{spec.provider}: `{spec.model}`{where}",
        f"sampling: {sampling}" if sampling else None,
        f"price of a million tokens: {price}" if price else None,
    )


def let(analysis: Analysis, symbol: Symbol) -> str | None:
    for mention in analysis.index.mentions:
        if mention.defines and mention.symbol == symbol:
            return code((mention.span.source or "").strip())
    return None


def column(analysis: Analysis, symbol: Symbol) -> str | None:
    graph_name, _, name = (symbol.within or "").rpartition(".")
    node = analysis.node(name, graph_name or None)
    if node is None:
        return None
    tables = [node, *(analysis.nodes[one] for one in node.inputs if one in analysis.nodes)]
    for one in tables:
        if symbol.name in one.columns:
            found = one.columns[symbol.name]
            return paragraphs(code(f"{symbol.name}: {spelled(found.type)}"), f"a column of `{found.owner}`")
    return None


def template(analysis: Analysis, symbol: Symbol) -> str | None:
    path = analysis.template(symbol.name)
    if path is None:
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    more = ["…"] if len(lines) > LINES_OF_A_PROMPT else []
    shown = "\n".join([*lines[:LINES_OF_A_PROMPT], *more])
    return paragraphs(f"`{path}`", f"````jinja\n{shown}\n````")


def first_paragraph(text: str | None) -> str | None:
    return text.partition("\n\n")[0] if text else None


def written(kind: ast.TypeExpression) -> str:
    """A type as it is written."""
    match kind:
        case ast.TypeName(path=path):
            return path.dotted
        case ast.TypeLiteral(value=value):
            return f'"{value}"'
        case ast.TypeUnion(parts=parts):
            return " | ".join(map(written, parts))
        case ast.TypeMany(of=of):
            return f"{written(of)}[]"
        case ast.TypeOptional(of=of):
            return f"{written(of)}?"
        case ast.TypeRecord(fields=fields):
            inner = ", ".join(f"{one.name.text}: {written(one.type)}" for one in fields)
            short = f"{{ {inner} }}"
            if len(short) <= 70 and not any(one.doc for one in fields):
                return short
            lines = [
                f"  {one.name.text}: {written(one.type)}" + (f"  ## {one.doc}" if one.doc else "")
                for one in fields
            ]
            return "\n".join(["{", *lines, "}"])
