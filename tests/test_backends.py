"""Trainings handed over to other trainers: what is written, whether they take it, what comes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from engine.training.encoding import UNTRAINED
from tests.project import Project
from tests.tiny import tiny_tokenizer

ROOT = Path(__file__).resolve().parents[1]
TRAINERS = ROOT / ".venv-test" / "trainers"
TEXTS = [f"The tower of {name} was built by the guild." for name in ("Alma", "Borka", "Celdo", "Dunar")]
GRAPH = """
source docs -> {{ text: str }}[] {{ path = "docs.jsonl" }}
source talks -> {{ question: str, answer: str }}[] {{ path = "talks.jsonl" }}
chat conversations from talks {{ system = "Be brief." }}
sql pairs {{ query = "SELECT question AS prompt, answer AS chosen, 'No.' AS rejected FROM talks" }}
train made from {source} {{
  method  = "{method}"
  backend = "{backend}"
  start   = "base"
  {more}
}}
"""
SOURCES = {"cpt": "docs", "sft": "conversations", "dpo": "pairs"}
BACKENDS = ("axolotl", "llamafactory")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path, monkeypatch)
    made.write("docs.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    talks = [{"question": f"Who built it, {at}?", "answer": f"The guild, {at}."} for at in range(4)]
    made.write("talks.jsonl", "".join(json.dumps(talk) + "\n" for talk in talks))
    tiny_tokenizer(tmp_path / "base", TEXTS * 5)
    return made


def handed_over(project: Project, backend: str, method: str, more: str = "", source: str = "") -> Path:
    """The job folder of a run."""
    source = source or SOURCES[method]
    project.graph(text=GRAPH.format(backend=backend, method=method, source=source, more=more))
    summary = project.run()
    assert summary.status == "done", summary.errors
    ((folder, weights),) = project.rows("SELECT folder, weights FROM made")
    assert weights is None
    return project.root / Path(folder).parent


def validated(code: str, *folders: str) -> Any:
    """What a trainer's own code says of job folders."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(TRAINERS),
        "HF_HUB_OFFLINE": "1",
        "AXOLOTL_DO_NOT_TRACK": "1",
        "DISABLE_VERSION_CHECK": "1",
        "HOME": folders[0],
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *folders],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


AXOLOTL = """
    import json, os, sys, yaml
    from axolotl.utils.schemas.config import AxolotlInputConfig
    found = {}
    for folder in sys.argv[1:]:
        os.chdir(folder)
        given = yaml.safe_load(open("axolotl.yaml"))
        read = AxolotlInputConfig(**given).model_dump(exclude_none=True)
        found[folder] = {
            "unknown": sorted(set(given) - set(AxolotlInputConfig.model_fields)),
            "changed": {k: [v, read.get(k)] for k, v in given.items()
                        if isinstance(v, (int, float, str)) and read.get(k) != v and k != "bf16"},
        }
    print(json.dumps(found))
"""
LLAMAFACTORY = """
    import json, os, sys, types
    import peft, transformers
    for absent in ("torchaudio",):  # for sounds; it takes what `torch` is built for
        sys.modules[absent] = types.ModuleType(absent)
    from datasets import load_from_disk
    from llamafactory.data.data_utils import get_dataset_module
    from llamafactory.extras.misc import has_tokenized_data
    from llamafactory.hparams.parser import get_train_args, read_args
    found, folders = {}, sys.argv[1:]
    for folder in folders:
        os.chdir(folder)
        sys.argv = ["train", "llamafactory.yaml"]
        given = dict(read_args())
        unlike = {"bf16": False, "use_cpu": True, "output_dir": "tried"}  # here is no card
        *read, _ = get_train_args({**given, **unlike})
        changed = {}
        for name, value in given.items():
            held = [getattr(one, name) for one in read if hasattr(one, name)]
            held = [one.value if hasattr(one, "value") else one for one in held]
            if name not in {*unlike, "report_to"} and value not in held and [value] not in held:
                changed[name] = [value, repr(held)]
        assert has_tokenized_data(given["tokenized_path"])
        train = get_dataset_module(load_from_disk(given["tokenized_path"]))["train_dataset"]
        found[folder] = {"changed": changed, "columns": train.column_names, "rows": len(train)}
    print(json.dumps(found))
"""
VARIANTS = ("", "lora = { r: 8 }", 'steps = 40\n  schedule = "linear"\n  packing = true')


