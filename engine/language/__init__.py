"""The language: text of a graph to a checked program. See `check`.

Nothing of the engine below is imported here: kinds are handed in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.language.kind import KindSpec
    from engine.language.program import Program

__all__ = ["check"]


def check(
    path: Path,
    kinds: Mapping[str, KindSpec],
    *,
    values: Mapping[str, str] | None = None,
    models: Mapping[str, str] | None = None,
    profile: str | None = None,
    environment: Mapping[str, str] | None = None,
    root: Path | None = None,
    prompts: Sequence[Path] = (),
    graphs: Sequence[Path] = (),
    text: str | None = None,
    texts: Mapping[Path, str] | None = None,
    complete: bool = True,
    tests: bool = False,
) -> Program:
    """Check a graph file and all that it uses, and give the program that it means.

    Whatever is wrong is in `Program.diagnostics`, all of it at once; nothing is raised for a
    mistake of the author's. `values` are params as typed on the command line (`-p name=value`),
    `models` rebind models (`-m large=small`). `prompts` and `graphs` are folders to look in, the
    user's own first and the shipped ones last. `root` is where the command runs; paths in
    messages are relative to it. `text` stands for the file's content where it is given, `texts` (by
    resolved path) for that of any file read: what an editor holds and has not saved. A param
    without a value is an error, unless `complete` is false: then the graph is only looked through,
    and the program is not one to run. With `tests`, the file's tests are
    checked too; else they are only read, as a run does not need them.
    """
    from engine.language.checking import Checking
    from engine.language.given import Given

    given = Given(
        kinds=kinds,
        values=values or {},
        models=models or {},
        profile=profile,
        environment=os.environ if environment is None else environment,
        root=root or Path.cwd(),
        prompts=tuple(prompts),
        graphs=tuple(graphs),
        texts=texts or {},
        complete=complete,
        tests=tests,
    )
    return Checking(given).run(Path(path), text)
