"""Coverage-guided search for texts that make `check` fall over.

    .venv-test/bin/python tests/fuzz/check_graph.py CORPUS -max_total_time=1800

Everything that stands in the way of a message is a find: an exception, a diagnostic that cannot be
rendered, a place outside the file, two checks of one text that differ. `CORPUS` is a folder that
grows; where it is empty it begins with the graphs and the broken graphs of the tests. A find is
written to `crash-*` in the working folder; running the script with that file alone repeats it.

The first byte of an input says which part is searched: a graph, a query in a graph, or a prompt file.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

with atheris.instrument_imports(include=["engine.language"]):
    from engine.language import check
    from engine.language.checking import Checking
    from engine.language.diagnostics import render
    from engine.language.parsing import Parser
    from engine.language.template_text import compile_prompt

from tests.language.kinds import registry  # noqa: E402

KINDS = registry()
HERE = ROOT / "tests" / "language"
FOLDER = Path(tempfile.mkdtemp(prefix="atk-fuzz-"))
QUERY = 'type A {{ a: str, n: int }}\nsource d -> A[] {{ path = "x" }}\nsql s {{ query = """\n{}\n""" }}\n'
PROMPT = (
    'type A { a: str, n: int }\nsource d -> A[] { path = "x" }\n'
    'prompt p from d -> A { template = "t", model = default }\n'
)


def graph_of(data: bytes) -> str:
    """The graph that an input stands for; a prompt file beside it is written."""
    part, text = data[:1], data[1:].decode("utf-8", errors="replace")
    if part == b"q":
        return QUERY.format(text.replace('"""', ""))
    if part == b"p":
        (FOLDER / "t.md").write_text(text, encoding="utf-8", errors="replace")
        return PROMPT
    return text


def told(text: str) -> str:
    """All that a check says of a text, rendered."""
    path = HERE / "graphs" / "fuzzed.atk"
    found = check(
        path, KINDS, root=HERE, prompts=[FOLDER], graphs=[HERE], text=text, environment={}, tests=True
    )
    lines = text.count("\n") + text.count("\r") + 1
    for diagnostic in found.diagnostics:
        assert diagnostic.span.line >= 1
        assert diagnostic.span.column >= 1
        if diagnostic.span.path.endswith("fuzzed.atk"):
            assert diagnostic.span.line <= lines, diagnostic
    return "\n".join(render(diagnostic, text) for diagnostic in found.diagnostics)


def one(data: bytes) -> None:
    """One input."""
    text = graph_of(data)
    said = told(text)
    if len(data) % 16 == 0:
        assert told(text) == said


def seeded(folder: Path) -> None:
    """An empty corpus begins with what the tests have."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        return
    graphs = [*(ROOT / "graphs").rglob("*.atk"), *HERE.glob("*/*.atk")]
    for number, path in enumerate(sorted(graphs)):
        (folder / f"graph-{number}").write_bytes(b"g" + path.read_bytes())
    for number, path in enumerate(sorted((ROOT / "prompts").rglob("*.md"))):
        (folder / f"prompt-{number}").write_bytes(b"p" + path.read_bytes())
    for number, query in enumerate(("SELECT a, n FROM d WHERE n > 1", "FROM d JOIN rejected.d USING (d_id)")):
        (folder / f"query-{number}").write_bytes(b"q" + query.encode())


def main() -> None:
    """Search until told to stop."""
    for argument in sys.argv[1:]:
        if not argument.startswith("-") and not Path(argument).is_file():
            seeded(Path(argument))
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    assert all((Checking, Parser, compile_prompt))  # imported to be followed
    main()
