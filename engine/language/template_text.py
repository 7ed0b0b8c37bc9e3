"""The inside of a prompt file: Jinja2, sandboxed and strict.

Compiles the text of each message, finds out what it reads and where, and renders it. Pure: no
clock, no dice, no file while rendering; what is included is read when the prompt is compiled.
Nothing here knows front matter or roles.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    Environment,
    StrictUndefined,
    TemplateError,
    TemplateSyntaxError,
    UndefinedError,
    meta,
    nodes,
)
from jinja2.exceptions import SecurityError
from jinja2.filters import do_center
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.frozen import dataclass
from engine.language.template_bounds import (
    CALL,
    COUNTED,
    OPERATORS,
    begin,
    bound_call,
    bound_length,
    bound_operator,
    count_loops,
    counted,
    step,
)
from engine.language.template_source import (
    Message,
    Source,
    Splice,
    TemplateProblem,
    has_roles,
    locate,
    read_text,
)

_GLOBALS = ("range", "dict", "namespace")
Place = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Compiled:
    """One message (or splice), ready to be rendered. `reads`: variable -> (line, column) in the file."""

    reads: Mapping[str, Place]
    render: Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, eq=False)
class Prompt:
    """All messages of a prompt. `looked_for`: keys of includes -> the file, None where there is none."""

    parts: tuple[Compiled, ...]
    looked_for: Mapping[str, Path | None]
    digest: str


def compile_prompt(source: Source, key: str, folders: Sequence[Path]) -> Prompt:
    """Compile every message of a prompt file whose key is like `factual/check_answer.md`.

    Raises `TemplateProblem` with the place for faulty Jinja2 and for includes that are not there.
    """
    library = _Library(key, folders)
    parts = tuple(_compile_part(part, source, library) for part in source.parts)
    digest = hashlib.sha256()
    facts = [source.sampling, [_facts(part) for part in source.parts], library.texts]
    digest.update(json.dumps(facts, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return Prompt(parts, library.looked_for, digest.hexdigest()[:32])


def _facts(part: Message | Splice) -> list[str]:
    if isinstance(part, Splice):
        return ["messages", part.variable]
    return [part.role, part.text.strip("\n")]


def _compile_part(part: Message | Splice, source: Source, library: _Library) -> Compiled:
    if isinstance(part, Splice):
        return Compiled({part.variable: (part.line, part.column)}, lambda values: "")
    shift = part.line - 1
    with _Located(source.path, shift):
        tree = library.environment.parse(part.text)
        local = _reads(part.text, tree, library, library.key, source.path, shift)
        reads = {variable: (line + shift, column) for variable, (line, column) in local.items()}

    @cache
    def template() -> Any:
        # At first use: a check renders nothing. The file name marks its frames in a traceback.
        code = library.environment.compile(tree, name=library.key, filename=str(source.path))
        made = library.environment.template_class.from_code(library.environment, code, {}, None)
        made.globals.update(library.environment.globals)
        return made

    def rendered(values: Mapping[str, Any]) -> str:
        try:
            begin()
            return bound_length(template().generate(values))
        except Exception as error:
            raise _runtime_problem(error, source.path, shift, library) from None

    return Compiled(reads, rendered)


# -- what a template reads ---------------------------------------------------------------


def _reads(
    text: str, tree: nodes.Template, library: _Library, key: str, path: Path, shift: int
) -> dict[str, Place]:
    """Variables that must be given, with the place of their first use; those of includes stand there."""
    tree.set_environment(_analyser())
    names = meta.find_undeclared_variables(tree)
    tree.set_environment(library.environment)
    loads = [name for name in tree.find_all(nodes.Name) if name.ctx == "load"]
    called = {id(call.node) for call in tree.find_all(nodes.Call)}
    reads: dict[str, Place] = {}
    for name in sorted(names):
        uses = [use for use in loads if use.name == name]
        if name in _GLOBALS and all(id(use) in called for use in uses):
            continue
        line = min((use.lineno for use in uses), default=1)
        reads[name] = (line, _column(text, line, name))
    for include in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        sees = not isinstance(include, (nodes.Import, nodes.FromImport)) or include.with_context
        own = _assigned(tree)
        for included in _included(include, library, key, path, shift):
            inner = library.reads_of(included) if sees else ()
            for name in inner:
                if name not in own:
                    reads.setdefault(name, (include.lineno, _column(text, include.lineno, "include")))
    return reads


def printed(text: str, among: Collection[str]) -> set[str]:
    """Which of some variables a message prints, straight, through filters or in a loop over them.

    What is only measured (`| length`) or tested is not printed.
    """
    tree = _analyser().parse(text)
    whose = {name: {name} for name in among}
    for loop in tree.find_all(nodes.For):
        found = set().union(*(whose.get(name, set()) for name in _shown_names(loop.iter)))
        for target in (loop.target, *loop.target.find_all(nodes.Name)):
            if found and isinstance(target, nodes.Name):
                whose[target.name] = whose.get(target.name, set()) | found
    outputs = [part for output in tree.find_all(nodes.Output) for part in output.nodes]
    return set().union(*(whose.get(name, set()) for part in outputs for name in _shown_names(part)))


def _shown_names(node: nodes.Node) -> Iterator[str]:
    if isinstance(node, nodes.Name):
        yield node.name
    elif isinstance(node, nodes.CondExpr):
        for part in (node.expr1, *([node.expr2] if node.expr2 is not None else [])):
            yield from _shown_names(part)
    elif not (isinstance(node, nodes.Test | nodes.Compare | nodes.Not) or _measured(node)):
        for child in node.iter_child_nodes():
            yield from _shown_names(child)


def _measured(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Filter) and node.name in ("length", "count", "wordcount")


def _included(include: nodes.Node, library: _Library, key: str, path: Path, shift: int) -> Iterator[str]:
    """The keys of the files that a statement names. They must be written out: they are part of the digest."""
    constant = include.template  # type: ignore[attr-defined]
    line = include.lineno + shift
    written = constant.value if isinstance(constant, nodes.Const) else None
    if isinstance(constant, (nodes.List, nodes.Tuple)) and all(
        isinstance(i, nodes.Const) for i in constant.items
    ):
        written = [item.value for item in constant.items]  # type: ignore[attr-defined]
    options = [written] if isinstance(written, str) else list(written or ())
    if not options or not all(isinstance(option, str) for option in options):
        raise TemplateProblem("an include must name its file in quotes", path, line, 1)
    found = [joined for option in options if (joined := library.join(option, key)) in library.texts]
    if not found and not getattr(include, "ignore_missing", False):
        close = get_close_matches(options[0], library.existing(), 1)
        raise TemplateProblem(
            f'there is no file "{options[0]}" to include',
            path,
            line,
            1,
            f'did you mean "{close[0]}"?' if close else "includes are looked for in the prompts folders",
        )
    yield from found[:1]


def _assigned(tree: nodes.Template) -> set[str]:
    names = {name.name for name in tree.find_all(nodes.Name) if name.ctx in ("store", "param")}
    names |= {macro.name for macro in tree.find_all(nodes.Macro)}
    names |= {imported.target for imported in tree.find_all(nodes.Import)}
    for imports in tree.find_all(nodes.FromImport):
        names |= {name if isinstance(name, str) else name[1] for name in imports.names}
    return names


def _column(text: str, line: int, name: str) -> int:
    """The column of a variable's first use on a line, after `{{` or `{%` where it can be told."""
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        return 1
    start = max(
        min((i for i in (lines[line - 1].find(mark) for mark in ("{{", "{%")) if i >= 0), default=0), 0
    )
    match = re.compile(rf"(?<![\w.|]){re.escape(name)}\b").search(lines[line - 1], start)
    return match.start() + 1 if match else 1


