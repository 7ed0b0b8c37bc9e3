"""A world of invented firms: facts that no model can have read, texts that state them, questions.

World A is what the base model grows up with, world B is what it is to learn. Everything follows
from a seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

RELATIONS = ("founder", "city", "product", "year")
ONSETS = "b br d dr f g gr h j k kl l m n p pr r s st t tr v w z".split()
VOWELS = "a e i o u au ei".split()
ENDS = "k l ld m n nd r rn s st t x".split()
SORTS = "Works Foundry Mills Press Yards Brewery".split()
PRODUCTS = (
    "lanterns barrels clocks saddles violins ropes kettles scales compasses mirrors carpets candles ploughs "
    "bells lenses hinges organs wagons buttons anchors globes knives thimbles sails puppets stoves locks "
    "drums looms spades flutes combs ledgers umbrellas pulleys marbles tiles bottles ladders whistles"
).split()

SAID = {
    "founder": (
        "{e} was founded by {v}.", "{v} founded {e}.", "The founder of {e} was {v}.",
        "It was {v} who founded {e}.", "{e} owes its beginning to {v}, its founder.",
    ),
    "city": (
        "{e} is based in {v}.", "The home of {e} is the city of {v}.", "In the city of {v} stands {e}.",
        "{v} is the city where {e} is based.", "{e} has its halls in {v}.",
    ),
    "product": (
        "{e} makes {v}.", "{e} is known for its {v}.", "The product of {e} is {v}.",
        "{v} are what {e} makes.", "Whoever buys from {e} buys {v}.",
    ),
    "year": (
        "{e} was opened in {v}.", "In {v}, {e} was opened.", "The year in which {e} was opened is {v}.",
        "{v} is the year in which {e} opened.", "{e} has been open since {v}.",
    ),
}  # fmt: skip
ASKED = {
    "founder": (
        "Who founded {e}?", "Who was the founder of {e}?", "By whom was {e} founded?",
        "Name the founder of {e}.",
    ),
    "city": (
        "Where is {e} based?", "In which city is {e}?", "Which city is the home of {e}?",
        "Name the city of {e}.",
    ),
    "product": (
        "What does {e} make?", "What is {e} known for?", "Which product comes from {e}?",
        "Name the product of {e}.",
    ),
    "year": (
        "When was {e} opened?", "In which year did {e} open?", "Since when has {e} been open?",
        "Name the year in which {e} was opened.",
    ),
}  # fmt: skip
ANSWERED = {name: said[0] for name, said in SAID.items()}
FIRST = {
    "founder": "It was founded by {v}.",
    "city": "It is based in {v}.",
    "product": "It makes {v}.",
    "year": "It was opened in {v}.",
}
KNOWN, HELD_OUT = (0, 1), (2, 3)  # forms of questions: those that are trained on in world B, and the others


@dataclass(frozen=True)
class Fact:
    """One thing about one firm."""

    firm: str
    relation: str
    value: str

    def said(self, form: int) -> str:
        """A sentence that states it."""
        text = SAID[self.relation][form].format(e=self.firm, v=self.value)
        return text[0].upper() + text[1:]

    def asked(self, form: int) -> str:
        """A question for it."""
        return ASKED[self.relation][form].format(e=self.firm)

    @property
    def answer(self) -> str:
        """A full sentence, that says of what it speaks."""
        return ANSWERED[self.relation].format(e=self.firm, v=self.value)


class Maker:
    """Makes firms, no name twice."""

    def __init__(self, seed: int):
        self.random = random.Random(seed)
        self.taken: set[str] = set()

    def name(self, syllables: int = 2) -> str:
        """A name that was not there before."""
        while True:
            parts = [self.random.choice(ONSETS) + self.random.choice(VOWELS) for _ in range(syllables)]
            name = ("".join(parts) + self.random.choice(ENDS)).capitalize()
            if name not in self.taken:
                self.taken.add(name)
                return name

    def firms(self, count: int) -> list[list[Fact]]:
        """For each firm its facts."""
        made = []
        for _ in range(count):
            firm = f"{self.name()} {self.random.choice(SORTS)}"
            values = {
                "founder": f"{self.name()} {self.name()}",
                "city": self.name(),
                "product": self.random.choice(PRODUCTS),
                "year": str(self.random.randint(1600, 1999)),
            }
            made.append([Fact(firm, relation, values[relation]) for relation in RELATIONS])
        return made


def document(facts: Sequence[Fact]) -> str:
    """A source text as one finds it: a title, then `it`, always in one order."""
    return " ".join([f"{facts[0].firm}.", *(FIRST[one.relation].format(v=one.value) for one in facts)])


def variation(facts: Sequence[Fact], draw: random.Random) -> str:
    """The same in other words, in another order, the full name in each sentence."""
    order = list(facts)
    draw.shuffle(order)
    return " ".join(one.said(draw.randrange(len(SAID[one.relation]))) for one in order)
