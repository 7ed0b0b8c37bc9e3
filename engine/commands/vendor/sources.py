"""Where a shared graph comes from: a path, a shipped graph's name, a repository, an address.

Nothing that is fetched is run, and only texts that a graph may use are unpacked: no links, no path
that leads out of the folder, no more than a bounded size. What stands behind the `?` of an address may
be a secret: it is sent, and neither told nor recorded.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import struct
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage
from pathlib import Path, PurePosixPath
from typing import IO, Never
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from engine import __version__, paths
from engine.commands._errors import WRONG, CommandError, stop
from engine.frozen import dataclass

SUFFIXES = frozenset({".atk", ".md", ".py", ".json", ".jsonl", ".csv", ".txt"})
MOST_BYTES = 20 << 20  # of what is fetched, and of what is unpacked
MOST_SEEN = 10 * MOST_BYTES  # of what an archive holds, wanted or not
MOST_FILES = 2_000
PATIENCE = 30.0  # seconds without a byte
MOST_SECONDS = 180.0  # for the whole of what is fetched
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
    commit: str | None = None


@contextmanager
def found(source: str) -> Iterator[Found]:
    """The graph that a source means, for as long as the block runs. Raises `CommandError`."""
    if repository := REPOSITORY.fullmatch(source):
        owner, name, inside, version = repository.groups()
        base = os.environ.get("ATK_GITHUB", GITHUB).rstrip("/")
        address = f"{base}/{owner}/{name}/archive/{version or 'HEAD'}.tar.gz"
        content = fetched(address)
        with unpacked(content, address) as folder:
            yield within(folder, inside or "", source, version, commit_of(content))
    elif "://" in source:
        address, inside = split_address(source)
        content = fetched(address)
        source = f"{shown(address)}//{inside}" if inside else shown(address)
        if urlsplit(address).path.endswith(".atk"):
            with tempfile.TemporaryDirectory() as folder:
                graph = Path(folder).resolve() / PurePosixPath(urlsplit(address).path).name
                graph.write_bytes(content)
                yield Found(graph, graph.parent, source)
        else:
            with unpacked(content, address) as folder:
                yield within(folder, inside, source)
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


def within(
    folder: Path, inside: str, source: str, version: str | None = None, commit: str | None = None
) -> Found:
    """A graph by its path in what was unpacked."""
    target = (folder / inside.strip("/")).resolve() if inside.strip("/") else folder
    if folder not in (target, *target.parents) or not target.exists():
        near = ", ".join(sorted(str(one.relative_to(folder)) for one in folder.rglob("*.atk"))[:8])
        stop(f"there is no {inside} in {source}", f"its graphs: {near}" if near else "it holds no graph")
    graph = target if target.is_file() else only_graph(target, source)
    if graph.suffix != ".atk":
        stop(f"{inside} is no graph", "name a .atk file, or a folder that holds one")
    return Found(graph, folder, source, version, commit)


def split_address(source: str) -> tuple[str, str]:
    """`https://host/x.tar.gz//graphs/a.atk` as the archive's address and the path in it."""
    scheme, _, rest = source.partition("://")
    address, _, inside = rest.partition("//")
    return f"{scheme}://{address}", inside


def shown(address: str) -> str:
    """An address as it is told and recorded: without what may be a secret in it."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def refuse_unsafe(address: str) -> None:
    """Only https is fetched, and from this machine http. Raises `CommandError`."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        stop(f"that is no address: {error}")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
        stop(f"{shown(address)} is not fetched", "only https is")
    if "@" in parts.netloc:
        stop(f"{shown(address)} is given with a name or a password", "fetch it by hand and add the file")