def every_variant(project: Project, backend: str) -> dict[str, str]:
    """Methods by job folder, one for each method and variant."""
    return {
        str(handed_over(project, backend, method, more)): method for method in SOURCES for more in VARIANTS
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_axolotl_takes_what_is_written(project: Project) -> None:
    folders = every_variant(project, "axolotl")
    assert len(folders) == 9
    said = validated(AXOLOTL, *folders)
    assert said == {folder: {"unknown": [], "changed": {}} for folder in folders}
    slip = handed_over(project, "axolotl", "sft", "options = { sequence_length: 5000 }")
    assert validated(AXOLOTL, str(slip))[str(slip)]["unknown"] == ["sequence_length"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_llamafactory_takes_what_is_written(project: Project) -> None:
    folders = every_variant(project, "llamafactory")
    for folder, said in validated(LLAMAFACTORY, *folders).items():
        assert said["changed"] == {}
        assert said["rows"] == 4
        assert ("chosen_input_ids" if folders[folder] == "dpo" else "input_ids") in said["columns"]


def test_the_same_is_learnt_as_by_our_own_trainer(project: Project) -> None:
    import pyarrow.parquet as parquet

    tokens = parquet.read_table(
        handed_over(project, "axolotl", "sft") / "data" / "axolotl" / "train.parquet"
    ).to_pylist()
    assert [list(row) for row in tokens] == [["input_ids", "attention_mask", "labels"]] * 4
    text = (project.root / "base" / "tokenizer.json").read_text()
    from tokenizers import Tokenizer

    learnt = [[one for one in row["labels"] if one != UNTRAINED] for row in tokens]
    shown = [Tokenizer.from_str(text).decode(one, skip_special_tokens=False) for one in learnt]
    assert sorted(shown) == [f"The guild, {at}.<|end|>" for at in range(4)]
    assert all(len(row["input_ids"]) == len(row["attention_mask"]) == len(row["labels"]) for row in tokens)


def test_both_sides_of_a_pair(project: Project) -> None:
    from datasets import load_from_disk

    saved = load_from_disk(str(handed_over(project, "llamafactory", "dpo") / "data" / "llamafactory"))
    for row in saved["train"]:
        both = row["chosen_input_ids"], row["rejected_input_ids"]
        asked = sum(label == UNTRAINED for label in row["chosen_labels"])
        assert both[0][:asked] == both[1][:asked]
        assert both[0] != both[1]
    pairs = handed_over(project, "axolotl", "dpo") / "data" / "axolotl" / "pairs.jsonl"
    first = json.loads(pairs.read_text().splitlines()[0])
    assert first["prompt"][0]["role"] == "user"
    assert first["rejected"] == {"role": "assistant", "content": "No."}


def test_shares_are_drawn_beforehand(project: Project) -> None:
    more = "share = { docs: 0.2 }\n  epochs = 2"
    folder = handed_over(project, "llamafactory", "sft", more, "conversations, docs")
    config = (folder / "llamafactory.yaml").read_text()
    assert "num_train_epochs: 1.0\n" in config
    assert "disable_shuffling: true\n" in config


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_model_is_taken_up_when_it_is_there(project: Project, backend: str) -> None:
    folder = handed_over(project, backend, "sft")
    first = (folder / f"{backend}.yaml").read_text()
    assert project.run().status == "done"
    assert project.rows("SELECT weights FROM made") == [(None,)]
    tiny_tokenizer(folder / "model", TEXTS)
    (folder / "model" / "model.safetensors").write_bytes(b"weights")
    state = {"global_step": 3, "log_history": [{"loss": 0.25, "step": 3}, {"train_runtime": 7.0}]}
    (folder / "model" / "trainer_state.json").write_text(json.dumps(state))
    assert project.run().status == "done"
    ((steps, loss, weights),) = project.rows("SELECT steps, loss, weights FROM made")
    assert (steps, loss) == (3, 0.25)
    assert weights
    assert backend in (folder / "model" / "README.md").read_text()
    served = (folder / "model" / "chat_template.jinja").read_text()
    assert served == (folder / "data" / "chat_template.jinja").read_text()
    assert json.loads((folder / "model" / "generation_config.json").read_text())["eos_token_id"]
    assert (folder / f"{backend}.yaml").read_text() == first
    assert project.run().progress["made"].state == "unchanged"


def test_a_node_that_asks_the_model_says_what_to_run(project: Project) -> None:
    project.write("prompts/ask.md", "user:\n{{ question }}\n")
    project.graph(
        text=GRAPH.format(backend="axolotl", method="sft", source="conversations", more="")
        + 'model pupil { provider = "transformers", start = made }\n'
        + 'prompt asked from talks -> { reply: str } { template = "ask", model = pupil, reply = "text" }\n'
    )
    summary = project.run()
    assert summary.status == "failed"
    message, help = next(error for error in summary.errors if "axolotl" in error[0])
    assert "`asked` needs its model" in message
    assert "axolotl train axolotl.yaml" in str(help)


def test_nothing_is_handed_over_that_holds_its_exam(project: Project) -> None:
    project.graph(
        text=GRAPH.format(
            backend="axolotl", method="sft", source="conversations", more="exam = asked\n  exam_overlap = 0.5"
        )
        + 'sql asked { query = "SELECT question FROM talks" }\n'
    )
    summary = project.run()
    assert summary.status == "failed"
    assert any("exam" in message for message, _ in summary.errors), summary.errors
    assert not list((project.root / "out").rglob("axolotl.yaml"))


@pytest.mark.parametrize("method", ["grpo", "classifier"])
def test_methods_that_only_trl_does(project: Project, method: str) -> None:
    from engine.runtime import load

    more = 'label = "answer"' if method == "classifier" else ""
    source = "asked" if method == "grpo" else "labelled"
    text = GRAPH.format(backend="axolotl", method=method, source=source, more=more)
    text += 'sql asked { query = "SELECT question AS prompt FROM talks" }\n'
    text += 'sql labelled { query = "SELECT question AS text, answer FROM talks" }\n'
    project.graph(text=text)
    program = load("graph.atk", root=project.root)
    assert any("is done by TRL" in one.message for one in program.diagnostics)


def test_a_folder_that_is_gone_is_made_again(project: Project) -> None:
    folder = handed_over(project, "axolotl", "cpt")
    shutil.rmtree(folder)
    assert project.run().status == "done"
    assert (folder / "axolotl.yaml").is_file()