# -- the environment ---------------------------------------------------------------------


class _Sandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = OPERATORS

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Bounded: a short prompt must not fill the memory."""
        bound_operator(operator, left, right)
        return super().call_binop(context, operator, left, right)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - Jinja's
        """The same for calls."""
        step(CALL)
        bound_call(__obj, args)
        return super().call(__context, __obj, *args, **kwargs)

    def _generate(self, source: nodes.Template, *args: Any, **kwargs: Any) -> str:
        """The code of a template, an included one too, in which loops are counted."""
        count_loops(source)
        return super()._generate(source, *args, **kwargs)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A struct's field comes before a method of the same name: `turn.items`, `row.count`."""
        if type(obj) is dict and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def join_path(self, template: str, parent: str) -> str:
        loader = self.loader
        return loader.join(template, parent) if isinstance(loader, _Library) else template


class _Library(BaseLoader):
    """Serves the files that a prompt includes, read once while it is compiled."""

    def __init__(self, key: str, folders: Sequence[Path]):
        self.key, self.folders = key, folders
        self.texts: dict[str, str] = {}
        self.looked_for: dict[str, Path | None] = {}
        self._reads: dict[str, tuple[str, ...]] = {}
        self.environment = _sandbox(self)

    def join(self, name: str, parent: str) -> str:
        """The key of an included file: beside the file that names it, else from the prompts folder."""
        folder = parent.rpartition("/")[0]
        beside = f"{folder}/{name.removeprefix('./')}" if folder else name.removeprefix("./")
        return beside if self._has(beside) else name if self._has(name) else beside

    def _has(self, key: str) -> bool:
        if key not in self.looked_for:
            file = self.looked_for[key] = locate(key, self.folders)
            if file is not None:
                text = read_text(file)
                if has_roles(text):
                    raise TemplateProblem("a file that is included can have no role lines", file, 1, 1)
                self.texts[key] = text
        return key in self.texts

    def reads_of(self, key: str) -> tuple[str, ...]:
        """What an included file reads of its surroundings, through its own includes too."""
        if key not in self._reads:
            self._reads[key] = ()  # a file that includes itself ends here
            text, file = self.texts[key], self.looked_for[key] or Path(key)
            with _Located(file, 0):
                tree = self.environment.parse(text)
                self._reads[key] = tuple(_reads(text, tree, self, key, file, 0))
                self.environment.compile(tree, name=key, filename=str(file))
        return self._reads[key]

    def existing(self) -> list[str]:
        return sorted(
            {f.relative_to(d).as_posix() for d in self.folders if d.is_dir() for f in d.rglob("*.md")}
        )

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str | None, Callable[[], bool]]:
        file = self.looked_for.get(template)
        return self.texts[template], str(file), lambda: True


