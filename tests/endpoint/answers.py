"""What the endpoint says: documents that fit a schema, made from nothing but a seed.

A pure function of the request: the same request gets the same words in every process.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import orjson

from tests.endpoint.config import Rule

NOUNS = (
    "river mountain engine harbour lantern orchard bridge compass glacier market beacon furnace canal "
    "meadow turbine archive kettle ladder mirror needle oven pillar quarry rudder saddle tunnel valve "
    "wagon anchor barrel castle dynamo"
)
VERBS = "moves warms carries guides covers lifts feeds guards turns marks fills joins holds crosses cools"
WORDS = NOUNS.split(), VERBS.split()
FOREIGN = "这是用另一种语言写的回答。"
PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


class Dice:
    """A stream of choices from a seed; quicker to set up than `random.Random`."""

    __slots__ = ("_block", "_place", "_seed")

    def __init__(self, seed: bytes):
        self._seed, self._block, self._place = seed, hashlib.blake2b(seed, digest_size=64).digest(), 0

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1; even for bounds far below 65,536."""
        if self._place >= 64:
            self._block, self._place = hashlib.blake2b(self._block + self._seed, digest_size=64).digest(), 0
        value = int.from_bytes(self._block[self._place : self._place + 2], "big")
        self._place += 2
        return value % bound

    def chance(self, share: float) -> bool:
        """True for about `share` of the seeds."""
        return self.below(65_536) < share * 65_536

    def sentence(self) -> str:
        """Six nouns and verbs that differ from seed to seed."""
        nouns, verbs = WORDS
        first, second, third, fourth = (nouns[self.below(len(nouns))] for _ in range(4))
        verb, other = (verbs[self.below(len(verbs))] for _ in range(2))
        number = self.below(10_000)
        return f"The {first} {verb} the {second} while number {number} {other} the {third} and {fourth}"


def fit(schema: dict[str, Any], dice: Dice, p_true: float = 0.9) -> Any:
    """A small value that fits a JSON schema. Lists have two to four elements where they may."""
    return _fit(schema, dice, p_true, schema.get("$defs") or schema.get("definitions") or {}, "", 0)


def _fit(schema: dict[str, Any], dice: Dice, p_true: float, defs: dict[str, Any], name: str, nth: int) -> Any:
    if "$ref" in schema:
        return _fit(defs[schema["$ref"].rsplit("/", 1)[-1]], dice, p_true, defs, name, nth)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        choices = [choice for choice in schema["enum"] if choice is not None]
        return choices[nth % len(choices)] if name == "role" else choices[dice.below(len(choices))]
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            branch = next((part for part in schema[word] if part.get("type") != "null"), schema[word][0])
            return _fit(branch, dice, p_true, defs, name, nth)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((part for part in kind if part != "null"), "null")
    match kind:
        case "array":
            least = schema.get("minItems", 2)
            size = min(least + dice.below(3), schema.get("maxItems", least + 2))
            return [_fit(schema.get("items", {}), dice, p_true, defs, name, place) for place in range(size)]
        case "integer":
            low = schema.get("minimum", 1)
            return low + dice.below(max(1, min(10, schema.get("maximum", low + 9) - low + 1)))
        case "number":
            low = schema.get("minimum", 0.0)
            return low + (schema.get("maximum", low + 1.0) - low) * dice.below(101) / 100
        case "boolean":
            return dice.chance(p_true)
        case "null":
            return None
        case _ if kind == "object" or "properties" in schema:
            properties = schema.get("properties", {})
            return {key: _fit(part, dice, p_true, defs, key, nth) for key, part in properties.items()}
    sentence = dice.sentence()
    return f"Is it true that {sentence[0].lower()}{sentence[1:]}?" if name == "question" else f"{sentence}."


def twist(value: Any) -> Any:
    """The same document with values of other types: what a careless model sends."""
    match value:
        case dict():
            return {key: twist(part) for key, part in value.items()}
        case list():
            return {"first": twist(value[0])} if value else {}
        case bool():
            return "perhaps"
        case int() | float():
            return "several"
        case _:
            return {"text": value}


def foreign(value: Any) -> Any:
    """The same document in another language, but for what may be a choice of the schema's."""
    match value:
        case dict():
            return {key: foreign(part) for key, part in value.items()}
        case list():
            return [foreign(part) for part in value]
        case str() if " " in value:
            return FOREIGN
    return value


def empty(value: Any) -> Any:
    """The same document with nothing in its lists."""
    match value:
        case dict():
            return {key: empty(part) for key, part in value.items()}
        case list():
            return []
    return value


def plain(value: Any) -> Any:
    """The document as it is."""
    return value


SPOILT = {"wrong": twist, "foreign": foreign, "empty": empty}
"""What a fault makes of a document."""


def from_rule(rule: Rule, found: re.Match[str]) -> str:
    """The reply of a rule, with what its expression found put in."""

    def put(value: Any) -> Any:
        match value:
            case str():
                return PLACEHOLDER.sub(lambda place: _group(found, place), value)
            case list():
                return [put(part) for part in value]
            case dict():
                return {key: put(part) for key, part in value.items()}
        return value

    reply = put(rule.reply)
    return reply if isinstance(reply, str) else orjson.dumps(reply).decode()


def _group(found: re.Match[str], place: re.Match[str]) -> str:
    name: str | int = int(place[1]) if place[1].isdigit() else place[1]
    try:
        return found[name] or ""
    except IndexError:
        return place[0]
