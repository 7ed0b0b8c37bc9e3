"""How one row of a `prompt` is decided: asked, read, checked, voted on, repaired.

No store and no endpoint here: `context.ask` gives replies (from the memo or for money),
`context.hold` evaluates gates. Nothing is remembered between rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from engine.kinds.base import Context, Made, Outcome, Row
from engine.kinds.choices import asked_for
from engine.kinds.votes import Count, Vote
from engine.language.program import Clause, Node
from engine.language.templates import Template, TemplateProblem
from engine.language.types import STR, Many, Optional, Record, Type, schema_text
from engine.models.base import Reply, Request
from engine.models.replies import Unparsed, parse

if TYPE_CHECKING:
    from engine.kinds.prompt import AskingSettings, RepairSettings

PASSING_FAULTS = {"transport", "timeout", "limited", "server", "authentication", "model", "request"}
"""Faults of a call, not of an answer: the row is tried again by the next run."""


class AskingContext(Context, Protocol):
    """What asking needs beyond every kind's context."""

    lets: Mapping[str, Any]  # of this row
    prepared: Any  # the node's `Parts`

    async def ask(
        self, model: str, request: Request, row: Row, role: str, attempt: int
    ) -> tuple[Reply, bytes]:
        """A reply and its key; from the memo where it is known."""
        ...

    async def hold(
        self, clauses: Sequence[Clause], rows: Sequence[Mapping[str, Any]]
    ) -> list[list[str | None]]:
        """For each row, for each clause: None where it holds, else what to say."""
        ...


@dataclass(slots=True)
class Part:
    """One of the two prompts of a node, the question itself or its repair: what all its rows share."""

    role: str
    template: Template
    model: str
    wanted: Type
    reply: Any  # "json", "text" or "tags"
    sampling: dict[str, Any]
    checks: tuple[Clause, ...]
    language: str | None = None  # the column whose language the reply must be in
    schema: str = ""  # as the template shows it, where it does
    reads: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.schema = schema_text(self.wanted, self.reply) if self.template.shows_schema else ""
        self.reads = tuple(sorted(self.template.reads))


@dataclass(slots=True)
class Parts:
    """What all rows of a prompt node share, worked out once."""

    question: Part
    repair: Part | None
    rounds: int
    keeps: tuple[Clause, ...]
    many: bool
    short: str  # the node's name without the call it stands in

    @classmethod
    def of(cls, node: Node, template: Template | None = None) -> Parts:
        """From a checked node; with one of the templates that it chooses from."""
        settings = cast("AskingSettings", node.settings)
        asked = template or node.template
        assert asked is not None
        assert node.result is not None
        question = Part(
            "ask",
            asked,
            settings.model,
            asked_for(node),
            settings.reply,
            sampling(asked, settings),
            node.of("check"),
            settings.same_language_as,
        )
        repair, rounds = None, 0
        section = node.sections.get("repair")
        if section is not None:
            assert section.template is not None
            assert section.result is not None
            own = cast("RepairSettings", section.settings)
            rounds = own.rounds
            repair = Part(
                "repair",
                section.template,
                own.model or settings.model,
                section.result,
                own.reply,
                sampling(section.template, own),
                (),
                own.same_language_as,
            )
        many = isinstance(unwrapped(node.result), Many)
        return cls(question, repair, rounds, node.of("keep"), many, node.name.rpartition(".")[2])


@dataclass(slots=True)
class Answer:
    """What asking once (retries included) came to: a value, or why there is none."""

    value: Any = None
    failure: str | None = None
    spoilt: list[tuple[Any, str]] = field(default_factory=list)  # elements of a list that failed a check
    retry: bool = False

    @property
    def good(self) -> bool:
        return self.failure is None


@dataclass(slots=True)
class Verdict:
    """What the votes came to."""

    reply: dict[str, Any] | None
    kept: bool
    reason: str | None = None
    votes: list[dict[str, Any]] = field(default_factory=list)
    failed: Answer | None = None


