"""A model in this process, by the library `transformers`: asked in batches, on a card if there is one.

Nothing heavy is imported before the first call. What the model is shown is its folder's own chat
template over the messages: of a model that was trained here, the very text that it learnt from.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from engine.language.program import ModelSpec
from engine.models import folders, tokens
from engine.models.base import Halted, Reply, Request
from engine.models.streaming import Heard, streamer
from engine.models.vectors import packed
from engine.models.wire import Wire

BATCH = 32  # requests at once, at most
LONGEST = 512  # tokens of a reply, where nobody says
# Models of one process share its card and its draw, and the library loads one at a time.
ALONE = threading.Lock()
PASSED_ON = ("temperature", "top_p", "top_k", "max_tokens", "seed", "stop")


@dataclass(slots=True)
class Waiting:
    """One request that waits for its turn."""

    request: Request
    priority: float
    reply: asyncio.Future[Reply]


class Local:
    """One model folder. Belongs to one event loop."""

    def __init__(self, spec: ModelSpec):
        self.folder = spec.start or ""
        # No grammar holds the reply to a shape here, so that the shape is always told in words.
        self.spec = replace(spec, structured="prompt")
        self._wire = Wire(self.spec, folders.identity(spec.start) if spec.start else "not trained yet")
        self._waiting: list[Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self._halted = False
        self._loaded: Loaded | None = None

    def key(self, request: Request) -> bytes:
        """16 bytes over everything that can change the reply, the weights and the sample included."""
        return self._wire.key(request)

    def body(self, request: Request) -> bytes:
        """The request as JSON."""
        return self._wire.body(request, False)

    def estimate(self, request: Request) -> tuple[int, int]:
        """Tokens in and out, by the same rule of thumb as for endpoints."""
        out = 0 if request.reply == "vector" else tokens.of_reply(request.wanted)
        return tokens.of_messages(request.messages), out

    async def call(self, request: Request, priority: float = 0.0) -> Reply:
        """The reply, with those of others who ask at the same time. Raises `Halted`."""
        if self._halted:
            raise Halted
        waiting = Waiting(request, priority, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await waiting.reply

    async def stream(self, request: Request, heard: Heard) -> Reply:
        """The reply, its text told as it is written."""
        loop = asyncio.get_running_loop()

        def told(piece: str) -> None:
            loop.call_soon_threadsafe(lambda: heard(piece))

        try:
            (reply,) = await asyncio.to_thread(self._replies, [request], told)
        except Exception as error:  # whatever torch and its drivers raise
            return Reply("error", error=said(error, self.folder), fault="model")
        return reply

    def halt(self) -> None:
        """What waits for its turn ends with `Halted`; what is under way is finished."""
        self._halted = True
        for waiting in self._waiting:
            if not waiting.reply.done():
                waiting.reply.set_exception(Halted())
        self._waiting.clear()

    async def close(self) -> None:
        """Give the memory back."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        self._loaded = None

    def shown(self, request: Request) -> str:
        """The text that the model is given. Blocking: it may have to load."""
        return self._load().text(self._messages(request))

    def _messages(self, request: Request) -> list[dict[str, str]]:
        found: list[dict[str, str]] = orjson.loads(self.body(request))["messages"]
        return found

    async def _work(self) -> None:
        """Batches, until nobody waits."""
        while self._waiting:
            await asyncio.sleep(0)  # let the rows of one batch ask together
            self._waiting.sort(key=lambda one: -one.priority)
            size = min(self.spec.parallel, BATCH)
            batch = alike(self._waiting, self.spec.sampling)[:size]
            self._waiting = [one for one in self._waiting if one not in batch]
            try:
                replies = await asyncio.to_thread(self._replies, [one.request for one in batch])
            except Exception as error:  # whatever torch and its drivers raise
                replies = [Reply("error", error=said(error, self.folder), fault="model") for _ in batch]
            for one, reply in zip(batch, replies, strict=True):
                if not one.reply.done():
                    one.reply.set_result(reply)

    def _replies(self, requests: Sequence[Request], heard: Heard | None = None) -> list[Reply]:
        sampling = sampling_of(requests[0], self.spec.sampling)
        unknown = [name for name in sampling if name not in PASSED_ON]
        if unknown:
            text = f"a model of this process knows no `{unknown[0]}`"
            return [Reply("error", error=text, fault="request") for _ in requests]
        seed = int.from_bytes(self.key(requests[0])[:4], "big") + int(sampling.get("seed") or 0)
        with ALONE:
            loaded = self._load()
            started = time.perf_counter()
            if requests[0].reply == "vector":
                replies = loaded.vectors([one.messages[0]["content"] for one in requests])
            else:
                talks = [self._messages(one) for one in requests]
                replies = loaded.replies(talks, sampling, self.spec.options, seed, heard)
        for reply in replies:
            reply.ms = (time.perf_counter() - started) * 1_000
        return replies

    def _load(self) -> Loaded:
        if self._loaded is None:
            self._loaded = Loaded(self.folder)
        return self._loaded


