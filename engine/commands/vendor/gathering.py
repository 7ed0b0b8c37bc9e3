"""What a graph uses, and where each file goes in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.commands._errors import stop
from engine.commands.vendor.sources import Found
from engine.language.kind import Role
from engine.language.program import Program


def gathered(found: Found) -> dict[str, Path]:
    """Path in the new folder -> the file that goes there, the graph itself first.

    Taken is what lies in the source: the graph, the graphs that it uses, their prompts with what
    these include and an optimizer's file beside them, Python files. Documents are not. Raises
    `CommandError` for a graph that cannot be read.
    """
    program = looked_at(found)
    files = {found.graph.name: found.graph}
    for path in program.files:
        if path.suffix == ".atk" and path != found.graph:
            put(files, found, path, (found.graph.parent, *graphs_around(path)))
        elif path.suffix == ".md":
            put(files, found, path, prompts_around(path), "prompts")
            optimized = path.with_suffix(".optimized.json")
            if optimized.is_file():
                put(files, found, optimized, prompts_around(path), "prompts")
    for path, folder in functions(program):
        put(files, found, path, (found.graph.parent, folder))
    return files


def looked_at(found: Found) -> Program:
    """The graph as it is at its source, without the prompts of whoever adds it."""
    from engine.kinds import registry
    from engine.language import check
    from engine.runtime.loading import graph_directories, prompt_directories

    program = check(
        found.graph,
        registry(),
        root=found.root,
        complete=False,
        environment={},
        prompts=prompt_directories(found.graph, found.root),
        graphs=graph_directories(found.graph, found.root),
    )
    unread = [one for one in program.diagnostics if one.code.startswith("ATK00")]
    if unread:
        where = f"{found.graph.name}:{unread[0].span.line}"
        stop(
            f"{found.graph.name} cannot be read: {unread[0].message} ({where})", "is it a graph for this atk?"
        )
    return program


def put(
    files: dict[str, Path],
    found: Found,
    path: Path,
    bases: Iterator[Path] | tuple[Path, ...],
    under: str = "",
) -> None:
    """A file under its path from the first of the bases that holds it; one outside the source is left."""
    if found.root not in path.parents:
        return
    for base in bases:
        if base in path.parents:
            name = path.relative_to(base).as_posix()
            files.setdefault(f"{under}/{name}" if under else name, path)
            return


def graphs_around(path: Path) -> Iterator[Path]:
    yield from (above for above in path.parents if above.name == "graphs")


def prompts_around(path: Path) -> Iterator[Path]:
    """The folder `prompts` that a prompt's name counts from."""
    yield from (above for above in path.parents if above.name == "prompts")


def functions(program: Program) -> Iterator[tuple[Path, Path]]:
    """The Python files that nodes call, with what they import from beside them; each with the folder
    that it is named from."""
    from engine.kinds.functions import FunctionProblem, with_imports
    from engine.language.settings import role_of

    for node in (*program.nodes.values(), *program.uncalled.values()):
        for name, info in type(node.settings).model_fields.items():
            value = getattr(node.settings, name)
            if role_of(info) is Role.FUNCTION and isinstance(value, str) and node.folder is not None:
                path = node.folder / value.partition(":")[0]
                if not path.is_file():
                    continue
                try:
                    files = with_imports(path.resolve())
                except FunctionProblem:  # the check of what was added says what is wrong with it
                    files = [path.resolve()]
                for file in files:
                    yield file.resolve(), node.folder.resolve()
