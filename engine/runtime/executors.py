"""Executors: who answers requests. The one of this process, and what any other must be.

The driver keeps all that must be kept once: keys, the memo, the ledger, the budget, the rows. An
executor is handed requests that have to be paid for and gives back replies, and keeps nothing. It may
lose requests, answer them in any order, and answer them twice: see `batches`, which holds the driver's
side. `docs/scale.md` says how to write one.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from engine.models.base import Halted, Model, Reply, Request

if TYPE_CHECKING:
    from engine.language.program import ModelSpec


@dataclass(slots=True)
class Job:
    """One request to be paid for, as plain data: it can be pickled, and holds no secret and no key.

    `id` is one request's alone in the whole run; a request that was lost comes again under the same.
    Where calls wait for a place, most go by the highest `priority` (`models/queue`).
    """

    id: int
    request: Request
    priority: float = 0.0


Answer = tuple[int, Reply | None]
"""The id of a job and its reply; None for one that was not sent, since the run winds down."""


class Executor(Protocol):
    """Answers batches of requests. One instance serves a whole run, in the run's event loop."""

    def submit(self, model: ModelSpec, jobs: Sequence[Job]) -> AsyncIterator[Answer]:
        """Replies as they come, in any order; the iterator ends when no more will come.

        `model` says whom to ask and, of a secret, only the name. What an endpoint does is a reply
        with the status `error`. Whatever is raised, or an end before each job has its answer, means
        that the rest is lost, and it is submitted again. Several batches are under way at once.
        """
        ...

    def halt(self) -> None:
        """Send nothing new; jobs that are not sent are answered with None, those that are with replies."""
        ...

    async def close(self) -> None:
        """Give back connections, processes, places."""
        ...


class LocalExecutor:
    """Asks from this process. What a worker of another executor runs, too."""

    def __init__(self, environment: Mapping[str, str] = os.environ):
        self.environment = environment  # where secrets are read, at the last moment
        self.models: dict[str, tuple[ModelSpec, Model]] = {}
        self.endpoints: dict[Any, Any] = {}  # connections and limits, shared by models of one endpoint
        self.halted = False

    async def submit(self, model: ModelSpec, jobs: Sequence[Job]) -> AsyncIterator[Answer]:
        """See `Executor`."""
        asked = await self.model(model)
        tasks = [asyncio.ensure_future(_answer(asked, job)) for job in jobs]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
        finally:
            for task in tasks:
                task.cancel()

    async def model(self, spec: ModelSpec) -> Model:
        """The model that a batch asks, opened at its first one."""
        known = self.models.get(spec.name)
        if known is None or known[0] != spec:
            from engine.models import open_model

            if known is not None:
                await known[1].close()
            known = self.models[spec.name] = spec, open_model(spec, self.environment, self.endpoints)
            if self.halted:
                known[1].halt()
        return known[1]

    def halt(self) -> None:
        """See `Executor`."""
        self.halted = True
        for _, model in self.models.values():
            model.halt()

    async def close(self) -> None:
        """Give connections back."""
        for _, model in self.models.values():
            await model.close()


async def _answer(model: Model, job: Job) -> Answer:
    try:
        return job.id, await model.call(job.request, job.priority)
    except Halted:
        return job.id, None


def shared(model: ModelSpec, workers: int) -> ModelSpec:
    """The model as one of so many workers may ask it: its share of the places and of the rates."""
    return replace(
        model,
        parallel=max(1, model.parallel // workers),
        rpm=model.rpm and model.rpm / workers,
        tpm=model.tpm and model.tpm / workers,
    )
