"""The card of a data set: a `README.md` that people read and the Hugging Face hub understands.

One folder may hold several sets; each is one entry of `configs` in the front matter and one
section below. A card says nothing of when it was written: the same data gives the same card.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import PurePosixPath
from typing import Any

from engine.frozen import dataclass

MADE_BY = "<!-- written by atk: sections between its marks are replaced when the data is -->"
SECTION = re.compile(r"<!-- set: (?P<name>.+?) -->\n(?P<body>.*?)<!-- end of set -->\n?", re.S)
FRONT = re.compile(r"---\n(.*?)\n---\n", re.S)


@dataclass(frozen=True)
class Step:
    """One node on the way to the data: what it did and how many rows came of it."""

    name: str
    kind: str
    rows: int
    rejected: int = 0
    failed: int = 0
    doc: str | None = None


@dataclass(frozen=True)
class Model:
    """A model that was asked: its name in the graph, at its endpoint, and by which nodes."""

    name: str
    model: str
    provider: str
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Prompt:
    """A template: its name and a digest of it."""

    name: str
    digest: str


@dataclass(frozen=True)
class Card:
    """What is to be said of one data set. `files` are relative to the card's folder, by split."""

    name: str
    graph: str
    format: str
    files: Mapping[str, str]
    rows: Mapping[str, int]
    features: Mapping[str, str]
    doc: str | None = None
    split_by: str | None = None
    steps: Sequence[Step] = field(default_factory=tuple)
    models: Sequence[Model] = field(default_factory=tuple)
    prompts: Sequence[Prompt] = field(default_factory=tuple)


def is_ours(text: str) -> bool:
    """Whether a card was written by `write`."""
    return MADE_BY in text


def files_of(text: str, name: str) -> list[str]:
    """The files that a card says belong to a set."""
    return [
        entry["path"]
        for config in _front(text).get("configs", [])
        if config.get("config_name") == name
        for entry in config.get("data_files", [])
    ]


def endings(text: str, but: str) -> set[str]:
    """How the files of the sets on a card end, those of one set left out.

    The hub reads all configurations of one card in one way: they must be of one sort.
    """
    return {
        PurePosixPath(entry["path"]).suffix
        for config in _front(text).get("configs", [])
        if config.get("config_name") != but
        for entry in config.get("data_files", [])
    }


def write(card: Card, before: str | None = None) -> str:
    """The text of a card; of one that stands (`before`), the other sets' parts are kept."""
    sections = {match["name"]: match["body"] for match in SECTION.finditer(before or "")}
    configs = {entry["config_name"]: entry for entry in _front(before or "").get("configs", [])}
    configs[card.name] = {
        "config_name": card.name,
        "data_files": [{"split": split, "path": file} for split, file in card.files.items()],
    }
    sections[card.name] = _section(card)
    names = sorted(sections)
    configs = {name: configs[name] for name in names if name in configs}
    for name, config in configs.items():
        config.pop("default", None)
        if name == names[0] and len(names) > 1:
            config["default"] = True
    body = "".join(f"<!-- set: {name} -->\n{sections[name]}<!-- end of set -->\n" for name in names)
    return f"---\n{_yaml(list(configs.values()))}---\n\n{MADE_BY}\n\n{body}"


def _front(text: str) -> dict[str, Any]:
    import yaml

    match = FRONT.match(text)
    if match is None:
        return {}
    try:
        found = yaml.safe_load(match[1])
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _yaml(configs: list[dict[str, Any]]) -> str:
    import yaml

    front = {"license": "unknown", "tags": ["synthetic", "atk"], "configs": configs}
    return str(yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=100))


def _section(card: Card) -> str:
    parts = [f"# {card.name}\n", f"{card.doc.strip()}\n" if card.doc else "", _counts(card), _features(card)]
    parts += [_models(card), _prompts(card), _steps(card)]
    parts.append("License: unknown. It follows from the documents and from the models that were asked.\n")
    return "\n".join(part for part in parts if part)


def _counts(card: Card) -> str:
    lines = [f"| {split} | {file} | {card.rows.get(split, 0):,} |" for split, file in card.files.items()]
    text = f"Format: {card.format}.\n\n| split | file | rows |\n|---|---|---:|\n" + "\n".join(lines) + "\n"
    if card.split_by and len(card.files) > 1:
        text += f"\nSplit by `{card.split_by}`: no row of one is on two sides.\n"
    return text


def _features(card: Card) -> str:
    lines = [f"| `{name}` | {type_} |" for name, type_ in card.features.items()]
    return "| column | type |\n|---|---|\n" + "\n".join(lines) + "\n"


def _models(card: Card) -> str:
    if not card.models:
        return f"Made by the graph `{card.graph}`; no model was asked.\n"
    lines = []
    for model in card.models:
        asked = ", ".join(f"`{node}`" for node in model.nodes)
        what = f"{model.model} ({model.provider})"
        if model.provider == "offline":
            what = (
                "the offline stand-in, which is no language model: it puts replies together from the "
                "words of the documents by simple rules. What it wrote shows that the graph runs; it is "
                "not to train on"
            )
        lines.append(f"- `{model.name}`: {what}. Asked by {asked}.")
    return f"Made by the graph `{card.graph}`. Models:\n\n" + "\n".join(lines) + "\n"


def _prompts(card: Card) -> str:
    if not card.prompts:
        return ""
    return (
        "Prompts:\n\n"
        + "\n".join(f"- `{prompt.name}` ({prompt.digest[:12]})" for prompt in card.prompts)
        + "\n"
    )


def _steps(card: Card) -> str:
    lines = [
        f"| `{step.name}` | {step.kind} | {step.rows:,} | {step.rejected:,} | {step.failed:,} "
        f"| {_cell(step.doc)} |"
        for step in card.steps
    ]
    head = "| step | kind | rows | rejected | failed | what it does |\n|---|---|---:|---:|---:|---|\n"
    return head + "\n".join(lines) + "\n" if lines else ""


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
