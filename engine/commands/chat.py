"""`atk chat`: talk to a model of a graph, or to one that was trained, in a terminal or through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.commands._errors import CommandError, stop
from engine.commands._options import STORE, Debug, Models, Profile, Values

if TYPE_CHECKING:
    from engine.language.program import ModelSpec, Program
    from engine.models.base import Model, Reply

Named = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A `model` of the graph, a `train` node that ran here, or a model's folder.",
    ),
]
Graph = Annotated[
    str | None,
    typer.Argument(metavar="GRAPH", help="Whose model it is; without it that of the last run here."),
]
System = Annotated[str | None, typer.Option("--system", help="What the model is told beforehand.")]
Longest = Annotated[
    int | None, typer.Option("--max-tokens", min=1, help="The longest reply, over the model's own.")
]
Temperature = Annotated[
    float | None,
    typer.Option("--temperature", min=0, help="Randomness, over the model's own; 0: the likeliest words."),
]

AGAIN = "/new"
ELSE = "name a `model` of a graph (atk chat MODEL GRAPH), a `train` node that ran here, or a model's folder"


def chat(
    model: Named,
    graph: Graph = None,
    system: System = None,
    max_tokens: Longest = None,
    temperature: Temperature = None,
    values: Values = None,
    models: Models = None,
    profile: Profile = None,
    debug: Debug = False,
) -> None:
    """Talk to a model.

    A line is a message, and the model has the whole talk before it; `/new` begins another. Replies are
    shown as they come, and nothing is kept; what they took is told at the end.
    """
    import asyncio  # a third of what the other commands would take to begin
    import os

    from engine.models import open_model

    spec = meant(model, graph, values, models, profile)
    sampling = {"max_tokens": max_tokens, "temperature": temperature}
    first = [{"role": "system", "content": system}] if system else []
    with asyncio.Runner() as runner:
        opened = open_model(spec, os.environ)
        talk = Talk(opened, first, {name: value for name, value in sampling.items() if value is not None})
        if sys.stdin.isatty():
            print(f"{model}: {answering(spec)}; {AGAIN} begins anew, Ctrl-D ends", file=sys.stderr)
        try:
            for line in lines():
                if line == AGAIN:
                    talk.begin()
                elif (problem := runner.run(talk.say(line))) is not None:
                    if not sys.stdin.isatty():
                        stop(problem, None)
                    print(f"error: {problem}", file=sys.stderr)
        finally:
            runner.run(opened.close())
            if talk.told:
                print(talk.told, file=sys.stderr)


@dataclass
class Talk:
    """What was said so far, and what it took."""

    model: Model
    first: list[dict[str, str]]
    sampling: dict[str, Any]
    said: list[dict[str, str]] = field(default_factory=list)
    replies: int = 0
    tokens: int = 0
    cost: float = 0.0

    def begin(self) -> None:
        """Forget what was said."""
        self.said = []

    async def say(self, line: str) -> str | None:
        """Print the reply as it comes; where there is none, the line is taken back, and it says why."""
        from engine.models.base import Request

        asked = [*self.first, *self.said, {"role": "user", "content": line}]
        request = Request(asked, reply="text", sampling=self.sampling, sample=len(asked))
        heard: list[str] = []
        reply = await self.model.stream(request, lambda piece: _show(piece, heard))
        if reply.status in ("ok", "cut") and not "".join(heard).strip():
            _show(reply.text, heard)  # an endpoint that does not stream
        if heard:
            print(flush=True)
        self._count(reply)
        if reply.status == "error":
            return reply.error or "the model gave no reply"
        if reply.status == "refused":
            return reply.error or f"the model declined: {reply.text}"
        self.said += [asked[-1], {"role": "assistant", "content": reply.text}]
        return None

    def _count(self, reply: Reply) -> None:
        self.replies += reply.status != "error"
        self.tokens += reply.tokens_in + reply.tokens_out
        self.cost += reply.dearest

    @property
    def told(self) -> str:
        """What the endpoint was paid for; nothing is said of a model that costs nothing."""
        from engine.commands._render import money, plural, short

        if not self.cost:
            return ""
        return f"{plural(self.replies, 'reply', 'replies')}, {short(self.tokens)} tokens, {money(self.cost)}"


def _show(piece: str, heard: list[str]) -> None:
    heard.append(piece)
    print(piece, end="", flush=True)


# -- which model is meant ----------------------------------------------------------------------


def meant(
    name: str,
    graph: str | None,
    values: list[str] | None,
    models: list[str] | None,
    profile: str | None,
) -> ModelSpec:
    """The model of that name: of the graph where one is given, else what was trained here, else of the
    graph that ran last. Ends the command (exit 2) where there is none.
    """
    root = Path.cwd()
    if graph is None and (folder := trained(name, root)) is not None:
        return of_folder(name, folder)
    program = program_of(graph, values, models, profile)
    spec = program.models.get(name) if program is not None else None
    if program is None or spec is None:
        if (folder := trained(name, root)) is not None:
            return of_folder(name, folder)
        stop(f"there is no model at {name}", _near(root, program))
    if spec.provider != "transformers":
        return spec
    from engine.runtime.statics import located

    made = trained(spec.trained, root) if spec.trained else None
    if spec.trained and made is None:
        stop(f"`{name}` is what `{spec.trained}` trains, which has not run here", "run the graph first")
    return located(spec, [root, program.path.parent], str(made) if made else None)


def program_of(
    graph: str | None, values: list[str] | None, models: list[str] | None, profile: str | None
) -> Program | None:
    """The graph that is named, or else the one that ran last here, as it ran; None where none did."""
    from engine.commands._options import load_sound
    from engine.commands.render import last_command

    if graph is not None:
        return load_sound(graph, values, models, profile)
    if not STORE.exists():
        return None
    try:
        found = last_command(STORE, None)
    except CommandError:
        return None  # a store without a run, or with several graphs: nothing says which is meant
    return load_sound(
        found["graph"],
        [*found["-p"], *(values or ())],
        [*found["-m"], *(models or ())],
        profile or found["--profile"],
    )


def trained(name: str, root: Path) -> Path | None:
    """The folder that is meant: one with a model in it, a job's, or the newest of a `train` node."""
    given = root / name
    places = (given, given / "model", given / "latest/model", root / "out/models" / name / "latest/model")
    files = ("config.json", "adapter_config.json")
    folder = next((one for one in places if any((one / file).is_file() for file in files)), None)
    return folder.resolve() if folder is not None else None


def of_folder(name: str, folder: Path) -> ModelSpec:
    """A model of this process, with nothing set."""
    from engine.language.program import ModelSpec

    return ModelSpec(
        "chat", "transformers", name, None, None, {}, {}, {}, 1, 0.0, "prompt", None, None, None,
        start=str(folder),
    )  # fmt: skip


def answering(spec: ModelSpec) -> str:
    """Who answers, for a person."""
    if spec.provider == "openai":
        from engine.models.endpoint import normalised

        return f"{spec.model} at {normalised(spec.base_url or '').host_port_subcomponent}"
    return "the built-in stand-in" if spec.provider == "offline" else str(spec.start)


def lines() -> Iterator[str]:
    """What is typed or piped in, without empty lines."""
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(prompt).strip()
        except EOFError:
            return
        if line:
            yield line


def _near(root: Path, program: Program | None) -> str:
    """What could have been meant."""
    made = sorted(path.name for path in (root / "out/models").glob("*") if (path / "latest").exists())
    told = [f"trained here: {', '.join(made)}"] if made else []
    if program is not None and program.models:
        told.insert(0, f"models of {program.path.name}: {', '.join(sorted(program.models))}")
    return "; ".join(told) or ELSE
