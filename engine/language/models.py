"""`model` blocks and the built-in model `default`: from what is written to a `ModelSpec`.

A secret is only named here: whether it is set is looked at, its value is not. No endpoint is
asked for anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from engine.language import tree as ast
from engine.language.diagnostics import Diagnostic, Span, Wrong, wrong
from engine.language.expressions import Expressions, Scope
from engine.language.program import ModelSpec
from engine.language.settings import FromEnvironment, fill

NAMED = "<model>"  # in the help of what is pending: put in where the asked model is known
PARALLEL = 64
TIMEOUT = 300.0
_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "seed",
    "stop",
    "presence_penalty",
    "frequency_penalty",
    "reasoning_effort",
)


class Trained(str):
    """The name of a `train` node, as it stands in `start = …`."""

    __slots__ = ()


class Secret(str):
    """The name of the environment variable that holds a key: what `secret("NAME")` gives."""

    __slots__ = ()


class Price(BaseModel):
    """USD per million tokens."""

    model_config = ConfigDict(extra="forbid")

    input: float = Field(ge=0, description="Of the request.")
    output: float = Field(ge=0, description="Of the reply.")
    cached: float | None = Field(
        None, ge=0, description="Of what the endpoint had cached; `input` if absent."
    )
    thought: float | None = Field(
        None, ge=0, description="Of what the model thought with; `output` if absent."
    )


class ModelSettings(BaseModel):
    """Settings of a `model` block."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    provider: Literal["openai", "transformers", "offline"] | None = Field(
        None,
        description="`openai` (any compatible endpoint; the default), `offline` (the stand-in) or "
        "`transformers` (in this process; needs the extra `train`).",
    )
    base_url: str | list[str] | None = Field(
        None,
        description="The endpoint, up to and with `/v1`; or a list of several, which share the calls.",
    )
    api_key: Any = Field(
        None,
        description='Where the key is: `secret("NAME")`, an environment variable; or a list, one for each.',
    )
    name: str | None = Field(None, description="What the endpoint calls the model.")
    start: Any = Field(
        None, description="For `transformers`: a folder, a name at the hub, or a `train` node of this graph."
    )
    price: Price | None = Field(
        None, description="US dollars for a million tokens; `cached` where it differs. Free if absent."
    )
    parallel: int | None = Field(
        None, ge=1, le=100_000, description=f"Calls in flight, at most; {PARALLEL} if absent."
    )
    timeout: float | None = Field(None, gt=0, description=f"Seconds for one call; {TIMEOUT:g} if absent.")
    rpm: float | None = Field(None, gt=0, description="Requests a minute, at most; no limit if absent.")
    tpm: float | None = Field(None, gt=0, description="Tokens a minute, at most; no limit if absent.")
    structured: Literal["auto", "schema", "object", "prompt"] | None = Field(
        None,
        description="How a reply's shape is asked for; `auto`, which tries the endpoint and then the "
        "prompt, if absent.",
    )
    temperature: float | None = Field(None, ge=0, description="Randomness of the reply.")
    top_p: float | None = Field(
        None, gt=0, le=1, description="Nucleus sampling: the likeliest tokens that make up this share."
    )
    top_k: int | None = Field(
        None, ge=1, description="Only the likeliest so many tokens; not every endpoint."
    )
    max_tokens: int | None = Field(
        None, ge=1, description="The longest reply, in tokens; one that is cut there has failed."
    )
    seed: int | None = Field(None, description="Of the endpoint's draw, where it has one.")
    stop: str | list[str] | None = Field(None, description="A text, or several, where a reply ends.")
    presence_penalty: float | None = Field(
        None, description="Against words that were there; as the endpoint has it."
    )
    frequency_penalty: float | None = Field(
        None, description="Against words by their number; as the endpoint has it."
    )
    reasoning_effort: str | None = Field(
        None, description="How long a model thinks, in the endpoint's words."
    )
    options: dict[str, Any] | None = Field(
        None, description="More of the request's body, handed on untouched."
    )


@dataclass
class Drafted:
    """A model read from its block. `pending` is told only where the model is asked."""

    name: str
    span: Span | None
    values: dict[str, Any] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    pending: list[Diagnostic] = field(default_factory=list)
    broken: bool = False


