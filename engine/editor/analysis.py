"""What is known of one open graph: its tree, its index, and the program as far as it checks.

While somebody types, a text is wrong most of the time. So what an earlier text was known to mean
(the columns of its tables) is kept until the nodes check again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.editor.index import Index, Mention, Symbol
from engine.language import tree as ast
from engine.language.binding import Binder
from engine.language.diagnostics import Span
from engine.language.files import GraphFile, Loader
from engine.language.kind import KindSpec
from engine.language.program import Node, Program


@dataclass
class Analysis:
    """One text of one file. `nodes` holds, for a node that does not check now, what it last was."""

    path: Path
    file: GraphFile
    index: Index
    program: Program
    nodes: dict[str, Node] = field(default_factory=dict)

    @classmethod
    def of(
        cls, path: Path, texts: Mapping[Path, str], root: Path, before: Analysis | None = None
    ) -> Analysis:
        """Read, index and check a file. `texts` are those that an editor holds, by resolved path."""
        from engine.kinds import registry
        from engine.language import check
        from engine.runtime.loading import graph_directories, prompt_directories

        kinds = registry()
        graphs = graph_directories(path, root)
        file = read(path, texts, root, graphs, kinds)
        program = check(
            path,
            kinds,
            root=root,
            texts=texts,
            complete=False,
            tests=True,
            prompts=prompt_directories(path, root),
            graphs=graphs,
        )
        known = before.nodes if before else {}
        return cls(path, file, Index(file, kinds), program, known | program.nodes)

    @property
    def kinds(self) -> Mapping[str, KindSpec]:
        return self.index.kinds

    def at(self, line: int, column: int) -> Mention | None:
        return self.index.at(line, column)

    def definition(self, symbol: Symbol) -> Span | None:
        """Where a symbol is declared, in this file or in one that it uses."""
        if symbol.file is None:
            return None
        for file in self.files():
            if file.path == symbol.file:
                index = self.index if file is self.file else Index(file, self.kinds, self.index.binder)
                for mention in index.mentions:
                    if mention.defines and mention.symbol == symbol:
                        return mention.span
        return None

    def files(self) -> list[GraphFile]:
        """This file and those that it uses, each once."""
        found: dict[Path, GraphFile] = {}
        waiting = [self.file]
        while waiting:
            file = waiting.pop()
            if file.path not in found:
                found[file.path] = file
                waiting += file.imports.values()
        return list(found.values())

    def declaration(self, symbol: Symbol) -> object | None:
        """The statement (or slot, or inner node) that declares a symbol."""
        for file in self.files():
            if file.path == symbol.file:
                return declared(file, symbol)
        return None

    def node(self, name: str, within: str | None = None) -> Node | None:
        """A node as it checks, or last did. Of one inside a graph: as it is in one of its calls."""
        if within is None:
            return self.nodes.get(name)
        calls = [one.name.text for one in self.file.nodes.values() if one.kind.words[-1].text == within]
        for call in calls:
            if (found := self.nodes.get(f"{call}.{name}") or self._returned(call, within, name)) is not None:
                return found
        return None

    def _returned(self, call: str, graph: str, name: str) -> Node | None:
        declaration = self.file.graphs.get(graph)
        returned = declaration is not None and declaration.returns.dotted == name
        return self.nodes.get(call) if returned else None

    def template(self, name: str) -> Path | None:
        """The file of a prompt, the first that is found."""
        from engine.runtime.loading import prompt_directories

        for folder in prompt_directories(self.path, Path.cwd()):
            with contextlib.suppress(OSError, ValueError):
                if (path := folder / f"{name}.md").is_file():
                    return path
        return None


def read(
    path: Path, texts: Mapping[Path, str], root: Path, graphs: list[Path], kinds: Mapping[str, KindSpec]
) -> GraphFile:
    """A file and what it uses, without a look at what any of it means."""
    return Loader(root, graphs, kinds, lambda diagnostic: None, texts).load(path)


def index_of(path: Path, texts: Mapping[Path, str], root: Path, binder: Binder | None = None) -> Index:
    """The index of another file of the project."""
    from engine.kinds import registry
    from engine.runtime.loading import graph_directories

    kinds = registry()
    return Index(read(path, texts, root, graph_directories(path, root), kinds), kinds, binder)


def declared(file: GraphFile, symbol: Symbol) -> object | None:
    """The declaration of a symbol in its file."""
    match symbol.sort:
        case "param":
            return file.params.get(symbol.name)
        case "type":
            return file.types.get(symbol.name)
        case "model":
            return file.models.get(symbol.name)
        case "graph":
            return file.graphs.get(symbol.name)
        case "node" if symbol.within is None:
            return file.nodes.get(symbol.name)
        case "node" | "slot":
            graph = file.graphs.get(symbol.within or "")
            inside: list[ast.NodeDeclaration | ast.ParamDeclaration] = []
            if graph is not None:
                inside = [*graph.nodes] if symbol.sort == "node" else [*graph.slots]
            return next((one for one in inside if one.name.text == symbol.name), None)
    return None
