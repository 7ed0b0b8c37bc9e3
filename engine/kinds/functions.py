"""The author's own Python functions: found, read without running them, loaded, digested.

While a graph is checked a function is only read (its signature stands in the source); code
runs when its node does. Nothing of rows or types here.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.frozen import dataclass

PLAIN: Mapping[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "list": (list,),
    "dict": (dict,),
    "Path": (str,),
}
_loading = threading.RLock()
_loaded: dict[tuple[Path, str], Any] = {}


class FunctionProblem(Exception):
    """A function that cannot be used: one message, and a mend where there is one."""

    def __init__(self, message: str, help: str | None = None):
        super().__init__(message)
        self.message, self.help = message, help


@dataclass(frozen=True)
class Argument:
    """An argument of a function behind those for rows. `plain`: the types it is annotated with, if simple."""

    name: str
    required: bool
    plain: tuple[type, ...] | None
    annotation: str


@dataclass(frozen=True)
class Signature:
    """What a function's source says of how it is called."""

    arguments: tuple[Argument, ...]
    takes_rows: bool  # it has an argument for each table
    anything: bool  # **settings
    is_async: bool


def locate(call: str, folders: Sequence[Path]) -> tuple[Path, str]:
    """The file and the function that `file.py:name` means. Raises `FunctionProblem`."""
    file, colon, name = call.rpartition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        raise FunctionProblem(f"`{call}` names no function", 'write it as "lib/clean.py:function"')
    for folder in folders:
        path = folder / file
        if path.is_file():
            return path.resolve(), name
    looked = " or ".join(str(path) for path in dict.fromkeys(folder / file for folder in folders))
    raise FunctionProblem(f"no file {file}", f"looked at {looked}")


def signature(path: Path, name: str, tables: int = 1) -> Signature:
    """Read a function's signature from its file, without running it. Raises `FunctionProblem`.

    The first `tables` arguments take rows and are left out of `arguments`.
    """
    tree = _tree(path)
    found = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
    ]
    if not found:
        return _elsewhere(tree, path, name)
    arguments = found[-1].args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [False] * (len(positional) - len(arguments.defaults)) + [True] * len(arguments.defaults)
    behind = list(zip(positional, defaults, strict=True))[tables:]
    named = [
        (each, default is not None)
        for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return Signature(
        tuple(_argument(each, has_default) for each, has_default in [*behind, *named]),
        len(positional) >= tables or arguments.vararg is not None,
        arguments.kwarg is not None,
        isinstance(found[-1], ast.AsyncFunctionDef),
    )


def _elsewhere(tree: ast.Module, path: Path, name: str) -> Signature:
    """A name that is no plain `def`: an import or an assignment is taken as it is when it runs."""
    assigned: set[str] = set()
    functions: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            assigned |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Assign):
            assigned |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.add(node.name)
    if name in assigned:
        return Signature((), True, True, False)
    there = ", ".join(f"`{each}`" for each in sorted(functions) if not each.startswith("_"))
    raise FunctionProblem(f"no function `{name}` in {path.name}", f"it has {there}" if there else None)


def _argument(argument: ast.arg, has_default: bool) -> Argument:
    text = ast.unparse(argument.annotation) if argument.annotation is not None else ""
    return Argument(argument.arg, not has_default, _plain(text), text)


def _plain(annotation: str) -> tuple[type, ...] | None:
    """The types that an annotation like `int | None` or `list[str]` allows; None if it is not so simple."""
    text = annotation.strip("\"'")
    types: tuple[type, ...] = ()
    for part in text.split("|"):
        word = part.strip().partition("[")[0]
        if word == "None":
            types += (type(None),)
        elif word in PLAIN:
            types += PLAIN[word]
        else:
            return None
    return types or None


def mismatch(argument: Argument, value: Any) -> str | None:
    """What is wrong with a value for an argument, if its annotation tells."""
    if argument.plain is None:
        return None
    if isinstance(value, bool) and bool not in argument.plain:
        return f"`{argument.name}` wants {argument.annotation}, not a truth value"
    if isinstance(value, argument.plain):
        return None
    return f"`{argument.name}` wants {argument.annotation}, not {type(value).__name__}"


def digest(path: Path) -> str:
    """A digest of a function's file and of the modules beside it that it imports, theirs included."""
    whole = hashlib.sha256()
    for file in with_imports(path):
        whole.update(file.relative_to(path.parent).as_posix().encode() + b"\0")
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def with_imports(path: Path) -> list[Path]:
    """A function's file and the modules beside it that it imports, theirs included.

    Raises `FunctionProblem` for one that is no Python.
    """
    found: dict[Path, None] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found[file] = None
        for module in _imported(_tree(file)):
            base = path.parent.joinpath(*module.split("."))
            if base.with_suffix(".py").is_file():
                waiting.append(base.with_suffix(".py"))
            elif base.is_dir():
                waiting.extend(base.rglob("*.py"))
    return sorted(found)


def _imported(tree: ast.Module) -> set[str]:
    """Names of modules that a file imports, anywhere in it, and of what it imports from them."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names |= {base, *(f"{base}.{alias.name}".strip(".") for alias in node.names)}
    return {part for name in names for part in (name, name.partition(".")[0]) if part}


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except OSError as error:
        raise FunctionProblem(f"{path} cannot be read: {error.strerror}") from error
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise FunctionProblem(
            f"{path.name} is no Python: {getattr(error, 'msg', error)} (line {line})"
        ) from error


def load(path: Path, name: str) -> Callable[..., Any]:
    """The function itself. The file runs once for each content. Raises `FunctionProblem`."""
    with _loading:
        key = (path, digest(path))
        if key not in _loaded:
            _loaded[key] = _run(path)
        function = getattr(_loaded[key], name, None)
    if not callable(function):
        raise FunctionProblem(f"no function `{name}` in {path.name}")
    return function  # type: ignore[no-any-return]


def any_loaded() -> bool:
    """Whether code of an author's has run in this process."""
    return bool(_loaded)


def _run(path: Path) -> Any:
    """Run a file as a module. What it imports from beside it is forgotten again, so that two
    folders may each have a `helpers.py` and an edit is seen by the next run of a notebook."""
    folder = str(path.parent)
    spec = importlib.util.spec_from_file_location(
        f"atk_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}", path
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before, writing = set(sys.modules), sys.dont_write_bytecode
    importlib.invalidate_caches()
    sys.dont_write_bytecode = True  # bytecode is told apart by the second: too coarse for an edit and a run
    sys.modules[spec.name] = module
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise FunctionProblem(f"{path.name} cannot be loaded: {fault(error, path)}") from error
    finally:
        sys.dont_write_bytecode = writing
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)  # for imports inside functions
        for other in set(sys.modules) - before - {spec.name}:
            if str(getattr(sys.modules[other], "__file__", None) or "").startswith(folder + "/"):
                del sys.modules[other]
    return module


def fault(error: BaseException, path: Path) -> str:
    """An exception of the author's code in one line: what it says, and where in the file."""
    import traceback

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    place = f" ({path.name}:{frames[-1].lineno})" if frames else ""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}{': ' + said[0] if said else ''}{place}"