class Environment:
    """`env(…)` and `secret(…)` in the settings of one model."""

    def __init__(self, variables: Mapping[str, str], expressions: Expressions, scope: Scope):
        self.variables, self.expressions, self.scope = variables, expressions, scope
        self.pending: list[Diagnostic] = []

    def special(self, node: ast.Expression) -> Any:
        if isinstance(node, ast.Call) and node.name == "env":
            return self.env(node)
        if isinstance(node, ast.Call) and node.name == "secret":
            raise wrong(
                "ATK182",
                "a secret has no place here",
                node.span,
                'it belongs into `api_key = secret("NAME")` of a model, or `password` of a source',
            )
        return NotImplemented

    def env(self, node: ast.Call) -> Any:
        """The value of a variable, or the default. Raises `Wrong`."""
        values = [value for word, value in node.arguments if word is None]
        if (
            len(values) != len(node.arguments)
            or not 1 <= len(values) <= 2
            or not isinstance(values[0], ast.String)
        ):
            raise wrong("ATK123", '`env` is written `env("NAME")` or `env("NAME", default)`', node.span)
        found = self.variables.get(values[0].value)
        if found:
            return FromEnvironment(found)
        if len(values) == 2:
            return self.expressions.constant(values[1], self.scope, self.special)
        self.pending.append(
            Diagnostic(
                "ATK180",
                f"the environment variable {values[0].value} is not set",
                values[0].span,
                f'set it, or give a default: env("{values[0].value}", …)',
            )
        )
        return None

    def key(self, value: ast.Expression) -> Secret | None:
        """What `api_key` names; one that is not set is pending. Raises `Wrong`."""
        named = secret(value, "key", "api_key")
        if named is None:
            return None
        name, span = named
        if not self.variables.get(name):
            help = f"export {name}=…, or ask another model: -m {NAMED}=default"
            self.pending.append(Diagnostic("ATK180", f"the secret {name} is not set", span, help))
        return name


def secret(value: ast.Expression, what: str, setting: str) -> tuple[Secret, Span] | None:
    """What `secret("NAME")` names and where; None for `null`.

    A key that is written out is refused, and not repeated. Raises `Wrong`.
    """
    if isinstance(value, ast.Constant) and value.value is None:
        return None
    if isinstance(value, ast.Call) and value.name == "secret":
        inner = [argument for _, argument in value.arguments]
        if len(inner) == 1 and isinstance(inner[0], ast.String) and inner[0].value:
            return Secret(inner[0].value), inner[0].span
    raise wrong(
        "ATK182",
        f"a {what} is not written into a graph",
        value.span if isinstance(value, ast.Call) else _hidden(value.span),
        f'put it into an environment variable and write {setting} = secret("NAME")',
    )


def _hidden(span: Span) -> Span:
    """The same place with what stands there blotted out: it may be a key."""
    if span.source is None:
        return span
    start, end = span.column - 1, span.column - 1 + span.width
    return replace(span, source=f"{span.source[:start]}{'*' * span.width}{span.source[end:]}")


def outside(expressions: Expressions, written: ast.Expression, scope: Scope) -> Any:
    """The value of a constant that may read the environment. Raises `Wrong`."""
    environment = Environment(expressions.variables, expressions, scope)
    value = expressions.constant(written, scope, environment.special)
    if environment.pending:
        raise Wrong(*environment.pending)
    return value


def draft(
    declaration: ast.ModelDeclaration,
    base: Drafted | None,
    variables: Mapping[str, str],
    expressions: Expressions,
    scope: Scope,
    report: Callable[[Diagnostic], None],
) -> Drafted:
    """Read one `model` block over the model that it copies."""
    environment = Environment(variables, expressions, scope)

    def evaluate(setting: ast.Setting, role: object) -> Any:
        if setting.name.text == "api_key" and isinstance(setting.value, ast.Sequence):
            return [environment.key(item) for item in setting.value.items]
        if setting.name.text == "api_key":
            return environment.key(setting.value)
        if setting.name.text == "start":
            named = ast.dotted(setting.value)
            return Trained(named) if named is not None and named not in scope.known else evaluated(setting)
        return evaluated(setting)

    def evaluated(setting: ast.Setting) -> Any:
        return expressions.constant(setting.value, scope, environment.special)

    block = declaration.block
    for section in block.sections:
        report(Diagnostic("ATK104", f"no setting of `model` named `{section.name.text}`", section.name.span))
    for clause in block.clauses:
        report(Diagnostic("ATK113", f"a `model` takes no `{clause.word.text}`", clause.word.span))
    filled = fill(ModelSettings, block.settings, "model", declaration.name, evaluate, report)
    own = filled.partial.model_dump(exclude_unset=True)
    made = Drafted(declaration.name.text, declaration.name.span)
    if base is not None:
        made.values, made.spans, made.broken = dict(base.values), dict(base.spans), base.broken
        overridden = set(own)
        made.pending = [one for one in base.pending if not _about(one, base, overridden)]
    made.values |= own
    made.spans |= filled.spans
    made.pending += environment.pending
    made.broken |= filled.settings is None or bool(block.sections or block.clauses)
    return made


def _about(diagnostic: Diagnostic, base: Drafted, overridden: set[str]) -> bool:
    """Whether what is missing belongs to a setting that the copy sets anew."""
    at = diagnostic.span
    for name in overridden & set(base.spans):
        span = base.spans[name]
        if (span.path, span.line) == (
            at.path,
            at.line,
        ) and span.column <= at.column < span.column + span.width:
            return True
    return False


