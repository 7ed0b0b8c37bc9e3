"""A trainer as a process of its own: followed while it runs, stopped when the run is, and told of.

It runs the script of a job folder with an interpreter that has the trainer's packages; its output
goes to the folder's `trainer.log`, what it measures to `metrics.jsonl`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from engine.training import interpreters
from engine.training.faults import NotTrained
from engine.training.job import Job
from engine.training.rewarding import PIPES, Judge, Rewarding

PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "pyarrow")
INTERPRETER = "ATK_TRAINER_PYTHON"
TRAINERS = "ATK_TRAINERS"
PATIENCE = 10.0  # seconds that a trainer has to end when it is told to
LOOK = 0.2  # seconds between looks at what it measured
_lock = threading.Lock()
_places: threading.BoundedSemaphore | None = None


def interpreter(given: str | None) -> str:
    """The trainer's: the one that a graph names, else the environment's, else this process's own."""
    return interpreters.interpreter(given, INTERPRETER)


@lru_cache
def versions(python: str) -> Mapping[str, str]:
    """The versions of an interpreter and of the trainer's packages that it has. Raises `NotTrained`."""
    return interpreters.versions(python, PACKAGES, f"{INTERPRETER}, to one that has TRL")


def equipped(python: str) -> Mapping[str, str]:
    """The versions. Raises `NotTrained` where packages are missing."""
    found = versions(python)
    missing = [name for name in PACKAGES if name not in found]
    if missing:
        raise NotTrained(
            f"{python} has no {', '.join(missing)}, which training needs",
            f'pip install "atk[train]" there, or set `python`, or {INTERPRETER}, to one that has them',
        )
    return found


def train(
    job: Job,
    python: str,
    measured: Callable[[Sequence[Mapping[str, Any]]], None],
    heed: Callable[[], None],
    secrets: Sequence[str] = (),
    judge: tuple[Judge, float] | None = None,
) -> None:
    """Run the job's script to its end; `measured` gets what it measures as it does, `heed` may raise.

    `secrets` are variables that the trainer does not get to see. `judge` rewards replies, and comes with
    the share of them that may go without. Raises `NotTrained`.
    """
    rewarding = Rewarding(job, *judge) if judge else None
    with place(heed), job.log.open("ab") as log, rewarding or contextlib.nullcontext():
        pipes = rewarding.theirs if rewarding else ()
        process = subprocess.Popen(
            [python, "train.py"],
            cwd=job.folder,
            stdin=subprocess.PIPE,  # held open: the trainer ends when it closes, however we end
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment(job, secrets) | ({PIPES: ",".join(map(str, pipes))} if pipes else {}),
            pass_fds=pipes,
            start_new_session=True,  # Ctrl-C is for us; we tell the trainer
        )
        with process:
            try:
                metrics = Metrics(job)
                if rewarding:
                    rewarding.started()
                while process.poll() is None:
                    heed()
                    if rewarding:
                        rewarding.check()
                    measured(metrics.new())
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(LOOK)
                measured(metrics.new())
            except BaseException:
                stop(process)
                raise
    if rewarding:
        rewarding.check()
    if process.returncode or not (job.folder / "done.json").is_file():
        raise fault(job, process.returncode)


def environment(job: Job, secrets: Sequence[str]) -> dict[str, str]:
    """What the trainer's process sees: ours without keys, and nothing fetched that need not be."""
    found = {name: value for name, value in os.environ.items() if name not in secrets}
    found |= {
        "ATK_TRAINER_WATCHED": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",  # the model is here: who started us has seen to that
        "HF_DATASETS_CACHE": str(job.folder / "cache"),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
    # On several cards at once a step would be of more sequences than the author asked for.
    found["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    # Two threads on two busy cores take three times as long as one.
    found.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // 2, 1)))
    return found


class Metrics:
    """The lines that a trainer has written since the last look."""

    def __init__(self, job: Job):
        self.path, self.at = job.folder / "metrics.jsonl", 0

    def new(self) -> list[dict[str, Any]]:
        """What is whole of them, by step; without a loss there is nothing to keep."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.at)
                text = file.read()
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self.at += len(whole)
        found: list[dict[str, Any]] = []
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and ("loss" in entry or "eval_loss" in entry):
                    found.append(entry)
        return found


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a trainer and all that it started, gently at first."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)


def fault(job: Job, code: int) -> NotTrained:
    """What a trainer that ended badly died of, in one message that names its log."""
    text = job.log.read_text("utf-8", "replace")[-20_000:] if job.log.is_file() else ""
    lines = [line for line in text.splitlines() if line.strip()]
    where = f"its last lines are in {job.log}"
    if "out of memory" in text.lower() or "OutOfMemoryError" in text:
        return NotTrained(
            f"the trainer ran out of memory; {where}",
            "a smaller `micro_batch` or `length`, or `lora = { r: 64 }`; the same command then begins anew",
        )
    missing = re.findall(r"^(?:ModuleNotFoundError|ImportError): (.*)", text, re.M)
    if missing:
        help = f'pip install "atk[train]" for the trainer\'s interpreter, or set {INTERPRETER} to another'
        return NotTrained(f"the trainer lacks a package: {missing[-1]}; {where}", help)
    if code < 0:
        name = signal.Signals(-code).name if -code in {*signal.Signals} else str(-code)
        memory = ", as the system does where memory runs out" if name == "SIGKILL" else ""
        return NotTrained(
            f"the trainer was ended by {name}{memory}; {where}",
            "the same command goes on from the last checkpoint",
        )
    last = lines[-1].strip() if lines else "it said nothing"
    return NotTrained(
        f"the trainer ended with exit code {code}: {last[:300]}; {where}",
        "once that is mended, the same command goes on from the last checkpoint",
    )


@contextlib.contextmanager
def place(heed: Callable[[], None]) -> Iterator[None]:
    """One trainer at a time, or as many as ATK_TRAINERS says: they would fight for one card."""
    global _places
    with _lock:
        if _places is None:
            wanted = os.environ.get(TRAINERS, "")
            _places = threading.BoundedSemaphore(int(wanted) if wanted.isdigit() and int(wanted) else 1)
    while not _places.acquire(timeout=1.0):
        heed()
    try:
        yield
    finally:
        _places.release()
