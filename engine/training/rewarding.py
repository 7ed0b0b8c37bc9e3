"""Rewards on their way: a trainer asks for them through a pipe, whoever started it judges and answers.

What was replied and rewarded is written down batch by batch in the job folder (`replies.jsonl`): a step
that is done again after a kill takes the place of what was written of it before.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from engine.frozen import dataclass
from engine.training.faults import NotTrained
from engine.training.job import Job

RECORD = "replies.jsonl"
PLACES = "places.json"
PIPES = "ATK_REWARDS"  # the two ends that the trainer reads and writes, as numbers
RECENT = 64
"""Replies over which the share of those without a reward is taken, at least."""


@dataclass(frozen=True)
class Asked:
    """One reply: to which prompt of the job, in which step, and as which of its replies."""

    place: int
    step: int
    number: int
    reply: str
    finished: bool  # ended by the model itself, not cut off


@dataclass(frozen=True)
class Judged:
    """What a reply is worth, by reward; `why` says what kept a reward from being given."""

    rewards: Mapping[str, float | None]
    why: str | None = None


Judge = Callable[[Sequence[Asked]], Sequence[Judged]]


class Rewarding:
    """The judge's side of the pipes; a context manager. `failure` is what ended it before its time."""

    def __init__(self, job: Job, judge: Judge, failures: float):
        self.job, self.judge, self.failures = job, judge, failures
        self.failure: BaseException | None = None
        batch = int(job.asked["trainer"]["per_device_train_batch_size"]) * int(
            job.asked["trainer"]["gradient_accumulation_steps"]
        )
        self.recent: deque[Judged] = deque(maxlen=max(RECENT, batch))
        self.thread: threading.Thread | None = None

    def __enter__(self) -> Rewarding:
        self.theirs_to_read, self.to_write = os.pipe()
        self.to_read, self.theirs_to_write = os.pipe()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.release()
        for end in (self.to_write, self.to_read):
            with contextlib.suppress(OSError):
                os.close(end)
        if self.thread is not None:
            self.thread.join(1.0)

    @property
    def theirs(self) -> tuple[int, int]:
        """The trainer's ends: what it reads, and what it writes."""
        return self.theirs_to_read, self.theirs_to_write

    def started(self) -> None:
        """The trainer has its ends: answer until it closes them."""
        self.release()
        self.thread = threading.Thread(target=self.serve, daemon=True, name="rewards")
        self.thread.start()

    def release(self) -> None:
        """Close the trainer's ends on this side."""
        for end in self.theirs:
            with contextlib.suppress(OSError):
                os.close(end)

    def check(self) -> None:
        """Raises what ended the judging."""
        if self.failure is not None:
            raise self.failure

    def serve(self) -> None:
        """Batch after batch, in a thread."""
        try:
            with (
                os.fdopen(os.dup(self.to_read), "r", encoding="utf-8") as questions,
                os.fdopen(os.dup(self.to_write), "w", encoding="utf-8") as answers,
            ):
                for line in questions:
                    print(json.dumps(self.answer(json.loads(line))), file=answers, flush=True)
        except BrokenPipeError:
            pass  # the trainer has ended; its exit code says how
        except BaseException as error:
            self.failure = error

    def answer(self, question: Mapping[str, Any]) -> dict[str, list[float | None]]:
        """The rewards of a batch, by name; all are null for a reply that lacks one of its own."""
        step = int(question["step"])
        asked = [
            Asked(place, step, number, reply, finished)
            for number, (place, reply, finished) in enumerate(question["replies"])
        ]
        judged = list(self.judge(asked))
        self.recent += judged
        record(self.job.folder, asked, judged)
        self.enough()
        names = list(dict.fromkeys(name for one in judged for name in one.rewards))
        return {
            name: [None if one.why is not None else one.rewards.get(name) for one in judged] for name in names
        }

    def enough(self) -> None:
        """Raises `NotTrained` where too many of the last replies got no reward."""
        missing = [one.why for one in self.recent if one.why is not None]
        if len(missing) > self.failures * len(self.recent):
            most = max(set(missing), key=missing.count)
            raise NotTrained(
                f"{len(missing)} of the last {len(self.recent)} replies got no reward: {most}",
                "the same command goes on from the last checkpoint; with another judge it begins anew",
            )


def record(folder: Path, asked: Sequence[Asked], judged: Sequence[Judged]) -> None:
    """Write down one batch, as one line."""
    rows = [
        [one.place, one.reply, one.finished, dict(found.rewards)]
        for one, found in zip(asked, judged, strict=True)
    ]
    line = json.dumps({"step": asked[0].step if asked else 0, "replies": rows}, ensure_ascii=False)
    with (folder / RECORD).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def recorded(folder: Path) -> list[Asked]:
    """All replies of a job in the order of its steps; of a step that was done twice, the later ones."""
    steps: dict[int, list[Asked]] = {}
    try:
        lines = (folder / RECORD).read_text("utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        with contextlib.suppress(ValueError):  # cut off by a kill
            entry = json.loads(line)
            steps[entry["step"]] = [
                Asked(place, entry["step"], number, reply, finished)
                for number, (place, reply, finished, _) in enumerate(entry["replies"])
            ]
    return [one for step in sorted(steps) for one in steps[step]]


def places(folder: Path) -> list[tuple[int, int]]:
    """Where the prompts of a job come from: the number of the input, and the row in it."""
    return [(source, row) for source, row in json.loads((folder / "data" / PLACES).read_text("utf-8"))]