class Loaded:
    """A model in memory."""

    def __init__(self, folder: str):
        import torch
        from transformers import AutoTokenizer, GenerationConfig
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.model = loaded(folder, "bfloat16" if self.device == "cuda" else "float32").to(self.device).eval()
        if (Path(folder) / "generation_config.json").is_file():  # an adapter has its own
            self.model.generation_config = GenerationConfig.from_pretrained(folder)
        ends = self.model.generation_config.eos_token_id
        self.ends = {ends} if isinstance(ends, int) else set(ends or ())
        if self.tokenizer.eos_token_id is not None:
            self.ends.add(self.tokenizer.eos_token_id)
        self.pad = self.tokenizer.pad_token_id
        if self.pad is None:
            self.pad = min(self.ends, default=0)
        self.begin = [one for one in self.tokenizer("").input_ids if one not in self.ends]

    def text(self, messages: Sequence[Mapping[str, str]]) -> str:
        """What the chat template makes of the messages, up to where the assistant begins."""
        if not self.tokenizer.chat_template:  # a model that only makes vectors has none
            raise ValueError("it has no chat template, so that it cannot be asked")
        return str(
            self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        )

    def tokens(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The same in tokens, with those that the tokenizer puts before every text."""
        found: list[int] = self.tokenizer(self.text(messages), add_special_tokens=False).input_ids
        return found if found[: len(self.begin)] == self.begin else [*self.begin, *found]

    def replies(
        self,
        talks: Sequence[Sequence[Mapping[str, str]]],
        sampling: Mapping[str, Any],
        options: Mapping[str, Any],
        seed: int,
        heard: Heard | None = None,
    ) -> list[Reply]:
        """The replies to several conversations, written at once; of a single one the text may be told."""
        torch = self.torch
        asked = [self.tokens(talk) for talk in talks]
        longest = max(map(len, asked))
        given = torch.tensor([[self.pad] * (longest - len(one)) + one for one in asked], device=self.device)
        seen = torch.tensor(
            [[0] * (longest - len(one)) + [1] * len(one) for one in asked], device=self.device
        )
        settings = self.settings(sampling) | dict(options)
        if heard is not None:
            settings["streamer"] = streamer(self.tokenizer, heard, stops_of(sampling))
        torch.manual_seed(seed)
        with torch.inference_mode():
            made = self.model.generate(input_ids=given, attention_mask=seen, **settings)
        return [
            self.reply(row[longest:].tolist(), len(one), sampling)
            for row, one in zip(made, asked, strict=True)
        ]

    def vectors(self, texts: Sequence[str]) -> list[Reply]:
        """The mean of the last layer's states over each text's tokens, its length made 1."""
        torch = self.torch
        asked = [self.tokenizer(text, truncation=True).input_ids or [self.pad] for text in texts]
        longest = max(map(len, asked))
        given = [[self.pad] * (longest - len(one)) + one for one in asked]
        seen = [[0] * (longest - len(one)) + [1] * len(one) for one in asked]
        mask = torch.tensor(seen, device=self.device)
        with torch.inference_mode():
            made = self.model(
                input_ids=torch.tensor(given, device=self.device),
                attention_mask=mask,
                output_hidden_states=True,
            )
        states = made.hidden_states[-1].float() * mask.unsqueeze(-1)
        means = torch.nn.functional.normalize(states.sum(1) / mask.sum(1, keepdim=True), dim=1)
        return [
            Reply("ok", packed(mean.tolist()), finish="stop", tokens_in=len(one))
            for mean, one in zip(means, asked, strict=True)
        ]

    def settings(self, sampling: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of `generate`. Without a temperature the likeliest token is taken each time."""
        temperature = sampling.get("temperature")
        found: dict[str, Any] = {
            "max_new_tokens": sampling.get("max_tokens") or LONGEST,
            "pad_token_id": self.pad,
            "eos_token_id": sorted(self.ends) or None,
            "do_sample": bool(temperature),
        }
        if temperature:
            found["temperature"] = temperature
            found |= {name: sampling[name] for name in ("top_p", "top_k") if sampling.get(name)}
        if stops := stops_of(sampling):
            found |= {"stop_strings": stops, "tokenizer": self.tokenizer}
        return found

    def reply(self, made: list[int], asked: int, sampling: Mapping[str, Any]) -> Reply:
        """One reply of its tokens; `cut` where it ended without an end mark."""
        at = next((at for at, token in enumerate(made) if token in self.ends), None)
        body = made if at is None else made[:at]
        text = str(self.tokenizer.decode(body, skip_special_tokens=True))
        ended = at is not None
        for stop in stops_of(sampling):
            before, found, _ = text.partition(stop)
            text, ended = (before, True) if found else (text, ended)
        finish = "stop" if ended else "length"
        count = len(body) + (at is not None)
        return Reply("ok" if ended else "cut", text, finish=finish, tokens_in=asked, tokens_out=count)


def loaded(folder: str, dtype: str) -> Any:
    """The model of a folder; an adapter is merged into the model beneath it."""
    from transformers import AutoModelForCausalLM

    adapter = Path(folder) / "adapter_config.json"
    if not adapter.is_file():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    from peft import PeftModel

    below = orjson.loads(adapter.read_bytes())["base_model_name_or_path"]
    return PeftModel.from_pretrained(loaded(below, dtype), folder).merge_and_unload()


def sampling_of(request: Request, own: Mapping[str, Any]) -> dict[str, Any]:
    """What is set: the request's over the model's."""
    merged = {**own, **(request.sampling or {})}
    return {name: value for name, value in merged.items() if value is not None}


def alike(waiting: Sequence[Waiting], own: Mapping[str, Any]) -> list[Waiting]:
    """Those that can be asked with the first: their sampling is the same."""
    first = sampling_of(waiting[0].request, own)
    vector = waiting[0].request.reply == "vector"
    return [
        one
        for one in waiting
        if sampling_of(one.request, own) == first and (one.request.reply == "vector") is vector
    ]


def stops_of(sampling: Mapping[str, Any]) -> list[str]:
    """Texts where a reply ends."""
    stop = sampling.get("stop") or []
    return [stop] if isinstance(stop, str) else list(stop)


def said(error: Exception, folder: str) -> str:
    """What keeps a model of this process from answering, and what to do."""
    if isinstance(error, ImportError):
        name = (error.name or "torch").partition(".")[0]
        return (
            f'models of this process need {name} where atk itself is installed: pip install "atk[train]"; '
            "or serve the folder elsewhere and name its address"
        )
    if "out of memory" in str(error).lower():
        return f"no memory for the model in {folder}: lower `parallel` in the model, or the length of replies"
    first = next(iter(str(error).splitlines()), type(error).__name__)
    return f"the model in {folder or 'no folder'} cannot be asked: {first}"