class Asking:
    """The way of one row through a prompt node."""

    def __init__(
        self,
        row: Row,
        context: AskingContext,
        parts: Parts,
        turn: int = 0,
        known: Mapping[str, Any] | None = None,
    ):
        """`turn` tells askings apart that send a row the same words: each gets a reply of its own.

        `known` is what the gates may name besides the row's columns.
        """
        self.row, self.context, self.node, self.parts = row, context, context.node, parts
        self.settings: AskingSettings = self.node.settings  # type: ignore[assignment]
        self.base = turn * self.settings.votes * (self.settings.retries + 1)
        self.values: dict[str, Any] = {**self.node.values, **row.columns, **context.lets, **(known or {})}
        self.outcome = Outcome()

    async def decide(self) -> Outcome:
        """Every row that came of this one, with its fate."""
        await (self.decide_many() if self.parts.many else self.decide_one())
        return self.outcome

    # -- several rows from one reply ------------------------------------------------------

    async def decide_many(self) -> None:
        answer = await self.answer(self.parts.question, self.values, 0)
        if not answer.good:
            self.fail(answer)
            return
        if answer.value is None:
            self.outcome.made.append(Made({}, "rejected", "the model declined"))
            return
        index = f"{self.parts.short}_index"
        held = await self.context.hold(self.parts.keeps, [self.values | item for item in answer.value])
        for place, (item, reasons) in enumerate(zip(answer.value, held, strict=True)):
            reason = next((text for text in reasons if text), None)
            self.outcome.made.append(Made(item | {index: place}, "rejected" if reason else "ok", reason))
        for item, reason in answer.spoilt:
            self.outcome.made.append(Made(item | {index: len(self.outcome.made)}, "failed", reason))
        if not self.outcome.made:
            self.outcome.made.append(Made({}, "empty"))

    # -- one row, judged ------------------------------------------------------------------

    async def decide_one(self) -> None:
        verdict = await self.judge(self.values)
        repair = self.parts.repair
        repaired: dict[str, Any] = {}
        rounds = 0
        if repair is not None and verdict.reply is not None and not verdict.kept:
            for rounds in range(1, self.parts.rounds + 1):
                answer = await self.answer(repair, self.values | repaired | (verdict.reply or {}), rounds - 1)
                if not answer.good:
                    self.fail(answer, "repair: ")
                    return
                repaired = repaired | (answer.value or {})
                verdict = await self.judge(self.values | repaired)
                if verdict.kept or verdict.failed:
                    break
        if verdict.failed is not None:
            self.fail(verdict.failed)
            return
        own = dict(verdict.reply or {})
        if self.settings.votes > 1:
            own[f"{self.parts.short}_votes"] = verdict.votes
        if repair is not None:
            fields = [entry.name for entry in cast(Record, unwrapped(repair.wanted))]
            own |= {
                name: repaired.get(name, self.values.get(name))
                for name in fields
                if name in repaired or name not in own
            }
            own[f"{self.parts.short}_repairs"] = rounds
        self.outcome.made.append(Made(own, "ok" if verdict.kept else "rejected", verdict.reason))

    async def judge(self, values: Mapping[str, Any]) -> Verdict:
        """Ask for votes, no more than decide it, and hold them against `keep`."""
        import asyncio

        if self.settings.votes == 1:
            return await self.judge_alone(values)
        total = self.settings.votes
        count = Count(self.parts.question.wanted, total, self.settings.quorum, bool(self.parts.keeps))
        failures: list[Answer] = []
        asked = 0
        while asked < total and not count.settled(total - asked):
            more = count.next(total - asked)
            answers = await asyncio.gather(
                *(self.answer(self.parts.question, values, sample) for sample in range(asked, asked + more))
            )
            asked += more
            good = [answer for answer in answers if answer.good]
            failures += [answer for answer in answers if not answer.good]
            held = await self.context.hold(
                self.parts.keeps, [{**values, **(answer.value or {})} for answer in good]
            )
            for answer, reasons in zip(good, held, strict=True):
                declined = "the model declined" if answer.value is None else None
                count.votes.append(
                    Vote(answer.value, declined or next((one for one in reasons if one), None))
                )
        if count.fate(len(failures)) is None:  # the votes that failed might have decided it
            return Verdict(None, False, failed=failures[0])
        reply, reason = count.outcome()
        replies = [dict(vote.reply) for vote in count.votes if vote.reply is not None]
        return Verdict(reply, reason is None, reason, replies)

    async def judge_alone(self, values: Mapping[str, Any]) -> Verdict:
        """The verdict of a single reply."""
        answer = await self.answer(self.parts.question, values, 0)
        if not answer.good:
            return Verdict(None, False, failed=answer)
        if answer.value is None:
            return Verdict({}, False, "the model declined")
        if not self.parts.keeps:
            return Verdict(answer.value, True)
        held = await self.context.hold(self.parts.keeps, [{**values, **answer.value}])
        reason = next((text for text in held[0] if text), None)
        return Verdict(answer.value, reason is None, reason)

    # -- one answer, with its retries -----------------------------------------------------

    async def answer(self, part: Part, values: Mapping[str, Any], sample: int) -> Answer:
        """Ask until the reply can be read and passes its checks, `retries` times at most."""
        tries = self.settings.retries + 1
        failure, last = "", ""
        answer = Answer()
        before: list[Any] = []
        for attempt in range(tries):
            try:
                messages = part.template.render(values, part.schema, failure)
            except TemplateProblem as error:
                return Answer(failure=f"{part.template.path.name}:{error.line or 1}: {error.message}")
            if failure and not part.template.shows_failure:
                messages = [
                    *messages,
                    {"role": "assistant", "content": last or "(nothing)"},
                    {
                        "role": "user",
                        "content": f"That reply cannot be used: {failure}\nAnswer again, in full.",
                    },
                ]
            again = before.count(messages)  # the same words once more: another sample
            before.append(messages)
            request = Request(
                messages,
                part.wanted,
                part.reply,
                part.template.shows_schema,
                part.sampling,
                self.base + sample + again * self.settings.votes,
                {name: values.get(name) for name in part.reads},
            )
            reply, key = await self.context.ask(part.model, request, self.row, part.role, attempt)
            self.outcome.calls.append(key)
            self.outcome.asked += 1
            answer = await self.read(part, reply, values, last_try=attempt + 1 == tries)
            if answer.good or answer.retry or reply.status == "refused":
                return answer
            failure, last = answer.failure or "", reply.text
        if tries > 1:
            answer.failure = f"{answer.failure} (asked {tries} times)"
        return answer

    async def read(self, part: Part, reply: Reply, values: Mapping[str, Any], last_try: bool) -> Answer:
        """From a reply to a value that passes its checks, or the message that says why not."""
        match reply.status:
            case "error":
                return Answer(
                    failure=reply.error or "no answer", retry=(reply.fault or "server") in PASSING_FAULTS
                )
            case "refused":
                said = reply.text.strip()[:200] or reply.error or reply.finish or "no reason given"
                return Answer(failure=f"refused: {said}")
            case "cut":
                limit = part.sampling.get("max_tokens")
                return Answer(
                    failure="the reply was cut off by the limit of tokens"
                    + (f" (max_tokens = {limit})" if limit else "")
                    + "; it must be shorter"
                )
        try:
            value = parse(reply.text, part.wanted, part.reply)
        except Unparsed as error:
            return Answer(failure=str(error))
        return await self.check(part, value, values, last_try)

    async def check(self, part: Part, value: Any, values: Mapping[str, Any], last_try: bool) -> Answer:
        """Hold the checks against a value; of a list, on the last try, what passes is kept."""
        if value is None or not (part.checks or part.language):
            return Answer(value)
        items = value if isinstance(value, list) else [value]
        rows = [{**values, **item} for item in items]
        held = await self.context.hold(part.checks, rows) if part.checks else [[] for _ in rows]
        reasons = [next((text for text in each if text), None) for each in held]
        if part.language is not None:
            other = str(values.get(part.language) or "")
            reasons = [
                reason or in_another(item, part.wanted, other, part.language)
                for item, reason in zip(items, reasons, strict=True)
            ]
        if not any(reasons):
            return Answer(value)
        if isinstance(value, list) and last_try:
            kept = [item for item, reason in zip(items, reasons, strict=True) if reason is None]
            spoilt = [
                (item, reason) for item, reason in zip(items, reasons, strict=True) if reason is not None
            ]
            return Answer(kept, spoilt=spoilt)
        if isinstance(value, list):
            said = [f"item {place}: {reason}" for place, reason in enumerate(reasons, 1) if reason]
            return Answer(failure="; ".join(said))
        return Answer(failure=next(reason for reason in reasons if reason))

    def fail(self, answer: Answer, prefix: str = "") -> None:
        self.outcome.made.append(Made({}, "failed", prefix + (answer.failure or "no answer")))
        self.outcome.retry = answer.retry


