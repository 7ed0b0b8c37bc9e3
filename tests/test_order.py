"""What a table shows, in which order, comes of graph and documents, not of what was run before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.project import DOCUMENTS, Project

GRAPH = """
param inputs: path = "inputs"

type Document { path: str, title: str?, text: str }

source documents -> Document[] { path = inputs }
chunk passages from documents { size = 16 }

## Says no order: several rows of a document, and a union.
sql pieces {
  query = \"\"\"
    SELECT documents_id, 'piece' AS sort, passage AS text
      FROM (SELECT documents_id, unnest(string_split(text, '. ')) AS passage FROM passages)
    UNION ALL SELECT documents_id, 'whole' AS sort, text FROM documents
  \"\"\"
}

## Says its order, over all documents.
sql ranked {
  query = \"\"\"
    SELECT text, count(*) AS often, max(length(text)) AS size FROM pieces
    GROUP BY text ORDER BY size DESC, text
  \"\"\"
}

## Collects without an order.
sql collected { query = "SELECT documents_id, list(text) AS texts FROM pieces GROUP BY documents_id" }

emit first from pieces { path = "out/pieces.jsonl", format = "columns" }
emit second from ranked { path = "out/ranked.jsonl", format = "columns" }
emit third from collected { path = "out/collected.jsonl", format = "columns" }
"""

TEXTS = DOCUMENTS | {
    "snow.txt": "Snow falls in winter. " * 3 + "Ice is heavy. It melts. Then there is water."
}


def project(root: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(root, monkeypatch)
    made.graph(text=GRAPH)
    for name in DOCUMENTS:
        (root / "inputs" / name).unlink()
    return made


def written(project: Project) -> dict[str, str]:
    assert project.run().status == "done"
    return {path.name: path.read_text() for path in (project.root / "out").glob("*.jsonl")}


def test_data_sets_are_the_same_whatever_was_run_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly, at_once = project(tmp_path / "slowly", monkeypatch), project(tmp_path / "at once", monkeypatch)
    for name in ("wind.txt", "snow.txt", "clouds.txt", "rain.txt"):
        slowly.write(
            f"inputs/{name}", TEXTS[name].replace("Ice", "It is long: ice").replace("bends", "turns")
        )
        written(slowly)
    for name, text in TEXTS.items():
        slowly.write(f"inputs/{name}", text)
        at_once.write(f"inputs/{name}", text)
    assert written(slowly) == written(at_once)


def test_ranks_follow_an_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = project(tmp_path, monkeypatch)
    made.write("inputs/rain.txt", "Rain falls on the hills. Wet")
    written(made)
    made.write("inputs/wind.txt", "Wind blows. A long passage on how the wind blows over all the seas")
    written(made)
    sizes = [size for (size,) in made.rows("SELECT size FROM ranked ORDER BY ALL DESC")]
    lines = (made.root / "out" / "ranked.jsonl").read_text().splitlines()
    told = [json.loads(line)["size"] for line in lines]
    assert told == sizes
