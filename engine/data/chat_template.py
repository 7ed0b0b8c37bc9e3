"""One template for a conversation, from the data through the training to the asking.

A chat template is Jinja2 as model folders have it. It is rendered here as the library `transformers`
renders it, byte for byte, without that library: so that what a model is trained on can be read and
counted before anything is trained. Tokens are not known here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.frozen import dataclass

SHIPPED = Path(__file__).with_name("chat_templates")


class NoTemplate(Exception):
    """A template that cannot be used, or a conversation that it does not take: one clear message."""


@dataclass(frozen=True)
class Part:
    """One message as it stands in the rendered text. `said` is what its author writes, end mark included.

    For the assistant that begins where a model that is asked begins to write.
    """

    start: int
    said: int
    end: int


class Generation(Extension):
    """`{% generation %}`: marks what the assistant writes; it renders what is in it."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja2 declares it

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        """The body alone."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """A chat template with the marks (`eos_token` and others) that it may name."""

    def __init__(self, source: str, marks: Mapping[str, str] | None = None):
        self.source, self.marks = source, dict(marks or {})

    @cached_property
    def _template(self) -> Any:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
        )
        environment.filters["tojson"] = _json
        environment.globals["raise_exception"] = _refuse
        try:
            return environment.from_string(self.source)
        except TemplateError as error:
            raise NoTemplate(f"the chat template cannot be read: {error}") from error

    def render(self, messages: Sequence[Mapping[str, Any]], prompt: bool = False) -> str:
        """The text of a conversation; with `prompt`, up to where the assistant begins to write.

        Raises `NoTemplate`.
        """
        bare = [{name: value for name, value in one.items() if name != "train"} for one in messages]
        try:
            return str(self._template.render(messages=bare, add_generation_prompt=prompt, **self.marks))
        except (TemplateError, TypeError) as error:
            raise NoTemplate(f"the chat template does not take this conversation: {error}") from error

    def parts(self, messages: Sequence[Mapping[str, Any]]) -> tuple[str, list[Part]]:
        """The text, and where in it each message stands. Raises `NoTemplate`.

        A template that writes earlier messages otherwise once later ones follow has no such places.
        """
        text = self.render(messages)
        parts: list[Part] = []
        before = ""
        for place, message in enumerate(messages, 1):
            upto = text if place == len(messages) else self.render(messages[:place])
            if not upto.startswith(before) or not text.startswith(upto):
                raise NoTemplate(
                    f"the chat template writes message {place} otherwise once others follow, so that no "
                    "single message can be trained"
                )
            said = len(before)
            if message["role"] == "assistant":
                asked = self.render(messages[: place - 1], prompt=True)
                said = len(asked) if upto.startswith(asked) else said
            parts.append(Part(len(before), said, len(upto)))
            before = upto
        return text, parts

    def asks_as_trained(self) -> bool:
        """Whether a model that is asked is shown what stood before its answer in training."""
        talk = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A."}]
        try:
            return self.render(talk).startswith(self.render(talk[:1], prompt=True))
        except NoTemplate:
            return False


def shipped(name: str, marks: Mapping[str, str] | None = None) -> ChatTemplate:
    """`chatml`, or `plain`, which needs no marks but the end of a text."""
    return ChatTemplate((SHIPPED / f"{name}.jinja").read_text("utf-8").rstrip("\n"), marks)


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **more: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **more)
