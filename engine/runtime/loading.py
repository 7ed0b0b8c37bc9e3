"""Where graphs and prompts are looked for: one's own first, the shipped ones last."""

from __future__ import annotations

import difflib
from pathlib import Path

from engine import paths
from engine.runtime import GraphMissing


def find(graph: str, root: Path) -> Path:
    """The file that a graph's name or path means. Raises `GraphMissing`."""
    given = Path(graph)
    for path in (root / given, root / f"{graph}.atk", root / "graphs" / f"{graph}.atk"):
        if path.is_file():
            return path
    shipped = {path.stem: path for path in sorted(paths.graphs().glob("*.atk"))}
    if given.suffix in ("", ".atk") and len(given.parts) == 1 and given.stem in shipped:
        return shipped[given.stem]
    if (root / given).is_symlink() and not (root / given).exists():
        raise GraphMissing(f"{graph} is a link that leads nowhere", "give the path of the graph itself")
    if (root / given).is_dir():
        raise GraphMissing(f"{graph} is a folder, not a graph", "name a .atk file in it")
    own = [
        str(path.relative_to(root))
        for folder in (root, root / "graphs")
        for path in sorted(folder.glob("*.atk"))
        if path.is_file()  # the folder of the store is called `.atk`
    ]
    near = difflib.get_close_matches(graph, own) or difflib.get_close_matches(given.stem, shipped)
    raise GraphMissing(
        f"no graph {graph}",
        f"did you mean {near[0]}?"
        if near
        else f"give the path of a .atk file, or one of the shipped graphs: {', '.join(shipped)}",
    )


def prompt_directories(path: Path, root: Path) -> list[Path]:
    """`prompts/` where the command runs, beside the graph and its parents, then the shipped one."""
    return _around(path, root, "prompts", paths.prompts())


def graph_directories(path: Path, root: Path) -> list[Path]:
    """`graphs/` likewise; a graph's own folder comes first."""
    return [path.parent, *_around(path, root, "graphs", paths.graphs())]


def _around(path: Path, root: Path, name: str, shipped: Path) -> list[Path]:
    found = [root / name, path.parent / name, path.parent.parent / name, shipped]
    return list(dict.fromkeys(folder for folder in found if folder.is_dir()))