def _sandbox(loader: BaseLoader) -> Environment:
    environment = _Sandbox(
        loader=loader,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
        auto_reload=False,
    )
    environment.globals = {name: environment.globals[name] for name in _GLOBALS}
    del environment.filters["random"]
    environment.filters["json"] = _json
    environment.filters["center"] = _center
    environment.filters[COUNTED] = counted
    return environment


def _center(value: str, width: int = 80) -> str:
    """Jinja's own filter, bounded."""
    bound_call(str(value).center, (width,))
    return do_center(value, width)


@lru_cache(maxsize=1)
def _analyser() -> Environment:
    """Without globals, so that a column called `range` is seen as one."""
    environment = _sandbox(BaseLoader())
    environment.globals = {}
    return environment


def _finalize(value: Any) -> Any:
    return "" if value is None else value


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)


# -- problems ----------------------------------------------------------------------------


class _Located:
    """Turns Jinja2's syntax errors into problems with their place in the file."""

    def __init__(self, path: Path, shift: int):
        self.path, self.shift = path, shift

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, RecursionError):
            raise TemplateProblem("this is nested too deeply", self.path, self.shift + 1, 1) from None
        if not isinstance(error, TemplateSyntaxError):
            return
        text = (error.message or "faulty template").rstrip(".")
        raise TemplateProblem(text, self.path, error.lineno + self.shift, 1, _mend(text)) from None


def _mend(text: str) -> str | None:
    """What helps against a syntax error, known by the words of Jinja2's message."""
    if match := re.search(r"No filter named '(\w+)'", text):
        if match[1] == "random":
            return "prompts are pure: the same row gives the same text"
        close = get_close_matches(match[1], _analyser().filters, 1)
        return f"did you mean `{close[0]}`?" if close else None
    if "unknown tag 'end" in text or "Unexpected end of template" in text:
        return "a block begins and ends within one message"
    return None


def _runtime_problem(error: Exception, path: Path, shift: int, library: _Library) -> TemplateProblem:
    """Where in the prompt, or in a file that it includes, rendering failed and why."""
    files = {str(file): (file, 0) for file in library.looked_for.values() if file}
    files[str(path)] = (path, shift)
    place: tuple[Path, int | None] = (path, None)
    frame = error.__traceback__
    while frame is not None:
        if known := files.get(frame.tb_frame.f_code.co_filename):
            place = (known[0], frame.tb_lineno + known[1])
        frame = frame.tb_next
    if isinstance(error, TemplateProblem):
        return error
    if isinstance(error, UndefinedError):
        text = _missing_text(str(error))
    elif isinstance(error, SecurityError):
        text = f"not allowed in a prompt: {error}"
    elif isinstance(error, RecursionError):
        text = "includes, or macros that call themselves, never end"
    elif isinstance(error, TypeError) and "'NoneType' object is not iterable" in str(error):
        text = "a loop over a value that is null; write `in name or []` where it may be"
    elif isinstance(error, TemplateError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"
    return TemplateProblem(text, place[0], place[1])


def _missing_text(text: str) -> str:
    if match := re.fullmatch(r"'(\w+)' is undefined", text):
        return f"`{match[1]}` is not given"
    if match := re.fullmatch(r"'dict object' has no attribute '(\w+)'", text):
        return f"the record has no field `{match[1]}`"
    if match := re.fullmatch(r"'?None'? has no (?:attribute|element) '?(\w+)'?", text):
        return f"`{match[1]}` is asked of a value that is null"
    return text