def default(variables: Mapping[str, str], span: Span) -> Drafted:
    """The model that is always in scope: an endpoint where the environment names one, else offline."""
    url, name = variables.get("ATK_BASE_URL"), variables.get("ATK_MODEL")
    made = Drafted("default", None)
    if bool(url) != bool(name):
        there, lacking = ("ATK_BASE_URL", "ATK_MODEL") if url else ("ATK_MODEL", "ATK_BASE_URL")
        made.pending.append(
            Diagnostic(
                "ATK184",
                f"{there} is set but {lacking} is not",
                span,
                "the model `default` needs both; without both it is the offline stand-in",
            )
        )
    if url and name:
        made.values = {"provider": "openai", "base_url": url, "name": name}
        key = next((one for one in ("ATK_API_KEY", "OPENAI_API_KEY") if variables.get(one)), None)
        if key:
            made.values["api_key"] = Secret(key)
    else:
        made.values = {"provider": "offline"}
    return made


def spec(drafted: Drafted, name: str, at: Span) -> ModelSpec:
    """The finished model. Raises `Wrong` for what it lacks; `at` is pointed at where it has no block."""
    if drafted.broken:
        raise Wrong
    values = drafted.values
    start = values.get("start")
    provider = values.get("provider") or ("openai" if start is None else "transformers")
    span = drafted.span or at
    told = [replace(one, help=one.help.replace(NAMED, name)) if one.help else one for one in drafted.pending]
    local = provider == "transformers"
    if local != (start is not None):
        told.append(_start(drafted, span, local))
    elif provider == "openai":
        told += _lacking(drafted, span)
    if told:
        raise Wrong(*told)
    price = values.get("price") or {}
    ends = endpoints(values)
    offline = provider == "offline"
    return ModelSpec(
        name=name,
        provider=provider,
        model="offline" if offline else str(start) if local else values["name"],
        base_url=None if offline or local else ends[0][0],
        secret=None if offline or local else ends[0][1],
        others=() if offline or local else ends[1:],
        sampling={key: values[key] for key in _SAMPLING if values.get(key) is not None},
        options=dict(values.get("options") or {}),
        price={} if offline else {key: value for key, value in price.items() if value is not None},
        parallel=values.get("parallel") or PARALLEL,
        timeout=values.get("timeout") or TIMEOUT,
        structured=values.get("structured") or "auto",
        rpm=values.get("rpm"),
        tpm=values.get("tpm"),
        span=drafted.span,
        start=None if start is None or isinstance(start, Trained) else str(start),
        trained=str(start) if isinstance(start, Trained) else None,
    )


def endpoints(values: Mapping[str, Any]) -> tuple[tuple[str, str | None], ...]:
    """The addresses of a model, each with the name of its secret; none for one that is not elsewhere."""
    urls = values.get("base_url") or []
    urls = [urls] if isinstance(urls, str) else urls
    keys = values.get("api_key")
    keys = keys if isinstance(keys, list) else [keys] * len(urls)
    return tuple(
        (url.rstrip("/"), None if key is None else str(key)) for url, key in zip(urls, keys, strict=False)
    )


def _start(drafted: Drafted, span: Span, local: bool) -> Diagnostic:
    """A model of this process without a `start`, or a `start` of a model that is elsewhere."""
    place = drafted.spans.get("provider") or drafted.spans.get("start") or span
    if local:
        message = f"the model `{drafted.name}` needs `start`"
        help = 'a folder, such as start = "out/models/knows", or a `train` node'
        return Diagnostic("ATK181", message, place, help)
    message = f"`start` is for models of this process, and `{drafted.name}` is not one"
    return Diagnostic("ATK181", message, place, 'write provider = "transformers"')


def _lacking(drafted: Drafted, span: Span) -> list[Diagnostic]:
    """What an endpoint cannot do without, unless its absence was told already."""
    values = drafted.values
    told: list[Diagnostic] = []
    pending = {one.span.line for one in drafted.pending}
    examples = {"base_url": 'base_url = "https://api.openai.com/v1"', "name": 'name = "gpt-5-mini"'}
    lacking = [
        setting
        for setting in examples
        if not values.get(setting) and not ((at := drafted.spans.get(setting)) and at.line in pending)
    ]
    if lacking:
        message = f"the model `{drafted.name}` needs {' and '.join(f'`{one}`' for one in lacking)}"
        help = "; ".join(examples[one] for one in lacking) + ", or build on the model `default`"
        told.append(Diagnostic("ATK181", message, span, help))
    urls = values.get("base_url") or []
    urls = [urls] if isinstance(urls, str) else urls
    keys = values.get("api_key")
    if isinstance(keys, list) and len(keys) != len(urls):
        at = drafted.spans.get("api_key", span)
        message = f"{len(keys)} keys for {len(urls)} addresses"
        told.append(Diagnostic("ATK182", message, at, "one key for all, or one for each `base_url`"))
    for url in urls:
        at = drafted.spans.get("base_url", span)
        try:
            parts = urlsplit(url)
            addressed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            addressed = False
        if "@" in url:
            told.append(
                Diagnostic("ATK182", "a password is not written into an address", at, "use `api_key`")
            )
        elif not addressed:
            help = "it begins with http:// or https://"
            told.append(Diagnostic("ATK181", f'`base_url` is no address: "{url}"', at, help))
    return told
