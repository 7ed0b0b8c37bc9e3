"""Which nodes of a graph are meant: `-s drafted+`, `-s +sft`, `-s kind:prompt,+sft`, `-s "passages.*"`.

A selection is a union of groups, a group the intersection of its items, split at commas. An item is
a node's name, a pattern, or `kind:…` or `state:…`, with what lies above it (`+item`, `2+item`) and
below it (`item+`, `item+1`). Names only: nothing here runs or reads a row.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from engine.frozen import dataclass

if TYPE_CHECKING:
    import networkx as nx

STATES = {
    "new": "never run with this store",
    "changed": "its own part is not as it was when it last completed",
    "failed": "rows of it failed",
    "unfinished": "begun, and not brought to its end",
    "unchanged": "complete, and its own part is as it was",
}
_ITEM = re.compile(r"(?:(?P<above>\d*)\+)?(?P<core>[^+]+)(?:\+(?P<below>\d*))?")
_PATTERN = re.compile(r"[*?\[]")


class SelectionError(Exception):
    """A selection that cannot be followed: what is wrong with it, and the mend."""

    exit_code = 2

    def __init__(self, message: str, help: str | None = None):
        super().__init__(message)
        self.message, self.help = message, help


@dataclass(frozen=True)
class Selectable:
    """What a selection is chosen from. `states` is asked only where a `state:` is written."""

    dag: nx.DiGraph[str]  # nodes by name, each with its `kind`
    kinds: Collection[str]  # all there are, in this graph or not
    states: Callable[[], Mapping[str, Collection[str]]]  # node -> those of `STATES` that it is in
    aliases: Mapping[str, str]  # other names of nodes

    def select(self, selections: Sequence[str]) -> frozenset[str]:
        """The nodes that any of the selections means. Raises `SelectionError`, also where it is none."""
        found: set[str] = set()
        for selection in selections:
            found |= self.group(selection)
        if not found:
            asked = " ".join(f"-s {selection}" for selection in selections)
            raise SelectionError(
                f"{asked} selects no node", "`atk plan` without -s shows what there is to do"
            )
        return frozenset(found)

    def group(self, selection: str) -> set[str]:
        """The nodes that every item of one selection means."""
        sets = [self.item(text.strip(), selection) for text in selection.split(",")]
        return set.intersection(*sets)

    def item(self, text: str, selection: str) -> set[str]:
        """The nodes of one item, with what it takes in above and below."""
        parsed = _ITEM.fullmatch(text)
        if parsed is None:
            raise SelectionError(
                f"`{text}` in -s {selection!r} is no selection" if text else f"-s {selection!r} lacks a name",
                "such as drafted, +drafted, drafted+, 2+drafted, drafted+1, kind:prompt or state:changed+",
            )
        core = self.core(parsed["core"])
        return (
            core
            | self.around(core, parsed["above"], reverse=True)
            | self.around(core, parsed["below"], reverse=False)
        )

    def core(self, text: str) -> set[str]:
        method, colon, value = text.partition(":")
        if not colon:
            return self.named(text)
        if method == "kind":
            self.known(value, self.kinds, "kind of node")
            return {name for name in self.dag if self.dag.nodes[name]["kind"] == value}
        if method == "state":
            self.known(value, STATES, "state of a node")
            return {name for name, states in self.states().items() if value in states}
        raise SelectionError(f"-s knows no `{method}:`", "there are kind: and state:, and names of nodes")

    def named(self, text: str) -> set[str]:
        names = {name: name for name in self.dag} | {
            alias: name for alias, name in self.aliases.items() if name in self.dag
        }
        if text in names:
            return {names[text]}
        if _PATTERN.search(text):
            found = {name for shown, name in names.items() if fnmatch.fnmatchcase(shown, text)}
            if found:
                return found
            raise SelectionError(f"no node has a name like `{text}`", _listed(names))
        near = get_close_matches(text, names, n=1, cutoff=0.6)
        raise SelectionError(
            f"there is no node `{text}`", f"did you mean `{near[0]}`?" if near else _listed(names)
        )

    @staticmethod
    def known(value: str, words: Collection[str], what: str) -> None:
        if value not in words:
            near = get_close_matches(value, words, n=1, cutoff=0.6)
            raise SelectionError(
                f"there is no {what} `{value}`",
                f"did you mean `{near[0]}`?" if near else f"there are {', '.join(sorted(words))}",
            )

    def around(self, core: Iterable[str], steps: str | None, *, reverse: bool) -> set[str]:
        """What lies above (or below) these, at most so many steps away; an empty text is all of it."""
        import networkx

        if steps is None:
            return set()
        dag = self.dag.reverse(copy=False) if reverse else self.dag
        far = int(steps) if steps else None
        found: set[str] = set()
        for name in core:
            found |= set(networkx.single_source_shortest_path_length(dag, name, cutoff=far))
        return found


def _listed(names: Iterable[str]) -> str:
    return f"there are {', '.join(sorted(names))}"