def in_another(item: Mapping[str, Any], wanted: Type, other: str, column: str) -> str | None:
    """What to say of a reply that is not in the language of another text; None where it may be."""
    from engine.data.languages import apart

    found = apart("\n".join(texts(item, wanted)), other)
    return found and f"the reply is in `{found[0]}` and must be in the language of `{column}`, `{found[1]}`"


def texts(value: Any, kind: Type | None) -> Iterator[str]:
    """The texts of a reply, as far as a model chose the words: no labels."""
    while isinstance(kind, Optional | Many) and not isinstance(value, list):
        kind = kind.of
    if isinstance(value, list) and isinstance(kind := unwrapped(kind), Many):
        for one in value:
            yield from texts(one, kind.of)
    elif isinstance(value, dict) and isinstance(kind, Record):
        for field_ in kind:
            yield from texts(value.get(field_.name), field_.type)
    elif isinstance(value, str) and kind == STR:
        yield value


def unwrapped(kind: Type | None) -> Type | None:
    """A type without its `?`."""
    while isinstance(kind, Optional):
        kind = kind.of
    return kind


def sampling(template: Template, settings: Any) -> dict[str, Any]:
    """Front matter of the template, then the node's own settings; the model's stand below both."""
    own = {name: getattr(settings, name) for name in ("temperature", "top_p", "max_tokens")}
    return {**template.sampling, **{name: value for name, value in own.items() if value is not None}}