class Redirects(HTTPRedirectHandler):
    """Goes only where an address of its own would be allowed to lead."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        refuse_unsafe(newurl)
        if urlsplit(newurl).scheme == "http" and urlsplit(req.full_url).hostname not in LOOPBACK:
            stop(f"{shown(req.full_url)} leads to {shown(newurl)}, which is not fetched", "only https is")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetched(address: str) -> bytes:
    """What an address gives. Raises `CommandError`."""
    refuse_unsafe(address)
    name = shown(address)
    request = Request(address, headers={"User-Agent": f"atk/{__version__}"})
    content, end = bytearray(), time.monotonic() + MOST_SECONDS
    try:
        with build_opener(Redirects).open(request, timeout=PATIENCE) as answer:
            while part := answer.read1(1 << 16):
                content += part
                if len(content) > MOST_BYTES:
                    help = "fetch it by hand and add what you need of it"
                    stop(f"{name} is larger than {MOST_BYTES >> 20} MB", help)
                if time.monotonic() > end:
                    raise CommandError(f"{name} takes too long", "fetch it by hand and add the file")
            if answer.length:
                raise CommandError(f"{name} broke off before its end", "try again")
    except HTTPError as error:
        raise CommandError(
            f"{name} answered with {error.code}: {error.reason}", "is the address right?"
        ) from None
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise CommandError(f"{name} cannot be fetched: {reason}", "is there a network?") from None
    return bytes(content)


@contextmanager
def unpacked(content: bytes, address: str) -> Iterator[Path]:
    """The texts in an archive, in a folder of their own; a single folder around all of them is left out."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        files = total = 0
        for path, data in members(content, shown(address)):
            files, total = files + 1, total + len(data)
            if files > MOST_FILES or total > MOST_BYTES:
                too_much(shown(address))
            target = folder.joinpath(*path.parts)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            except OSError as error:
                stop(f"{shown(address)} holds {str(path)[:80]}, which cannot be unpacked: {error.strerror}")
        inner = list(folder.iterdir())
        yield inner[0] if len(inner) == 1 and inner[0].is_dir() and inner[0].name != "graphs" else folder


def too_much(name: str) -> Never:
    stop(f"{name} holds too much", "fetch it by hand and add what you need of it")


def members(content: bytes, name: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Path and content of each file that may be of use. Raises `CommandError` for what is no archive."""
    try:
        yield from (zipped if zipfile.is_zipfile(io.BytesIO(content)) else tarred)(content, name)
    except UNREADABLE:
        stop(f"{name} is no archive that can be read", "a .zip, a .tar.gz or a single .atk file")


# What the standard library raises for archives that are damaged, encrypted, or packed in a way it cannot.
UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


def zipped(content: bytes, _: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for one in archive.infolist():
            link = one.external_attr >> 28 == 0xA
            if not one.is_dir() and not link and one.file_size <= MOST_BYTES and wanted(one.filename):
                yield PurePosixPath(one.filename), archive.read(one)


def tarred(content: bytes, name: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    plain = unzipped(content)
    seen = 0
    with tarfile.open(fileobj=plain, mode="r:") as tar:
        for member in tar:
            seen += member.size
            if seen > MOST_SEEN:
                too_much(name)
            if member.isreg() and member.size <= MOST_BYTES and wanted(member.name):
                taken = tar.extractfile(member)
                if taken is not None:
                    yield PurePosixPath(member.name), taken.read()
    while part := plain.read(1 << 20):  # to its end, where the checksum of all of it stands
        seen += len(part)
        if seen > MOST_SEEN:
            too_much(name)


def unzipped(content: bytes) -> IO[bytes]:
    packed = io.BytesIO(content)
    return gzip.GzipFile(fileobj=packed) if content.startswith(b"\x1f\x8b") else packed  # type: ignore[return-value]


def commit_of(content: bytes) -> str | None:
    """The commit that git notes in the head of the archives it makes."""
    with contextlib.suppress(*UNREADABLE), tarfile.open(fileobj=unzipped(content), mode="r:") as tar:
        comment = tar.pax_headers.get("comment", "")
        return comment if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", comment) else None
    return None


def wanted(name: str) -> bool:
    """A relative path that stays inside, to a text that a graph may use."""
    path = PurePosixPath(name)
    return path.suffix in SUFFIXES and not path.is_absolute() and ".." not in path.parts and "\\" not in name
