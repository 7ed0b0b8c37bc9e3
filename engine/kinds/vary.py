"""`vary`: a prompt from a pool of templates, several of them for each row.

It asks as `prompt` does, once for each template that a row gets. Which ones those are follows
from the row's own words and the seed (docs/decisions/vary.md), so that it does not change when
other rows or other templates come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, cast

import orjson
from pydantic import Field

from engine.kinds.base import Context, Made, Outcome, Row
from engine.kinds.prompt import AskingSettings, Prompt
from engine.language.kind import Problem, Role, Shape
from engine.language.program import Node
from engine.language.templates import Template


class VarySettings(AskingSettings):
    """Settings of `vary`."""

    templates: Annotated[list[str], Role.TEMPLATES] = Field(
        description="The prompts to choose from: a list of names, or the folder they lie in."
    )
    count: int = Field(1, ge=1, le=1_000, description="How many of them each row gets.")
    seed: int = Field(0, description="Of the choice: another seed chooses otherwise.")


class Vary(Prompt):
    """Several calls for each row, each with another template; see the module's docstring."""

    name = "vary"
    settings = VarySettings
    version = 1

    def own(self, shape: Shape) -> Mapping[str, str]:
        """What a prompt gives, `<name>_index`, and `<name>_template`: which one was asked with."""
        short = shape.name.rpartition(".")[2]
        named: list[str] = [name.rpartition("/")[2] for name in cast(VarySettings, shape.settings).templates]
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise Problem(
                "ATK144",
                f"two of the templates are called `{twice}`",
                "templates",
                "the rows bear the names without their folders: rename one of the files",
            )
        return {**super().own(shape), f"{short}_index": "BIGINT", f"{short}_template": "VARCHAR"}

    def scopes(self, shape: Shape) -> Mapping[str, Mapping[str, Any]]:
        """`check` and `keep` see which template it was, too."""
        named = {f"{shape.name.rpartition('.')[2]}_template": "VARCHAR"}
        return {word: {**columns, **named} for word, columns in super().scopes(shape).items()}

    def prepare(self, node: Node) -> Any:
        """Schemas, sampling and gates for each template, by its name."""
        from engine.kinds.asking import Parts

        return {template.name: Parts.of(node, template) for template in node.pool}

    async def work(self, row: Row, context: Context) -> Outcome:
        """Ask with each of the templates at once, and put the rows together in their order."""
        from engine.kinds.asking import Asking

        asking = cast(Any, context)
        node = context.node
        choice = chosen(node, {**node.values, **row.columns, **asking.lets})
        column = f"{node.name.rpartition('.')[2]}_template"
        named = [{column: template.name.rpartition("/")[2]} for template, _ in choice]
        askings = [
            Asking(row, asking, asking.prepared[template.name], turn, name)
            for (template, turn), name in zip(choice, named, strict=True)
        ]
        import asyncio  # 20 ms that a check need not wait for

        return together(await asyncio.gather(*(one.decide() for one in askings)), named, node)


def together(outcomes: Sequence[Outcome], named: Sequence[Mapping[str, str]], node: Node) -> Outcome:
    """One outcome of those of all the calls: their rows in order, numbered, each with its template."""
    index = f"{node.name.rpartition('.')[2]}_index"
    whole = Outcome()
    for one, name in zip(outcomes, named, strict=True):
        whole.calls += one.calls
        whole.asked += one.asked
        whole.retry |= one.retry
        for made in one.made:
            if made.fate != "empty":
                made.own |= {**name, index: len(whole.made)}
                whole.made.append(made)
    if not whole.made:
        whole.made.append(Made({}, "empty"))
    return whole


def chosen(node: Node, values: Mapping[str, Any]) -> list[tuple[Template, int]]:
    """The templates of a row, each with the turn in which it has it: 0, or more where all had theirs.

    Rendezvous hashing (Thaler and Ravishankar, 1998): each row ranks all templates by a hash of
    its words, the seed and the template's name, and takes the first `count`. So a template that is
    added or taken away changes the choice only where it is chosen itself.
    """
    settings = cast(VarySettings, node.settings)
    reads = sorted({name for template in node.pool for name in template.reads})
    words = orjson.dumps([values.get(name) for name in reads], default=str, option=orjson.OPT_NON_STR_KEYS)
    row = hashlib.sha256(words).digest()

    def rank(template: Template) -> bytes:
        return hashlib.sha256(row + f"{settings.seed} {template.name}".encode()).digest()

    ranked = sorted(node.pool, key=rank)
    return [(ranked[at % len(ranked)], at // len(ranked)) for at in range(settings.count)]
