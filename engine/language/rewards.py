"""Rewards: graphs that judge what a model in training replies, written out beneath its `train` node.

`train actor from prompts { method = "grpo", reward = { emotion: 0.7, short: 0.3 } }` brings in what could
be written by hand, were it not that the replies come while the model is trained:

    replies  replies  from prompts              # what the model replied, known once it is trained
    emotion  emotion  from replies              # the graphs, as any call of them
    short    short    from replies
    rewarded rewarded from replies, emotion, short { weights = { emotion: 0.7, short: 0.3 } }

They are named `actor.replies`, `actor.emotion` and so on. While the model is trained the same nodes judge
each batch; see docs/decisions/rewards.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.frozen import dataclass
from engine.language import tree as ast
from engine.language.diagnostics import Span, suggestion, wrong
from engine.language.expressions import Known
from engine.language.files import GraphFile, Loader, record_of, table_slot
from engine.language.types import Optional, Type, describe

REWARD = "reward"
REPLIES, REWARDED = "replies", "rewarded"
HANDED_ON = ("route", "steps", "batch")
"""Settings of `train` that say how many replies there are, and which graph judges which of them."""


@dataclass(frozen=True)
class Named:
    """A graph that a `train` node names as a reward, and its weight where one is written."""

    path: ast.Path
    weight: ast.Expression | None

    @property
    def local(self) -> str:
        """What its table is called beneath the `train` node: the last part of its name."""
        return self.path.words[-1].text


def setting(declaration: ast.NodeDeclaration) -> ast.Setting | None:
    """The setting that names rewards."""
    return next((one for one in declaration.block.settings if one.name.text == REWARD), None)


def named(written: ast.Expression) -> Iterator[Named]:
    """The graphs that a value names: one, or the keys of an object. Raises `Wrong`."""
    if isinstance(written, ast.Object):
        for key, value in written.pairs:
            yield Named(_path(key.text, key.span), value)
        return
    name = ast.dotted(written)
    if name is None:
        help = "reward = emotion, or with weights reward = { emotion: 0.7, brevity: 0.3 }"
        raise wrong("ATK177", "a reward is the name of a graph", written.span, help)
    yield Named(_path(name, written.span), None)


def fitting(
    loader: Loader,
    file: GraphFile,
    graph: ast.GraphDeclaration,
    one: Named,
    known: Mapping[str, Known],
) -> list[ast.Setting]:
    """What a reward's slots are set to: params of the same name. Raises `Wrong` where it is no reward."""
    span, name = one.path.span, one.path.dotted
    tables = [slot for slot in graph.slots if table_slot(loader.type(file, slot.type))]
    if len(tables) != 1:
        found = f"{len(tables)} tables" if tables else "no table"
        raise wrong("ATK177", f"a reward takes one table, the replies; `{name}` takes {found}", span)
    given = {field.name: field.type for field in record_of(loader.type(file, graph.result)) or ()}
    if REWARD not in given:
        help = suggestion(REWARD, given)
        raise wrong("ATK177", f"`{name}` gives no column `{REWARD}`", graph.result.span, help)
    if not _number(given[REWARD]):
        message = f"the `{REWARD}` of `{name}` is {describe(given[REWARD])}, not a number"
        raise wrong("ATK177", message, graph.result.span)
    settings: list[ast.Setting] = []
    for slot in graph.slots:
        text = slot.name.text
        if slot in tables:
            continue
        if text in known:
            settings.append(ast.Setting(slot.name, ast.Name(span=span, text=text, name=text)))
        elif slot.default is None:
            help = f"a reward's slots are set by params of their name: `param {text}`"
            raise wrong("ATK177", f"`{name}` needs `{text}`, and there is no such param", span, help)
    return settings


def written_out(
    declaration: ast.NodeDeclaration, rewards: list[tuple[Named, list[ast.Setting]]], source_text: ast.Text
) -> dict[str, ast.NodeDeclaration]:
    """The nodes beneath a `train` node, by their names there. Raises `Wrong`."""
    at = declaration.name.span
    handed = [one for one in declaration.block.settings if one.name.text in HANDED_ON]
    actor = ast.Setting(
        ast.Word("of", at), ast.Name(span=at, text=declaration.name.text, name=declaration.name.text)
    )
    nodes: dict[str, ast.NodeDeclaration] = {}

    def add(
        kind: ast.Path, name: str, inputs: tuple[ast.Path, ...], settings: list[ast.Setting], doc: str
    ) -> None:
        if name in nodes:
            message = f"two rewards would be `{declaration.name.text}.{name}`"
            raise wrong("ATK102", message, kind.span, "rename one of the graphs")
        block = ast.Block(settings=tuple(settings))
        nodes[name] = ast.NodeDeclaration(kind, ast.Word(name, at), inputs, None, block, doc)

    routed = any(one.name.text == "route" for one in handed)
    what = f"What `{declaration.name.text}` replied while it was trained"
    add(_path(REPLIES, at), REPLIES, declaration.inputs, [actor, *handed], f"{what}, step by step.")
    judged = []
    for one, settings in rewards:
        source = REPLIES
        if routed:
            source = f"for_{one.local}"
            only = ast.Setting(ast.Word("only", at), _text(one.local, at, source_text))
            add(
                _path(REPLIES, at),
                source,
                declaration.inputs,
                [actor, *handed, only],
                f"{what}, for one judge.",
            )
        add(one.path, one.local, (_path(source, at),), settings, "How its replies are judged.")
        judged.append(_path(one.local, at))
    weights = tuple(
        (ast.Word(one.local, at), one.weight or ast.Constant(span=at, text="1.0", value=1.0))
        for one, _ in rewards
    )
    settings = [ast.Setting(ast.Word("weights", at), ast.Object(span=at, text="", pairs=weights)), *(
        one for one in handed if one.name.text == "route"
    )]  # fmt: skip
    add(_path(REWARDED, at), REWARDED, (_path(REPLIES, at), *judged), settings, f"{what}, with the reward.")
    return nodes


def _path(dotted: str, span: Span) -> ast.Path:
    return ast.Path(tuple(ast.Word(part, span) for part in dotted.split(".")), span)


def _text(value: str, span: Span, source: ast.Text) -> ast.Expression:
    return ast.String(span=span, text=f'"{value}"', value=value, offsets=(), source=source)


def _number(type_: Type) -> bool:
    inner = type_.of if isinstance(type_, Optional) else type_
    return describe(inner) in ("int", "float")
