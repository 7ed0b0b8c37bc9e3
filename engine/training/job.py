"""A job folder: everything that decides what comes of a training, and a script that does it.

job.json             what is asked; hashes of the data; versions
train.py             the trainer's script, to be read and to be run by hand
following.py         what the scripts of all methods have in common
requirements.lock    the versions that it runs with
report.md            what was known before it began
data/                examples as rows that one can read, as tokens, and in their order
metrics.jsonl, trainer.log, checkpoints/, model/, done.json        what it leaves
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.frozen import dataclass
from engine.models import folders
from engine.store.keys import fingerprint
from engine.training.encoding import Example, split
from engine.training.faults import NotTrained

SCRIPTS = Path(__file__).with_name("scripts")
COMMON = "following.py"
UNKEYED = ("start", "python", "node")  # where things lie is no part of what comes of them


@dataclass(frozen=True)
class Job:
    """One training. Equal `key`s give equal models."""

    folder: Path
    key: str
    asked: Mapping[str, Any]

    @property
    def model(self) -> Path:
        """The folder of the model that it makes."""
        return self.folder / "model"

    @property
    def log(self) -> Path:
        """What the trainer said."""
        return self.folder / "trainer.log"

    def done(self) -> dict[str, Any] | None:
        """What came of it: steps, loss, seconds, and the model's digest; None while it has not ended."""
        try:
            found: dict[str, Any] = json.loads((self.folder / "done.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return found if self.model.is_dir() else None

    def sound(self) -> None:
        """Raises `NotTrained` where the data is not as it was frozen: what it began with must go on."""
        for name, mark in self.asked["data"].items():
            path = self.folder / "data" / name
            if not path.is_file() or folders.of_file(path) != mark:
                raise NotTrained(
                    f"{path} is not as it was when the training began",
                    f"remove the folder {self.folder} to begin anew",
                )


class Draft:
    """A job folder on its way: written aside, put in place when it is whole."""

    def __init__(self, home: Path):
        self.home, self.folder = home, home / ".draft"
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "data").mkdir(parents=True)

    def text(self, name: str, text: str) -> None:
        """A file of text."""
        (self.folder / name).write_text(text, "utf-8")

    def rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Rows that people and other trainers read, one on a line."""
        import orjson

        with (self.folder / "data" / name).open("wb") as file:
            for row in rows:
                file.write(orjson.dumps(dict(row), option=orjson.OPT_APPEND_NEWLINE, default=str))

    def examples(self, name: str, examples: Sequence[Example]) -> None:
        """Tokens and labels, an example a row."""
        if any(one.rejected for one in examples):
            pairs = [(split(one), split(one.rejected)) for one in examples if one.rejected]
            columns = {
                "prompt_ids": [chosen[0] for chosen, _ in pairs],
                "chosen_ids": [chosen[1] for chosen, _ in pairs],
                "rejected_ids": [rejected[1] for _, rejected in pairs],
            }
        else:
            columns = {
                "input_ids": [one.tokens for one in examples],
                "labels": [one.labels for one in examples],
            }
        self._lists(name, columns)

    def prompts(self, name: str, prompts: Sequence[str], examples: Sequence[Example]) -> None:
        """Prompts as text and tokens; `place` is the number of each."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {
            "prompt": pa.array(prompts, pa.string()),
            "input_ids": pa.array([one.tokens for one in examples], pa.list_(pa.int32())),
            "place": pa.array(range(len(prompts)), pa.int64()),
        }
        pq.write_table(pa.table(columns), self.folder / "data" / name, compression="zstd")

    def order(self, sequences: Sequence[Sequence[int]]) -> None:
        """Which examples make up each sequence, in the order of the training."""
        self._lists("order.parquet", {"rows": list(sequences)})

    def _lists(self, name: str, columns: Mapping[str, Sequence[Sequence[int]]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        made = {name: pa.array(values, pa.list_(pa.int32())) for name, values in columns.items()}
        pq.write_table(pa.table(made), self.folder / "data" / name, compression="zstd", row_group_size=10_000)

    def finish(self, asked: Mapping[str, Any], script: str | None) -> Job:
        """The job in its place; one that was there with the same key stays, with all that it has done.

        `script` is None where another trainer has it in hand.
        """
        home = self.folder / "data"
        files = sorted(path for path in home.rglob("*") if path.is_file())
        data = {path.relative_to(home).as_posix(): folders.of_file(path) for path in files}
        scripts = {} if script is None else {"train.py": script, COMMON: COMMON}
        sources = {name: (SCRIPTS / source).read_text("utf-8") for name, source in scripts.items()}
        asked = {**asked, "data": data, "script": script}
        keyed = {name: value for name, value in asked.items() if name not in UNKEYED}
        key = fingerprint(keyed, *sources.values()).hex()[:12]
        folder = self.home / key
        if (folder / "job.json").is_file():
            shutil.rmtree(self.folder)
            return Job(folder, key, asked)
        for name, source in sources.items():
            self.text(name, source)
        if script is not None:
            pins = "".join(f"{n}=={v}\n" for n, v in asked["versions"].items() if n != "python")
            self.text("requirements.lock", pins)
        self.text("job.json", json.dumps(asked, indent=2, ensure_ascii=False, default=str) + "\n")
        shutil.rmtree(folder, ignore_errors=True)
        self.folder.replace(folder)
        return Job(folder, key, asked)
