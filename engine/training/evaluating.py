"""lm-evaluation-harness as a process of its own: public tasks, asked of a model in a folder.

It brings packages that a trainer must not be bound to, and fetches its tasks from the hub, so it is no
dependency of ours: an interpreter that has it is named.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.frozen import dataclass
from engine.training import interpreters
from engine.training.faults import NotTrained
from engine.training.running import LOOK, place, stop

INTERPRETER = "ATK_LM_EVAL_PYTHON"


@dataclass(frozen=True)
class Questions:
    """What is asked. `folder` holds tasks of one's own; `limit` is documents of each task."""

    tasks: tuple[str, ...]
    folder: Path | None = None
    limit: int | None = None
    shots: int | None = None
    chat: bool = False
    batch: int = 8
    device: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class Score:
    """One metric of a task, over `samples` documents; `higher` says whether more is better."""

    task: str
    metric: str
    value: float
    stderr: float | None
    samples: int | None
    higher: bool | None


def interpreter(given: str | None) -> str:
    """The harness's: the one that a graph names, else the environment's, else this process's own."""
    return interpreters.interpreter(given, INTERPRETER)


@lru_cache
def version(python: str) -> str:
    """The harness's version there. Raises `NotTrained`."""
    mend = f"{INTERPRETER}, to one that has lm-eval"
    found = interpreters.versions(python, ("lm_eval",), mend).get("lm_eval")
    if found is None:
        help = f'pip install "lm-eval[hf]" there, or set `python`, or {INTERPRETER}, to one that has it'
        raise NotTrained(f"{python} has no lm-eval", help)
    return found


@lru_cache
def known(python: str, tasks: tuple[str, ...], folder: Path | None) -> None:
    """Whether it has the tasks. Raises `NotTrained`."""
    command = [python, "-m", "lm_eval", "validate", "--tasks", ",".join(tasks)]
    command += ["--include_path", str(folder)] if folder else []
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=600, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        said = _last(done.stdout + done.stderr)
        raise NotTrained(
            f"lm-eval does not take the tasks {', '.join(tasks)}: {said}", "`lm-eval ls tasks` lists them"
        )


def evaluate(
    model: Path, asked: Questions, python: str, heed: Callable[[], None], secrets: Sequence[str] = ()
) -> list[Score]:
    """The scores of a model's folder, by task and metric. `heed` may raise. Raises `NotTrained`."""
    with tempfile.TemporaryDirectory(prefix="atk-evaluate-") as name:
        folder = Path(name)
        said = folder / "said.log"
        environment = {name: value for name, value in os.environ.items() if name not in secrets}
        environment |= {"TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
        with place(heed), said.open("wb") as log:
            process = subprocess.Popen(
                command(model, asked, python, folder / "out"),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is for us; we tell it
            )
            with process:
                try:
                    while process.poll() is None:
                        heed()
                        with contextlib.suppress(subprocess.TimeoutExpired):
                            process.wait(LOOK)
                except BaseException:
                    stop(process)
                    raise
        results = sorted((folder / "out").rglob("results*.json"))
        if process.returncode or not results:
            last = _last(said.read_text("utf-8", "replace"))
            raise NotTrained(f"lm-eval ended with exit code {process.returncode}: {last}")
        return scores(json.loads(results[-1].read_text("utf-8")))


def command(model: Path, asked: Questions, python: str, out: Path) -> list[str]:
    """The command line of the harness."""
    adapter = model / "adapter_config.json"
    whole = json.loads(adapter.read_text("utf-8"))["base_model_name_or_path"] if adapter.is_file() else model
    told = [f"pretrained={whole}", *([f"peft={model}"] if adapter.is_file() else [])]
    made = [python, "-m", "lm_eval", "run", "--model", "hf", "--model_args", *told]
    made += ["--tasks", ",".join(asked.tasks), "--output_path", str(out), "--batch_size", str(asked.batch)]
    made += ["--seed", str(asked.seed)]
    given = {"--include_path": asked.folder, "--limit": asked.limit, "--num_fewshot": asked.shots}
    for option, value in given.items():
        made += [option, str(value)] if value is not None else []
    made += ["--apply_chat_template"] if asked.chat else []
    return made + (["--device", "cpu"] if asked.device == "cpu" else [])


def scores(results: Mapping[str, Any]) -> list[Score]:
    """What a file of results says; groups of tasks are told as tasks."""
    found = []
    for task, values in results["results"].items():
        counted = (results.get("n-samples", {}).get(task) or {}).get("effective", values.get("sample_len"))
        for key, value in values.items():
            metric, comma, filtered = key.partition(",")
            if not comma or not isinstance(value, int | float) or metric.endswith("_stderr"):
                continue
            stderr = values.get(f"{metric}_stderr,{filtered}")
            named = metric if filtered == "none" else f"{metric} ({filtered})"
            higher = (results.get("higher_is_better", {}).get(task) or {}).get(metric)
            found.append(
                Score(
                    task,
                    named,
                    float(value),
                    stderr if isinstance(stderr, int | float) else None,
                    counted,
                    higher,
                )
            )
    return found


def _last(text: str) -> str:
    """The last thing that is said, without the colours of a terminal."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
