"""The card of an emitted set: what the program and its tables say, put into `engine.data.cards`' form."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import networkx as nx

from engine.data import cards
from engine.data.writers import Files
from engine.kinds.base import Context
from engine.kinds.emit import EmitSettings, Place, groups_of
from engine.language.kind import Role
from engine.language.program import Node, Program

_writing = threading.Lock()  # two sets may share one card


def write(context: Context, place: Place, features: Mapping[str, str], counts: Mapping[str, int]) -> None:
    """Write or renew the card of a set. `features` are its columns, `counts` the rows by split."""
    with _writing:
        path = _card_path(context.program, place)
        before = path.read_text("utf-8", "replace") if path.is_file() else None
        card = _card(context, place, features, counts)
        stale = [
            place.folder / name
            for name in cards.files_of(before or "", card.name)
            if name not in card.files.values()
        ]
        with Files() as files:
            files.text(path, cards.write(card, before))
        for file in stale:  # of a split that is no more
            with contextlib.suppress(OSError):
                if file.resolve().is_relative_to(place.folder.resolve()):
                    file.unlink()


def _card_path(program: Program, place: Place) -> Path:
    """`README.md`, unless it is a stranger's, or of sets whose files are of another sort than this one's."""
    shared, own = place.folder / place.card, place.folder / f"{place.name}.card.md"
    out = place.out
    peers = [
        peer
        for node in program.nodes.values()
        if isinstance(node.settings, EmitSettings) and node.settings.card
        if (peer := Place.of(node.settings, out)).folder / peer.card == shared
    ]
    if peers and peers[0].suffix != place.suffix:
        return own
    if not shared.is_file():
        return shared
    text = shared.read_text("utf-8", "replace")
    return shared if cards.is_ours(text) and cards.endings(text, place.name) <= {place.suffix} else own


def _card(
    context: Context, place: Place, features: Mapping[str, str], counts: Mapping[str, int]
) -> cards.Card:
    program, node = context.program, context.node
    settings = cast(EmitSettings, node.settings)
    behind = nx.ancestors(program.dag, node.name) if node.name in program.dag else set()
    way = [each for name, each in program.nodes.items() if name in behind and not each.skipped]
    groups = groups_of(program, node)
    return cards.Card(
        name=place.name,
        graph=program.name,
        format=settings.format,
        files={name: path.relative_to(place.folder).as_posix() for name, path in place.files.items()},
        rows=counts,
        features=features,
        doc=node.doc,
        split_by=groups[0] if groups and settings.split else None,
        steps=[_step(context, each) for each in way],
        models=_models(program, way),
        prompts=_prompts(way),
    )


def _step(context: Context, node: Node) -> cards.Step:
    found = context.counts(node.name)
    return cards.Step(
        node.name, node.kind, found.get("ok", 0), found.get("rejected", 0), found.get("failed", 0), node.doc
    )


def _models(program: Program, way: Sequence[Node]) -> list[cards.Model]:
    asked: dict[str, list[str]] = {}
    for node in way:
        for settings in (node.settings, *(section.settings for section in node.sections.values())):
            for name, entry in type(settings).model_fields.items():
                model = getattr(settings, name)
                if (
                    Role.MODEL in entry.metadata
                    and model in program.models
                    and node.name not in asked.get(model, ())
                ):
                    asked.setdefault(model, []).append(node.name)
    return [
        cards.Model(name, program.models[name].model, program.models[name].provider, tuple(nodes))
        for name, nodes in asked.items()
    ]


def _prompts(way: Sequence[Node]) -> list[cards.Prompt]:
    found: dict[str, str] = {}
    for node in way:
        found |= {template.name: template.digest for template in node.templates}
    return [cards.Prompt(name, digest) for name, digest in sorted(found.items())]
