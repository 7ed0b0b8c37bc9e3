"""The `Modelfile` of a trained model: what Ollama needs to serve it as it was trained.

Its template is found by trying: the marks around a turn are those that the chat template writes. A chat
template that does more than put marks around turns has no such form, and then there is no file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.training.job import Job
from engine.training.tokenizer import Tokenizer

Talk = Sequence[dict[str, str]]
ROLES = ("system", "user", "assistant")


def leave(job: Job, tokenizer: Tokenizer) -> None:
    """Writes it into the folder of a whole model that answers; it goes by the job alone."""
    asked = job.asked
    if asked["method"] in ("cpt", "classifier") or (asked["lora"] and not asked["merge"]):
        return
    begin = tokenizer.marks.get("bos_token", "")  # Ollama puts it there itself

    def render(talk: Talk, prompt: bool) -> str:
        return tokenizer.chat.render(talk, prompt).removeprefix(begin)

    text = modelfile(render, [str(tokenizer.inner.id_to_token(stop)) for stop in asked["stop"]])
    if text is not None:
        (job.model / "Modelfile").write_text(text, "utf-8")


def marks(render: Callable[[Talk, bool], str]) -> tuple[dict[str, tuple[str, str]], str] | None:
    """What stands before and after a turn of each role, and what asks for an answer.

    `render` gives the text of a talk, with a request for an answer or without. None where turns are
    written otherwise than one by one.
    """
    talk = [{"role": role, "content": f"~{role}~"} for role in ROLES]
    again = [*talk, {"role": "user", "content": "more"}, {"role": "assistant", "content": "yes"}]
    try:
        text = render(talk, False)
        found: dict[str, tuple[str, str]] = {}
        for at, role in enumerate(ROLES):
            start = len(render(talk[:at], False)) if at else 0
            turn = text[start : len(render(talk[: at + 1], False))]
            before, _, after = turn.partition(f"~{role}~")
            found[role] = (before, after)
        asks = render(talk[:2], True).removeprefix(render(talk[:2], False))
        for tried in (talk, again, again[1:], again[:4], [talk[1]]):
            asked = tried[-1]["role"] == "user"
            if render(tried, asked) != _written(tried, found, asks if asked else ""):
                return None
    except Exception:  # a template refuses talks in words of its own
        return None
    return found, asks


def modelfile(render: Callable[[Talk, bool], str], stops: Sequence[str]) -> str | None:
    """The text of a `Modelfile` in the model's folder; None where the template has no such form."""
    found = marks(render)
    if found is None:
        return None
    turns, asks = found
    parts = []
    for at, role in enumerate(ROLES):
        before, after = turns[role]
        word = "if" if at == 0 else "else if"
        parts.append(f'{{{{ {word} eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}')
    template = f"{{{{ range .Messages }}}}{''.join(parts)}{{{{ end }}}}{{{{ end }}}}{asks}"
    written = "".join([*(text for pair in turns.values() for text in pair), asks])
    if any(mark in written for mark in ('"""', "{{", "}}")):
        return None
    lines = ["FROM .", f'TEMPLATE """{template}"""']
    lines += [f'PARAMETER stop "{stop}"' for stop in stops if '"' not in stop]
    return "\n".join(lines) + "\n"


def _written(talk: Talk, turns: dict[str, tuple[str, str]], asks: str) -> str:
    return "".join(turns[one["role"]][0] + one["content"] + turns[one["role"]][1] for one in talk) + asks
