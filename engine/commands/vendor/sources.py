"""Where a shared graph comes from: a path, a shipped graph's name, a repository, an address.

Nothing that is fetched is run, and only texts that a graph may use are unpacked: no links, no path
that leads out of the folder, no more than a bounded size.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from engine import __version__, paths
from engine.commands._errors import WRONG, CommandError, stop

SUFFIXES = frozenset({".atk", ".md", ".py", ".json", ".jsonl", ".csv", ".txt"})
MOST_BYTES = 20 << 20  # of what is fetched, and of what is unpacked
MOST_FILES = 2_000
PATIENCE = 30.0  # seconds without a byte
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
GITHUB = "https://github.com"
REPOSITORY = re.compile(r"github:([\w.-]+)/([\w.-]+?)(?://([^@]*))?(?:@([\w./-]+))?")


@dataclass(frozen=True)
class Found:
    """A graph in a folder. `root` holds all that may be taken; `said` and `version` are for the record."""

    graph: Path
    root: Path
    said: str
    version: str | None = None


@contextmanager
def found(source: str) -> Iterator[Found]:
    """The graph that a source means, for as long as the block runs. Raises `CommandError`."""
    if repository := REPOSITORY.fullmatch(source):
        owner, name, inside, version = repository.groups()
        base = os.environ.get("ATK_GITHUB", GITHUB).rstrip("/")
        address = f"{base}/{owner}/{name}/archive/{version or 'HEAD'}.tar.gz"
        with unpacked(fetched(address), address) as folder:
            yield within(folder, inside or "", source, version)
    elif "://" in source:
        address, inside = split_address(source)
        content = fetched(address)
        if urlsplit(address).path.endswith(".atk"):
            with tempfile.TemporaryDirectory() as folder:
                graph = Path(folder).resolve() / PurePosixPath(urlsplit(address).path).name
                graph.write_bytes(content)
                yield Found(graph, graph.parent, source)
        else:
            with unpacked(content, address) as folder:
                yield within(folder, inside, source, None)
    else:
        yield local(source)


def local(source: str) -> Found:
    """A path here, or the name of a shipped graph."""
    path = Path(source)
    if path.exists():
        path = path.resolve()
        graph = path if path.is_file() else only_graph(path, source)
        if graph.suffix != ".atk":
            stop(f"{source} is no graph", "name a .atk file, or a folder that holds one")
        return Found(graph, project_of(graph) if path.is_file() else path, str(path))
    shipped = paths.graphs() / f"{path.stem}.atk"
    if path.name == source and shipped.is_file():
        return Found(shipped, paths.graphs().parent, f"shipped: {path.stem}", f"atk {__version__}")
    names = ", ".join(sorted(one.stem for one in paths.graphs().glob("*.atk")))
    raise CommandError(
        f"there is no {source}",
        f"give a path, a shipped graph ({names}), github:owner/repo//path or an address",
        WRONG,
    )


def project_of(graph: Path) -> Path:
    """The folder that a graph's files lie in: where `prompts` is, at most one folder up."""
    above = graph.parent.parent
    return above if not (graph.parent / "prompts").is_dir() and (above / "prompts").is_dir() else graph.parent


def only_graph(folder: Path, source: str) -> Path:
    """The one graph in a folder (or in `graphs` in it)."""
    for place in (folder, folder / "graphs"):
        graphs = sorted(place.glob("*.atk"))
        if len(graphs) == 1:
            return graphs[0]
        if graphs:
            names = ", ".join(str(one.relative_to(folder)) for one in graphs[:8])
            stop(f"there are {len(graphs)} graphs in {source}: which one?", f"name one of {names}")
    raise CommandError(f"there is no graph in {source}", "a graph is a file whose name ends in .atk", WRONG)


def within(folder: Path, inside: str, source: str, version: str | None) -> Found:
    """A graph by its path in what was unpacked."""
    target = (folder / inside.strip("/")).resolve() if inside.strip("/") else folder
    if folder not in (target, *target.parents) or not target.exists():
        near = ", ".join(sorted(str(one.relative_to(folder)) for one in folder.rglob("*.atk"))[:8])
        stop(f"there is no {inside} in {source}", f"its graphs: {near}" if near else "it holds no graph")
    graph = target if target.is_file() else only_graph(target, source)
    if graph.suffix != ".atk":
        stop(f"{inside} is no graph", "name a .atk file, or a folder that holds one")
    return Found(graph, folder, source, version)


def split_address(source: str) -> tuple[str, str]:
    """`https://host/x.tar.gz//graphs/a.atk` as the archive's address and the path in it."""
    scheme, _, rest = source.partition("://")
    address, _, inside = rest.partition("//")
    return f"{scheme}://{address}", inside


def fetched(address: str) -> bytes:
    """What an address gives. Raises `CommandError`."""
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        stop(f"{address} is not fetched", "only https is")
    request = Request(address, headers={"User-Agent": f"atk/{__version__}"})
    try:
        with urlopen(request, timeout=PATIENCE) as answer:  # https, or loopback, as seen above
            content: bytes = answer.read(MOST_BYTES + 1)
    except HTTPError as error:
        raise CommandError(
            f"{address} answered with {error.code}: {error.reason}", "is the address right?"
        ) from None
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise CommandError(f"{address} cannot be fetched: {reason}", "is there a network?") from None
    if len(content) > MOST_BYTES:
        stop(
            f"{address} is larger than {MOST_BYTES >> 20} MB", "fetch it by hand and add what you need of it"
        )
    return content


@contextmanager
def unpacked(content: bytes, address: str) -> Iterator[Path]:
    """The texts in an archive, in a folder of their own; a single folder around all of them is left out."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        files = total = 0
        for path, data in members(content, address):
            files, total = files + 1, total + len(data)
            if files > MOST_FILES or total > MOST_BYTES:
                stop(f"{address} holds too much", "fetch it by hand and add what you need of it")
            target = folder.joinpath(*path.parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        inner = list(folder.iterdir())
        yield inner[0] if len(inner) == 1 and inner[0].is_dir() and inner[0].name != "graphs" else folder


def members(content: bytes, address: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Name and content of each file that may be of use. Raises `CommandError` for what is no archive."""
    try:
        if zipfile.is_zipfile(io.BytesIO(content)):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for one in archive.infolist():
                    link = one.external_attr >> 28 == 0xA
                    if not one.is_dir() and not link and one.file_size <= MOST_BYTES and wanted(one.filename):
                        yield PurePosixPath(one.filename), archive.read(one)
            return
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            for member in tar:
                if member.isreg() and member.size <= MOST_BYTES and wanted(member.name):
                    taken = tar.extractfile(member)
                    if taken is not None:
                        yield PurePosixPath(member.name), taken.read()
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError):
        stop(f"{address} is no archive that can be read", "a .zip, a .tar.gz or a single .atk file")


def wanted(name: str) -> bool:
    """A relative path that stays inside, to a text that a graph may use."""
    path = PurePosixPath(name)
    return path.suffix in SUFFIXES and not path.is_absolute() and ".." not in path.parts and "\\" not in name
