"""What a training with rewards is made of: prompts, and judges who are asked about each reply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from engine.kinds.base import Judging, Row
from engine.kinds.train_data import Preparation, Read
from engine.kinds.train_settings import form_of

if TYPE_CHECKING:
    from engine.training.job import Draft
    from engine.training.report import Report
    from engine.training.rewarding import Asked, Judged

TRIED = 3
"""Replies on which the judges are tried before a training."""


class RewardPreparation(Preparation):
    """Rows that ask; `prompts` are their texts as the model is shown them."""

    def read(self, name: str, rows: Iterable[Row]) -> Read:
        """The one input; what is asked becomes text and tokens, up to where the assistant begins."""
        from engine.data.chat_template import NoTemplate
        from engine.training.encoding import Example

        columns = self.context.program.nodes[name].columns
        form = form_of(self.settings, {one: column.type for one, column in columns.items()}) or "prompt"
        found = Read(name, form)
        self.prompts: list[str] = []
        self.asking: list[Row] = []
        self.places: list[int] = []
        for place, row in enumerate(rows):
            messages = asked_messages(row.columns.get(form))
            if isinstance(messages, str):
                found.refused.append(messages)
                continue
            try:
                text = self.tokenizer.chat.render(messages, prompt=True)
            except NoTemplate as error:
                found.refused.append(str(error))
                continue
            tokens, _ = self.tokenizer.encode(text)
            begin = self.tokenizer.begin()
            tokens = tokens if tokens[: len(begin)] == begin else [*begin, *tokens]
            if len(tokens) > self.recipe.length:
                found.refused.append(f"they ask in more than {self.recipe.length:,} tokens")
                continue
            found.examples.append(Example(tokens, []))
            found.rows.append({form: row.columns[form]})
            found.texts.append(text)
            found.turns += [one["content"] for one in messages if one["role"] == "user"]
            self.prompts.append(text)
            self.asking.append(row)
            self.places.append(place)
        return found

    def ordered(self, parts: Mapping[str, Any]) -> tuple[list[list[int]], bool]:
        """Which prompt when: so many that each step has its replies."""
        from engine.training import order

        recipe = self.recipe
        wanted = (recipe.steps or 0) * recipe.batch // recipe.replies
        lengths = [one.size for one in self.examples]
        return order.order(lengths, parts, 1, recipe.seed, None, wanted), False

    def reported(self) -> Report:
        """What can be said of it before it begins."""
        from engine.training.report import Report

        recipe, steps = self.recipe, self.recipe.steps or 0
        refused = [reason for one in self.inputs for reason in one.refused]
        made = Report(
            rows=len(self.examples),
            examples=len(self.examples),
            tokens=sum(one.size for one in self.examples),
            trained=0,
            seen=sum(self.examples[one].size for group in self.order for one in group),
            sequences=len(self.order),
            steps=steps,
            packed=False,
            cut_rows=0,
            cut_tokens=0,
            refused=refused,
            learnt=[f"⟦{text[-400:]}⟧" for text in self.prompts[:3]],
        )
        judges = ", ".join(f"`{name}` {weight:g}" for name, weight in self.weights.items())
        made.first = (
            f"{steps:,} steps of {recipe.batch:,} replies, {recipe.replies} to a prompt: "
            f"{steps * recipe.batch:,} replies to {len(self.examples):,} prompts, each rewarded by {judges}"
        )
        stop = self.tokenizer.stop()
        if stop is None and self.tokenizer.end is None:
            made.warnings.append("no mark ends a turn: every reply will be cut off")
        if not self.tokenizer.chat.asks_as_trained():
            made.warnings.append(
                "the chat template asks otherwise than it writes: the model is asked what it did not learn"
            )
        if refused:
            made.warnings.append(
                f"{len(refused):,} rows are left out: {max(set(refused), key=refused.count)}"
            )
        return made

    @property
    def weights(self) -> Mapping[str, float]:
        return self.settings.reward or {}

    def asked(self) -> dict[str, Any]:
        """What the trainer is told besides: the rewards with their weights, and who judges."""
        return {**super().asked(), "rewards": dict(self.weights), "judges": self.judging.identity}

    def write(self, draft: Draft) -> None:
        """The prompts, and where they come from."""
        from engine.training.rewarding import PLACES

        for one in self.inputs:
            draft.rows(f"{one.name.replace('.', '_')}.jsonl", one.rows)
        draft.prompts("prompts.parquet", self.prompts, self.examples)
        draft.order(self.order)
        draft.text(f"data/{PLACES}", str([[0, place] for place in self.places]))
        draft.text("data/chat_template.jinja", self.tokenizer.chat.source)

    # -- judging -----------------------------------------------------------------------------------

    @cached_property
    def judging(self) -> Judging:
        """Who is asked about the replies."""
        return self.context.judge()

    def judge(self, asked: Sequence[Asked]) -> list[Judged]:
        """Rewards of a batch. Blocking."""
        from engine.training.rewarding import Judged

        rows = [self.reply_row(one) for one in asked]
        return [Judged(rewards, why) for rewards, why in self.judging.rewards(rows)]

    def reply_row(self, one: Asked) -> Row:
        """The row that a reply has in the table of replies."""
        from engine.store.keys import fingerprint, row_id

        row = self.asking[one.place]
        columns = {**row.columns, "reply": one.reply, "step": one.step, "finished": one.finished}
        identity = f"{one.step}/{one.number}"
        rev = fingerprint(row.rev, one.reply, one.step, one.finished)
        return Row(row_id(row.id, identity), rev, columns, dict(row.ids))

    def tried(self) -> list[str]:
        """What the judges make of a few replies that no model gave. Raises `NotTrained` if of most nothing.

        An empty one, the words of the question, and a refusal to answer: a judge that gives all the same
        tells nothing apart.
        """
        from engine.training.faults import NotTrained
        from engine.training.rewarding import Asked

        replies = ["", self.prompts[0][-200:], "I do not know."]
        asked = [
            Asked(at % len(self.asking), -1, at, reply, True) for at, reply in enumerate(replies[:TRIED])
        ]
        judged = self.judge(asked)
        totals = [
            None
            if one.why is not None
            else sum(self.weights[name] * (value or 0.0) for name, value in one.rewards.items())
            for one in judged
        ]
        missing = [one.why for one in judged if one.why is not None]
        if 2 * len(missing) > TRIED:
            few = "none" if len(missing) == TRIED else f"{TRIED - len(missing)}"
            raise NotTrained(f"the judges reward {few} of {TRIED} replies: {missing[0]}", "mend them first")
        told = ", ".join("none" if total is None else f"{total:.3g}" for total in totals)
        lines = [f"tried on an empty reply, an echo and `I do not know.`, the judges give {told}"]
        given = {total for total in totals if total is not None}
        if len(given) == 1 and None not in totals:
            lines.append("the judges give every one of these the same: see that they tell replies apart")
        return lines


def asked_messages(value: Any) -> list[dict[str, str]] | str:
    """What is asked, as messages; or why it cannot be asked."""
    if isinstance(value, str):
        return [{"role": "user", "content": value}] if value.strip() else "there is nothing in them"
    if not value:
        return "there is nothing in them"
    if value[-1]["role"] == "assistant":
        return "they end with the assistant's turn: give what stands before it"
    return [{"role": one["role"], "content": one["content"] or ""} for one in value]
