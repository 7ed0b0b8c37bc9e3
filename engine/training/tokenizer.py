"""A model folder's tokenizer and chat template, read by `tokenizers` alone: no torch, no transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.data.chat_template import ChatTemplate, shipped
from engine.frozen import dataclass
from engine.training.faults import NotTrained

if TYPE_CHECKING:
    import tokenizers

MARKS = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True)
class Tokenizer:
    """Texts to tokens and back, as the model of the folder has them. `chat` is how it writes talks."""

    inner: tokenizers.Tokenizer
    marks: Mapping[str, str]  # `eos_token` and its like, as texts
    chat: ChatTemplate
    chat_is_own: bool  # the folder has it; else it is ours and is saved with the model

    @classmethod
    def load(cls, folder: Path, template: str | None = None) -> Tokenizer:
        """That of a folder. `template` is the source of a chat template in place of its own, or the
        name of a shipped one. Raises `NotTrained`.
        """
        import tokenizers

        path = folder / "tokenizer.json"
        if not path.is_file():
            help = "save the model with `tokenizer.save_pretrained`, by a fast tokenizer"
            raise NotTrained(f"{folder} has no tokenizer.json", help)
        try:
            inner = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise NotTrained(f"{path} cannot be read: {error}") from error
        inner.no_padding()
        inner.no_truncation()
        settings = _json(folder / "tokenizer_config.json")
        marks = {name: text for name in MARKS if (text := _text(settings.get(name)))}
        own = _own_template(folder, settings)
        if template in ("chatml", "plain"):
            return cls(inner, marks, shipped(template, marks), False)
        if template is not None or own is not None:
            return cls(inner, marks, ChatTemplate(template or own or "", marks), template is None)
        known = inner.token_to_id("<|im_start|>") is not None and inner.token_to_id("<|im_end|>") is not None
        return cls(inner, marks, shipped("chatml" if known else "plain", marks), False)

    @property
    def end(self) -> int | None:
        """The token that ends a text."""
        text = self.marks.get("eos_token")
        return None if text is None else self.inner.token_to_id(text)

    def begin(self) -> list[int]:
        """The tokens that it puts before every text by itself."""
        found: list[int] = self.inner.encode("", add_special_tokens=True).ids
        return [one for one in found if one != self.end]

    def encode(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Tokens, and for each where in the text it stands, in characters."""
        found = self.inner.encode(text, add_special_tokens=False)
        return found.ids, found.offsets

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, marks included."""
        return str(self.inner.decode(list(tokens), skip_special_tokens=False))

    def stop(self) -> tuple[str, int] | None:
        """The mark with which the assistant ends its turn, and its token; None where there is none."""
        talk = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
        text, parts = self.chat.parts(talk)
        tokens, _ = self.encode(text[parts[-1].said : parts[-1].end])
        special = {one for one, token in self.inner.get_added_tokens_decoder().items() if token.special}
        for token in reversed(tokens):
            if token in special or token == self.end:
                return str(self.inner.id_to_token(token)), token
        return None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str | None:
    """A mark, which is a text, or an object with a text in it."""
    found = value.get("content") if isinstance(value, dict) else value
    return found if isinstance(found, str) else None


def _own_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text("utf-8")
    found = settings.get("chat_template")
    if isinstance(found, list):  # several, by name
        named = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None
